//! What of ours is in a namespace. A stranger's links, addresses and routes are not in the answer, wherever they are.

use std::collections::HashMap;

use bowline_core::Result;
use bowline_core::kernel::Scope;
use bowline_core::medium::Whose;
use bowline_core::name::LinkName;
use bowline_core::place::Place;
use bowline_core::rate::Rate;
use bowline_core::state::{Addr, Kind, Link, LinkKey, Master, Route, State, Vlan};

use super::host::Host;
use super::mark::{Mark, PROTOCOL};
use super::stems::Spot;
use super::{Kernel, address, link, port, rate};
use crate::netlink::Netlink;
use crate::netlink::wire::{LinkKind, SeenAddress, SeenLink};
use crate::nft::Nft;
use crate::sysctl;

/// The sysctls of a host that are read back.
const OF_HOST: &[&str] = &["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"];
/// Those of a bridge.
const OF_BRIDGE: &[(&str, &str)] =
    &[("ipv4", "route_localnet"), ("ipv6", "accept_dad"), ("ipv6", "accept_ra"), ("ipv6", "disable_ipv6")];
/// Those of a card of the host's own on a network.
const OF_SHIM: &[(&str, &str)] =
    &[("ipv4", "rp_filter"), ("ipv6", "accept_dad"), ("ipv6", "accept_ra"), ("ipv6", "disable_ipv6")];
/// Those of a link that leads nowhere, at both ends.
const OF_ISLAND: &[(&str, &str)] = &[("ipv6", "disable_ipv6")];
/// Those of a card.
const OF_CARD: &[(&str, &str)] = &[
    ("ipv4", "arp_notify"),
    ("ipv6", "accept_dad"),
    ("ipv6", "accept_ra"),
    ("ipv6", "addr_gen_mode"),
    ("ipv6", "disable_ipv6"),
];

pub(super) fn observe(kernel: &Kernel, scope: &Scope) -> Result<State> {
    match scope {
        Scope::Host(place) => {
            let host = kernel.host_at(*place).ok_or_else(|| super::apply::closed(*place))?;
            of_host(&host)
        }
        Scope::Card(place, name) => of_card(kernel, *place, name),
        Scope::Sysctls(place, paths) => {
            let (place, paths) = (*place, paths.clone());
            kernel.guest_at(place)?.run(move |_| {
                let mut state = State::default();
                paths.into_iter().try_for_each(|path| read(&mut state, place, path))?;
                Ok(state)
            })
        }
        Scope::Port(key) => {
            let host = kernel.host_at(key.place).ok_or_else(|| super::apply::closed(key.place))?;
            of_port(&host, key)
        }
    }
}

/// A port, or where there is no link of that name, the stem of a card that hangs on one.
fn of_port(host: &Host, key: &LinkKey) -> Result<State> {
    let mut state = State::default();
    host.route(|route| {
        let Some(seen) = link::find(route, &key.name)? else {
            let mut stems = host.stems().seen(route, host)?;
            stems.retain(|(name, ..)| *name == key.name);
            let parent = stems.first().and_then(|(.., seen)| seen.peer);
            let parent = parent.map(|index| link::find_by_index(route, index)).transpose()?.flatten();
            let parent = parent.and_then(|parent| Some((parent.index, parent.name?)));
            let names = parent.iter().map(|(index, name)| (*index, name)).collect();
            add_stems(&mut state, key.place, stems, &names);
            return Ok(());
        };
        let Some(kind) = seen.our_kind(|_| None) else { return Ok(()) };
        let on = seen.master.map(|index| link::find_by_index(route, index)).transpose()?.flatten();
        let rate = rate::of(route, std::slice::from_ref(&seen))?.get(&seen.index).copied();
        let vlans =
            if on.as_ref().is_some_and(|on| on.filters_vlans) { port::vlans(route)? } else { Vec::new() };
        let vlan = vlans.iter().find(|its| its.index == seen.index).map(|its| its.vlan).unwrap_or_default();
        let link = as_link(&seen, kind, rate);
        state.links.insert(key.clone(), Link { master: on.as_ref().and_then(as_master), vlan, ..link });
        Ok(())
    })?;
    Ok(state)
}

