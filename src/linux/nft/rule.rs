//! A rule as the expressions that the kernel runs: load into registers, compare or look up, give a verdict.
//! They are the ones that `nft` compiles the rule's text to, guards of the packet's family included.

pub(super) mod expression;

use bowline_core::family::Family;
use bowline_core::firewall::{Field, Match, Rule, Set, Table, Verdict};

use super::wire::Writer;
use expression::{Load, Nat};

const CAME_BY_NUMBER: Load = Load::meta(4, 4);
pub(super) const CAME_BY: Load = Load::meta(6, 16);
pub(super) const LEAVES_BY: Load = Load::meta(7, 16);
pub(super) const NFPROTO: Load = Load::meta(15, 1);
pub(super) const TRANSPORT: Load = Load::meta(16, 1);
/// What the frame carries, beneath a VLAN's tag too. What the frame's own header says there would be hidden by a tag of
/// mere priority, which its receiver ignores.
const ETHER_TYPE: Load = Load::meta(1, 2);
/// As it stands in the frame: of a tagged one, that is the tag's.
const FRAME_TYPE: Load = Load::link_header(12, 2);
/// The tag itself: four bits of priority, then the VLAN.
const TAG: Load = Load::link_header(14, 2);

const ETHER_TARGET: Load = Load::link_header(0, 6);
const ETHER_SOURCE: Load = Load::link_header(6, 6);

const SOURCE4: Load = Load::network_header(12, 4);
const TARGET4: Load = Load::network_header(16, 4);
const SOURCE6: Load = Load::network_header(8, 16);
const TARGET6: Load = Load::network_header(24, 16);
const ARP_SOURCE_ETHER: Load = Load::network_header(8, 6);
const ARP_SOURCE4: Load = Load::network_header(14, 4);

const SOURCE_PORT: Load = Load::transport_header(0, 2);
const TARGET_PORT: Load = Load::transport_header(2, 2);
const ICMPV6_TYPE: Load = Load::transport_header(0, 1);
const NEIGHBOUR_TARGET6: Load = Load::transport_header(8, 16);

const ICMP: u8 = 1;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const ETHER_IPV4: u16 = 0x0800;
const ETHER_ARP: u16 = 0x0806;
const ETHER_VLAN: u16 = 0x8100;
const ETHER_OUTER_VLAN: u16 = 0x88a8;
const ETHER_IPV6: u16 = 0x86dd;

pub(super) const CT_STATE: u32 = 0;
pub(super) const CT_STATUS: u32 = 2;
const ESTABLISHED_OR_RELATED: u32 = 0x2 | 0x4;
pub(super) const DESTINATION_CHANGED: u32 = 0x20;

const LOOPBACK: &[u8; 16] = b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// Neighbour solicitation and advertisement.
pub(super) const NEIGHBOUR_TYPES: [u8; 2] = [135, 136];
/// The name of a rule's own set, until the kernel gives it a number.
pub(super) const OWN_SET: &str = "__set%d";

/// Writes the expressions of a rule in that table. `own_set` is the number in this transaction of the set that the rule
/// brings along, where it needs one.
pub(super) fn put(w: &mut Writer, table: Table, rule: &Rule, own_set: u32) {
    let mut compiler = Compiler { w, table, own_set, guards: Vec::new() };
    rule.when.iter().for_each(|&m| compiler.put_match(m));
    compiler.put_verdict(rule.then);
}

/// Whether the rule looks something up in a set of its own.
pub(super) fn needs_own_set(rule: &Rule) -> bool {
    rule.when.contains(&Match::NeighbourDiscovery)
}

struct Compiler<'w> {
    w: &'w mut Writer,
    table: Table,
    own_set: u32,
    /// What the packet was found to be by an earlier match of the rule, and need not be asked again.
    guards: Vec<(Load, Vec<u8>)>,
}

