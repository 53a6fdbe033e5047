//! Keeps the relays in step with what is published: those that end, end before their port is let go of, and those that
//! begin do so when everything else is in place.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, MutexGuard};

use bowline_core::driver::published::{self, Relays};
use bowline_core::endpoint::Endpoint;
use bowline_core::place::Place;
use bowline_core::plan::diff;
use bowline_core::port::{Protocol, Published};

use super::Manager;
use super::attach::among;
use super::keeper::Kept;
use crate::relay::Dial;
use crate::sockets::Sockets;

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

    pub(super) fn relay(&self, before: &Relays, after: &Relays) {
        let Some(relays) = self.relays.get() else { return };
        for (key, to) in before {
            if after.get(key) != Some(to) {
                relays.end(key);
            }
        }
        for (key, to) in after.iter().filter(|(key, to)| before.get(key) != Some(to)) {
            let (place, port) = key;
            let begun = match self.sockets.listen(*place, port) {
                Ok(Some(socket)) => {
                    let from = From { place: *place, sockets: self.sockets.clone() };
                    relays.serve(*key, socket, *to, Arc::new(from))
                }
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = begun {
                tracing::warn!(%port, code = %error.code, "relay to {to}: {error}");
            }
        }
    }

    /// An endpoint's interfaces have changed, and with them where its ports lead: the kernel has been told.
    pub(super) fn republished(&self, was: &Endpoint, now: &Endpoint, kept: &[MutexGuard<'_, Kept>]) {
        let of = |endpoint: &Endpoint| {
            let held = |p: &Published| Some((published::host(endpoint, among(kept), p.at)?, *p));
            endpoint.published.iter().filter_map(held).collect::<Vec<_>>()
        };
        for (place, published) in of(was) {
            self.index.remove_ports(place, &published, &was.name);
        }
        for (place, published) in of(now) {
            self.index.add_ports(place, &published, &now.name);
        }
        self.relay(&published::relays(was, among(kept)), &published::relays(now, among(kept)));
    }

    /// An endpoint has left networks: its ports lead elsewhere now, or are closed. At once, and not behind the answer, so
    /// that they can be published again.
    pub(super) fn follow_ports(&self, was: &Endpoint, now: &Endpoint, kept: &[MutexGuard<'_, Kept>]) {
        if was.published.is_empty() {
            return;
        }
        self.republished(was, now, kept);
        let steps = diff(&published::state(was, among(kept)), &published::state(now, among(kept)));
        if let Err(error) = self.kernel.apply(&steps) {
            tracing::warn!(endpoint = %now.name, code = %error.code, "close ports: {error}");
        }
    }
}
