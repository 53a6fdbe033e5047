//! The resolvers' sockets of all container namespaces, from when they are made until the daemon has taken them, and what
//! is needed to reach servers from there.
//!
//! A socket keeps its namespace. So everything here that is one is let go of together, by [`Resolvers::forget`].

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bowline_core::place::Place;
use bowline_core::port::Protocol;
use bowline_core::{Code, Error, Result};

use super::guest::Guest;
use crate::dial::Pool;
use crate::nft::rewrite::{self, Ports};
use crate::resolver::{self, Ears};

#[derive(Debug, Default)]
pub(crate) struct Resolvers {
    made: Mutex<HashMap<Place, Made>>,
    /// The ways back in, of those that are anchored.
    ways: Pool,
}

#[derive(Debug)]
struct Made {
    /// None once they are known to be good for nothing.
    ports: Option<Ports>,
    /// Until somebody takes them.
    ears: Option<Ears>,
}

impl Resolvers {
    /// Inside, on a visiting thread. Where the sockets are there, queries are only led to them again.
    pub(super) fn make(&self, place: Place) -> Result<()> {
        if let Some(ports) = self.ports(place) {
            return if rewrite::seen()? == Some(ports) { Ok(()) } else { rewrite::put(ports) };
        }
        let ears = resolver::make()?;
        let ports = resolver::ports(&ears)?;
        self.made().insert(place, Made { ports: Some(ports), ears: Some(ears) });
        Ok(())
    }

    pub(super) fn unmake(&self, place: Place) -> Result<()> {
        self.forget(place);
        resolver::unmake()
    }

    /// Inside: whether its programs are heard.
    pub(super) fn is_made(&self, place: Place) -> Result<bool> {
        match self.ports(place) {
            Some(ports) => Ok(rewrite::seen()? == Some(ports)),
            None => Ok(false),
        }
    }

    /// Whoever hears by them found that they are good for nothing. Queries are led there until others are made.
    pub(super) fn lose(&self, place: Place) {
        if let Some(made) = self.made().get_mut(&place) {
            *made = Made { ports: None, ears: None };
        }
    }

    pub(super) fn take(&self, place: Place) -> Option<Ears> {
        self.made().get_mut(&place)?.ears.take()
    }

    pub(super) fn adopt(&self, sockets: Vec<OwnedFd>) -> Result<(Place, Ears)> {
        let [udp, tcp] = <[OwnedFd; 2]>::try_from(sockets).map_err(|others| {
            Error::new(Code::Internal, "take up a resolver's sockets")
                .because(format!("there are {} and not two", others.len()))
        })?;
        let (place, ears) = resolver::adopt(udp, tcp)?;
        let ports = resolver::ports(&ears)?;
        self.made().insert(place, Made { ports: Some(ports), ears: None });
        Ok((place, ears))
    }

    /// From now on sockets can be made there, by way of one that is there.
    pub(super) fn lead_in(&self, place: Place, by: BorrowedFd<'_>) -> Result<()> {
        self.ways
            .know(place, by)
            .map_err(|e| Error::new(Code::Kernel, "keep a way into a container's namespace").because(e))
    }

    /// None where no resolver is.
    pub(super) fn dial(
        &self,
        place: Place,
        protocol: Protocol,
        to: SocketAddr,
    ) -> Option<io::Result<OwnedFd>> {
        self.made().contains_key(&place).then(|| self.ways.dial(place, protocol, to))
    }

    /// Takes the rewriting out of a namespace that lives on, when the one who calls is ready for that: its thread is not
    /// waited for, which may take long to end. None where we have no way in.
    pub(super) fn leave(&self, place: Place) -> Option<impl FnOnce() -> Result<()> + Send + use<>> {
        let ns = self.ways.namespace(place)?;
        let failed = |e| Error::new(Code::Kernel, "keep a network namespace open").because(e);
        Some(move || Guest::enter(ns.map_err(failed)?)?.run(|_| resolver::unmake()))
    }

    pub(super) fn way_in(&self, place: Place) -> Option<OwnedFd> {
        self.ways.namespace(place)?.ok()
    }

    pub(super) fn forget(&self, place: Place) {
        let gone = self.made().remove(&place);
        drop(gone);
        self.ways.forget(place);
    }

    fn ports(&self, place: Place) -> Option<Ports> {
        self.made().get(&place)?.ports
    }

    fn made(&self) -> MutexGuard<'_, HashMap<Place, Made>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
