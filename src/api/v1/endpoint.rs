//! Endpoints: a container's namespace with a name, and its interfaces.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{CreateNetwork, DnsWishes, EndpointDns, Expose, Port, PublishSpec};

/// A namespace to be connected to one or more networks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateEndpoint {
    /// 1 to 64 of A-Z a-z 0-9 . _ -
    pub name: String,
    pub netns: Netns,
    /// The name when left out.
    #[serde(default)]
    pub hostname: Option<String>,
    #[serde(default)]
    pub networks: Vec<Join>,
    #[serde(default)]
    pub publish: Vec<PublishSpec>,
    /// Ports that its programs listen at. Others find them by SRV records such as `_80._tcp.web`.
    #[serde(default)]
    pub expose: Vec<Expose>,
    /// Publish every exposed port at a free port of the host.
    #[serde(default)]
    pub publish_all: bool,
    #[serde(default)]
    pub dns: DnsWishes,
    /// Drop what it sends under addresses that are not its own.
    #[serde(default = "yes")]
    pub antispoof: bool,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The caller's own word for it, with a / in it: it is found by this as by its name. No two endpoints have the same.
    /// One whose maker did not wait for the answer is taken away again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Networks to be made where they are not there yet. One that is there must have been made for the same, as its label
    /// `bowline.made-for` says, and with the same subnets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub make: Vec<CreateNetwork>,
}

fn yes() -> bool {
    true
}

impl CreateEndpoint {
    /// The defaults, under a name, on no network yet.
    pub fn named(name: impl Into<String>, netns: Netns) -> CreateEndpoint {
        CreateEndpoint {
            name: name.into(),
            netns,
            hostname: None,
            networks: Vec::new(),
            publish: Vec::new(),
            expose: Vec::new(),
            publish_all: false,
            dns: DnsWishes::default(),
            antispoof: true,
            labels: BTreeMap::new(),
            key: None,
            make: Vec::new(),
        }
    }
}

/// A network namespace, handed over as an open file of the caller's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Netns {
    /// A file descriptor of the calling process, which keeps it open until the answer. The path is opened when left out.
    #[serde(default)]
    pub fd: Option<u32>,
    /// Where the namespace is found again after a restart of the daemon, such as /run/netns/web.
    #[serde(default)]
    pub path: Option<String>,
}

/// What an endpoint asks of one network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// By name or id.
    pub network: String,
    /// The card's name inside; the first free of eth0, eth1, … when left out.
    #[serde(default)]
    pub interface: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub ip: Option<Ipv4Addr>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub ip6: Option<Ipv6Addr>,
    #[serde(default)]
    pub mac: Option<String>,
    /// Its VLAN, on a bridge that filters by VLAN; the network's own when left out.
    #[serde(default)]
    pub vlan: Option<u16>,
    /// More names for it on this network.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// The default route goes by the network with the highest; among equals, by the first joined.
    #[serde(default)]
    pub gw_priority: i32,
    /// The most that reaches it, in bits a second.
    #[serde(default)]
    pub rate_in_bits_per_s: Option<u64>,
    /// The most that it sends, in bits a second.
    #[serde(default)]
    pub rate_out_bits_per_s: Option<u64>,
    /// The namespace, for an endpoint that the daemon cannot find by its path.
    #[serde(default)]
    pub netns: Option<Netns>,
    /// The default route does not go by this network, but for one among `routes`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_default_route: bool,
    /// Of the default route: where several endpoints share a namespace, the lowest goes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_route_metric: Option<u32>,
    /// Routes of its own, by this interface.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<OwnRoute>,
    /// Files below /proc/sys/net of its namespace, such as `net/ipv4/conf/eth0/arp_notify`, and their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
}

/// A route of one endpoint's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnRoute {
    /// Such as 192.0.2.0/24
    pub to: String,
    /// Straight to the link when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub via: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu_bytes: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advmss_bytes: Option<u32>,
    /// The main one when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<u32>,
    /// As the kernel numbers them: 0 the world, 253 the link, 254 the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<u8>,
}

/// Those whose key begins so go, but for those that are named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    pub prefix: String,
    /// Whole keys.
    pub keep: Vec<String>,
}

/// What may change of one interface while it lives. What is left out stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateEndpoint {
    /// Which of its interfaces, by its name inside; it may be left out where there is one only.
    #[serde(default)]
    pub interface: Option<String>,
    #[serde(default)]
    pub mac: Option<String>,
    /// The most that reaches it, in bits a second.
    #[serde(default)]
    pub rate_in_bits_per_s: Option<u64>,
    /// The most that it sends, in bits a second.
    #[serde(default)]
    pub rate_out_bits_per_s: Option<u64>,
    /// Set besides those that it has.
    #[serde(default)]
    pub sysctls: BTreeMap<String, String>,
    /// The namespace, for an endpoint that the daemon cannot find by its path.
    #[serde(default)]
    pub netns: Option<Netns>,
}

/// What to set in a namespace that need not be anybody's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PrepareNetns {
    pub netns: Netns,
    /// Put the loopback up.
    #[serde(default)]
    pub loopback: bool,
    /// Files below /proc/sys/net, and their values.
    #[serde(default)]
    pub sysctls: BTreeMap<String, String>,
}

/// A look at one endpoint in its namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Look {
    /// The namespace, for an endpoint that the daemon cannot find by its path.
    #[serde(default)]
    pub netns: Option<Netns>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Disconnect {
    /// By name or id.
    pub network: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Endpoint {
    pub id: String,
    pub name: String,
    pub hostname: String,
    pub state: EndpointState,
    pub netns: NetnsStatus,
    pub interfaces: Vec<Interface>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// Ports that it said its programs listen at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exposed: Vec<Expose>,
    /// Its resolver; absent where no network of its has DNS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<EndpointDns>,
    #[serde(default = "yes")]
    pub antispoof: bool,
    pub labels: BTreeMap<String, String>,
    /// Its caller's own word for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Milliseconds since 1970, UTC.
    pub created_unix_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EndpointState {
    /// Its namespace is there.
    Live,
    /// Its namespace is gone; fixed addresses are kept for its name.
    Stopped,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetnsStatus {
    /// The kernel's number for the namespace (SO_NETNS_COOKIE), which is never used again.
    pub cookie: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Interface {
    /// The card's name inside.
    pub name: String,
    pub network: String,
    pub network_id: String,
    pub mac: String,
    /// Its VLAN on the bridge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// Each with the prefix length of its subnet.
    pub addresses: Vec<String>,
    /// The gateways of its subnets; empty on an internal network.
    pub gateways: Vec<String>,
    /// True where the default route goes this way.
    pub default_route: bool,
    pub gw_priority: i32,
    pub mtu_bytes: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_in_bits_per_s: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_out_bits_per_s: Option<u64>,
    pub aliases: Vec<String>,
    /// What a DHCP server gave; absent on other networks, and while none is had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// The other end, in the host's namespace.
    pub host_link: String,
    /// The bridge that the other end is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge_mac: Option<String>,
    /// Routes of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<OwnRoute>,
    /// Settings of its own, by their files below /proc/sys.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
}

/// What a DHCP server gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Lease {
    #[schema(value_type = String)]
    pub server: Ipv4Addr,
    /// Milliseconds since 1970, UTC, as are the others; absent where it has no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renews_unix_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebinds_unix_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_unix_ms: Option<u64>,
    /// The name servers that it told of.
    #[schema(value_type = Vec<String>)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<Ipv4Addr>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
}
