//! Which program made a table or a chain, as far as names tell, and what it is to be told.

use std::collections::BTreeSet;

use bowline_core::name::LinkName;

use super::obstacle::{Traffic, Way};
use super::ruleset::{Base, Family, Table};
use super::walk::Drop;

const OF_TABLES: &[(&str, &str)] = &[
    (FIREWALLD, "firewalld"),
    ("libvirt_network", "libvirt"),
    ("docker-bridges", "Docker"),
    ("kube-proxy", "Kubernetes"),
    ("netavark", "Podman"),
    ("incus", "Incus"),
    ("lxd", "LXD"),
];

/// Beginnings of names of chains.
const OF_CHAINS: &[(&str, &str)] = &[
    ("DOCKER", "Docker"),
    ("ufw-", UFW),
    ("ufw6-", UFW),
    ("LIBVIRT_", "libvirt"),
    ("KUBE-", "Kubernetes"),
    ("cali-", "Calico"),
    ("CILIUM_", "Cilium"),
    ("FLANNEL-", "flannel"),
    ("NETAVARK", "Podman"),
    ("CNI-", "CNI"),
    ("FORWARD_IN_ZONES", "firewalld"),
    ("FWDI_", "firewalld"),
    ("FWDO_", "firewalld"),
];

const UFW: &str = "ufw";
/// Those that set the policy of a chain which they share with others.
const SET_POLICIES: &[&str] = &["Docker", UFW];
const FIREWALLD: &str = "firewalld";
pub(super) const DOCKER_USER: &str = "DOCKER-USER";

/// Who drops there: the maker of the table or chain, or who may have set the policy.
pub(super) fn of(table: &Table, drop: Option<&Drop>) -> Option<String> {
    if let Some((_, tool)) = OF_TABLES.iter().find(|(name, _)| *name == table.name) {
        return Some((*tool).to_string());
    }
    if let Some(drop) = drop {
        return of_chain(&drop.chain).map(str::to_string);
    }
    let setters: Vec<&str> = SET_POLICIES.iter().copied().filter(|tool| has_chain_of(table, tool)).collect();
    if setters.is_empty() { None } else { Some(setters.join(" or ")) }
}

fn of_chain(chain: &str) -> Option<&'static str> {
    OF_CHAINS.iter().find(|(start, _)| chain.starts_with(start)).map(|(_, tool)| *tool)
}

fn has_chain_of(table: &Table, tool: &str) -> bool {
    table.chains.keys().any(|chain| of_chain(chain) == Some(tool))
}

/// Commands that let these pass.
pub(super) fn fix(table: &Table, base: &Base, ways: &BTreeSet<Way>) -> String {
    let mut commands = Vec::new();
    for bridge in ways.iter().map(|way| &way.bridge).collect::<BTreeSet<_>>() {
        if table.name == FIREWALLD {
            commands.push(format!("firewall-cmd --permanent --zone=trusted --change-interface={bridge}"));
            continue;
        }
        let is_asked = |outgoing: bool| {
            ways.iter().any(|way| way.bridge == *bridge && (way.traffic == Traffic::Outgoing) == outgoing)
        };
        if is_asked(true) {
            commands.push(accept(table, base, bridge, Side::From));
        }
        if is_asked(false) {
            commands.push(accept(table, base, bridge, Side::To));
        }
    }
    if table.name == FIREWALLD {
        if ways.iter().any(|way| way.traffic != Traffic::Outgoing) {
            commands.extend(FORWARD_TO_TRUSTED.iter().map(ToString::to_string));
        }
        commands.push("firewall-cmd --reload".to_string());
    }
    commands.join(" && ")
}

/// What firewalld forwards is decided by the zone that it comes from, unless a policy says otherwise. A policy cannot
/// have the name of a zone.
const FORWARD_TO_TRUSTED: &[&str] = &[
    "firewall-cmd --permanent --new-policy=to-bowline",
    "firewall-cmd --permanent --policy=to-bowline --set-target=ACCEPT",
    "firewall-cmd --permanent --policy=to-bowline --add-ingress-zone=ANY",
    "firewall-cmd --permanent --policy=to-bowline --add-egress-zone=trusted",
];

#[derive(Debug, Clone, Copy)]
enum Side {
    From,
    To,
}

/// The command of whoever has a place for it in the chain.
fn accept(table: &Table, base: &Base, bridge: &LinkName, side: Side) -> String {
    let (flag, word, way) = match side {
        Side::From => ("-i", "iifname", "in"),
        Side::To => ("-o", "oifname", "out"),
    };
    let iptables = match (table.family, table.legacy) {
        (Family::Ip6, false) => "ip6tables",
        (Family::Ip6, true) => "ip6tables-legacy",
        (Family::Inet | Family::Ip, false) => "iptables",
        (Family::Inet | Family::Ip, true) => "iptables-legacy",
    };
    let is_iptables = table.family != Family::Inet && table.name == "filter" && base.name == "FORWARD";
    if is_iptables && table.chains.contains_key(DOCKER_USER) {
        return format!("{iptables} -I {DOCKER_USER} {flag} {bridge} -j ACCEPT");
    }
    if has_chain_of(table, UFW) {
        return format!("ufw route allow {way} on {bridge}");
    }
    if is_iptables {
        return format!("{iptables} -I FORWARD {flag} {bridge} -j ACCEPT");
    }
    format!("nft 'insert rule {table} {} {word} \"{bridge}\" accept'", base.name)
}
