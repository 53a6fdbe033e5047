//! What a lease makes of an interface, on whatever its network hangs: routes and an MTU that a server gave, a client that may
//! speak before it has an address, and IPv6 by router advertisements.

use std::net::Ipv4Addr;

use ipnetwork::IpNetwork;

use crate::endpoint::{Endpoint, Interface};
use crate::firewall::Element;
use crate::network::Network;
use crate::state::{LinkKey, Route, State};

/// The interface's fragment as it is without a lease, and with it.
pub(super) fn interface(
    mut state: State,
    network: &Network,
    endpoint: &Endpoint,
    interface: &Interface,
) -> State {
    let card = LinkKey::new(endpoint.place, interface.card.clone());
    let port = || interface.port.clone();
    let guarded = state.elements.contains(&(network.host, Element::Guarded(port())));
    if guarded {
        // As who has none yet: that is how a client asks.
        let nobody =
            Element::Source { port: port(), mac: interface.mac, address: Ipv4Addr::UNSPECIFIED.into() };
        state.elements.insert((network.host, nobody));
    }
    // Addresses that a card makes of advertised prefixes are unknown to whoever checks its senders.
    if !network.internal && !guarded {
        let name = &interface.card;
        for (leaf, value) in [("disable_ipv6", "0"), ("addr_gen_mode", "0"), ("accept_ra", "1")] {
            state.set_sysctl(endpoint.place, format!("net/ipv6/conf/{name}/{leaf}"), value);
        }
    }
    let Some(lease) = &interface.lease else { return state };
    if let (Some(link), Some(mtu)) = (state.links.get_mut(&card), lease.mtu) {
        link.mtu = link.mtu.min(mtu);
    }
    let further = lease.routes.iter().filter(|route| route.to.prefix() > 0);
    state.routes.extend(
        further.map(|route| Route::new(card.clone(), IpNetwork::V4(route.to), route.via.map(Into::into))),
    );
    state
}
