//! What a network's members hang on: from the wire and the journal to the noun, and back.

use std::net::IpAddr;

use bowline_api::v1;
use bowline_core::mac::Mac;
use bowline_core::medium::{
    Bridge, Direct, How, IpvlanFlag, IpvlanMode, MacvlanMode, Medium, Parent, Shim, VlanId, Whose,
};
use bowline_core::name::{Id, LinkName, Name};
use bowline_core::network::{Ipam, Network, prefix};
use bowline_core::{Code, Error, Result};
use ipnetwork::IpNetwork;

use super::keeper::Kept;
use crate::store::MediumRecord;

/// As far as the wish says it: whether the parent is there, and what it is, the kernel tells.
pub(super) fn asked(wish: &v1::CreateNetwork) -> Result<Medium> {
    fit(wish)?;
    let parent = wish.parent.as_deref().map(link).transpose()?;
    let how = match wish.driver {
        v1::Driver::Bridge => {
            let whose = if parent.is_some() { Whose::Theirs } else { Whose::Ours };
            let vlan = wish.vlan.map(VlanId::new).transpose()?;
            let vrf = wish.vrf.as_deref().map(str::parse).transpose()?;
            return Ok(Medium::Bridge(Bridge { whose, vlan, vrf }));
        }
        v1::Driver::Macvlan => How::Macvlan(word(wish.mode.as_deref())?),
        v1::Driver::Ipvlan => How::Ipvlan(word(wish.mode.as_deref())?, word(wish.flag.as_deref())?),
        v1::Driver::P2p => return Ok(Medium::Pair),
        v1::Driver::None | v1::Driver::Host => {
            return Err(Error::new(Code::InvalidOption, format!("create network {:.80}", wish.name))
                .because("the networks none and host are always there, and there is one of each")
                .fix("use them by name: bowline run --network none"));
        }
    };
    let parent = parent.map(|link| Parent { link, vlan: None });
    // Addresses of the host's own are chosen when all else is known.
    Ok(Medium::Direct(Direct { parent, how, host_access: None }))
}

/// Refuses options that mean nothing to the driver.
fn fit(wish: &v1::CreateNetwork) -> Result<()> {
    use v1::Driver::{Bridge, Ipvlan, Macvlan};
    let modes = [&wish.gateway_mode_ipv4, &wish.gateway_mode_ipv6];
    let given = [
        ("--parent", wish.parent.is_some(), &[Bridge, Macvlan, Ipvlan][..], "bridge, macvlan and ipvlan"),
        ("--mode", wish.mode.is_some(), &[Macvlan, Ipvlan], "macvlan and ipvlan"),
        ("--flag", wish.flag.is_some(), &[Ipvlan], "ipvlan"),
        ("--host-access", wish.host_access, &[Macvlan, Ipvlan], "macvlan and ipvlan"),
        (
            "--vlan",
            wish.vlan.is_some(),
            &[Bridge],
            "bridge; for macvlan and ipvlan the VLAN is part of the parent: --parent eth0.10",
        ),
        ("--vrf", wish.vrf.is_some(), &[Bridge], "bridge"),
        ("--isolation", wish.isolation != v1::Isolation::default(), &[Bridge], "bridge"),
        ("--no-icc", !wish.icc, &[Bridge], "bridge; members of others are kept apart by --mode private"),
        ("--no-masquerade", !wish.masquerade, &[Bridge], "bridge"),
        ("--gateway-mode", modes.iter().any(|mode| **mode != v1::GatewayMode::Nat), &[Bridge], "bridge"),
        ("--trusted-interface", !wish.trusted_interfaces.is_empty(), &[Bridge], "bridge"),
        ("--gso", wish.gso != v1::Gso::Auto, &[Bridge], "bridge"),
    ];
    if wish.driver == v1::Driver::P2p {
        must_fit_a_wire(wish)?;
    }
    let stray = given.into_iter().find(|(_, given, of, _)| *given && !of.contains(&wish.driver));
    let Some((flag, _, _, of)) = stray else { return Ok(()) };
    Err(Error::new(Code::InvalidOption, format!("create network {:.80}", wish.name))
        .because(format!("{flag} means nothing to its driver; it is an option of {of}"))
        .fix(format!("leave {flag} out, or choose another driver with -d")))
}

