//! Sockets made in advance in other namespaces: a visit costs far more than a socket does, so each visit makes several.
//! Every one is handed out once, so that each query leaves by a port of its own.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bowline_core::place::Place;
use bowline_core::port::Protocol;

use super::{dial, namespace_of, send_off, unconnected, visit};

/// Made by one visit, by one who asks a lot. The first visit makes a single one, and each later one twice as many, so that
/// the many who ask hardly ever cost hardly any files.
const MOST_A_VISIT: usize = 16;
/// Waiting in all namespaces together. Beyond this each visit makes only what is wanted at once.
const MOST_WAITING: usize = 4096;

/// Namespaces that are dialled from. While one is known it lives, so it must be forgotten for it to die.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    places: RwLock<HashMap<Place, Arc<Origin>>>,
    waiting: Arc<AtomicUsize>,
}

/// One namespace that is dialled from.
#[derive(Debug)]
struct Origin {
    ns: OwnedFd,
    ipv4: Mutex<Spares>,
    ipv6: Mutex<Spares>,
    /// In all namespaces.
    waiting: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Spares {
    sockets: Vec<OwnedFd>,
    last_made: usize,
}

impl Pool {
    /// From now on the place may be dialled from. Any socket of its namespace shows the way, and is not kept.
    pub(crate) fn know(&self, place: Place, door: BorrowedFd<'_>) -> io::Result<()> {
        let origin = Origin {
            ns: namespace_of(door)?,
            ipv4: Mutex::default(),
            ipv6: Mutex::default(),
            waiting: self.waiting.clone(),
        };
        let mut places = self.places.write().unwrap_or_else(PoisonError::into_inner);
        // One that is known already keeps its spares.
        places.entry(place).or_insert_with(|| Arc::new(origin));
        Ok(())
    }

    /// The namespace itself, for whoever must go there once more. It is kept as long as that is.
    pub(crate) fn namespace(&self, place: Place) -> Option<io::Result<OwnedFd>> {
        let known = self.places.read().unwrap_or_else(PoisonError::into_inner).get(&place).cloned();
        Some(known?.ns.try_clone())
    }

    /// Closes all that waits there, and lets the namespace go. A call that is under way ends by itself, and keeps nothing.
    pub(crate) fn forget(&self, place: Place) {
        let gone = self.places.write().unwrap_or_else(PoisonError::into_inner).remove(&place);
        // Closed when nobody waits for the lock any more.
        drop(gone);
    }

    /// A socket of that place, of a random port of its own, connected or connecting to a server.
    pub(crate) fn dial(&self, place: Place, protocol: Protocol, to: SocketAddr) -> io::Result<OwnedFd> {
        let known = self.places.read().unwrap_or_else(PoisonError::into_inner).get(&place).cloned();
        let Some(origin) = known else {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("{place} is not known")));
        };
        match protocol {
            Protocol::Udp => {
                let socket = origin.spare(to)?;
                send_off(&socket, to)?;
                Ok(socket)
            }
            Protocol::Tcp => visit(&origin.ns, || dial(protocol, to)),
            Protocol::Sctp => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// How many sockets wait to be used.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

impl Origin {
    /// Whoever comes while some are being made waits for these.
    fn spare(&self, to: SocketAddr) -> io::Result<OwnedFd> {
        let spares = if to.is_ipv4() { &self.ipv4 } else { &self.ipv6 };
        let mut spares = spares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(socket) = spares.sockets.pop() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Ok(socket);
        }
        let room = MOST_WAITING.saturating_sub(self.waiting.load(Ordering::Relaxed));
        let count = (spares.last_made * 2).clamp(1, MOST_A_VISIT).min(room + 1);
        let (socket, mut more) = visit(&self.ns, || make(count, to))?;
        self.waiting.fetch_add(more.len(), Ordering::Relaxed);
        spares.last_made = count;
        spares.sockets.append(&mut more);
        Ok(socket)
    }
}

/// One, and as many more as can be had.
fn make(count: usize, to: SocketAddr) -> io::Result<(OwnedFd, Vec<OwnedFd>)> {
    let first = unconnected(Protocol::Udp, to)?;
    let more = (1..count).map_while(|_| unconnected(Protocol::Udp, to).ok());
    Ok((first, more.collect()))
}

impl Drop for Origin {
    fn drop(&mut self) {
        for spares in [&mut self.ipv4, &mut self.ipv6] {
            let left = spares.get_mut().unwrap_or_else(PoisonError::into_inner).sockets.len();
            self.waiting.fetch_sub(left, Ordering::Relaxed);
        }
    }
}
