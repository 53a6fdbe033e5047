//! Cards on a link of a host's: made from the host, born in the container's namespace. And what else such networks need of
//! the host: VLANs, links that lead nowhere, and cards of its own.

use std::os::fd::AsRawFd;

use bowline_core::feature::Feature;
use bowline_core::mac::Mac;
use bowline_core::medium::{How, IpvlanFlag, IpvlanMode, MacvlanMode};
use bowline_core::name::{Id, LinkName};
use bowline_core::state::{Kind, Link, LinkKey};
use bowline_core::{Code, Error, Result};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoIpVlan, InfoKind, InfoMacVlan, InfoVeth, InfoVlan, IpVlanFlags, IpVlanMode, LinkMessage,
    MacVlanMode,
};
use nix::errno::Errno;
use rtnetlink::{LinkMessageBuilder, LinkUnspec};

use super::guest::Guest;
use super::host::Host;
use super::link;
use super::mark::{LIVE, Mark};
use super::stems::{self, Spot};
use crate::netlink::wire::SeenLink;
use crate::netlink::{Failure, Netlink};

/// A card to be: what the host calls it, what it hangs on, and what it is inside.
pub(super) struct Stem<'a> {
    pub(super) key: &'a LinkKey,
    pub(super) owner: Id,
    pub(super) parent: &'a LinkName,
    pub(super) how: How,
    pub(super) card: &'a LinkKey,
    pub(super) link: &'a Link,
}

/// Adds a card. That the host knows the namespace by a number comes first: else, if we die right after, nobody finds it.
pub(super) fn add_card(host: &Host, guest: &Guest, stem: &Stem<'_>) -> Result<()> {
    if try_to_add(host, guest, stem)? == There::Gone && try_to_add(host, guest, stem)? == There::Gone {
        return Err(Error::new(Code::Busy, format!("add card {}", stem.card.name))
            .because("it went again while it was made")
            .fix("try again"));
    }
    Ok(())
}

fn try_to_add(host: &Host, guest: &Guest, stem: &Stem<'_>) -> Result<There> {
    let spot = host.route(|route| {
        let nsid = stems::number_of(route, guest.ns())?;
        let parent = parent_of(route, stem.parent)?;
        let message = card_message(stem, parent.index, guest.ns().as_raw_fd());
        match route.change(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL) {
            Ok(()) => Ok(Birth::New { nsid, parent: parent.index }),
            Err(e) if e.errno == Errno::EEXIST => Ok(Birth::There { nsid, parent: parent.index, refusal: e }),
            Err(e) => Err(refused(e, stem, &parent)),
        }
    })?;
    let mark = Mark::of_stem(stem.owner, stem.card, stem.key);
    let name = stem.card.name.clone();
    let (nsid, parent, refusal) = match spot {
        Birth::New { nsid, parent } => (nsid, parent, None),
        Birth::There { nsid, parent, refusal } => (nsid, parent, Some(refusal)),
    };
    let wanted = mark.clone();
    let there = guest.run(move |route| {
        let Some(seen) = link::find(route, &name)? else { return Ok(There::Gone) };
        match (refusal, seen.alias.as_deref()) {
            (Some(_), Some(alias)) if alias == wanted => return Ok(There::Marked(seen.index)),
            (Some(_), None) if seen.hangs() && seen.is_half_born() => {
                link::delete_one(route, &name, &seen)?;
                return Ok(There::Gone);
            }
            (Some(refusal), _) => {
                return Err(refusal
                    .coded(Code::InterfaceTaken, format!("{name} is taken in the container"))
                    .fix("choose another name for the interface"));
            }
            (None, _) => (),
        }
        let message = LinkUnspec::new_with_index(seen.index).alias(wanted).build();
        route
            .change(RouteNetlinkMessage::SetLink(message), 0)
            .map_err(|e| e.error(format!("mark card {name}")))?;
        Ok(There::Marked(seen.index))
    })?;
    if let There::Marked(index) = there {
        let spot = Spot { nsid, index, parent, owner: Some(stem.owner), card: stem.card.clone() };
        host.stems().know(&stem.key.name, spot);
    }
    Ok(there)
}

enum Birth {
    New {
        nsid: i32,
        parent: u32,
    },
    /// Something of that name is there.
    There {
        nsid: i32,
        parent: u32,
        refusal: Failure,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum There {
    Marked(u32),
    /// What was left by a death before its alias, and is gone now.
    Gone,
}

fn card_message(stem: &Stem<'_>, parent: u32, ns: i32) -> LinkMessage {
    let mut message = hanging(stem.how)
        .name(stem.card.name.as_str())
        .link(parent)
        .mtu(stem.link.mtu)
        .setns_by_fd(ns)
        .link_group(LIVE);
    if let Some(mac) = stem.link.mac {
        message = message.address(mac.0.to_vec());
    }
    message.build()
}

fn hanging(how: How) -> LinkMessageBuilder<LinkUnspec> {
    match how {
        How::Macvlan(mode) => {
            let mode = match mode {
                MacvlanMode::Bridge => MacVlanMode::Bridge,
                MacvlanMode::Private => MacVlanMode::Private,
                MacvlanMode::Vepa => MacVlanMode::Vepa,
                MacvlanMode::Passthru => MacVlanMode::Passthrough,
            };
            LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::MacVlan)
                .set_info_data(InfoData::MacVlan(vec![InfoMacVlan::Mode(mode)]))
        }
        How::Ipvlan(mode, flag) => {
            let mode = match mode {
                IpvlanMode::L2 => IpVlanMode::L2,
                IpvlanMode::L3 => IpVlanMode::L3,
                IpvlanMode::L3s => IpVlanMode::L3S,
            };
            let flags = match flag {
                IpvlanFlag::Bridge => IpVlanFlags::empty(),
                IpvlanFlag::Private => IpVlanFlags::Private,
                IpvlanFlag::Vepa => IpVlanFlags::Vepa,
            };
            let data = vec![InfoIpVlan::Mode(mode), InfoIpVlan::Flags(flags)];
            LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::IpVlan)
                .set_info_data(InfoData::IpVlan(data))
        }
    }
}

