//! What a port has by being one: its bridge, ours or another's, and its VLAN there.

use bowline_core::mac::Mac;
use bowline_core::medium::{VlanId, Whose};
use bowline_core::name::LinkName;
use bowline_core::state::{Kind, Link, Master, Vlan};
use bowline_core::{Code, Error, Result};
use netlink_packet_route::link::{BridgeVlanInfoFlags as Flags, LinkAttribute, LinkExtentMask, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;
use rtnetlink::LinkBridgeVlan;

use super::link::{find, foreign, missing};
use crate::netlink::Netlink;
use crate::netlink::wire::{LinkKind, SeenLink, SeenVlans};

/// The bridge to be a port of. A stranger's bridge that has the name of ours gets no port, nor ours one that is meant for a
/// stranger's.
pub(super) fn master(route: &mut Netlink, wanted: &Master, vlan: Vlan) -> Result<SeenLink> {
    let seen = of(route, wanted)?;
    match vlan {
        Vlan::In(vlan) if !seen.filters_vlans => {
            Err(Error::new(Code::InvalidVlan, format!("VLAN {vlan} is not usable on {}", wanted.name))
                .because("the bridge does not filter by VLAN")
                .fix("leave the VLAN out"))
        }
        Vlan::In(_) | Vlan::None | Vlan::Mixed => Ok(seen),
    }
}

fn of(route: &mut Netlink, wanted: &Master) -> Result<SeenLink> {
    let seen = find(route, &wanted.name)?;
    match wanted.whose {
        Whose::Ours => {
            let seen = seen.ok_or_else(|| missing(&wanted.name))?;
            if seen.is_ours() { Ok(seen) } else { Err(foreign(&wanted.name)) }
        }
        Whose::Theirs => {
            let seen = seen.ok_or_else(|| gone(&wanted.name, "there is no link of that name"))?;
            match seen.kind {
                LinkKind::Bridge if seen.is_ours() => Err(gone(&wanted.name, "it is one of ours now")),
                LinkKind::Bridge => Ok(seen),
                LinkKind::Veth | LinkKind::Macvlan | LinkKind::Ipvlan | LinkKind::Vlan | LinkKind::Other => {
                    Err(gone(&wanted.name, "it is no bridge any more"))
                }
            }
        }
    }
}

/// The MTU and the MAC that a port of such a bridge is given. A bridge of others that was told neither takes the lowest of its
/// ports', so that ours has the bridge's own.
pub(super) fn unnoticed(
    wanted: &Master,
    bridge: &SeenLink,
    (mtu, mac): (u32, Option<Mac>),
) -> (u32, Option<Mac>) {
    match wanted.whose {
        Whose::Ours => (mtu, mac),
        Whose::Theirs => (bridge.mtu, bridge.mac.filter(|mac| mac.0 != [0; 6])),
    }
}

fn gone(name: &LinkName, why: &str) -> Error {
    Error::new(Code::InvalidParent, format!("parent {name} is missing"))
        .because(why)
        .fix(format!("make it again: ip link add {name} type bridge"))
}

/// Puts a port, or the bridge itself, into its VLAN and into no other.
pub(super) fn set_vlan(route: &mut Netlink, name: &LinkName, link: &Link, seen: &SeenLink) -> Result<()> {
    let vlan = match link.vlan {
        Vlan::In(vlan) => vlan,
        Vlan::None | Vlan::Mixed => return Ok(()),
    };
    let begun = || match link.kind == Kind::Bridge {
        true => LinkBridgeVlan::new(seen.index).bridge_self(),
        false => LinkBridgeVlan::new(seen.index),
    };
    let failed = |e: crate::netlink::Failure| e.error(format!("put {name} into VLAN {vlan}"));
    let message = begun().vlan(vlan.number(), Flags::Pvid | Flags::Untagged).build();
    route.change(RouteNetlinkMessage::SetLink(message), 0).map_err(failed)?;
    let others = others(vlan).into_iter().fold(begun(), |message, (first, last)| {
        message.vlan_range_start(first, Flags::empty()).vlan_range_end(last, Flags::empty())
    });
    match route.change(RouteNetlinkMessage::DelLink(others.build()), 0) {
        // It was in no other.
        Err(e) if e.errno == Errno::ENOENT => Ok(()),
        outcome => outcome.map_err(failed),
    }
}

/// The VLANs of every bridge and port here.
pub(super) fn vlans(route: &mut Netlink) -> Result<Vec<SeenVlans>> {
    let mut message = LinkMessage::default();
    message.header.interface_family = AddressFamily::Bridge;
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::BrvlanCompressed]));
    route
        .dump(&RouteNetlinkMessage::GetLink(message), |payload| Ok(Some(SeenVlans::parse(payload)?)))
        .map_err(|e| e.error("list the VLANs of ports"))
}

/// All VLANs but this one, as ranges.
fn others(vlan: VlanId) -> Vec<(u16, u16)> {
    let ranges = [(1, vlan.number() - 1), (vlan.number() + 1, 4094)];
    ranges.into_iter().filter(|(first, last)| first <= last).collect()
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn all_other_vlans_are_left() {
        let check = |number, ranges: &[(u16, u16)]| {
            assert_eq!(others(VlanId::new(number).unwrap()), ranges, "{number}");
        };
        check(1, &[(2, 4094)]);
        check(10, &[(1, 9), (11, 4094)]);
        check(4094, &[(1, 4093)]);
    }
}
