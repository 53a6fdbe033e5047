//! The host's sockets, which the core's `Kernel` does not speak of: what is relayed in user space needs them.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use bowline_core::Result;
use bowline_core::place::Place;
use bowline_core::port::{HostPort, Protocol};

pub trait Sockets: Send + Sync {
    /// A second file of the socket that holds a port, made to hear. None where there is none that could.
    fn listen(&self, place: Place, port: &HostPort) -> Result<Option<OwnedFd>>;

    /// A socket in that namespace on its way to an endpoint; it does not block.
    fn dial(&self, place: Place, protocol: Protocol, to: SocketAddr) -> io::Result<OwnedFd>;
}

/// Of a kernel without any.
#[derive(Debug, Clone, Copy)]
pub struct NoSockets;

impl Sockets for NoSockets {
    fn listen(&self, _: Place, _: &HostPort) -> Result<Option<OwnedFd>> {
        Ok(None)
    }

    fn dial(&self, _: Place, _: Protocol, _: SocketAddr) -> io::Result<OwnedFd> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
