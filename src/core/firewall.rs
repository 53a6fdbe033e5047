//! The firewall: two tables called `bowline`, whose chains and rules never change, and the elements of their sets and
//! maps, which do. [`FRAME`] is all of the rules.
//!
//! Work per packet and per change does not grow with the number of networks, endpoints and ports: every rule asks a set.
//! The tables drop only what enters or leaves one of our bridges, and what claims to be the host's own loopback; what
//! they let pass, other tables may still drop.

mod element;
mod frame;
pub mod hooks;
mod show;

pub use element::{Element, Slot};
pub use frame::{FRAME, USER_FORWARD, USER_PREROUTING};

pub const TABLE: &str = "bowline";

/// The two tables: one sees packets that the host routes or gets, the other frames that enter its bridges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    Inet,
    Bridge,
}

impl Table {
    pub const ALL: &'static [Table] = &[Table::Inet, Table::Bridge];
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Set {
    Networks,
    Within,
    Apart,
    Internal,
    Strict,
    Open,
    Routed,
    Trusted,
    Masquerade4,
    Masquerade6,
    Reachable4,
    Reachable6,
    Shut,
    ShutHere4,
    ShutHere6,
    Here4,
    Here6,
    Anywhere4,
    Anywhere6,
    Spans4,
    Spans6,
    Guarded,
    Sources4,
    Sources6,
}

impl Set {
    pub const ALL: &'static [Set] = &[
        Set::Networks,
        Set::Within,
        Set::Apart,
        Set::Internal,
        Set::Strict,
        Set::Open,
        Set::Routed,
        Set::Trusted,
        Set::Masquerade4,
        Set::Masquerade6,
        Set::Reachable4,
        Set::Reachable6,
        Set::Shut,
        Set::ShutHere4,
        Set::ShutHere6,
        Set::Here4,
        Set::Here6,
        Set::Anywhere4,
        Set::Anywhere6,
        Set::Spans4,
        Set::Spans6,
        Set::Guarded,
        Set::Sources4,
        Set::Sources6,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Set::Networks => "networks",
            Set::Within => "within",
            Set::Apart => "apart",
            Set::Internal => "internal",
            Set::Strict => "strict",
            Set::Open => "open",
            Set::Routed => "routed",
            Set::Trusted => "trusted",
            Set::Masquerade4 => "masquerade4",
            Set::Masquerade6 => "masquerade6",
            Set::Reachable4 => "reachable4",
            Set::Reachable6 => "reachable6",
            Set::Shut => "shut",
            Set::ShutHere4 => "shut-here4",
            Set::ShutHere6 => "shut-here6",
            Set::Here4 => "here4",
            Set::Here6 => "here6",
            Set::Anywhere4 => "anywhere4",
            Set::Anywhere6 => "anywhere6",
            Set::Spans4 => "spans4",
            Set::Spans6 => "spans6",
            Set::Guarded => "guarded",
            Set::Sources4 => "sources4",
            Set::Sources6 => "sources6",
        }
    }

    pub fn table(self) -> Table {
        match self {
            Set::Guarded | Set::Sources4 | Set::Sources6 => Table::Bridge,
            Set::Networks
            | Set::Within
            | Set::Apart
            | Set::Internal
            | Set::Strict
            | Set::Open
            | Set::Routed
            | Set::Trusted
            | Set::Masquerade4
            | Set::Masquerade6
            | Set::Reachable4
            | Set::Reachable6
            | Set::Shut
            | Set::ShutHere4
            | Set::ShutHere6
            | Set::Here4
            | Set::Here6
            | Set::Anywhere4
            | Set::Anywhere6
            | Set::Spans4
            | Set::Spans6 => Table::Inet,
        }
    }

    /// The parts of a key.
    pub fn key(self) -> &'static [Field] {
        use Field::{Address4, Address6, Family, Link, Mac, Port, Protocol};
        match self {
            Set::Networks | Set::Internal | Set::Strict | Set::Guarded => &[Link],
            Set::Within | Set::Apart | Set::Trusted => &[Link, Link],
            Set::Open | Set::Routed => &[Family, Link],
            Set::Masquerade4 => &[Address4],
            Set::Masquerade6 => &[Address6],
            Set::Shut => &[Family, Protocol, Port],
            Set::Anywhere4 | Set::Anywhere6 => &[Protocol, Port],
            Set::Reachable4 | Set::ShutHere4 | Set::Here4 | Set::Spans4 => &[Address4, Protocol, Port],
            Set::Reachable6 | Set::ShutHere6 | Set::Here6 | Set::Spans6 => &[Address6, Protocol, Port],
            Set::Sources4 => &[Link, Mac, Address4],
            Set::Sources6 => &[Link, Mac, Address6],
        }
    }

    /// What a key leads to; nothing in a mere set.
    pub fn data(self) -> &'static [Field] {
        use Field::{Address4, Address6, Port};
        match self {
            Set::Here4 | Set::Anywhere4 => &[Address4, Port],
            Set::Here6 | Set::Anywhere6 => &[Address6, Port],
            Set::Spans4 => &[Address4],
            Set::Spans6 => &[Address6],
            Set::Networks
            | Set::Within
            | Set::Apart
            | Set::Internal
            | Set::Strict
            | Set::Open
            | Set::Routed
            | Set::Trusted
            | Set::Masquerade4
            | Set::Masquerade6
            | Set::Reachable4
            | Set::Reachable6
            | Set::Shut
            | Set::ShutHere4
            | Set::ShutHere6
            | Set::Guarded
            | Set::Sources4
            | Set::Sources6 => &[],
        }
    }

    /// Its keys are ranges.
    pub fn is_interval(self) -> bool {
        matches!(self, Set::Masquerade4 | Set::Masquerade6 | Set::Spans4 | Set::Spans6)
    }
}

