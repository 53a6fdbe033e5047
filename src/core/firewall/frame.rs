//! [`FRAME`]: every chain and every rule, the same on every host, whatever networks it has.

use super::Match::{
    ArpClaim, ArpSender, Between, Established, FamilyPort, FamilyTo, ForeignTarget, From, FromLoopback4,
    FromLoopback6, FromNowhere, FromOthers, FromOutside, Icmp4, Icmp6, Icmp6Type, NeighbourDiscovery,
    NotFrom, NotTo, Published, Sender4, Sender6, Service4, Service6, Source4, Source6, SourceBehind, Tagged,
    TaggedOutside, To, ToHost, ToLinkLocal6, ToLoopback4, ToLoopback6, UdpFrom4, UdpFrom6,
};
use super::Verdict::{Accept, Drop, Jump, Masquerade, Translate};
use super::{Base, Chain, ChainKind, Hook, Match, Rule, Set, Table, Verdict};

/// The administrator's own chains: we jump to them first, and never write to them but what the administrator's files say.
pub const USER_FORWARD: &str = "user-forward";
pub const USER_PREROUTING: &str = "user-prerouting";

const PUBLISH: &str = "publish";

pub const FRAME: &[Chain] = &[
    regular(USER_FORWARD, &[]),
    regular(USER_PREROUTING, &[]),
    regular(PUBLISH, TRANSLATIONS),
    base("prerouting", ChainKind::Filter, Hook::Prerouting, -150, PREROUTING),
    base("arriving", ChainKind::Nat, Hook::Prerouting, -100, ARRIVING),
    base("output", ChainKind::Nat, Hook::Output, -100, OUTPUT),
    base("forward", ChainKind::Filter, Hook::Forward, 0, FORWARD),
    base("input", ChainKind::Filter, Hook::Input, 0, INPUT),
    base("postrouting", ChainKind::Nat, Hook::Postrouting, 100, POSTROUTING),
    bridge("prerouting", Hook::Prerouting, -300, PORTS),
];

/// Before any translation: nothing from outside is the host's loopback, nor for it. Answers to the host's loopback pass,
/// for they are still addressed to the bridge here. This is what makes `route_localnet` on a bridge harmless.
const PREROUTING: &[Rule] = &[
    rule(&[ToLoopback4, FromOutside], Drop),
    rule(&[FromLoopback4, FromOutside], Drop),
    rule(&[ToLoopback6, FromOutside], Drop),
    rule(&[FromLoopback6, FromOutside], Drop),
    rule(&[], Jump(USER_PREROUTING)),
];

const ARRIVING: &[Rule] = &[rule(&[ToHost], Jump(PUBLISH))];

/// The host itself, by any of its addresses. From ::1 no packet may leave the host, so that is relayed.
const OUTPUT: &[Rule] = &[rule(&[ToLoopback6], Accept), rule(&[ToHost], Jump(PUBLISH))];

/// One address before all, one port before a range. A link-local address is no sender beyond its link: relayed.
const TRANSLATIONS: &[Rule] = &[
    rule(&[], Translate(Set::Here4)),
    rule(&[], Translate(Set::Anywhere4)),
    rule(&[], Translate(Set::Spans4)),
    rule(&[ToLinkLocal6], Accept),
    rule(&[], Translate(Set::Here6)),
    rule(&[], Translate(Set::Anywhere6)),
    rule(&[], Translate(Set::Spans6)),
];

const FORWARD: &[Rule] = &[
    rule(&[], Jump(USER_FORWARD)),
    rule(&[Between(Set::Within)], Accept),
    rule(&[Between(Set::Apart)], Drop),
    rule(&[From(Set::Internal)], Drop),
    rule(&[To(Set::Internal)], Drop),
    // Before the answers: who guesses the ports of a member's flow must not get into it.
    rule(&[NotFrom(Set::Networks), SourceBehind(Set::Networks)], Drop),
    rule(&[Established], Accept),
    rule(&[Between(Set::Trusted)], Accept),
    rule(&[From(Set::Networks), To(Set::Strict)], Drop),
    rule(&[To(Set::Networks), Published], Accept),
    rule(&[FamilyTo(Set::Open)], Accept),
    rule(&[FamilyTo(Set::Routed), Icmp4], Accept),
    rule(&[FamilyTo(Set::Routed), Icmp6], Accept),
    rule(&[Service4(Set::Reachable4)], Accept),
    rule(&[Service6(Set::Reachable6)], Accept),
    rule(&[To(Set::Networks)], Drop),
];

const INPUT: &[Rule] = &[
    rule(&[From(Set::Networks), FamilyPort(Set::Shut)], Drop),
    rule(&[From(Set::Networks), Service4(Set::ShutHere4)], Drop),
    rule(&[From(Set::Networks), Service6(Set::ShutHere6)], Drop),
    rule(&[From(Set::Internal), Established], Accept),
    rule(&[From(Set::Internal), NeighbourDiscovery], Accept),
    rule(&[From(Set::Internal)], Drop),
];

