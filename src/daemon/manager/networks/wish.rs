//! What a wish for a network means, where no kernel is asked.

use std::collections::BTreeSet;

use bowline_api::v1;
use bowline_core::family::Family;
use bowline_core::kernel::Facts;
use bowline_core::name::LinkName;
use bowline_core::network::{Gateway, Gateways, Mtu, Network};
use bowline_core::{Code, Error, Result};

use super::super::keeper::{gateway, isolation, neighbours};
use super::{BIG, USUAL_MTU};

pub(super) fn updated(old: &Network, wish: &v1::UpdateNetwork) -> Result<Network> {
    let mut new = old.clone();
    if let Some(internal) = wish.internal {
        new.internal = internal;
    }
    if let Some(wire) = wish.isolation {
        new.isolation = isolation(wire);
    }
    if let Some(icc) = wish.icc {
        new.neighbours = neighbours(icc);
    }
    if let Some(masquerade) = wish.masquerade {
        new.masquerade = masquerade;
    }
    if let Some(wire) = &wish.trusted_interfaces {
        new.trusted = trusted(wire)?;
    }
    if let Some(bytes) = wish.mtu_bytes {
        new.mtu = Mtu::new(bytes, new.has_ipv6())?;
    }
    Ok(new)
}

pub(in crate::manager) fn gateways(wish: &v1::CreateNetwork) -> Result<Gateways> {
    let gateways = Gateways { v4: gateway(wish.gateway_mode_ipv4), v6: gateway(wish.gateway_mode_ipv6) };
    let isolated = Family::BOTH.into_iter().any(|family| gateways.of(family) == Gateway::Isolated);
    if isolated && !wish.internal {
        return Err(Error::new(Code::InvalidOption, "gateway mode isolated is for internal networks")
            .because("without an address of the host's on it, nothing leads out of the network")
            .fix("add --internal, or choose another gateway mode"));
    }
    Ok(gateways)
}

pub(super) fn trusted(names: &[String]) -> Result<Vec<LinkName>> {
    let all: Vec<LinkName> = names.iter().map(|name| name.parse()).collect::<Result<_>>()?;
    let unique: BTreeSet<LinkName> = all.into_iter().collect();
    Ok(unique.into_iter().collect())
}

pub(super) fn uplink_mtu(facts: &Facts) -> u32 {
    facts.uplinks.iter().map(|u| u.mtu).min().unwrap_or(USUAL_MTU)
}

/// A container whose traffic leaves by an uplink that takes 64 KiB at most would pay with segmentation in software.
pub(super) fn super_packets(wish: v1::Gso, internal: bool, facts: &Facts) -> bool {
    match wish {
        v1::Gso::On => true,
        v1::Gso::Off => false,
        v1::Gso::Auto => {
            internal || (!facts.uplinks.is_empty() && facts.uplinks.iter().all(|u| u.tso_max_size >= BIG))
        }
    }
}

/// The two networks that are always there.
pub(super) fn builtin(name: &str) -> v1::Network {
    v1::Network {
        id: String::new(),
        name: name.to_string(),
        driver: if name == "host" { v1::Driver::Host } else { v1::Driver::None },
        parent: None,
        parent_state: None,
        mode: None,
        flag: None,
        host_access: false,
        host_addresses: Vec::new(),
        vlan: None,
        vrf: None,
        ipam: v1::Ipam::None,
        subnets: Vec::new(),
        routes: Vec::new(),
        mtu_bytes: 0,
        internal: name == "none",
        dns: false,
        isolation: v1::Isolation::Open,
        icc: false,
        masquerade: false,
        gateway_mode_ipv4: v1::GatewayMode::Nat,
        gateway_mode_ipv6: v1::GatewayMode::Nat,
        trusted_interfaces: Vec::new(),
        gso: v1::Gso::Off,
        gso_max_bytes: None,
        bridge: None,
        labels: Default::default(),
        created_unix_ms: 0,
        host_netns: None,
        endpoints: Vec::new(),
    }
}
