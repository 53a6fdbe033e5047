//! Published ports: their verbs, on endpoints that live. What they ask of the kernel is small and does not grow: a port
//! is a socket that holds it, and an element of a map for each family.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::MutexGuard;

use bowline_api::v1::{self, EventKind};
use bowline_core::driver::published::{self, Relays};
use bowline_core::endpoint::Endpoint;
use bowline_core::family::Family;
use bowline_core::name::Id;
use bowline_core::network::Network;
use bowline_core::place::Place;
use bowline_core::plan::{Change, diff};
use bowline_core::port::{At, HostPort, Ports, Protocol, Published, Wish};
use bowline_core::state::{Kind, State};
use bowline_core::{Code, Context, Error, Result};

use super::Manager;
use super::attach::among;
use super::endpoints::live;
use super::keeper::Kept;
use super::seat::{Seat, Seated, wanted};

impl Manager {
    /// Publishes ports of a live endpoint: all of them or none. Its connections go on.
    pub fn publish(&self, name: &str, wish: &v1::Publish) -> Result<Vec<v1::Port>> {
        let seat = self.index.endpoint(name)?;
        let wishes = wishes(&wish.ports)?;
        let mut seated = seat.lock();
        live(&seat, &seated)?;
        let keepers = self.keepers_of(&seated.endpoint);
        let kept: Vec<_> = keepers.iter().map(|k| k.lock()).collect();
        let fresh = self
            .choose_ports(&seated.endpoint, &wishes, &kept)
            .and_then(|fresh| self.open_ports(&seat, &mut seated, &fresh, &kept).map(|()| fresh))
            .context(|| format!("publish ports of {}", seat.name))?;
        let views = fresh.iter().map(|p| view(&seated.endpoint, among(&kept), p)).collect();
        drop(kept);
        drop(seated);
        for published in &fresh {
            self.tell(EventKind::Published, None, Some(seat.name.as_str()), Some(published.to_string()));
        }
        Ok(views)
    }

    /// Takes ports back: those named, or all. Their connections end; all others go on.
    pub fn unpublish(&self, name: &str, wish: &v1::Publish) -> Result<Vec<v1::Port>> {
        let seat = self.index.endpoint(name)?;
        let wishes = wishes(&wish.ports)?;
        let mut seated = seat.lock();
        live(&seat, &seated)?;
        let keepers = self.keepers_of(&seated.endpoint);
        let kept: Vec<_> = keepers.iter().map(|k| k.lock()).collect();
        let going = going(&seated.endpoint, &wishes)?;
        let views = going.iter().map(|p| view(&seated.endpoint, among(&kept), p)).collect();
        let was = seated.endpoint.published.clone();
        seated.endpoint.published.retain(|p| !going.contains(p));
        if let Err(error) = self.store.put_endpoint(seat.id, &seated.record(&[])) {
            seated.endpoint.published = was;
            return Err(error.context(format!("unpublish ports of {}", seat.name)));
        }
        self.close_ports(&seated.endpoint, &going, &kept);
        drop(kept);
        drop(seated);
        for published in &going {
            self.tell(EventKind::Unpublished, None, Some(seat.name.as_str()), Some(published.to_string()));
        }
        Ok(views)
    }

    pub fn ports(&self) -> Vec<v1::Port> {
        let mut all = Vec::new();
        for seat in self.index.endpoints() {
            let seated = seat.lock();
            let keepers = self.keepers_of(&seated.endpoint);
            let kept: Vec<_> = keepers.iter().map(|k| k.lock()).collect();
            all.extend(seated.endpoint.published.iter().map(|p| view(&seated.endpoint, among(&kept), p)));
        }
        all
    }

    /// Whether a port of the daemon's own host could be published, and who has it.
    pub fn check_port(&self, query: &v1::PortQuery) -> Result<v1::PortCheck> {
        let port = HostPort {
            at: address(query.host_ip)?,
            protocol: protocol(query.protocol),
            port: Ports::one(query.host_port)?.first(),
        };
        let owner = self.index.port_owner(self.host, &port);
        let published = match &owner {
            Some(name) => self.ports().into_iter().filter(|p| p.endpoint == name.as_str()).collect(),
            None => Vec::new(),
        };
        let published: Vec<v1::Port> =
            published.into_iter().filter(|p: &v1::Port| includes(p, &port)).collect();
        let free = owner.is_none() && self.kernel.is_free(self.host, &port)?;
        let taken = !free && owner.is_none();
        Ok(v1::PortCheck {
            free,
            published,
            holders: if taken { self.kernel.holders(self.host, &port) } else { Vec::new() },
            suggestion: if free { None } else { self.free_near(self.host, &port, 1) },
            obstacles: self.obstacles(self.host),
        })
    }

