//! The threads that answer. Each waits for all sockets; whichever is free takes a handful of queries, answers those about
//! names of ours at once, and sends the others on.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use bowline_core::place::Place;
use bowline_core::port::Protocol;
use bowline_core::{Code, Error, Result};
use tracing::{debug, error, warn};

use crate::asker::Asker;
use crate::log::{Line, ring};

use client::{Client, Ear};
use mail::{Letterbox, Order};
use shared::Shared;
use slate::{Owed, Slate};

mod batch;
mod client;
mod connection;
mod decide;
mod flight;
mod forward;
mod mail;
mod poll;
mod random;
mod shared;
mod slab;
mod slate;
mod source;
pub mod stream;
mod timers;
mod train;
mod worker;

/// Makes sockets on their way to a server.
pub trait Dial: Send + Sync {
    /// A socket in that namespace, of a random port of its own, connected (TCP: connecting) to a server; it does not block.
    fn dial(&self, place: Place, protocol: Protocol, to: SocketAddr) -> io::Result<OwnedFd>;
}

/// The resolver's sockets in one namespace; they do not block.
#[derive(Debug)]
pub struct Ears {
    pub udp: UdpSocket,
    pub tcp: TcpListener,
}

#[derive(Debug, Clone)]
pub struct Options {
    pub threads: usize,
    pub cache_bytes: usize,
    /// A file in which what is on its way outlives the service, for [`Service::ask_again`] of the next.
    pub slate: Option<PathBuf>,
}

/// Dropped, its threads end.
pub struct Service {
    shared: Arc<Shared>,
    workers: Vec<(Letterbox, JoinHandle<()>)>,
    /// What an earlier service did not live to answer.
    owed: Mutex<Vec<Owed>>,
}

/// How long a question of the daemon's own may take: longer than any that is asked of servers.
const RESOLVE: Duration = Duration::from_secs(6);

impl Service {
    pub fn start(options: Options, dial: Arc<dyn Dial>) -> Result<Service> {
        let Options { threads, cache_bytes, slate } = options;
        let threads = threads.max(1);
        let (slate, owed) = slate.and_then(|path| open_slate(&path)).unzip();
        let shared = Arc::new(Shared::new(dial, threads, cache_bytes, slate));
        let owed = Mutex::new(owed.unwrap_or_default());
        let mut service = Service { shared: shared.clone(), workers: Vec::new(), owed };
        for number in 0..threads {
            let failed = |error: io::Error| {
                Error::new(Code::Kernel, format!("start thread {number} of the resolver")).because(error)
            };
            let (letterbox, mail) = mail::mail().map_err(failed)?;
            let shared = shared.clone();
            let thread = thread::Builder::new()
                .name(format!("dns-{number}"))
                .spawn(move || shared::work(number, &shared, &mail))
                .map_err(failed)?;
            service.workers.push((letterbox, thread));
        }
        // Every file that they need is open when this returns.
        for begun in service.tell_all(Order::Begin) {
            begun.recv().map_err(|error| {
                Error::new(Code::Kernel, "start the threads of the resolver").because(error)
            })?;
        }
        Ok(service)
    }

    /// Answers in one more namespace. One that is answered for already gets these sockets and this asker instead.
    pub fn open(&self, asker: Arc<Asker>, ears: Ears) -> Result<()> {
        let place = asker.place;
        let failed = |cause: &dyn std::fmt::Display| {
            Error::new(Code::Kernel, format!("answer names in {place}")).because(cause)
        };
        // Sockets that were kept over a restart may have been made to block by whoever kept them.
        let set = ears.udp.set_nonblocking(true).and_then(|()| ears.tcp.set_nonblocking(true));
        set.map_err(|error| failed(&error))?;
        let ear = Arc::new(Ear::new(Arc::new(Client::new(asker)), ears.udp, ears.tcp));
        let answers = {
            let mut table = self.shared.table();
            table.insert(place, ear.clone());
            self.tell_all(|done| Order::Open(ear.clone(), done))
        };
        drop(ear);
        for answer in answers {
            // A worker that failed meanwhile found the ear in the table when it began again.
            if let Ok(Err(error)) = answer.recv() {
                self.close(place);
                return Err(failed(&error));
            }
        }
        Ok(())
    }

