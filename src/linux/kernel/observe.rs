//! What of ours is in a namespace. A stranger's links, addresses and routes are not in the answer, wherever they are.

use std::collections::HashMap;

use bowline_core::Result;
use bowline_core::kernel::Scope;
use bowline_core::name::LinkName;
use bowline_core::place::Place;
use bowline_core::rate::Rate;
use bowline_core::state::{Addr, Kind, Link, LinkKey, Route, State};

use super::host::Host;
use super::mark::{Mark, PROTOCOL};
use super::{Kernel, address, link, rate};
use crate::netlink::Netlink;
use crate::netlink::wire::{LinkKind, SeenAddress, SeenLink};
use crate::nft::Nft;
use crate::sysctl;

/// The sysctls of a host that are read back.
const OF_HOST: &[&str] = &["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"];
/// Those of a bridge.
const OF_BRIDGE: &[(&str, &str)] =
    &[("ipv4", "route_localnet"), ("ipv6", "accept_dad"), ("ipv6", "accept_ra"), ("ipv6", "disable_ipv6")];
/// Those of a card.
const OF_CARD: &[(&str, &str)] =
    &[("ipv6", "accept_dad"), ("ipv6", "accept_ra"), ("ipv6", "addr_gen_mode"), ("ipv6", "disable_ipv6")];

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
            host.route(|route| of_port(route, key))
        }
    }
}

fn of_port(route: &mut Netlink, key: &LinkKey) -> Result<State> {
    let mut state = State::default();
    let Some(seen) = link::find(route, &key.name)? else { return Ok(state) };
    let Some(kind) = seen.our_kind() else { return Ok(state) };
    let master = seen.master.map(|index| link::find_by_index(route, index)).transpose()?.flatten();
    let rate = rate::of(route, std::slice::from_ref(&seen))?.get(&seen.index).copied();
    state.links.insert(key.clone(), as_link(&seen, kind, master.and_then(|seen| seen.name), rate));
    Ok(state)
}

fn of_host(host: &Host) -> Result<State> {
    let place = host.place();
    let (links, addresses, rates) = host.route(|route| {
        let links = link::all(route, Some)?;
        let rates = rate::of(route, &links)?;
        Ok((links, address::all_addresses(route)?, rates))
    })?;

    let mut state = State::default();
    let names: HashMap<u32, &LinkName> =
        links.iter().filter_map(|seen| seen.name.as_ref().map(|name| (seen.index, name))).collect();
    let mut ours = HashMap::new();
    for seen in &links {
        let (Some(kind), Some(name)) = (seen.our_kind(), seen.name.clone()) else { continue };
        let master = seen.master.and_then(|index| names.get(&index)).map(|&name| name.clone());
        let key = LinkKey::new(place, name);
        ours.insert(seen.index, key.clone());
        state.links.insert(key, as_link(seen, kind, master, rates.get(&seen.index).copied()));
    }
    add_addresses(&mut state, &addresses, &ours);

    host.enter(|| {
        OF_HOST.iter().try_for_each(|path| read(&mut state, place, (*path).to_string()))?;
        for (key, link) in state.links.clone() {
            if link.kind == Kind::Bridge {
                read_all(&mut state, &key, OF_BRIDGE)?;
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
            state.links.insert(key, as_link(&seen, Kind::Card { port }, None, rate));
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
        state.links.insert(loopback, as_link(&seen, Kind::Loopback, None, None));
    }
    let Some(seen) = link::find(route, &name)?.filter(|seen| seen.kind == LinkKind::Veth) else {
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
    let Some(peer) = seen.peer else { return Ok(None) };
    for host in kernel.hosts() {
        let Some(port) = host.route(|route| link::find_by_index(route, peer))? else { continue };
        match (port.mark(), port.name) {
            (Some(Mark::Port(_, marked)), Some(name)) if marked == *card => {
                return Ok(Some(LinkKey::new(host.place(), name)));
            }
            (Some(Mark::Port(..) | Mark::Network(_)) | None, _) => (),
        }
    }
    Ok(None)
}

fn as_link(seen: &SeenLink, kind: Kind, master: Option<LinkName>, rate: Option<Rate>) -> Link {
    Link {
        kind,
        owner: seen.mark().map(|mark| mark.owner()),
        mtu: seen.mtu,
        up: seen.up,
        mac: seen.mac,
        master,
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
