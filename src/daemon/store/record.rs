//! The records: what a noun of the core looks like on disk. Fields are only ever added, with a default.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use bowline_api::v1;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkRecord {
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub driver: v1::Driver,
    #[serde(default)]
    pub medium: MediumRecord,
    #[serde(default)]
    pub ipam: v1::Ipam,
    pub subnets: Vec<v1::SubnetSpec>,
    #[serde(default)]
    pub routes: Vec<v1::StaticRoute>,
    pub mtu_bytes: u32,
    pub gso: v1::Gso,
    #[serde(default)]
    pub gso_max_bytes: Option<u32>,
    pub internal: bool,
    #[serde(default = "yes")]
    pub dns: bool,
    pub isolation: v1::Isolation,
    pub icc: bool,
    pub masquerade: bool,
    #[serde(default)]
    pub gateway_mode_ipv4: v1::GatewayMode,
    #[serde(default)]
    pub gateway_mode_ipv6: v1::GatewayMode,
    #[serde(default)]
    pub trusted_interfaces: Vec<String>,
    pub bridge: String,
    pub labels: BTreeMap<String, String>,
    pub created_unix_ms: u64,
    /// The namespace that it lives in, if that is not the daemon's own.
    #[serde(default)]
    pub host: Option<v1::NetnsStatus>,
}

/// What a network's members hang on, as far as its driver asks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MediumRecord {
    pub parent: Option<String>,
    /// The parent is this VLAN of that link, and was made by us.
    pub parent_vlan: Option<(String, u16)>,
    pub mode: Option<String>,
    pub flag: Option<String>,
    /// The host's own, each with the prefix length of its subnet.
    pub host_addresses: Vec<String>,
    pub mtu_asked: Option<u32>,
    pub vlan: Option<u16>,
    pub vrf: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointRecord {
    pub id: String,
    pub name: String,
    pub hostname: String,
    pub labels: BTreeMap<String, String>,
    pub cookie: u64,
    #[serde(default)]
    pub path: Option<String>,
    /// Whether the path led there when it was given, as far as we could see.
    #[serde(default = "yes")]
    pub path_seen: bool,
    pub created_unix_ms: u64,
    pub life: Life,
    /// False until it was answered for: a start that finds it so takes it away again.
    #[serde(default = "yes")]
    pub answered: bool,
    /// True while its namespace is being changed: what is inside must be looked at after a crash.
    #[serde(default)]
    pub unsettled: bool,
    /// As after `-p`, all chosen: `127.0.0.1:8080:80/tcp`
    #[serde(default)]
    pub published: Vec<String>,
    #[serde(default = "yes")]
    pub antispoof: bool,
    /// As after `--expose`: what its programs serve.
    #[serde(default)]
    pub exposed: Vec<v1::Expose>,
    #[serde(default)]
    pub dns: v1::DnsWishes,
    /// Its caller's own word for it.
    #[serde(default)]
    pub key: Option<String>,
    /// Of a stopped one: addresses that somebody gave it before us, by network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reserved: Vec<(String, Vec<IpAddr>)>,
    pub interfaces: Vec<InterfaceRecord>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Life {
    Live,
    /// Its namespace is gone; it keeps its name and its fixed addresses.
    Stopped,
    /// To be forgotten once its last interface has left the kernel.
    Removed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceRecord {
    pub network: String,
    pub card: String,
    pub port: String,
    pub mac: String,
    #[serde(default)]
    pub vlan: Option<u16>,
    pub addresses: Vec<String>,
    #[serde(default)]
    pub lease: Option<LeaseRecord>,
    pub gw_priority: i32,
    #[serde(default)]
    pub rate_in_bits_per_s: Option<u64>,
    #[serde(default)]
    pub rate_out_bits_per_s: Option<u64>,
    #[serde(default)]
    pub aliases: Vec<String>,
    /// True where an address was asked for by number, and is kept while the endpoint is stopped.
    #[serde(default)]
    pub fixed: bool,
    #[serde(default)]
    pub inside: InsideRecord,
    pub phase: Phase,
}

/// What a DHCP server gave. Times are milliseconds since the host's boot, after which no record of an endpoint is used; None
/// is never.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRecord {
    pub address: String,
    pub server: Ipv4Addr,
    #[serde(default)]
    pub hop: Option<String>,
    pub routes: Vec<(String, Option<Ipv4Addr>)>,
    pub dns: Vec<Ipv4Addr>,
    pub search: Vec<String>,
    pub mtu_bytes: Option<u32>,
    pub began_ms: Option<u64>,
    pub renew_ms: Option<u64>,
    pub rebind_ms: Option<u64>,
    pub expires_ms: Option<u64>,
}

/// What is set inside besides its addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InsideRecord {
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_default_route: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_route_metric: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<v1::OwnRoute>,
    /// Addresses of others of its namespace on the same network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared: Vec<IpAddr>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
}

fn yes() -> bool {
    true
}

/// Where an interface is on its way. What is Joining when the daemon starts was never answered for, and leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    Joining,
    Live,
    Leaving,
}

/// Addresses that were asked for by number, kept for the endpoint's name on the network while it is stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixedRecord {
    pub network: String,
    pub endpoint: String,
    pub addresses: Vec<IpAddr>,
}
