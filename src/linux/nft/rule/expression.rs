//! The expressions themselves. Those that work on a value find it at the beginning of the registers.

use bowline_core::firewall::{Field, Set};

use crate::nft::wire::Writer;

const LIST_ELEM: u16 = 1;
const NAME: u16 = 1;
const CONTENT: u16 = 2;
pub(in crate::nft) const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;

const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
const INVERTED: u32 = 1;

const DROP: i32 = 0;
const ACCEPT: i32 = 1;
const JUMP: i32 = -3;

/// Something of a packet that a register takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::nft) struct Load {
    from: Source,
    len: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Meta { key: u32 },
    Payload { header: u32, offset: u32 },
}

impl Load {
    pub(in crate::nft) const fn meta(key: u32, len: u32) -> Load {
        Load { from: Source::Meta { key }, len }
    }

    pub(in crate::nft) const fn link_header(offset: u32, len: u32) -> Load {
        Load { from: Source::Payload { header: 0, offset }, len }
    }

    pub(in crate::nft) const fn network_header(offset: u32, len: u32) -> Load {
        Load { from: Source::Payload { header: 1, offset }, len }
    }

    pub(in crate::nft) const fn transport_header(offset: u32, len: u32) -> Load {
        Load { from: Source::Payload { header: 2, offset }, len }
    }

    pub(in crate::nft) const fn first_byte(self) -> Load {
        Load { len: 1, ..self }
    }
}

/// The number of a register, the first four bytes of the registers being word 0. Where the kernel has two numbers for
/// the same bytes, it shows the one for all sixteen.
const fn register(word: u32) -> u32 {
    if word.is_multiple_of(4) { 1 + word / 4 } else { 8 + word }
}

pub(in crate::nft) const FIRST: u32 = register(0);

/// Loads one after the other, each to the next free word.
pub(in crate::nft) fn load(w: &mut Writer, parts: &[Load]) {
    let mut word = 0;
    for part in parts {
        match part.from {
            Source::Meta { key } => expression(w, "meta", |w| {
                w.be32(1, register(word));
                w.be32(2, key);
            }),
            Source::Payload { header, offset } => expression(w, "payload", |w| {
                w.be32(1, register(word));
                w.be32(2, header);
                w.be32(3, offset);
                w.be32(4, part.len);
            }),
        }
        word += part.len.div_ceil(4);
    }
}

/// Whether that is in the set.
pub(in crate::nft) fn lookup(w: &mut Writer, set: Set) {
    lookup_with(w, set, |w| w.be32(5, 0));
}

pub(in crate::nft) fn lookup_absence(w: &mut Writer, set: Set) {
    lookup_with(w, set, |w| w.be32(5, INVERTED));
}

/// What that leads to, in its place.
pub(in crate::nft) fn lookup_data(w: &mut Writer, map: Set) {
    lookup_with(w, map, |w| {
        w.be32(3, FIRST);
        w.be32(5, 0);
    });
}

fn lookup_with(w: &mut Writer, set: Set, how: impl FnOnce(&mut Writer)) {
    expression(w, "lookup", |w| {
        w.text(1, set.name());
        w.be32(2, FIRST);
        how(w);
    });
}

/// Whether that is in a set that the transaction knows by a number.
pub(in crate::nft) fn lookup_own(w: &mut Writer, name: &str, id: u32) {
    expression(w, "lookup", |w| {
        w.text(1, name);
        w.be32(2, FIRST);
        w.be32(4, id);
    });
}

pub(in crate::nft) fn equals(w: &mut Writer, value: &[u8]) {
    compare(w, EQUAL, value);
}

pub(in crate::nft) fn differs(w: &mut Writer, value: &[u8]) {
    compare(w, NOT_EQUAL, value);
}

pub(in crate::nft) fn compare(w: &mut Writer, how: u32, value: &[u8]) {
    expression(w, "cmp", |w| {
        w.be32(1, FIRST);
        w.be32(2, how);
        w.nest(3, |w| w.attr(DATA_VALUE, value));
    });
}

/// Leaves the bits of the mask.
pub(in crate::nft) fn mask(w: &mut Writer, mask: &[u8]) {
    expression(w, "bitwise", |w| {
        w.be32(1, FIRST);
        w.be32(2, FIRST);
        w.be32(3, u32::try_from(mask.len()).expect("a mask is no longer than an address"));
        w.nest(4, |w| w.attr(DATA_VALUE, mask));
        w.nest(5, |w| w.attr(DATA_VALUE, &vec![0; mask.len()]));
    });
}

