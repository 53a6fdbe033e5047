//! What a published port is beside the kernel's state: who has reserved it, and what is relayed for it.
//!
//! ```text
//! comes:  reserve -> kernel (hold, then elements) -> relay
//! goes:   end the relay -> kernel (elements, then let go) -> give up
//! ```
//! So of two who want one port, one has it before anything is done, and nobody can have it before it is free.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bowline_core::driver::published::{self, Relay, Relays};
use bowline_core::endpoint::Endpoint;
use bowline_core::name::Id;
use bowline_core::network::Network;
use bowline_core::place::Place;
use bowline_core::port::{HostPort, Protocol, Published};
use bowline_core::{Code, Error, Result};

use super::Manager;
use crate::relay::Dial;
use crate::sockets::Sockets;

/// An endpoint's ports as they are beside the kernel's state.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Beside {
    pub(super) held: BTreeSet<(Place, Published)>,
    relays: Relays,
}

impl Beside {
    pub(super) fn of<'a>(endpoint: &Endpoint, network: impl Fn(Id) -> Option<&'a Network> + Copy) -> Beside {
        let held = |p: &Published| Some((published::host(endpoint, network, p.at)?, *p));
        Beside {
            held: endpoint.published.iter().filter_map(held).collect(),
            relays: published::relays(endpoint, network),
        }
    }
}

/// Where a relay's own side is.
struct From {
    place: Place,
    sockets: Arc<dyn Sockets>,
}

impl Dial for From {
    fn dial(&self, protocol: Protocol, to: SocketAddr) -> io::Result<OwnedFd> {
        self.sockets.dial(self.place, protocol, to)
    }
}

impl Manager {
    /// From now on what must be relayed is, on this runtime.
    pub fn relay_on(&self, runtime: tokio::runtime::Handle) {
        // It is called once, at the start.
        drop(self.relays.set(crate::relay::Relays::new(runtime)));
    }

    /// Reserves what an endpoint is to hold and does not yet: all of it or nothing.
    pub(super) fn reserve(&self, endpoint: &Endpoint, was: &Beside, now: &Beside) -> Result<()> {
        let mut reserved = Vec::new();
        for (place, published) in now.held.difference(&was.held) {
            match self.index.reserve_ports(*place, published, endpoint.id, &endpoint.name) {
                Ok(()) => reserved.push((place, published)),
                Err((port, owner)) => {
                    for (place, published) in reserved {
                        self.index.give_up_ports(*place, published, endpoint.id);
                    }
                    return Err(taken(&port).because(format!("endpoint {owner} has published it")));
                }
            }
        }
        Ok(())
    }

    /// Gives up what an endpoint held and does not any more.
    pub(super) fn give_up(&self, endpoint: Id, was: &Beside, now: &Beside) {
        for (place, published) in was.held.difference(&now.held) {
            self.index.give_up_ports(*place, published, endpoint);
        }
    }

    /// Ends relays that lead elsewhere from now on, or nowhere.
    pub(super) fn end_relays(&self, was: &Beside, now: &Beside) {
        let Some(relays) = self.relays.get() else { return };
        for (key, to) in &was.relays {
            if now.relays.get(key) != Some(to) {
                relays.end(key);
            }
        }
    }

    /// Begins what is to be relayed and is not yet. A port that could not be held is relayed when it can.
    pub(super) fn begin_relays(&self, now: &Beside) {
        let Some(relays) = self.relays.get() else { return };
        for (key, to) in now.relays.iter().filter(|(key, _)| !relays.serves(key)) {
            if let Err(error) = self.begin_relay(relays, *key, *to) {
                tracing::warn!(port = %key.1, code = %error.code, "relay to {}: {error}", to.to);
            }
        }
    }

    fn begin_relay(&self, relays: &crate::relay::Relays, key: (Place, HostPort), to: Relay) -> Result<()> {
        let (place, port) = key;
        let Some(socket) = self.sockets.listen(place, &port)? else { return Ok(()) };
        relays.serve(key, socket, to, Arc::new(From { place, sockets: self.sockets.clone() }))
    }
}

pub(super) fn taken(port: &HostPort) -> Error {
    Error::new(Code::PortTaken, format!("port {port} is taken"))
}