impl Compiler<'_> {
    fn put_match(&mut self, condition: Match) {
        match condition {
            Match::From(set) => self.is_in(set, &[CAME_BY]),
            Match::NotFrom(set) => self.is_not_in(set, &[CAME_BY]),
            Match::NotTo(set) => self.is_not_in(set, &[LEAVES_BY]),
            Match::To(set)
            | Match::FamilyTo(set)
            | Match::Service4(set)
            | Match::Service6(set)
            | Match::FamilyPort(set) => {
                let goes_to = self.goes_to(set);
                self.is_in(set, &goes_to);
            }
            Match::Between(set) => self.is_in(set, &[CAME_BY, LEAVES_BY]),
            Match::Source4(set) => {
                self.family(Family::V4);
                self.is_in(set, &[SOURCE4]);
            }
            Match::Source6(set) => {
                self.family(Family::V6);
                self.is_in(set, &[SOURCE6]);
            }
            Match::FromOutside => {
                expression::load(self.w, &[CAME_BY]);
                expression::differs(self.w, LOOPBACK);
            }
            Match::FromLoopback6 => {
                self.family(Family::V6);
                self.is(SOURCE6, &std::net::Ipv6Addr::LOCALHOST.octets());
            }
            Match::SourceBehind(set) => {
                expression::card_of_source(self.w);
                expression::lookup(self.w, set);
            }
            Match::FromNowhere => self.is(CAME_BY_NUMBER, &[0; 4]),
            Match::FromOthers => expression::source_is_not_local(self.w),
            Match::FromLoopback4 => self.begins_with_127(SOURCE4),
            Match::ToLoopback4 => self.begins_with_127(TARGET4),
            Match::ToLoopback6 => {
                self.family(Family::V6);
                self.is(TARGET6, &std::net::Ipv6Addr::LOCALHOST.octets());
            }
            Match::ToLinkLocal6 => {
                self.family(Family::V6);
                let mask = |begin: [u8; 2]| [&begin[..], &[0; 14]].concat();
                self.is_masked(TARGET6, &mask([0xff, 0xc0]), &mask([0xfe, 0x80]));
            }
            Match::ToHost => expression::target_is_local(self.w),
            Match::Established => expression::ct_has(self.w, CT_STATE, ESTABLISHED_OR_RELATED),
            Match::Published => expression::ct_has(self.w, CT_STATUS, DESTINATION_CHANGED),
            Match::NeighbourDiscovery => {
                self.transport6(ICMPV6);
                expression::load(self.w, &[ICMPV6_TYPE]);
                expression::lookup_own(self.w, OWN_SET, self.own_set);
            }
            Match::Icmp4 => self.guard(TRANSPORT, &[ICMP]),
            Match::Icmp6 => self.guard(TRANSPORT, &[ICMPV6]),
            Match::Icmp6Type(kind) => {
                self.transport6(ICMPV6);
                self.is(ICMPV6_TYPE, &[kind]);
            }
            Match::UdpFrom4(port) => {
                self.family(Family::V4);
                self.guard(TRANSPORT, &[UDP]);
                self.is(SOURCE_PORT, &port.to_be_bytes());
            }
            Match::UdpFrom6(port) => {
                self.transport6(UDP);
                self.is(SOURCE_PORT, &port.to_be_bytes());
            }
            Match::Tagged => {
                self.is(FRAME_TYPE, &ETHER_VLAN.to_be_bytes());
                expression::load(self.w, &[TAG]);
                expression::mask(self.w, &[0x0f, 0xff]);
                expression::differs(self.w, &[0, 0]);
            }
            Match::TaggedOutside => self.is(FRAME_TYPE, &ETHER_OUTER_VLAN.to_be_bytes()),
            Match::Sender4(set) => {
                self.family(Family::V4);
                self.is_in(set, &[CAME_BY, ETHER_SOURCE, SOURCE4]);
            }
            Match::Sender6(set) => {
                self.family(Family::V6);
                self.is_in(set, &[CAME_BY, ETHER_SOURCE, SOURCE6]);
            }
            Match::ArpSender(set) => {
                self.guard(ETHER_TYPE, &ETHER_ARP.to_be_bytes());
                self.is_in(set, &[CAME_BY, ETHER_SOURCE, ARP_SOURCE4]);
            }
            Match::ArpClaim(set) => {
                self.guard(ETHER_TYPE, &ETHER_ARP.to_be_bytes());
                self.is_in(set, &[CAME_BY, ARP_SOURCE_ETHER, ARP_SOURCE4]);
            }
            Match::ForeignTarget(set) => {
                self.transport6(ICMPV6);
                self.is_not_in(set, &[CAME_BY, ETHER_SOURCE, NEIGHBOUR_TARGET6]);
            }
        }
    }

    fn put_verdict(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Drop => expression::drop(self.w),
            Verdict::Accept => expression::accept(self.w),
            Verdict::Jump(chain) => expression::jump(self.w, chain),
            Verdict::Masquerade => expression::masquerade(self.w),
            Verdict::Translate(map) => {
                let goes_to = self.goes_to(map);
                expression::load(self.w, &goes_to);
                expression::lookup_data(self.w, map);
                expression::nat(self.w, &Nat::to(map.data()));
            }
        }
    }

    /// Where the packet goes, in the terms of a set's key.
    fn goes_to(&mut self, set: Set) -> Vec<Load> {
        let mut part = |field: &Field| match field {
            Field::Link => LEAVES_BY,
            Field::Mac => ETHER_TARGET,
            Field::Address4 => {
                self.family(Family::V4);
                TARGET4
            }
            Field::Address6 => {
                self.family(Family::V6);
                TARGET6
            }
            Field::Family => NFPROTO,
            Field::Protocol => TRANSPORT,
            Field::Port => TARGET_PORT,
        };
        set.key().iter().map(&mut part).collect()
    }

    /// Its header is one of that family, before anything in it is looked at.
    fn family(&mut self, family: Family) {
        match (self.table, family) {
            (Table::Inet, Family::V4) => self.guard(NFPROTO, &[2]),
            (Table::Inet, Family::V6) => self.guard(NFPROTO, &[10]),
            (Table::Bridge, Family::V4) => self.guard(ETHER_TYPE, &ETHER_IPV4.to_be_bytes()),
            (Table::Bridge, Family::V6) => self.guard(ETHER_TYPE, &ETHER_IPV6.to_be_bytes()),
        }
    }

    fn transport6(&mut self, protocol: u8) {
        self.family(Family::V6);
        self.guard(TRANSPORT, &[protocol]);
    }

    fn guard(&mut self, load: Load, value: &[u8]) {
        if !self.guards.iter().any(|(l, v)| *l == load && v == value) {
            self.is(load, value);
            self.guards.push((load, value.to_vec()));
        }
    }

    fn is(&mut self, load: Load, value: &[u8]) {
        expression::load(self.w, &[load]);
        expression::equals(self.w, value);
    }

    fn is_masked(&mut self, load: Load, mask: &[u8], value: &[u8]) {
        expression::load(self.w, &[load]);
        expression::mask(self.w, mask);
        expression::equals(self.w, value);
    }

    /// The prefix 127.0.0.0/8 is a whole byte.
    fn begins_with_127(&mut self, address: Load) {
        self.family(Family::V4);
        self.is(address.first_byte(), &[127]);
    }

    fn is_in(&mut self, set: Set, key: &[Load]) {
        expression::load(self.w, key);
        expression::lookup(self.w, set);
    }

    fn is_not_in(&mut self, set: Set, key: &[Load]) {
        expression::load(self.w, key);
        expression::lookup_absence(self.w, set);
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn a_rule_is_a_load_a_lookup_and_a_verdict() {
        let mut w = Writer::default();
        let rule = Rule { when: &[Match::From(Set::Open)], then: Verdict::Drop };
        put(&mut w, Table::Inet, &rule, 0);
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

    #[test]
    fn a_guard_is_asked_for_once() {
        const SENDER: Match = Match::ArpSender(Set::Sources4);
        const CLAIM: Match = Match::ArpClaim(Set::Sources4);
        let len = |when: &'static [Match]| {
            let mut w = Writer::default();
            put(&mut w, Table::Bridge, &Rule { when, then: Verdict::Accept }, 0);
            w.bytes.len()
        };
        let lens: [usize; 4] = [&[][..], &[SENDER], &[CLAIM], &[SENDER, CLAIM]].map(len);
        let mut guard = Writer::default();
        expression::load(&mut guard, &[ETHER_TYPE]);
        expression::equals(&mut guard, &ETHER_ARP.to_be_bytes());
        assert_eq!(lens[3] + lens[0] + guard.bytes.len(), lens[1] + lens[2]);
    }
}
