//! Whether a namespace that we have sockets in would still be there without us. A socket keeps its namespace alive and is
//! never told that it is the last to do so; this watches what others keep it by, and says when nothing is left.
//!
//! ```text
//! its path leads there -- gone, or leads elsewhere --> sought --- a process in it, or a mount of it ---.
//!         ^                                              | none, however often one looked               |
//!         |                                              v                                              |
//!         |                                            told                                             |
//!         '------------------ that one's path is watched in its place <--------------------------------'
//! ```
//! Nothing here keeps a namespace open. It is known by the number of its file, which no other can have while our
//! sockets are in it.

mod folders;
mod pidfd;
mod search;
#[cfg(test)]
mod tests;
mod watcher;

use std::fmt;
use std::fs::Metadata;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bowline_core::place::{Found, Place};
use bowline_core::{Code, Error, Result};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::stat::fstat;

use watcher::Watcher;

/// Called on the watching thread, with no lock held. The place is not watched any more by then.
pub type Tell = Box<dyn Fn(Place) + Send + Sync>;

/// Watches namespaces on a thread of its own. Dropped, it waits for that thread to end, and so for what it has called.
pub struct Anchors {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

/// What is asked of the watching thread, which a bell wakes.
#[derive(Debug)]
struct Desk {
    orders: Mutex<Vec<Order>>,
    bell: EventFd,
}

#[derive(Debug)]
enum Order {
    Hold(Place, Ident, Way),
    Forget(Place),
    End,
    /// Says what keeps each of them, once nothing is left to do at once.
    #[cfg(test)]
    Report(std::sync::mpsc::Sender<std::collections::BTreeMap<Place, Option<PathBuf>>>),
}

/// How others find a namespace.
#[derive(Debug)]
enum Way {
    /// By this path, which leads there, or did when it was held.
    Seen(PathBuf),
    /// By a path that leads nowhere, or elsewhere, as far as we can see.
    Unseen(PathBuf),
    None,
}

/// What a namespace's file is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Ident {
    dev: u64,
    ino: u64,
}

/// How long to wait for what.
#[derive(Debug, Clone)]
struct Pace {
    /// Between looks at everything, for what no notice tells.
    audit: Duration,
    /// Between something that was mounted or unmounted and that look.
    mounted: Duration,
    /// Before looking for the first time for what keeps a namespace that came without a path that we see: nothing is lost by
    /// then, and one look answers for all that came meanwhile.
    first: Duration,
    /// Before looking once more for what keeps a namespace whose path we have seen go: a process may have had a child
    /// and ended while we looked.
    short: Vec<Duration>,
    /// The same where there is no path, so that whoever keeps it has it open or is in it.
    pathless: Vec<Duration>,
    /// The same where there is a path that we cannot see, as in another mount namespace.
    long: Vec<Duration>,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            audit: Duration::from_secs(300),
            mounted: Duration::from_millis(200),
            first: Duration::from_millis(10),
            short: vec![Duration::from_millis(100)],
            pathless: [100, 400, 1000, 2000].map(Duration::from_millis).to_vec(),
            long: [1, 2, 4, 8, 16, 30].map(Duration::from_secs).to_vec(),
        }
    }
}

impl Anchors {
    /// `tell` is called once for each namespace that nobody but us seems to keep any more. It may come late: for a place
    /// that was forgotten, and perhaps held again, at the same moment.
    pub fn new(tell: Tell) -> Result<Anchors> {
        Anchors::at_pace(Pace::default(), tell)
    }

    fn at_pace(pace: Pace, tell: Tell) -> Result<Anchors> {
        let failed = |e: &dyn fmt::Display| Error::new(Code::Kernel, "watch namespaces").because(e);
        let bell = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK);
        let desk = Arc::new(Desk { orders: Mutex::default(), bell: bell.map_err(|e| failed(&e.desc()))? });
        let mut watcher = Watcher::new(desk.clone(), pace, tell).map_err(|e| failed(&e.desc()))?;
        let thread = std::thread::Builder::new().name("anchors".into()).spawn(move || watcher.run());
        Ok(Anchors { desk, thread: Some(thread.map_err(|e| failed(&e))?) })
    }

    /// From now on the namespace is watched, which is not kept open. `way` is where others find it: a path in
    /// /run/netns, or of a process in /proc. One that is watched already is watched by this path instead.
    /// Whether it leads there now.
    pub fn hold(&self, place: Place, ns: BorrowedFd<'_>, way: Found<'_>) -> Result<bool> {
        let found = fstat(ns).map_err(|e| {
            Error::new(Code::Kernel, format!("look at {place} to watch it")).because(e.desc())
        })?;
        let ident = Ident { dev: found.st_dev, ino: found.st_ino };
        let leads = match way {
            Found::Nowhere => false,
            Found::Seen(path) | Found::By(path) => Ident::at(Path::new(path)) == Some(ident),
        };
        let way = match way {
            Found::Nowhere => Way::None,
            Found::By(path) if !leads => Way::Unseen(path.into()),
            Found::Seen(path) | Found::By(path) => Way::Seen(path.into()),
        };
        self.desk.ask(Order::Hold(place, ident, way));
        Ok(leads)
    }

    /// It is watched no more.
    pub fn forget(&self, place: Place) {
        self.desk.ask(Order::Forget(place));
    }
}

impl Desk {
    fn ask(&self, order: Order) {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).push(order);
        // Refused only where it has been rung without end already.
        if let Err(errno) = self.bell.write(1) {
            tracing::debug!(%errno, "the bell of the watched namespaces rings already");
        }
    }

    fn orders(&self) -> Vec<Order> {
        if let Err(errno) = self.bell.read() {
            tracing::debug!(%errno, "the bell of the watched namespaces was silent");
        }
        std::mem::take(&mut *self.orders.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl AsFd for Desk {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

impl Ident {
    fn of(found: &Metadata) -> Ident {
        Ident { dev: found.dev(), ino: found.ino() }
    }

    /// What the path leads to now.
    fn at(path: &Path) -> Option<Ident> {
        std::fs::metadata(path).ok().map(|found| Ident::of(&found))
    }
}

impl Drop for Anchors {
    fn drop(&mut self) {
        self.desk.ask(Order::End);
        let Some(thread) = self.thread.take() else { return };
        // Dropped by what it called, the thread cannot wait for itself, and ends when that returns.
        if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
            tracing::error!("the thread that watches namespaces panicked");
        }
    }
}

impl fmt::Debug for Anchors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Anchors").field("desk", &self.desk).finish_non_exhaustive()
    }
}
