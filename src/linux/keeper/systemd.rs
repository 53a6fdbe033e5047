//! systemd's file descriptor store: sockets are sent to the service manager, and each start of the service finds them again.
//! See sd_notify(3), FDSTORE=1, and systemd.service(5), FileDescriptorStoreMax=.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bowline_core::{Code, Error, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, setsockopt, socket, sockopt};
use nix::sys::time::TimeVal;

use super::{Kept, kind, passing, wire};

/// The first that a service finds open (sd_listen_fds(3)).
const FIRST: RawFd = 3;

/// More than any FileDescriptorStoreMax= that a kernel could fill.
const MOST: i32 = 1 << 20;

/// A service manager that hears nothing for so long is stopped.
const PATIENCE: Duration = Duration::from_secs(2);

/// Enough for thousands of messages, where it may be had.
const SEND_BUFFER: usize = 1 << 20;

/// A service manager with a store, and the files that it had for us.
#[derive(Debug)]
pub struct Systemd {
    notify: UnixAddr,
    files: Vec<(String, OwnedFd)>,
}

impl Systemd {
    /// By the environment that this process was started with; None where there is no store. To be called before anything
    /// else is opened. What another call has taken is not given again.
    pub fn found(env: impl Fn(&str) -> Option<OsString>) -> Result<Option<Systemd>> {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        let files = listening(&env)?;
        let files = if TAKEN.swap(true, Ordering::SeqCst) { None } else { files };
        Systemd::with(&env, files.map(|(count, names)| inherited(FIRST, count, &names)).unwrap_or_default())
    }

    pub(super) fn with(
        env: impl Fn(&str) -> Option<OsString>,
        files: Vec<(String, OwnedFd)>,
    ) -> Result<Option<Systemd>> {
        let Some(path) = env("NOTIFY_SOCKET").filter(|path| !path.is_empty()) else { return Ok(None) };
        let positive = |name| {
            env(name).is_some_and(|text| text.to_str().is_some_and(|t| t.parse().is_ok_and(|n: u64| n > 0)))
        };
        // From version 254 on it says so; before, our unit does, and files that it had kept tell as well.
        if !positive("FDSTORE") && !positive("BOWLINE_FDSTORE") && files.is_empty() {
            return Ok(None);
        }
        Ok(Some(Systemd { notify: address(&path)?, files }))
    }

    /// The store from now on, and what it had. What is no socket with a name of ours is closed.
    pub(super) fn open(self) -> Result<(Store, Kept)> {
        let mut kept: BTreeMap<String, Vec<OwnedFd>> = BTreeMap::new();
        let mut strange = BTreeSet::new();
        for (name, file) in self.files {
            if wire::is_name(&name) && kind(&file).is_some() {
                kept.entry(name).or_default().push(file);
            } else {
                tracing::warn!(
                    name,
                    "the service manager had a file that is no socket of ours; it is closed"
                );
                strange.insert(name);
            }
        }
        let store = Store::to(self.notify, kept.keys().cloned().chain(strange.iter().cloned()).collect())?;
        for name in strange.iter().filter(|name| !kept.contains_key(*name)) {
            store.forget(name)?;
        }
        Ok((store, kept.into_iter().map(|(name, files)| (name, super::in_order(files))).collect()))
    }
}

/// The service manager's store.
#[derive(Debug)]
pub struct Store {
    socket: OwnedFd,
    notify: UnixAddr,
    names: Mutex<BTreeSet<String>>,
    /// What was to be let go of, and could not be said.
    unheard: Mutex<BTreeSet<String>>,
}

impl Store {
    fn to(notify: UnixAddr, names: BTreeSet<String>) -> Result<Store> {
        let made = || -> nix::Result<OwnedFd> {
            let socket = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
            setsockopt(&socket, sockopt::SendTimeout, &TimeVal::new(PATIENCE.as_secs().cast_signed(), 0))?;
            Ok(socket)
        };
        let socket = made().map_err(|errno| untold("be ready", errno))?;
        if let Err(errno) = setsockopt(&socket, sockopt::SndBufForce, &SEND_BUFFER) {
            tracing::debug!(%errno, "the socket to the service manager keeps its send buffer");
        }
        Ok(Store { socket, notify, names: Mutex::new(names), unheard: Mutex::default() })
    }

