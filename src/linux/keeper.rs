//! Sockets that outlive the daemon. While it is away they wait in systemd's file descriptor store, or else in a small
//! process of ours, and queries wait in them; the next daemon answers what it finds there.
//!
//! Whoever keeps a socket holds the same open file, so closing the daemon's own number neither closes the socket nor takes
//! it out of an epoll: both end only when it is forgotten here too. A kept socket pins its namespace likewise.

mod client;
mod life;
mod line;
mod passing;
mod process;
mod seat;
mod shelf;
mod systemd;
mod wire;

use std::fmt::Debug;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use bowline_core::place::Place;
use bowline_core::{Code, Error, Result};
use nix::sys::socket::{SockType, getsockopt, sockopt};

use crate::hold;

pub use self::client::Client;
pub use self::process::live;
pub use self::systemd::{Store, Systemd};

/// What was kept under each name; of the sockets of a name those of datagrams come first.
pub type Kept = Vec<(String, Vec<OwnedFd>)>;

/// A socket that others in this process have as well.
pub(crate) type Shared = Arc<dyn File>;

pub(crate) trait File: AsFd + Debug + Send + Sync {}

impl<T: AsFd + Debug + Send + Sync> File for T {}

/// Where sockets wait for the next daemon.
#[derive(Debug)]
pub enum Keeper {
    /// A process of ours, which is started when there is something to keep.
    Process(Client),
    /// systemd's store, for as long as the unit is not stopped.
    Systemd(Store),
}

impl Keeper {
    /// Keeps these under that name, in place of what was kept under it before. What the daemon has sent when this returns
    /// outlives it.
    pub fn keep(&self, name: &str, sockets: &[BorrowedFd<'_>]) -> Result<()> {
        match self {
            Keeper::Process(client) => client.keep(name, sockets),
            Keeper::Systemd(store) => store.keep(name, sockets),
        }
    }

    /// The same for sockets that the daemon shares, each of which stays one file of this process.
    pub(crate) fn keep_shared(&self, name: &str, sockets: &[Shared]) -> Result<()> {
        match self {
            Keeper::Process(client) => client.keep_shared(name, sockets),
            Keeper::Systemd(store) => {
                let sockets: Vec<_> = sockets.iter().map(|socket| (**socket).as_fd()).collect();
                store.keep(name, &sockets)
            }
        }
    }

    /// What holds ports was kept under that name when the daemon began, and goes on being kept.
    pub(crate) fn has(&self, name: &str, sockets: Vec<Shared>) {
        match self {
            Keeper::Process(client) => client.has(name, sockets),
            Keeper::Systemd(_) => (),
        }
    }

    /// Lets go of what is kept under that name, if anything is. The other side closes its sockets soon after.
    pub fn forget(&self, name: &str) -> Result<()> {
        match self {
            Keeper::Process(client) => client.forget(name),
            Keeper::Systemd(store) => store.forget(name),
        }
    }

    /// How many ports of hosts may be kept beside the resolvers' sockets. systemd looks at all that it has for each that it is
    /// given, and has one bound for all.
    pub(crate) fn room_for_ports(&self) -> usize {
        match self {
            Keeper::Process(_) => usize::MAX,
            Keeper::Systemd(_) => 4096,
        }
    }

    /// Waits until all that was said before is done: what was forgotten is closed.
    pub fn settle(&self) -> Result<()> {
        match self {
            Keeper::Process(client) => client.settle(),
            Keeper::Systemd(store) => store.settle(),
        }
    }
}

/// Where sockets are to be kept from now on, and what was kept when the daemon began.
#[derive(Debug)]
pub struct Opened {
    pub keeper: Keeper,
    /// Those of resolvers.
    pub ears: Kept,
    /// Those that hold ports of hosts.
    pub ports: Kept,
}

/// Has a keeper, and what it kept; `whose` says which place the name of a resolver's sockets stands for. What is kept and is
/// neither a resolver's nor a port is closed. What a process of ours keeps is given to systemd where that
/// has a store.
pub fn open(
    run_dir: &Path,
    systemd: Option<Systemd>,
    whose: impl Fn(&str) -> Option<Place>,
) -> Result<Opened> {
    let (keeper, kept) = match systemd {
        None => {
            let (client, kept) = client::open(run_dir);
            (Keeper::Process(client), kept)
        }
        Some(systemd) => {
            let (store, mut kept) = systemd.open()?;
            kept.extend(client::hand_to(&store, run_dir));
            (Keeper::Systemd(store), kept)
        }
    };
    let (mut ours, mut ports) = (Kept::new(), Kept::new());
    for (name, sockets) in kept {
        if hold::is_kept_name(&name) {
            // They are looked at when their host is known.
            ports.push((name, sockets));
            continue;
        }
        let right = match whose(&name) {
            Some(place) => are_ears_in(place, &sockets),
            None => Err(wrong("nobody knows whose they are")),
        };
        let Err(error) = right else {
            ours.push((name, sockets));
            continue;
        };
        tracing::warn!(name, code = %error.code, "kept sockets are of no use, and are closed: {error}");
        if let Err(error) = keeper.forget(&name) {
            tracing::warn!(name, code = %error.code, "{error}");
        }
    }
    Ok(Opened { keeper, ears: ours, ports })
}

/// Whether these are what a resolver has in that namespace: a socket of datagrams, and one that listens for streams.
fn are_ears_in(place: Place, sockets: &[OwnedFd]) -> Result<()> {
    for socket in sockets {
        let there = crate::netns::cookie_of(socket)?;
        if there != place {
            return Err(wrong(&format!("one is in {there}, and not in {place}")));
        }
    }
    let kinds: Vec<_> = sockets.iter().map(kind).collect();
    if kinds != [Some(SockType::Datagram), Some(SockType::Stream)] {
        return Err(wrong(&format!("they are {kinds:?}")));
    }
    match getsockopt(&sockets[1], sockopt::AcceptConn) {
        Ok(true) => Ok(()),
        Ok(false) => Err(wrong("that of streams does not listen")),
        Err(errno) => Err(wrong(errno.desc())),
    }
}

fn wrong(why: &str) -> Error {
    Error::new(Code::Internal, "take a resolver's sockets back").because(why)
}

/// None where it is no socket.
fn kind(file: impl AsFd) -> Option<SockType> {
    getsockopt(&file, sockopt::SockType).ok()
}

/// Datagrams first: the order in which systemd gives sockets back says nothing.
fn in_order(mut sockets: Vec<OwnedFd>) -> Vec<OwnedFd> {
    sockets.sort_by_key(|socket| kind(socket) != Some(SockType::Datagram));
    sockets
}

fn raw(sockets: &[impl AsFd]) -> Vec<i32> {
    sockets.iter().map(|socket| socket.as_fd().as_raw_fd()).collect()
}

#[cfg(test)]
pub(crate) mod tests;
