//! Which chains of others, on the forward hook, drop new connections to or from the members of our networks.
//! It is said that one drops only where every rule on the way to that drop was understood.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bowline_core::firewall::Element;
use bowline_core::name::LinkName;
use bowline_core::{Code, Error, Result};
use nix::ifaddrs::{InterfaceAddress, getifaddrs};

use super::packet::{Card, Packet};
use super::ruleset::{Base, Family, Table};
use super::walk::{self, Drop};
use super::{legacy, ruleset, tool, uplink};
use crate::sysctl;

/// A chain of another firewall that drops what our table accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Obstacle {
    /// Family and name, such as `ip filter`.
    pub(crate) table: String,
    /// The chain on the forward hook.
    pub(crate) chain: String,
    /// Docker, ufw, …, as far as names tell.
    pub(crate) tool: Option<String>,
    pub(crate) by: By,
    pub(crate) certainty: Certainty,
    /// What is dropped.
    pub(crate) ways: BTreeSet<Way>,
    /// Commands to paste, which let that pass.
    pub(crate) fix: String,
}

/// What in the chain drops.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum By {
    /// No rule decided before the chain's end.
    Policy,
    /// A rule of this chain or of one that it jumps to, counted from 1.
    Rule { chain: String, position: usize, rejects: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Certainty {
    Drops,
    /// A rule before it has conditions that are not understood here, and may let some of it pass.
    MayDrop,
}

/// New connections of one kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Way {
    pub(crate) bridge: LinkName,
    pub(crate) traffic: Traffic,
    /// The card of a default route, by which it enters or leaves the host. None where the host has none: then it is a
    /// card which no rule names.
    pub(crate) uplink: Option<LinkName>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Traffic {
    /// From outside to a published port.
    Published,
    /// From outside to a member's own address, as on `open` and `routed` networks.
    Direct,
    /// From a member to the outside.
    Outgoing,
}

/// The chains of others on the forward hook of the calling thread's namespace that drop a new connection between the
/// outside and members behind these bridges, of the kinds that our own table lets pass. `ours` are its elements, which
/// are looked at only where somebody drops anything.
pub(crate) fn obstacles(
    bridges: &[LinkName],
    ours: impl FnOnce() -> Result<BTreeSet<Element>>,
) -> Result<Vec<Obstacle>> {
    if bridges.is_empty() {
        return Ok(Vec::new());
    }
    let uplinks = uplink::all(bridges)?;
    let mut tables = ruleset::read()?;
    tables.extend(legacy::read()?);
    let pairs = pairs(bridges, &uplinks)?;
    let chains = tables.iter().flat_map(|table| table.forward.iter().map(move |base| (table, base)));
    let found: Vec<Found<'_>> = chains.flat_map(|(table, base)| in_chain(table, base, &pairs)).collect();
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let ours = ours()?;
    Ok(found.into_iter().filter_map(|found| found.only_what_is_let_in(&ours)).collect())
}

/// A bridge and what it has to do with outside.
struct Pair<'a> {
    bridge: &'a LinkName,
    uplink: Option<&'a LinkName>,
    /// A network without IPv4 has no such address on its bridge.
    has_ipv4: bool,
    /// A network without IPv6 has it switched off on its bridge.
    has_ipv6: bool,
}

fn pairs<'a>(bridges: &'a [LinkName], uplinks: &'a [LinkName]) -> Result<Vec<Pair<'a>>> {
    let outside: Vec<Option<&LinkName>> =
        if uplinks.is_empty() { vec![None] } else { uplinks.iter().map(Some).collect() };
    let with_ipv4 = with_ipv4()?;
    let mut pairs = Vec::new();
    for bridge in bridges {
        let off = sysctl::get(&format!("net/ipv6/conf/{bridge}/disable_ipv6"))?;
        let has_ipv6 = off.as_deref() != Some("1");
        let has_ipv4 = with_ipv4.contains(bridge.as_str());
        pairs.extend(outside.iter().map(|&uplink| Pair { bridge, uplink, has_ipv4, has_ipv6 }));
    }
    Ok(pairs)
}

/// The names of the cards that have an IPv4 address.
fn with_ipv4() -> Result<BTreeSet<String>> {
    let all = getifaddrs().map_err(|e| Error::new(Code::Kernel, "list the host's addresses").because(e))?;
    let has = |address: &InterfaceAddress| {
        address.address.as_ref().is_some_and(|address| address.as_sockaddr_in().is_some())
    };
    Ok(all.filter(has).map(|address| address.interface_name).collect())
}

/// Each with the family that it is of.
type Ways = BTreeSet<(Family, Way)>;

/// What in a chain drops, and what it drops, whether anybody wants that to pass or not.
struct Found<'a> {
    table: &'a Table,
    base: &'a Base,
    drop: Option<Drop>,
    certainty: Certainty,
    ways: Ways,
}

