//! What the kernel should hold for a network and its endpoints: functions from nouns to [`State`], one fragment for each owner.

mod bridge;
mod direct;
mod inside;
mod leased;
pub mod published;

use std::net::IpAddr;

use crate::endpoint::{DefaultRoute, Endpoint, Interface};
use crate::family::Family;
use crate::kernel::Uplink;
use crate::medium::{Bridge, Medium, VlanId};
use crate::name::Id;
use crate::network::{Ipam, Network, Subnet};
use crate::place::Place;
use crate::plan::Change;
use crate::state::{Link, LinkKey, Route, State, SysctlKey, Terms};

/// What a host needs before its first network: the firewall's frame, and packets forwarded where it is a gateway.
pub fn host(place: Place, forwards: bool, ipv6: bool) -> State {
    let mut state = State::default();
    state.frames.insert(place);
    if forwards {
        state.set_sysctl(place, "net/ipv4/ip_forward", "1");
    }
    if ipv6 {
        state.set_sysctl(place, "net/ipv6/conf/all/forwarding", "1");
    }
    state
}

/// Before a host begins to forward IPv6: links that learn their routes from advertisements go on learning them
/// (accept_ra = 2), or the host would lose its own way out when what it learned expires.
pub fn keep_learning(place: Place, uplinks: &[Uplink]) -> Vec<Change> {
    let learning = uplinks.iter().filter(|uplink| uplink.stops_learning);
    learning
        .map(|uplink| {
            let path = format!("net/ipv6/conf/{}/accept_ra", uplink.name);
            Change::SetSysctl { key: SysctlKey { place, path }, value: "2".into() }
        })
        .collect()
}

/// The network's own fragment.
pub fn network(network: &Network) -> State {
    match &network.medium {
        Medium::Bridge(its) => bridge::network(network, its),
        Medium::Direct(its) => direct::network(network, its),
        Medium::Pair => bridge::network(network, &Bridge::default()),
    }
}

/// Whether the host has a firewall for it: for its packets, or on a bridge of others for its members' senders.
pub fn passes_the_host(network: &Network) -> bool {
    match &network.medium {
        Medium::Bridge(_) | Medium::Pair => true,
        Medium::Direct(its) => its.parent.is_none(),
    }
}

/// The host's own routes to one member, which outlive its card.
pub fn host_routes(network: &Network, interface: &Interface) -> Vec<Route> {
    direct::host_routes(network, interface)
}

/// One endpoint's fragment on the network, but for its default route, which depends on its other interfaces.
pub fn interface(network: &Network, endpoint: &Endpoint, interface: &Interface) -> State {
    let state = match &network.medium {
        Medium::Bridge(its) => bridge::interface(network, its, endpoint, interface),
        Medium::Direct(its) => direct::interface(network, its, endpoint, interface),
        Medium::Pair => bridge::interface(network, &Bridge::default(), endpoint, interface),
    };
    match network.ipam {
        Ipam::Pools | Ipam::None => state,
        Ipam::Dhcp => leased::interface(state, network, endpoint, interface),
    }
}

/// The VLAN that an interface is in on its bridge, as far as we say it.
pub fn vlan(network: &Network, interface: &Interface) -> Option<VlanId> {
    match &network.medium {
        Medium::Bridge(medium) => bridge::vlan(medium, interface),
        Medium::Direct(_) | Medium::Pair => None,
    }
}

/// The default routes of an endpoint, one for each family. An internal network leads nowhere.
pub fn default_routes<'a>(endpoint: &Endpoint, network: impl Fn(Id) -> Option<&'a Network>) -> State {
    let mut state = State::default();
    for family in Family::BOTH {
        let Some((interface, through)) = way_out(endpoint, &network, family) else { continue };
        let any = match family {
            Family::V4 => "0.0.0.0/0",
            Family::V6 => "::/0",
        };
        let metric = match interface.inside.default_route {
            DefaultRoute::Given => None,
            DefaultRoute::After(metric) => Some(metric),
            DefaultRoute::Withheld => continue,
        };
        let via = way(interface, through, family).and_then(|way| match way {
            Way::By(gateway) => Some(gateway),
            Way::Straight => None,
        });
        let link = LinkKey::new(endpoint.place, interface.card.clone());
        let to = any.parse().expect("a default route's destination");
        let terms = Terms { metric, ..Terms::default() };
        state.routes.insert(Route { terms, ..Route::new(link, to, via) });
    }
    state
}

/// Where names are asked for, for an endpoint that is on a network with names.
pub fn resolver<'a>(endpoint: &Endpoint, network: impl Fn(Id) -> Option<&'a Network>) -> State {
    let mut state = State::default();
    if endpoint.interfaces.iter().any(|i| network(i.network).is_some_and(|n| n.dns)) {
        state.links.insert(LinkKey::loopback(endpoint.place), Link::loopback());
        state.resolvers.insert(endpoint.place);
    }
    state
}

/// The interface that leads out of the endpoint's networks: of the highest priority, among equals the first joined.
fn way_out<'e, 'n>(
    endpoint: &'e Endpoint,
    network: &impl Fn(Id) -> Option<&'n Network>,
    family: Family,
) -> Option<(&'e Interface, &'n Network)> {
    let ways = endpoint.interfaces.iter().filter_map(|interface| {
        let network = network(interface.network)?;
        way(interface, network, family).map(|_| (interface, network))
    });
    // max_by_key takes the last of equals; the first joined is wanted.
    ways.rev().max_by_key(|(interface, _)| interface.gw_priority)
}

/// How a network leads elsewhere.
enum Way {
    By(IpAddr),
    /// The link itself finds the way.
    Straight,
}

fn way(interface: &Interface, network: &Network, family: Family) -> Option<Way> {
    if network.internal || bridge::is_apart(network, interface) {
        return None;
    }
    let address = interface.address(family)?;
    if network.medium.direct().is_some_and(|direct| direct.how.is_routed()) {
        return Some(Way::Straight);
    }
    if let (Family::V4, Some(lease)) = (family, &interface.lease) {
        return lease.gateway().map(IpAddr::V4).map(Way::By);
    }
    network.subnet_of(address).and_then(Subnet::gateway).map(Way::By)
}
