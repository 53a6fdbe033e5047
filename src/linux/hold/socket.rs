//! A socket that has one port of the host for itself: how it is bound, silenced, and made to hear after all.
//! All are non-blocking, and closed in a program that is started.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;

use bowline_core::family::Family;
use bowline_core::port::{At, HostPort, Protocol};
use nix::errno::Errno;
use nix::fcntl::{F_DUPFD_CLOEXEC, fcntl};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockProtocol, SockType, SockaddrLike, SockaddrStorage, getsockname,
    setsockopt, sockopt,
};

use super::deaf;

/// Of connections that nobody has accepted yet, once the socket hears.
const BACKLOG: i32 = 1024;

/// Whether a socket of IPv6 leaves IPv4 to others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    OneFamily,
    BothFamilies,
}

/// Has the kernel make its table of our files large enough in one go. It makes it twice as large whenever it is full, for
/// which a process with threads waits 8 to 16 ms each time. Without the room all works as well.
pub(super) fn make_room(sockets: usize) {
    const FEW: usize = 64;
    if sockets <= FEW {
        return;
    }
    let Ok(lowest_free) = UnixDatagram::unbound() else { return };
    let beyond = i32::try_from(sockets).ok().and_then(|count| lowest_free.as_raw_fd().checked_add(count));
    let Some(beyond) = beyond else { return };
    if let Ok(second) = fcntl(&lowest_free, F_DUPFD_CLOEXEC(beyond))
        && let Err(errno) = nix::unistd::close(second)
    {
        tracing::debug!(%errno, "close a socket that nothing was done with");
    }
}

/// Takes the port, silently. None where the kernel does not know SCTP: nobody else can take the port then.
pub(super) fn hold(port: &HostPort) -> nix::Result<Option<OwnedFd>> {
    let Some(socket) = bind(port)? else { return Ok(None) };
    // A listening socket answers at once, so it is silenced before.
    deaf::deafen(&socket)?;
    match port.protocol {
        // Until it listens, a socket with SO_REUSEADDR shares its port with others that have that too.
        Protocol::Tcp => nix::sys::socket::listen(&socket, Backlog::new(BACKLOG)?)?,
        Protocol::Udp | Protocol::Sctp => (),
    }
    Ok(Some(socket))
}

/// A socket on the port that neither listens nor is deaf yet; None as above.
pub(super) fn bind(port: &HostPort) -> nix::Result<Option<OwnedFd>> {
    let bound = |ip: IpAddr, reach| bind_to(SocketAddr::new(ip, port.port), reach, port.protocol);
    let outcome = match port.at {
        At::Everywhere => match bound(Ipv6Addr::UNSPECIFIED.into(), Reach::BothFamilies) {
            Err(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL) => {
                bound(Ipv4Addr::UNSPECIFIED.into(), Reach::OneFamily)
            }
            outcome => outcome,
        },
        At::All(Family::V4) => bound(Ipv4Addr::UNSPECIFIED.into(), Reach::OneFamily),
        At::All(Family::V6) => bound(Ipv6Addr::UNSPECIFIED.into(), Reach::OneFamily),
        At::One(ip) => bound(ip, Reach::OneFamily),
    };
    match outcome {
        Err(Errno::EPROTONOSUPPORT | Errno::ESOCKTNOSUPPORT) if port.protocol == Protocol::Sctp => Ok(None),
        outcome => outcome.map(Some),
    }
}

/// Makes a held socket hear, if anybody could serve it. Doing it again changes nothing.
pub(super) fn hear(socket: &super::Socket) -> nix::Result<bool> {
    match socket {
        super::Socket::Tcp(socket) => deaf::undeafen(socket)?,
        super::Socket::Udp(socket) => {
            tell_the_address_asked(socket)?;
            deaf::undeafen(socket)?;
        }
        super::Socket::Sctp(_) => return Ok(false),
    }
    Ok(true)
}

fn bind_to(address: SocketAddr, reach: Reach, protocol: Protocol) -> nix::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let (kind, number) = match protocol {
        Protocol::Tcp => (SockType::Stream, SockProtocol::Tcp),
        Protocol::Udp => (SockType::Datagram, SockProtocol::Udp),
        Protocol::Sctp => (SockType::Stream, SockProtocol::Sctp),
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = nix::sys::socket::socket(family, kind, flags, number)?;
    if address.is_ipv6() {
        // Said either way, for a sysctl decides otherwise.
        setsockopt(&socket, sockopt::Ipv6V6Only, &(reach == Reach::OneFamily))?;
    }
    if protocol == Protocol::Tcp {
        // Connections of a server that has just ended keep the port for a minute from whoever does not say this.
        setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    }
    nix::sys::socket::bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    Ok(socket)
}

fn tell_the_address_asked(socket: &UdpSocket) -> nix::Result<()> {
    let own: SockaddrStorage = getsockname(socket.as_raw_fd())?;
    match own.family() {
        Some(AddressFamily::Inet6) => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true),
        Some(_) | None => setsockopt(socket, sockopt::Ipv4PacketInfo, &true),
    }
}
