//! Names of services: `_80._tcp.web`, and who serves them.

use std::net::IpAddr;

use bowline_core::port::Protocol;

use super::reverse::number;
use super::{Asked, lookup};
use crate::message::{WireName, split};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// `_tcp.web`, which has names below it and is none itself.
    All,
    /// `_80._tcp.web`
    Port(Protocol, u16),
    /// `_http._tcp.web`: nobody says that he serves that.
    Unknown,
}

/// One who serves a port, as a record says it.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) target: WireName,
    pub(super) addresses: Vec<IpAddr>,
}

/// No client weighs more of them, and one message must not cost more than it is worth.
pub(super) const MOST: usize = 256;

/// Which service of which name.
pub(super) fn parse(name: &[u8]) -> Option<(Service, &[u8])> {
    let (first, rest) = split(name)?;
    if protocol(first).is_some() {
        return Some((Service::All, rest));
    }
    let port = first.strip_prefix(b"_")?;
    let (second, host) = split(rest)?;
    let protocol = protocol(second)?;
    let service = match number(port) {
        Some(port) => Service::Port(protocol, port),
        None => Service::Unknown,
    };
    Some((service, host))
}

fn protocol(label: &[u8]) -> Option<Protocol> {
    let name = label.strip_prefix(b"_")?;
    Protocol::ALL.iter().copied().find(|protocol| protocol.name().as_bytes() == name)
}

/// Who of those with this name serves the port, and no more than [`MOST`]. The addresses of one who is found twice are put together.
pub(super) fn servers(asked: &Asked<'_>, host: &[u8], service: (Protocol, u16)) -> Vec<Server> {
    let mut servers: Vec<Server> = Vec::new();
    lookup::each(asked.view, host, |zone, tables, held| {
        for owner in lookup::turned(&held.owners, asked.turn) {
            let Some((name, addresses)) = tables.serving(*owner, service) else { continue };
            let Some(target) = WireName::joined(name, zone.suffix()) else { continue };
            if let Some(server) = servers.iter_mut().find(|server| *server.target == *target) {
                for address in addresses {
                    if !server.addresses.contains(address) {
                        server.addresses.push(*address);
                    }
                }
            } else if servers.len() < MOST {
                servers.push(Server { target, addresses: addresses.to_vec() });
            } else {
                return;
            }
        }
    });
    servers
}
