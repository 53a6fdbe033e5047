//! Elements into bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bowline_core::firewall::Element;
use bowline_core::name::LinkName;
use bowline_core::port::At;
use ipnetwork::IpNetwork;

use super::parts::{Part, bytes};
use super::{INTERVAL_END, attr};
use crate::nft::wire::Writer;

/// An element as it is written. Of one set, prefixes are in the order of their first addresses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::nft) struct Written {
    /// The first of its keys.
    key: Vec<u8>,
    end: End,
    /// What the key leads to; nothing in a mere set.
    data: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// There is one key only.
    None,
    /// In an entry of its own: the first key beyond. An interval up to the very last has none.
    Beyond(Option<Vec<u8>>),
    /// Beside the first: the last of its keys, in each of their parts.
    Last(Vec<u8>),
}

pub(in crate::nft) fn written(element: &Element) -> Written {
    let (key, end) = key(element);
    Written { key, end, data: data(element) }
}

fn key(element: &Element) -> (Vec<u8>, End) {
    let link = |link: &LinkName| Part::Link(link.clone());
    let parts: &[Part] = match element {
        Element::Network(card) | Element::Internal(card) | Element::Strict(card) | Element::Guarded(card) => {
            &[link(card)]
        }
        Element::Within(card) | Element::Apart(card) => &[link(card), link(card)],
        Element::Open(family, card) | Element::Routed(family, card) => &[Part::Family(*family), link(card)],
        Element::Trusted { from, to } => &[link(from), link(to)],
        Element::Masquerade(net) => return prefix(*net),
        Element::Reachable { address, protocol, port } => {
            &[Part::Address(*address), Part::Protocol(*protocol), Part::Port(*port)]
        }
        Element::Shut { at: At::One(address), protocol, port } => {
            &[Part::Address(*address), Part::Protocol(*protocol), Part::Port(*port)]
        }
        Element::Shut { at, protocol, port } => {
            let family = at.families().first().copied().expect("an element's address is of a family");
            &[Part::Family(family), Part::Protocol(*protocol), Part::Port(*port)]
        }
        Element::Port { at: At::Everywhere | At::All(_), protocol, port, .. } => {
            &[Part::Protocol(*protocol), Part::Port(*port)]
        }
        Element::Port { at: At::One(address), protocol, port, .. } => {
            &[Part::Address(*address), Part::Protocol(*protocol), Part::Port(*port)]
        }
        Element::Span { at, protocol, ports, to } => {
            let (low, high) = ends(*at, *to);
            let key =
                |address, port| bytes(&[Part::Address(address), Part::Protocol(*protocol), Part::Port(port)]);
            return (key(low, ports.first()), End::Last(key(high, ports.last())));
        }
        Element::Source { port, mac, address } => &[link(port), Part::Mac(*mac), Part::Address(*address)],
    };
    (bytes(parts), End::None)
}

fn prefix(net: IpNetwork) -> (Vec<u8>, End) {
    let beyond = match net {
        IpNetwork::V4(net) => net.broadcast().to_bits().checked_add(1).map(|end| end.to_be_bytes().to_vec()),
        IpNetwork::V6(net) => net.broadcast().to_bits().checked_add(1).map(|end| end.to_be_bytes().to_vec()),
    };
    (bytes(&[Part::Address(net.network())]), End::Beyond(beyond))
}

/// The first and the last of the host's addresses, of the family of what they lead to.
pub(super) fn ends(at: At, to: IpAddr) -> (IpAddr, IpAddr) {
    match (at, to) {
        (At::One(address), _) => (address, address),
        (At::Everywhere | At::All(_), IpAddr::V4(_)) => {
            (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::BROADCAST.into())
        }
        (At::Everywhere | At::All(_), IpAddr::V6(_)) => {
            (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::from_bits(u128::MAX).into())
        }
    }
}

fn data(element: &Element) -> Vec<u8> {
    match element {
        Element::Port { to, to_port, .. } => bytes(&[Part::Address(*to), Part::Port(*to_port)]),
        Element::Span { to, .. } => bytes(&[Part::Address(*to)]),
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
        | Element::Source { .. } => Vec::new(),
    }
}

/// Writes what makes up an element, to stand in a list of elements.
pub(in crate::nft) fn put(w: &mut Writer, element: &Written) {
    w.nest(attr::LIST_ELEM, |w| {
        put_value(w, attr::KEY, &element.key);
        if let End::Last(last) = &element.end {
            put_value(w, attr::KEY_END, last);
        }
        if !element.data.is_empty() {
            put_value(w, attr::DATA, &element.data);
        }
    });
    if let End::Beyond(Some(beyond)) = &element.end {
        put_end(w, beyond);
    }
}

/// Writes where an interval has ended: the first key beyond it.
pub(in crate::nft) fn put_end(w: &mut Writer, beyond: &[u8]) {
    w.nest(attr::LIST_ELEM, |w| {
        put_value(w, attr::KEY, beyond);
        w.be32(attr::FLAGS, INTERVAL_END);
    });
}

/// Writes the element's place alone, to ask what is there.
pub(in crate::nft) fn sought(w: &mut Writer, element: &Element) {
    let place = Written { data: Vec::new(), ..written(element) };
    put(w, &place);
}

pub(in crate::nft) fn put_key(w: &mut Writer, key: &[u8]) {
    w.nest(attr::LIST_ELEM, |w| put_value(w, attr::KEY, key));
}

fn put_value(w: &mut Writer, kind: u16, value: &[u8]) {
    w.nest(kind, |w| w.attr(attr::VALUE, value));
}
