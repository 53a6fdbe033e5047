//! The few calls on sockets that neither the standard library nor tokio has: datagrams with the address that they were
//! sent to, and answers that leave from it. None of them blocks.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, Shutdown, SockaddrStorage, recvmsg, sendmsg, setsockopt,
    shutdown, sockopt,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpStream, UdpSocket};

/// Who sent a datagram, and to which of the host's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Ends {
    pub(super) client: SocketAddr,
    /// None where the kernel did not say, or where nobody can answer from it.
    asked: Option<IpAddr>,
    /// The link that it came by, for an address that means nothing without; else 0.
    link: u32,
}

impl Ends {
    fn of(client: SocketAddr, asked: Option<IpAddr>, link: u32) -> Ends {
        let asked = asked.filter(|ip| !ip.is_unspecified() && !ip.to_canonical().is_multicast());
        let needs_link = matches!(asked, Some(IpAddr::V6(ip)) if ip.is_unicast_link_local());
        Ends { client, asked, link: if needs_link { link } else { 0 } }
    }
}

/// Has the runtime watch a socket that its holder has as well, and which does not block.
#[expect(
    deprecated,
    reason = "what could go wrong is a file that is not what it was; an Arc's socket stays what it is"
)]
pub(super) fn watched<S: AsFd + AsRawFd>(socket: Arc<S>) -> io::Result<AsyncFd<Arc<S>>> {
    AsyncFd::with_interest(socket, Interest::READABLE)
}

pub(super) async fn accept(
    listener: &AsyncFd<Arc<std::net::TcpListener>>,
) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, address) = listener.async_io(Interest::READABLE, |listener| listener.accept()).await?;
    stream.set_nonblocking(true)?;
    Ok((TcpStream::from_std(stream)?, address))
}

pub(super) fn datagrams(socket: OwnedFd) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::from(socket);
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// Waits until a socket that was dialled is connected.
pub(super) async fn connected(socket: OwnedFd) -> io::Result<TcpStream> {
    let stream = std::net::TcpStream::from(socket);
    stream.set_nonblocking(true)?;
    let stream = TcpStream::from_std(stream)?;
    stream.writable().await?;
    match stream.take_error()? {
        Some(error) => Err(error),
        None => Ok(stream),
    }
}

/// What is sent is sent at once, and a peer that vanished without a word is found out within three minutes.
pub(super) fn settle(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    setsockopt(stream, sockopt::TcpKeepIdle, &60)?;
    setsockopt(stream, sockopt::TcpKeepInterval, &15)?;
    setsockopt(stream, sockopt::TcpKeepCount, &8)?;
    Ok(setsockopt(stream, sockopt::KeepAlive, &true)?)
}

/// Nothing more will be sent, while the other direction goes on.
pub(super) fn say_end(stream: &TcpStream) -> io::Result<()> {
    Ok(shutdown(stream.as_raw_fd(), Shutdown::Write)?)
}

/// The next datagram: its length, and between whom.
pub(super) fn receive(socket: &impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, Ends)> {
    // A socket for both families may be told to say it in both ways.
    let mut control = nix::cmsg_space!(in_pktinfo, in6_pktinfo);
    let mut parts = [IoSliceMut::new(buffer)];
    let fd = socket.as_fd().as_raw_fd();
    let got = recvmsg::<SockaddrStorage>(fd, &mut parts, Some(&mut control), MsgFlags::MSG_DONTWAIT)?;
    let client = got.address.as_ref().and_then(address).ok_or(io::ErrorKind::InvalidData)?;
    let (mut asked, mut link) = (None, 0);
    for message in got.cmsgs()? {
        match message {
            // Not ipi_addr, which may be a broadcast address.
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                asked = Some(Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr)).into());
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                (asked, link) = (Some(IpAddr::from(info.ipi6_addr.s6_addr)), info.ipi6_ifindex);
            }
            _ => (),
        }
    }
    Ok((got.bytes, Ends::of(client, asked, link)))
}

/// Sends to the client, from the address that it asked.
pub(super) fn answer(socket: &impl AsFd, data: &[u8], ends: &Ends) -> io::Result<()> {
    let (v4, v6);
    let control = match ends.asked {
        Some(IpAddr::V4(ip)) => {
            let ipi_spec_dst = in_addr { s_addr: u32::from(ip).to_be() };
            v4 = in_pktinfo { ipi_ifindex: 0, ipi_spec_dst, ipi_addr: in_addr { s_addr: 0 } };
            Some(ControlMessage::Ipv4PacketInfo(&v4))
        }
        Some(IpAddr::V6(ip)) => {
            v6 = in6_pktinfo { ipi6_addr: in6_addr { s6_addr: ip.octets() }, ipi6_ifindex: ends.link };
            Some(ControlMessage::Ipv6PacketInfo(&v6))
        }
        None => None,
    };
    let to = SockaddrStorage::from(ends.client);
    let fd = socket.as_fd().as_raw_fd();
    sendmsg(fd, &[IoSlice::new(data)], control.as_slice(), MsgFlags::MSG_DONTWAIT, Some(&to))?;
    Ok(())
}

/// Sends to whom the socket is connected to. tokio's own would fail until the event loop has seen the socket once.
pub(super) fn send(socket: &impl AsFd, data: &[u8]) -> io::Result<()> {
    nix::sys::socket::send(socket.as_fd().as_raw_fd(), data, MsgFlags::MSG_DONTWAIT)?;
    Ok(())
}

fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = storage.as_sockaddr_in() {
        return Some(SocketAddrV4::from(*v4).into());
    }
    let v6 = SocketAddrV6::from(*storage.as_sockaddr_in6()?);
    // One client's datagrams belong together, whatever their flow labels.
    Some(SocketAddrV6::new(*v6.ip(), v6.port(), 0, v6.scope_id()).into())
}

/// What tests make sockets with.
#[cfg(test)]
pub(super) mod fixture {
    use bowline_core::port::Protocol;
    use nix::errno::Errno;
    use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, connect, listen, socket};

    use super::*;

    pub(in super::super) fn dial(protocol: Protocol, to: SocketAddr) -> io::Result<OwnedFd> {
        let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let kind = match protocol {
            Protocol::Tcp => SockType::Stream,
            Protocol::Udp => SockType::Datagram,
            Protocol::Sctp => return Err(io::ErrorKind::Unsupported.into()),
        };
        let socket = socket(family, kind, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, None)?;
        match connect(socket.as_raw_fd(), &SockaddrStorage::from(to)) {
            Ok(()) | Err(Errno::EINPROGRESS) => Ok(socket),
            Err(error) => Err(error.into()),
        }
    }

    /// Has the socket tell which address was asked.
    pub(in super::super) fn tell_asked(socket: &std::net::UdpSocket) {
        match socket.local_addr().unwrap() {
            SocketAddr::V4(_) => setsockopt(socket, sockopt::Ipv4PacketInfo, &true).unwrap(),
            SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true).unwrap(),
        }
    }

    /// From now on, one connection waits to be accepted; further ones are not answered at all.
    pub(in super::super) fn shorten_queue(listener: &std::net::TcpListener) {
        listen(listener, Backlog::new(0).unwrap()).unwrap();
    }
}
