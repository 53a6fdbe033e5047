//! One of the two sockets: how it is bound to a port that is in nobody's way, and how a kept one is told from any other.

use std::net::{SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use bowline_core::{Code, Error, Result};
use nix::errno::Errno;
use nix::fcntl::{F_GETFD, F_GETFL, F_SETFD, F_SETFL, FdFlag, OFlag, fcntl};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockProtocol, SockType, SockaddrIn, bind, getsockname, getsockopt,
    listen, setsockopt, socket, sockopt,
};

use crate::nft::rewrite::ADDRESS;

/// Below those that the kernel gives to clients, and of no service that is still used. So neither a client nor a server of
/// the container that wants every address meets them. Last, whatever the kernel has.
const PORTS: [u16; 9] = [11, 4, 6, 8, 10, 12, 14, 16, 0];
/// Many queries may come at once, each of which counts as a page or so.
const RECEIVE_BUFFER: usize = 1 << 20;
/// Of connections that are not accepted yet.
const BACKLOG: i32 = 128;

pub(super) fn udp() -> Result<UdpSocket> {
    let made = first_free(|port| {
        let socket = bound(SockType::Datagram, SockProtocol::Udp, port)?;
        setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER)?;
        Ok(socket)
    });
    Ok(made.map_err(|errno| refused("UDP", errno))?.into())
}

pub(super) fn tcp() -> Result<TcpListener> {
    let made = first_free(|port| {
        let socket = bound(SockType::Stream, SockProtocol::Tcp, port)?;
        listen(&socket, Backlog::new(BACKLOG)?)?;
        Ok(socket)
    });
    Ok(made.map_err(|errno| refused("TCP", errno))?.into())
}

fn first_free(mut make: impl FnMut(u16) -> nix::Result<OwnedFd>) -> nix::Result<OwnedFd> {
    for port in PORTS {
        match make(port) {
            // Taken, or not for us: a container may have been given low ports of its own by other means.
            Err(Errno::EADDRINUSE | Errno::EACCES) => (),
            outcome => return outcome,
        }
    }
    Err(Errno::EADDRINUSE)
}

fn bound(kind: SockType, protocol: SockProtocol, port: u16) -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Inet, kind, flags, protocol)?;
    if protocol == SockProtocol::Tcp {
        // Connections of earlier ears may wait for stragglers there. UDP has none; there it would let others share the port.
        setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    }
    bind(socket.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(ADDRESS, port)))?;
    Ok(socket)
}

fn refused(protocol: &str, errno: Errno) -> Error {
    let error = |code| {
        Error::new(code, format!("listen for queries at {ADDRESS} by {protocol}")).because(errno.desc())
    };
    match errno {
        Errno::EADDRNOTAVAIL => {
            error(Code::Kernel).fix("give the container its loopback back: ip addr add 127.0.0.1/8 dev lo")
        }
        Errno::EPERM | Errno::EACCES => error(Code::Denied).fix("run as root, or with CAP_NET_ADMIN"),
        _ => error(Code::Kernel),
    }
}

pub(super) fn check_udp(socket: &OwnedFd) -> Result<()> {
    check(socket, SockType::Datagram, libc::IPPROTO_UDP)
}

pub(super) fn check_tcp(socket: &OwnedFd) -> Result<()> {
    check(socket, SockType::Stream, libc::IPPROTO_TCP)?;
    match getsockopt(socket, sockopt::AcceptConn) {
        Ok(true) => Ok(()),
        Ok(false) => Err(foreign("it does not listen")),
        Err(errno) => Err(foreign(errno.desc())),
    }
}

/// What a keeper hands back is believed no more than a stranger's file.
fn check(socket: &OwnedFd, kind: SockType, protocol: i32) -> Result<()> {
    let failed = |errno: Errno| foreign(errno.desc());
    if getsockopt(socket, sockopt::SockType).map_err(failed)? != kind {
        return Err(foreign("it is of another type"));
    }
    let own: SockaddrIn = getsockname(socket.as_raw_fd()).map_err(|_| foreign("it is not of IPv4"))?;
    if own.ip() != ADDRESS || own.port() == 0 {
        return Err(foreign(&format!("it is bound to {}:{}", own.ip(), own.port())));
    }
    if protocol_of(socket).map_err(failed)? != protocol {
        return Err(foreign("it is of another protocol"));
    }
    set_flags(socket).map_err(failed)
}

/// Those do not travel with a socket, or are whoever kept it to change.
fn set_flags(socket: &OwnedFd) -> nix::Result<()> {
    let status = OFlag::from_bits_retain(fcntl(socket, F_GETFL)?) | OFlag::O_NONBLOCK;
    fcntl(socket, F_SETFL(status))?;
    let flags = FdFlag::from_bits_retain(fcntl(socket, F_GETFD)?) | FdFlag::FD_CLOEXEC;
    fcntl(socket, F_SETFD(flags))?;
    Ok(())
}

fn foreign(why: &str) -> Error {
    Error::new(Code::Internal, "adopt a socket as a resolver's").because(why)
}

#[allow(unsafe_code)]
pub(crate) fn protocol_of(socket: impl AsFd) -> nix::Result<i32> {
    let mut value: libc::c_int = 0;
    let mut size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: SO_PROTOCOL writes at most `size` bytes to `value`; both outlive the call, and the socket is open.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PROTOCOL,
            (&raw mut value).cast(),
            &raw mut size,
        )
    };
    Errno::result(outcome).map(|_| value)
}
