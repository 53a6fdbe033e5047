//! The cards by which the outside is reached: those of the default routes.

use std::collections::BTreeSet;

use bowline_core::Result;
use bowline_core::name::LinkName;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::RouteMessage;
use nix::net::if_::if_indextoname;

use crate::netlink::Netlink;
use crate::netlink::wire::SeenRoute;

const UNICAST: u8 = 1;

/// Those of all routing tables, other than our bridges.
pub(super) fn all(bridges: &[LinkName]) -> Result<Vec<LinkName>> {
    let question = RouteNetlinkMessage::GetRoute(RouteMessage::default());
    let keep = |route: SeenRoute| (route.to.prefix() == 0 && route.kind == UNICAST).then_some(route.links);
    let links = Netlink::open()?
        .dump(&question, |payload| Ok(SeenRoute::parse(payload)?.and_then(keep)))
        .map_err(|failure| failure.error("look for the default routes"))?;
    let indices: BTreeSet<u32> = links.into_iter().flatten().collect();
    // A card that went meanwhile has no name any more.
    let names = indices.into_iter().filter_map(|index| if_indextoname(index).ok());
    let names = names.filter_map(|name| name.to_str().ok()?.parse::<LinkName>().ok());
    Ok(names.filter(|name| name.as_str() != "lo" && !bridges.contains(name)).collect())
}
