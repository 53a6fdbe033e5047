//! The host's sockets, which the core's `Kernel` does not speak of: what is relayed in user space needs them.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bowline_core::Result;
use bowline_core::place::Place;
use bowline_core::port::{HostPort, Protocol};

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
    /// The socket that holds a port, made to hear. None where there is none that could.
    fn listen(&self, place: Place, port: &HostPort) -> Result<Option<Listening>>;

    /// A socket in that namespace on its way to an endpoint; it does not block.
    fn dial(&self, place: Place, protocol: Protocol, to: SocketAddr) -> io::Result<OwnedFd>;
}

/// Of a kernel without any.
#[derive(Debug, Clone, Copy)]
pub struct NoSockets;

impl Sockets for NoSockets {
    fn listen(&self, _: Place, _: &HostPort) -> Result<Option<Listening>> {
        Ok(None)
    }

    fn dial(&self, _: Place, _: Protocol, _: SocketAddr) -> io::Result<OwnedFd> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
