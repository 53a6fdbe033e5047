//! What an endpoint publishes: the host's ports that are held for it, and where the firewall sends what arrives there.
//!
//! For each family the ports lead to the interface that the default route goes by, and move with it. What the firewall
//! cannot translate, for the families differ or it comes from the host's ::1, is relayed by whoever holds the port.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use ipnetwork::IpNetwork;

use super::bridge::is_apart;
use super::way_out;
use crate::endpoint::{Endpoint, Interface};
use crate::family::Family;
use crate::firewall::Element;
use crate::medium::{Medium, Whose};
use crate::name::Id;
use crate::network::{Gateway, Isolation, Neighbours, Network};
use crate::place::Place;
use crate::port::{At, HostPort, Protocol, Published};
use crate::state::State;

/// Ports of the host, each with where what arrives at its socket is to be relayed to.
pub type Relays = BTreeMap<(Place, HostPort), Relay>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relay {
    /// The endpoint's address and port.
    pub to: SocketAddr,
    pub clients: Clients,
}

/// Who is relayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clients {
    All,
    /// All but those of IPv4 that come to an address of IPv4: they are for the kernel and its filters, and what these did not
    /// let through gets in by no back door.
    Untranslated,
}

impl From<SocketAddr> for Relay {
    fn from(to: SocketAddr) -> Relay {
        Relay { to, clients: Clients::Untranslated }
    }
}

/// Where a family's translated ports lead.
#[derive(Clone, Copy)]
struct Target<'a> {
    network: &'a Network,
    address: IpAddr,
}

/// The fragment of all that an endpoint publishes.
pub fn state<'a>(endpoint: &Endpoint, network: impl Fn(Id) -> Option<&'a Network>) -> State {
    let mut state = State::default();
    if endpoint.published.is_empty() {
        return state;
    }
    for interface in &endpoint.interfaces {
        if let Some(network) = network(interface.network) {
            routed(&mut state, network, interface, &endpoint.published);
        }
    }
    let targets = Targets::of(endpoint, &network);
    for published in &endpoint.published {
        for family in published.at.families() {
            if let (Some(target), Some(at)) = (targets.of_family(*family), published.at.within(*family)) {
                translated(&mut state, target, at, published);
            }
        }
        let Some(host) = targets.host(published.at) else { continue };
        state.held.extend(published.host_ports().map(|port| (host, port)));
        if let Some(target) = targets.relay(published).filter(Target::keeps_others_out) {
            shut(&mut state, target.network.host, published);
        }
    }
    state
}

/// The host that ports of these addresses are held on. None where they are nowhere the host's: on routed networks only.
pub fn host<'a>(endpoint: &Endpoint, network: impl Fn(Id) -> Option<&'a Network>, at: At) -> Option<Place> {
    Targets::of(endpoint, &network).host(at)
}

/// Whether anything that is published can be reached at all.
pub fn leads_out<'a>(endpoint: &Endpoint, network: impl Fn(Id) -> Option<&'a Network>) -> bool {
    endpoint.interfaces.iter().any(|i| network(i.network).is_some_and(|n| way(n, i) != Way::None))
}

/// Where a port leads by a bridge of others, which the host itself must have a way to.
pub fn by_their_bridge<'a>(
    endpoint: &Endpoint,
    network: impl Fn(Id) -> Option<&'a Network>,
    at: At,
) -> Option<(&'a Network, IpAddr)> {
    let targets = Targets::of(endpoint, &network);
    let translated = at.families().iter().any(|family| targets.of_family(*family).is_some());
    let target = targets.beside.filter(|_| !translated && targets.v4.is_none() && targets.v6.is_none())?;
    Some((target.network, target.address))
}

/// How what arrives at a port of the host gets to an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Translated,
    /// By the host's own connection: the members' way out is another's, and answers would not come back by the host.
    Relayed,
    None,
}

fn way(network: &Network, interface: &Interface) -> Way {
    match &network.medium {
        Medium::Bridge(_) if network.internal || is_apart(network, interface) => Way::None,
        Medium::Bridge(bridge) => match bridge.whose {
            Whose::Ours => Way::Translated,
            Whose::Theirs => Way::Relayed,
        },
        Medium::Direct(_) | Medium::Pair => Way::None,
    }
}

/// The network by which answers go another way than by the host, where nothing leads to the host's ports.
pub fn passed_by<'a>(
    endpoint: &Endpoint,
    network: impl Fn(Id) -> Option<&'a Network>,
) -> Option<&'a Network> {
    let ways = Family::BOTH.map(|family| way_out(endpoint, &network, family).map(|(_, through)| through));
    let relayed = |i: &Interface| network(i.network).is_some_and(|n| way(n, i) == Way::Relayed);
    let by_the_host = ways.iter().flatten().any(|through| through.medium.is_our_bridge());
    if by_the_host || endpoint.interfaces.iter().any(relayed) {
        return None;
    }
    // Who has no way out may yet be on one that could not publish.
    let on = || endpoint.interfaces.iter().filter_map(|i| network(i.network));
    let none_is_ours = !on().any(|network| network.medium.is_our_bridge());
    ways.into_iter().flatten().next().or_else(|| on().next().filter(|_| none_is_ours))
}