/// A part of a set's key, or of what a key leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// A card's name
    Link,
    Mac,
    Address4,
    Address6,
    /// Of IP: 4 or 6, as nftables counts them.
    Family,
    /// Of transport: TCP, UDP, SCTP
    Protocol,
    Port,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    pub table: Table,
    pub name: &'static str,
    /// Where the kernel calls it; None for one that only other chains jump to.
    pub base: Option<Base>,
    pub rules: &'static [Rule],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    pub kind: ChainKind,
    pub hook: Hook,
    pub priority: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainKind {
    Filter,
    Nat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    Prerouting,
    Input,
    Forward,
    Output,
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
    /// `iifname != @set`
    NotFrom(Set),
    /// `oifname @set`
    To(Set),
    /// `oifname != @set`
    NotTo(Set),
    /// `iifname . oifname @set`
    Between(Set),
    /// `meta nfproto . oifname @set`
    FamilyTo(Set),
    /// `ip saddr @set`
    Source4(Set),
    /// `ip6 saddr @set`
    Source6(Set),
    /// `ip daddr . meta l4proto . th dport @set`
    Service4(Set),
    /// `ip6 daddr . meta l4proto . th dport @set`
    Service6(Set),
    /// `meta nfproto . meta l4proto . th dport @set`
    FamilyPort(Set),
    /// `iifname != "lo"`
    FromOutside,
    /// `fib saddr oifname @set`: what claims to come from there has another way back
    SourceBehind(Set),
    /// `iif 0`: from no card, in postrouting: from the host itself, or from one port of a bridge to another
    FromNowhere,
    /// `fib saddr type != local`: from none of the host's own addresses
    FromOthers,
    /// `ip saddr 127.0.0.0/8`
    FromLoopback4,
    /// `ip6 saddr ::1`
    FromLoopback6,
    /// `ip daddr 127.0.0.0/8`
    ToLoopback4,
    /// `ip6 daddr ::1`
    ToLoopback6,
    /// `ip6 daddr fe80::/10`
    ToLinkLocal6,
    /// `fib daddr type local`: one of the host's own addresses
    ToHost,
    /// `ct state established,related`
    Established,
    /// `ct status dnat`: the connection came by a published port
    Published,
    /// `icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert }`
    NeighbourDiscovery,
    /// `meta l4proto icmp`
    Icmp4,
    /// `meta l4proto ipv6-icmp`
    Icmp6,
    /// `icmpv6 type N`
    Icmp6Type(u8),
    /// `meta protocol ip udp sport N`
    UdpFrom4(u16),
    /// `meta protocol ip6 udp sport N`
    UdpFrom6(u16),
    /// `vlan id != 0`: it claims to be of a VLAN (IEEE 802.1Q), and not to have a priority only
    Tagged,
    /// `ether type 8021ad`: with the tag of a provider (IEEE 802.1ad)
    TaggedOutside,
    /// `iifname . ether saddr . ip saddr @set`
    Sender4(Set),
    /// `iifname . ether saddr . ip6 saddr @set`
    Sender6(Set),
    /// `iifname . ether saddr . arp saddr ip @set`
    ArpSender(Set),
    /// `iifname . arp saddr ether . arp saddr ip @set`
    ArpClaim(Set),
    /// `iifname . ether saddr . icmpv6 taddr != @set`: a neighbour is told where an address is that is not the sender's
    ForeignTarget(Set),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Accept,
    Drop,
    Masquerade,
    /// To another chain of the table, and back where that gives no verdict.
    Jump(&'static str),
    /// To the address and port that the map says for this packet; goes on where it says nothing.
    Translate(Set),
}
