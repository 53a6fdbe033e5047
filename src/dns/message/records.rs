//! The records of a whole message, one after the other, as places in its bytes. The walk costs no more than the message is
//! long: a name is followed over few pointers, each of which must lead further back.

use std::ops::Range;

use super::{HEADER, WireName, word};

/// It is not what its header or its lengths say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken;

/// Where a record is in its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    Answer,
    Authority,
    Additional,
}

/// A record, as places in the bytes of its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub section: Section,
    /// Where the name of its owner begins.
    pub owner: usize,
    pub kind: u16,
    pub class: u16,
    /// Where its four bytes of time to live are.
    pub ttl_at: usize,
    pub data: Range<usize>,
}

/// Goes from record to record; ends after the first that is broken.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
    left: [(Section, u16); 3],
}

/// More pointers than this no honest name has (RFC 9267).
const MOST_HOPS: usize = 16;

/// What comes after the questions, however many those are.
pub fn records(bytes: &[u8]) -> Result<Records<'_>, Broken> {
    let count = |at| word(bytes, at).ok_or(Broken);
    let questions = count(4)?;
    let left =
        [(Section::Answer, count(6)?), (Section::Authority, count(8)?), (Section::Additional, count(10)?)];
    let mut at = HEADER;
    for _ in 0..questions {
        at = name_end(bytes, at)? + 4;
    }
    if at > bytes.len() {
        return Err(Broken);
    }
    Ok(Records { bytes, at, left })
}

impl Records<'_> {
    /// Where the next record is, or the end of the message.
    pub fn at(&self) -> usize {
        self.at
    }

    fn read(&self, section: Section) -> Result<Record, Broken> {
        let end = name_end(self.bytes, self.at)?;
        let field = |at| word(self.bytes, end + at).ok_or(Broken);
        let data = end + 10..end + 10 + usize::from(field(8)?);
        if data.end > self.bytes.len() {
            return Err(Broken);
        }
        Ok(Record { section, owner: self.at, kind: field(0)?, class: field(2)?, ttl_at: end + 4, data })
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Record, Broken>;

    fn next(&mut self) -> Option<Result<Record, Broken>> {
        let (section, left) = self.left.iter_mut().find(|(_, left)| *left > 0)?;
        *left -= 1;
        let section = *section;
        let record = self.read(section);
        match &record {
            Ok(record) => self.at = record.data.end,
            Err(Broken) => self.left.iter_mut().for_each(|(_, left)| *left = 0),
        }
        Some(record)
    }
}

/// Where the name that begins there ends in place: after its root, or after its first pointer. The whole name is looked at.
pub fn name_end(bytes: &[u8], start: usize) -> Result<usize, Broken> {
    let (mut at, mut from, mut end) = (start, start, None);
    let (mut long, mut hops) = (0, 0);
    loop {
        let byte = usize::from(*bytes.get(at).ok_or(Broken)?);
        match byte {
            0 => return Ok(end.unwrap_or(at + 1)),
            1..=63 => {
                at += 1 + byte;
                long += 1 + byte;
                if long > WireName::MAX {
                    return Err(Broken);
                }
            }
            192..=255 => {
                let to = usize::from(word(bytes, at).ok_or(Broken)? & 0x3fff);
                hops += 1;
                if to >= from || to < HEADER || hops > MOST_HOPS {
                    return Err(Broken);
                }
                end.get_or_insert(at + 2);
                (at, from) = (to, to);
            }
            _ => return Err(Broken),
        }
    }
}
