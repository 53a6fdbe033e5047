//! Where the cards are that hang on links of one host. They lie in containers' namespaces, which are neither entered nor kept
//! alive to find them: the kernel reaches a namespace by the number that the host's has for it (its nsid).
//!
//! Once, at the first need, every namespace that the host has a number for is looked through. From then on we know of each
//! card that comes, and look for no other.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bowline_core::name::{Id, LinkName};
use bowline_core::place::Place;
use bowline_core::state::LinkKey;
use bowline_core::{Code, Error, Result};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use nix::errno::Errno;

use super::host::Host;
use super::link;
use super::mark::Mark;
use crate::netlink::wire::{self, SeenLink};
use crate::netlink::{Failure, Netlink};

#[derive(Debug, Default)]
pub(super) struct Stems {
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
struct Found {
    looked: bool,
    /// By the names of interfaces' ports.
    at: HashMap<LinkName, Spot>,
}

/// Where a card is, and what it was made as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) nsid: i32,
    pub(super) index: u32,
    pub(super) parent: u32,
    /// None where we died between its birth and its alias.
    pub(super) owner: Option<Id>,
    pub(super) card: LinkKey,
}

impl Stems {
    pub(super) fn know(&self, name: &LinkName, spot: Spot) {
        self.found().at.insert(name.clone(), spot);
    }

    /// Those that are there, with their names and what the kernel says of them.
    pub(super) fn seen(&self, route: &mut Netlink, host: &Host) -> Result<Vec<(LinkName, Spot, SeenLink)>> {
        self.look(route, host)?;
        let known: Vec<_> = self.found().at.iter().map(|(name, spot)| (name.clone(), spot.clone())).collect();
        let mut seen = Vec::new();
        for (name, spot) in known {
            match find(route, &spot, &name, host)? {
                Some(link) => seen.push((name, spot, link)),
                None => self.forget(&name, &spot),
            }
        }
        Ok(seen)
    }

    /// Deletes a card. False where the name is that of none.
    pub(super) fn delete(&self, route: &mut Netlink, host: &Host, name: &LinkName) -> Result<bool> {
        self.look(route, host)?;
        let Some(spot) = self.found().at.get(name).cloned() else { return Ok(false) };
        if find(route, &spot, name, host)?.is_some() {
            let mut message = LinkMessage::default();
            message.header.index = spot.index;
            message.attributes.push(LinkAttribute::IfNetnsId(spot.nsid));
            match route.change(RouteNetlinkMessage::DelLink(message), 0) {
                Ok(()) => (),
                Err(e) if is_gone(&e) => (),
                Err(e) => return Err(e.error(format!("delete card {name}"))),
            }
        }
        self.forget(name, &spot);
        Ok(true)
    }

    /// The names of those in a namespace that has just lost its number, for it is gone.
    pub(super) fn lost(&self, nsid: i32) -> Vec<LinkName> {
        let mut found = self.found();
        let gone: Vec<LinkName> =
            found.at.iter().filter(|(_, spot)| spot.nsid == nsid).map(|(name, _)| name.clone()).collect();
        gone.iter().for_each(|name| drop(found.at.remove(name)));
        gone
    }

    /// It may be somewhere else by now.
    fn forget(&self, name: &LinkName, spot: &Spot) {
        let mut found = self.found();
        if found.at.get(name) == Some(spot) {
            found.at.remove(name);
        }
    }

