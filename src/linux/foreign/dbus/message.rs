//! Messages of D-Bus as bytes. We write in the order of this machine's bytes, and read both orders, as a bus passes on
//! what others have written.

use super::Target;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Call = 1,
    Return = 2,
    Error = 3,
    Signal = 4,
}

/// What is in a message, as far as we care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    pub(crate) serial: u32,
    pub(crate) path: Option<String>,
    pub(crate) interface: Option<String>,
    pub(crate) member: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) reply_to: Option<u32>,
    pub(crate) destination: Option<String>,
    pub(crate) sender: Option<String>,
    pub(crate) body: Body,
}

/// The values of a message, not taken apart yet, and of which types they are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Body {
    pub(crate) signature: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) big: bool,
}

impl Body {
    pub(crate) fn of_texts(texts: &[&str]) -> Body {
        let mut writer = Writer::default();
        texts.iter().for_each(|text| writer.text(text));
        Body { signature: "s".repeat(texts.len()), bytes: writer.bytes, big: IS_BIG }
    }

    /// Its first value, where that is a string.
    pub(crate) fn text(&self) -> Option<String> {
        if self.signature.starts_with('s') { self.reader().text() } else { None }
    }

    /// An array of strings.
    pub(crate) fn texts(&self) -> Option<Vec<String>> {
        if self.signature != "as" {
            return None;
        }
        let mut reader = self.reader();
        let end = reader.length()?.checked_add(reader.at)?;
        let mut texts = Vec::new();
        while reader.at < end {
            texts.push(reader.text()?);
        }
        (reader.at == end).then_some(texts)
    }

    /// All of its values, where they are strings.
    #[cfg(test)]
    pub(crate) fn all_texts(&self) -> Vec<String> {
        let mut reader = self.reader();
        self.signature.chars().map(|_| reader.text().unwrap()).collect()
    }

    pub(crate) fn flag(&self) -> Option<bool> {
        if self.signature == "b" { self.reader().number().map(|number| number != 0) } else { None }
    }

    fn reader(&self) -> Reader<'_> {
        Reader { bytes: &self.bytes, at: 0, big: self.big }
    }
}

mod field {
    pub(super) const PATH: u8 = 1;
    pub(super) const INTERFACE: u8 = 2;
    pub(super) const MEMBER: u8 = 3;
    pub(super) const ERROR: u8 = 4;
    pub(super) const REPLY_TO: u8 = 5;
    pub(super) const DESTINATION: u8 = 6;
    pub(super) const SENDER: u8 = 7;
    pub(super) const SIGNATURE: u8 = 8;
}

/// The order of this machine's bytes.
const IS_BIG: bool = cfg!(target_endian = "big");

impl Message {
    /// How many bytes tell the length of the rest.
    pub(super) const FIXED: usize = 16;

    pub(crate) fn call(target: Target<'_>, method: &str, arguments: &[&str]) -> Message {
        Message {
            path: Some(target.path.to_string()),
            interface: Some(target.interface.to_string()),
            member: Some(method.to_string()),
            destination: Some(target.name.to_string()),
            body: Body::of_texts(arguments),
            ..Message::of(Kind::Call)
        }
    }

