//! From wishes to definite ports: which of the host's, and that nobody else has them.

use std::sync::MutexGuard;

use bowline_core::driver::published;
use bowline_core::endpoint::Endpoint;
use bowline_core::place::Place;
use bowline_core::plan::Change;
use bowline_core::port::{HostPort, Ports, Protocol, Published, Wish};
use bowline_core::{Code, Error, Result};

use crate::manager::attach::among;
use crate::manager::keeper::Kept;
use crate::manager::relay::Beside;
use crate::manager::seat::Seated;
use crate::manager::{Manager, relay};

impl Manager {
    /// Gives an endpoint that is joining the ports it asks for, and reserves those that move with it.
    pub(in crate::manager) fn take_ports(
        &self,
        seated: &mut Seated,
        was: &Beside,
        wishes: &[Wish],
        kept: &[MutexGuard<'_, Kept>],
    ) -> Result<Beside> {
        let chosen = self.choose_ports(&seated.endpoint, wishes, kept)?;
        let mut reserved = was.clone();
        seated.endpoint.published.extend(chosen.iter().copied());
        let now = Beside::of(&seated.endpoint, among(kept));
        reserved.held.extend(now.held.iter().filter(|(_, published)| chosen.contains(published)));
        if let Err(error) = self.reserve(&seated.endpoint, &reserved, &now) {
            self.let_go(&seated.endpoint, &chosen, kept);
            return Err(error);
        }
        Ok(now)
    }

    /// From wishes to definite ports, each of them reserved and held already. Exact wishes come first, so that no chosen
    /// port is in the way of one.
    pub(in crate::manager) fn choose_ports(
        &self,
        endpoint: &Endpoint,
        wishes: &[Wish],
        kept: &[MutexGuard<'_, Kept>],
    ) -> Result<Vec<Published>> {
        if wishes.is_empty() {
            return Ok(Vec::new());
        }
        let leads_out = published::leads_out(endpoint, among(kept));
        let passed_by = published::passed_by(endpoint, among(kept));
        if let Some(network) = passed_by.filter(|network| leads_out || network.medium.direct().is_some()) {
            return Err(Error::new(
                Code::InvalidOption,
                format!("endpoint {} has no use for published ports", endpoint.name),
            )
            .because(format!(
                "what it sends elsewhere leaves by network {}, which does not pass this host: there it is reached \
                 at its own addresses, at every port",
                network.name
            ))
            .fix("leave -p out, or give a bridge network the higher --gw-priority"));
        }
        if !leads_out {
            return Err(Error::new(
                Code::InvalidOption,
                format!("endpoint {} cannot publish", endpoint.name),
            )
            .because("it is on no network that leads from outside to it: on internal ones only, on wires, or on none")
            .fix("connect it to a network of driver bridge that is not internal"));
        }
        let (exact, open): (Vec<_>, Vec<_>) =
            wishes.iter().partition(|w| w.host.is_some_and(|host| host.count() == w.ports.count()));
        let mut chosen: Vec<Published> = Vec::new();
        for wish in exact.into_iter().chain(open) {
            match self.choose(endpoint, wish, &chosen, kept) {
                Ok(published) => chosen.push(published),
                Err(error) => {
                    self.let_go(endpoint, &chosen, kept);
                    return Err(error);
                }
            }
        }
        Ok(chosen)
    }

    fn choose(
        &self,
        endpoint: &Endpoint,
        wish: &Wish,
        chosen: &[Published],
        kept: &[MutexGuard<'_, Kept>],
    ) -> Result<Published> {
        let (at, protocol, first, count) = (wish.at, wish.protocol, wish.ports.first(), wish.ports.count());
        let made = |host: Ports| Published { at, protocol, host, first };
        let Some(place) = published::host(endpoint, among(kept), at) else {
            // On a routed network nothing of the host's is taken.
            let published = made(wish.host.unwrap_or(wish.ports));
            return not_twice(endpoint, chosen, &published).map(|()| published);
        };
        self.must_lead_there(endpoint, wish, kept)?;
        let within = match wish.host {
            Some(host) if host.count() == count => {
                let published = made(host);
                return match self.hold(place, endpoint, &published) {
                    Ok(()) => Ok(published),
                    Err(error) => Err(self.with_suggestion(error, place, &published)),
                };
            }
            Some(host) => vec![host],
            None => self.kernel.ephemeral(place)?,
        };
        for host in self.index.next_ports(&within, count, wish.host.is_none()) {
            let published = made(host);
            // Looking costs little; being refused leads to a search for who has it.
            if !published.host_ports().all(|port| self.kernel.is_free(place, &port).unwrap_or(true)) {
                continue;
            }
            match self.hold(place, endpoint, &published) {
                Ok(()) => {
                    self.index.chose(host);
                    return Ok(published);
                }
                Err(error) if error.code == Code::PortTaken => {}
                Err(error) => return Err(error),
            }
        }
        let ranges: Vec<String> = within.iter().map(ToString::to_string).collect();
        Err(Error::new(Code::PortTaken, format!("no port is free for {wish}"))
            .because(format!("all of {} are taken", ranges.join(", ")))
            .fix("give a range with room, or take ports back: bowline port ls"))
    }

    /// By a bridge of others the host has to find the way itself.
    fn must_lead_there(&self, endpoint: &Endpoint, wish: &Wish, kept: &[MutexGuard<'_, Kept>]) -> Result<()> {
        let Some((network, address)) = published::by_their_bridge(endpoint, among(kept), wish.at) else {
            return Ok(());
        };
        let (name, bridge) = (&network.name, &network.bridge);
        let refused = |why: String| {
            Error::new(Code::InvalidOption, format!("endpoint {} cannot publish {wish}", endpoint.name))
                .because(why)
                .fix(format!(
                    "reach it at its own address, {address}; or connect it to a network of the host's own"
                ))
        };
        if wish.protocol == Protocol::Sctp {
            return Err(refused(format!(
                "network {name} is on a bridge of others, where SCTP is not relayed"
            )));
        }
        match self.kernel.way_to(network.host, address)? {
            Some(link) if link == *bridge => Ok(()),
            Some(link) => {
                Err(refused(format!("this host sends to {address} by {link}, and not by {bridge}")))
            }
            None => Err(refused(format!("this host has no way to {address}"))),
        }
    }

    /// Reserves ports and binds their sockets, or says who has one of them.
    fn hold(&self, place: Place, endpoint: &Endpoint, published: &Published) -> Result<()> {
        if let Err((port, owner)) = self.index.reserve_ports(place, published, endpoint.id, &endpoint.name) {
            let asked = endpoint.published.iter().any(|p| p.host_ports().any(|p| p.clashes_with(&port)));
            return Err(relay::taken(&port).because(if owner == endpoint.name && !asked {
                "it is asked for twice".to_string()
            } else {
                format!("endpoint {owner} has published it")
            }));
        }
        let steps: Vec<_> = published.host_ports().map(|port| Change::HoldPort { place, port }).collect();
        self.kernel.apply(&steps).inspect_err(|_| self.index.give_up_ports(place, published, endpoint.id))
    }

    fn with_suggestion(&self, error: Error, place: Place, wanted: &Published) -> Error {
        if error.code != Code::PortTaken {
            return error;
        }
        let first = wanted.host_ports().next().expect("a range has a first port");
        match self.free_near(place, &first, wanted.host.count()).and_then(|port| wanted.host.moved_to(port)) {
            Some(host) => error.fix(format!("this is free: -p {}", Published { host, ..*wanted })),
            None => error.fix("see what is published: bowline port ls"),
        }
    }

    /// The next port from which on as many are free.
    pub(super) fn free_near(&self, place: Place, port: &HostPort, count: u16) -> Option<u16> {
        const FAR: u16 = 200;
        let free = |at: u16| {
            let port = HostPort { port: at, ..*port };
            self.index.port_owner(place, &port).is_none()
                && self.kernel.is_free(place, &port).unwrap_or(false)
        };
        let last = port.port.saturating_add(FAR).min(u16::MAX - (count - 1));
        (port.port..=last).find(|&first| (first..=first + (count - 1)).all(free))
    }

    /// Ports that are held but lead nowhere yet: from here on anyone's.
    pub(in crate::manager) fn let_go(
        &self,
        endpoint: &Endpoint,
        chosen: &[Published],
        kept: &[MutexGuard<'_, Kept>],
    ) {
        let held = chosen.iter().filter_map(|p| Some((p, published::host(endpoint, among(kept), p.at)?)));
        let steps: Vec<_> = held
            .flat_map(|(p, place)| p.host_ports().map(move |port| Change::FreePort { place, port }))
            .collect();
        if let Err(error) = self.kernel.apply(&steps) {
            tracing::warn!(endpoint = %endpoint.name, code = %error.code, "let go of ports: {error}");
        }
        self.give_up_chosen(endpoint, chosen, kept);
    }

    pub(in crate::manager) fn give_up_chosen(
        &self,
        endpoint: &Endpoint,
        chosen: &[Published],
        kept: &[MutexGuard<'_, Kept>],
    ) {
        for published in chosen {
            if let Some(place) = published::host(endpoint, among(kept), published.at) {
                self.index.give_up_ports(place, published, endpoint.id);
            }
        }
    }
}

fn not_twice(endpoint: &Endpoint, chosen: &[Published], published: &Published) -> Result<()> {
    let others = || endpoint.published.iter().chain(chosen).flat_map(Published::host_ports);
    match published.host_ports().find(|port| others().any(|other| other.clashes_with(port))) {
        Some(port) => Err(relay::taken(&port).because("it is asked for twice")),
        None => Ok(()),
    }
}
