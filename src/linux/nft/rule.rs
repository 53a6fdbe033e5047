//! A rule as the expressions that the kernel runs: load into a register, compare, give a verdict.
//! They are the ones that `nft` compiles the rule's text to, guards of the inet family included.

use bowline_core::firewall::{Match, Rule, Set, Verdict};

use super::wire::Writer;

const REG_VERDICT: u32 = 0;
const REG_1: u32 = 1;
/// Sixteen bytes after the first, which a card's name fills.
const REG_2: u32 = 2;

const META_IIFNAME: u32 = 6;
const META_OIFNAME: u32 = 7;
const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;

const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
const ESTABLISHED_OR_RELATED: u32 = 0x2 | 0x4;
const DESTINATION_CHANGED: u32 = 0x20;

const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;

const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;
const IPPROTO_ICMPV6: u8 = 58;

const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
const INVERTED: u32 = 1;

/// Neighbour solicitation and advertisement.
pub(super) const NEIGHBOUR_TYPES: [u8; 2] = [135, 136];
/// The name of a rule's own set, until the kernel gives it a number.
pub(super) const OWN_SET: &str = "__set%d";

const LIST_ELEM: u16 = 1;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;

/// Writes the rule's expressions. `own_set` is the number in this transaction of the set that the rule brings along,
/// where it needs one.
pub(super) fn put(w: &mut Writer, rule: &Rule, own_set: u32) {
    rule.when.iter().for_each(|&m| put_match(w, m, own_set));
    match rule.then {
        Verdict::Drop => verdict(w, 0),
        Verdict::Accept => verdict(w, 1),
        Verdict::Masquerade => expression(w, "masq", |_| {}),
    }
}

/// Whether the rule looks something up in a set of its own.
pub(super) fn needs_own_set(rule: &Rule) -> bool {
    rule.when.iter().any(|m| match m {
        Match::NeighbourDiscovery => true,
        Match::From(_)
        | Match::To(_)
        | Match::NotTo(_)
        | Match::Between(_)
        | Match::Source4(_)
        | Match::Source6(_)
        | Match::Established
        | Match::Published => false,
    })
}

fn put_match(w: &mut Writer, condition: Match, own_set: u32) {
    match condition {
        Match::From(set) => {
            meta(w, META_IIFNAME, REG_1);
            lookup(w, set, 0);
        }
        Match::To(set) => {
            meta(w, META_OIFNAME, REG_1);
            lookup(w, set, 0);
        }
        Match::NotTo(set) => {
            meta(w, META_OIFNAME, REG_1);
            lookup(w, set, INVERTED);
        }
        Match::Between(set) => {
            meta(w, META_IIFNAME, REG_1);
            meta(w, META_OIFNAME, REG_2);
            lookup(w, set, 0);
        }
        Match::Source4(set) => {
            meta_is(w, META_NFPROTO, NFPROTO_IPV4);
            payload(w, NETWORK_HEADER, 12, 4);
            lookup(w, set, 0);
        }
        Match::Source6(set) => {
            meta_is(w, META_NFPROTO, NFPROTO_IPV6);
            payload(w, NETWORK_HEADER, 8, 16);
            lookup(w, set, 0);
        }
        Match::Established => ct_has(w, CT_STATE, ESTABLISHED_OR_RELATED),
        Match::Published => ct_has(w, CT_STATUS, DESTINATION_CHANGED),
        Match::NeighbourDiscovery => {
            meta_is(w, META_NFPROTO, NFPROTO_IPV6);
            meta_is(w, META_L4PROTO, IPPROTO_ICMPV6);
            payload(w, TRANSPORT_HEADER, 0, 1);
            expression(w, "lookup", |w| {
                w.text(1, OWN_SET);
                w.be32(2, REG_1);
                w.be32(4, own_set);
            });
        }
    }
}

fn expression(w: &mut Writer, name: &str, data: impl FnOnce(&mut Writer)) {
    w.nest(LIST_ELEM, |w| {
        w.text(1, name);
        w.nest(2, data);
    });
}

fn meta(w: &mut Writer, key: u32, to: u32) {
    expression(w, "meta", |w| {
        w.be32(1, to);
        w.be32(2, key);
    });
}

fn meta_is(w: &mut Writer, key: u32, value: u8) {
    meta(w, key, REG_1);
    compare(w, EQUAL, &[value]);
}

fn payload(w: &mut Writer, base: u32, offset: u32, len: u32) {
    expression(w, "payload", |w| {
        w.be32(1, REG_1);
        w.be32(2, base);
        w.be32(3, offset);
        w.be32(4, len);
    });
}

fn lookup(w: &mut Writer, set: Set, flags: u32) {
    expression(w, "lookup", |w| {
        w.text(1, set.name());
        w.be32(2, REG_1);
        w.be32(5, flags);
    });
}

/// Some of these bits are set. The kernel keeps both fields in host order.
fn ct_has(w: &mut Writer, key: u32, bits: u32) {
    expression(w, "ct", |w| {
        w.be32(1, REG_1);
        w.be32(2, key);
    });
    expression(w, "bitwise", |w| {
        w.be32(1, REG_1);
        w.be32(2, REG_1);
        w.be32(3, 4);
        w.nest(4, |w| w.attr(DATA_VALUE, &bits.to_ne_bytes()));
        w.nest(5, |w| w.attr(DATA_VALUE, &[0; 4]));
    });
    compare(w, NOT_EQUAL, &[0; 4]);
}

fn compare(w: &mut Writer, how: u32, value: &[u8]) {
    expression(w, "cmp", |w| {
        w.be32(1, REG_1);
        w.be32(2, how);
        w.nest(3, |w| w.attr(DATA_VALUE, value));
    });
}

fn verdict(w: &mut Writer, code: u32) {
    expression(w, "immediate", |w| {
        w.be32(1, REG_VERDICT);
        w.nest(2, |w| w.nest(DATA_VERDICT, |w| w.be32(VERDICT_CODE, code)));
    });
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn a_rule_is_a_load_a_lookup_and_a_verdict() {
        let mut w = Writer::default();
        put(&mut w, &Rule { when: &[Match::From(Set::Open)], then: Verdict::Drop }, 0);
        let expected = [
            &[36, 0, 1, 0x80, 9, 0, 1, 0][..],
            b"meta\0\0\0\0",
            &[20, 0, 2, 0x80],
            &[8, 0, 1, 0, 0, 0, 0, 1], // to register 1
            &[8, 0, 2, 0, 0, 0, 0, 6], // the name of the card it came by
            &[48, 0, 1, 0x80, 11, 0, 1, 0],
            b"lookup\0\0",
            &[32, 0, 2, 0x80],
            &[9, 0, 1, 0],
            b"open\0\0\0\0",
            &[8, 0, 2, 0, 0, 0, 0, 1],
            &[8, 0, 5, 0, 0, 0, 0, 0],
            &[48, 0, 1, 0x80, 14, 0, 1, 0],
            b"immediate\0\0\0",
            &[28, 0, 2, 0x80],
            &[8, 0, 1, 0, 0, 0, 0, 0],
            &[16, 0, 2, 0x80, 12, 0, 2, 0x80, 8, 0, 1, 0, 0, 0, 0, 0],
        ];
        assert_eq!(w.bytes, expected.concat());
    }
}
