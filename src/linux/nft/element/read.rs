//! Elements out of bytes. What we would not have written so is none.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bowline_core::family::Family;
use bowline_core::firewall::{Element, Set};
use bowline_core::name::LinkName;
use bowline_core::port::{At, Ports, Protocol};
use ipnetwork::IpNetwork;

use super::parts::{Part, parts};
use super::put::ends;
use super::{INTERVAL_END, attr};
use crate::nft::wire;

/// One entry of a set, as the kernel shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::nft) struct Seen {
    pub(super) key: Vec<u8>,
    pub(super) last: Option<Vec<u8>>,
    pub(super) data: Vec<u8>,
    /// Its key is the first beyond an interval.
    pub(super) is_end: bool,
}

/// The entries in a list of elements. None where one has no key.
pub(in crate::nft) fn seen(list: &[u8]) -> Option<Vec<Seen>> {
    wire::attrs(list)
        .map(|entry| {
            let value = |kind| wire::find(wire::find(entry.value, kind)?, attr::VALUE).map(<[u8]>::to_vec);
            Some(Seen {
                key: value(attr::KEY)?,
                last: value(attr::KEY_END),
                data: value(attr::DATA).unwrap_or_default(),
                is_end: wire::find_be32(entry.value, attr::FLAGS).unwrap_or(0) & INTERVAL_END != 0,
            })
        })
        .collect()
}

/// The elements that a set's entries stand for. None where one is not of our making.
pub(in crate::nft) fn read(set: Set, entries: &[Seen]) -> Option<BTreeSet<Element>> {
    match set {
        Set::Masquerade4 | Set::Masquerade6 => prefixes(set, entries),
        Set::Networks
        | Set::Within
        | Set::Apart
        | Set::Internal
        | Set::Strict
        | Set::Open
        | Set::Routed
        | Set::Trusted
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
        | Set::Spans6
        | Set::Guarded
        | Set::Sources4
        | Set::Sources6 => entries.iter().map(|entry| element(set, entry)).collect(),
    }
}

fn element(set: Set, entry: &Seen) -> Option<Element> {
    let key = parts(set.key(), &entry.key)?;
    let data = parts(set.data(), &entry.data)?;
    Some(match set {
        Set::Networks => Element::Network(link(&key)?),
        Set::Internal => Element::Internal(link(&key)?),
        Set::Strict => Element::Strict(link(&key)?),
        Set::Guarded => Element::Guarded(link(&key)?),
        Set::Within => Element::Within(twice(&key)?),
        Set::Apart => Element::Apart(twice(&key)?),
        Set::Trusted => {
            let (from, to) = pair(&key)?;
            Element::Trusted { from, to }
        }
        Set::Open => {
            let (family, link) = family(&key)?;
            Element::Open(family, link)
        }
        Set::Routed => {
            let (family, link) = family(&key)?;
            Element::Routed(family, link)
        }
        Set::Reachable4 | Set::Reachable6 => {
            let (address, protocol, port) = service(&key)?;
            Element::Reachable { address, protocol, port }
        }
        Set::Shut => {
            let [Part::Family(family), Part::Protocol(protocol), Part::Port(port)] = key[..] else {
                return None;
            };
            Element::Shut { at: At::All(family), protocol, port }
        }
        Set::ShutHere4 | Set::ShutHere6 => {
            let (address, protocol, port) = service(&key)?;
            Element::Shut { at: At::One(address), protocol, port }
        }
        Set::Here4 | Set::Here6 => {
            let (address, protocol, port) = service(&key)?;
            let (to, to_port) = target(&data)?;
            Element::Port { at: At::One(address), protocol, port, to, to_port }
        }
        Set::Anywhere4 | Set::Anywhere6 => {
            let (protocol, port) = port(&key)?;
            let (to, to_port) = target(&data)?;
            Element::Port { at: At::All(Family::of(to)), protocol, port, to, to_port }
        }
        Set::Spans4 | Set::Spans6 => {
            let last = parts(set.key(), entry.last.as_deref().unwrap_or(&entry.key))?;
            span(service(&key)?, service(&last)?, address(&data)?)?
        }
        Set::Sources4 | Set::Sources6 => {
            let [Part::Link(port), Part::Mac(mac), Part::Address(address)] = &key[..] else { return None };
            Element::Source { port: port.clone(), mac: *mac, address: *address }
        }
        // Two entries are one element there.
        Set::Masquerade4 | Set::Masquerade6 => return None,
    })
}

