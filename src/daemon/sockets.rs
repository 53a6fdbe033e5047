//! The sockets that the core's `Kernel` does not speak of: what is relayed in user space needs them, the resolver, and the
//! DHCP client.

use std::io;
use std::net::{SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use bowline_core::mac::Mac;
use bowline_core::name::LinkName;
use bowline_core::place::{Found, Place};
use bowline_core::port::{HostPort, Protocol};
use bowline_core::{Code, Error, Result};
use bowline_dns::serve::Ears;

/// A socket that holds a port, shared with its holder.
#[derive(Debug, Clone)]
pub enum Listening {
    Tcp(Arc<TcpListener>),
    /// It tells which address was asked (IP_PKTINFO, IPV6_RECVPKTINFO).
    Udp(Arc<UdpSocket>),
}

impl From<TcpListener> for Listening {
    fn from(listener: TcpListener) -> Listening {
        Listening::Tcp(Arc::new(listener))
    }
}

impl From<UdpSocket> for Listening {
    fn from(socket: UdpSocket) -> Listening {
        Listening::Udp(Arc::new(socket))
    }
}

pub trait Sockets: Send + Sync {
    /// Every host is known now: ports that were kept while the daemon was away are held as before. Those of no host are let
    /// go of.
    fn take_up_ports(&self);

    /// The socket that holds a port, made to hear. None where there is none that could.
    fn listen(&self, place: Place, port: &HostPort) -> Result<Option<Listening>>;

    /// A socket in that namespace on its way to an endpoint or a server; it does not block. In a container's, once it
    /// is anchored there.
    fn dial(&self, place: Place, protocol: Protocol, to: SocketAddr) -> io::Result<OwnedFd>;

    /// The sockets of the resolver that was made in a container's namespace. Who takes them has them: once for each time
    /// that they are made.
    fn ears(&self, place: Place) -> Option<Ears>;

    /// Takes up a resolver's sockets that were kept while the daemon was away.
    fn adopt(&self, sockets: Vec<OwnedFd>) -> Result<(Place, Ears)>;

    /// Watches who else keeps a namespace in which we have a socket, which keeps it as well. Whether its path leads there.
    fn anchor(&self, place: Place, socket: BorrowedFd<'_>, found: Found<'_>) -> Result<bool>;

    /// Whom to tell when nobody else seems to keep an anchored namespace any more.
    fn when_left_alone(&self, tell: LeftAlone) -> Result<()>;

    /// What takes a resolver's traces out of its namespace, once its sockets are closed; the namespace is kept until it is
    /// called or dropped. None where there is no way in.
    fn leave(&self, place: Place) -> Option<Leave>;

    /// The resolver's sockets there are good for nothing any more, so that others are to be made.
    fn lose(&self, place: Place);

    /// The resolver's sockets there are closed, or about to be.
    fn forget(&self, place: Place);

    /// What a card in an open container namespace hears at a port of UDP, and by ARP. It keeps the namespace.
    fn packets(&self, place: Place, card: &LinkName, port: u16) -> Result<Box<dyn Packets>>;

    /// The namespace itself, of a container that has a resolver of ours. It is kept for as long as this is.
    fn way_in(&self, place: Place) -> Option<OwnedFd>;
}

/// The packets of one card, past the kernel's own IP. None of this waits.
pub trait Packets: AsFd + Send + Sync + std::fmt::Debug {
    /// An IP packet to all, or to one neighbour.
    fn send_ip(&self, packet: &[u8], to: Option<Mac>) -> io::Result<()>;

    fn send_arp(&self, packet: &[u8]) -> io::Result<()>;

    /// From an address that the card has, the way that the kernel finds.
    fn send_udp(&self, from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> io::Result<()>;

    /// What came in; None where there is nothing more.
    fn receive(&self, into: &mut Vec<u8>) -> io::Result<Option<Heard>>;
}

/// What came in, and by which neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    Arp,
    /// A packet that no card has sent may have no checksum yet.
    Ip {
        has_checksum: bool,
        from: Option<Mac>,
    },
}

pub type Leave = Box<dyn FnOnce() -> Result<()> + Send>;

/// What is done about a namespace that nobody but us keeps.
pub type LeftAlone = Box<dyn Fn(Place) + Send + Sync>;

/// Of a kernel without any.
#[derive(Debug, Clone, Copy)]
pub struct NoSockets;

impl Sockets for NoSockets {
    fn take_up_ports(&self) {}

    fn listen(&self, _: Place, _: &HostPort) -> Result<Option<Listening>> {
        Ok(None)
    }

    fn dial(&self, _: Place, _: Protocol, _: SocketAddr) -> io::Result<OwnedFd> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn ears(&self, _: Place) -> Option<Ears> {
        None
    }

    fn adopt(&self, _: Vec<OwnedFd>) -> Result<(Place, Ears)> {
        Err(Error::new(Code::Internal, "take up kept sockets").because("this kernel has none"))
    }

    fn anchor(&self, _: Place, _: BorrowedFd<'_>, _: Found<'_>) -> Result<bool> {
        Ok(false)
    }

    fn when_left_alone(&self, _: LeftAlone) -> Result<()> {
        Ok(())
    }

    fn leave(&self, _: Place) -> Option<Leave> {
        None
    }

    fn lose(&self, _: Place) {}

    fn forget(&self, _: Place) {}

    fn packets(&self, _: Place, card: &LinkName, _: u16) -> Result<Box<dyn Packets>> {
        Err(Error::new(Code::Unsupported, format!("hear the packets of {card}"))
            .because("this kernel has none"))
    }

    fn way_in(&self, _: Place) -> Option<OwnedFd> {
        None
    }
}
