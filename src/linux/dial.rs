//! A socket on its way to an endpoint, for what is relayed in user space. It never blocks.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};

use bowline_core::port::Protocol;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, connect, setsockopt, socket, sockopt,
};

/// In the calling thread's network namespace.
pub(crate) fn dial(protocol: Protocol, to: SocketAddr) -> io::Result<OwnedFd> {
    let kind = match protocol {
        Protocol::Tcp => SockType::Stream,
        Protocol::Udp => SockType::Datagram,
        Protocol::Sctp => return Err(io::ErrorKind::Unsupported.into()),
    };
    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(to)) {
        // It is on its way; whoever uses it learns whether it arrives.
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(socket),
        Err(errno) => Err(errno.into()),
    }
}

/// Ends the connection with a reset when the stream is closed, so that nothing waits for stragglers.
pub fn reset_on_close(stream: &TcpStream) -> io::Result<()> {
    let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
    Ok(setsockopt(stream, sockopt::Linger, &at_once)?)
}