/// A member that reaches a neighbour's published port must get its answer by the host; all others are seen as they are.
/// Where `br_netfilter` is loaded, its packets do not leave the bridge, and no card is known that they came by.
const POSTROUTING: &[Rule] = &[
    rule(&[Source4(Set::Masquerade4), NotTo(Set::Networks)], Masquerade),
    rule(&[Source6(Set::Masquerade6), NotTo(Set::Networks)], Masquerade),
    rule(&[Published, Between(Set::Within)], Masquerade),
    rule(&[Published, FromNowhere, FromOthers, To(Set::Networks)], Masquerade),
    rule(&[FromLoopback4, To(Set::Networks)], Masquerade),
];

const DHCP_SERVER: u16 = 67;
const DHCP6_SERVER: u16 = 547;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;

/// What enters a bridge by a guarded port says the truth about its sender, and does not play router or DHCP server.
const PORTS: &[Rule] = &[
    rule(&[NotFrom(Set::Guarded)], Accept),
    // It would go on with its tag where the bridge is not ours, and leads to a trunk.
    rule(&[Tagged], Drop),
    rule(&[TaggedOutside], Drop),
    rule(&[UdpFrom4(DHCP_SERVER)], Drop),
    rule(&[Sender4(Set::Sources4)], Accept),
    rule(&[ArpSender(Set::Sources4), ArpClaim(Set::Sources4)], Accept),
    rule(&[Icmp6Type(ROUTER_ADVERTISEMENT)], Drop),
    rule(&[Icmp6Type(REDIRECT)], Drop),
    rule(&[UdpFrom6(DHCP6_SERVER)], Drop),
    rule(&[Icmp6Type(NEIGHBOUR_ADVERTISEMENT), ForeignTarget(Set::Sources6)], Drop),
    rule(&[Sender6(Set::Sources6)], Accept),
    rule(&[], Drop),
];

const fn rule(when: &'static [Match], then: Verdict) -> Rule {
    Rule { when, then }
}

const fn regular(name: &'static str, rules: &'static [Rule]) -> Chain {
    Chain { table: Table::Inet, name, base: None, rules }
}

const fn base(
    name: &'static str,
    kind: ChainKind,
    hook: Hook,
    priority: i32,
    rules: &'static [Rule],
) -> Chain {
    Chain { table: Table::Inet, name, base: Some(Base { kind, hook, priority }), rules }
}

const fn bridge(name: &'static str, hook: Hook, priority: i32, rules: &'static [Rule]) -> Chain {
    let base = Some(Base { kind: ChainKind::Filter, hook, priority });
    Chain { table: Table::Bridge, name, base, rules }
}

#[cfg(test)]
mod unit {
    use super::*;
    use crate::firewall::Field;

    /// T-16 of docs/testing.md: an address can be claimed by anybody, so it counts only with the card that it came by or
    /// leaves by.
    #[test]
    fn no_sender_is_trusted_for_its_address_alone() {
        let mut trusting = 0;
        for chain in FRAME {
            for rule in
                chain.rules.iter().filter(|rule| rule.then != Drop && rule.when.iter().any(names_a_sender))
            {
                trusting += 1;
                assert!(rule.when.iter().any(pins_a_card), "{}: {rule}", chain.name);
            }
        }
        assert!(trusting > 5, "only {trusting} rules go by the sender's address");
    }

    fn names_a_sender(condition: &Match) -> bool {
        match condition {
            Source4(_) | Source6(_) | FromLoopback4 | FromLoopback6 | FromOthers | SourceBehind(_) => true,
            Sender4(_) | Sender6(_) | ArpSender(_) | ArpClaim(_) => true,
            From(_) | NotFrom(_) | To(_) | NotTo(_) | Between(_) | FamilyTo(_) | FromOutside
            | FromNowhere => false,
            Service4(_) | Service6(_) | FamilyPort(_) | ForeignTarget(_) => false,
            ToHost | ToLoopback4 | ToLoopback6 | ToLinkLocal6 | Established | Published => false,
            NeighbourDiscovery | Icmp4 | Icmp6 | Icmp6Type(_) | UdpFrom4(_) | UdpFrom6(_) => false,
            Tagged | TaggedOutside => false,
        }
    }

    fn pins_a_card(condition: &Match) -> bool {
        match condition {
            From(_) | NotFrom(_) | To(_) | NotTo(_) | Between(_) | FamilyTo(_) | FromOutside
            | FromNowhere => true,
            Sender4(set) | Sender6(set) | ArpSender(set) | ArpClaim(set) => set.key().contains(&Field::Link),
            Source4(_) | Source6(_) | FromLoopback4 | FromLoopback6 | FromOthers | SourceBehind(_) => false,
            Service4(_) | Service6(_) | FamilyPort(_) | ForeignTarget(_) => false,
            ToHost | ToLoopback4 | ToLoopback6 | ToLinkLocal6 | Established | Published => false,
            NeighbourDiscovery | Icmp4 | Icmp6 | Icmp6Type(_) | UdpFrom4(_) | UdpFrom6(_) => false,
            Tagged | TaggedOutside => false,
        }
    }
}