impl Found<'_> {
    /// None where all of it is nothing that our own table lets pass.
    fn only_what_is_let_in(self, ours: &BTreeSet<Element>) -> Option<Obstacle> {
        let Found { table, base, drop, certainty, ways } = self;
        let let_in = ways.into_iter().filter(|(family, way)| is_let_in(*family, way, ours));
        let ways: BTreeSet<Way> = let_in.map(|(_, way)| way).collect();
        if ways.is_empty() {
            return None;
        }
        Some(Obstacle {
            table: table.to_string(),
            chain: base.name.clone(),
            tool: tool::of(table, drop.as_ref()),
            fix: tool::fix(table, base, &ways),
            by: drop.map_or(By::Policy, By::from),
            certainty,
            ways,
        })
    }
}

/// Whether our table lets such connections pass.
fn is_let_in(family: Family, way: &Way, ours: &BTreeSet<Element>) -> bool {
    use bowline_core::family::Family as Version;
    let version = match family {
        Family::Ip6 => Version::V6,
        Family::Ip | Family::Inet => Version::V4,
    };
    let bridge = || way.bridge.clone();
    if ours.contains(&Element::Internal(bridge())) {
        return false;
    }
    let is_routed = ours.contains(&Element::Routed(version, bridge()));
    match way.traffic {
        Traffic::Outgoing => true,
        // Nothing is translated on the way to a routed network: its published ports are reached directly.
        Traffic::Published => !is_routed,
        Traffic::Direct => {
            let from = |uplink: &LinkName| Element::Trusted { from: uplink.clone(), to: bridge() };
            let is_trusted = way.uplink.as_ref().is_some_and(|uplink| ours.contains(&from(uplink)));
            is_routed || is_trusted || ours.contains(&Element::Open(version, bridge()))
        }
    }
}

fn in_chain<'a>(table: &'a Table, base: &'a Base, pairs: &[Pair<'_>]) -> Vec<Found<'a>> {
    let mut drops: BTreeMap<(Option<Drop>, Certainty), Ways> = BTreeMap::new();
    for pair in pairs {
        for (traffic, packet) in packets(table.family, pair) {
            let Some(fate) = walk::fate(table, base, &packet) else { continue };
            let certainty = if fate.certain { Certainty::Drops } else { Certainty::MayDrop };
            let way = Way { bridge: pair.bridge.clone(), traffic, uplink: pair.uplink.cloned() };
            drops.entry((fate.by, certainty)).or_default().insert((packet.family, way));
        }
    }
    let found = |((drop, certainty), ways)| Found { table, base, drop, certainty, ways };
    drops.into_iter().map(found).collect()
}

/// The first packets of every kind of connection between the two, of each family that both the table and the bridge see.
fn packets(family: Family, pair: &Pair<'_>) -> Vec<(Traffic, Packet)> {
    let of_bridge = [(Family::Ip, pair.has_ipv4), (Family::Ip6, pair.has_ipv6)];
    let families =
        of_bridge.into_iter().filter(|(of, has)| *has && (family == Family::Inet || family == *of));
    let inside = Card::of(pair.bridge.as_str());
    let outside = Card::of(pair.uplink.map_or("", LinkName::as_str));
    let mut packets = Vec::new();
    for (family, _) in families {
        for traffic in [Traffic::Published, Traffic::Direct, Traffic::Outgoing] {
            let (enters, leaves) = match traffic {
                Traffic::Published | Traffic::Direct => (outside.clone(), inside.clone()),
                Traffic::Outgoing => (inside.clone(), outside.clone()),
            };
            let published = traffic == Traffic::Published;
            packets.push((traffic, Packet { family, enters, leaves, published }));
        }
    }
    packets
}

impl From<Drop> for By {
    fn from(drop: Drop) -> By {
        By::Rule { chain: drop.chain, position: drop.position, rejects: drop.rejects }
    }
}

impl Obstacle {
    /// `drops published ports of bl-a from eth0, by its policy`
    pub(crate) fn how(&self) -> String {
        let rejects = matches!(self.by, By::Rule { rejects: true, .. });
        let verb = match (self.certainty, rejects) {
            (Certainty::Drops, false) => "drops",
            (Certainty::Drops, true) => "rejects",
            (Certainty::MayDrop, false) => "may drop",
            (Certainty::MayDrop, true) => "may reject",
        };
        let ways: Vec<String> = self.ways.iter().map(Way::to_string).collect();
        let by = match &self.by {
            By::Policy => "by its policy".to_string(),
            By::Rule { chain, position, .. } => format!("by rule {position} of {chain}"),
        };
        format!("{verb} {}, {by}", ways.join(", "))
    }
}

impl fmt::Display for Obstacle {
    /// `ip filter FORWARD (Docker) drops published ports of bl-a from eth0, by its policy`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tool = self.tool.as_ref().map(|tool| format!(" ({tool})")).unwrap_or_default();
        write!(f, "{} {}{tool} {}", self.table, self.chain, self.how())
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outside = self.uplink.as_ref().map_or("outside", LinkName::as_str);
        match self.traffic {
            Traffic::Published => write!(f, "published ports of {} from {outside}", self.bridge),
            Traffic::Direct => write!(f, "direct connections to {} from {outside}", self.bridge),
            Traffic::Outgoing => write!(f, "connections from {} to {outside}", self.bridge),
        }
    }
}
