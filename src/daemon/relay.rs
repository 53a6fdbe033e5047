//! Carries in user space what the kernel cannot translate from a published port to its endpoint: from one family to the
//! other, and what is sent to the host's own ::1. Little ever comes here, so a port that nobody uses costs a small task.

mod socket;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{self, Receiver, RecvError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::sockets::Listening;
use bowline_core::driver::published::{Clients, Relay};
use bowline_core::place::Place;
use bowline_core::port::{HostPort, Protocol};
use bowline_core::{Code, Error, Result};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

type Key = (Place, HostPort);

/// What the relay needs of the outside: a fresh socket in the namespace of the host's side, on its way to an endpoint.
pub(crate) trait Dial: Send + Sync {
    /// Nonblocking, and connected or (TCP) still connecting: EINPROGRESS is no failure. Called from a blocking thread.
    fn dial(&self, protocol: Protocol, to: SocketAddr) -> io::Result<OwnedFd>;
}

/// The ports that are served, each by a task. To be called from blocking threads.
pub(crate) struct Relays {
    handle: Handle,
    served: Mutex<HashMap<Key, Served>>,
    shared: Arc<Shared>,
}

/// How many at once, and how long.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Of one port, and of all of them.
    connections: usize,
    connections_in_all: usize,
    flows: usize,
    flows_in_all: usize,
    /// Few, so that a flood of clients does not take the threads that serve the API.
    dials: usize,
    connect: Duration,
    /// How long a flow of datagrams lasts after the last one.
    idle: Duration,
}

const LIMITS: Limits = Limits {
    connections: 1024,
    connections_in_all: 8192,
    flows: 1024,
    flows_in_all: 8192,
    dials: 8,
    connect: Duration::from_secs(10),
    idle: Duration::from_secs(90),
};

/// What all that is relayed has in common.
struct Shared {
    limits: Limits,
    connections: Arc<Semaphore>,
    flows: Arc<Semaphore>,
    dials: Semaphore,
}

struct Served {
    task: Owned,
    /// Hears of the end of its [`Held`].
    closed: Receiver<Infallible>,
}

/// The socket that holds a port. Fields are dropped in order, so that whoever hears of its end finds the port free.
struct Held<S> {
    socket: S,
    _closed: Sender<Infallible>,
}

/// From one port to its endpoint.
#[derive(Clone)]
struct Way {
    port: HostPort,
    to: SocketAddr,
    clients: Clients,
    dial: Arc<dyn Dial>,
    shared: Arc<Shared>,
}

/// A task that ends with its owner.
struct Owned(JoinHandle<()>);

/// Waits longer after each failure in a row, so that one that lasts costs next to nothing.
struct Pause(Duration);

impl Relays {
    pub(crate) fn new(handle: Handle) -> Relays {
        Relays::within(handle, LIMITS)
    }

    fn within(handle: Handle, limits: Limits) -> Relays {
        let shared = Shared {
            limits,
            connections: Arc::new(Semaphore::new(limits.connections_in_all)),
            flows: Arc::new(Semaphore::new(limits.flows_in_all)),
            dials: Semaphore::new(limits.dials),
        };
        Relays { handle, served: Mutex::default(), shared: Arc::new(shared) }
    }

    /// Begins to serve a socket: TCP that listens, or UDP that is bound and tells which address was asked (IP_PKTINFO,
    /// IPV6_RECVPKTINFO). It takes the place of an earlier one of that key.
    pub(crate) fn serve(
        &self,
        key: Key,
        socket: Listening,
        to: impl Into<Relay>,
        dial: Arc<dyn Dial>,
    ) -> Result<()> {
        let (place, port) = key;
        let Relay { to, clients } = to.into();
        let what = || format!("relay {port} in {place} to {to}");
        let failed = |error: io::Error| Error::new(Code::Kernel, what()).because(error);
        let way = Way { port, to, clients, dial, shared: self.shared.clone() };
        // Sockets find the runtime that watches them by this.
        let _inside = self.handle.enter();
        let (_closed, closed) = mpsc::channel();
        // What serves it already has it registered with the runtime, which would not take it twice.
        self.end(&key);
        let task = match socket {
            Listening::Tcp(listener) => {
                listener.set_nonblocking(true).map_err(failed)?;
                let held = Held { socket: socket::watched(listener).map_err(failed)?, _closed };
                self.handle.spawn(tcp::serve(held, way))
            }
            Listening::Udp(socket) => {
                socket.set_nonblocking(true).map_err(failed)?;
                let held = Held { socket: socket::watched(socket).map_err(failed)?, _closed };
                self.handle.spawn(udp::serve(held, way))
            }
        };
        self.lock().insert(key, Served { task: Owned(task), closed });
        Ok(())
    }

    /// When this returns, its socket is closed and its connections are being cut.
    pub(crate) fn end(&self, key: &Key) {
        let Some(Served { task, closed }) = self.lock().remove(key) else { return };
        drop(task);
        // Nothing is ever sent; this waits until nobody is left who could.
        let Err(RecvError) = closed.recv();
    }

    pub(crate) fn serves(&self, key: &Key) -> bool {
        self.lock().contains_key(key)
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Served>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Way {
    fn admits(&self, client: IpAddr) -> bool {
        match self.clients {
            Clients::All => true,
            Clients::Untranslated => {
                !(client.to_canonical().is_ipv4() && self.to.ip().to_canonical().is_ipv4())
            }
        }
    }

    /// Off the event loop, since a namespace may have to be entered first.
    async fn dial(&self) -> io::Result<OwnedFd> {
        let _turn = self.shared.dials.acquire().await.expect("the semaphore is never closed");
        let (dial, protocol, to) = (self.dial.clone(), self.port.protocol, self.to);
        tokio::task::spawn_blocking(move || dial.dial(protocol, to)).await.map_err(io::Error::other)?
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Pause {
    const FIRST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_secs(1);

    fn new() -> Pause {
        Pause(Pause::FIRST)
    }

    async fn after(&mut self, port: HostPort, error: &io::Error) {
        if self.0 == Pause::FIRST {
            tracing::warn!(%port, "relay a published port: {error}");
        }
        tokio::time::sleep(self.next()).await;
    }

    fn next(&mut self) -> Duration {
        let longer = (self.0 * 2).min(Pause::LONGEST);
        std::mem::replace(&mut self.0, longer)
    }
}

/// Lends this thread's buffer, which holds any datagram: what is idle has none of its own.
fn with_buffer<T>(act: impl FnOnce(&mut [u8]) -> T) -> T {
    thread_local! {
        static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; 64 << 10].into());
    }
    BUFFER.with_borrow_mut(|buffer| act(buffer))
}
