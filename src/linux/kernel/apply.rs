//! Changes made in order, in one namespace at a time. What may be one step is one step: neighbouring changes of
//! elements, neighbouring deletions of links, and all that follows each other inside one container.

use std::collections::{BTreeMap, BTreeSet};

use bowline_core::firewall::{Element, Slot};
use bowline_core::name::LinkName;
use bowline_core::place::Place;
use bowline_core::plan::Change;
use bowline_core::port::{Ports, Protocol, Published};
use bowline_core::state::{Kind, Link, LinkKey};
use bowline_core::{Code, Error, Result};

use super::direct::{self, Stem};
use super::ears::Resolvers;
use super::host::Host;
use super::{Kernel, address, bury, link};
use crate::conntrack::{Flows, Towards};
use crate::netlink::Netlink;
use crate::netlink::wire::SeenLink;
use crate::nft::Nft;
use crate::sysctl;

pub(super) fn apply(kernel: &Kernel, changes: &[Change]) -> Result<()> {
    for run in changes.chunk_by(|a, b| a.place() == b.place()) {
        let place = run[0].place();
        match kernel.host_at(place) {
            Some(host) => in_host(kernel, &host, run)?,
            None => {
                let (run, resolvers) = (run.to_vec(), kernel.resolvers.clone());
                kernel.guest_at(place)?.run(move |route| in_guest(route, &resolvers, &run))?;
            }
        }
    }
    Ok(())
}

/// One namespace's socket, and the links looked up since one came or went.
struct Inside<'a> {
    route: &'a mut Netlink,
    /// A container's has one.
    resolvers: Option<&'a Resolvers>,
    found: BTreeMap<LinkName, SeenLink>,
}

fn in_host(kernel: &Kernel, host: &Host, changes: &[Change]) -> Result<()> {
    for run in changes.chunk_by(goes_with) {
        tracing::debug!(changes = run.len(), first = %run[0], "apply");
        match &run[0] {
            Change::PutFrame { elements, .. } => put_frame(host, elements)?,
            Change::DelFrame { .. } => host.nft(Nft::del_frame)?,
            Change::AddElement { .. } | Change::DelElement { .. } => change_elements(host, run)?,
            Change::SetSysctl { key, value } => host.enter(|| sysctl::set(&key.path, value))?,
            Change::HoldPort { .. } | Change::FreePort { .. } => hold_ports(host, run)?,
            Change::ForgetFlows { .. } => host.forget(&flows_of(run))?,
            Change::DelLink { .. } => {
                let names = run.iter().filter_map(deleted_link);
                host.route(|route| {
                    let mut own = Vec::new();
                    for name in names {
                        if !host.stems().delete(route, host, name)? {
                            own.push(name);
                        }
                    }
                    bury::links(route, &own)
                })?;
            }
            Change::AddLink { key, link, card } => match (&link.kind, card) {
                (Kind::Bridge, _) => host.route(|route| link::add_bridge(route, &key.name, link))?,
                (Kind::Port { card: at }, Some(card)) => {
                    let guest = kernel.guest_at(at.place)?;
                    host.route(|route| link::add_port(route, &key.name, link, (&at.name, card), guest.ns()))?;
                }
                (Kind::Stem { card: at, parent, how }, Some(card)) => {
                    let owner = link.owner.ok_or_else(|| impossible(&run[0], "a card is some endpoint's"))?;
                    let stem = Stem { key, owner, parent, how: *how, card: at, link: card };
                    direct::add_card(host, &*kernel.guest_at(at.place)?, &stem)?;
                }
                (Kind::Shim { .. } | Kind::Vlan { .. } | Kind::Island { .. }, _) => {
                    host.route(|route| direct::add(route, &key.name, link))?;
                }
                (Kind::Port { .. } | Kind::Stem { .. }, None) => {
                    return Err(impossible(&run[0], "a port needs a card"));
                }
                (Kind::Loopback | Kind::Card { .. }, _) => {
                    return Err(impossible(&run[0], "it is not born by itself"));
                }
            },
            Change::SetLink { .. }
            | Change::AddAddr(_)
            | Change::DelAddr(_)
            | Change::AddRoute(_)
            | Change::DelRoute(_)
            | Change::AddResolver { .. }
            | Change::DelResolver { .. } => host.route(|route| {
                let mut inside = Inside { route, resolvers: None, found: BTreeMap::new() };
                run.iter().try_for_each(|change| inside.make(change))
            })?,
        }
    }
    Ok(())
}

