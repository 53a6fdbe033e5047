//! The firewall: one table, `inet bowline`, whose chains and rules never change, and the elements of its sets, which do.
//!
//! Work per packet and per change does not grow with the number of networks: every rule asks a set.
//! The table drops only what enters or leaves one of our bridges; what it lets pass, other tables may still drop.

use std::fmt;

use ipnetwork::IpNetwork;

use crate::name::LinkName;

pub const TABLE: &str = "bowline";

/// Something that is in one of the table's sets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Element {
    /// The bridge of a network of ours.
    Network(LinkName),
    /// Its members may reach each other through the gateway too.
    Within(LinkName),
    /// Its members may not reach each other, not by way of the gateway either.
    Apart(LinkName),
    /// Nothing passes between this bridge and any other card, nor from it to the host.
    Internal(LinkName),
    /// Everybody may open connections to its members, published or not.
    Open(LinkName),
    /// No other network of ours may open a connection to its members, published or not.
    Strict(LinkName),
    /// Sources that leave under the host's address.
    Masquerade(IpNetwork),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Set {
    Networks,
    Within,
    Apart,
    Internal,
    Open,
    Strict,
    Masquerade4,
    Masquerade6,
}

impl Set {
    pub const ALL: &'static [Set] = &[
        Set::Networks,
        Set::Within,
        Set::Apart,
        Set::Internal,
        Set::Open,
        Set::Strict,
        Set::Masquerade4,
        Set::Masquerade6,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Set::Networks => "networks",
            Set::Within => "within",
            Set::Apart => "apart",
            Set::Internal => "internal",
            Set::Open => "open",
            Set::Strict => "strict",
            Set::Masquerade4 => "masquerade4",
            Set::Masquerade6 => "masquerade6",
        }
    }

    pub fn holds(self) -> Holds {
        match self {
            Set::Networks | Set::Internal | Set::Open | Set::Strict => Holds::Link,
            Set::Within | Set::Apart => Holds::LinkPair,
            Set::Masquerade4 => Holds::Prefix4,
            Set::Masquerade6 => Holds::Prefix6,
        }
    }
}

/// The type of a set's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// `ifname`
    Link,
    /// `ifname . ifname`: the card a packet came by and the one it leaves by
    LinkPair,
    /// `ipv4_addr; flags interval`
    Prefix4,
    /// `ipv6_addr; flags interval`
    Prefix6,
}

impl Element {
    pub fn set(&self) -> Set {
        match self {
            Element::Network(_) => Set::Networks,
            Element::Within(_) => Set::Within,
            Element::Apart(_) => Set::Apart,
            Element::Internal(_) => Set::Internal,
            Element::Open(_) => Set::Open,
            Element::Strict(_) => Set::Strict,
            Element::Masquerade(IpNetwork::V4(_)) => Set::Masquerade4,
            Element::Masquerade(IpNetwork::V6(_)) => Set::Masquerade6,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    pub name: &'static str,
    pub kind: ChainKind,
    pub hook: Hook,
    pub priority: i32,
    pub rules: &'static [Rule],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainKind {
    Filter,
    Nat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    Input,
    Forward,
    Postrouting,
}

/// All matches hold, then the verdict is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    pub when: &'static [Match],
    pub then: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// `iifname @set`
    From(Set),
    /// `oifname @set`
    To(Set),
    /// `oifname != @set`
    NotTo(Set),
    /// `iifname . oifname @set`
    Between(Set),
    /// `ip saddr @set`
    Source4(Set),
    /// `ip6 saddr @set`
    Source6(Set),
    /// `ct state established,related`
    Established,
    /// `ct status dnat`: the connection came by a published port
    Published,
    /// `icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert }`
    NeighbourDiscovery,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Accept,
    Drop,
    Masquerade,
}

const FORWARD: &[Rule] = &[
    Rule { when: &[Match::Between(Set::Within)], then: Verdict::Accept },
    Rule { when: &[Match::Between(Set::Apart)], then: Verdict::Drop },
    Rule { when: &[Match::From(Set::Internal)], then: Verdict::Drop },
    Rule { when: &[Match::To(Set::Internal)], then: Verdict::Drop },
    Rule { when: &[Match::Established], then: Verdict::Accept },
    Rule { when: &[Match::From(Set::Networks), Match::To(Set::Strict)], then: Verdict::Drop },
    Rule { when: &[Match::To(Set::Networks), Match::Published], then: Verdict::Accept },
    Rule { when: &[Match::To(Set::Open)], then: Verdict::Accept },
    Rule { when: &[Match::To(Set::Networks)], then: Verdict::Drop },
];

const INPUT: &[Rule] = &[
    Rule { when: &[Match::From(Set::Internal), Match::Established], then: Verdict::Accept },
    Rule { when: &[Match::From(Set::Internal), Match::NeighbourDiscovery], then: Verdict::Accept },
    Rule { when: &[Match::From(Set::Internal)], then: Verdict::Drop },
];

const POSTROUTING: &[Rule] = &[
    Rule {
        when: &[Match::Source4(Set::Masquerade4), Match::NotTo(Set::Networks)],
        then: Verdict::Masquerade,
    },
    Rule {
        when: &[Match::Source6(Set::Masquerade6), Match::NotTo(Set::Networks)],
        then: Verdict::Masquerade,
    },
];

/// The constant part: the same on every host, whatever networks it has.
pub const FRAME: &[Chain] = &[
    Chain { name: "forward", kind: ChainKind::Filter, hook: Hook::Forward, priority: 0, rules: FORWARD },
    Chain { name: "input", kind: ChainKind::Filter, hook: Hook::Input, priority: 0, rules: INPUT },
    Chain {
        name: "postrouting",
        kind: ChainKind::Nat,
        hook: Hook::Postrouting,
        priority: 100,
        rules: POSTROUTING,
    },
];

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = self.set().name();
        match self {
            Element::Within(link) | Element::Apart(link) => write!(f, "{set} {{ {link} . {link} }}"),
            Element::Network(link)
            | Element::Internal(link)
            | Element::Open(link)
            | Element::Strict(link) => {
                write!(f, "{set} {{ {link} }}")
            }
            Element::Masquerade(net) => write!(f, "{set} {{ {net} }}"),
        }
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Match::From(set) => write!(f, "iifname @{}", set.name()),
            Match::To(set) => write!(f, "oifname @{}", set.name()),
            Match::NotTo(set) => write!(f, "oifname != @{}", set.name()),
            Match::Between(set) => write!(f, "iifname . oifname @{}", set.name()),
            Match::Source4(set) => write!(f, "ip saddr @{}", set.name()),
            Match::Source6(set) => write!(f, "ip6 saddr @{}", set.name()),
            Match::Established => write!(f, "ct state established,related"),
            Match::Published => write!(f, "ct status dnat"),
            Match::NeighbourDiscovery => {
                write!(f, "icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }}")
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
        }
    }
}
