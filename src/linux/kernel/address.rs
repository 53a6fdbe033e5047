//! Addresses and routes. Both bear our protocol number, and only what bears it is listed or deleted.

use std::net::IpAddr;
use std::sync::LazyLock;

use bowline_core::network::is_pair;
use bowline_core::state::{Addr, Route, Terms};
use bowline_core::{Code, Error, Result};
use ipnetwork::IpNetwork;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage, AddressProtocol};
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteMetric, RouteProtocol, RouteScope};
use nix::errno::Errno;
use rtnetlink::{AddressMessageBuilder, RouteMessageBuilder};

use super::mark::PROTOCOL;
use crate::netlink::Netlink;
use crate::netlink::wire::{SeenAddress, SeenRoute};

/// Adds an address, or makes one that is there ours.
pub(crate) fn add_address(route: &mut Netlink, addr: &Addr, index: u32) -> Result<()> {
    let message = RouteNetlinkMessage::NewAddress(address(addr.net, index));
    route
        .change(message, NLM_F_CREATE | NLM_F_REPLACE)
        .map_err(|e| e.error(format!("add address {} to {}", addr.net, addr.link.name)))
}

pub(crate) fn delete_address(route: &mut Netlink, addr: &Addr, index: u32) -> Result<()> {
    match route.change(RouteNetlinkMessage::DelAddress(address(addr.net, index)), 0) {
        Ok(()) => Ok(()),
        Err(e) if matches!(e.errno, Errno::EADDRNOTAVAIL | Errno::ENODEV) => Ok(()),
        Err(e) => Err(e.error(format!("delete address {} of {}", addr.net, addr.link.name))),
    }
}

/// Adds a route, in place of one of ours to the same destination. One that somebody else set is not ours to replace.
pub(crate) fn add_route(socket: &mut Netlink, route: &Route, index: u32) -> Result<()> {
    let message = RouteNetlinkMessage::NewRoute(message(route, index)?);
    match socket.change(message.clone(), NLM_F_CREATE | NLM_F_EXCL) {
        Ok(()) => return Ok(()),
        Err(e) if e.errno == Errno::EEXIST => {
            let same = |seen: SeenRoute| {
                let here = (seen.to, seen.terms.table, seen.terms.metric);
                (here == (route.to, route.terms.table, route.terms.metric)).then_some(seen.protocol)
            };
            let there = all_routes(socket, same)?;
            if there.iter().any(|&protocol| protocol != PROTOCOL) {
                return Err(e
                    .coded(
                        Code::InvalidOption,
                        format!("there is a route to {} already, and it is not ours", route.to),
                    )
                    .fix(format!("remove it in the container first: ip route del {}", route.to)));
            }
        }
        Err(e) => return Err(e.error(format!("add route {route}"))),
    }
    socket.change(message, NLM_F_CREATE | NLM_F_REPLACE).map_err(|e| e.error(format!("add route {route}")))
}

/// The index of the link that a packet to there would leave by.
pub(crate) fn way_to(socket: &mut Netlink, to: IpAddr) -> Result<Option<u32>> {
    let builder =
        RouteMessageBuilder::<IpAddr>::new().destination_prefix(to, if to.is_ipv4() { 32 } else { 128 });
    let message = builder
        .map_err(|e| Error::new(Code::Internal, format!("ask for the way to {to}")).because(e))?
        .build();
    match socket.get(RouteNetlinkMessage::GetRoute(message), |payload| Ok(SeenRoute::parse(payload)?)) {
        Ok(found) => Ok(found.and_then(|route| route.links.first().copied())),
        Err(e) if matches!(e.errno, Errno::ENETUNREACH | Errno::EHOSTUNREACH) => Ok(None),
        Err(e) => Err(e.error(format!("look for a way to {to}"))),
    }
}

pub(crate) fn delete_route(socket: &mut Netlink, route: &Route, index: u32) -> Result<()> {
    match socket.change(RouteNetlinkMessage::DelRoute(message(route, index)?), 0) {
        Ok(()) => Ok(()),
        Err(e) if matches!(e.errno, Errno::ESRCH | Errno::ENODEV) => Ok(()),
        Err(e) => Err(e.error(format!("delete route {route}"))),
    }
}

pub(crate) fn all_addresses(route: &mut Netlink) -> Result<Vec<SeenAddress>> {
    let message = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    route
        .dump(&message, |payload| Ok(SeenAddress::parse(payload)?))
        .map_err(|e| e.error("list the addresses"))
}

