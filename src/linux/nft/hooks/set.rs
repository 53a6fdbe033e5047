//! The sets in rules' braces. They have no names of their own, and live and die with their rule.

use bowline_core::firewall::Table;
use bowline_core::firewall::hooks::{Point, Range};

use crate::nft::batch::{Batch, What};
use crate::nft::element;
use crate::nft::frame::set::{ANONYMOUS, CONSTANT, ICMPV6_TYPE, INTERVAL, attr};
use crate::nft::rule::OWN_SET;
use crate::nft::wire::{Writer, flag, kind};

/// Entries per message. At most 36 bytes each, so that their attribute stays below 64 KiB.
const CHUNK: usize = 1000;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyKind {
    Card,
    Address4,
    Address6,
    /// Of a connection, not of the packet.
    Original4,
    Original6,
    Protocol,
    Port,
    IcmpType,
    Icmpv6Type,
}

/// Values that follow each other, in network order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: Vec<u8>,
    pub(super) last: Vec<u8>,
    /// How many bits all of them have in common, where these are all that do.
    pub(super) prefix: Option<u32>,
}

#[derive(Debug)]
pub(super) struct OwnSet {
    pub(super) key: KeyKind,
    /// Ascending, none in two.
    pub(super) spans: Vec<Span>,
}

impl KeyKind {
    pub(super) fn len(self) -> u32 {
        match self {
            KeyKind::Card | KeyKind::Address6 | KeyKind::Original6 => 16,
            KeyKind::Address4 | KeyKind::Original4 => 4,
            KeyKind::Port => 2,
            KeyKind::Protocol | KeyKind::IcmpType | KeyKind::Icmpv6Type => 1,
        }
    }

    pub(super) fn is_of_packet(self) -> bool {
        !matches!(self, KeyKind::Original4 | KeyKind::Original6)
    }

    /// How `nft` calls the type. The kernel only keeps the number for it.
    fn datatype(self) -> u32 {
        match self {
            KeyKind::Address4 | KeyKind::Original4 => 7,
            KeyKind::Address6 | KeyKind::Original6 => 8,
            KeyKind::Protocol => 12,
            KeyKind::Port => 13,
            KeyKind::IcmpType => 14,
            KeyKind::Icmpv6Type => ICMPV6_TYPE,
            KeyKind::Card => 41,
        }
    }

    /// A note that `nft` leaves for itself: the byte order of the keys.
    fn note(self) -> Vec<u8> {
        const KEY: [u8; 2] = [0, 4];
        let order: u32 = if self == KeyKind::Card { 1 } else { 2 };
        [&KEY[..], &order.to_ne_bytes()].concat()
    }
}

impl Span {
    pub(super) fn one(value: Vec<u8>) -> Span {
        Span { first: value.clone(), last: value, prefix: None }
    }

    pub(super) fn of_card(name: &str) -> Span {
        let mut bytes = name.as_bytes().to_vec();
        bytes.resize(16, 0);
        Span::one(bytes)
    }

    pub(super) fn of_range<T: Point>(range: &Range<T>) -> Span {
        let bytes = |point: T| point.bits().to_be_bytes()[16 - T::BITS as usize / 8..].to_vec();
        Span { first: bytes(range.first()), last: bytes(range.last()), prefix: range.prefix() }
    }

    pub(super) fn is_one(&self) -> bool {
        self.first == self.last
    }

    /// The first value after it. None where it ends with the last there is.
    fn beyond(&self) -> Option<Vec<u8>> {
        let mut next = self.last.clone();
        let at = next.iter().rposition(|byte| *byte != 0xff)?;
        next[at] += 1;
        next[at + 1..].fill(0);
        Some(next)
    }
}

impl OwnSet {
    fn is_interval(&self) -> bool {
        !self.spans.iter().all(Span::is_one)
    }

    /// Where an interval begins, and where what is in none does.
    fn entries(&self) -> Vec<(Vec<u8>, bool)> {
        if !self.is_interval() {
            return self.spans.iter().map(|span| (span.first.clone(), false)).collect();
        }
        let mut entries = Vec::new();
        let zero = vec![0; self.key.len() as usize];
        if self.spans.first().is_some_and(|span| span.first != zero) {
            entries.push((zero, true));
        }
        for span in &self.spans {
            entries.push((span.first.clone(), false));
            entries.extend(span.beyond().map(|beyond| (beyond, true)));
        }
        entries
    }
}

/// `id` is its number in the transaction.
pub(super) fn put(batch: &mut Batch<'_>, set: &OwnSet, id: u32) {
    let entries = set.entries();
    let interval = if set.is_interval() { INTERVAL } else { 0 };
    batch.op(Table::Inet, What::AddRulesSet, kind::NEW_SET, flag::CREATE, |w| {
        w.text(attr::NAME, OWN_SET);
        w.be32(attr::FLAGS, ANONYMOUS | CONSTANT | interval);
        w.be32(attr::KEY_TYPE, set.key.datatype());
        w.be32(attr::KEY_LEN, set.key.len());
        w.nest(attr::DESCRIPTION, |w| {
            w.be32(attr::DESCRIPTION_SIZE, u32::try_from(entries.len()).expect("a file is small"));
        });
        w.be32(attr::ID, id);
        w.attr(attr::USERDATA, &set.key.note());
    });
    for chunk in entries.chunks(CHUNK) {
        batch.op(Table::Inet, What::FillRulesSet, kind::NEW_ELEMENT, flag::CREATE, |w| {
            w.text(attr::ELEMENTS_SET, OWN_SET);
            w.be32(attr::ELEMENTS_SET_ID, id);
            w.nest(attr::ELEMENTS_LIST, |w| {
                chunk.iter().for_each(|(key, is_end)| put_entry(w, key, *is_end))
            });
        });
    }
}

fn put_entry(w: &mut Writer, key: &[u8], is_end: bool) {
    if is_end { element::put_end(w, key) } else { element::put_key(w, key) }
}