/// Adds a link of the host's own that is no bridge and no port, down. One of ours that is there is brought to the same.
pub(super) fn add(route: &mut Netlink, name: &LinkName, link: &Link) -> Result<()> {
    let mut message = match &link.kind {
        Kind::Shim { parent, how } => hanging(*how).link(parent_of(route, parent)?.index),
        Kind::Vlan { of, id } => LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::Vlan)
            .set_info_data(InfoData::Vlan(vec![InfoVlan::Id(id.number())]))
            .link(parent_of(route, of)?.index),
        Kind::Island { end } => {
            let peer = LinkMessageBuilder::<LinkUnspec>::new()
                .name(end.as_str())
                .mtu(link.mtu)
                .link_group(LIVE)
                .build();
            LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::Veth)
                .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
        }
        Kind::Loopback | Kind::Bridge | Kind::Port { .. } | Kind::Stem { .. } | Kind::Card { .. } => {
            return Err(Error::new(Code::Internal, format!("link {name} is not added this way")));
        }
    };
    message = message.name(name.as_str()).down().link_group(LIVE);
    if link.mtu != Link::ANY_MTU {
        message = message.mtu(link.mtu);
    }
    if let Some(mac) = link.mac {
        message = message.address(mac.0.to_vec());
    }
    match route.change(RouteNetlinkMessage::NewLink(message.build()), NLM_F_CREATE | NLM_F_EXCL) {
        Ok(()) => (),
        Err(e) if e.errno == Errno::EEXIST => return link::adopt(route, name, link, e),
        Err(e) => return Err(not_added(e, name, link)),
    }
    link::finish(route, name, link, LinkMessageBuilder::<LinkUnspec>::new())
}

/// The deaf end of a link that leads nowhere: it neither asks nor answers who has which address.
pub(super) fn set_end(route: &mut Netlink, end: &LinkName, owner: Id, up: bool) -> Result<()> {
    let message = LinkUnspec::new_with_name(end.as_str()).alias(Mark::of_end(owner)).arp(false);
    let message = if up { message.up() } else { message.down() };
    route
        .change(RouteNetlinkMessage::SetLink(message.build()), 0)
        .map_err(|e| e.error(format!("set link {end}")))
}

fn parent_of(route: &mut Netlink, name: &LinkName) -> Result<SeenLink> {
    link::find(route, name)?.ok_or_else(|| {
        Error::new(Code::InvalidParent, format!("parent {name} is missing"))
            .because("the host has no such link now")
            .fix(format!("bring it back under that name, and see: ip link show {name}"))
    })
}

fn refused(failure: Failure, stem: &Stem<'_>, parent: &SeenLink) -> Error {
    let (how, name) = (stem.how, stem.parent);
    match failure.errno {
        Errno::EBUSY | Errno::EEXIST => busy(failure, name),
        Errno::EADDRINUSE => mac_taken(failure, stem.link.mac),
        Errno::EOPNOTSUPP => missing(how).missing(failure.errno),
        Errno::EINVAL if stem.link.mtu > parent.mtu => failure
            .coded(Code::InvalidMtu, format!("an MTU of {} is more than that of {name}", stem.link.mtu)),
        // Such a parent has room for one.
        Errno::EINVAL if matches!(how, How::Macvlan(_)) => busy(failure, name),
        _ => failure.error(format!("add card {} on {name}", stem.card.name)),
    }
}

fn not_added(failure: Failure, name: &LinkName, link: &Link) -> Error {
    match (&link.kind, failure.errno) {
        (Kind::Shim { parent, .. }, Errno::EBUSY) => busy(failure, parent),
        (Kind::Shim { how, .. }, Errno::EOPNOTSUPP) => missing(*how).missing(failure.errno),
        (Kind::Vlan { .. }, Errno::EOPNOTSUPP) => Feature::Vlan.missing(failure.errno),
        _ => failure.error(format!("add link {name}")),
    }
}

fn missing(how: How) -> Feature {
    match how {
        How::Macvlan(_) => Feature::Macvlan,
        How::Ipvlan(..) => Feature::Ipvlan,
    }
}

fn busy(failure: Failure, parent: &LinkName) -> Error {
    failure
        .coded(Code::ParentTaken, format!("parent {parent} is in use"))
        .because("a bridge, a bond, or cards of another sort hold it")
        .fix(format!("see who: ip -d link show {parent}; then free it, or choose another parent"))
}

/// The kernel does not say whose it is.
pub(super) fn mac_taken(failure: Failure, mac: Option<Mac>) -> Error {
    let mac = mac.map_or_else(|| "of the card".to_string(), |mac| mac.to_string());
    failure
        .coded(Code::MacTaken, format!("the MAC address {mac} is taken"))
        .fix("choose another --mac, or leave it out")
}
