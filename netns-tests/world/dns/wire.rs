//! Just enough of RFC 1035 to ask, to answer and to read answers. It shares no line with the product.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

const HEADER: usize = 12;

const KINDS: &[(&str, u16)] = &[
    ("A", 1),
    ("NS", 2),
    ("SOA", 6),
    ("PTR", 12),
    ("MX", 15),
    ("TXT", 16),
    ("AAAA", 28),
    ("SRV", 33),
    ("HTTPS", 65),
    ("ANY", 255),
];

const OUTCOMES: &[&str] = &["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];

pub(super) struct Question {
    pub(super) id: u16,
    pub(super) name: String,
    pub(super) kind: u16,
    /// Where it ends in the message.
    pub(super) end: usize,
}

pub(super) struct Reply {
    pub(super) id: u16,
    pub(super) status: String,
    /// `A 5 10.9.0.2`: kind, time to live and data of each answer.
    pub(super) records: Vec<String>,
}

pub(super) fn kind_number(kind: &str) -> io::Result<u16> {
    let known = KINDS.iter().find(|(name, _)| *name == kind);
    known.map(|(_, number)| *number).ok_or_else(|| io::Error::other(format!("no kind {kind}")))
}

pub(super) fn kind_name(number: u16) -> String {
    let known = KINDS.iter().find(|(_, known)| *known == number);
    known.map_or_else(|| format!("TYPE{number}"), |(name, _)| (*name).to_string())
}

/// A question that wants recursion, of the class IN.
pub(super) fn query(id: u16, name: &str, kind: u16) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    put_name(&mut message, name);
    message.extend(kind.to_be_bytes());
    message.extend([0, 1]);
    message
}

pub(super) fn put_name(message: &mut Vec<u8>, name: &str) {
    for label in name.split('.').filter(|label| !label.is_empty()) {
        message.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
        message.extend(label.as_bytes());
    }
    message.push(0);
}

pub(super) fn question(message: &[u8]) -> Option<Question> {
    let (name, end) = name_at(message, HEADER)?;
    Some(Question { id: number(message, 0)?, name, kind: number(message, end)?, end: end + 4 })
}

pub(super) fn reply(message: &[u8]) -> Option<Reply> {
    let flags = number(message, 2)?;
    let mut at = question(message).map_or(HEADER, |question| question.end);
    let mut records = Vec::new();
    for _ in 0..number(message, 6)? {
        let (_, end) = name_at(message, at)?;
        let (kind, ttl_high, ttl_low) =
            (number(message, end)?, number(message, end + 4)?, number(message, end + 6)?);
        let length = usize::from(number(message, end + 8)?);
        at = end + 10 + length;
        let ttl = u32::from(ttl_high) << 16 | u32::from(ttl_low);
        records.push(format!("{} {ttl} {}", kind_name(kind), data(message, kind, end + 10, length)?));
    }
    let status = OUTCOMES.get(usize::from(flags & 15)).map_or("OTHER", |name| name).to_string();
    Some(Reply { id: number(message, 0)?, status, records })
}

fn data(message: &[u8], kind: u16, at: usize, length: usize) -> Option<String> {
    let bytes = message.get(at..at + length)?;
    Some(match kind {
        1 => Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).to_string(),
        28 => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string(),
        12 => name_at(message, at)?.0,
        33 => format!("{} {}", number(message, at + 4)?, name_at(message, at + 6)?.0),
        16 => String::from_utf8_lossy(bytes.get(1..)?).into_owned(),
        _ => format!("{length} bytes"),
    })
}

/// A name as text without its final dot, and where what follows it begins.
fn name_at(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let (mut labels, mut end) = (Vec::new(), None);
    for _ in 0..128 {
        let length = usize::from(*message.get(at)?);
        if length == 0 {
            return Some((labels.join("."), end.unwrap_or(at + 1)));
        }
        if length >= 0xc0 {
            end = end.or(Some(at + 2));
            at = usize::from(number(message, at)? & 0x3fff);
            continue;
        }
        labels.push(String::from_utf8_lossy(message.get(at + 1..=at + length)?).into_owned());
        at += 1 + length;
    }
    None
}

pub(super) fn number(message: &[u8], at: usize) -> Option<u16> {
    let bytes = message.get(at..at + 2)?;
    Some(u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// Over TCP a message has its length before it.
pub(super) fn read_frame(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message)?;
    Ok(message)
}

pub(super) fn write_frame(stream: &mut impl Write, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), message].concat())
}
