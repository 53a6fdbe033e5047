//! Which ports of a host are published, and by whom. This is where it is decided: a port is reserved here before it is
//! bound, and given up here after it was let go of. One among ten thousand costs what one alone does.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU16, Ordering};

use bowline_core::name::{Id, Name};
use bowline_core::place::Place;
use bowline_core::port::{At, HostPort, Ports, Protocol, Published};

use super::Index;

#[derive(Debug, Default)]
pub(super) struct Taken {
    /// More than one has a port only on different addresses.
    owners: HashMap<(Place, Protocol, u16), Vec<Owner>>,
}

#[derive(Debug, Clone)]
struct Owner {
    at: At,
    endpoint: Id,
    name: Name,
}

/// The last port that was chosen, so that one just given back is not the next to be given away.
#[derive(Debug, Default)]
pub(super) struct LastChosen(AtomicU16);

impl Index {
    /// The endpoint that has a port, or an address of it.
    pub(crate) fn port_owner(&self, place: Place, port: &HostPort) -> Option<Name> {
        self.read(|t| t.ports.owner(place, port).map(|owner| owner.name.clone()))
    }

    /// Takes all of these ports for an endpoint; where one is taken, none, and whose it is, is told: perhaps its own.
    pub(crate) fn reserve_ports(
        &self,
        place: Place,
        published: &Published,
        endpoint: Id,
        name: &Name,
    ) -> Result<(), (HostPort, Name)> {
        self.write(|t| {
            for port in published.host_ports() {
                if let Some(owner) = t.ports.owner(place, &port) {
                    return Err((port, owner.name.clone()));
                }
            }
            for port in published.host.iter() {
                let owner = Owner { at: published.at, endpoint, name: name.clone() };
                t.ports.owners.entry((place, published.protocol, port)).or_default().push(owner);
            }
            Ok(())
        })
    }

    pub(crate) fn give_up_ports(&self, place: Place, published: &Published, endpoint: Id) {
        self.write(|t| {
            for port in published.host.iter() {
                let key = (place, published.protocol, port);
                let Some(owners) = t.ports.owners.get_mut(&key) else { continue };
                owners.retain(|owner| !(owner.at == published.at && owner.endpoint == endpoint));
                if owners.is_empty() {
                    t.ports.owners.remove(&key);
                }
            }
        });
    }

    /// As many ports in a row, from everywhere they could begin. Those that may be any begin after the last chosen.
    pub(crate) fn next_ports(
        &self,
        within: &[Ports],
        count: u16,
        any: bool,
    ) -> impl Iterator<Item = Ports> + use<> {
        let pivot = if any { self.last_chosen.0.load(Ordering::Relaxed) } else { 0 };
        let roomy: Vec<Ports> = within.iter().copied().filter(|range| range.count() >= count).collect();
        let starts = move |range: Ports| range.first()..=range.last() - (count - 1);
        let after = roomy.clone().into_iter().flat_map(starts).filter(move |&start| start > pivot);
        let before = roomy.into_iter().flat_map(starts).filter(move |&start| start <= pivot);
        after.chain(before).filter_map(move |start| Ports::new(start, start + (count - 1)).ok())
    }

    pub(crate) fn chose(&self, ports: Ports) {
        self.last_chosen.0.store(ports.last(), Ordering::Relaxed);
    }
}

impl Taken {
    fn owner(&self, place: Place, port: &HostPort) -> Option<&Owner> {
        let owners = self.owners.get(&(place, port.protocol, port.port))?;
        owners.iter().find(|owner| owner.at.meets(port.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(text: &str) -> Published {
        let wish: bowline_core::port::Wish = text.parse().unwrap();
        let host = wish.host.unwrap();
        Published { at: wish.at, protocol: wish.protocol, host, first: wish.ports.first() }
    }

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    const HOST: Place = Place(1);

    #[test]
    fn a_port_is_one_endpoints_until_it_gives_it_up() {
        let index = Index::default();
        let (web, db) = (name("web"), name("db"));
        let reserve = |text, id, name: &Name| index.reserve_ports(HOST, &published(text), Id(id), name);
        reserve("8080:80", 1, &web).unwrap();
        let (port, owner) = reserve("8079-8081:79-81", 2, &db).unwrap_err();
        assert_eq!((port.port, owner), (8080, web.clone()));
        assert!(reserve("127.0.0.1:8080:80", 1, &web).is_err(), "not twice by itself either");
        reserve("8080:80/udp", 2, &db).unwrap();
        // Of the range that was refused, nothing is kept.
        reserve("8079:80", 2, &db).unwrap();
        index.give_up_ports(HOST, &published("8080:80"), Id(2));
        assert!(reserve("8080:80", 2, &db).is_err(), "only its owner gives it up");
        index.give_up_ports(HOST, &published("8080:80"), Id(1));
        reserve("127.0.0.1:8080:80", 1, &web).unwrap();
        reserve("127.0.0.2:8080:80", 2, &db).unwrap();
        assert!(reserve("0.0.0.0:8080:80", 1, &web).is_err());
        reserve("[::]:8080:80", 1, &web).unwrap();
    }

    #[test]
    fn any_port_is_the_next_after_the_last_and_begins_anew() {
        let index = Index::default();
        let within = [Ports::new(10, 12).unwrap(), Ports::new(20, 21).unwrap()];
        let all = |count, any| {
            let ports = index.next_ports(&within, count, any);
            ports.map(Ports::first).collect::<Vec<_>>()
        };
        assert_eq!(all(1, true), [10, 11, 12, 20, 21]);
        assert_eq!(all(2, true), [10, 11, 20]);
        assert_eq!(all(4, true), [0_u16; 0]);
        index.chose(Ports::one(12).unwrap());
        assert_eq!(all(1, true), [20, 21, 10, 11, 12]);
        assert_eq!(all(1, false), [10, 11, 12, 20, 21]);
    }
}
