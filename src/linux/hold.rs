//! The host's published ports, each held by a socket that hears nothing, so that nobody else can have it; and where one
//! cannot be had, who has it. All of this is in the calling thread's network namespace.

mod deaf;
mod diag;
mod ephemeral;
mod holder;
mod kept;
mod limit;
mod refusal;
mod socket;

use std::collections::BTreeMap;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use bowline_core::place::Place;
use bowline_core::port::{HostPort, Protocol};
use bowline_core::{Code, Error, Result};
use nix::errno::Errno;

use crate::keeper::Shared;

pub(crate) use self::ephemeral::ephemeral;
pub use self::holder::Holder;
pub(crate) use self::holder::holders;
pub(crate) use self::kept::{Keeping, is_name as is_kept_name};
pub use self::limit::raise_file_limit;

/// Files that the daemon needs beside its ports.
const OTHERS: u64 = 1024;

/// Why a port is not held. Who is in the way is searched for only when it is to be explained, which takes its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    port: HostPort,
    errno: Errno,
    /// The one in the way, where that is our own.
    ours: Option<HostPort>,
}

impl Refused {
    pub(crate) fn explain(self) -> Error {
        match self.ours {
            Some(held) => refusal::ours(&self.port, &held),
            None => refusal::error(&self.port, self.errno),
        }
    }
}

/// The ports that are held, of one namespace. They end with the process and with who keeps them for the next one.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// None where the kernel does not know the protocol, so that nobody else can have the port either.
    sockets: BTreeMap<HostPort, Option<Socket>>,
    bundles: kept::Bundles,
}

/// One that holds a port. Whoever serves what arrives there has it too, so that a port is one file and not two.
#[derive(Debug, Clone)]
pub enum Socket {
    /// It listens.
    Tcp(Arc<TcpListener>),
    Udp(Arc<UdpSocket>),
    /// Nobody can serve it here.
    Sctp(Arc<OwnedFd>),
}

impl From<&Socket> for Shared {
    fn from(socket: &Socket) -> Shared {
        match socket {
            Socket::Tcp(socket) => socket.clone(),
            Socket::Udp(socket) => socket.clone(),
            Socket::Sctp(socket) => socket.clone(),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Tcp(socket) => socket.as_fd(),
            Socket::Udp(socket) => socket.as_fd(),
            Socket::Sctp(socket) => socket.as_fd(),
        }
    }
}

impl Socket {
    fn of(socket: OwnedFd, protocol: Protocol) -> Socket {
        match protocol {
            Protocol::Tcp => Socket::Tcp(Arc::new(socket.into())),
            Protocol::Udp => Socket::Udp(Arc::new(socket.into())),
            Protocol::Sctp => Socket::Sctp(Arc::new(socket)),
        }
    }
}

impl Held {
    pub(crate) fn at(place: Place, keeping: Keeping) -> Held {
        Held { sockets: BTreeMap::new(), bundles: kept::Bundles::at(place, keeping) }
    }

    /// Holds what was kept under that name while no daemon ran: all of it, or nothing.
    pub(crate) fn adopt(&mut self, place: Place, name: &str, sockets: Vec<OwnedFd>) -> Result<()> {
        let adopted = sockets.into_iter().map(|socket| kept::adopt(place, socket));
        let adopted: BTreeMap<HostPort, Socket> = adopted.collect::<Result<_>>()?;
        self.bundles.adopted(name, &adopted);
        self.sockets.extend(adopted.into_iter().map(|(port, socket)| (port, Some(socket))));
        Ok(())
    }

    /// Holds all of them, or none and says which was refused. What is held already stays as it is.
    pub(crate) fn hold(&mut self, ports: &[HostPort]) -> Result<(), Refused> {
        self.leave_files_for_others(ports)?;
        socket::make_room(ports.len());
        let mut fresh = BTreeMap::new();
        for port in ports {
            if self.sockets.contains_key(port) || fresh.contains_key(port) {
                continue;
            }
            match socket::hold(port) {
                Ok(socket) => {
                    drop(fresh.insert(*port, socket.map(|socket| Socket::of(socket, port.protocol))));
                }
                Err(errno) => {
                    let ours =
                        self.sockets.keys().chain(fresh.keys()).find(|held| held.clashes_with(port)).copied();
                    // What this call took is let go before anybody looks for who is in the way.
                    drop(fresh);
                    let ours = ours.filter(|_| errno == Errno::EADDRINUSE);
                    return Err(Refused { port: *port, errno, ours });
                }
            }
        }
        self.bundles.keep(&fresh);
        // `append` would build the whole map anew.
        self.sockets.extend(fresh);
        Ok(())
    }

    /// A port is a file. A daemon that has none left for its other sockets is of no use.
    fn leave_files_for_others(&self, ports: &[HostPort]) -> Result<(), Refused> {
        let (Some(&port), Ok(limit)) = (ports.first(), limit::exchange(None)) else { return Ok(()) };
        let wanted = (self.sockets.len() + ports.len()) as u64 + OTHERS;
        if wanted <= limit.rlim_cur {
            return Ok(());
        }
        Err(Refused { port, errno: Errno::EMFILE, ours: None })
    }

    /// Lets go of those of them that are held.
    pub(crate) fn free(&mut self, ports: &[HostPort]) {
        for port in ports {
            self.sockets.remove(port);
        }
        self.bundles.let_go(ports, &self.sockets);
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &HostPort> {
        self.sockets.keys()
    }

    /// The held socket, which hears from now on; for whoever serves what arrives there. One of UDP tells which address was asked: by IPV6_PKTINFO where it is of IPv6, which for an IPv4 packet
    /// holds a mapped address, and otherwise by IP_PKTINFO. None where nothing can listen, which is SCTP.
    pub(crate) fn listen(&self, port: &HostPort) -> Result<Option<Socket>> {
        let what = || format!("listen on port {port}");
        let Some(socket) = self.sockets.get(port) else {
            return Err(Error::new(Code::Internal, what()).because("the port is not held"));
        };
        let Some(socket) = socket else { return Ok(None) };
        let heard = socket::hear(socket).map_err(|errno| refusal::error(port, errno).context(what()))?;
        Ok(heard.then(|| socket.clone()))
    }
}

/// Whether the port could be held now. One that we hold is not free.
pub(crate) fn is_free(port: &HostPort) -> Result<bool> {
    match socket::bind(port) {
        Ok(_) => Ok(true),
        Err(Errno::EADDRINUSE) => Ok(false),
        Err(errno) => Err(refusal::error(port, errno)),
    }
}

#[cfg(test)]
mod tests;
