//! [`Element`]: something that is in one of the tables' sets.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::Set;
use crate::family::Family;
use crate::mac::Mac;
use crate::name::LinkName;
use crate::port::{At, Ports, Protocol};

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
    /// No other network of ours may open a connection to its members, published or not.
    Strict(LinkName),
    /// Everybody may open connections to its members, published or not.
    Open(Family, LinkName),
    /// Its members are reached by their own addresses: everybody may ping them.
    Routed(Family, LinkName),
    /// What comes by this card may open connections to members of that bridge, published or not.
    Trusted { from: LinkName, to: LinkName },
    /// Sources that leave under the host's address.
    Masquerade(IpNetwork),
    /// A port of a member of a routed network that everybody may open connections to.
    Reachable { address: IpAddr, protocol: Protocol, port: u16 },
    /// A port of the host that our networks may not reach on the host itself: it is relayed to one of them that keeps the
    /// others out. `at` is of one family.
    Shut { at: At, protocol: Protocol, port: u16 },
    /// A port of the host that leads to a port of a member. `at` is of one family, the member's.
    Port { at: At, protocol: Protocol, port: u16, to: IpAddr, to_port: u16 },
    /// Ports of the host that lead to the same ports of a member. `at` is of one family, the member's.
    Span { at: At, protocol: Protocol, ports: Ports, to: IpAddr },
    /// What enters the bridge by this port is checked.
    Guarded(LinkName),
    /// A sender that may be behind that port.
    Source { port: LinkName, mac: Mac, address: IpAddr },
}

/// The place that an element takes in its set: two that differ only in what they lead to cannot both be there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    Port(At, Protocol, u16),
    Span(At, Protocol, Ports),
}

impl Element {
    pub fn set(&self) -> Set {
        match self {
            Element::Network(_) => Set::Networks,
            Element::Within(_) => Set::Within,
            Element::Apart(_) => Set::Apart,
            Element::Internal(_) => Set::Internal,
            Element::Strict(_) => Set::Strict,
            Element::Open(..) => Set::Open,
            Element::Routed(..) => Set::Routed,
            Element::Trusted { .. } => Set::Trusted,
            Element::Masquerade(IpNetwork::V4(_)) => Set::Masquerade4,
            Element::Masquerade(IpNetwork::V6(_)) => Set::Masquerade6,
            Element::Reachable { address: IpAddr::V4(_), .. } => Set::Reachable4,
            Element::Reachable { address: IpAddr::V6(_), .. } => Set::Reachable6,
            Element::Shut { at: At::One(IpAddr::V4(_)), .. } => Set::ShutHere4,
            Element::Shut { at: At::One(IpAddr::V6(_)), .. } => Set::ShutHere6,
            Element::Shut { at: At::Everywhere | At::All(_), .. } => Set::Shut,
            Element::Port { at: At::One(_), to: IpAddr::V4(_), .. } => Set::Here4,
            Element::Port { at: At::One(_), to: IpAddr::V6(_), .. } => Set::Here6,
            Element::Port { to: IpAddr::V4(_), .. } => Set::Anywhere4,
            Element::Port { to: IpAddr::V6(_), .. } => Set::Anywhere6,
            Element::Span { to: IpAddr::V4(_), .. } => Set::Spans4,
            Element::Span { to: IpAddr::V6(_), .. } => Set::Spans6,
            Element::Guarded(_) => Set::Guarded,
            Element::Source { address: IpAddr::V4(_), .. } => Set::Sources4,
            Element::Source { address: IpAddr::V6(_), .. } => Set::Sources6,
        }
    }

    /// None for one that leads nowhere, and so is in nobody's way.
    pub fn slot(&self) -> Option<Slot> {
        match *self {
            Element::Port { at, protocol, port, .. } => Some(Slot::Port(at, protocol, port)),
            Element::Span { at, protocol, ports, .. } => Some(Slot::Span(at, protocol, ports)),
            Element::Network(_)
            | Element::Within(_)
            | Element::Apart(_)
            | Element::Internal(_)
            | Element::Strict(_)
            | Element::Open(..)
            | Element::Routed(..)
            | Element::Trusted { .. }
            | Element::Masquerade(_)
            | Element::Reachable { .. }
            | Element::Shut { .. }
            | Element::Guarded(_)
            | Element::Source { .. } => None,
        }
    }
}