    pub(crate) fn of(kind: Kind) -> Message {
        Message {
            kind,
            serial: 0,
            path: None,
            interface: None,
            member: None,
            error: None,
            reply_to: None,
            destination: None,
            sender: None,
            body: Body { big: IS_BIG, ..Body::default() },
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        const VERSION: u8 = 1;
        let fields = self.fields();
        let order = if IS_BIG { b'B' } else { b'l' };
        let mut writer = Writer { bytes: vec![order, self.kind as u8, 0, VERSION] };
        writer.length(&self.body.bytes);
        writer.number(self.serial);
        writer.length(&fields);
        // The fields begin at a multiple of eight, as they did when they were written alone.
        writer.bytes.extend(fields);
        writer.pad(8);
        writer.bytes.extend(&self.body.bytes);
        writer.bytes
    }

    /// The bus says who the sender is, so we need not.
    fn fields(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        let texts = [
            (field::PATH, "o", &self.path),
            (field::INTERFACE, "s", &self.interface),
            (field::MEMBER, "s", &self.member),
            (field::ERROR, "s", &self.error),
            (field::DESTINATION, "s", &self.destination),
        ];
        for (kind, signature, text) in texts {
            if let Some(text) = text {
                writer.field(kind, signature);
                writer.text(text);
            }
        }
        if let Some(serial) = self.reply_to {
            writer.field(field::REPLY_TO, "u");
            writer.number(serial);
        }
        if !self.body.signature.is_empty() {
            writer.field(field::SIGNATURE, "g");
            writer.signature(&self.body.signature);
        }
        writer.bytes
    }

    /// How long the message is that begins so.
    pub(super) fn length(fixed: &[u8]) -> Option<usize> {
        let big = is_big(fixed)?;
        let length = |at| Reader { bytes: fixed, at, big }.length();
        let fields = Message::FIXED.checked_add(length(12)?)?.checked_next_multiple_of(8)?;
        fields.checked_add(length(4)?)
    }

    /// None where it is not a message, or breaks off.
    pub(super) fn decode(bytes: &[u8]) -> Option<Message> {
        let big = is_big(bytes)?;
        let kind = match bytes.get(1)? {
            1 => Kind::Call,
            2 => Kind::Return,
            3 => Kind::Error,
            4 => Kind::Signal,
            _ => return None,
        };
        let mut reader = Reader { bytes, at: 8, big };
        let mut message = Message { serial: reader.number()?, ..Message::of(kind) };
        let end = reader.length()?.checked_add(Message::FIXED)?;
        while reader.at < end {
            message.read_field(&mut reader)?;
        }
        reader.pad(8);
        message.body.big = big;
        message.body.bytes = bytes.get(reader.at..)?.to_vec();
        Some(message)
    }

    fn read_field(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        reader.pad(8);
        let kind = reader.byte()?;
        match reader.signature()?.as_str() {
            "s" | "o" => self.set_text(kind, reader.text()?),
            "g" if kind == field::SIGNATURE => self.body.signature = reader.signature()?,
            "u" if kind == field::REPLY_TO => self.reply_to = Some(reader.number()?),
            // How many files come along, which we do not take, and whatever is yet to be thought of.
            "u" => drop(reader.number()?),
            _ => return None,
        }
        Some(())
    }

    fn set_text(&mut self, kind: u8, text: String) {
        let place = match kind {
            field::PATH => &mut self.path,
            field::INTERFACE => &mut self.interface,
            field::MEMBER => &mut self.member,
            field::ERROR => &mut self.error,
            field::DESTINATION => &mut self.destination,
            field::SENDER => &mut self.sender,
            _ => return,
        };
        *place = Some(text);
    }
}

fn is_big(bytes: &[u8]) -> Option<bool> {
    match bytes.first()? {
        b'l' => Some(false),
        b'B' => Some(true),
        _ => None,
    }
}

#[derive(Debug, Default)]
struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn pad(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    fn number(&mut self, number: u32) {
        self.pad(4);
        self.bytes.extend(number.to_ne_bytes());
    }

    fn length(&mut self, of: &[u8]) {
        self.number(u32::try_from(of.len()).expect("what we send is short"));
    }

    fn text(&mut self, text: &str) {
        self.length(text.as_bytes());
        self.bytes.extend(text.as_bytes());
        self.bytes.push(0);
    }

    fn signature(&mut self, signature: &str) {
        self.bytes.push(u8::try_from(signature.len()).expect("what we send is short"));
        self.bytes.extend(signature.as_bytes());
        self.bytes.push(0);
    }

    /// Begins a field of the header: its number, and the type of its value.
    fn field(&mut self, kind: u8, signature: &str) {
        self.pad(8);
        self.bytes.push(kind);
        self.signature(signature);
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    big: bool,
}

impl Reader<'_> {
    fn pad(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn number(&mut self) -> Option<u32> {
        self.pad(4);
        let bytes = *self.bytes.get(self.at..)?.first_chunk()?;
        self.at += 4;
        Some(if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn length(&mut self) -> Option<usize> {
        self.number().map(|number| number as usize)
    }

    fn text(&mut self) -> Option<String> {
        let length = self.length()?;
        self.chars(length)
    }

    fn signature(&mut self) -> Option<String> {
        let length = usize::from(self.byte()?);
        self.chars(length)
    }

    /// That many bytes of text, and the zero behind them.
    fn chars(&mut self, length: usize) -> Option<String> {
        let end = self.at.checked_add(length)?;
        let text = std::str::from_utf8(self.bytes.get(self.at..end)?).ok()?.to_string();
        self.at = end;
        (self.byte()? == 0).then_some(text)
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    const TARGET: Target<'static> = Target { name: "a.B", path: "/a", interface: "a.C" };

    #[test]
    #[cfg(target_endian = "little")]
    fn a_call_is_written_as_the_specification_says() {
        let expected = [
            &[b'l', 1, 0, 1, 14, 0, 0, 0, 7, 0, 0, 0, 72, 0, 0, 0][..],
            b"\x01\x01o\0\x02\0\0\0/a\0\0\0\0\0\0",
            b"\x02\x01s\0\x03\0\0\0a.C\0\0\0\0\0",
            b"\x03\x01s\0\x01\0\0\0M\0\0\0\0\0\0\0",
            b"\x06\x01s\0\x03\0\0\0a.B\0\0\0\0\0",
            b"\x08\x01g\0\x02ss\0",
            b"\x02\0\0\0hi\0\0",
            b"\x01\0\0\0x\0",
        ]
        .concat();
        let call = Message { serial: 7, ..Message::call(TARGET, "M", &["hi", "x"]) };
        assert_eq!(call.encode(), expected);
        assert_eq!(Message::length(&expected), Some(expected.len()));
    }

    #[test]
    fn what_is_written_is_read_again() {
        for arguments in [&[][..], &["bl-a"], &["trusted", "bl-abcdefghijk", ""]] {
            let call = Message { serial: 9, ..Message::call(TARGET, "Member", arguments) };
            let reply = Message {
                serial: 3,
                reply_to: Some(9),
                destination: Some(":1.5".into()),
                body: Body::of_texts(arguments),
                ..Message::of(Kind::Return)
            };
            for message in [call, reply] {
                assert_eq!(Message::decode(&message.encode()), Some(message));
            }
        }
    }

    #[test]
    fn the_other_order_of_bytes_is_read_too() {
        let bytes = [
            &[b'B', 2, 0, 1, 0, 0, 0, 12, 0, 0, 0, 3, 0, 0, 0, 15][..],
            b"\x05\x01u\0\0\0\0\x09\x08\x01g\0\x02as\0",
            b"\0\0\0\x08\0\0\0\x03dmz\0",
        ]
        .concat();
        assert_eq!(Message::length(&bytes), Some(bytes.len()));
        let message = Message::decode(&bytes).unwrap();
        assert_eq!((message.kind, message.serial, message.reply_to), (Kind::Return, 3, Some(9)));
        assert_eq!(message.body.texts(), Some(vec!["dmz".to_string()]));
        assert_eq!((message.body.text(), message.body.flag()), (None, None));
    }

    #[test]
    fn what_is_cut_short_is_no_message_and_lengths_do_not_overflow() {
        let whole = Message::call(TARGET, "Member", &["trusted"]).encode();
        let body = "\0\0\0\0trusted\0".len();
        for end in 0..whole.len() - body {
            assert_eq!(Message::decode(&whole[..end]), None, "{end}");
        }
        for end in whole.len() - body..whole.len() {
            assert_eq!(Message::decode(&whole[..end]).unwrap().body.text(), None, "{end}");
        }
        let mut huge = whole;
        huge[4..8].fill(0xff);
        huge[12..16].fill(0xff);
        assert!(Message::length(&huge).is_none_or(|length| length > super::super::LARGEST));
        assert_eq!(Message::decode(&huge), None);
        let lying = Body { signature: "as".into(), bytes: vec![0xff; 8], big: false };
        assert_eq!(lying.texts(), None);
    }
}
