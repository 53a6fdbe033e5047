//! The bridge driver: a bridge with the gateways' addresses, and for each member a veth pair whose card is born inside.

use ipnetwork::IpNetwork;

use crate::endpoint::{Endpoint, Interface};
use crate::firewall::Element;
use crate::mac::Mac;
use crate::network::{Isolation, Neighbours, Network};
use crate::state::{Addr, Kind, Link, LinkKey, Route, State};

/// The network's own fragment.
pub fn network(network: &Network) -> State {
    let key = LinkKey::new(network.host, network.bridge.clone());
    let mut state = State::default();
    // A bridge without an address of its own takes its lowest port's, and changes it when that port leaves: its
    // neighbours would go on talking to the old one.
    let mac = Some(Mac::local(network.id.0 as u64));
    let gso = network.gso;
    let link =
        Link { owner: Some(network.id), up: true, mac, gso, ..Link::new(Kind::Bridge, network.mtu.bytes()) };
    state.links.insert(key.clone(), link);

    for subnet in &network.subnets {
        let net =
            IpNetwork::new(subnet.gateway(), subnet.net().prefix()).expect("the prefix length of a subnet");
        state.addrs.insert(Addr { link: key.clone(), net });
    }

    // No advertisement of a member's may change the host's routes, and nothing waits for duplicate address detection.
    let bridge = &network.bridge;
    let ipv6_off = if network.has_ipv6() { "0" } else { "1" };
    state.set_sysctl(network.host, format!("net/ipv6/conf/{bridge}/disable_ipv6"), ipv6_off);
    state.set_sysctl(network.host, format!("net/ipv6/conf/{bridge}/accept_ra"), "0");
    state.set_sysctl(network.host, format!("net/ipv6/conf/{bridge}/accept_dad"), "0");
    state.set_sysctl(network.host, format!("net/ipv4/conf/{bridge}/route_localnet"), "0");

    state.elements.extend(elements(network).into_iter().map(|element| (network.host, element)));
    state
}

fn elements(network: &Network) -> Vec<Element> {
    let bridge = || network.bridge.clone();
    let mut elements = vec![Element::Network(bridge())];
    match network.neighbours {
        Neighbours::Open => elements.push(Element::Within(bridge())),
        Neighbours::Isolated => elements.push(Element::Apart(bridge())),
    }
    match network.isolation {
        Isolation::Open => elements.push(Element::Open(bridge())),
        Isolation::Published => (),
        Isolation::Strict => elements.push(Element::Strict(bridge())),
    }
    if network.internal {
        elements.push(Element::Internal(bridge()));
    } else if network.masquerade {
        elements.extend(network.subnets.iter().map(|subnet| Element::Masquerade(subnet.net())));
    }
    elements
}

/// One endpoint's fragment on the network, but for its default route, which depends on its other interfaces.
pub fn interface(network: &Network, endpoint: &Endpoint, interface: &Interface) -> State {
    let port = LinkKey::new(network.host, interface.port.clone());
    let card = LinkKey::new(endpoint.place, interface.card.clone());
    let mtu = network.mtu.bytes();
    let mut state = State::default();

    let outer = Link {
        owner: Some(endpoint.id),
        up: true,
        master: Some(network.bridge.clone()),
        isolated: network.neighbours == Neighbours::Isolated,
        gso: network.gso,
        ..Link::new(Kind::Port { card: card.clone() }, mtu)
    };
    let inner = Link {
        up: true,
        mac: Some(interface.mac),
        gso: network.gso,
        ..Link::new(Kind::Card { port: port.clone() }, mtu)
    };
    state.links.insert(port, outer);
    state.links.insert(card.clone(), inner);
    state.links.insert(LinkKey::loopback(endpoint.place), Link::loopback());

    let name = &interface.card;
    if interface.addresses.iter().any(IpNetwork::is_ipv6) {
        state.set_sysctl(endpoint.place, format!("net/ipv6/conf/{name}/disable_ipv6"), "0");
        state.set_sysctl(endpoint.place, format!("net/ipv6/conf/{name}/accept_ra"), "0");
        state.set_sysctl(endpoint.place, format!("net/ipv6/conf/{name}/accept_dad"), "0");
    } else {
        state.set_sysctl(endpoint.place, format!("net/ipv6/conf/{name}/disable_ipv6"), "1");
    }

    state.addrs.extend(interface.addresses.iter().map(|&net| Addr { link: card.clone(), net }));
    let reachable = |route: &&crate::network::StaticRoute| {
        interface.addresses.iter().any(|a| a.contains(route.via) && a.ip() != route.via)
    };
    state.routes.extend(network.routes.iter().filter(reachable).map(|route| Route {
        link: card.clone(),
        to: route.to,
        via: Some(route.via),
    }));
    state
}
