//! Who is asked elsewhere: lists of servers, each asked from one place, and how each has been doing.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bowline_core::place::Place;

use crate::asker::Elsewhere;
use crate::cache::Source;
use crate::upstream::Servers;

/// One list of servers, asked from one place.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) source: Source,
    /// The namespace that its sockets are made in.
    pub(super) place: Place,
    /// It is a container's own list, whose namespace is never that of the workers: a socket there is not made in passing.
    pub(super) is_own: bool,
    /// By the numbers that a race knows them by.
    pub(super) addresses: Vec<SocketAddr>,
    /// As it was given, with those that are named twice or are too many.
    given: Vec<SocketAddr>,
    servers: Mutex<Servers>,
}

/// All lists in use.
#[derive(Debug, Default)]
pub(super) struct Groups {
    table: Mutex<Table>,
    /// Counted up with each change, so that who keeps a group knows when to look again.
    epoch: AtomicU64,
}

#[derive(Debug, Default)]
struct Table {
    host: Vec<SocketAddr>,
    /// By the host namespace that they are asked from.
    hosts: HashMap<Place, Arc<Group>>,
    /// By the container that has servers of its own.
    own: HashMap<Place, Arc<Group>>,
    sources: u64,
}

impl Group {
    pub(super) fn servers(&self) -> MutexGuard<'_, Servers> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Groups {
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The host's servers are these now. Who does well is remembered of those that stay; answers are not, if the list differs.
    pub(super) fn set_host(&self, servers: Vec<SocketAddr>) {
        let mut table = self.lock();
        if table.host == servers {
            return;
        }
        table.host = servers;
        for place in table.hosts.keys().copied().collect::<Vec<_>>() {
            let old = table.hosts[&place].clone();
            let given = table.host.clone();
            let servers = old.servers().replaced_by(given.clone());
            let group = table.group((place, false), given, servers);
            table.hosts.insert(place, group);
        }
        self.epoch.fetch_add(1, Ordering::Release);
    }

    /// Who is asked for an asker at that place; none where nothing may be asked.
    pub(super) fn find(&self, asker: Place, elsewhere: &Elsewhere) -> Option<Arc<Group>> {
        let mut table = self.lock();
        match elsewhere {
            Elsewhere::Never => None,
            Elsewhere::Host(host) => {
                if let Some(group) = table.hosts.get(host) {
                    return Some(group.clone());
                }
                let given = table.host.clone();
                let servers = Servers::new(given.clone());
                let group = table.group((*host, false), given, servers);
                table.hosts.insert(*host, group.clone());
                Some(group)
            }
            Elsewhere::Own(list) => {
                let servers = match table.own.get(&asker) {
                    Some(group) if group.given == *list => return Some(group.clone()),
                    Some(group) => group.servers().replaced_by(list.clone()),
                    None => Servers::new(list.clone()),
                };
                let group = table.group((asker, true), list.clone(), servers);
                table.own.insert(asker, group.clone());
                Some(group)
            }
        }
    }

    /// A namespace is gone, and with it the lists that were asked from it.
    pub(super) fn forget(&self, place: Place) {
        let mut table = self.lock();
        table.own.remove(&place);
        table.hosts.remove(&place);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn group(
        &mut self,
        (place, is_own): (Place, bool),
        given: Vec<SocketAddr>,
        servers: Servers,
    ) -> Arc<Group> {
        self.sources += 1;
        let addresses = servers.addresses().to_vec();
        Arc::new(Group {
            source: Source(self.sources),
            place,
            is_own,
            addresses,
            given,
            servers: Mutex::new(servers),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(last: u8) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, last], 53))
    }

    const HOST: Place = Place(1);

    #[test]
    fn askers_of_one_host_share_a_list_and_askers_with_their_own_do_not() {
        let groups = Groups::default();
        groups.set_host(vec![server(1)]);
        let find =
            |asker, elsewhere| groups.find(Place(asker), &elsewhere).map(|group| (group.source, group.place));
        let own = |asker| find(asker, Elsewhere::Own(vec![server(2)]));
        let host = find(5, Elsewhere::Host(HOST));
        assert_eq!(host, find(6, Elsewhere::Host(HOST)));
        assert_eq!(own(5), own(5));
        let twice = || find(7, Elsewhere::Own(vec![server(2), server(2)]));
        assert_eq!(twice(), twice());
        assert_ne!(own(5), own(6));
        assert_ne!(own(5).map(|(source, _)| source), host.map(|(source, _)| source));
        assert_eq!(own(6).map(|(_, place)| place), Some(Place(6)));
        assert_eq!(find(5, Elsewhere::Never), None);
    }

    #[test]
    fn another_list_is_another_source_and_the_same_list_is_not() {
        let groups = Groups::default();
        let source = || groups.find(Place(5), &Elsewhere::Host(HOST)).map(|group| group.source);
        groups.set_host(vec![server(1)]);
        let (first, epoch) = (source(), groups.epoch());
        groups.set_host(vec![server(1)]);
        assert_eq!((source(), groups.epoch()), (first, epoch));
        groups.set_host(vec![server(1), server(2)]);
        assert_ne!(source(), first);
        assert_ne!(groups.epoch(), epoch);
        let group = groups.find(Place(5), &Elsewhere::Host(HOST)).unwrap();
        assert_eq!(group.addresses, [server(1), server(2)]);
    }
}
