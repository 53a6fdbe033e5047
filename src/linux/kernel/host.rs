//! A host's namespace: bridges, ports and our table live here, and so do sockets that are kept for ever.
//! Route sockets are taken and given back, so that a slow deletion on one of them holds up nobody.

use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use bowline_core::Result;
use bowline_core::place::Place;

use crate::netlink::Netlink;
use crate::netns;
use crate::nft::Nft;

#[derive(Debug)]
pub(crate) struct Host {
    place: Place,
    ns: OwnedFd,
    idle: Mutex<Vec<Netlink>>,
    /// Opened when first asked for, then never closed: closing is slow, and the table's ownership hangs on it.
    nft: Mutex<Option<Nft>>,
}

/// More sockets than this are not kept.
const IDLE: usize = 8;

impl Host {
    /// The namespace of the calling thread.
    pub(crate) fn own() -> Result<Host> {
        let route = Netlink::open()?;
        Ok(Host {
            place: route.place()?,
            ns: netns::current()?,
            idle: Mutex::new(vec![route]),
            nft: Mutex::new(None),
        })
    }

    /// Another namespace, whose sockets are made by a thread that visits it.
    pub(crate) fn of(ns: OwnedFd) -> Result<Host> {
        let route = netns::run(&ns, Netlink::open)??;
        Ok(Host { place: route.place()?, ns, idle: Mutex::new(vec![route]), nft: Mutex::new(None) })
    }

    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// Does this inside the namespace: here where this thread is in it, else on a thread born for it.
    pub(crate) fn enter<T: Send>(&self, body: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        if netns::cookie_of_current()? == self.place { body() } else { netns::run(&self.ns, body)? }
    }

    pub(crate) fn route<T>(&self, body: impl FnOnce(&mut Netlink) -> Result<T>) -> Result<T> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle().pop();
        let mut route = match kept {
            Some(route) => route,
            None => self.enter(Netlink::open)?,
        };
        let outcome = body(&mut route);
        let mut idle = idle();
        if route.is_usable() && idle.len() < IDLE {
            idle.push(route);
        }
        outcome
    }

    pub(crate) fn nft<T>(&self, body: impl FnOnce(&mut Nft) -> Result<T>) -> Result<T> {
        let mut nft = self.nft.lock().unwrap_or_else(PoisonError::into_inner);
        if nft.is_none() {
            *nft = Some(self.enter(Nft::open)?);
        }
        body(nft.as_mut().expect("it was opened just now"))
    }
}