    pub(super) fn keep(&self, name: &str, sockets: &[BorrowedFd<'_>]) -> Result<()> {
        wire::check(name, sockets.len())?;
        self.say_again()?;
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.contains(name) {
            // Under one name it would keep the old ones as well.
            self.tell(&format!("FDSTOREREMOVE=1\nFDNAME={name}"), &[])?;
        }
        // It would otherwise drop a socket that has an error to tell, such as that a client's port is closed.
        self.tell(&format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0"), sockets)?;
        names.insert(name.to_string());
        Ok(())
    }

    /// One that the service manager did not hear is said again before anything else is.
    pub(super) fn forget(&self, name: &str) -> Result<()> {
        let known = self.names.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        if known {
            self.unheard.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_string());
        }
        self.say_again()
    }

    fn say_again(&self) -> Result<()> {
        let mut unheard = self.unheard.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(name) = unheard.first() {
            self.tell(&format!("FDSTOREREMOVE=1\nFDNAME={name}"), &[])?;
            unheard.pop_first();
        }
        Ok(())
    }

    /// It closes what comes with BARRIER=1 when it has done all that was said before.
    pub(super) fn settle(&self) -> Result<()> {
        self.say_again()?;
        let (wait, barrier) = crate::process::pipe()?;
        self.tell("BARRIER=1", &[barrier.as_fd()])?;
        drop(barrier);
        let mut files = [PollFd::new(wait.as_fd(), PollFlags::empty())];
        let patience = PollTimeout::try_from(PATIENCE).expect("2 s are within its bounds");
        loop {
            match poll(&mut files, patience) {
                Err(Errno::EINTR) => (),
                Ok(0) => return Err(untold("do what it was told", Errno::ETIMEDOUT)),
                Ok(_) => return Ok(()),
                Err(errno) => return Err(untold("do what it was told", errno)),
            }
        }
    }

    fn tell(&self, text: &str, files: &[BorrowedFd<'_>]) -> Result<()> {
        passing::send(&self.socket, text.as_bytes(), files, Some(&self.notify), MsgFlags::empty())
            .map_err(|errno| untold("keep or let go of sockets", errno))
    }
}

fn untold(what: &str, errno: Errno) -> Error {
    let code = if errno == Errno::EAGAIN || errno == Errno::ETIMEDOUT { Code::Timeout } else { Code::Kernel };
    Error::new(code, format!("have the service manager {what}")).because(errno.desc())
}

fn address(path: &OsStr) -> Result<UnixAddr> {
    let made = match path.as_bytes() {
        [b'@', name @ ..] => UnixAddr::new_abstract(name),
        [b'/', ..] => UnixAddr::new(path),
        _ => Err(Errno::EAFNOSUPPORT),
    };
    made.map_err(|errno| misread(&format!("NOTIFY_SOCKET={}", path.display()), errno.desc()))
}

fn misread(what: &str, why: &str) -> Error {
    Error::new(Code::InvalidRequest, format!("understand the service manager's {what}")).because(why)
}

/// How many files it had for this process, and their names; None where there are none.
pub(super) fn listening(env: impl Fn(&str) -> Option<OsString>) -> Result<Option<(i32, Vec<String>)>> {
    let (Some(pid), Some(count)) = (env("LISTEN_PID"), env("LISTEN_FDS")) else { return Ok(None) };
    // What a parent was given is not for its children, though they inherit the words.
    if pid.to_str() != Some(std::process::id().to_string().as_str()) {
        return Ok(None);
    }
    let number = count.to_str().and_then(|text| text.parse().ok()).filter(|count| (0..=MOST).contains(count));
    let Some(number) = number else {
        return Err(misread(&format!("LISTEN_FDS={}", count.display()), "that is no number of files"));
    };
    let names = env("LISTEN_FDNAMES").unwrap_or_default();
    let names = names.to_string_lossy().split(':').map(str::to_string).collect();
    Ok(Some((number, names)))
}

/// Takes what the service manager opened for us, as far as it is there, and has it closed in programs that are started.
#[allow(unsafe_code)]
pub(super) fn inherited(first: RawFd, count: i32, names: &[String]) -> Vec<(String, OwnedFd)> {
    let mut files = Vec::new();
    for (number, at) in (first..first.saturating_add(count)).zip(0..) {
        // SAFETY: it is looked at only until this call returns, and while it is, nobody closes it: nothing else is running yet.
        let there = unsafe { BorrowedFd::borrow_raw(number) };
        if fcntl(there, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).is_err() {
            break;
        }
        // SAFETY: it is open, was opened for this process before it ran, and is taken only here and once.
        let file = unsafe { OwnedFd::from_raw_fd(number) };
        files.push((names.get(at).cloned().unwrap_or_default(), file));
    }
    files
}