/// The routes of every table, read as the caller needs them.
pub(crate) fn all_routes<T>(
    socket: &mut Netlink,
    mut keep: impl FnMut(SeenRoute) -> Option<T>,
) -> Result<Vec<T>> {
    let message = RouteNetlinkMessage::GetRoute(RouteMessage::default());
    socket
        .dump(&message, |payload| Ok(SeenRoute::parse(payload)?.and_then(&mut keep)))
        .map_err(|e| e.error("list the routes"))
}

/// True for an address that we set. A kernel that does not remember who set one is believed on a link of ours,
/// but for the addresses that it makes itself.
pub(crate) fn is_ours(seen: &SeenAddress) -> bool {
    match seen.protocol {
        Some(protocol) => protocol == PROTOCOL,
        None => !*REMEMBERS && !is_link_local(seen.net.ip()),
    }
}

pub(crate) fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// Kernels before 5.18 forget who set an address.
static REMEMBERS: LazyLock<bool> = LazyLock::new(|| {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    version(&release).is_none_or(|version| version >= (5, 18))
});

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn address(net: IpNetwork, index: u32) -> AddressMessage {
    let mut message = match net {
        IpNetwork::V4(net) => AddressMessageBuilder::<std::net::Ipv4Addr>::new()
            .index(index)
            .address(net.ip(), net.prefix())
            .build(),
        IpNetwork::V6(net) => {
            let mut message = AddressMessageBuilder::<std::net::Ipv6Addr>::new()
                .index(index)
                .address(net.ip(), net.prefix())
                .build();
            // We hand out each address once, so nobody waits for the kernel to ask around.
            message.header.flags = AddressHeaderFlags::Nodad;
            message
        }
    };
    if is_pair(net) {
        // The builder takes the last address for all, and here it is the neighbour's.
        message.attributes.retain(|attribute| !matches!(attribute, AddressAttribute::Broadcast(_)));
    }
    message.attributes.push(AddressAttribute::Protocol(AddressProtocol::Other(PROTOCOL)));
    message
}

fn message(route: &Route, index: u32) -> Result<RouteMessage> {
    let impossible = |e| Error::new(Code::Internal, format!("route {route} cannot be")).because(e);
    let mut message = RouteMessageBuilder::<IpAddr>::new()
        .destination_prefix(route.to.network(), route.to.prefix())
        .map_err(impossible)?
        .output_interface(index)
        .protocol(RouteProtocol::Other(PROTOCOL));
    message = match route.via {
        Some(via) => message.gateway(via).map_err(impossible)?,
        None if route.to.is_ipv4() => message.scope(RouteScope::Link),
        None => message,
    };
    let Terms { metric, mtu, advmss, table, scope } = route.terms;
    message = metric.into_iter().fold(message, RouteMessageBuilder::priority);
    message = table.into_iter().fold(message, RouteMessageBuilder::table_id);
    message = scope.into_iter().fold(message, |message, scope| message.scope(scope.into()));
    let mut message = message.build();
    let metrics = mtu.map(RouteMetric::Mtu).into_iter().chain(advmss.map(RouteMetric::Advmss));
    let metrics: Vec<RouteMetric> = metrics.collect();
    if !metrics.is_empty() {
        message.attributes.push(RouteAttribute::Metrics(metrics));
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_address_has_the_broadcast_address_of_its_subnet() {
        let message = address("10.9.1.7/20".parse().unwrap(), 3);
        assert!(message.attributes.contains(&AddressAttribute::Broadcast("10.9.15.255".parse().unwrap())));
        assert!(message.attributes.contains(&AddressAttribute::Protocol(AddressProtocol::Other(PROTOCOL))));
    }

    #[test]
    fn of_two_addresses_none_is_everybodys() {
        let message = address("10.9.0.2/31".parse().unwrap(), 3);
        assert!(!message.attributes.iter().any(|a| matches!(a, AddressAttribute::Broadcast(_))));
    }

    #[test]
    fn the_release_of_a_kernel_is_compared_as_numbers() {
        assert_eq!(version("5.9.0-1-amd64\n"), Some((5, 9)));
        assert_eq!(version("6.18-rc1"), Some((6, 18)));
        assert_eq!(version("next"), None);
    }

    #[test]
    fn an_address_of_another_is_not_ours() {
        let net = "fd00::1/64".parse().unwrap();
        assert!(is_ours(&SeenAddress { index: 1, net, protocol: Some(PROTOCOL) }));
        assert!(!is_ours(&SeenAddress { index: 1, net, protocol: Some(3) }));
        let link_local = SeenAddress { index: 1, net: "fe80::1/64".parse().unwrap(), protocol: None };
        assert!(!is_ours(&link_local));
    }
}