/// Some of these bits are set. The kernel keeps both fields in host order.
pub(in crate::nft) fn ct_has(w: &mut Writer, key: u32, bits: u32) {
    expression(w, "ct", |w| {
        w.be32(1, FIRST);
        w.be32(2, key);
    });
    mask(w, &bits.to_ne_bytes());
    differs(w, &[0; 4]);
}

/// The packet's destination is an address of the host.
pub(in crate::nft) fn target_is_local(w: &mut Writer) {
    const OF_TARGET: u32 = 2;
    type_of_address(w, OF_TARGET);
    equals(w, &LOCAL.to_ne_bytes());
}

pub(in crate::nft) fn target_is_not_local(w: &mut Writer) {
    const OF_TARGET: u32 = 2;
    type_of_address(w, OF_TARGET);
    differs(w, &LOCAL.to_ne_bytes());
}

pub(in crate::nft) fn source_is_not_local(w: &mut Writer) {
    type_of_address(w, OF_SOURCE);
    differs(w, &LOCAL.to_ne_bytes());
}

/// The name of the card that an answer would leave by.
pub(in crate::nft) fn card_of_source(w: &mut Writer) {
    const NAME_OF_CARD: u32 = 2;
    fib(w, NAME_OF_CARD, OF_SOURCE);
}

/// The type of an address of one of the host's own.
const LOCAL: u32 = 2;

const OF_SOURCE: u32 = 1;

fn type_of_address(w: &mut Writer, whose: u32) {
    const TYPE_OF_ADDRESS: u32 = 3;
    fib(w, TYPE_OF_ADDRESS, whose);
}

fn fib(w: &mut Writer, what: u32, whose: u32) {
    expression(w, "fib", |w| {
        w.be32(1, FIRST);
        w.be32(2, what);
        w.be32(3, whose);
    });
}

/// What a packet's destination becomes: the address at the beginning of the registers, and the port that may follow it.
pub(in crate::nft) struct Nat {
    family: u32,
    port: Option<u32>,
}

impl Nat {
    /// To what is made of these parts.
    pub(in crate::nft) fn to(parts: &[Field]) -> Nat {
        let (family, words) = if parts.contains(&Field::Address6) { (10, 4) } else { (2, 1) };
        Nat { family, port: parts.contains(&Field::Port).then_some(register(words)) }
    }
}

pub(in crate::nft) fn nat(w: &mut Writer, to: &Nat) {
    const OF_DESTINATION: u32 = 1;
    expression(w, "nat", |w| {
        w.be32(1, OF_DESTINATION);
        w.be32(2, to.family);
        w.be32(3, FIRST);
        if let Some(port) = to.port {
            w.be32(5, port);
        }
    });
}

pub(in crate::nft) fn masquerade(w: &mut Writer) {
    expression(w, "masq", |_| {});
}

pub(in crate::nft) fn accept(w: &mut Writer) {
    verdict(w, ACCEPT, None);
}

pub(in crate::nft) fn drop(w: &mut Writer) {
    verdict(w, DROP, None);
}

pub(in crate::nft) fn jump(w: &mut Writer, chain: &str) {
    verdict(w, JUMP, Some(chain));
}

pub(in crate::nft) fn verdict(w: &mut Writer, code: i32, chain: Option<&str>) {
    const REGISTER: u32 = 0;
    expression(w, "immediate", |w| {
        w.be32(1, REGISTER);
        w.nest(2, |w| {
            w.nest(DATA_VERDICT, |w| {
                w.be32(1, code.cast_unsigned());
                if let Some(chain) = chain {
                    w.text(2, chain);
                }
            });
        });
    });
}

/// Puts a value at the beginning of the registers.
pub(in crate::nft) fn value(w: &mut Writer, value: &[u8]) {
    expression(w, "immediate", |w| {
        w.be32(1, FIRST);
        w.nest(2, |w| w.attr(DATA_VALUE, value));
    });
}

/// Writes two bytes from the beginning of the registers into the transport header, and mends the checksum in it.
pub(in crate::nft) fn write_transport(w: &mut Writer, offset: u32, checksum_at: u32) {
    const TRANSPORT_HEADER: u32 = 2;
    const OF_THE_INTERNET: u32 = 1;
    expression(w, "payload", |w| {
        w.be32(5, FIRST);
        w.be32(2, TRANSPORT_HEADER);
        w.be32(3, offset);
        w.be32(4, 2);
        w.be32(6, OF_THE_INTERNET);
        w.be32(7, checksum_at);
        w.be32(8, 0);
    });
}

pub(in crate::nft) fn expression(w: &mut Writer, name: &str, content: impl FnOnce(&mut Writer)) {
    w.nest(LIST_ELEM, |w| {
        w.text(NAME, name);
        w.nest(CONTENT, content);
    });
}
