//! Links: found, added, set. Each is found by name anew, for what an index stood for may be gone by now.

use std::cell::RefCell;
use std::os::fd::{AsRawFd, BorrowedFd};

use bowline_core::name::LinkName;
use bowline_core::state::{Kind, Link, Vlan};
use bowline_core::{Code, Error, Result};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoBridgePort, InfoData, InfoPortData, InfoPortKind,
    InfoVeth, LinkAttribute, LinkExtentMask, LinkMessage, State,
};
use nix::errno::Errno;
use rtnetlink::{LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth};

use super::mark::{LIVE, Mark};
use super::{direct, port, rate};
use crate::netlink::wire::SeenLink;
use crate::netlink::{Failure, Netlink};

/// The link of that name; None where there is none.
pub(crate) fn find(route: &mut Netlink, name: &LinkName) -> Result<Option<SeenLink>> {
    let message = LinkUnspec::new_with_name(name.as_str()).append_extra_attribute(briefly()).build();
    one(route, message, || format!("look for link {name}"))
}

pub(crate) fn find_by_index(route: &mut Netlink, index: u32) -> Result<Option<SeenLink>> {
    let message = LinkUnspec::new_with_index(index).append_extra_attribute(briefly()).build();
    one(route, message, || format!("look for link {index}"))
}

/// All links, read as the caller needs them.
pub(crate) fn all<T>(route: &mut Netlink, mut keep: impl FnMut(SeenLink) -> Option<T>) -> Result<Vec<T>> {
    let mut message = LinkMessage::default();
    message.attributes.push(briefly());
    route
        .dump(&RouteNetlinkMessage::GetLink(message), |payload| Ok(keep(SeenLink::parse(payload)?)))
        .map_err(|e| e.error("list the links"))
}

/// Adds a bridge, down. One of ours that is there already is brought to the same.
pub(crate) fn add_bridge(route: &mut Netlink, name: &LinkName, link: &Link) -> Result<()> {
    // Snooping without a querier floods all the same, but goes to every port whenever one comes: with a thousand
    // ports, that is about a fifth of what adding one costs. A delay would only arm a timer for each port, which tells
    // everybody who listens that nothing has happened: without spanning tree, ports forward at once.
    let mut message =
        LinkBridge::new(name.as_str()).down().link_group(LIVE).mcast_snooping(false).forward_delay(0);
    // Frames to the addresses that bridges keep for each other pass no filter, and would teach a forged sender.
    message = message.no_linklocal_learn(true);
    if link.vlan != Vlan::None {
        message = filtering(message);
    }
    if let Some(mac) = link.mac {
        message = message.address(mac.0.to_vec());
    }
    match route.change(RouteNetlinkMessage::NewLink(message.build()), NLM_F_CREATE | NLM_F_EXCL) {
        Ok(()) => (),
        Err(e) if e.errno == Errno::EEXIST => return adopt(route, name, link, e),
        Err(e) => return Err(e.error(format!("add bridge {name}"))),
    }
    make_room(route, name, link)?;
    // The MTU is set, not born: only so does the bridge keep it whatever ports come and go.
    let message = with_limits(LinkMessageBuilder::<LinkUnspec>::new(), link).mtu(link.mtu);
    finish(route, name, link, message)?;
    if link.vlan != Vlan::None {
        let seen = find(route, name)?.ok_or_else(|| missing(name))?;
        port::set_vlan(route, name, link, &seen)?;
    }
    Ok(())
}

/// Who is put on it is in no VLAN, so that nothing passes before it is told which is its own.
fn filtering(message: LinkMessageBuilder<LinkBridge>) -> LinkMessageBuilder<LinkBridge> {
    message.vlan_filtering(true).vlan_default_pvid(0)
}