fn of_host(host: &Host) -> Result<State> {
    let place = host.place();
    let (links, addresses, rates, stems, vlans) = host.route(|route| {
        let links = link::all(route, Some)?;
        let rates = rate::of(route, &links)?;
        let vlans =
            if links.iter().any(|seen| seen.filters_vlans) { port::vlans(route)? } else { Vec::new() };
        Ok((links, address::all_addresses(route)?, rates, host.stems().seen(route, host)?, vlans))
    })?;

    let mut state = State::default();
    let names: HashMap<u32, &LinkName> =
        links.iter().filter_map(|seen| seen.name.as_ref().map(|name| (seen.index, name))).collect();
    let by_index: HashMap<u32, &SeenLink> = links.iter().map(|seen| (seen.index, seen)).collect();
    let vlans: HashMap<u32, Vlan> = vlans.iter().map(|seen| (seen.index, seen.vlan)).collect();
    let mut ours = HashMap::new();
    for seen in &links {
        let named = |index| names.get(&index).map(|&name| name.clone());
        let (Some(kind), Some(name)) = (seen.our_kind(named), seen.name.clone()) else { continue };
        let on = seen.master.and_then(|index| by_index.get(&index));
        let filtered = seen.filters_vlans || on.is_some_and(|bridge| bridge.filters_vlans);
        let vlan = vlans.get(&seen.index).filter(|_| filtered).copied().unwrap_or_default();
        let key = LinkKey::new(place, name);
        ours.insert(seen.index, key.clone());
        let link = as_link(seen, kind, rates.get(&seen.index).copied());
        state.links.insert(key, Link { master: on.and_then(|on| as_master(on)), vlan, ..link });
    }
    add_addresses(&mut state, &addresses, &ours);
    add_stems(&mut state, place, stems, &names);
    add_routes(&mut state, host, &ours)?;

    host.enter(|| {
        OF_HOST.iter().try_for_each(|path| read(&mut state, place, (*path).to_string()))?;
        for (key, link) in state.links.clone() {
            match link.kind {
                Kind::Bridge => read_all(&mut state, &key, OF_BRIDGE)?,
                Kind::Shim { .. } => read_all(&mut state, &key, OF_SHIM)?,
                Kind::Island { end } => {
                    read_all(&mut state, &LinkKey::new(place, end), OF_ISLAND)?;
                    read_all(&mut state, &key, OF_ISLAND)?;
                }
                Kind::Loopback
                | Kind::Port { .. }
                | Kind::Stem { .. }
                | Kind::Card { .. }
                | Kind::Vlan { .. } => (),
            }
        }
        Ok(())
    })?;

    state.held.extend(host.held(|held| Ok(held.all().map(|port| (place, *port)).collect::<Vec<_>>()))?);
    if let Some(elements) = host.nft(Nft::elements)? {
        state.frames.insert(place);
        state.elements.extend(elements.into_iter().map(|element| (place, element)));
    }
    Ok(state)
}

/// Of a card in a container the host's side knows only what it hangs on.
fn add_stems(
    state: &mut State,
    place: Place,
    stems: Vec<(LinkName, Spot, SeenLink)>,
    names: &HashMap<u32, &LinkName>,
) {
    for (name, Spot { owner, card, .. }, seen) in stems {
        let parent = seen.peer.and_then(|index| names.get(&index)).map(|&name| name.clone());
        let (Some(parent), Some(how)) = (parent, seen.how) else { continue };
        let kind = Kind::Stem { card, parent, how };
        let link = Link { owner, up: true, ..Link::new(kind, Link::ANY_MTU) };
        state.links.insert(LinkKey::new(place, name), link);
    }
}

/// Ours lead over our own cards only; where there is none, the host's routes are not read.
fn add_routes(state: &mut State, host: &Host, ours: &HashMap<u32, LinkKey>) -> Result<()> {
    let shims: HashMap<u32, LinkKey> = ours
        .iter()
        .filter(|(_, key)| state.links.get(key).is_some_and(|link| matches!(link.kind, Kind::Shim { .. })))
        .map(|(index, key)| (*index, key.clone()))
        .collect();
    if shims.is_empty() {
        return Ok(());
    }
    let routes = host.route(|route| {
        address::all_routes(route, |found| {
            let key = found.links.first().filter(|_| found.links.len() == 1).and_then(|i| shims.get(i))?;
            let ours = found.protocol == PROTOCOL;
            ours.then(|| Route { link: key.clone(), to: found.to, via: found.via, terms: found.terms })
        })
    })?;
    state.routes.extend(routes);
    Ok(())
}

