//! The held sockets as they are kept for the next daemon, so that a port is nobody else's while none runs. They are kept in
//! bundles, for a message to the keeper has room for several; and what a kept one holds, it is asked itself.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, OnceLock};

use bowline_core::family::Family;
use bowline_core::place::Place;
use bowline_core::port::{At, HostPort, Protocol};
use bowline_core::{Code, Error, Result};
use nix::sys::socket::{
    AddressFamily, SockType, SockaddrLike, SockaddrStorage, getsockname, getsockopt, sockopt,
};

use super::{Socket, deaf};
use crate::keeper::{Keeper, Shared};
use crate::netns;

/// Who keeps for all hosts, from when that is known.
pub(crate) type Keeping = Arc<OnceLock<Arc<Keeper>>>;

/// Under one name: less than a message may have, so that a bundle of which something is let go of is soon told anew.
const BUNDLE: usize = 32;

/// What names of ours begin with.
const PREFIX: &str = "ports";

/// Whether sockets of that name are such as are kept here.
pub(crate) fn is_name(name: &str) -> bool {
    number_in(name).is_some()
}

fn number_in(name: &str) -> Option<u64> {
    let (place, number) = name.strip_prefix(PREFIX)?.strip_prefix('-')?.split_once('-')?;
    u64::from_str_radix(place, 16).ok()?;
    u64::from_str_radix(number, 16).ok()
}

/// The bundles of one namespace.
#[derive(Debug)]
pub(super) struct Bundles {
    place: Place,
    keeping: Keeping,
    next: u64,
    of: BTreeMap<HostPort, u64>,
    ports: BTreeMap<u64, Vec<HostPort>>,
}

impl Bundles {
    pub(super) fn at(place: Place, keeping: Keeping) -> Bundles {
        Bundles { place, keeping, next: 0, of: BTreeMap::new(), ports: BTreeMap::new() }
    }

    /// Nobody waits for the other side. A port that cannot be kept is held all the same, for as long as this process runs.
    pub(super) fn keep(&mut self, fresh: &BTreeMap<HostPort, Option<Socket>>) {
        let Some(keeper) = self.keeping.get().cloned() else { return };
        let room = keeper.room_for_ports().saturating_sub(self.of.len());
        let kept: Vec<_> = fresh
            .iter()
            .filter_map(|(port, socket)| Some((*port, socket.as_ref()?)))
            .filter(|(port, socket)| tells(port, socket))
            .take(room)
            .collect();
        for bundle in kept.chunks(BUNDLE) {
            let number = self.next;
            self.next += 1;
            self.of.extend(bundle.iter().map(|(port, _)| (*port, number)));
            self.ports.insert(number, bundle.iter().map(|(port, _)| *port).collect());
            let sockets: Vec<Shared> = bundle.iter().map(|(_, socket)| (*socket).into()).collect();
            self.say(&keeper, number, &sockets);
        }
    }

    /// Returns when nobody has these any more, for they are anybody's then. The daemon's own are closed before.
    pub(super) fn let_go(&mut self, gone: &[HostPort], still: &BTreeMap<HostPort, Option<Socket>>) {
        let mut touched: Vec<u64> = gone.iter().filter_map(|port| self.of.remove(port)).collect();
        touched.sort_unstable();
        touched.dedup();
        let Some(keeper) = self.keeping.get().cloned().filter(|_| !touched.is_empty()) else { return };
        for number in touched {
            let Some(ports) = self.ports.get_mut(&number) else { continue };
            ports.retain(|port| self.of.get(port) == Some(&number));
            let left: Vec<Shared> =
                ports.iter().filter_map(|port| still.get(port)?.as_ref()).map(Shared::from).collect();
            if left.is_empty() {
                self.ports.remove(&number);
            }
            self.say(&keeper, number, &left);
        }
        if let Err(error) = keeper.settle() {
            tracing::warn!(code = %error.code, "let go of kept ports: {error}");
        }
    }

    /// Takes note of what was kept when the daemon began.
    pub(super) fn adopted(&mut self, name: &str, sockets: &BTreeMap<HostPort, Socket>) {
        let Some(number) = number_in(name) else { return };
        self.next = self.next.max(number + 1);
        self.of.extend(sockets.keys().map(|port| (*port, number)));
        self.ports.insert(number, sockets.keys().copied().collect());
        if let Some(keeper) = self.keeping.get() {
            keeper.has(name, sockets.values().map(Shared::from).collect());
        }
    }

    fn say(&self, keeper: &Keeper, number: u64, sockets: &[Shared]) {
        let name = format!("{PREFIX}-{:x}-{number:x}", self.place.0);
        let said = if sockets.is_empty() { keeper.forget(&name) } else { keeper.keep_shared(&name, sockets) };
        if let Err(error) = said {
            tracing::warn!(name, code = %error.code, "keep ports over a restart: {error}");
        }
    }
}

/// Whether the socket itself tells which port it holds. Where there is no IPv6, all addresses are those of IPv4.
fn tells(port: &HostPort, socket: &Socket) -> bool {
    let family = || getsockname::<SockaddrStorage>(socket.as_fd().as_raw_fd()).ok()?.family();
    port.at != At::Everywhere || family() == Some(AddressFamily::Inet6)
}

/// The port that a kept socket holds, in that namespace, and the socket, which hears nothing: as if it had been made just now.
pub(super) fn adopt(place: Place, socket: OwnedFd) -> Result<(HostPort, Socket)> {
    let there = netns::cookie_of(&socket)?;
    if there != place {
        return Err(strange(&format!("it is in {there}, and not in {place}")));
    }
    let port = held_by(&socket).map_err(|errno| strange(errno.desc()))?;
    let port = port.ok_or_else(|| strange("it holds no port as ours do"))?;
    deaf::deafen(&socket).map_err(|errno| strange(errno.desc()))?;
    Ok((port, Socket::of(socket, port.protocol)))
}

fn held_by(socket: &OwnedFd) -> nix::Result<Option<HostPort>> {
    let kind = getsockopt(socket, sockopt::SockType)?;
    let protocol = match (kind, crate::resolver::protocol_of(socket)?) {
        // One that does not listen shares its port with whoever wants that.
        (SockType::Stream, libc::IPPROTO_TCP) if getsockopt(socket, sockopt::AcceptConn)? => Protocol::Tcp,
        (SockType::Datagram, libc::IPPROTO_UDP) => Protocol::Udp,
        (SockType::Stream, libc::IPPROTO_SCTP) => Protocol::Sctp,
        _ => return Ok(None),
    };
    let address: SockaddrStorage = getsockname(socket.as_raw_fd())?;
    let address: SocketAddr = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
        (Some(v4), _) => SocketAddr::V4((*v4).into()),
        (None, Some(v6)) => SocketAddr::V6((*v6).into()),
        (None, None) => return Ok(None),
    };
    let at = match address.ip() {
        IpAddr::V6(ip) if ip.is_unspecified() => {
            if getsockopt(socket, sockopt::Ipv6V6Only)? {
                At::All(Family::V6)
            } else {
                At::Everywhere
            }
        }
        ip => At::of(ip),
    };
    Ok((address.port() != 0).then_some(HostPort { at, protocol, port: address.port() }))
}

fn strange(why: &str) -> Error {
    Error::new(Code::Internal, "take up a kept port").because(why)
}

/// For what has no keeper.
impl Default for Bundles {
    fn default() -> Bundles {
        Bundles::at(Place(0), Keeping::default())
    }
}
