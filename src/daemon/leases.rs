//! The leases that endpoints have of DHCP servers, and the conversations about them. One thread keeps them all; somebody who
//! waits for his first lease talks by himself.
//!
//! A conversation has sockets in its container's namespace, which keep that. So they are open while an answer may come, for
//! seconds, and a lease between two renewals has none.

mod clock;
mod talk;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bowline_core::state::LinkKey;
use bowline_core::{Code, Error, Result};
use bowline_dhcp::Client;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

pub(crate) use clock::{now, unix_ms};
pub(crate) use talk::{News, Talk, farewell};

/// Of conversations that have sockets at once; others wait for their turn.
const MOST_AT_ONCE: usize = 64;

/// By the interface's end on the host, which no two have.
#[derive(Debug)]
pub(crate) struct Leases {
    talks: Mutex<BTreeMap<LinkKey, Arc<Mutex<Talk>>>>,
    bell: EventFd,
    stopped: AtomicBool,
}

impl Leases {
    pub(crate) fn new() -> Result<Leases> {
        let bell = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK);
        let bell = bell.map_err(|e| Error::new(Code::Kernel, "make a bell").because(e.desc()))?;
        Ok(Leases { talks: Mutex::default(), bell, stopped: AtomicBool::new(false) })
    }

    /// From now on the thread asks for it, or about it, whenever it is time.
    pub(crate) fn keep(&self, key: LinkKey, client: Client) {
        self.talks().insert(key, Arc::new(Mutex::new(Talk::new(client))));
        self.ring();
    }

    pub(crate) fn forget(&self, key: &LinkKey) {
        let gone = self.talks().remove(key);
        // Its sockets are closed without the lock.
        drop(gone);
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.ring();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Those whose time has come, as many as may talk at once.
    pub(crate) fn due(&self, now: Duration) -> Vec<(LinkKey, Arc<Mutex<Talk>>)> {
        let all = self.all();
        let mut open = all.iter().filter(|(_, talk)| held(talk).is_open()).count();
        let mut due = Vec::new();
        for (key, talk) in all {
            let its = held(&talk);
            let is_open = its.is_open();
            if its.due() > now || (!is_open && open >= MOST_AT_ONCE) {
                continue;
            }
            drop(its);
            open += usize::from(!is_open);
            due.push((key, talk));
        }
        due
    }

    /// Waits until something is due, is heard, or the bell rings. Those that may have heard something are returned.
    pub(crate) fn wait(&self) -> Vec<(LinkKey, Arc<Mutex<Talk>>)> {
        let (open, closed): (Vec<_>, Vec<_>) =
            self.all().into_iter().partition(|(_, talk)| held(talk).is_open());
        let due =
            |talks: &[(LinkKey, Arc<Mutex<Talk>>)]| talks.iter().map(|(_, talk)| held(talk).due()).min();
        // Who waits for a turn is not waited for.
        let others = if open.len() < MOST_AT_ONCE { due(&closed) } else { None };
        let next = due(&open).into_iter().chain(others).min().unwrap_or(Duration::MAX);
        let locked: Vec<_> = open.iter().map(|(_, talk)| held(talk)).collect();
        let mut fds = vec![PollFd::new(self.bell.as_fd(), PollFlags::POLLIN)];
        fds.extend(locked.iter().filter_map(|talk| talk.fd()).map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        wait_for(&mut fds, next);
        drop(fds);
        drop(locked);
        // It rings once for whatever was done.
        match self.bell.read() {
            Ok(_) | Err(Errno::EAGAIN) => (),
            Err(errno) => tracing::debug!(%errno, "the bell of the leases"),
        }
        open
    }

    fn all(&self) -> Vec<(LinkKey, Arc<Mutex<Talk>>)> {
        self.talks().iter().map(|(key, talk)| (key.clone(), talk.clone())).collect()
    }

    fn ring(&self) {
        // Refused only where it has been rung without end already.
        if let Err(errno) = self.bell.write(1) {
            tracing::debug!(%errno, "the bell of the leases rings already");
        }
    }

    fn talks(&self) -> MutexGuard<'_, BTreeMap<LinkKey, Arc<Mutex<Talk>>>> {
        held(&self.talks)
    }
}

/// Waits for what comes by one socket, until then at most.
pub(crate) fn wait_for_one(fd: BorrowedFd<'_>, until: Duration) {
    wait_for(&mut [PollFd::new(fd, PollFlags::POLLIN)], until);
}

fn wait_for(fds: &mut [PollFd<'_>], until: Duration) {
    // A millisecond more, so that what is due is due when this returns.
    let left = until.saturating_sub(now()).as_millis().saturating_add(1);
    let timeout = if until == Duration::MAX {
        PollTimeout::NONE
    } else {
        PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
    };
    match poll(fds, timeout) {
        Ok(_) | Err(Errno::EINTR) => (),
        Err(errno) => tracing::error!(%errno, "wait for answers of DHCP servers"),
    }
}

pub(crate) fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
