//! The resolver's sockets in a container: made inside its namespace, heard from outside, and what makes a query to
//! 127.0.0.11 arrive at them. Port 53 stays free for the container, which may have a name server of its own.

mod socket;
#[cfg(test)]
mod tests;

use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;

use bowline_core::place::Place;
use bowline_core::{Code, Error, Result};

pub(crate) use self::socket::protocol_of;
use crate::netns;
use crate::nft::rewrite::{self, Ports};

/// The sockets of one namespace, at 127.0.0.11 and ports that nobody else there is likely to want. They do not block, and
/// while they are open the namespace lives.
#[derive(Debug)]
pub struct Ears {
    pub udp: UdpSocket,
    pub tcp: TcpListener,
}

/// Makes ears in the calling thread's namespace, and leads queries there. Older ears still open get none any more.
pub(crate) fn make() -> Result<Ears> {
    let ears = Ears { udp: socket::udp()?, tcp: socket::tcp()? };
    lead_to(&ears)?;
    Ok(ears)
}

/// Has no query changed any more in the calling thread's namespace.
pub(crate) fn unmake() -> Result<()> {
    rewrite::remove()
}

/// Leads queries to ears that are there already, in their namespace, which is the calling thread's.
pub(crate) fn lead_to(ears: &Ears) -> Result<()> {
    rewrite::put(ports(ears)?)
}

/// Ears that were kept while no daemon was there, and the namespace that they are of.
pub(crate) fn adopt(udp: OwnedFd, tcp: OwnedFd) -> Result<(Place, Ears)> {
    socket::check_udp(&udp)?;
    socket::check_tcp(&tcp)?;
    let (place, other) = (netns::cookie_of(&udp)?, netns::cookie_of(&tcp)?);
    if place != other {
        return Err(Error::new(Code::Internal, "adopt the sockets of a resolver")
            .because(format!("one is of {place}, the other of {other}")));
    }
    Ok((place, Ears { udp: udp.into(), tcp: tcp.into() }))
}

/// Whether queries are led somewhere in the calling thread's namespace, by a table that is exactly as ours are.
#[cfg(test)]
pub(crate) fn is_rewriting() -> Result<bool> {
    Ok(rewrite::seen()?.is_some())
}

/// The same, and that it is to these ears.
#[cfg(test)]
pub(crate) fn is_leading_to(ears: &Ears) -> Result<bool> {
    Ok(rewrite::seen()? == Some(ports(ears)?))
}

/// Where ears are.
pub(crate) fn ports(ears: &Ears) -> Result<Ports> {
    let failed = |e| Error::new(Code::Kernel, "read the port of a resolver's socket").because(e);
    let udp = ears.udp.local_addr().map_err(failed)?.port();
    let tcp = ears.tcp.local_addr().map_err(failed)?.port();
    Ok(Ports { udp, tcp })
}
