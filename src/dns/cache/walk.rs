//! Steps through a message that nobody vouches for: where names and records end. Every step is bounded, and costs what it passes.

/// The bytes before the first question.
pub(crate) const HEADER: usize = 12;

/// The longest name on the wire (RFC 1035 §2.3.4).
pub(crate) const NAME: usize = 255;

/// Pointers in one name. Each leads back, so that this many are more than any server writes (RFC 9267).
const HOPS: usize = 16;

pub(crate) fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*message.get(at..)?.first_chunk()?))
}

pub(crate) fn u32_at(message: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*message.get(at..)?.first_chunk()?))
}

/// Where the first question's name ends, which is spelled out: there is nothing before it to point to.
pub(crate) fn question_name_end(message: &[u8]) -> Option<usize> {
    let mut at = HEADER;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1 + length;
        if length > 63 || at - HEADER > NAME {
            return None;
        }
        if length == 0 {
            return Some(at);
        }
    }
}

/// Where the first question ends, with its type and class.
pub(crate) fn question_end(message: &[u8]) -> Option<usize> {
    let end = question_name_end(message)? + 4;
    (end <= message.len()).then_some(end)
}

/// Where a name that begins there ends. It is followed through its pointers, so that what is kept can be read by others.
pub(crate) fn name_end(message: &[u8], start: usize) -> Option<usize> {
    let (mut at, mut length, mut hops, mut end) = (start, 0, 0, None);
    // A pointer leads to before the labels that it ends.
    let mut segment = start;
    loop {
        let first = usize::from(*message.get(at)?);
        match first {
            0 => return end.or(Some(at + 1)),
            1..=63 => {
                at += 1 + first;
                length += 1 + first;
            }
            0xC0.. => {
                let to = (first & 0x3F) << 8 | usize::from(*message.get(at + 1)?);
                end = end.or(Some(at + 2));
                hops += 1;
                if to >= segment || to < HEADER || hops > HOPS {
                    return None;
                }
                (at, segment) = (to, to);
            }
            _ => return None,
        }
        // The final zero is part of the name.
        if length + 1 > NAME {
            return None;
        }
    }
}

/// One record, without its name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record {
    pub(crate) kind: u16,
    /// Where its time to live stands.
    pub(crate) ttl_at: usize,
    pub(crate) ttl: u32,
    pub(crate) data_at: usize,
    /// Where it ends, and the next one begins.
    pub(crate) end: usize,
    /// Its name is the root, as the name of an OPT must be.
    pub(crate) at_root: bool,
}

pub(crate) fn record(message: &[u8], start: usize) -> Option<Record> {
    let at = name_end(message, start)?;
    let data_at = at + 10;
    let end = data_at + usize::from(u16_at(message, at + 8)?);
    if end > message.len() {
        return None;
    }
    Some(Record {
        kind: u16_at(message, at)?,
        ttl_at: at + 4,
        ttl: u32_at(message, at + 4)?,
        data_at,
        end,
        at_root: message.get(start) == Some(&0),
    })
}