/// Adds a port with its card, which is born in the container's namespace, whole but down.
pub(crate) fn add_port(
    route: &mut Netlink,
    name: &LinkName,
    link: &Link,
    card: (&LinkName, &Link),
    ns: BorrowedFd<'_>,
) -> Result<()> {
    let born = link.born();
    let (card_name, card) = card;
    let mut peer = with_limits(LinkMessageBuilder::<LinkUnspec>::new(), card)
        .name(card_name.as_str())
        .mtu(card.mtu)
        .setns_by_fd(ns.as_raw_fd());
    if let Some(mac) = card.mac {
        peer = peer.address(mac.0.to_vec());
    }
    let mut message = with_limits(LinkVeth::new(name.as_str(), card_name.as_str()), &born)
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer.build())))
        .link_group(LIVE)
        // It has no carrier before its card is up. Told so from the start, the bridge does not enable it only to disable
        // it again, for which it would walk all its ports twice.
        .append_extra_attribute(LinkAttribute::OperState(State::Dormant));
    let mut mtu = born.mtu;
    let mut mac = born.mac;
    if let Some(wanted) = &born.master {
        let bridge = port::master(route, wanted, link.vlan)?;
        message = message.controller(bridge.index);
        (mtu, mac) = port::unnoticed(wanted, &bridge, (mtu, mac));
    }
    message = message.mtu(mtu);
    if let Some(mac) = mac {
        message = message.address(mac.0.to_vec());
    }
    if born.up {
        message = message.up();
    }
    let what = || format!("add port {name} with card {card_name}");
    match route.change(RouteNetlinkMessage::NewLink(message.build()), NLM_F_CREATE | NLM_F_EXCL) {
        Ok(()) => {}
        Err(e) if e.errno == Errno::EEXIST => {
            return match find(route, name)? {
                Some(seen) if seen.is_ours() && seen.mark().is_none() => {
                    // Left by a death between birth and alias: its card may be anywhere, so it is begun anew.
                    delete_one(route, name, &seen)?;
                    add_port(route, name, link, (card_name, card), ns)
                }
                Some(_) => adopt(route, name, link, e),
                None => Err(e
                    .coded(Code::InterfaceTaken, format!("{card_name} is taken in the container"))
                    .fix("choose another name for the interface")),
            };
        }
        Err(e) if e.errno == Errno::EXFULL => {
            let bridge = born.master.map_or_else(String::new, |m| m.name.to_string());
            return Err(e
                .coded(Code::BridgeFull, format!("bridge {bridge} has no free port"))
                .fix("detach an endpoint, or create another network: a bridge takes 1023 ports"));
        }
        Err(e) => return Err(e.error(what())),
    }
    finish(route, name, link, LinkMessageBuilder::<LinkUnspec>::new())
}

/// Gives a link all its properties but its kind; it is up last.
pub(crate) fn set(route: &mut Netlink, name: &LinkName, link: &Link) -> Result<()> {
    let what = || format!("set link {name}");
    match &link.kind {
        Kind::Loopback => {
            let message = LinkUnspec::new_with_name(name.as_str()).up().build();
            route.change(RouteNetlinkMessage::SetLink(message), 0).map_err(|e| e.error(what()))
        }
        Kind::Card { .. } => {
            let seen = find(route, name)?.ok_or_else(|| missing(name))?;
            set_card(route, name, link, &seen)
        }
        Kind::Bridge | Kind::Port { .. } | Kind::Shim { .. } | Kind::Vlan { .. } | Kind::Island { .. } => {
            let seen = find(route, name)?.ok_or_else(|| missing(name))?;
            if !seen.is_ours() {
                return Err(foreign(name));
            }
            set_ours(route, name, link, &seen)?;
            if let (Kind::Island { end }, Some(owner)) = (&link.kind, link.owner) {
                direct::set_end(route, end, owner, link.up)?;
            }
            Ok(())
        }
        // All that it is was said when it was born.
        Kind::Stem { .. } => Ok(()),
    }
}

/// Sets a card that was found already. It bears no mark: it is ours as the other end of our port.
pub(crate) fn set_card(route: &mut Netlink, name: &LinkName, link: &Link, seen: &SeenLink) -> Result<()> {
    rate::set(route, name, link, seen)?;
    let mut message = with_limits(LinkUnspec::new_with_index(seen.index), link).mtu(link.mtu);
    if let Some(mac) = link.mac {
        message = message.address(mac.0.to_vec());
    }
    let message = upness(message, link).build();
    route.change(RouteNetlinkMessage::SetLink(message), 0).map_err(|e| match e.errno {
        Errno::EADDRINUSE => direct::mac_taken(e, link.mac),
        _ => e.error(format!("set link {name}")),
    })
}

/// Deletes this very link, whatever its name is now.
pub(crate) fn delete_one(route: &mut Netlink, name: &LinkName, seen: &SeenLink) -> Result<()> {
    let message = LinkUnspec::new_with_index(seen.index).build();
    match route.change(RouteNetlinkMessage::DelLink(message), 0) {
        Ok(()) => Ok(()),
        Err(e) if e.errno == Errno::ENODEV => Ok(()),
        Err(e) => Err(e.error(format!("delete link {name}"))),
    }
}

