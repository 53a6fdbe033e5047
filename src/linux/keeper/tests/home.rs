//! A run directory with a keeper in it, and sockets to be kept.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bowline_core::Result;
use tempfile::TempDir;

use crate::keeper::line::Line;
use crate::keeper::seat::{Seat, socket_in};
use crate::keeper::{Client, Kept, process};

pub(super) const ENOUGH: u64 = 1 << 19;

/// No keeper is started from here, so a program that is missed shows.
pub(super) const NO_PROGRAM: &str = "/no/such/program";

pub(crate) struct Home {
    dir: TempDir,
    keeper: Option<JoinHandle<Result<()>>>,
}

impl Home {
    pub(crate) fn new() -> Home {
        Home::within(ENOUGH)
    }

    /// With a keeper that takes itself to be allowed so many files.
    pub(super) fn within(limit: u64) -> Home {
        let mut home = Home { dir: tempfile::tempdir().unwrap(), keeper: None };
        home.start(limit);
        home
    }

    pub(super) fn empty() -> Home {
        Home { dir: tempfile::tempdir().unwrap(), keeper: None }
    }

    pub(super) fn start(&mut self, limit: u64) {
        let seat = Seat::take(self.dir()).unwrap();
        self.keeper = Some(std::thread::spawn(move || process::serve(&seat, limit)));
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A daemon that begins.
    pub(crate) fn client(&self) -> (Client, Kept) {
        Client::open(self.dir(), Path::new(NO_PROGRAM))
    }

    pub(super) fn line(&self) -> Line {
        Line::open(self.dir()).unwrap().expect("a keeper is there")
    }

    /// Waits until the keeper has ended.
    pub(super) fn ends(mut self) {
        self.keeper.take().unwrap().join().unwrap().unwrap();
        assert!(!socket_in(self.dir()).exists(), "its socket goes with it");
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.take()
            && !std::thread::panicking()
        {
            if let Ok(Some(line)) = Line::open(self.dir()) {
                line.quit().unwrap();
            }
            keeper.join().unwrap().unwrap();
        }
    }
}

/// What a resolver has in a namespace.
pub(super) struct Ears {
    pub(super) udp: UdpSocket,
    pub(super) tcp: TcpListener,
}

impl Ears {
    pub(super) fn new() -> Ears {
        let any = (Ipv4Addr::LOCALHOST, 0);
        let ears = Ears { udp: UdpSocket::bind(any).unwrap(), tcp: TcpListener::bind(any).unwrap() };
        ears.udp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        ears
    }

    pub(super) fn keep(&self, client: &Client, name: &str) {
        client.keep(name, &[self.udp.as_fd(), self.tcp.as_fd()]).unwrap();
    }

    pub(super) fn at(&self) -> (SocketAddr, SocketAddr) {
        (self.udp.local_addr().unwrap(), self.tcp.local_addr().unwrap())
    }

    pub(super) fn of(sockets: Vec<OwnedFd>) -> Ears {
        let [udp, tcp] = <[OwnedFd; 2]>::try_from(sockets).expect("two sockets");
        Ears { udp: udp.into(), tcp: tcp.into() }
    }
}

pub(super) fn names(kept: &Kept) -> Vec<&str> {
    let mut names: Vec<_> = kept.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names
}

/// Tests beside this one start programs, in which what is closed here stays open until they run.
pub(super) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "in vain waited for: {what}");
        std::thread::yield_now();
    }
}

/// Whether every copy of the socket there is closed.
pub(super) fn is_free(at: SocketAddr) -> bool {
    UdpSocket::bind(at).is_ok()
}