fn in_guest(route: &mut Netlink, resolvers: &Resolvers, changes: &[Change]) -> Result<()> {
    let mut inside = Inside { route, resolvers: Some(resolvers), found: BTreeMap::new() };
    // The loopback depends on nothing. Set after a card is up, it would wait for the host, whose bridge is then busy
    // with its new port under the same lock.
    let (first, rest): (Vec<_>, Vec<_>) = changes.iter().partition(|change| is_loopback(change));
    first.into_iter().chain(rest).try_for_each(|change| {
        tracing::debug!(%change, "apply");
        inside.make(change)
    })
}

fn is_loopback(change: &Change) -> bool {
    matches!(change, Change::SetLink { link, .. } if link.kind == Kind::Loopback)
}

impl Inside<'_> {
    /// Makes a change that means the same in every namespace.
    fn make(&mut self, change: &Change) -> Result<()> {
        match change {
            Change::SetLink { key, link } => self.set_link(&key.name, link),
            Change::DelLink { key } => {
                self.found.clear();
                bury::card(self.route, &key.name)
            }
            Change::SetSysctl { key, value } => sysctl::set(&key.path, value),
            Change::AddAddr(addr) => {
                let index = self.index(&addr.link)?.ok_or_else(|| link::missing(&addr.link.name))?;
                address::add_address(self.route, addr, index)
            }
            Change::DelAddr(addr) => match self.index(&addr.link)? {
                Some(index) => address::delete_address(self.route, addr, index),
                None => Ok(()),
            },
            Change::AddRoute(route) => {
                let index = self.index(&route.link)?.ok_or_else(|| link::missing(&route.link.name))?;
                address::add_route(self.route, route, index)
            }
            Change::DelRoute(route) => match self.index(&route.link)? {
                Some(index) => address::delete_route(self.route, route, index),
                None => Ok(()),
            },
            Change::AddLink { .. }
            | Change::PutFrame { .. }
            | Change::DelFrame { .. }
            | Change::AddElement { .. }
            | Change::DelElement { .. }
            | Change::HoldPort { .. }
            | Change::FreePort { .. }
            | Change::ForgetFlows { .. } => Err(impossible(change, "only a host has it")),
            Change::AddResolver { place } => self.resolvers(change)?.make(*place),
            Change::DelResolver { place } => self.resolvers(change)?.unmake(*place),
        }
    }

    fn resolvers(&self, change: &Change) -> Result<&Resolvers> {
        self.resolvers.ok_or_else(|| impossible(change, "only a container has one"))
    }

    /// A card was found when it got its addresses, and need not be looked for again.
    fn set_link(&mut self, name: &LinkName, link: &Link) -> Result<()> {
        match self.found.get_mut(name) {
            Some(seen) if matches!(link.kind, Kind::Card { .. }) => {
                link::set_card(self.route, name, link, seen)?;
                seen.shaped = link.rate.is_some();
                Ok(())
            }
            Some(_) | None => link::set(self.route, name, link),
        }
    }

    fn index(&mut self, key: &LinkKey) -> Result<Option<u32>> {
        if let Some(seen) = self.found.get(&key.name) {
            return Ok(Some(seen.index));
        }
        let seen = link::find(self.route, &key.name)?;
        let index = seen.as_ref().map(|seen| seen.index);
        self.found.extend(seen.map(|seen| (key.name.clone(), seen)));
        Ok(index)
    }
}

/// True for changes that make one step, or at least one visit, with the change before.
fn goes_with(before: &Change, change: &Change) -> bool {
    let sort = |change: &Change| match change {
        Change::AddElement { .. } | Change::DelElement { .. } => 1,
        Change::DelLink { .. } => 2,
        Change::SetLink { .. }
        | Change::AddAddr(_)
        | Change::DelAddr(_)
        | Change::AddRoute(_)
        | Change::DelRoute(_) => 3,
        Change::HoldPort { .. } => 4,
        Change::FreePort { .. } => 5,
        Change::ForgetFlows { .. } => 6,
        Change::PutFrame { .. }
        | Change::DelFrame { .. }
        | Change::AddLink { .. }
        | Change::SetSysctl { .. }
        | Change::AddResolver { .. }
        | Change::DelResolver { .. } => 0,
    };
    sort(change) != 0 && sort(before) == sort(change)
}