fn of_card(kernel: &Kernel, place: Place, name: &LinkName) -> Result<State> {
    let name = name.clone();
    let resolvers = kernel.resolvers.clone();
    let (mut state, card) = kernel.guest_at(place)?.run(move |route| {
        let mut found = inside(route, place, name)?;
        if resolvers.is_made(place)? {
            found.0.resolvers.insert(place);
        }
        Ok(found)
    })?;
    let Some(Found { key, seen, rate }) = card else { return Ok(state) };
    // A card is known by its port, whose mark says where the card is. A stranger's link of that name is not ours.
    match port_of(kernel, &key, &seen)? {
        Some(port) => {
            state.links.insert(key, as_link(&seen, Kind::Card { port }, rate));
            Ok(state)
        }
        None => {
            let loopback = LinkKey::loopback(place);
            state.links.retain(|key, _| *key == loopback);
            state.addrs.clear();
            state.routes.clear();
            state.sysctls.clear();
            Ok(state)
        }
    }
}

/// A link of a container that may be a card of ours.
struct Found {
    key: LinkKey,
    seen: SeenLink,
    rate: Option<Rate>,
}

/// What the container's own namespace tells: everything but whose card it is.
fn inside(route: &mut Netlink, place: Place, name: LinkName) -> Result<(State, Option<Found>)> {
    let mut state = State::default();
    let loopback = LinkKey::loopback(place);
    if let Some(seen) = link::find(route, &loopback.name)? {
        state.links.insert(loopback, as_link(&seen, Kind::Loopback, None));
    }
    let of_ours = |seen: &SeenLink| seen.kind == LinkKind::Veth || seen.hangs();
    let Some(seen) = link::find(route, &name)?.filter(of_ours) else {
        return Ok((state, None));
    };
    let key = LinkKey::new(place, name);
    let addresses = address::all_addresses(route)?;
    add_addresses(&mut state, &addresses, &HashMap::from([(seen.index, key.clone())]));
    state.routes.extend(address::all_routes(route, |found| {
        let ours = found.protocol == PROTOCOL && found.links == [seen.index];
        ours.then(|| Route { link: key.clone(), to: found.to, via: found.via, terms: found.terms })
    })?);
    read_all(&mut state, &key, OF_CARD)?;
    let rate = rate::of(route, std::slice::from_ref(&seen))?.get(&seen.index).copied();
    Ok((state, Some(Found { key, seen, rate })))
}

fn port_of(kernel: &Kernel, card: &LinkKey, seen: &SeenLink) -> Result<Option<LinkKey>> {
    if seen.hangs() {
        let host = |key: &LinkKey| kernel.host_at(key.place).is_some();
        return Ok(match seen.mark() {
            Some(Mark::Stem { key, card: marked, .. }) if marked == *card && host(&key) => Some(key),
            Some(_) | None => None,
        });
    }
    let Some(peer) = seen.peer else { return Ok(None) };
    for host in kernel.hosts() {
        let Some(port) = host.route(|route| link::find_by_index(route, peer))? else { continue };
        match (port.mark(), port.name) {
            (Some(Mark::Port(_, marked)), Some(name)) if marked == *card => {
                return Ok(Some(LinkKey::new(host.place(), name)));
            }
            (Some(_) | None, _) => (),
        }
    }
    Ok(None)
}

/// A card is known by its port, and bears no name of its owner's.
fn is_owned(kind: &Kind) -> bool {
    !matches!(kind, Kind::Card { .. } | Kind::Loopback)
}

fn as_master(seen: &SeenLink) -> Option<Master> {
    let whose = if seen.is_ours() { Whose::Ours } else { Whose::Theirs };
    seen.name.clone().map(|name| Master { name, whose })
}

fn as_link(seen: &SeenLink, kind: Kind, rate: Option<Rate>) -> Link {
    Link {
        owner: seen.mark().and_then(|mark| mark.owner()).filter(|_| is_owned(&kind)),
        kind,
        mtu: seen.mtu,
        up: seen.up,
        mac: seen.mac,
        master: None,
        vlan: Vlan::None,
        isolated: seen.isolated,
        hairpin: seen.hairpin,
        gso: seen.gso(),
        rate,
    }
}

fn add_addresses(state: &mut State, addresses: &[SeenAddress], links: &HashMap<u32, LinkKey>) {
    for seen in addresses.iter().filter(|seen| address::is_ours(seen)) {
        if let Some(link) = links.get(&seen.index) {
            state.addrs.insert(Addr { link: link.clone(), net: seen.net });
        }
    }
}

fn read_all(state: &mut State, key: &LinkKey, leaves: &[(&str, &str)]) -> Result<()> {
    leaves.iter().try_for_each(|(family, leaf)| {
        read(state, key.place, format!("net/{family}/conf/{}/{leaf}", key.name))
    })
}

fn read(state: &mut State, place: Place, path: String) -> Result<()> {
    if let Some(value) = sysctl::get(&path)? {
        state.set_sysctl(place, path, value);
    }
    Ok(())
}
