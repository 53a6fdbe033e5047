//! An answer, written by hand into the buffer that it is sent from.

use super::Verdict;
use crate::message::{HEADER, Query, Transport, kind};

/// What we take by UDP, as we say it by EDNS: what passes any link in one piece.
const PAYLOAD: u16 = 1232;
const OPT_LEN: usize = 11;
/// The name of the question, which is where the header ends.
const QUESTION: [u8; 2] = [0xc0, HEADER as u8];
/// RFC 6303 §3: nobody is in charge of a zone that is made up.
const NOBODY: &[u8] = b"\x06nobody\x07invalid\0";

mod flag {
    pub(super) const RESPONSE: u16 = 0x8000;
    pub(super) const AUTHORITATIVE: u16 = 0x0400;
    pub(super) const CUT: u16 = 0x0200;
    pub(super) const RECURSION_DESIRED: u16 = 0x0100;
    pub(super) const RECURSION_AVAILABLE: u16 = 0x0080;
    pub(super) const CHECKING_DISABLED: u16 = 0x0010;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rcode {
    NoError = 0,
    FormErr = 1,
    ServFail = 2,
    NxDomain = 3,
    NotImp = 4,
    Refused = 5,
    /// The first that is longer than the header's four bits: EDNS carries the rest.
    BadVers = 16,
}

pub(super) struct Reply<'a> {
    query: &'a Query<'a>,
    out: &'a mut Vec<u8>,
    /// So long it may become, EDNS not counted.
    limit: usize,
    answers: u16,
    authorities: u16,
    cut: bool,
}

impl<'a> Reply<'a> {
    /// Room for the header, and the question as it was spelled: some clients tell a forged answer by its case.
    pub(super) fn begin(query: &'a Query<'a>, over: Transport, out: &'a mut Vec<u8>) -> Reply<'a> {
        out.clear();
        out.extend_from_slice(&[0; HEADER]);
        out.extend_from_slice(query.question());
        Reply { query, out, limit: room(query, over), answers: 0, authorities: 0, cut: false }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.answers == 0
    }

    /// Adds addresses of the name that was asked for; those that are there already once only. All answers of a reply are of
    /// one type, so each takes as many bytes.
    pub(super) fn addresses<const N: usize>(
        &mut self,
        kind: u16,
        ttl: u32,
        addresses: impl Iterator<Item = [u8; N]>,
    ) {
        let first = HEADER + self.query.question().len();
        let before = self.out.len();
        for address in addresses {
            if self.out.len() + 12 + N > self.limit {
                self.cut = true;
                return;
            }
            if self.out[first..before].chunks_exact(12 + N).any(|record| record[12..] == address) {
                continue;
            }
            self.record(&QUESTION, kind, ttl, N as u16);
            self.out.extend_from_slice(&address);
            self.answers += 1;
        }
    }

    /// For how long it holds that there is nothing (RFC 2308), said by the part of the name that begins there.
    pub(super) fn soa(&mut self, apex: usize, ttl: u32) {
        let pointer = (0xc000 | (HEADER + apex) as u16).to_be_bytes();
        let root = self.query.name().len() - 1;
        let zone: &[u8] = if apex < root { &pointer } else { &[0] };
        self.record(zone, kind::SOA, ttl, (zone.len() + NOBODY.len() + 20) as u16);
        self.out.extend_from_slice(zone);
        self.out.extend_from_slice(NOBODY);
        for field in [1, 3600, 1200, 604_800, ttl] {
            self.out.extend_from_slice(&field.to_be_bytes());
        }
        self.authorities += 1;
    }

    fn record(&mut self, owner: &[u8], kind: u16, ttl: u32, len: u16) {
        self.out.extend_from_slice(owner);
        self.out.extend_from_slice(&kind.to_be_bytes());
        self.out.extend_from_slice(&[0, 1]);
        self.out.extend_from_slice(&ttl.to_be_bytes());
        self.out.extend_from_slice(&len.to_be_bytes());
    }

    pub(super) fn finish(self, rcode: Rcode) {
        let authoritative = match rcode {
            Rcode::NoError | Rcode::NxDomain => flag::AUTHORITATIVE,
            Rcode::FormErr | Rcode::ServFail | Rcode::NotImp | Rcode::Refused | Rcode::BadVers => 0,
        };
        let cut = if self.cut { flag::CUT } else { 0 };
        let flags = flags(self.query) | authoritative | cut | rcode as u16 & 0xf;
        header(self.out, self.query.id(), flags, [1, self.answers, self.authorities, 0]);
        opt(self.query, rcode, self.out);
    }

    pub(super) fn abandon(self) {
        self.out.clear();
    }
}

/// How long a reply may be before EDNS is added.
pub(super) fn room(query: &Query<'_>, over: Transport) -> usize {
    query.limit(over) - if query.edns().is_some() { OPT_LEN } else { 0 }
}

/// Who asked with EDNS is answered with it; the reply's count of additional records says so.
pub(super) fn opt(query: &Query<'_>, rcode: Rcode, out: &mut Vec<u8>) {
    let Some(edns) = query.edns() else { return };
    let [high, low] = PAYLOAD.to_be_bytes();
    let dnssec = if edns.dnssec { 0x80 } else { 0 };
    out.extend_from_slice(&[0, 0, kind::OPT as u8, high, low, (rcode as u16 >> 4) as u8, 0, dnssec, 0, 0, 0]);
    let count = u16::from_be_bytes([out[10], out[11]]) + 1;
    out[10..HEADER].copy_from_slice(&count.to_be_bytes());
}

/// Nothing but how it went.
pub(super) fn status(query: &Query<'_>, over: Transport, rcode: Rcode, out: &mut Vec<u8>) -> Verdict {
    Reply::begin(query, over, out).finish(rcode);
    Verdict::Reply
}

/// What is said of a message that was not understood further than its header.
pub(super) fn bare(bytes: &[u8], rcode: Rcode, question: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&[0; HEADER]);
    out.extend_from_slice(question);
    let asked = u16::from_be_bytes([bytes[2], bytes[3]]);
    // The kind of query and whether recursion is desired are said again as they came.
    let flags = flag::RESPONSE | flag::RECURSION_AVAILABLE | asked & 0x7900 | rcode as u16;
    let id = u16::from_be_bytes([bytes[0], bytes[1]]);
    header(out, id, flags, [u16::from(!question.is_empty()), 0, 0, 0]);
}

/// Leaves of a reply how it went, and that there is more of it.
pub(super) fn cut(query: &Query<'_>, reply: &mut Vec<u8>) {
    let flags = u16::from_be_bytes([reply[2], reply[3]]) | flag::CUT;
    reply.truncate(HEADER);
    reply.extend_from_slice(query.question());
    header(reply, query.id(), flags, [1, 0, 0, 0]);
    opt(query, Rcode::NoError, reply);
}

fn flags(query: &Query<'_>) -> u16 {
    let desired = if query.rd() { flag::RECURSION_DESIRED } else { 0 };
    let unchecked = if query.cd() { flag::CHECKING_DISABLED } else { 0 };
    flag::RESPONSE | flag::RECURSION_AVAILABLE | desired | unchecked
}

fn header(out: &mut [u8], id: u16, flags: u16, counts: [u16; 4]) {
    let words = [id, flags, counts[0], counts[1], counts[2], counts[3]];
    for (place, word) in out.chunks_exact_mut(2).zip(words) {
        place.copy_from_slice(&word.to_be_bytes());
    }
}
