//! What a query is known by, and what of a reply is kept for it.

use std::time::{Duration, Instant};

use super::Source;
use super::walk::{HEADER, NAME, Record, name_end, question_name_end, record, u16_at, u32_at};

const RD: u8 = 0x01;
const AA: u8 = 0x04;
const TC: u8 = 0x02;
const QR: u8 = 0x80;
const OPCODE: u8 = 0x78;
const AD: u8 = 0x20;
const CD: u8 = 0x10;
/// Beside AD and CD in a key.
const DO: u8 = 0x01;
const EDNS: u8 = 0x02;

const SOA: u16 = 6;
const SIG: u16 = 24;
const OPT: u16 = 41;
/// TKEY, TSIG, transfers, mailboxes and ANY: questions and records that are about one exchange, or about more than one name.
const META: std::ops::RangeInclusive<u16> = 249..=255;
/// RFC 8914. It says why an answer is what it is, so that it holds as long as the answer.
const EXTENDED_ERROR: u16 = 15;

const LONGEST: u32 = 86_400;
/// RFC 2308 §5: one to three hours.
const LONGEST_NEGATIVE: u32 = 3 * 3_600;

/// The source, the marks, the name, its type and class.
const KEY: usize = 8 + 1 + NAME + 4;

/// A query that may be answered from the cache, and what it is found by.
#[derive(Debug)]
pub(super) struct Asked {
    key: [u8; KEY],
    length: usize,
    /// Where its question ends.
    end: usize,
    marks: u8,
    kind: u16,
    recursion: bool,
}

impl Asked {
    /// None for all but the plainest of queries: one question and at most an OPT without options. What an option says (a
    /// client's subnet, a cookie) is between it and the server.
    pub(super) fn of(source: Source, query: &[u8]) -> Option<Asked> {
        let (high, low) = (*query.get(2)?, *query.get(3)?);
        if high & !RD != 0 || low & !(AD | CD) != 0 || query.get(4..10)? != [0, 1, 0, 0, 0, 0] {
            return None;
        }
        let name_end = question_name_end(query)?;
        let end = name_end + 4;
        let (kind, class) = (u16_at(query, name_end)?, u16_at(query, name_end + 2)?);
        if kind == OPT || META.contains(&kind) || class >= *META.start() {
            return None;
        }
        let edns = match u16_at(query, 10)? {
            0 if query.len() == end => 0,
            1 => plain_opt(query, end)?,
            _ => return None,
        };
        let marks = low | edns;
        let mut key = [0; KEY];
        key[..8].copy_from_slice(&source.0.to_be_bytes());
        key[8] = marks;
        let length = 9 + end - HEADER;
        key[9..length].copy_from_slice(&query[HEADER..end]);
        // The lengths of labels are below any letter.
        key[9..length - 4].make_ascii_lowercase();
        Some(Asked { key, length, end, marks, kind, recursion: high & RD != 0 })
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.key[..self.length]
    }

    pub(super) fn end(&self) -> usize {
        self.end
    }

    pub(super) fn wants_recursion(&self) -> bool {
        self.recursion
    }
}

/// The marks of a query's OPT, if it says no more than how long an answer may be and whether it wants signatures.
fn plain_opt(query: &[u8], at: usize) -> Option<u8> {
    let opt = record(query, at)?;
    let plain = opt.kind == OPT && opt.at_root && opt.data_at == opt.end && opt.end == query.len();
    match opt.ttl {
        0 if plain => Some(EDNS),
        0x8000 if plain => Some(EDNS | DO),
        _ => None,
    }
}

/// A reply, with what it is found by and where its times to live stand.
#[derive(Debug)]
pub(super) struct Kept {
    /// The key, the reply, and two bytes for each time to live.
    bytes: Box<[u8]>,
    key: u16,
    reply: u16,
    since: Instant,
    dies: Instant,
    /// Somebody has asked for it since it was last looked at for pushing out.
    pub(super) wanted: bool,
}

impl Kept {
    pub(super) fn of(asked: &Asked, query: &[u8], reply: &[u8], now: Instant) -> Option<Kept> {
        let (high, low) = (*reply.get(2)?, *reply.get(3)?);
        let is_no_name = match low & 0x0F {
            0 => false,
            3 => true,
            _ => return None,
        };
        let same = reply.get(HEADER..asked.end)?.eq_ignore_ascii_case(&query[HEADER..asked.end]);
        if high & (QR | OPCODE | TC) != QR || u16_at(reply, 4)? != 1 || !same {
            return None;
        }
        let found = Found::walk(asked, reply)?;
        let life = found.life(is_no_name)?;
        let key = asked.key();
        let mut bytes = Vec::with_capacity(key.len() + reply.len() + 2 * found.ttls.len());
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(reply);
        // Whoever hears it from us does not hear it from the one who knows.
        bytes[key.len() + 2] &= !AA;
        if let Some((at, ttl)) = found.soa.filter(|_| found.is_negative(is_no_name)) {
            bytes[key.len() + at..][..4].copy_from_slice(&ttl.to_be_bytes());
        }
        found.ttls.iter().for_each(|at| bytes.extend_from_slice(&at.to_be_bytes()));
        Some(Kept {
            bytes: bytes.into(),
            key: u16::try_from(key.len()).ok()?,
            reply: u16::try_from(reply.len()).ok()?,
            since: now,
            dies: now + Duration::from_secs(life.into()),
            wanted: false,
        })
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.bytes[..self.key.into()]
    }

