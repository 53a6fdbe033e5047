//! What the kernel should hold for a network and its endpoints: functions from nouns to [`State`], one fragment for each owner.

pub mod bridge;

use crate::endpoint::{Endpoint, Interface};
use crate::kernel::Uplink;
use crate::name::Id;
use crate::network::{Network, Subnet};
use crate::place::Place;
use crate::plan::Change;
use crate::state::{LinkKey, Route, State, SysctlKey};

/// What a host needs before its first network: the firewall's frame, and packets forwarded.
pub fn host(place: Place, ipv6: bool) -> State {
    let mut state = State::default();
    state.frames.insert(place);
    state.set_sysctl(place, "net/ipv4/ip_forward", "1");
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

/// The default routes of an endpoint, one for each family: by the interface of the highest priority, among equals by
/// the first joined. An internal network leads nowhere.
pub fn default_routes<'a>(endpoint: &Endpoint, network: impl Fn(Id) -> Option<&'a Network>) -> State {
    let mut state = State::default();
    for ipv6 in [false, true] {
        let ways =
            endpoint.interfaces.iter().filter_map(|i| gateway(i, network(i.network)?, ipv6).map(|g| (i, g)));
        // max_by_key takes the last of equals; the first joined is wanted.
        let best = ways.rev().max_by_key(|(interface, _)| interface.gw_priority);
        if let Some((interface, gateway)) = best {
            let any = if ipv6 { "::/0" } else { "0.0.0.0/0" };
            state.routes.insert(Route {
                link: LinkKey::new(endpoint.place, interface.card.clone()),
                to: any.parse().expect("a default route's destination"),
                via: Some(gateway),
            });
        }
    }
    state
}

fn gateway(interface: &Interface, network: &Network, ipv6: bool) -> Option<std::net::IpAddr> {
    if network.internal {
        return None;
    }
    let address = interface.addresses.iter().find(|a| a.is_ipv6() == ipv6)?;
    network.subnet_of(address.ip()).map(Subnet::gateway)
}
