//! The namespaces that networks live in: the daemon's own, and those that callers brought. A caller's is kept, and kept
//! alive, for as long as a network is in it.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::sync::{Mutex, MutexGuard};

use bowline_api::v1;
use bowline_core::kernel::Moved;
use bowline_core::network::Network;
use bowline_core::place::{Door, Place};
use bowline_core::state::State;
use bowline_core::{Code, Error, Result, driver};

use super::{Manager, held};

/// Locked for as long as a network is made or removed: one at a time, so that two never choose the same subnet.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    sides: Mutex<BTreeMap<Place, Side>>,
    /// Where notices of what moves are sent, once somebody listens.
    notices: Mutex<Option<Sender<Moved>>>,
}

/// What was made of a host itself, for its networks.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Side {
    pub(super) framed: bool,
    pub(super) forwards: bool,
    pub(super) ipv6: bool,
}

impl Hosts {
    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<Place, Side>> {
        held(&self.sides)
    }
}

impl Side {
    /// What these networks need of it.
    pub(super) fn of<'a>(networks: impl Iterator<Item = &'a Network>) -> Side {
        networks.fold(Side::default(), Side::with)
    }

    pub(super) fn state(self, place: Place) -> State {
        if self.framed { driver::host(place, self.forwards, self.ipv6) } else { State::default() }
    }

    /// Once this network is there too.
    pub(super) fn with(self, network: &Network) -> Side {
        let passes = driver::passes_the_host(network);
        let leads = passes && network.medium.is_our_bridge();
        Side {
            framed: self.framed || passes,
            forwards: self.forwards || leads,
            ipv6: self.ipv6 || (leads && network.has_ipv6()),
        }
    }
}

impl Manager {
    /// From now on, what moves in any host's namespace is told to `notices`.
    pub(super) fn listen(&self, notices: Sender<Moved>) -> Result<()> {
        *held(&self.hosts.notices) = Some(notices);
        let places: Vec<Place> =
            self.hosts.lock().keys().copied().filter(|&place| place != self.host).collect();
        std::iter::once(self.host).chain(places).try_for_each(|place| {
            self.watch_host(place)?;
            self.follow_parents(place);
            Ok(())
        })
    }

    fn watch_host(&self, place: Place) -> Result<()> {
        let Some(notices) = held(&self.hosts.notices).clone() else { return Ok(()) };
        // A notice that nobody reads any more is the last one: the daemon ends.
        self.kernel.watch(place, Box::new(move |moved| drop(notices.send(moved))))
    }

    /// Opens a namespace for a network to live in. None is the daemon's own.
    pub(super) fn enter_host(&self, sides: &mut BTreeMap<Place, Side>, door: Option<&Door>) -> Result<Place> {
        let Some(door) = door else { return Ok(self.host) };
        let place = self.kernel.open_host(door)?;
        if place != self.host && !sides.contains_key(&place) {
            self.watch_host(place)?;
            sides.insert(place, Side::default());
        }
        Ok(place)
    }

    /// Lets go of a caller's namespace when no network is left in it.
    pub(super) fn leave_host(&self, sides: &mut BTreeMap<Place, Side>, place: Place) {
        let used = self.index.networks().iter().any(|keeper| keeper.host == place);
        if place != self.host && !used {
            sides.remove(&place);
            self.kernel.close_host(place);
        }
    }

    /// After a restart: the namespace is found by its path, or it is gone and everything in it.
    pub(super) fn find_host(&self, known: Option<&v1::NetnsStatus>) -> Result<Place> {
        let Some(known) = known else { return Ok(self.host) };
        let gone = |why: String| Error::new(Code::NetnsGone, "find the namespace of a network").because(why);
        let path = known.path.as_ref().ok_or_else(|| gone("it was handed over without a path".into()))?;
        let place = self.kernel.open_host(&Door::Path(path.clone()))?;
        if place != Place(known.cookie) {
            if !self.hosts.lock().contains_key(&place) {
                self.kernel.close_host(place);
            }
            return Err(gone(format!("{path} leads to another one now")));
        }
        self.hosts.lock().entry(place).or_default();
        Ok(place)
    }
}