/// Of a wire between two there is nothing to say of the host, of others and of the way out.
fn must_fit_a_wire(wish: &v1::CreateNetwork) -> Result<()> {
    let plain = v1::GatewayMode::Nat;
    let given = [
        ("--gateway", wish.subnets.iter().any(|subnet| subnet.gateway.is_some())),
        ("--isolation", wish.isolation != v1::Isolation::Published),
        ("--no-icc", !wish.icc),
        ("--no-masquerade", !wish.masquerade),
        ("--gateway-mode", wish.gateway_mode_ipv4 != plain || wish.gateway_mode_ipv6 != plain),
        ("--trusted-interface", !wish.trusted_interfaces.is_empty()),
    ];
    let Some((flag, _)) = given.into_iter().find(|(_, given)| *given) else { return Ok(()) };
    Err(Error::new(Code::InvalidOption, format!("create network {:.80}", wish.name))
        .because(format!("{flag} means nothing to p2p: its two members reach each other, and nothing else"))
        .fix(format!("leave {flag} out, or use -d bridge")))
}

/// Who comes after another to an end of a wire has his MAC: the other end knows it, and would go on talking to it.
pub(super) fn mac_of_end(network: &Network, addresses: &[IpNetwork]) -> Option<Mac> {
    let address = match (&network.medium, addresses.first()?.ip()) {
        (Medium::Bridge(_) | Medium::Direct(_), _) => return None,
        (Medium::Pair, IpAddr::V4(ip)) => u64::from(u32::from(ip)),
        // Truncation is meant: the two differ at their end.
        (Medium::Pair, IpAddr::V6(ip)) => u128::from(ip) as u64,
    };
    // The other half of the id is in the MAC of the bridge.
    Some(Mac::local((network.id.0 >> 64) as u64 ^ address))
}

/// A wire has two ends.
pub(super) fn has_an_end_free(kept: &Kept, id: Id) -> Result<()> {
    let others = kept.members.iter().filter(|(at, _)| **at != id);
    let mut others: Vec<&Name> = others.map(|(_, (name, _))| name).collect();
    others.sort();
    match (&kept.network.medium, others.as_slice()) {
        (Medium::Pair, [one, other, ..]) => {
            Err(Error::new(Code::BridgeFull, format!("network {} has two endpoints", kept.network.name))
                .because(format!("{one} and {other}: with p2p there is no third"))
                .fix(format!("bowline network disconnect {} {one}", kept.network.name)))
        }
        (Medium::Pair | Medium::Bridge(_) | Medium::Direct(_), _) => Ok(()),
    }
}

/// The same of an update.
pub(super) fn fit_update(network: &Network, wish: &v1::UpdateNetwork) -> Result<()> {
    if !network.medium.has_parent() && network.medium != Medium::Pair {
        return Ok(());
    }
    let given = [
        ("--internal", wish.internal.is_some()),
        ("--isolation", wish.isolation.is_some()),
        ("--icc", wish.icc.is_some() && network.medium.bridge_of_others().is_none()),
        ("--masquerade", wish.masquerade.is_some()),
        ("--trusted-interface", wish.trusted_interfaces.is_some()),
    ];
    let Some((flag, _)) = given.into_iter().find(|(_, given)| *given) else { return Ok(()) };
    Err(Error::new(Code::InvalidOption, format!("update network {}", network.name))
        .because(format!("{flag} means nothing to its driver: its packets do not pass this host"))
        .fix(format!("leave {flag} out")))
}

/// What an endpoint asks beside its network.
pub(super) fn check_vlan(network: &Network, vlan: Option<VlanId>) -> Result<()> {
    let Some(vlan) = vlan else { return Ok(()) };
    let (why, fix) = match &network.medium {
        Medium::Bridge(Bridge { whose: Whose::Ours, vlan: None, .. }) => (
            "its bridge does not filter by VLAN",
            "make the network with --vlan, the VLAN of those who do not say",
        ),
        // Whether a bridge of others filters is seen when the port is put there.
        Medium::Bridge(_) => return Ok(()),
        Medium::Direct(_) | Medium::Pair => (
            "its members are in no VLAN of a bridge",
            "leave the VLAN out, or use a network of driver bridge",
        ),
    };
    let what = format!("VLAN {vlan} is not usable on network {}", network.name);
    Err(Error::new(Code::InvalidVlan, what).because(why).fix(fix))
}

