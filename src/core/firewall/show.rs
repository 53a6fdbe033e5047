//! Elements and rules as `nft` would print them.

use std::fmt;

use super::{Element, Match, Rule, Set, Verdict};
use crate::family::Family;
use crate::port::At;

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = self.set().name();
        match self {
            Element::Network(link)
            | Element::Internal(link)
            | Element::Strict(link)
            | Element::Guarded(link) => write!(f, "{set} {{ {link} }}"),
            Element::Within(link) | Element::Apart(link) => write!(f, "{set} {{ {link} . {link} }}"),
            Element::Open(family, link) | Element::Routed(family, link) => {
                write!(f, "{set} {{ {} . {link} }}", nfproto(*family))
            }
            Element::Trusted { from, to } => write!(f, "{set} {{ {from} . {to} }}"),
            Element::Masquerade(net) => write!(f, "{set} {{ {net} }}"),
            Element::Reachable { address, protocol, port } => {
                write!(f, "{set} {{ {address} . {protocol} . {port} }}")
            }
            Element::Shut { at: At::One(address), protocol, port } => {
                write!(f, "{set} {{ {address} . {protocol} . {port} }}")
            }
            Element::Shut { at, protocol, port } => {
                let family = at.families().first().map_or("", |family| nfproto(*family));
                write!(f, "{set} {{ {family} . {protocol} . {port} }}")
            }
            Element::Port { at: At::One(address), protocol, port, to, to_port } => {
                write!(f, "{set} {{ {address} . {protocol} . {port} : {to} . {to_port} }}")
            }
            Element::Port { at: At::Everywhere | At::All(_), protocol, port, to, to_port } => {
                write!(f, "{set} {{ {protocol} . {port} : {to} . {to_port} }}")
            }
            Element::Span { at: At::One(address), protocol, ports, to } => {
                write!(f, "{set} {{ {address} . {protocol} . {ports} : {to} }}")
            }
            Element::Span { at: At::Everywhere | At::All(_), protocol, ports, to } => {
                let any = if to.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
                write!(f, "{set} {{ {any} . {protocol} . {ports} : {to} }}")
            }
            Element::Source { port, mac, address } => write!(f, "{set} {{ {port} . {mac} . {address} }}"),
        }
    }
}

fn nfproto(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Match::From(set) => write!(f, "iifname @{}", set.name()),
            Match::NotFrom(set) => write!(f, "iifname != @{}", set.name()),
            Match::To(set) => write!(f, "oifname @{}", set.name()),
            Match::NotTo(set) => write!(f, "oifname != @{}", set.name()),
            Match::Between(set) => write!(f, "iifname . oifname @{}", set.name()),
            Match::FamilyTo(set) => write!(f, "meta nfproto . oifname @{}", set.name()),
            Match::Source4(set) => write!(f, "ip saddr @{}", set.name()),
            Match::Source6(set) => write!(f, "ip6 saddr @{}", set.name()),
            Match::Service4(set) => write!(f, "ip daddr . meta l4proto . th dport @{}", set.name()),
            Match::Service6(set) => write!(f, "ip6 daddr . meta l4proto . th dport @{}", set.name()),
            Match::FamilyPort(set) => write!(f, "meta nfproto . meta l4proto . th dport @{}", set.name()),
            Match::FromOutside => write!(f, "iifname != \"lo\""),
            Match::FromLoopback6 => write!(f, "ip6 saddr ::1"),
            Match::SourceBehind(set) => write!(f, "fib saddr oifname @{}", set.name()),
            Match::FromNowhere => write!(f, "iif 0"),
            Match::FromOthers => write!(f, "fib saddr type != local"),
            Match::FromLoopback4 => write!(f, "ip saddr 127.0.0.0/8"),
            Match::ToLoopback4 => write!(f, "ip daddr 127.0.0.0/8"),
            Match::ToLoopback6 => write!(f, "ip6 daddr ::1"),
            Match::ToLinkLocal6 => write!(f, "ip6 daddr fe80::/10"),
            Match::ToHost => write!(f, "fib daddr type local"),
            Match::Established => write!(f, "ct state established,related"),
            Match::Published => write!(f, "ct status dnat"),
            Match::NeighbourDiscovery => {
                write!(f, "icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }}")
            }
            Match::Icmp4 => write!(f, "meta l4proto icmp"),
            Match::Icmp6 => write!(f, "meta l4proto ipv6-icmp"),
            Match::Icmp6Type(number) => write!(f, "icmpv6 type {number}"),
            Match::Tagged => write!(f, "vlan id != 0"),
            Match::TaggedOutside => write!(f, "ether type 8021ad"),
            Match::UdpFrom4(port) => write!(f, "meta protocol ip udp sport {port}"),
            Match::UdpFrom6(port) => write!(f, "meta protocol ip6 udp sport {port}"),
            Match::Sender4(set) => write!(f, "iifname . ether saddr . ip saddr @{}", set.name()),
            Match::Sender6(set) => write!(f, "iifname . ether saddr . ip6 saddr @{}", set.name()),
            Match::ArpSender(set) => write!(f, "iifname . ether saddr . arp saddr ip @{}", set.name()),
            Match::ArpClaim(set) => write!(f, "iifname . arp saddr ether . arp saddr ip @{}", set.name()),
            Match::ForeignTarget(set) => {
                write!(f, "iifname . ether saddr . icmpv6 taddr != @{}", set.name())
            }
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.when.iter().try_for_each(|m| write!(f, "{m} "))?;
        match self.then {
            Verdict::Accept => write!(f, "accept"),
            Verdict::Drop => write!(f, "drop"),
            Verdict::Masquerade => write!(f, "masquerade"),
            Verdict::Jump(chain) => write!(f, "jump {chain}"),
            Verdict::Translate(set) => match set {
                Set::Anywhere4 => write!(f, "dnat ip to meta l4proto . th dport map @{}", set.name()),
                Set::Anywhere6 => write!(f, "dnat ip6 to meta l4proto . th dport map @{}", set.name()),
                Set::Here4 | Set::Spans4 => {
                    write!(f, "dnat ip to ip daddr . meta l4proto . th dport map @{}", set.name())
                }
                Set::Here6 | Set::Spans6 => {
                    write!(f, "dnat ip6 to ip6 daddr . meta l4proto . th dport map @{}", set.name())
                }
                mere => write!(f, "dnat to @{}", mere.name()),
            },
        }
    }
}