fn link(key: &[Part]) -> Option<LinkName> {
    let [Part::Link(link)] = key else { return None };
    Some(link.clone())
}

fn pair(key: &[Part]) -> Option<(LinkName, LinkName)> {
    let [Part::Link(from), Part::Link(to)] = key else { return None };
    Some((from.clone(), to.clone()))
}

fn twice(key: &[Part]) -> Option<LinkName> {
    let (from, to) = pair(key)?;
    (from == to).then_some(from)
}

fn family(key: &[Part]) -> Option<(Family, LinkName)> {
    let [Part::Family(family), Part::Link(link)] = key else { return None };
    Some((*family, link.clone()))
}

fn port(key: &[Part]) -> Option<(Protocol, u16)> {
    let [Part::Protocol(protocol), Part::Port(port)] = *key else { return None };
    Some((protocol, port))
}

fn service(key: &[Part]) -> Option<(IpAddr, Protocol, u16)> {
    let [Part::Address(address), Part::Protocol(protocol), Part::Port(port)] = *key else { return None };
    Some((address, protocol, port))
}

fn target(data: &[Part]) -> Option<(IpAddr, u16)> {
    let [Part::Address(to), Part::Port(port)] = *data else { return None };
    Some((to, port))
}

fn address(data: &[Part]) -> Option<IpAddr> {
    let [Part::Address(to)] = *data else { return None };
    Some(to)
}

/// Of all of the host's addresses or of one, of one protocol.
fn span(first: (IpAddr, Protocol, u16), last: (IpAddr, Protocol, u16), to: IpAddr) -> Option<Element> {
    let all = At::All(Family::of(to));
    let at = match (first.0, last.0) {
        (low, high) if low == high => At::One(low),
        both if both == ends(all, to) => all,
        _ => return None,
    };
    let protocol = (first.1 == last.1).then_some(first.1)?;
    let ports = Ports::new(first.2, last.2).ok()?;
    Some(Element::Span { at, protocol, ports, to })
}

fn prefixes(set: Set, entries: &[Seen]) -> Option<BTreeSet<Element>> {
    let mark = |entry: &Seen| {
        let [Part::Address(address)] = parts(set.key(), &entry.key)?[..] else { return None };
        let number = match address {
            IpAddr::V4(address) => address.to_bits().into(),
            IpAddr::V6(address) => address.to_bits(),
        };
        Some((number, !entry.is_end))
    };
    let mut marks = entries.iter().map(mark).collect::<Option<Vec<(u128, bool)>>>()?;
    // Where two intervals touch, one ends at the number that the other begins with: ends first.
    marks.sort_unstable();

    let width = if set == Set::Masquerade4 { 32 } else { 128 };
    let mut found = BTreeSet::new();
    let mut open: Option<u128> = None;
    for (mark, begins) in marks {
        if let Some(first) = open.take() {
            found.insert(prefix(first, mark.checked_sub(1)?, width)?);
        }
        open = begins.then_some(mark);
    }
    if let Some(first) = open {
        found.insert(prefix(first, u128::MAX >> (128 - width), width)?);
    }
    Some(found)
}

/// The prefix that covers exactly these addresses, if one does.
fn prefix(first: u128, last: u128, width: u8) -> Option<Element> {
    let hosts = first ^ last;
    let host_bits = u8::try_from(hosts.count_ones()).ok()?;
    let is_prefix = hosts.trailing_ones() == u32::from(host_bits) && first & hosts == 0;
    if !is_prefix {
        return None;
    }
    let addr = match width {
        32 => IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(first).ok()?)),
        _ => IpAddr::V6(Ipv6Addr::from_bits(first)),
    };
    IpNetwork::new(addr, width - host_bits).ok().map(Element::Masquerade)
}
