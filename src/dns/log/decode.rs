//! Words for what lies in the log: bytes of anybody's, the reply perhaps cut. What cannot be read is left out.

use hickory_proto::op::{Header, Query, ResponseCode};
use hickory_proto::rr::{Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

/// More are not told of one reply.
const ANSWERS: usize = 32;

/// The name as it was spelled, and the type; `?` for both where it is no question.
pub(super) fn question(query: &[u8]) -> (String, String) {
    let read = || {
        let mut decoder = BinDecoder::new(query);
        let header = Header::read(&mut decoder).ok()?;
        (header.counts.queries > 0).then(|| Query::read(&mut decoder).ok())?
    };
    let Some(question) = read() else { return ("?".into(), "?".into()) };
    (plain(&question.name().to_ascii()), kind(question.query_type()))
}

/// Such as NOERROR; empty where there is no reply.
pub(super) fn outcome(reply: &[u8]) -> String {
    let Some(flags) = reply.get(3) else { return String::new() };
    let code = ResponseCode::from(0, flags & 15);
    match code {
        ResponseCode::NoError => "NOERROR".into(),
        ResponseCode::FormErr => "FORMERR".into(),
        ResponseCode::ServFail => "SERVFAIL".into(),
        ResponseCode::NXDomain => "NXDOMAIN".into(),
        ResponseCode::NotImp => "NOTIMP".into(),
        ResponseCode::Refused => "REFUSED".into(),
        _ => format!("RCODE{}", flags & 15),
    }
}

/// The data of the answer's records, as far as the bytes go.
pub(super) fn answers(reply: &[u8]) -> Vec<String> {
    let mut decoder = BinDecoder::new(reply);
    let Ok(header) = Header::read(&mut decoder) else { return Vec::new() };
    for _ in 0..header.counts.queries {
        if Query::read(&mut decoder).is_err() {
            return Vec::new();
        }
    }
    (0..usize::from(header.counts.answers).min(ANSWERS))
        .map_while(|_| Record::read(&mut decoder).ok())
        .map(|record| plain(&record.data.to_string()))
        .collect()
}

fn kind(kind: RecordType) -> String {
    match kind {
        RecordType::Unknown(number) => format!("TYPE{number}"),
        known => known.to_string(),
    }
}

/// Without the final dot of a name, which users do not write; nothing in it may play with a terminal.
fn plain(text: &str) -> String {
    let text = match text.strip_suffix('.') {
        Some("") | None => text,
        Some(name) => name,
    };
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn query(name: &[u8], kind: u16) -> Vec<u8> {
        let mut bytes = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0".to_vec();
        bytes.extend(name);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1]);
        bytes
    }

    #[test]
    fn questions_are_told_as_they_were_spelled() {
        let check = |name: &[u8], kind, wanted: (&str, &str)| {
            let (name, kind) = question(&query(name, kind));
            assert_eq!((name.as_str(), kind.as_str()), wanted);
        };
        check(b"\x03wEb\x05front\0", 1, ("wEb.front", "A"));
        check(b"\0", 2, (".", "NS"));
        check(b"\x01a\0", 65, ("a", "HTTPS"));
        check(b"\x01a\0", 65_280, ("a", "TYPE65280"));
        check(b"\x05_8080\x04_tcp\x01w\0", 33, ("_8080._tcp.w", "SRV"));
        check(b"\x02\x1b[\0", 1, ("\\033\\[", "A"));
        check(b"\xc0\x0c", 1, ("?", "?"));
    }

    #[test]
    fn a_cut_reply_tells_the_records_that_are_whole() {
        let mut reply = query(b"\x01a\0", 1);
        reply[2] = 0x85;
        reply[7] = 3;
        for last in 1..=3 {
            reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 0, 0, last]);
        }
        assert_eq!(answers(&reply), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        assert_eq!(answers(&reply[..reply.len() - 1]), ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(
            (outcome(&reply), outcome(b"\0\x01\x80\x83"), outcome(b"")),
            ("NOERROR".into(), "NXDOMAIN".into(), "".into())
        );
    }

    proptest! {
        #[test]
        fn any_bytes_make_words_without_control_characters(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let (name, kind) = question(&bytes);
            for text in answers(&bytes).iter().chain([&name, &kind, &outcome(&bytes)]) {
                prop_assert!(!text.chars().any(char::is_control), "{text:?}");
            }
        }
    }
}
