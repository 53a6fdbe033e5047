//! From an endpoint that was made to CNI's result: the bridge, the host's end, the container's.

use std::net::IpAddr;

use bowline_api::v1;
use ipnetwork::IpNetwork;

use super::{Result, Wish};
use crate::failure::{Code, Failure};
use crate::outcome::{Dns, Interface, Ip, Outcome, Route};

/// Where every container's names are answered.
const RESOLVER: &str = "127.0.0.11";

pub(crate) fn outcome(wish: &Wish, made: &v1::Endpoint, sandbox: &str) -> Result<Outcome> {
    let bad = |what: &str| Failure::new(Code::Internal, format!("the daemon's answer has no usable {what}"));
    let [card] = made.interfaces.as_slice() else { return Err(bad("interface")) };
    let mut interfaces = Vec::new();
    if let Some(bridge) = &card.bridge {
        interfaces.push(Interface {
            name: bridge.clone(),
            mac: card.bridge_mac.clone(),
            ..Interface::default()
        });
    }
    interfaces.push(Interface { name: card.host_link.clone(), ..Interface::default() });
    interfaces.push(Interface {
        name: card.name.clone(),
        mac: Some(card.mac.clone()),
        mtu: Some(card.mtu_bytes),
        sandbox: Some(sandbox.to_string()),
    });
    let at = interfaces.len() - 1;

    let parse = |text: &String| text.parse::<IpNetwork>().map_err(|_| bad("address"));
    let addresses = card.addresses.iter().map(parse).collect::<Result<Vec<_>>>()?;
    let gateways: Vec<IpAddr> = card.gateways.iter().filter_map(|text| text.parse().ok()).collect();
    let gateway = |address: IpNetwork| gateways.iter().copied().find(|gateway| address.contains(*gateway));
    let ips = addresses.iter().map(|&address| Ip {
        address,
        gateway: gateway(address).or_else(|| wished_gateway(wish, address)),
        interface: Some(at),
    });
    let mut routes = wish.routes.clone();
    if wish.tells_default_route {
        for address in &addresses {
            let any = if address.is_ipv6() { "::/0" } else { "0.0.0.0/0" };
            let dst: IpNetwork = any.parse().expect("a default route's destination");
            if let Some(gw) = gateway(*address).filter(|_| routes.iter().all(|route| route.dst != dst)) {
                routes.push(Route { dst, gw: Some(gw), terms: Vec::new() });
            }
        }
    }
    let mut dns = wish.dns.clone();
    if made.dns.is_some() {
        dns.nameservers = vec![RESOLVER.to_string()];
        if dns == (Dns { nameservers: dns.nameservers.clone(), ..Dns::default() }) {
            let asked = &wish.create.dns;
            (dns.search, dns.options) = (asked.search.clone(), asked.options.clone());
        }
    }
    Ok(Outcome { interfaces, ips: ips.collect(), routes, dns })
}

/// A router on the network that is not the host.
fn wished_gateway(wish: &Wish, address: IpNetwork) -> Option<IpAddr> {
    let subnets = wish.create.make.iter().flat_map(|network| &network.subnets);
    subnets.filter_map(|subnet| subnet.gateway).find(|gateway| address.contains(*gateway))
}
