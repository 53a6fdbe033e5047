//! Networks, as asked for and as they are.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Netns, NetnsStatus};

/// A network to be made. Only the name is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateNetwork {
    /// 1 to 64 of A-Z a-z 0-9 . _ -
    pub name: String,
    #[serde(default)]
    pub driver: Driver,
    /// The link of the host's that members hang on: eth0, or eth0.10 for a VLAN of it, which is made when missing.
    /// With the bridge driver, a bridge that is there already and stays as it is.
    #[serde(default)]
    pub parent: Option<String>,
    /// Of macvlan: bridge, private, vepa or passthru. Of ipvlan: l2, l3 or l3s.
    #[serde(default)]
    pub mode: Option<String>,
    /// Of ipvlan: bridge, private or vepa.
    #[serde(default)]
    pub flag: Option<String>,
    /// The host reaches members of a macvlan or ipvlan network, by a card of its own on the parent.
    #[serde(default)]
    pub host_access: bool,
    /// The VLAN of members that do not say, on a bridge.
    #[serde(default)]
    pub vlan: Option<u16>,
    /// The routing domain (VRF) that the bridge belongs to. It is refused: see docs/bridges.md.
    #[serde(default)]
    pub vrf: Option<String>,
    #[serde(default)]
    pub ipam: Ipam,
    /// One or more prefixes, of either family; chosen from the default pools when empty.
    #[serde(default)]
    pub subnets: Vec<SubnetSpec>,
    /// Choose an IPv4 subnet when none is given.
    #[serde(default = "yes")]
    pub ipv4: bool,
    /// Choose an IPv6 subnet when none is given.
    #[serde(default)]
    pub ipv6: bool,
    /// Destinations that members reach by a router on the network.
    #[serde(default)]
    pub routes: Vec<StaticRoute>,
    /// The uplink's MTU when left out.
    #[serde(default)]
    pub mtu_bytes: Option<u32>,
    /// Members reach one another and nothing else.
    #[serde(default)]
    pub internal: bool,
    #[serde(default)]
    pub isolation: Isolation,
    /// Members reach one another.
    #[serde(default = "yes")]
    pub icc: bool,
    /// Members leave under the host's address.
    #[serde(default = "yes")]
    pub masquerade: bool,
    #[serde(default)]
    pub gateway_mode_ipv4: GatewayMode,
    #[serde(default)]
    pub gateway_mode_ipv6: GatewayMode,
    /// Cards of the host: what comes by them may open connections to every port of members.
    #[serde(default)]
    pub trusted_interfaces: Vec<String>,
    #[serde(default)]
    pub gso: Gso,
    /// Members find one another by name.
    #[serde(default = "yes")]
    pub dns: bool,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The namespace that the network is made in; the daemon's own when left out. Its path is how it is found again.
    #[serde(default)]
    pub host_netns: Option<Netns>,
    /// The bridge's name in the host's namespace; made of the network's when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
    /// Made with an endpoint: addresses that others have already. Each is kept under a key until that is removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reserved: Vec<Reservation>,
    /// Made with an endpoint: subnets that a network which is there does not have are added to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub grows: bool,
}

/// Addresses that somebody has who is not ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reservation {
    /// Of the stopped endpoint that they are kept for.
    pub name: String,
    pub key: String,
    #[schema(value_type = Vec<String>)]
    pub addresses: Vec<IpAddr>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// A bridge of the host's, and a veth pair for each member.
    #[default]
    Bridge,
    /// Cards with MACs of their own on a link of the host's.
    Macvlan,
    /// Cards that share the MAC of a link of the host's.
    Ipvlan,
    /// Two members, and a wire between them that nobody else is on.
    P2p,
    /// A namespace with a loopback and nothing else: the network named `none`.
    None,
    /// The host's own namespace: the network named `host`.
    Host,
}

/// Who chooses members' addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Ipam {
    /// The daemon, from the network's subnets.
    #[default]
    Pools,
    /// A DHCP server that the members reach.
    Dhcp,
    /// Nobody.
    None,
}

/// The link that the members of a network hang on, as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ParentState {
    Up,
    /// It is there, and set down or without a carrier.
    Down,
    /// Members have no card until it is back.
    Missing,
}

/// Who may open connections to members from outside the network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// Anybody with a route.
    Open,
    /// Anybody, to published ports only.
    #[default]
    Published,
    /// Published ports, but no other network of this host's.
    Strict,
}

/// How members are reached from outside, and reach it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GatewayMode {
    /// By published ports of the host; outside, they appear under the host's address.
    #[default]
    Nat,
    /// As nat, and everybody with a route reaches every port.
    NatUnprotected,
    /// By their own addresses, as far as their ports are published; no address is translated.
    Routed,
    /// Not at all, nor has the host an address on the bridge. For internal networks.
    Isolated,
}

