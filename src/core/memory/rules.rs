//! What a change does to the state in memory, with the kernel's own rules of what may be done to what.

use crate::firewall::Element;
use crate::kernel::{HostLink, Sort};
use crate::mac::Mac;
use crate::medium::{How, Whose};
use crate::name::LinkName;
use crate::plan::Change;
use crate::port::HostPort;
use crate::state::{Kind, Link, LinkKey, State, Vlan};
use crate::{Code, Error, Result};

pub(super) fn apply(state: &mut State, strangers: &[HostLink], change: &Change) -> Result<()> {
    match change {
        Change::PutFrame { place, elements } => {
            state.frames.insert(*place);
            state.elements.retain(|(p, _)| p != place);
            state.elements.extend(elements.iter().map(|e| (*place, e.clone())));
        }
        Change::DelFrame { place } => {
            state.frames.remove(place);
            state.elements.retain(|(p, _)| p != place);
        }
        Change::AddElement { place, element } => {
            if !state.frames.contains(place) {
                return Err(refused("there is no table"));
            }
            let in_its_place = |(p, e): &(_, Element)| {
                p == place && e.slot().is_some() && e.slot() == element.slot() && e != element
            };
            if state.elements.iter().any(in_its_place) {
                return Err(refused("another element is in its place"));
            }
            state.elements.insert((*place, element.clone()));
        }
        Change::DelElement { place, element } => {
            state.elements.remove(&(*place, element.clone()));
        }
        Change::HoldPort { place, port } => {
            let clash = |(p, held): &(_, HostPort)| p == place && held != port && held.clashes_with(port);
            if state.held.iter().any(clash) {
                return Err(Error::new(Code::PortTaken, format!("port {port} is taken")));
            }
            state.held.insert((*place, *port));
        }
        Change::FreePort { place, port } => {
            state.held.remove(&(*place, *port));
        }
        Change::ForgetFlows { .. } => (),
        Change::AddLink { key, link, card } => add_link(state, strangers, key, link, card.as_ref())?,
        Change::SetLink { key, link } => set_link(state, strangers, key, link)?,
        Change::DelLink { key } => del_link(state, key),
        Change::SetSysctl { key, value } => {
            state.sysctls.insert(key.clone(), value.clone());
        }
        Change::AddAddr(addr) => {
            need(state, &addr.link)?;
            state.addrs.insert(addr.clone());
        }
        Change::DelAddr(addr) => {
            state.addrs.remove(addr);
        }
        Change::AddRoute(route) => {
            if !need(state, &route.link)?.up {
                return Err(refused("the link is down"));
            }
            let reaches = |via| state.addrs.iter().any(|a| a.link == route.link && a.net.contains(via));
            if route.via.is_some_and(|via| !reaches(via)) {
                return Err(refused("nexthop has invalid gateway"));
            }
            state.routes.retain(|there| !route.displaces(there));
            state.routes.insert(route.clone());
        }
        Change::DelRoute(route) => {
            state.routes.remove(route);
        }
        Change::AddResolver { place } => {
            if !state.links.get(&LinkKey::loopback(*place)).is_some_and(|lo| lo.up) {
                return Err(refused("the loopback is down"));
            }
            state.resolvers.insert(*place);
        }
        Change::DelResolver { place } => {
            state.resolvers.remove(place);
        }
    }
    Ok(())
}

fn add_link(
    state: &mut State,
    strangers: &[HostLink],
    key: &LinkKey,
    link: &Link,
    card: Option<&Link>,
) -> Result<()> {
    if let Some(there) = state.links.get(key) {
        if there.owner == link.owner && there.kind == link.kind {
            return Ok(());
        }
        return Err(Error::new(Code::LinkExists, format!("link {key} exists and is not ours")));
    }
    if strangers.iter().any(|stranger| stranger.name == key.name) {
        return Err(Error::new(Code::LinkExists, format!("link {key} exists and is not ours")));
    }
    if strangers.iter().any(|stranger| stranger.name == key.name) {
        return Err(Error::new(Code::LinkExists, format!("link {key} exists and is not ours")));
    }
    if let Some(parent) = link.kind.parent() {
        let at = LinkKey::new(key.place, parent.clone());
        if !state.links.contains_key(&at) && !strangers.iter().any(|stranger| stranger.name == *parent) {
            return Err(refused(&format!("there is no link {parent}")));
        }
    }
    need_master(state, strangers, key, link)?;
    match (&link.kind, card) {
        (Kind::Bridge | Kind::Vlan { .. } | Kind::Island { .. }, None) => (),
        (Kind::Shim { parent, how }, None) => fits(state, key, (parent, *how), link.mac)?,
        (Kind::Stem { parent, how, .. }, Some(card)) if !how.has_macs() && card.mac.is_some() => {
            return Err(refused(&format!("a card of {how} has the MAC of {parent}")));
        }
        (Kind::Port { card: at } | Kind::Stem { card: at, .. }, Some(card)) => {
            if let Kind::Stem { parent, how, .. } = &link.kind {
                fits(state, key, (parent, *how), card.mac)?;
            }
            if state.links.contains_key(at) {
                return Err(Error::new(Code::InterfaceTaken, format!("link {at} exists already")));
            }
            state.links.insert(at.clone(), card.born());
        }
        (
            Kind::Bridge
            | Kind::Vlan { .. }
            | Kind::Island { .. }
            | Kind::Shim { .. }
            | Kind::Port { .. }
            | Kind::Stem { .. }
            | Kind::Card { .. }
            | Kind::Loopback,
            _,
        ) => {
            return Err(refused("such a link is not added by itself"));
        }
    }
    state.links.insert(key.clone(), link.born());
    Ok(())
}

