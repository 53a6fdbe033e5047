//! What a host already uses, and what it offers: addresses and routes that a new subnet must not overlap, and the links
//! that default routes leave by.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::path::Path;

use bowline_core::Result;
use bowline_core::kernel::{Facts, HostLink, Sort, Uplink};
use bowline_core::medium::VlanId;
use bowline_core::name::LinkName;

use super::address::{self, is_link_local};
use super::host::Host;
use super::link;
use crate::netlink::Netlink;
use crate::netlink::wire::{LinkKind, SeenLink, SeenRoute};
use crate::sysctl;

pub(super) fn facts(host: &Host) -> Result<Facts> {
    let (links, addresses, routes) = host.route(|route| {
        Ok((link::all(route, Some)?, address::all_addresses(route)?, address::all_routes(route, Some)?))
    })?;
    let leaving: HashSet<u32> =
        routes.iter().filter(|route| is_default(route)).flat_map(|route| route.links.clone()).collect();
    // 1 learns only while the host does not forward; 2 always does.
    let learning: HashSet<u32> = host.enter(|| {
        let learns = |link: &&SeenLink| {
            let path = link.name.as_ref().map(|name| format!("net/ipv6/conf/{name}/accept_ra"));
            path.is_some_and(|path| sysctl::get(&path).is_ok_and(|value| value.as_deref() == Some("1")))
        };
        Ok(links
            .iter()
            .filter(|link| leaving.contains(&link.index))
            .filter(learns)
            .map(|link| link.index)
            .collect())
    })?;
    let uplinks = links.iter().filter(|link| leaving.contains(&link.index)).filter_map(|link| {
        Some(Uplink {
            name: link.name.clone()?,
            mtu: link.mtu,
            // A kernel that does not say has the limit that all had.
            tso_max_size: link.tso_max_size.unwrap_or(65_536),
            stops_learning: learning.contains(&link.index),
        })
    });
    let names: HashMap<u32, &LinkName> =
        links.iter().filter_map(|link| link.name.as_ref().map(|name| (link.index, name))).collect();
    let addresses = addresses.iter().filter(|address| !is_link_local(address.net.ip()));
    Ok(Facts {
        addresses: addresses
            .filter_map(|address| names.get(&address.index).map(|&name| (name.clone(), address.net)))
            .collect(),
        routes: routes
            .iter()
            .filter(|route| is_destination(route))
            .map(|route| {
                let leaves_by = match route.links.as_slice() {
                    [only] => names.get(only).map(|&name| name.clone()),
                    _ => None,
                };
                (leaves_by, route.to)
            })
            .collect(),
        routers: routes.iter().filter_map(|route| route.via).filter(|ip| !is_link_local(*ip)).collect(),
        uplinks: uplinks.collect(),
        links: links.iter().filter_map(|link| link.name.clone()).collect(),
    })
}

/// Every link there is.
pub(super) fn links(host: &Host) -> Result<Vec<HostLink>> {
    let links = host.route(|route| link::all(route, Some))?;
    let names: HashMap<u32, &LinkName> =
        links.iter().filter_map(|link| link.name.as_ref().map(|name| (link.index, name))).collect();
    let named = |index: Option<u32>| index.and_then(|index| names.get(&index)).map(|&name| name.clone());
    let host_link = |link: &SeenLink| {
        let name = link.name.clone()?;
        let below = || named(link.peer).unwrap_or_else(|| name.clone());
        let sort = match link.kind {
            _ if link.loopback => Sort::Loopback,
            _ if !link.ethernet => Sort::NoFrames,
            LinkKind::Macvlan | LinkKind::Ipvlan => Sort::Card(below()),
            LinkKind::Vlan => match link.vlan.and_then(|id| VlanId::new(id).ok()) {
                Some(id) => Sort::Vlan(below(), id),
                None => Sort::Other,
            },
            LinkKind::Other if is_wireless(&name) => Sort::Wireless,
            LinkKind::Bridge => Sort::Bridge { filters_vlans: link.filters_vlans },
            LinkKind::Veth | LinkKind::Other => Sort::Other,
        };
        let up = link.up && link.carrier;
        let (mtu, mac, ours) = (link.mtu, link.mac, link.is_ours());
        Some(HostLink { name, mtu, mac, up, sort, master: named(link.master), ours })
    };
    Ok(links.iter().filter_map(host_link).collect())
}

/// Netlink does not say it. In a namespace whose /sys is not ours to see, one passes for wired, and the kernel refuses later.
fn is_wireless(name: &LinkName) -> bool {
    ["phy80211", "wireless"]
        .iter()
        .any(|leaf| Path::new("/sys/class/net").join(name.as_str()).join(leaf).exists())
}

/// The link that the host would send by.
pub(super) fn way_to(route: &mut Netlink, to: IpAddr) -> Result<Option<LinkName>> {
    match address::way_to(route, to)? {
        Some(index) => Ok(link::find_by_index(route, index)?.and_then(|link| link.name)),
        None => Ok(None),
    }
}

fn is_default(route: &SeenRoute) -> bool {
    route.to.prefix() == 0 && route.kind == libc::RTN_UNICAST
}

/// True for a route to somewhere that others may not be: not everywhere, not this host, not a link's own business.
fn is_destination(route: &SeenRoute) -> bool {
    let real = matches!(
        route.kind,
        libc::RTN_UNICAST | libc::RTN_BLACKHOLE | libc::RTN_UNREACHABLE | libc::RTN_PROHIBIT
    );
    real && route.table != u32::from(libc::RT_TABLE_LOCAL)
        && route.to.prefix() != 0
        && !route.to.ip().is_multicast()
        && !is_link_local(route.to.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_as_a_destination() {
        let route = |to: &str, kind, table| SeenRoute {
            to: to.parse().unwrap(),
            via: None,
            links: vec![1],
            table,
            protocol: 2,
            kind,
            terms: Default::default(),
        };
        assert!(is_destination(&route("10.0.0.0/8", libc::RTN_UNICAST, 254)));
        assert!(is_destination(&route("10.0.0.0/8", libc::RTN_BLACKHOLE, 1000)));
        assert!(!is_destination(&route("0.0.0.0/0", libc::RTN_UNICAST, 254)));
        assert!(!is_destination(&route("10.0.0.1/32", libc::RTN_LOCAL, 255)));
        assert!(!is_destination(&route("ff00::/8", libc::RTN_UNICAST, 254)));
        assert!(!is_destination(&route("fe80::/64", libc::RTN_UNICAST, 254)));
    }
}
