//! A namespace of its own for each test, with `lo` up, and sockets in it that know nothing of our code. Tests beside
//! this one start programs, and what is closed here stays open in those until they run: so what is to be free is waited for.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use bowline_core::family::Family;
use bowline_core::port::{At, HostPort, Protocol};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, setsockopt, socket, sockopt,
};

use crate::{netns, process};

/// What a program says of its socket before it binds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    Nothing,
    ReuseAddr,
    ReusePort,
    Both,
}

impl Says {
    pub(super) const ALL: [Says; 4] = [Says::Nothing, Says::ReuseAddr, Says::ReusePort, Says::Both];
}

/// Runs a test on a thread of its own whose namespace is fresh.
pub(super) fn space(test: impl FnOnce() + Send) {
    assert!(nix::unistd::geteuid().is_root(), "this test makes network namespaces: run it as root");
    let ns = netns::create().unwrap();
    process::raise_loopback(&ns).unwrap();
    netns::run(&ns, test).expect("the test panicked");
}

/// A socket of another program: bound, and listening if it is of TCP. `[::]` is of both families.
pub(super) fn rival(protocol: Protocol, at: &str, says: Says) -> nix::Result<OwnedFd> {
    let bound = bound(protocol, at, says)?;
    if protocol == Protocol::Tcp {
        nix::sys::socket::listen(&bound, Backlog::new(8).unwrap())?;
    }
    Ok(bound)
}

/// The same, once nothing is in its way.
pub(super) fn rival_at_last(protocol: Protocol, at: &str, says: Says) -> OwnedFd {
    let mut outcome = Err(Errno::EADDRINUSE);
    eventually(&format!("{at} to be free of {protocol}"), || {
        outcome = rival(protocol, at, says);
        !matches!(outcome, Err(Errno::EADDRINUSE))
    });
    outcome.unwrap_or_else(|e| panic!("{protocol} {at} {says:?}: {e}"))
}

pub(super) fn bound(protocol: Protocol, at: &str, says: Says) -> nix::Result<OwnedFd> {
    let at: SocketAddr = at.parse().unwrap();
    let family = if at.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let kind = match protocol {
        Protocol::Tcp => SockType::Stream,
        Protocol::Udp => SockType::Datagram,
        Protocol::Sctp => unreachable!("not every kernel has it"),
    };
    let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::ReuseAddr, &matches!(says, Says::ReuseAddr | Says::Both))?;
    setsockopt(&socket, sockopt::ReusePort, &matches!(says, Says::ReusePort | Says::Both))?;
    nix::sys::socket::bind(socket.as_raw_fd(), &SockaddrStorage::from(at))?;
    Ok(socket)
}

/// That no other program can have this, whatever it says.
pub(super) fn assert_taken(protocol: Protocol, at: &str) {
    for says in Says::ALL {
        let outcome = rival(protocol, at, says).map(drop);
        assert_eq!(outcome, Err(Errno::EADDRINUSE), "{protocol} {at} {says:?}");
    }
}

/// `8080/tcp`, `0.0.0.0:8080/tcp`, `[::1]:8080/tcp`.
pub(super) fn port(text: &str) -> HostPort {
    let (text, protocol) = text.split_once('/').unwrap();
    let (at, port) = match text.parse::<SocketAddr>() {
        Ok(at) => (At::of(at.ip()), at.port()),
        Err(_) => (At::Everywhere, text.parse().unwrap()),
    };
    HostPort { at, protocol: protocol.parse().unwrap(), port }
}

/// IPv4 only.
pub(super) fn in_ipv4(port: &HostPort) -> HostPort {
    HostPort { at: At::All(Family::V4), ..*port }
}

pub(super) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "in vain waited for: {what}");
        std::thread::yield_now();
    }
}

/// Makes connections of a port that has no server any more, and that linger.
pub(super) fn server_that_just_ended(port: u16, says: Says) {
    let server = TcpListener::from(rival(Protocol::Tcp, &format!("127.0.0.1:{port}"), says).unwrap());
    let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    // Who ends it first is the one to linger.
    server.accept().unwrap().0.shutdown(Shutdown::Both).unwrap();
    client.shutdown(Shutdown::Both).unwrap();
    drop((client, server));
    let lingering = format!(":{port:04X} ");
    eventually("a connection in TIME_WAIT", || {
        let table = std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
        table.lines().any(|line| {
            let words: Vec<_> = line.split_ascii_whitespace().collect();
            words[1].ends_with(lingering.trim()) && words[3] == "06"
        })
    });
}