/// What hangs on one parent is of one sort, and each has a MAC of its own.
fn fits(state: &State, key: &LinkKey, on: (&LinkName, How), mac: Option<Mac>) -> Result<()> {
    for (other, link) in state.links.iter().filter(|(other, _)| other.place == key.place && *other != key) {
        let (parent, how, card) = match &link.kind {
            Kind::Stem { parent, how, card } => (parent, how, state.links.get(card)),
            Kind::Shim { parent, how } => (parent, how, Some(link)),
            Kind::Loopback
            | Kind::Bridge
            | Kind::Port { .. }
            | Kind::Card { .. }
            | Kind::Vlan { .. }
            | Kind::Island { .. } => continue,
        };
        if parent != on.0 {
            continue;
        }
        if !how.goes_with(on.1) {
            return Err(Error::new(Code::ParentTaken, format!("{parent} is in use")).because("it is busy"));
        }
        if mac.is_some() && card.is_some_and(|card| card.mac == mac) {
            return Err(Error::new(Code::MacTaken, format!("the MAC of {key} is that of {other}")));
        }
    }
    Ok(())
}

fn set_link(state: &mut State, strangers: &[HostLink], key: &LinkKey, link: &Link) -> Result<()> {
    if link.kind == Kind::Loopback {
        state.links.insert(key.clone(), Link::loopback());
        return Ok(());
    }
    if need(state, key)?.kind != link.kind {
        return Err(refused("a link does not change its kind"));
    }
    need_master(state, strangers, key, link)?;
    if !link.up {
        state.routes.retain(|route| route.link != *key);
    }
    state.links.insert(key.clone(), link.clone());
    Ok(())
}

fn del_link(state: &mut State, key: &LinkKey) {
    let Some(link) = state.links.remove(key) else { return };
    state.addrs.retain(|addr| addr.link != *key);
    state.routes.retain(|route| route.link != *key);
    match link.kind {
        Kind::Loopback => {
            state.links.insert(key.clone(), link);
        }
        Kind::Bridge => {
            let ports = state.links.iter_mut().filter(|(k, _)| k.place == key.place).map(|(_, l)| l);
            ports
                .filter(|l| l.master.as_ref().is_some_and(|m| m.name == key.name))
                .for_each(|l| l.master = None);
        }
        Kind::Vlan { .. } | Kind::Island { .. } => {
            let hangs = |k: &LinkKey, l: &Link| k.place == key.place && l.kind.parent() == Some(&key.name);
            let all: Vec<LinkKey> =
                state.links.iter().filter(|(k, l)| hangs(k, l)).map(|(k, _)| k.clone()).collect();
            all.iter().for_each(|child| del_link(state, child));
        }
        Kind::Shim { .. } => (),
        Kind::Port { card: other } | Kind::Stem { card: other, .. } | Kind::Card { port: other } => {
            del_link(state, &other);
        }
    }
}

/// A port goes to a bridge, which is ours or not as is wanted, and to a VLAN only where the bridge filters by VLAN.
fn need_master(state: &State, strangers: &[HostLink], key: &LinkKey, link: &Link) -> Result<()> {
    let Some(master) = &link.master else { return Ok(()) };
    let filters = match master.whose {
        Whose::Ours => {
            let bridge = need(state, &LinkKey::new(key.place, master.name.clone()))?;
            if bridge.kind != Kind::Bridge {
                return Err(refused(&format!("{} is no bridge", master.name)));
            }
            bridge.vlan != Vlan::None
        }
        Whose::Theirs => {
            let none = || refused(&format!("there is no bridge {}", master.name));
            let stranger = strangers.iter().find(|stranger| stranger.name == master.name);
            match stranger.map(|stranger| &stranger.sort) {
                Some(Sort::Bridge { filters_vlans }) => *filters_vlans,
                Some(_) | None => return Err(none()),
            }
        }
    };
    if link.vlan != Vlan::None && !filters {
        let what = format!("VLAN is not usable on {}", master.name);
        return Err(Error::new(Code::InvalidVlan, what).because("the bridge does not filter by VLAN"));
    }
    Ok(())
}

fn need<'a>(state: &'a State, key: &LinkKey) -> Result<&'a Link> {
    state.links.get(key).ok_or_else(|| refused(&format!("there is no link {key}")))
}

fn refused(why: &str) -> Error {
    Error::new(Code::Kernel, "the kernel refused").because(why)
}