    /// From wishes to definite ports, each of them held already. Exact wishes come first, so that no chosen port is in
    /// the way of one.
    pub(super) fn choose_ports(
        &self,
        endpoint: &Endpoint,
        wishes: &[Wish],
        kept: &[MutexGuard<'_, Kept>],
    ) -> Result<Vec<Published>> {
        if wishes.is_empty() {
            return Ok(Vec::new());
        }
        if !published::leads_out(endpoint, among(kept)) {
            return Err(Error::new(
                Code::InvalidOption,
                format!("endpoint {} cannot publish", endpoint.name),
            )
            .because("it is on internal networks only, or on none: nothing from outside may reach it")
            .fix("connect it to a network that is not internal"));
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
        let place = published::host(endpoint, among(kept), wish.at);
        let made =
            |host: Ports| Published { at: wish.at, protocol: wish.protocol, host, first: wish.ports.first() };
        // On a routed network nothing of the host's is taken.
        let Some(place) = place else { return Ok(made(wish.host.unwrap_or(wish.ports))) };
        let count = wish.ports.count();
        let within = match wish.host {
            Some(host) if host.count() == count => {
                let published = made(host);
                self.hold(place, &published, chosen)
                    .map_err(|error| self.with_suggestion(error, place, &published))?;
                return Ok(published);
            }
            Some(host) => vec![host],
            None => self.kernel.ephemeral(place)?,
        };
        let starts = self.index.next_ports(&within, count, wish.host.is_none());
        for host in starts {
            let published = made(host);
            match self.hold(place, &published, chosen) {
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

    /// Binds a port's sockets, or says who has one of them.
    fn hold(&self, place: Place, published: &Published, chosen: &[Published]) -> Result<()> {
        for port in published.host_ports() {
            if chosen.iter().flat_map(Published::host_ports).any(|other| other.clashes_with(&port)) {
                return Err(Error::new(Code::PortTaken, format!("port {port} is taken"))
                    .because("it is asked for twice"));
            }
            if let Some(owner) = self.index.port_owner(place, &port) {
                return Err(Error::new(Code::PortTaken, format!("port {port} is taken"))
                    .because(format!("endpoint {owner} has published it")));
            }
        }
        let steps: Vec<_> = published.host_ports().map(|port| Change::HoldPort { place, port }).collect();
        self.kernel.apply(&steps)
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
    fn free_near(&self, place: Place, port: &HostPort, count: u16) -> Option<u16> {
        const FAR: u16 = 200;
        let free = |at: u16| {
            let port = HostPort { port: at, ..*port };
            self.index.port_owner(place, &port).is_none()
                && self.kernel.is_free(place, &port).unwrap_or(false)
        };
        let last = port.port.saturating_add(FAR).min(u16::MAX - (count - 1));
        (port.port..=last).find(|&first| (first..=first + (count - 1)).all(free))
    }

    /// Ports that are held but lead nowhere yet.
    pub(super) fn let_go(&self, endpoint: &Endpoint, chosen: &[Published], kept: &[MutexGuard<'_, Kept>]) {
        let steps: Vec<_> = chosen
            .iter()
            .filter_map(|p| Some((p, published::host(endpoint, among(kept), p.at)?)))
            .flat_map(|(p, place)| p.host_ports().map(move |port| Change::FreePort { place, port }))
            .collect();
        if let Err(error) = self.kernel.apply(&steps) {
            tracing::warn!(endpoint = %endpoint.name, code = %error.code, "let go of ports: {error}");
        }
    }

    fn open_ports(
        &self,
        seat: &Seat,
        seated: &mut Seated,
        fresh: &[Published],
        kept: &[MutexGuard<'_, Kept>],
    ) -> Result<()> {
        let part = Endpoint { published: fresh.to_vec(), ..bare(&seated.endpoint) };
        let begins = seated.endpoint.published.is_empty();
        let (there, back) = change(&part, begins, kept);
        seated.endpoint.published.extend_from_slice(fresh);
        let done =
            self.store.put_endpoint(seat.id, &seated.record(&[])).and_then(|()| self.kernel.apply(&there));
        if let Err(error) = done {
            seated.endpoint.published.retain(|p| !fresh.contains(p));
            for step in &back {
                if let Err(error) = self.kernel.apply(std::slice::from_ref(step)) {
                    tracing::warn!(endpoint = %seat.name, code = %error.code, "undo a publishing: {error}");
                }
            }
            if let Err(error) = self.store.put_endpoint(seat.id, &seated.record(&[])) {
                tracing::warn!(endpoint = %seat.name, code = %error.code, "journal: {error}");
            }
            return Err(error);
        }
        self.now_published(&part, kept);
        Ok(())
    }

    /// What an endpoint has published is in the kernel: others are told whose it is, and what must be relayed is.
    pub(super) fn now_published(&self, part: &Endpoint, kept: &[MutexGuard<'_, Kept>]) {
        for published in &part.published {
            if let Some(place) = published::host(part, among(kept), published.at) {
                self.index.add_ports(place, published, &part.name);
            }
        }
        self.relay(&Relays::new(), &published::relays(part, among(kept)));
    }

    /// From the kernel what was published, and is not any more. Whatever fails is logged: nobody is answered again.
    pub(super) fn close_ports(
        &self,
        endpoint: &Endpoint,
        going: &[Published],
        kept: &[MutexGuard<'_, Kept>],
    ) {
        if going.is_empty() {
            return;
        }
        let part = Endpoint { published: going.to_vec(), ..bare(endpoint) };
        self.relay(&published::relays(&part, among(kept)), &Relays::new());
        let (_, mut steps) = change(&part, endpoint.published.is_empty(), kept);
        steps.extend(published::host(endpoint, among(kept), At::Everywhere).map(|place| {
            Change::ForgetFlows {
                place,
                addresses: Default::default(),
                ports: going.to_vec(),
                straight: Vec::new(),
            }
        }));
        if let Err(error) = self.kernel.apply(&steps) {
            tracing::warn!(endpoint = %endpoint.name, code = %error.code, "close ports: {error}");
        }
        for published in going {
            if let Some(place) = published::host(&part, among(kept), published.at) {
                self.index.remove_ports(place, published, &endpoint.name);
            }
        }
    }
}

/// The steps to these ports of an endpoint, and those back. Where they are all that it publishes, its links change too.
fn change(part: &Endpoint, all: bool, kept: &[MutexGuard<'_, Kept>]) -> (Vec<Change>, Vec<Change>) {
    let (mut without, mut with) = (State::default(), published::state(part, among(kept)));
    if all {
        let links = |endpoint: &Endpoint| {
            let mut state = wanted(endpoint, among(kept));
            state.links.retain(|_, link| matches!(link.kind, Kind::Port { .. }));
            State { links: state.links, ..State::default() }
        };
        without.extend(links(&bare(part)));
        with.extend(links(part));
    }
    (diff(&without, &with), diff(&with, &without))
}

/// The endpoint without what it has published.
fn bare(endpoint: &Endpoint) -> Endpoint {
    let Endpoint { id, ref name, place, ref interfaces, guard, published: _ } = *endpoint;
    Endpoint { id, name: name.clone(), place, interfaces: interfaces.clone(), published: Vec::new(), guard }
}

pub(super) fn view<'a>(
    endpoint: &Endpoint,
    network: impl Fn(Id) -> Option<&'a Network> + Copy,
    published: &Published,
) -> v1::Port {
    let held = published::host(endpoint, network, published.at).is_some();
    let (inner, host) = (published.ports(), published.host);
    let last = |ports: Ports| (ports.count() > 1).then(|| ports.last());
    v1::Port {
        endpoint: endpoint.name.to_string(),
        host_ip: match published.at {
            At::Everywhere => None,
            At::All(Family::V4) => Some(Ipv4Addr::UNSPECIFIED.into()),
            At::All(Family::V6) => Some(Ipv6Addr::UNSPECIFIED.into()),
            At::One(address) => Some(address),
        },
        host_port: held.then(|| host.first()),
        host_port_last: last(host).filter(|_| held),
        port: inner.first(),
        port_last: last(inner),
        protocol: match published.protocol {
            Protocol::Tcp => v1::Protocol::Tcp,
            Protocol::Udp => v1::Protocol::Udp,
            Protocol::Sctp => v1::Protocol::Sctp,
        },
        addresses: published::targets(endpoint, network, published),
    }
}

fn includes(view: &v1::Port, port: &HostPort) -> bool {
    let ports = view.host_port.map(|first| first..=view.host_port_last.unwrap_or(first));
    ports.is_some_and(|ports| ports.contains(&port.port)) && protocol(view.protocol) == port.protocol
}

/// Those of the endpoint's ports that are named: by the host's port, or by its own. All, where none is.
fn going(endpoint: &Endpoint, wishes: &[Wish]) -> Result<Vec<Published>> {
    if wishes.is_empty() {
        return Ok(endpoint.published.clone());
    }
    let mut going = Vec::new();
    for wish in wishes {
        let fits =
            |p: &&Published| p.protocol == wish.protocol && (wish.at == At::Everywhere || wish.at == p.at);
        let candidates = || endpoint.published.iter().filter(fits);
        let by_host: Vec<_> = match wish.host {
            Some(host) => candidates().filter(|p| p.host == host && p.ports() == wish.ports).collect(),
            None => candidates().filter(|p| p.host == wish.ports).collect(),
        };
        let by_own: Vec<_> = match wish.host {
            Some(_) => Vec::new(),
            None => candidates().filter(|p| p.ports() == wish.ports).collect(),
        };
        let named = if by_host.is_empty() { by_own } else { by_host };
        if named.is_empty() {
            return Err(Error::new(
                Code::NotPublished,
                format!("port {wish} of endpoint {} is not published", endpoint.name),
            )
            .fix(format!("see what is: bowline port ls {}", endpoint.name)));
        }
        going.extend(named.into_iter().copied());
    }
    Ok(going)
}

pub(super) fn wishes(specs: &[v1::PublishSpec]) -> Result<Vec<Wish>> {
    specs.iter().map(wish).collect()
}

fn wish(spec: &v1::PublishSpec) -> Result<Wish> {
    let host = match (spec.host_port, spec.host_port_last) {
        (Some(first), Some(last)) => Some(Ports::new(first, last)?),
        (Some(port), None) => Some(Ports::one(port)?),
        (None, None) => None,
        (None, Some(last)) => {
            return Err(Error::new(Code::InvalidPort, format!("host ports up to {last} are not usable"))
                .because("the first of them is missing")
                .fix("give host_port as well"));
        }
    };
    Wish::new(address(spec.host_ip)?, host, own_ports(spec.port, spec.port_last)?, protocol(spec.protocol))
}

pub(super) fn exposed(expose: &v1::Expose) -> Result<Wish> {
    let ports = own_ports(expose.port, expose.port_last)?;
    Wish::new(At::Everywhere, None, ports, protocol(expose.protocol))
}

fn own_ports(first: u16, last: Option<u16>) -> Result<Ports> {
    last.map_or_else(|| Ports::one(first), |last| Ports::new(first, last))
}

fn address(wire: Option<IpAddr>) -> Result<At> {
    let Some(ip) = wire else { return Ok(At::Everywhere) };
    let why = match ip {
        IpAddr::V4(ip) if ip.is_multicast() || ip.is_broadcast() => "it is not one of a host",
        IpAddr::V6(ip) if ip.is_multicast() => "it is not one of a host",
        IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some() => "it is an IPv4 address in disguise",
        IpAddr::V6(ip) if ip.segments()[0] & 0xffc0 == 0xfe80 => {
            "link-local addresses are of one link only; publish on all addresses, and they are served too"
        }
        IpAddr::V4(_) | IpAddr::V6(_) => return Ok(At::of(ip)),
    };
    Err(Error::new(Code::InvalidPort, format!("host address {ip} is not usable"))
        .because(why)
        .fix("leave it out, or give an address of this host's"))
}

fn protocol(wire: v1::Protocol) -> Protocol {
    match wire {
        v1::Protocol::Tcp => Protocol::Tcp,
        v1::Protocol::Udp => Protocol::Udp,
        v1::Protocol::Sctp => Protocol::Sctp,
    }
}
