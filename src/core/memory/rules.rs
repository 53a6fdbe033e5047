//! What a change does to the state in memory, with the kernel's own rules of what may be done to what.

use crate::firewall::Element;
use crate::plan::Change;
use crate::port::HostPort;
use crate::state::{Kind, Link, LinkKey, State};
use crate::{Code, Error, Result};

pub(super) fn apply(state: &mut State, change: &Change) -> Result<()> {
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
        Change::AddLink { key, link, card } => add_link(state, key, link, card.as_ref())?,
        Change::SetLink { key, link } => set_link(state, key, link)?,
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

fn add_link(state: &mut State, key: &LinkKey, link: &Link, card: Option<&Link>) -> Result<()> {
    if let Some(there) = state.links.get(key) {
        if there.owner == link.owner && there.kind == link.kind {
            return Ok(());
        }
        return Err(Error::new(Code::LinkExists, format!("link {key} exists and is not ours")));
    }
    if let Some(master) = &link.master {
        need(state, &LinkKey::new(key.place, master.clone()))?;
    }
    match (&link.kind, card) {
        (Kind::Bridge, None) => (),
        (Kind::Port { card: at }, Some(card)) => {
            if state.links.contains_key(at) {
                return Err(Error::new(Code::InterfaceTaken, format!("link {at} exists already")));
            }
            state.links.insert(at.clone(), card.born());
        }
        (Kind::Bridge | Kind::Port { .. } | Kind::Card { .. } | Kind::Loopback, _) => {
            return Err(refused("such a link is not added by itself"));
        }
    }
    state.links.insert(key.clone(), link.born());
    Ok(())
}

fn set_link(state: &mut State, key: &LinkKey, link: &Link) -> Result<()> {
    if link.kind == Kind::Loopback {
        state.links.insert(key.clone(), Link::loopback());
        return Ok(());
    }
    if need(state, key)?.kind != link.kind {
        return Err(refused("a link does not change its kind"));
    }
    if let Some(master) = &link.master {
        need(state, &LinkKey::new(key.place, master.clone()))?;
    }
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
            ports.filter(|l| l.master.as_ref() == Some(&key.name)).for_each(|l| l.master = None);
        }
        Kind::Port { card: other } | Kind::Card { port: other } => del_link(state, &other),
    }
}

fn need<'a>(state: &'a State, key: &LinkKey) -> Result<&'a Link> {
    state.links.get(key).ok_or_else(|| refused(&format!("there is no link {key}")))
}

fn refused(why: &str) -> Error {
    Error::new(Code::Kernel, "the kernel refused").because(why)
}
