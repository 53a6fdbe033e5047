//! Which ports of a host are published, and by whom. Looking up, adding and removing one costs the same among ten thousand.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU16, Ordering};

use bowline_core::name::Name;
use bowline_core::place::Place;
use bowline_core::port::{At, HostPort, Ports, Protocol, Published};

use super::Index;

#[derive(Debug, Default)]
pub(super) struct Taken {
    /// More than one has a port only on different addresses.
    owners: HashMap<(Place, Protocol, u16), Vec<(At, Name)>>,
}

/// The last port that was chosen, so that one just given back is not the next to be given away.
#[derive(Debug, Default)]
pub(super) struct LastChosen(AtomicU16);

impl Index {
    /// The endpoint that has a port, or an address of it.
    pub(crate) fn port_owner(&self, place: Place, port: &HostPort) -> Option<Name> {
        self.read(|t| {
            let owners = t.ports.owners.get(&(place, port.protocol, port.port))?;
            owners.iter().find(|(at, _)| at.meets(port.at)).map(|(_, name)| name.clone())
        })
    }

    pub(crate) fn add_ports(&self, place: Place, published: &Published, owner: &Name) {
        self.write(|t| {
            for port in published.host.iter() {
                let owners = t.ports.owners.entry((place, published.protocol, port)).or_default();
                owners.retain(|(at, name)| !(*at == published.at && name == owner));
                owners.push((published.at, owner.clone()));
            }
        });
    }

    pub(crate) fn remove_ports(&self, place: Place, published: &Published, owner: &Name) {
        self.write(|t| {
            for port in published.host.iter() {
                let key = (place, published.protocol, port);
                let Some(owners) = t.ports.owners.get_mut(&key) else { continue };
                owners.retain(|(at, name)| !(*at == published.at && name == owner));
                if owners.is_empty() {
                    t.ports.owners.remove(&key);
                }
            }
        });
    }

    /// As many ports in a row, from everywhere they could begin. Those that may be any begin after the last chosen.
    pub(crate) fn next_ports(&self, within: &[Ports], count: u16, any: bool) -> impl Iterator<Item = Ports> {
        let pivot = if any { self.last_chosen.0.load(Ordering::Relaxed) } else { 0 };
        let roomy = within.iter().filter(move |range| range.count() >= count).copied();
        let starts =
            roomy.flat_map(move |range| range.first()..=range.last() - (count - 1)).collect::<Vec<_>>();
        let (before, after): (Vec<u16>, Vec<u16>) = starts.into_iter().partition(|&start| start <= pivot);
        after.into_iter().chain(before).filter_map(move |start| Ports::new(start, start + (count - 1)).ok())
    }

    pub(crate) fn chose(&self, ports: Ports) {
        self.last_chosen.0.store(ports.last(), Ordering::Relaxed);
    }
}