/// Super-packets larger than 64 KiB between members (BIG TCP).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Gso {
    /// On where no slower uplink pays for it.
    #[default]
    Auto,
    On,
    Off,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubnetSpec {
    /// Such as 10.9.0.0/24 or fd00:9::/64
    pub cidr: String,
    /// When left out: the first address of a bridge of ours, but none with gateway mode `isolated`; of anything else none.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub gateway: Option<IpAddr>,
    /// The part that addresses are chosen from: a prefix, or FIRST-LAST.
    #[serde(default)]
    pub ip_range: Option<String>,
    /// Addresses that belong to something else, by name.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub aux_addresses: BTreeMap<String, IpAddr>,
}

/// A destination, and the address on the network that leads there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StaticRoute {
    /// Such as 192.0.2.0/24
    pub to: String,
    #[schema(value_type = String)]
    pub via: IpAddr,
}

/// What may change while endpoints are connected. What is left out stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateNetwork {
    #[serde(default)]
    pub internal: Option<bool>,
    #[serde(default)]
    pub isolation: Option<Isolation>,
    #[serde(default)]
    pub icc: Option<bool>,
    #[serde(default)]
    pub masquerade: Option<bool>,
    #[serde(default)]
    pub trusted_interfaces: Option<Vec<String>>,
    #[serde(default)]
    pub mtu_bytes: Option<u32>,
    /// Replaces all labels.
    #[serde(default)]
    pub labels: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Network {
    pub id: String,
    pub name: String,
    pub driver: Driver,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Of a network that has a parent: whether its members' frames have a way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_state: Option<ParentState>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flag: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub host_access: bool,
    /// The host's own addresses on the network, where host access is on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_addresses: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vrf: Option<String>,
    #[serde(default)]
    pub ipam: Ipam,
    pub subnets: Vec<SubnetStatus>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<StaticRoute>,
    pub mtu_bytes: u32,
    pub internal: bool,
    pub isolation: Isolation,
    pub icc: bool,
    pub masquerade: bool,
    #[serde(default)]
    pub gateway_mode_ipv4: GatewayMode,
    #[serde(default)]
    pub gateway_mode_ipv6: GatewayMode,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusted_interfaces: Vec<String>,
    pub gso: Gso,
    /// The super-packet size in force; absent where it is the kernel's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gso_max_bytes: Option<u32>,
    /// Members find one another by name.
    #[serde(default)]
    pub dns: bool,
    /// The bridge's name in the host's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
    pub labels: BTreeMap<String, String>,
    /// Milliseconds since 1970, UTC.
    pub created_unix_ms: u64,
    /// The namespace that it lives in; absent where that is the daemon's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_netns: Option<NetnsStatus>,
    pub endpoints: Vec<Member>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubnetStatus {
    pub cidr: String,
    /// Absent where nobody leads out of it, and none was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub gateway: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_range: Option<String>,
    #[schema(value_type = BTreeMap<String, String>)]
    pub aux_addresses: BTreeMap<String, IpAddr>,
    /// Addresses in use, the gateway's among them where there is one.
    pub used: u64,
    /// Addresses that a member could have; the largest number that JSON carries exactly where there are more.
    pub size: u64,
}

/// An endpoint as its network sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Member {
    pub id: String,
    pub name: String,
    pub interface: String,
    pub addresses: Vec<String>,
    pub mac: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pruned {
    /// The names of what was removed.
    pub removed: Vec<String>,
}

/// What a dry run would do, a step a line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Plan {
    pub steps: Vec<String>,
}

fn yes() -> bool {
    true
}

impl CreateNetwork {
    /// The defaults, under a name.
    pub fn named(name: impl Into<String>) -> CreateNetwork {
        CreateNetwork {
            name: name.into(),
            driver: Driver::Bridge,
            parent: None,
            mode: None,
            flag: None,
            host_access: false,
            vlan: None,
            vrf: None,
            ipam: Ipam::Pools,
            subnets: Vec::new(),
            ipv4: true,
            ipv6: false,
            routes: Vec::new(),
            mtu_bytes: None,
            internal: false,
            isolation: Isolation::Published,
            icc: true,
            masquerade: true,
            gateway_mode_ipv4: GatewayMode::Nat,
            gateway_mode_ipv6: GatewayMode::Nat,
            trusted_interfaces: Vec::new(),
            gso: Gso::Auto,
            dns: true,
            labels: BTreeMap::new(),
            host_netns: None,
            bridge: None,
            reserved: Vec::new(),
            grows: false,
        }
    }
}

impl SubnetStatus {
    pub fn is_ipv6(&self) -> bool {
        self.cidr.contains(':')
    }
}

impl SubnetSpec {
    pub fn new(cidr: impl Into<String>) -> SubnetSpec {
        SubnetSpec { cidr: cidr.into(), gateway: None, ip_range: None, aux_addresses: BTreeMap::new() }
    }
}
