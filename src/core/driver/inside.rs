//! What is inside a container for one interface, whatever its card hangs on: IPv6 as far as it has addresses, these, and the
//! routes and settings of its network and of its own.

use ipnetwork::IpNetwork;

use crate::endpoint::{Endpoint, Interface};
use crate::name::LinkName;
use crate::network::{Network, StaticRoute};
use crate::place::Place;
use crate::state::{Addr, LinkKey, Route, State};

/// How a member gets to the routers of its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Routers {
    /// By their addresses.
    Neighbours,
    /// The link below routes, and has to be told of none.
    Below,
}

pub(super) fn card(
    state: &mut State,
    network: &Network,
    endpoint: &Endpoint,
    interface: &Interface,
    routers: Routers,
) {
    let (place, name) = (endpoint.place, &interface.card);
    let card = LinkKey::new(place, name.clone());
    let has_ipv6 = interface.addresses.iter().any(IpNetwork::is_ipv6);
    if has_ipv6 {
        state.set_sysctl(place, format!("net/ipv6/conf/{name}/addr_gen_mode"), "0");
    }
    ipv6(state, place, name, has_ipv6);

    state.addrs.extend(interface.addresses.iter().map(|&net| Addr { link: card.clone(), net }));
    let reachable = |route: &&StaticRoute| {
        interface.addresses.iter().any(|a| a.contains(route.via) && a.ip() != route.via)
    };
    let shared = network.routes.iter().filter(reachable).map(|route| {
        let via = match routers {
            Routers::Neighbours => Some(route.via),
            Routers::Below => None,
        };
        Route::new(card.clone(), route.to, via)
    });
    state.routes.extend(shared);
    let own = interface.inside.routes.iter();
    state
        .routes
        .extend(own.map(|own| Route { terms: own.terms, ..Route::new(card.clone(), own.to, own.via) }));
    for (path, value) in &interface.inside.sysctls {
        state.set_sysctl(place, path, value);
    }
}

/// No advertisement changes its routes, and nothing waits for duplicate address detection.
pub(super) fn ipv6(state: &mut State, place: Place, name: &LinkName, has: bool) {
    let leaves: &[(&str, &str)] = match has {
        true => &[("disable_ipv6", "0"), ("accept_ra", "0"), ("accept_dad", "0")],
        false => &[("disable_ipv6", "1")],
    };
    for (leaf, value) in leaves {
        state.set_sysctl(place, format!("net/ipv6/conf/{name}/{leaf}"), *value);
    }
}