pub(crate) fn foreign(name: &LinkName) -> Error {
    Error::new(Code::LinkExists, format!("link {name} exists and is not ours"))
        .fix(format!("rename it, or delete it if nobody needs it: ip link delete {name}"))
}

pub(crate) fn missing(name: &LinkName) -> Error {
    Error::new(Code::Kernel, format!("there is no link {name}"))
}

/// Leaves out the counters, which are most of what the kernel says of a link.
pub(super) fn briefly() -> LinkAttribute {
    LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])
}

pub(super) fn one(
    route: &mut Netlink,
    message: LinkMessage,
    what: impl FnOnce() -> String,
) -> Result<Option<SeenLink>> {
    match route.get(RouteNetlinkMessage::GetLink(message), |payload| Ok(SeenLink::parse(payload)?)) {
        Ok(link) => Ok(Some(link)),
        Err(e) if e.errno == Errno::ENODEV => Ok(None),
        Err(e) => Err(e.error(what())),
    }
}

/// A link of that name is there: ours and of the same owner, or in the way.
pub(super) fn adopt(route: &mut Netlink, name: &LinkName, link: &Link, refusal: Failure) -> Result<()> {
    // Gone again already: the next attempt adds it.
    let Some(seen) = find(route, name)? else {
        return Err(refusal.coded(Code::Busy, format!("add link {name}")));
    };
    let same_owner = seen.mark().is_none_or(|mark| mark.owner() == link.owner);
    let named = |index| find_by_index(route, index).ok().flatten().and_then(|other| other.name);
    // Only of links that hang on others are those asked for.
    let named = RefCell::new(named);
    if !same_owner || seen.our_kind(|index| named.borrow_mut()(index)).as_ref() != Some(&link.kind) {
        return Err(foreign(name));
    }
    // One that is limited stays so.
    let born = Link { up: seen.up || link.born().up, rate: link.rate, ..link.born() };
    set_ours(route, name, &born, &seen)
}

/// Gives a link that was just born what it could not be born with.
pub(super) fn finish(
    route: &mut Netlink,
    name: &LinkName,
    link: &Link,
    message: LinkMessageBuilder<LinkUnspec>,
) -> Result<()> {
    let mut message = message.name(name.as_str());
    if let Some(alias) = Mark::of(&link.kind, link.owner) {
        message = message.alias(alias);
    }
    let message = message.build();
    let sent = match link.kind {
        // There may be no IPv6 on it at all, which is as well.
        Kind::Port { .. } => match route.change(RouteNetlinkMessage::SetLink(silent(message.clone())), 0) {
            Err(e) if e.errno == Errno::EAFNOSUPPORT => {
                route.change(RouteNetlinkMessage::SetLink(message), 0)
            }
            outcome => outcome,
        },
        Kind::Loopback
        | Kind::Bridge
        | Kind::Card { .. }
        | Kind::Stem { .. }
        | Kind::Shim { .. }
        | Kind::Vlan { .. }
        | Kind::Island { .. } => route.change(RouteNetlinkMessage::SetLink(message), 0),
    };
    sent.map_err(|e| e.error(format!("set link {name}")))
}

/// Brings a link of ours from what was seen to what is wanted.
fn set_ours(route: &mut Netlink, name: &LinkName, link: &Link, seen: &SeenLink) -> Result<()> {
    let what = |e: Failure| e.error(format!("set link {name}"));
    if link.kind == Kind::Bridge {
        make_room(route, name, link)?;
    }
    rate::set(route, name, link, seen)?;
    if link.kind == Kind::Bridge && (link.vlan != Vlan::None || seen.filters_vlans) {
        let message = LinkBridge::new(name.as_str());
        let message =
            if link.vlan == Vlan::None { message.vlan_filtering(false) } else { filtering(message) };
        route.change(RouteNetlinkMessage::NewLink(message.build()), 0).map_err(what)?;
        port::set_vlan(route, name, link, seen)?;
    }
    let mut message = with_limits(LinkUnspec::new_with_index(seen.index), link).link_group(LIVE);
    if let Some(alias) = Mark::of(&link.kind, link.owner) {
        message = message.alias(alias);
    }
    let (mut mtu, mut mac) = (link.mtu, link.mac);
    if let Kind::Vlan { of, .. } = &link.kind
        && let Some(below) = find(route, of)?
    {
        // It is as large as what it is of.
        mtu = below.mtu;
    }
    let master = match &link.master {
        Some(wanted) => {
            let bridge = port::master(route, wanted, link.vlan)?;
            (mtu, mac) = port::unnoticed(wanted, &bridge, (mtu, mac));
            Some(bridge.index)
        }
        None => None,
    };
    if mtu != 0 && mtu != seen.mtu {
        message = message.mtu(mtu);
    }
    if let Some(mac) = mac.filter(|mac| seen.mac != Some(*mac)) {
        message = message.address(mac.0.to_vec());
    }
    if master != seen.master {
        message = message.controller(master.unwrap_or(0));
    }
    // A port that comes to a bridge begins there with nothing on.
    let stays = master == seen.master;
    let as_is = link.isolated == (seen.isolated && stays) && link.hairpin == (seen.hairpin && stays);
    if (as_is && link.vlan == Vlan::None) || master.is_none() {
        let message = upness(message, link).build();
        return route.change(RouteNetlinkMessage::SetLink(message), 0).map_err(what);
    }
    route.change(RouteNetlinkMessage::SetLink(message.build()), 0).map_err(what)?;
    port::set_vlan(route, name, link, seen)?;
    let port = LinkUnspec::new_with_index(seen.index).set_port_kind(InfoPortKind::Bridge).set_port_data(
        InfoPortData::BridgePort(vec![
            InfoBridgePort::Isolated(link.isolated),
            InfoBridgePort::HairpinMode(link.hairpin),
        ]),
    );
    // SETLINK does not hear of port data; NEWLINK without CREATE does.
    route.change(RouteNetlinkMessage::NewLink(upness(port, link).build()), 0).map_err(what)
}

