//! One namespace that is served: its sockets, who it is, and how much of us it takes.

use std::net::{TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use crate::asker::{Asker, View};

use super::slab::Key;
use super::source::{Group, Groups};

/// How many queries of one namespace may be on their way to servers.
pub(super) const FORWARDS: usize = 256;
/// And of all together.
pub(super) const FORWARDS_OF_ALL: usize = 4096;

/// A namespace's sockets. All workers hold them; whoever lets go last closes them.
#[derive(Debug)]
pub(super) struct Ear {
    pub(super) client: Arc<Client>,
    pub(super) udp: UdpSocket,
    pub(super) tcp: TcpListener,
    /// One of them is good for nothing any more.
    broken: AtomicBool,
}

/// Who asks, without a socket of its: what a query on its way may hold.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) asker: Arc<Asker>,
    forwards: AtomicUsize,
}

/// The right to have one query on its way. Given back when dropped, whatever became of the query.
#[derive(Debug)]
pub(super) struct Permit {
    pub(super) client: Arc<Client>,
    all: Arc<AtomicUsize>,
}

/// A worker's own view of an ear.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) ear: Arc<Ear>,
    /// Who is asked elsewhere, as of `seen` and `epoch`.
    pub(super) group: Option<Arc<Group>>,
    /// The view that it was when last looked at. Not held: an idle container keeps no zone of a network that is gone.
    seen: Weak<View>,
    epoch: u64,
    pub(super) connections: Vec<Key>,
    pub(super) datagrams: Hearing,
    pub(super) streams: Hearing,
    /// The last round in which one of them had a turn.
    pub(super) round: u64,
}

/// How a worker stands to one socket of an ear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hearing {
    /// Another worker's, or one that is broken for good.
    Off,
    On,
    /// The kernel is short of something. It would ring all the time, so nobody waits for it until then.
    Paused(Instant),
}

impl Ear {
    pub(super) fn new(client: Arc<Client>, udp: UdpSocket, tcp: TcpListener) -> Ear {
        Ear { client, udp, tcp, broken: AtomicBool::new(false) }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    pub(super) fn set_broken(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }
}

impl Client {
    pub(super) fn new(asker: Arc<Asker>) -> Client {
        Client { asker, forwards: AtomicUsize::new(0) }
    }

    /// None where this namespace, or all together, have as many on their way as they may.
    pub(super) fn permit(self: &Arc<Client>, all: &Arc<AtomicUsize>) -> Option<Permit> {
        if self.forwards.fetch_add(1, Ordering::Relaxed) >= FORWARDS {
            self.forwards.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let permit = Permit { client: self.clone(), all: all.clone() };
        // Dropped again, the permit gives both back.
        (all.fetch_add(1, Ordering::Relaxed) < FORWARDS_OF_ALL).then_some(permit)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.client.forwards.fetch_sub(1, Ordering::Relaxed);
        self.all.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Served {
    pub(super) fn new(ear: Arc<Ear>) -> Served {
        Served {
            ear,
            group: None,
            seen: Weak::new(),
            epoch: 0,
            connections: Vec::new(),
            datagrams: Hearing::Off,
            streams: Hearing::Off,
            round: 0,
        }
    }

    /// What the asker sees now. Costs next to nothing while nothing changed.
    pub(super) fn refresh(&mut self, groups: &Groups) -> Arc<View> {
        let view = self.ear.client.asker.view();
        // Read before the group is: a change in between is seen the next time.
        let epoch = groups.epoch();
        // What was seen may be dropped, but its address is not used again while we know it.
        if self.seen.as_ptr() != Arc::as_ptr(&view) || epoch != self.epoch {
            self.group = groups.find(self.ear.client.asker.place, &view.elsewhere);
            self.seen = Arc::downgrade(&view);
            self.epoch = epoch;
        }
        view
    }
}

#[cfg(test)]
mod tests {
    use bowline_core::place::Place;

    use super::*;

    fn client() -> Arc<Client> {
        Arc::new(Client::new(Arc::new(Asker::new(Place(1), View::default()))))
    }

    #[test]
    fn what_an_idle_namespace_saw_last_is_not_kept() {
        let (client, groups) = (client(), Groups::default());
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut served = Served::new(Arc::new(Ear::new(client.clone(), udp, tcp)));
        let seen = Arc::downgrade(&served.refresh(&groups));
        assert!(seen.upgrade().is_some());
        let elsewhere = crate::asker::Elsewhere::Host(Place(2));
        client.asker.set(View { elsewhere, ..View::default() });
        assert!(seen.upgrade().is_none());
        assert!(served.group.is_none());
        served.refresh(&groups);
        assert_eq!(served.group.as_ref().map(|group| group.place), Some(Place(2)));
    }

    #[test]
    fn one_namespace_has_its_share_and_gives_it_back() {
        let (all, one, two) = (Arc::default(), client(), client());
        let mut permits: Vec<_> = (0..FORWARDS).map(|_| one.permit(&all).unwrap()).collect();
        assert!(one.permit(&all).is_none());
        assert!(two.permit(&all).is_some(), "the other has its own");
        permits.pop();
        assert!(one.permit(&all).is_some());
        drop(permits);
        assert_eq!((all.load(Ordering::Relaxed), one.forwards.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn all_together_have_no_more_than_their_share() {
        let all = Arc::default();
        let clients: Vec<_> = (0..FORWARDS_OF_ALL / FORWARDS).map(|_| client()).collect();
        let permits: Vec<_> =
            clients.iter().flat_map(|client| (0..FORWARDS).map(|_| client.permit(&all).unwrap())).collect();
        let late = client();
        assert!(late.permit(&all).is_none());
        assert_eq!(late.forwards.load(Ordering::Relaxed), 0);
        drop(permits);
        assert!(late.permit(&all).is_some());
    }
}
