//! A socket on its way to somebody: to an endpoint, for what is relayed in user space; or from an endpoint's own
//! namespace to a server that it named. None of them blocks.

mod pool;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{SocketAddr, TcpStream};
#[cfg(test)]
use std::os::fd::BorrowedFd;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use bowline_core::port::Protocol;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, connect, setsockopt, socket, sockopt,
};

pub(crate) use self::pool::Pool;
use crate::netns;

/// In the calling thread's network namespace.
pub(crate) fn dial(protocol: Protocol, to: SocketAddr) -> io::Result<OwnedFd> {
    let socket = unconnected(protocol, to)?;
    send_off(&socket, to)?;
    Ok(socket)
}

/// In the namespace that another socket is of.
#[cfg(test)]
pub(crate) fn dial_at(door: BorrowedFd<'_>, protocol: Protocol, to: SocketAddr) -> io::Result<OwnedFd> {
    visit(&namespace_of(door)?, || dial(protocol, to))
}

/// Ends the connection with a reset when the stream is closed, so that nothing waits for stragglers.
pub fn reset_on_close(stream: &TcpStream) -> io::Result<()> {
    let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
    Ok(setsockopt(stream, sockopt::Linger, &at_once)?)
}

/// It has no port until it is connected; then the kernel chooses one at random.
fn unconnected(protocol: Protocol, to: SocketAddr) -> io::Result<OwnedFd> {
    let kind = match protocol {
        Protocol::Tcp => SockType::Stream,
        Protocol::Udp => SockType::Datagram,
        Protocol::Sctp => return Err(io::ErrorKind::Unsupported.into()),
    };
    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    Ok(socket(family, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?)
}

fn send_off(socket: &OwnedFd, to: SocketAddr) -> io::Result<()> {
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(to)) {
        // It is on its way; whoever uses it learns whether it arrives.
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Does this on a thread that is born for it, in that namespace.
fn visit<T: Send>(ns: &OwnedFd, body: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    netns::run(ns, body).map_err(io::Error::other)?
}

/// Opens the namespace that a socket is of.
#[allow(unsafe_code)]
pub(crate) fn namespace_of(socket: impl AsFd) -> io::Result<OwnedFd> {
    /// linux/sockios.h. Since kernel 4.10.
    const SIOCGSKNS: libc::Ioctl = 0x894c;
    // SAFETY: SIOCGSKNS takes no argument; the descriptor is open.
    let fd = Errno::result(unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), SIOCGSKNS) })?;
    // SAFETY: the kernel has just opened it for us, close-on-exec, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