/// Lets a bridge take large packets. Its limit is that of its ports, and a bridge that never had one is not asked what
/// it could do: so it is given a port, which is taken away again at once.
fn make_room(route: &mut Netlink, bridge: &LinkName, link: &Link) -> Result<()> {
    let Some(size) = link.gso else { return Ok(()) };
    let Some(seen) = find(route, bridge)? else { return Ok(()) };
    if seen.tso_max_size.is_none_or(|most| most >= size) {
        return Ok(());
    }
    let name: LinkName = format!("blt{}", seen.index).parse().expect("at most 13 letters and digits");
    let message = LinkVeth::new(name.as_str(), &format!("blu{}", seen.index))
        .link_group(LIVE)
        .controller(seen.index)
        .build();
    match route.change(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL) {
        Ok(()) => (),
        // Left by a death just here.
        Err(e) if e.errno == Errno::EEXIST => (),
        Err(e) => return Err(e.error(format!("prepare bridge {bridge} for large packets"))),
    }
    match find(route, &name)? {
        Some(port) if port.is_ours() => delete_one(route, &name, &port),
        Some(_) => Err(foreign(&name)),
        None => Ok(()),
    }
}

fn with_limits<T>(message: LinkMessageBuilder<T>, link: &Link) -> LinkMessageBuilder<T> {
    let Some(size) = link.gso else { return message };
    message
        .append_extra_attribute(LinkAttribute::GsoMaxSize(size))
        .append_extra_attribute(LinkAttribute::GroMaxSize(size))
        .append_extra_attribute(LinkAttribute::GsoIpv4MaxSize(size))
        .append_extra_attribute(LinkAttribute::GroIpv4MaxSize(size))
}

/// A port carries frames and has no business of its own with IPv6: without a link-local address it neither checks
/// for duplicates nor solicits routers.
fn silent(mut message: LinkMessage) -> LinkMessage {
    let mode = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
    message.attributes.push(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![mode])]));
    message
}

fn upness<T>(message: LinkMessageBuilder<T>, link: &Link) -> LinkMessageBuilder<T> {
    if link.up { message.up() } else { message.down() }
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::link::LinkFlags;

    use super::*;

    #[test]
    fn a_link_is_told_its_flag_of_being_up_and_no_other() {
        let down = upness(LinkUnspec::new_with_index(1), &Link::new(Kind::Bridge, 1500)).build();
        assert_eq!((down.header.flags, down.header.change_mask), (LinkFlags::empty(), LinkFlags::Up));
        let up = upness(LinkUnspec::new_with_index(1), &Link::loopback()).build();
        assert_eq!((up.header.flags, up.header.change_mask), (LinkFlags::Up, LinkFlags::Up));
    }

    #[test]
    fn every_limit_is_set_to_the_same() {
        let link = Link { gso: Some(196_608), ..Link::new(Kind::Bridge, 1500) };
        assert_eq!(with_limits(LinkUnspec::new_with_index(1), &link).build().attributes.len(), 4);
        let link = Link { gso: None, ..link };
        assert!(with_limits(LinkUnspec::new_with_index(1), &link).build().attributes.is_empty());
    }
}
