//! A host's namespace: bridges, ports and our table live here, and so do sockets that are kept for ever.
//! Route sockets are taken and given back, so that a slow deletion on one of them holds up nobody.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bowline_core::Result;
use bowline_core::firewall::hooks::Hooks;
use bowline_core::place::Place;
use bowline_core::port::HostPort;

use super::parents::ParentWatch;
use super::stems::Stems;
use super::tables::TableWatch;
use crate::conntrack::{Conntrack, Flows};
use crate::hold::{Held, Keeping, Socket};
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
    hooks: Arc<Mutex<Hooks>>,
    held: Mutex<Held>,
    conntrack: Mutex<Option<Conntrack>>,
    /// The number of the socket that our tables are changed by, once there is one.
    nft_port: Arc<AtomicU32>,
    tables: OnceLock<Arc<TableWatch>>,
    /// Cards in containers that hang on links of here.
    stems: Arc<Stems>,
    parents: OnceLock<Arc<ParentWatch>>,
}

/// More sockets than this are not kept.
const IDLE: usize = 8;

impl Host {
    /// The namespace of the calling thread.
    pub(crate) fn own(hooks: Arc<Mutex<Hooks>>, keeping: Keeping) -> Result<Host> {
        let route = Netlink::open()?;
        Host::with(netns::current()?, route, hooks, keeping)
    }

    /// Another namespace, whose sockets are made by a thread that visits it.
    pub(crate) fn of(ns: OwnedFd, hooks: Arc<Mutex<Hooks>>, keeping: Keeping) -> Result<Host> {
        let route = netns::run(&ns, Netlink::open)??;
        Host::with(ns, route, hooks, keeping)
    }

    fn with(ns: OwnedFd, route: Netlink, hooks: Arc<Mutex<Hooks>>, keeping: Keeping) -> Result<Host> {
        let place = route.place()?;
        Ok(Host {
            place,
            ns,
            idle: Mutex::new(vec![route]),
            nft: Mutex::new(None),
            hooks,
            held: Mutex::new(Held::at(place, keeping)),
            conntrack: Mutex::new(None),
            nft_port: Arc::default(),
            tables: OnceLock::new(),
            stems: Arc::default(),
            parents: OnceLock::new(),
        })
    }

    pub(crate) fn place(&self) -> Place {
        self.place
    }

    pub(crate) fn ns(&self) -> BorrowedFd<'_> {
        self.ns.as_fd()
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
            let mut opened = self.enter(Nft::open)?;
            opened.keep_hooks(self.hooks.lock().unwrap_or_else(PoisonError::into_inner).clone());
            self.nft_port.store(opened.port(), Ordering::Relaxed);
            *nft = Some(opened);
        }
        body(nft.as_mut().expect("it was opened just now"))
    }

    pub(super) fn nft_port(&self) -> Arc<AtomicU32> {
        self.nft_port.clone()
    }

    pub(super) fn stems(&self) -> &Arc<Stems> {
        &self.stems
    }

    pub(super) fn watched_by(&self, tables: Arc<TableWatch>, parents: Arc<ParentWatch>) {
        // A host is watched once.
        drop(self.tables.set(tables));
        drop(self.parents.set(parents));
    }

    /// What becomes of links that cards hang on, once somebody watches.
    pub(super) fn parents(&self) -> Option<&Arc<ParentWatch>> {
        self.parents.get()
    }

    /// Has it told when others change our tables.
    pub(super) fn watch_tables(&self) {
        if let Some(tables) = self.tables.get() {
            tables.ask();
        }
    }

    /// Sockets that are already there need no visit to the namespace; those to be made do.
    pub(crate) fn held<T: Send>(&self, body: impl FnOnce(&mut Held) -> Result<T> + Send) -> Result<T> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let held = &mut *held;
        self.enter(|| body(held))
    }

    /// Holds what was kept under that name while no daemon ran.
    pub(super) fn adopt_ports(&self, name: &str, sockets: Vec<OwnedFd>) -> Result<()> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).adopt(self.place, name, sockets)
    }

    /// The socket that holds a port, made to hear.
    pub(crate) fn listen(&self, port: &HostPort) -> Result<Option<Socket>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).listen(port)
    }

    pub(crate) fn forget(&self, flows: &Flows) -> Result<()> {
        if flows.is_empty() {
            return Ok(());
        }
        let mut kept = self.conntrack.lock().unwrap_or_else(PoisonError::into_inner);
        let mut conntrack = match kept.take() {
            Some(conntrack) => conntrack,
            None => self.enter(Conntrack::open)?,
        };
        let forgotten = conntrack.forget(flows)?;
        tracing::debug!(flows = forgotten, "forgot");
        *kept = Some(conntrack);
        Ok(())
    }
}
