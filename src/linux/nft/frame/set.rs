//! The sets and maps: what their keys are, and what these lead to.

use bowline_core::firewall::{Field, Set, Table};

use crate::nft::batch::{Batch, What};
use crate::nft::element;
use crate::nft::rule::{NEIGHBOUR_TYPES, OWN_SET};
use crate::nft::wire::{Writer, flag, kind};

pub(in crate::nft) mod attr {
    pub(in crate::nft) const NAME: u16 = 2;
    pub(in crate::nft) const FLAGS: u16 = 3;
    pub(in crate::nft) const KEY_TYPE: u16 = 4;
    pub(in crate::nft) const KEY_LEN: u16 = 5;
    pub(in crate::nft) const DATA_TYPE: u16 = 6;
    pub(in crate::nft) const DATA_LEN: u16 = 7;
    pub(in crate::nft) const DESCRIPTION: u16 = 9;
    pub(in crate::nft) const ID: u16 = 10;
    pub(in crate::nft) const USERDATA: u16 = 13;

    pub(in crate::nft) const DESCRIPTION_SIZE: u16 = 1;
    pub(in crate::nft) const DESCRIPTION_PARTS: u16 = 2;
    pub(in crate::nft) const LIST_ELEM: u16 = 1;
    pub(in crate::nft) const PART_LEN: u16 = 1;

    pub(in crate::nft) const ELEMENTS_SET: u16 = 2;
    pub(in crate::nft) const ELEMENTS_LIST: u16 = 3;
    pub(in crate::nft) const ELEMENTS_SET_ID: u16 = 4;
}

pub(in crate::nft) const ANONYMOUS: u32 = 0x1;
pub(in crate::nft) const CONSTANT: u32 = 0x2;
pub(in crate::nft) const INTERVAL: u32 = 0x4;
const MAP: u32 = 0x8;
/// Each part of a key is an interval of its own.
const CONCATENATION: u32 = 0x80;

pub(in crate::nft) const ICMPV6_TYPE: u32 = 29;

pub(super) fn put(batch: &mut Batch<'_>, set: Set, id: u32) {
    let (key, data) = (set.key(), set.data());
    batch.op(set.table(), What::AddSet(set), kind::NEW_SET, flag::CREATE, |w| {
        w.text(attr::NAME, set.name());
        w.be32(attr::FLAGS, flags(set));
        w.be32(attr::KEY_TYPE, datatype(key));
        w.be32(attr::KEY_LEN, len(key));
        if !data.is_empty() {
            w.be32(attr::DATA_TYPE, datatype(data));
            w.be32(attr::DATA_LEN, len(data));
        }
        if is_concatenation(set) {
            w.nest(attr::DESCRIPTION, |w| w.nest(attr::DESCRIPTION_PARTS, |w| put_parts(w, key)));
        }
        w.be32(attr::ID, id);
        w.attr(attr::USERDATA, &note(set));
    });
}

fn flags(set: Set) -> u32 {
    let flag = |given: bool, flag: u32| if given { flag } else { 0 };
    flag(set.is_interval(), INTERVAL)
        | flag(!set.data().is_empty(), MAP)
        | flag(is_concatenation(set), CONCATENATION)
}

/// The kernel need only be told where the parts are ranges; otherwise a key is a key.
fn is_concatenation(set: Set) -> bool {
    set.is_interval() && set.key().len() > 1
}

fn put_parts(w: &mut Writer, key: &[Field]) {
    for &field in key {
        let len = u32::try_from(element::len(field)).expect("a few bytes");
        w.nest(attr::LIST_ELEM, |w| w.be32(attr::PART_LEN, len));
    }
}

fn len(fields: &[Field]) -> u32 {
    u32::try_from(element::padded(fields)).expect("a few bytes")
}

/// How `nft` calls the type, with six bits for each part. The kernel only keeps the number for it.
fn datatype(fields: &[Field]) -> u32 {
    fields.iter().fold(0, |whole, field| {
        let part = match field {
            Field::Family => 2,
            Field::Address4 => 7,
            Field::Address6 => 8,
            Field::Mac => 9,
            Field::Protocol => 12,
            Field::Port => 13,
            Field::Link => 41,
        };
        whole << 6 | part
    })
}

/// A note that `nft` leaves for itself: the byte order of the keys, and of what they lead to.
fn note(set: Set) -> Vec<u8> {
    const KEY: u8 = 0;
    const DATA: u8 = 1;
    let note = |of: u8, fields: &[Field]| [&[of, 4][..], &byte_order(fields).to_ne_bytes()].concat();
    let mut notes = note(KEY, set.key());
    if !set.data().is_empty() {
        notes.extend(note(DATA, set.data()));
    }
    notes
}

fn byte_order(fields: &[Field]) -> u32 {
    const NONE: u32 = 0;
    const HOST: u32 = 1;
    const NETWORK: u32 = 2;
    match fields {
        [Field::Link | Field::Family | Field::Protocol] => HOST,
        [Field::Mac | Field::Address4 | Field::Address6 | Field::Port] => NETWORK,
        _ => NONE,
    }
}

/// A set without a name of its own, which lives and dies with the rule that follows.
pub(super) fn put_neighbour_types(batch: &mut Batch<'_>, table: Table, id: u32) {
    batch.op(table, What::AddRulesSet, kind::NEW_SET, flag::CREATE, |w| {
        w.text(attr::NAME, OWN_SET);
        w.be32(attr::FLAGS, ANONYMOUS | CONSTANT);
        w.be32(attr::KEY_TYPE, ICMPV6_TYPE);
        w.be32(attr::KEY_LEN, 1);
        w.be32(attr::ID, id);
    });
    batch.op(table, What::FillRulesSet, kind::NEW_ELEMENT, flag::CREATE, |w| {
        w.text(attr::ELEMENTS_SET, OWN_SET);
        w.be32(attr::ELEMENTS_SET_ID, id);
        w.nest(attr::ELEMENTS_LIST, |w| NEIGHBOUR_TYPES.iter().for_each(|&t| element::put_key(w, &[t])));
    });
}