    fn look(&self, route: &mut Netlink, host: &Host) -> Result<()> {
        if self.found().looked {
            return Ok(());
        }
        let there = all(route, host)?;
        let mut found = self.found();
        for (name, spot) in there {
            found.at.entry(name).or_insert(spot);
        }
        found.looked = true;
        Ok(())
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number by which the namespace of our socket knows another, from now on if not already.
pub(super) fn number_of(route: &mut Netlink, ns: BorrowedFd<'_>) -> Result<i32> {
    let failed = |e: Failure| e.error("know a network namespace by a number");
    let fd = || NsidAttribute::Fd(ns.as_raw_fd().cast_unsigned());
    if let Some(number) = ask(route, fd()).map_err(failed)? {
        return Ok(number);
    }
    let mut message = NsidMessage::default();
    message.attributes = vec![fd(), NsidAttribute::Id(-1)];
    match route.change(RouteNetlinkMessage::NewNsId(message), 0) {
        Ok(()) => (),
        // Somebody else was faster.
        Err(e) if e.errno == Errno::EEXIST => (),
        Err(e) => return Err(failed(e)),
    }
    ask(route, fd()).map_err(failed)?.ok_or_else(|| {
        Error::new(Code::Kernel, "know a network namespace by a number").because("it has none")
    })
}

fn ask(route: &mut Netlink, whom: NsidAttribute) -> Result<Option<i32>, Failure> {
    let mut message = NsidMessage::default();
    message.attributes = vec![whom];
    let number = route.get(RouteNetlinkMessage::GetNsId(message), |payload| Ok(wire::nsid(payload)?))?;
    Ok(number.filter(|number| *number >= 0))
}

/// The link at that spot, if it is still the card that we put there. A namespace that died may have left its number to
/// another; and inside, an alias may be changed, but not what a card hangs on.
fn find(route: &mut Netlink, spot: &Spot, name: &LinkName, host: &Host) -> Result<Option<SeenLink>> {
    let mut message = LinkMessage::default();
    message.header.index = spot.index;
    message.attributes.push(LinkAttribute::IfNetnsId(spot.nsid));
    message.attributes.push(link::briefly());
    let seen = match route.get(RouteNetlinkMessage::GetLink(message), |p| Ok(SeenLink::parse(p)?)) {
        Ok(seen) => seen,
        Err(e) if is_gone(&e) => return Ok(None),
        Err(e) => return Err(e.error(format!("look for card {name}"))),
    };
    let key = LinkKey::new(host.place(), name.clone());
    let marked = matches!(seen.mark(), Some(Mark::Stem { key: marked, .. }) if marked == key);
    let same = marked || seen.peer == Some(spot.parent);
    Ok(Some(seen).filter(|seen| seen.hangs() && same))
}

/// The card is gone, or its namespace.
fn is_gone(failure: &Failure) -> bool {
    matches!(failure.errno, Errno::ENODEV | Errno::EINVAL)
}

/// Every card that hangs on a link of this host's and bears our mark, or was about to.
fn all(route: &mut Netlink, host: &Host) -> Result<Vec<(LinkName, Spot)>> {
    let failed = |e: Failure| e.error("list the network namespaces that the host knows");
    let numbers = route
        .dump(&RouteNetlinkMessage::GetNsId(NsidMessage::default()), |payload| Ok(wire::nsid(payload)?))
        .map_err(failed)?;
    let mut found = Vec::new();
    for nsid in numbers {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfNetnsId(nsid));
        message.attributes.push(link::briefly());
        let hanging = |payload: &[u8]| Ok(Some(SeenLink::parse(payload)?).filter(SeenLink::hangs));
        let links = match route.dump(&RouteNetlinkMessage::GetLink(message), hanging) {
            Ok(links) => links,
            Err(e) if is_gone(&e) || e.errno == Errno::EPERM => continue,
            Err(e) => return Err(e.error("list the cards in a network namespace")),
        };
        for seen in links {
            let parent = seen.peer.unwrap_or_default();
            let spot = |owner, card| Spot { nsid, index: seen.index, parent, owner, card };
            match seen.mark() {
                Some(Mark::Stem { owner, card, key }) if key.place == host.place() => {
                    found.push((key.name, spot(Some(owner), card)));
                }
                // Nobody can want it under this name, so it is swept.
                None if seen.is_half_born() && hangs_here(route, &seen, host)? => {
                    let name = format!("blx{}", found.len()).parse()?;
                    found.push((name, spot(None, LinkKey::new(Place(0), "unknown".parse()?))));
                }
                Some(_) | None => (),
            }
        }
    }
    Ok(found)
}

/// Whether what a card hangs on is in the namespace of our own socket, and not in a third.
fn hangs_here(route: &mut Netlink, seen: &SeenLink, host: &Host) -> Result<bool> {
    let number = ask(route, NsidAttribute::Fd(host.ns().as_raw_fd().cast_unsigned()))
        .map_err(|e| e.error("know our own network namespace by a number"))?;
    Ok(number.is_some() && number == seen.peer_in)
}
