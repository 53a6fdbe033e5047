//! Cards that hang on a link of the host's: macvlan and ipvlan. The host is not on the way, so there is little of its own:
//! what the cards hang on, where we made that, and a card beside them where the host is to reach the members.

use ipnetwork::IpNetwork;

use super::inside::{self, Routers};
use crate::endpoint::{Endpoint, Interface};
use crate::family::Family;
use crate::firewall::Element;
use crate::mac::Mac;
use crate::medium::{Direct, Shim};
use crate::network::Network;
use crate::state::{Addr, Kind, Link, LinkKey, Route, State};

/// The network's own fragment. A VLAN is in those of all networks on it.
pub(super) fn network(network: &Network, direct: &Direct) -> State {
    let mut state = State::default();
    match &direct.parent {
        Some(parent) => {
            if let Some((of, id)) = &parent.vlan {
                let kind = Kind::Vlan { of: of.clone(), id: *id };
                let link = Link { up: true, ..Link::new(kind, Link::ANY_MTU) };
                state.links.insert(LinkKey::new(network.host, parent.link.clone()), link);
            }
        }
        None => island(&mut state, network),
    }
    if let Some(shim) = &direct.host_access {
        host_card(&mut state, network, direct, shim);
    }
    state
}

/// What arrives at its other end must not reach the host: no IPv6, no ARP, and behind the firewall of internal networks.
fn island(state: &mut State, network: &Network) {
    let (near, end) = (network.bridge.clone(), network.far_end());
    let kind = Kind::Island { end: end.clone() };
    let link = Link { owner: Some(network.id), up: true, ..Link::new(kind, network.mtu.bytes()) };
    state.links.insert(LinkKey::new(network.host, near.clone()), link);
    for name in [&near, &end] {
        state.set_sysctl(network.host, format!("net/ipv6/conf/{name}/disable_ipv6"), "1");
    }
    for element in [Element::Network(end.clone()), Element::Internal(end)] {
        state.elements.insert((network.host, element));
    }
}

fn host_card(state: &mut State, network: &Network, direct: &Direct, shim: &Shim) {
    let key = LinkKey::new(network.host, shim.link.clone());
    let kind = Kind::Shim { parent: network.bridge.clone(), how: direct.how };
    // Its neighbours would go on talking to an older MAC.
    let mac = direct.how.has_macs().then(|| Mac::local(network.id.0 as u64));
    let link = Link { owner: Some(network.id), up: true, mac, ..Link::new(kind, network.mtu.bytes()) };
    state.links.insert(key.clone(), link);
    state.addrs.extend(shim.addresses.iter().map(|&net| Addr { link: key.clone(), net: whole(net) }));
    let name = &shim.link;
    // Both it and the parent answer for the host's addresses, and whichever is believed has to be heard.
    state.set_sysctl(network.host, format!("net/ipv4/conf/{name}/rp_filter"), "2");
    inside::ipv6(state, network.host, name, network.has_ipv6());
}

/// One endpoint's fragment on the network, but for its default route, which depends on its other interfaces.
pub(super) fn interface(
    network: &Network,
    direct: &Direct,
    endpoint: &Endpoint,
    interface: &Interface,
) -> State {
    let stem = LinkKey::new(network.host, interface.port.clone());
    let card = LinkKey::new(endpoint.place, interface.card.clone());
    let mut state = State::default();

    let kind = Kind::Stem { card: card.clone(), parent: network.bridge.clone(), how: direct.how };
    let outer = Link { owner: Some(endpoint.id), up: true, ..Link::new(kind, Link::ANY_MTU) };
    let inner = Link {
        up: true,
        mac: direct.how.has_macs().then_some(interface.mac),
        rate: interface.rate_out,
        ..Link::new(Kind::Card { port: stem.clone() }, network.mtu.bytes())
    };
    state.links.insert(stem, outer);
    state.links.insert(card.clone(), inner);
    state.links.insert(LinkKey::loopback(endpoint.place), Link::loopback());

    let name = &interface.card;
    // Whoever had the address before had another MAC, which routers of the LAN remember for minutes.
    state.set_sysctl(endpoint.place, format!("net/ipv4/conf/{name}/arp_notify"), "1");
    let routers = if direct.how.is_routed() { Routers::Below } else { Routers::Neighbours };
    inside::card(&mut state, network, endpoint, interface, routers);
    state.routes.extend(host_routes(network, interface));
    state
}

/// By which the host reaches one member. It has a route to the whole LAN already, which is not ours to change.
pub(super) fn host_routes(network: &Network, interface: &Interface) -> Vec<Route> {
    let Some(shim) = network.medium.direct().and_then(|direct| direct.host_access.as_ref()) else {
        return Vec::new();
    };
    let link = LinkKey::new(network.host, shim.link.clone());
    interface.addresses.iter().map(|&net| Route::new(link.clone(), whole(net), None)).collect()
}

fn whole(net: IpNetwork) -> IpNetwork {
    let bits = match Family::of(net.ip()) {
        Family::V4 => 32,
        Family::V6 => 128,
    };
    IpNetwork::new(net.ip(), bits).expect("all bits of an address are a prefix length")
}