    /// Answers what an earlier service did not live to answer, wherever is answered now. What is owed elsewhere is forgotten.
    pub fn ask_again(&self) {
        let owed = std::mem::take(&mut *self.owed.lock().unwrap_or_else(PoisonError::into_inner));
        for owed in owed {
            let worker = (owed.place.0 % self.workers.len() as u64) as usize;
            self.workers[worker].0.send(Order::Again(owed));
        }
    }

    /// Lets go of a namespace's sockets. When this returns they are closed, and so are those to its own servers.
    pub fn close(&self, place: Place) {
        let answers = {
            let mut table = self.shared.table();
            if table.remove(&place).is_none() {
                return;
            }
            self.tell_all(|done| Order::Close(place, done))
        };
        for answer in answers {
            if answer.recv().is_err() {
                debug!(%place, "a worker failed, and let go of everything");
            }
        }
        self.shared.groups.forget(place);
    }

    /// Whom to tell of namespaces where a socket came to its end by another's doing. It is asked for once, before the first is
    /// answered; what is told may be old, see [`Service::is_broken`].
    pub fn when_broken(&self, tell: Sender<Place>) {
        drop(self.shared.broken.set(tell));
    }

    /// Whether the sockets that it has in a namespace are no longer both of use.
    pub fn is_broken(&self, place: Place) -> bool {
        self.shared.table().get(&place).is_some_and(|ear| ear.is_broken())
    }

    /// The host's servers, from now on; what is under way is finished with those it began with.
    pub fn set_servers(&self, servers: Vec<SocketAddr>) {
        self.shared.groups.set_host(servers);
    }

    /// Asks as the namespace would, waits for the answer, and says what the log says of it.
    pub fn resolve(&self, place: Place, query: &[u8]) -> Result<(Vec<u8>, Line)> {
        let what = || format!("resolve a name as {place} would");
        if !self.shared.table().contains_key(&place) {
            return Err(Error::new(Code::EndpointNotFound, what()).because("nothing is answered there"));
        }
        let (to, answer) = channel();
        let worker = (place.0 % self.workers.len() as u64) as usize;
        self.workers[worker].0.send(Order::Resolve { place, query: query.to_vec(), to });
        match answer.recv_timeout(RESOLVE) {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(Error::new(Code::InvalidRequest, what()).because("that is no query")),
            Err(RecvTimeoutError::Timeout) => {
                Err(Error::new(Code::Timeout, what()).because(format!("no answer within {RESOLVE:?}")))
            }
            Err(RecvTimeoutError::Disconnected) => Err(Error::new(Code::Busy, what())
                .because("the question was dropped on its way")
                .fix("try again")),
        }
    }

    /// The last queries, oldest first: at most so many, and only those after that number.
    pub fn log(&self, after: u64, most: usize) -> Vec<Line> {
        ring::lines(self.shared.rings.iter(), &self.shared.numbers, after, most)
    }

    /// Forgets what servers answered. How many answers that were.
    pub fn flush(&self) -> usize {
        self.shared.cache.flush()
    }

    fn tell_all<T>(&self, order: impl Fn(Sender<T>) -> Order) -> Vec<Receiver<T>> {
        let tell = |(letterbox, _): &(Letterbox, JoinHandle<()>)| {
            let (done, answer) = channel();
            letterbox.send(order(done));
            answer
        };
        self.workers.iter().map(tell).collect()
    }
}

/// None where it cannot be had: a service without one is worth more than none.
fn open_slate(path: &Path) -> Option<(Arc<Slate>, Vec<Owed>)> {
    match Slate::open(path, SystemTime::now()) {
        Ok(opened) => Some(opened),
        Err(error) => {
            warn!(path = %path.display(), %error, "what is on its way to servers does not outlive us");
            None
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(slate) = &self.shared.slate {
            slate.close();
        }
        for (letterbox, _) in &self.workers {
            letterbox.send(Order::Stop);
        }
        for (_, thread) in self.workers.drain(..) {
            if thread.join().is_err() {
                error!("a thread of the resolver failed at its end");
            }
        }
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("workers", &self.workers.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
