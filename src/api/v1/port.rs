//! Ports of the host that lead to an endpoint's.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    #[default]
    Tcp,
    Udp,
    Sctp,
}

/// A port to be published, or several that follow each other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishSpec {
    /// One address of the host; 0.0.0.0 or :: for all of a family; all of both when left out.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub host_ip: Option<IpAddr>,
    /// Chosen among the free ones when left out. Of more ports than the endpoint's single one, the first free is taken.
    #[serde(default)]
    pub host_port: Option<u16>,
    /// The last of a range of the host's.
    #[serde(default)]
    pub host_port_last: Option<u16>,
    /// The endpoint's.
    pub port: u16,
    /// The last of a range of the endpoint's.
    #[serde(default)]
    pub port_last: Option<u16>,
    #[serde(default)]
    pub protocol: Protocol,
}

/// A port that an endpoint's program listens at: published where all such are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Expose {
    pub port: u16,
    #[serde(default)]
    pub port_last: Option<u16>,
    #[serde(default)]
    pub protocol: Protocol,
}

/// To publish: these. To unpublish: those of the endpoint's that these name; all of them when empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    pub ports: Vec<PublishSpec>,
}

/// A port of the host, or several that follow each other, as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Port {
    pub endpoint: String,
    /// Absent for all addresses of both families.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub host_ip: Option<IpAddr>,
    /// Absent where the endpoint's own port is what is open: on a routed network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_port_last: Option<u16>,
    pub port: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_last: Option<u16>,
    pub protocol: Protocol,
    /// The endpoint's addresses that it leads to.
    #[schema(value_type = Vec<String>)]
    pub addresses: Vec<IpAddr>,
}

/// A port of the host to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PortQuery {
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub host_ip: Option<IpAddr>,
    pub host_port: u16,
    #[serde(default)]
    pub protocol: Protocol,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PortCheck {
    /// Nobody has it: it can be published.
    pub free: bool,
    /// What is published there already.
    pub published: Vec<Port>,
    /// The programs that have it, such as `nginx (pid 812) at 0.0.0.0:8080`, as far as they can be seen.
    pub holders: Vec<String>,
    /// A free one near it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<u16>,
    /// What else on this host drops connections from outside.
    pub obstacles: Vec<Obstacle>,
}

/// A chain of another program's that drops what passes between our networks and the world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Obstacle {
    /// Such as `ip filter`
    pub table: String,
    pub chain: String,
    /// Whose it is, as far as its name tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// What drops: its policy, or a rule.
    pub how: String,
    /// A command that lets our traffic pass.
    pub fix: String,
}

/// The state of the host's firewall, as far as it is about us.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Firewall {
    /// Our tables cannot be changed or flushed by others.
    pub owned: bool,
    /// How many ports, addresses and networks are in our sets and maps.
    pub elements: u64,
    /// The administrator's own rules, as read from the files.
    pub user_rules: Vec<String>,
    /// Why the files are not in force as they are now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_rules_error: Option<String>,
    pub obstacles: Vec<Obstacle>,
}
