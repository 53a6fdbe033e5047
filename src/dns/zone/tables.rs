//! What is looked up: by name, by address and by owner. A name's addresses lie together, so that answering walks one list
//! and follows nothing.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use bowline_core::name::Id;
use bowline_core::port::Protocol;

use super::Entry;
use crate::message::{WireName, split};

#[derive(Debug, Default)]
pub(crate) struct Tables {
    known: HashMap<Id, Known>,
    names: HashMap<Arc<[u8]>, Held>,
    /// What names with dots end in, and how many have it: `svc` for `a.svc`. So it is known without a search that something is
    /// below a name.
    above: HashMap<Box<[u8]>, usize>,
    reverse: HashMap<IpAddr, Id>,
}

/// All that go by one name.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) owners: Vec<Id>,
    pub(crate) v4: Vec<(Id, Ipv4Addr)>,
    pub(crate) v6: Vec<(Id, Ipv6Addr)>,
}

/// An entry, and its names as they are compared.
#[derive(Debug)]
pub(super) struct Known {
    entry: Entry,
    names: Vec<Arc<[u8]>>,
}

impl Known {
    pub(super) fn new(mut entry: Entry) -> Known {
        let mut names: Vec<Arc<[u8]>> = Vec::with_capacity(entry.names.len());
        for name in entry.names.iter().filter(|name| super::fits(name).is_ok()) {
            if let Ok(name) = WireName::from_text(name)
                && !names.iter().any(|other| **other == *name)
            {
                names.push(Arc::from(&*name));
            }
        }
        let mut seen = Vec::with_capacity(entry.addresses.len());
        entry.addresses.retain(|address| {
            let new = !seen.contains(address);
            seen.push(*address);
            new
        });
        Known { entry, names }
    }
}

impl Tables {
    pub(super) fn insert(&mut self, owner: Id, known: Known) {
        for name in &known.names {
            for end in ends(name) {
                *self.above.entry(end.into()).or_default() += 1;
            }
            let held = self.names.entry(name.clone()).or_default();
            held.owners.push(owner);
            for address in &known.entry.addresses {
                match *address {
                    IpAddr::V4(address) => held.v4.push((owner, address)),
                    IpAddr::V6(address) => held.v6.push((owner, address)),
                }
            }
        }
        for address in &known.entry.addresses {
            self.reverse.insert(*address, owner);
        }
        self.known.insert(owner, known);
    }

    pub(super) fn remove(&mut self, owner: Id) {
        let Some(known) = self.known.remove(&owner) else { return };
        for name in &known.names {
            for end in ends(name) {
                if let Some(count) = self.above.get_mut(end) {
                    *count -= 1;
                    if *count == 0 {
                        self.above.remove(end);
                    }
                }
            }
            let Some(held) = self.names.get_mut(name) else { continue };
            held.owners.retain(|other| *other != owner);
            held.v4.retain(|(other, _)| *other != owner);
            held.v6.retain(|(other, _)| *other != owner);
            if held.owners.is_empty() {
                self.names.remove(name);
            }
        }
        for address in &known.entry.addresses {
            // Who got the address since keeps it.
            if self.reverse.get(address) == Some(&owner) {
                self.reverse.remove(address);
            }
        }
    }

    pub(super) fn entries(&self) -> Vec<(Id, Entry)> {
        self.known.iter().map(|(owner, known)| (*owner, known.entry.clone())).collect()
    }

    pub(super) fn held(&self, name: &[u8]) -> Option<&Held> {
        self.names.get(name)
    }

    /// Whether somebody's name ends in this one, and is longer.
    pub(super) fn has_below(&self, name: &[u8]) -> bool {
        self.above.contains_key(name)
    }

    pub(super) fn holder(&self, address: IpAddr) -> Option<&[u8]> {
        self.known.get(self.reverse.get(&address)?)?.names.first().map(|name| &**name)
    }

    /// The first name and the addresses of an endpoint that serves this port.
    pub(crate) fn serving(&self, owner: Id, service: (Protocol, u16)) -> Option<(&[u8], &[IpAddr])> {
        let known = self.known.get(&owner)?;
        known.entry.services.contains(&service).then_some(())?;
        Some((known.names.first()?, &known.entry.addresses))
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty() && self.names.is_empty() && self.above.is_empty() && self.reverse.is_empty()
    }
}

/// What a name ends in, itself and the root left out.
fn ends(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    fn end(name: &[u8]) -> Option<&[u8]> {
        split(name).map(|(_, rest)| rest).filter(|rest| !rest.is_empty())
    }
    std::iter::successors(end(name), |name| end(name))
}