fn link(text: &str) -> Result<LinkName> {
    text.parse().map_err(|e: Error| {
        Error { code: Code::InvalidParent, ..e }.context(format!("parent {text:.80?} is not usable"))
    })
}

fn word<T: std::str::FromStr<Err = Error> + Default>(text: Option<&str>) -> Result<T> {
    text.map_or_else(|| Ok(T::default()), str::parse)
}

pub(super) fn driver(medium: &Medium) -> v1::Driver {
    match medium {
        Medium::Bridge(_) => v1::Driver::Bridge,
        Medium::Direct(Direct { how: How::Macvlan(_), .. }) => v1::Driver::Macvlan,
        Medium::Direct(Direct { how: How::Ipvlan(..), .. }) => v1::Driver::Ipvlan,
        Medium::Pair => v1::Driver::P2p,
    }
}

/// The host's own on a network, as it is told and written down.
fn addresses(direct: &Direct) -> Vec<String> {
    let all = direct.host_access.iter().flat_map(|shim| &shim.addresses);
    all.map(ToString::to_string).collect()
}

pub(super) fn record(network: &Network) -> MediumRecord {
    match &network.medium {
        Medium::Bridge(bridge) => MediumRecord {
            parent: (bridge.whose == Whose::Theirs).then(|| network.bridge.to_string()),
            vlan: bridge.vlan.map(VlanId::number),
            vrf: bridge.vrf.as_ref().map(ToString::to_string),
            ..MediumRecord::default()
        },
        Medium::Direct(direct) => {
            let parent_vlan = direct.parent.as_ref().and_then(|p| p.vlan.as_ref());
            let (mode, flag) = match direct.how {
                How::Macvlan(mode) => (mode.word(), None),
                How::Ipvlan(mode, flag) => (mode.word(), Some(flag.word())),
            };
            MediumRecord {
                parent: direct.parent.as_ref().map(|p| p.link.to_string()),
                parent_vlan: parent_vlan.map(|(of, id)| (of.to_string(), id.number())),
                mode: Some(mode.to_string()),
                flag: flag.map(str::to_string),
                host_addresses: addresses(direct),
                ..MediumRecord::default()
            }
        }
        Medium::Pair => MediumRecord::default(),
    }
}

pub(super) fn from_record(id: Id, driver: v1::Driver, record: &MediumRecord) -> Result<Medium> {
    let parent = record.parent.as_deref().map(link).transpose()?;
    let how = match driver {
        v1::Driver::Bridge => {
            return Ok(Medium::Bridge(Bridge {
                whose: if parent.is_some() { Whose::Theirs } else { Whose::Ours },
                vlan: record.vlan.map(VlanId::new).transpose()?,
                vrf: record.vrf.as_deref().map(str::parse).transpose()?,
            }));
        }
        v1::Driver::Macvlan => How::Macvlan(word::<MacvlanMode>(record.mode.as_deref())?),
        v1::Driver::Ipvlan => How::Ipvlan(
            word::<IpvlanMode>(record.mode.as_deref())?,
            word::<IpvlanFlag>(record.flag.as_deref())?,
        ),
        v1::Driver::P2p => return Ok(Medium::Pair),
        v1::Driver::None | v1::Driver::Host => {
            return Err(Error::new(Code::StateCorrupt, "read a network's driver")
                .because("none and host are never written down"));
        }
    };
    let vlan = match &record.parent_vlan {
        Some((of, id)) => Some((link(of)?, VlanId::new(*id)?)),
        None => None,
    };
    let parent = parent.map(|link| Parent { link, vlan });
    let addresses = record.host_addresses.iter().map(|text| prefix(text)).collect::<Result<Vec<_>>>()?;
    let shim = || Shim { link: Network::shim_name(id), addresses: addresses.clone() };
    let host_access = (!addresses.is_empty()).then(shim);
    Ok(Medium::Direct(Direct { parent, how, host_access }))
}

pub(super) fn ipam(wire: v1::Ipam) -> Ipam {
    match wire {
        v1::Ipam::Pools => Ipam::Pools,
        v1::Ipam::Dhcp => Ipam::Dhcp,
        v1::Ipam::None => Ipam::None,
    }
}

pub(super) fn ipam_view(ipam: Ipam) -> v1::Ipam {
    match ipam {
        Ipam::Pools => v1::Ipam::Pools,
        Ipam::Dhcp => v1::Ipam::Dhcp,
        Ipam::None => v1::Ipam::None,
    }
}