/// The endpoint's addresses that a published port leads to.
pub fn targets<'a>(
    endpoint: &Endpoint,
    network: impl Fn(Id) -> Option<&'a Network>,
    published: &Published,
) -> Vec<IpAddr> {
    let targets = Targets::of(endpoint, &network);
    let translated = published.at.families().iter().filter_map(|f| targets.of_family(*f));
    let all = translated.chain(targets.relay(published)).map(|target| target.address);
    let routed = endpoint.interfaces.iter().filter_map(|i| Some((i, network(i.network)?)));
    let routed = routed.flat_map(|(interface, network)| {
        let open =
            move |ip: &IpAddr| !network.internal && network.gateways.of(Family::of(*ip)) == Gateway::Routed;
        interface.addresses.iter().map(IpNetwork::ip).filter(open)
    });
    let routed = routed.filter(|ip| published.at.families().contains(&Family::of(*ip)));
    let unique: BTreeSet<IpAddr> = all.chain(routed).collect();
    unique.into_iter().collect()
}

/// What of it the firewall cannot do.
pub fn relays<'a>(endpoint: &Endpoint, network: impl Fn(Id) -> Option<&'a Network>) -> Relays {
    let targets = Targets::of(endpoint, &network);
    let relayed =
        endpoint.published.iter().filter_map(|published| Some((published, targets.relay(published)?)));
    relayed
        .flat_map(|(published, target)| {
            published.host_ports().zip(published.ports().iter()).map(move |(port, inner)| {
                let to = SocketAddr::new(target.address, inner);
                ((target.network.host, port), Relay { to, clients: target.clients() })
            })
        })
        .collect()
}

/// Where the ports of each family lead.
struct Targets<'a> {
    v4: Option<Target<'a>>,
    v6: Option<Target<'a>>,
    /// Where all of them lead if there is nothing else: by a bridge of others.
    beside: Option<Target<'a>>,
}

impl<'a> Targets<'a> {
    fn of(endpoint: &Endpoint, network: &impl Fn(Id) -> Option<&'a Network>) -> Targets<'a> {
        let target = |family: Family| {
            let (interface, network) = way_out(endpoint, network, family)?;
            let address = interface.address(family).filter(|_| way(network, interface) == Way::Translated)?;
            match network.gateways.of(family) {
                Gateway::Nat | Gateway::Unprotected => Some(Target { network, address }),
                Gateway::Routed | Gateway::Isolated => None,
            }
        };
        let beside = |interface: &Interface| {
            let network = network(interface.network).filter(|n| way(n, interface) == Way::Relayed)?;
            let address = Family::BOTH.into_iter().find_map(|family| interface.address(family))?;
            Some(Target { network, address })
        };
        Targets {
            v4: target(Family::V4),
            v6: target(Family::V6),
            beside: endpoint.interfaces.iter().find_map(beside),
        }
    }

    fn of_family(&self, family: Family) -> Option<Target<'a>> {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }

    /// Where the ports are held: nowhere, if nothing leads from there to the endpoint.
    fn host(&self, at: At) -> Option<Place> {
        let own = at.families().iter().find_map(|f| self.of_family(*f));
        own.or(self.v4).or(self.v6).or(self.beside).map(|target| target.network.host)
    }

    /// SCTP is not relayed: few kernels have it, and fewer programs.
    fn relay(&self, published: &Published) -> Option<Target<'a>> {
        match (published.protocol, published.at.families()) {
            (Protocol::Sctp, _) => None,
            (_, [Family::V4]) if self.v4.is_some() => None,
            (_, [Family::V4]) => self.v6.or(self.beside),
            _ => self.v6.or(self.v4).or(self.beside),
        }
    }
}

impl Target<'_> {
    fn clients(self) -> Clients {
        if self.network.medium.is_our_bridge() { Clients::Untranslated } else { Clients::All }
    }

    /// What is relayed comes from the host, and the firewall would take it for the host's own.
    fn keeps_others_out(&self) -> bool {
        self.network.isolation == Isolation::Strict || self.network.neighbours == Neighbours::Isolated
    }
}

fn shut(state: &mut State, host: Place, published: &Published) {
    let protocol = published.protocol;
    for at in Family::BOTH.into_iter().filter_map(|family| published.at.within(family)) {
        let ports = published.host.iter().map(|port| Element::Shut { at, protocol, port });
        state.elements.extend(ports.map(|element| (host, element)));
    }
}

fn translated(state: &mut State, target: Target<'_>, at: At, published: &Published) {
    let (host, to, protocol) = (target.network.host, target.address, published.protocol);
    if published.host.count() > 1 && published.is_identity() {
        state.elements.insert((host, Element::Span { at, protocol, ports: published.host, to }));
    } else {
        let pairs = published.host.iter().zip(published.ports().iter());
        state
            .elements
            .extend(pairs.map(|(port, to_port)| (host, Element::Port { at, protocol, port, to, to_port })));
    }
    if to.is_ipv4() {
        // The host's own loopback is an address of the host too, and answers to it come by the bridge. The firewall's
        // first chain sees to it that nothing else does.
        let path = format!("net/ipv4/conf/{}/route_localnet", target.network.bridge);
        state.set_sysctl(host, path, "1");
    }
}

fn routed(state: &mut State, network: &Network, interface: &Interface, published: &[Published]) {
    if way(network, interface) != Way::Translated {
        return;
    }
    for address in interface.addresses.iter().map(IpNetwork::ip) {
        if network.gateways.of(Family::of(address)) != Gateway::Routed {
            continue;
        }
        let open = published.iter().filter(|p| p.at.families().contains(&Family::of(address)));
        let ports = open.flat_map(|p| p.ports().iter().map(|port| (p.protocol, port)));
        let elements = ports.map(|(protocol, port)| Element::Reachable { address, protocol, port });
        state.elements.extend(elements.map(|element| (network.host, element)));
    }
}
