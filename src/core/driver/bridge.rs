//! The bridge driver: a bridge with the gateways' addresses, and for each member a veth pair whose card is born inside.
//! A bridge of others gets the pairs' ports and nothing else.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

use super::inside::{self, Routers};
use crate::endpoint::{Endpoint, Guard, Interface};
use crate::family::Family;
use crate::firewall::Element;
use crate::medium::{Bridge, Medium, VlanId, Whose};
use crate::network::{Gateway, Isolation, Neighbours, Network, Subnet};
use crate::state::{Addr, Kind, Link, LinkKey, Master, State};

/// The network's own fragment.
pub(super) fn network(network: &Network, bridge: &Bridge) -> State {
    match bridge.whose {
        Whose::Ours => of_ours(network, bridge),
        Whose::Theirs => State::default(),
    }
}

/// The VLAN that an interface is in.
pub(super) fn vlan(bridge: &Bridge, interface: &Interface) -> Option<VlanId> {
    interface.vlan.or(bridge.vlan)
}

/// In a VLAN of its own, where neither the host nor members of others are: what it sends leaves the bridge nowhere else.
pub(super) fn is_apart(network: &Network, interface: &Interface) -> bool {
    match &network.medium {
        Medium::Bridge(bridge) => bridge.whose == Whose::Ours && vlan(bridge, interface) != bridge.vlan,
        Medium::Direct(_) | Medium::Pair => false,
    }
}

fn of_ours(network: &Network, bridge: &Bridge) -> State {
    let key = LinkKey::new(network.host, network.bridge.clone());
    let mut state = State::default();
    // A bridge without an address of its own takes its lowest port's, and changes it when that port leaves: its
    // neighbours would go on talking to the old one.
    let mac = Some(network.mac());
    let gso = network.gso;
    let link = Link {
        owner: Some(network.id),
        up: true,
        mac,
        gso,
        vlan: bridge.vlan.into(),
        ..Link::new(Kind::Bridge, network.mtu.bytes())
    };
    state.links.insert(key.clone(), link);

    let on_bridge = |s: &&Subnet| network.gateways.of(s.family()) != Gateway::Isolated;
    for subnet in network.subnets.iter().filter(on_bridge) {
        let net = |at| IpNetwork::new(at, subnet.net().prefix()).expect("the prefix length of a subnet");
        state.addrs.extend(subnet.gateway().map(|at| Addr { link: key.clone(), net: net(at) }));
    }

    // No advertisement of a member's may change the host's routes, and nothing waits for duplicate address detection.
    let name = &network.bridge;
    let ipv6_off = if network.has_ipv6() { "0" } else { "1" };
    state.set_sysctl(network.host, format!("net/ipv6/conf/{name}/disable_ipv6"), ipv6_off);
    state.set_sysctl(network.host, format!("net/ipv6/conf/{name}/accept_ra"), "0");
    state.set_sysctl(network.host, format!("net/ipv6/conf/{name}/accept_dad"), "0");

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
    if network.isolation == Isolation::Strict {
        elements.push(Element::Strict(bridge()));
    }
    if network.internal {
        elements.push(Element::Internal(bridge()));
        return elements;
    }
    for family in Family::BOTH.into_iter().filter(|f| network.has(*f)) {
        let gateway = network.gateways.of(family);
        if network.isolation == Isolation::Open || gateway == Gateway::Unprotected {
            elements.push(Element::Open(family, bridge()));
        }
        if gateway == Gateway::Routed {
            elements.push(Element::Routed(family, bridge()));
        }
    }
    let masked = |s: &&Subnet| match network.gateways.of(s.family()) {
        Gateway::Nat | Gateway::Unprotected => network.masquerade,
        Gateway::Routed | Gateway::Isolated => false,
    };
    let masked = network.subnets.iter().filter(masked);
    elements.extend(masked.map(|subnet| Element::Masquerade(subnet.net())));
    elements.extend(network.trusted.iter().map(|from| Element::Trusted { from: from.clone(), to: bridge() }));
    elements
}

/// The senders that may be behind a port: those of the endpoint's addresses, and of none yet. A card's link-local
/// address is made of its MAC, which `addr_gen_mode` sees to.
fn guard(interface: &Interface) -> Vec<Element> {
    let (port, mac) = (&interface.port, interface.mac);
    let source = |address| Element::Source { port: port.clone(), mac, address };
    let mut elements = vec![Element::Guarded(port.clone())];
    for address in &interface.addresses {
        elements.push(source(address.ip()));
        elements.extend(match Family::of(address.ip()) {
            Family::V4 => vec![source(Ipv4Addr::UNSPECIFIED.into())],
            Family::V6 => vec![source(Ipv6Addr::UNSPECIFIED.into()), source(mac.link_local().into())],
        });
    }
    elements.extend(interface.inside.shared.iter().map(|address| source(*address)));
    elements
}

/// One endpoint's fragment on the network, but for its default route, which depends on its other interfaces.
pub(super) fn interface(
    network: &Network,
    bridge: &Bridge,
    endpoint: &Endpoint,
    interface: &Interface,
) -> State {
    let port = LinkKey::new(network.host, interface.port.clone());
    let card = LinkKey::new(endpoint.place, interface.card.clone());
    let mtu = network.mtu.bytes();
    let mut state = State::default();

    let outer = Link {
        owner: Some(endpoint.id),
        up: true,
        master: Some(Master { name: network.bridge.clone(), whose: bridge.whose }),
        vlan: vlan(bridge, interface).into(),
        isolated: network.neighbours == Neighbours::Isolated,
        // Where `br_netfilter` is loaded, a packet that a member sends to its own published port is bridged, not routed.
        hairpin: bridge.whose == Whose::Ours && !endpoint.published.is_empty(),
        gso: network.gso,
        rate: interface.rate_in,
        ..Link::new(Kind::Port { card: card.clone() }, if bridge.whose == Whose::Ours { mtu } else { 0 })
    };
    let inner = Link {
        up: true,
        mac: Some(interface.mac),
        gso: network.gso,
        rate: interface.rate_out,
        ..Link::new(Kind::Card { port: port.clone() }, mtu)
    };
    state.links.insert(port, outer);
    state.links.insert(card.clone(), inner);
    state.links.insert(LinkKey::loopback(endpoint.place), Link::loopback());

    match endpoint.guard {
        // Which addresses are its own is known to nobody here.
        Guard::On if interface.addresses.is_empty() => {}
        Guard::On => state.elements.extend(guard(interface).into_iter().map(|e| (network.host, e))),
        Guard::Off => {}
    }

    inside::card(&mut state, network, endpoint, interface, Routers::Neighbours);
    state
}