    pub(super) fn holds(&self, now: Instant) -> bool {
        now < self.dies
    }

    /// Its own bytes; what holds it counts itself.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The answer to a query of this key, whose question ends there.
    pub(super) fn write(&self, query: &[u8], end: usize, now: Instant, out: &mut Vec<u8>) {
        let (reply, ttls) = self.bytes[self.key.into()..].split_at(self.reply.into());
        out.extend_from_slice(reply);
        out[..2].copy_from_slice(&query[..2]);
        out[2] = (out[2] & !RD) | (query[2] & RD);
        out[HEADER..end].copy_from_slice(&query[HEADER..end]);
        let age = now.saturating_duration_since(self.since).as_secs();
        let age = u32::try_from(age).unwrap_or(u32::MAX);
        for at in ttls.as_chunks().0 {
            if let Some(ttl) = out[usize::from(u16::from_be_bytes(*at))..].first_chunk_mut() {
                *ttl = u32::from_be_bytes(*ttl).saturating_sub(age).to_be_bytes();
            }
        }
    }
}

/// What the records of a reply say about how long it holds.
#[derive(Debug)]
struct Found {
    /// Where each time to live stands.
    ttls: Vec<u16>,
    least: u32,
    /// There is a record of the type that was asked for.
    answered: bool,
    /// Where the time to live of the SOA stands, and how long what it denies holds.
    soa: Option<(usize, u32)>,
}

impl Found {
    /// None where it cannot be read to its last byte, or holds something that is for this exchange only.
    fn walk(asked: &Asked, reply: &[u8]) -> Option<Found> {
        let mut found = Found { ttls: Vec::new(), least: LONGEST, answered: false, soa: None };
        let counts = [u16_at(reply, 6)?, u16_at(reply, 8)?, u16_at(reply, 10)?];
        let (mut at, mut opts) = (asked.end, 0);
        for (section, count) in counts.into_iter().enumerate() {
            for _ in 0..count {
                let seen = record(reply, at)?;
                at = seen.end;
                if seen.kind == OPT {
                    opts += 1;
                    let expected = section == 2 && opts == 1 && asked.marks & EDNS != 0;
                    if !expected || !lasting_opt(reply, seen) {
                        return None;
                    }
                    continue;
                }
                if META.contains(&seen.kind) || (seen.kind == SIG && section == 2) {
                    return None;
                }
                found.ttls.push(u16::try_from(seen.ttl_at).ok()?);
                // RFC 2181 §8: with the highest bit it is none.
                found.least = found.least.min(if seen.ttl >> 31 == 0 { seen.ttl } else { 0 });
                found.answered |= section == 0 && seen.kind == asked.kind;
                if section == 1 && seen.kind == SOA && found.soa.is_none() {
                    found.soa = Some((seen.ttl_at, seen.ttl.min(minimum(reply, seen)?)));
                }
            }
        }
        (at == reply.len()).then_some(found)
    }

    fn is_negative(&self, is_no_name: bool) -> bool {
        is_no_name || !self.answered
    }

    /// In seconds. RFC 2308 §5: what is not there holds as long as the SOA says, and without one not at all.
    fn life(&self, is_no_name: bool) -> Option<u32> {
        let life = if self.is_negative(is_no_name) {
            self.least.min(self.soa?.1).min(LONGEST_NEGATIVE)
        } else {
            self.least
        };
        (life > 0).then_some(life)
    }
}

/// The last field of an SOA.
fn minimum(reply: &[u8], soa: Record) -> Option<u32> {
    let numbers = name_end(reply, name_end(reply, soa.data_at)?)?;
    (numbers + 20 == soa.end).then(|| u32_at(reply, numbers + 16))?
}

/// An OPT that is no less true for the next asker: no error of its own (its upper bits stand where others have their time to
/// live, as in BADVERS), and no option but the words for an error.
fn lasting_opt(reply: &[u8], opt: Record) -> bool {
    let mut at = opt.data_at;
    while at < opt.end {
        let (Some(EXTENDED_ERROR), Some(length)) = (u16_at(reply, at), u16_at(reply, at + 2)) else {
            return false;
        };
        at += 4 + usize::from(length);
    }
    opt.at_root && opt.ttl >> 16 == 0 && at == opt.end
}
