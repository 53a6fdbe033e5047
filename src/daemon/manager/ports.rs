//! Published ports: their verbs, on endpoints that live. What they ask of the kernel is small and does not grow: a port
//! is a socket that holds it, and an element of a map for each family.

mod choose;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::MutexGuard;

use bowline_api::v1::{self, EventKind};
use bowline_core::driver::published;
use bowline_core::endpoint::Endpoint;
use bowline_core::family::Family;
use bowline_core::firewall::Element;
use bowline_core::name::Id;
use bowline_core::network::Network;
use bowline_core::place::Place;
use bowline_core::plan::{Change, Straight, diff};
use bowline_core::port::{At, HostPort, Ports, Protocol, Published, Wish};
use bowline_core::state::{Kind, State};
use bowline_core::{Code, Context, Error, Result};

use super::Manager;
use super::attach::among;
use super::endpoints::live;
use super::keeper::Kept;
use super::relay::Beside;
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
        self.know(&seated, &kept);
        let views = fresh.iter().map(|p| view(&seated.endpoint, among(&kept), p)).collect();
        drop(kept);
        drop(seated);
        for published in &fresh {
            self.tell(EventKind::Published, None, Some(seat.name.as_str()), Some(published.to_string()));
        }
        Ok(views)
    }

    /// Takes ports back: those named, or all. Connections through them end, all others go on.
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
        self.know(&seated, &kept);
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

    fn open_ports(
        &self,
        seat: &Seat,
        seated: &mut Seated,
        fresh: &[Published],
        kept: &[MutexGuard<'_, Kept>],
    ) -> Result<()> {
        let part = Endpoint { published: fresh.to_vec(), ..bare(&seated.endpoint) };
        let (there, back) = change(&part, &seated.endpoint.published, kept);
        seated.endpoint.published.extend_from_slice(fresh);
        let done =
            self.store.put_endpoint(seat.id, &seated.record(&[])).and_then(|()| self.kernel.apply(&there));
        if let Err(error) = done {
            seated.endpoint.published.retain(|p| !fresh.contains(p));
            self.apply_what_goes(&back);
            self.give_up_chosen(&part, fresh, kept);
            if let Err(error) = self.store.put_endpoint(seat.id, &seated.record(&[])) {
                tracing::warn!(endpoint = %seat.name, code = %error.code, "journal: {error}");
            }
            return Err(error);
        }
        self.begin_relays(&Beside::of(&part, among(kept)));
        Ok(())
    }

    /// From the kernel what was published, and is not any more. Whatever fails is logged: it is journalled, and the next
    /// repair takes it away.
    fn close_ports(&self, endpoint: &Endpoint, going: &[Published], kept: &[MutexGuard<'_, Kept>]) {
        let part = Endpoint { published: going.to_vec(), ..bare(endpoint) };
        let beside = Beside::of(&part, among(kept));
        self.end_relays(&beside, &Beside::default());
        let (_, mut steps) = change(&part, &endpoint.published, kept);
        steps.extend(forgetting(&beside));
        steps.extend(forgetting_straight(&steps));
        self.apply_what_goes(&steps);
        self.give_up(endpoint.id, &beside, &Beside::default());
    }

    /// An endpoint has left networks: its ports lead elsewhere now, or are closed. At once, and not behind the answer, so
    /// that they can be published again.
    pub(super) fn follow_ports(&self, was: &Endpoint, now: &Endpoint, kept: &[MutexGuard<'_, Kept>]) {
        if was.published.is_empty() {
            return;
        }
        let steps = diff(&published::state(was, among(kept)), &published::state(now, among(kept)));
        if self.kernel.apply(&steps).is_ok() {
            return;
        }
        // What closes must not wait for what cannot be opened.
        let closes = |step: &Change| matches!(step, Change::DelElement { .. } | Change::FreePort { .. });
        let (closing, opening): (Vec<_>, Vec<_>) = steps.into_iter().partition(closes);
        self.apply_what_goes(&closing);
        self.apply_what_goes(&opening);
    }

    /// Of ports that would be held on another host from now on, those that others have there are published no more.
    pub(super) fn drop_what_cannot_move(
        &self,
        seated: &mut Seated,
        was: &Beside,
        kept: &[MutexGuard<'_, Kept>],
    ) {
        let now = Beside::of(&seated.endpoint, among(kept));
        for (place, published) in now.held.difference(&was.held) {
            let endpoint = &mut seated.endpoint;
            if let Err((port, owner)) =
                self.index.reserve_ports(*place, published, endpoint.id, &endpoint.name)
            {
                tracing::warn!(endpoint = %endpoint.name, %port, %owner, "another has the port where it would be now");
                endpoint.published.retain(|p| p != published);
            }
        }
    }
}

/// The steps to these ports of an endpoint, and those back, beside what else it publishes. Its links change where that
/// is nothing.
fn change(
    part: &Endpoint,
    others: &[Published],
    kept: &[MutexGuard<'_, Kept>],
) -> (Vec<Change>, Vec<Change>) {
    let mut with = published::state(part, among(kept));
    let mut without = State::default();
    if others.is_empty() {
        let links = |endpoint: &Endpoint| {
            let mut state = wanted(endpoint, among(kept));
            state.links.retain(|_, link| matches!(link.kind, Kind::Port { .. }));
            State { links: state.links, ..State::default() }
        };
        without.extend(links(&bare(part)));
        with.extend(links(part));
    }
    if with.elements.iter().any(|(_, element)| matches!(element, Element::Reachable { .. })) {
        // Two ports of the host may lead to one that is open by itself.
        let others = Endpoint { published: others.to_vec(), ..bare(part) };
        let shared = published::state(&others, among(kept)).elements;
        with.elements.retain(|element| !shared.contains(element));
    }
    (diff(&without, &with), diff(&with, &without))
}

/// Flows towards ports of the host that are taken back end with them.
fn forgetting(beside: &Beside) -> Vec<Change> {
    let mut places: BTreeMap<Place, Vec<Published>> = BTreeMap::new();
    for (place, published) in &beside.held {
        places.entry(*place).or_default().push(*published);
    }
    let forget = |(place, ports)| Change::ForgetFlows {
        place,
        addresses: BTreeSet::new(),
        ports,
        straight: Vec::new(),
    };
    places.into_iter().map(forget).collect()
}

/// The same on routed networks, where members are reached at their own addresses: by what is open no more. What a member
/// itself sends after that begins its flow anew, as one that goes out.
fn forgetting_straight(steps: &[Change]) -> Vec<Change> {
    let mut shut: BTreeMap<(Place, IpAddr, Protocol), BTreeSet<u16>> = BTreeMap::new();
    for step in steps {
        if let Change::DelElement { place, element: Element::Reachable { address, protocol, port } } = step {
            shut.entry((*place, *address, *protocol)).or_default().insert(*port);
        }
    }
    let forget = |((place, address, protocol), ports): ((Place, IpAddr, Protocol), BTreeSet<u16>)| {
        let ports: Vec<u16> = ports.into_iter().collect();
        let rows = ports.chunk_by(|a, b| a + 1 == *b);
        let rows = rows.filter_map(|row| Ports::new(*row.first()?, *row.last()?).ok());
        let straight =
            rows.map(|row| Straight { net: address.into(), ports: Some((protocol, row)) }).collect();
        Change::ForgetFlows { place, addresses: BTreeSet::new(), ports: Vec::new(), straight }
    };
    shut.into_iter().map(forget).collect()
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
    let (mut going, mut seen) = (Vec::new(), BTreeSet::new());
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
        going.extend(named.into_iter().copied().filter(|p| !seen.contains(p)));
        seen.extend(going.iter().copied());
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
