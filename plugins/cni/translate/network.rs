//! The network that a configuration describes, made when its first container comes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bowline_api::v1;

use super::addresses::Addresses;
use super::{Facts, Result, names, unsupported};
use crate::config::Config;
use crate::failure::{Code, Failure};
use crate::role::Role;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Made {
    pub(super) create: v1::CreateNetwork,
    /// Containers leave by its gateway without a route that says so.
    pub(super) default_route: bool,
}

/// The bridge that a configuration without one means.
const USUAL_BRIDGE: &str = "cni0";

pub(super) fn of(
    role: Role,
    config: &Config,
    facts: &Facts,
    addresses: &Addresses,
    grows: bool,
) -> Result<Made> {
    let json = &config.json;
    match (role, json.text_of("driver")?) {
        (Role::Bridge, _) | (Role::Bowline, None | Some("bridge")) => (),
        (Role::Bowline, Some(driver)) => {
            return Err(unsupported("driver", driver, "this bowline has bridges only"));
        }
        (other, _) => return Err(unsupported("type", other.name(), "this bowline has bridges only")),
    }
    let fused = role == Role::Bowline;
    let flag = |key: &str, usual: bool| json.flag_of(key).map(|flag| flag.unwrap_or(usual));
    let default_route = flag("isDefaultGateway", fused)?;
    let gateway = flag("isGateway", fused)? || default_route;
    for key in ["vlan", "vlanTrunk"] {
        match json.get(key) {
            Some(value) if value.to_string() != "0" && value.to_string() != "[]" => {
                return Err(unsupported(key, &value.to_string(), "bridges of bowline's have no VLANs"));
            }
            Some(_) | None => (),
        }
    }
    if flag("disableContainerInterface", false)? {
        return Err(unsupported("disableContainerInterface", "true", "an interface of bowline's is up"));
    }
    let (promiscuous, hairpin) = (flag("promiscMode", false)?, flag("hairpinMode", false)?);
    if promiscuous && hairpin {
        return Err(Failure::new(
            Code::Config,
            "cannot set hairpin mode and promiscuous mode at the same time",
        ));
    }
    let bridge = json.text_of("bridge")?.map(str::to_string);
    let isolation = isolation(role, config)?;
    let mode = if gateway { v1::GatewayMode::Nat } else { v1::GatewayMode::Isolated };
    let create = v1::CreateNetwork {
        subnets: addresses.subnets.clone(),
        ipv4: addresses.subnets.iter().any(|subnet| !subnet.cidr.contains(':')),
        mtu_bytes: mtu(config)?,
        internal: !gateway,
        isolation: isolation.0,
        icc: isolation.1 && !flag("portIsolation", false)?,
        masquerade: flag("ipMasq", fused)?,
        gateway_mode_ipv4: mode,
        gateway_mode_ipv6: mode,
        dns: flag("names", true)?,
        labels: BTreeMap::from([("bowline.made-for".to_string(), "cni".to_string())]),
        host_netns: Some(facts.host_netns.clone()),
        bridge: bridge.or_else(|| (!fused).then(|| USUAL_BRIDGE.to_string())),
        reserved: facts
            .leftovers
            .iter()
            .map(|(ip, owner)| reservation(facts, &config.name, *ip, owner))
            .collect(),
        grows,
        ..v1::CreateNetwork::named(&config.name)
    };
    Ok(Made { create, default_route })
}

/// As host-local's file says it: container and interface, or in old ones the container alone.
fn reservation(facts: &Facts, network: &str, ip: IpAddr, owner: &str) -> v1::Reservation {
    let mut words = owner.split_ascii_whitespace();
    let (container, ifname) = (words.next().unwrap_or("unknown"), words.next().unwrap_or("eth0"));
    let key = super::key(facts.host, network, container, ifname);
    v1::Reservation { name: names::of_key(container, &key), key, addresses: vec![ip] }
}

/// 0 and "auto" are the daemon's choice: that of the uplink.
fn mtu(config: &Config) -> Result<Option<u32>> {
    if config.json.get("mtu").and_then(crate::json::Json::as_text) == Some("auto") {
        return Ok(None);
    }
    match config.json.number_of("mtu")? {
        None | Some(0) => Ok(None),
        Some(mtu) => u32::try_from(mtu)
            .map(Some)
            .map_err(|_| Failure::new(Code::Config, format!("mtu {mtu} is not usable"))),
    }
}

/// Who opens connections to its containers from outside, and whether they reach one another. The reference plugin lets
/// in whoever has a route; ours do where they are asked to.
fn isolation(role: Role, config: &Config) -> Result<(v1::Isolation, bool)> {
    let firewall = config.json.object_of("firewall")?;
    let policy = match firewall {
        Some(firewall) => firewall.text_of("ingressPolicy")?,
        None => config.json.text_of("ingressPolicy")?,
    };
    match (policy, role) {
        (Some(policy), _) => policy_of(policy),
        (None, Role::Bowline) => Ok((v1::Isolation::Published, true)),
        (None, _) => Ok((v1::Isolation::Open, true)),
    }
}

/// The firewall plugin's word for it.
pub(crate) fn policy_of(text: &str) -> Result<(v1::Isolation, bool)> {
    match text {
        "open" => Ok((v1::Isolation::Open, true)),
        "same-bridge" => Ok((v1::Isolation::Strict, true)),
        "isolated" => Ok((v1::Isolation::Strict, false)),
        "published" => Ok((v1::Isolation::Published, true)),
        other => Err(Failure::new(Code::Config, format!("unrecognized ingressPolicy {other:.40?}"))
            .because("it is one of open, same-bridge, isolated, published")),
    }
}