fn put_frame(host: &Host, elements: &BTreeSet<Element>) -> Result<()> {
    let owned = host.nft(|nft| nft.put_frame(elements).map(|()| nft.is_owner()))?;
    if !owned {
        host.watch_tables();
    }
    Ok(())
}

/// One transaction, in which the last word on an element counts.
fn change_elements(host: &Host, changes: &[Change]) -> Result<()> {
    let mut last = BTreeMap::new();
    for change in changes {
        match change {
            Change::AddElement { element, .. } => last.insert(element, true),
            Change::DelElement { element, .. } => last.insert(element, false),
            other => return Err(impossible(other, "it is not of an element")),
        };
    }
    let chosen =
        |wanted| last.iter().filter(move |(_, add)| **add == wanted).map(|(element, _)| (*element).clone());
    let (add, del): (Vec<_>, Vec<_>) = (chosen(true).collect(), chosen(false).collect());
    host.nft(|nft| nft.change(&add, &del))?;
    host.forget(&flows_of_elements(&add))
}

/// What flows through connection tracking goes on as it began, whatever the maps say now. A sender of UDP may have begun
/// before its port led here, and never end.
fn flows_of_elements(add: &[Element]) -> Flows {
    let towards = |element: &Element| {
        let (at, protocol, ports) = match element.slot()? {
            Slot::Port(at, protocol, port) => (at, protocol, Ports::one(port).ok()?),
            Slot::Span(at, protocol, ports) => (at, protocol, ports),
        };
        (protocol == Protocol::Udp).then(|| Towards { at, protocol, ports, to: Vec::new() })
    };
    Flows { towards: add.iter().filter_map(towards).collect(), ..Flows::default() }
}

fn flows_of(changes: &[Change]) -> Flows {
    let mut flows = Flows::default();
    for change in changes {
        if let Change::ForgetFlows { addresses, ports, straight, .. } = change {
            flows.of.extend(addresses);
            flows.straight_to.extend(straight);
            flows.towards.extend(ports.iter().map(|published| {
                let Published { at, protocol, host: ports, .. } = *published;
                Towards { at, protocol, ports, to: Vec::new() }
            }));
        }
    }
    flows
}

/// A run of one or the other.
fn hold_ports(host: &Host, changes: &[Change]) -> Result<()> {
    let (mut hold, mut free) = (Vec::new(), Vec::new());
    for change in changes {
        match change {
            Change::HoldPort { port, .. } => hold.push(*port),
            Change::FreePort { port, .. } => free.push(*port),
            other => return Err(impossible(other, "it is not of a port")),
        }
    }
    let done = host.held(|held| {
        held.free(&free);
        Ok(held.hold(&hold))
    })?;
    match done {
        Ok(()) => Ok(()),
        // Others need not wait for the search.
        Err(refused) => host.enter(|| Err(refused.explain())),
    }
}

fn deleted_link(change: &Change) -> Option<&LinkName> {
    match change {
        Change::DelLink { key } => Some(&key.name),
        Change::PutFrame { .. }
        | Change::DelFrame { .. }
        | Change::AddElement { .. }
        | Change::DelElement { .. }
        | Change::HoldPort { .. }
        | Change::FreePort { .. }
        | Change::ForgetFlows { .. }
        | Change::AddLink { .. }
        | Change::SetLink { .. }
        | Change::SetSysctl { .. }
        | Change::AddAddr(_)
        | Change::DelAddr(_)
        | Change::AddRoute(_)
        | Change::DelRoute(_)
        | Change::AddResolver { .. }
        | Change::DelResolver { .. } => None,
    }
}

fn impossible(change: &Change, why: &str) -> Error {
    Error::new(Code::Internal, format!("cannot make the change: {change}")).because(why)
}

/// The error for a namespace that is neither a host's nor open.
pub(super) fn closed(place: Place) -> Error {
    Error::new(Code::NetnsGone, format!("{place} is not open"))
        .because("its container is gone, or it was closed")
}
