//! Names: what an endpoint asks of its resolver, who is called what, and what was asked and answered.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What an endpoint wants of its resolver, instead of what the host has. Empty where it wants nothing of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DnsWishes {
    /// Asked what no network of its knows, from its own namespace; the host's servers when empty.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub servers: Vec<IpAddr>,
    /// Domains that short names are tried in; `.` alone for none, the host's when empty.
    #[serde(default)]
    pub search: Vec<String>,
    /// Options of resolv.conf, such as `ndots:2`; the host's when empty.
    #[serde(default)]
    pub options: Vec<String>,
    /// Names of its own for others.
    #[serde(default)]
    pub links: Vec<DnsLink>,
}

/// One endpoint's own name for another on a network that both are on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DnsLink {
    /// The other's name, which need not be there yet.
    pub endpoint: String,
    /// What it is called here; by its own name when left out.
    #[serde(default)]
    pub alias: Option<String>,
}

/// The resolver of an endpoint, as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EndpointDns {
    /// Its own servers; empty where the host's are asked.
    #[schema(value_type = Vec<String>)]
    pub servers: Vec<IpAddr>,
    /// The search list that it asked for; empty where it has the host's.
    pub search: Vec<String>,
    /// The options that it asked for; empty where it has the host's.
    pub options: Vec<String>,
    pub links: Vec<DnsLink>,
    /// The text of the /etc/resolv.conf that leads to the resolver.
    pub resolv_conf: String,
}

/// What an endpoint is called on a network. A name may be that of several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DnsName {
    /// It is also found as `name.network`.
    pub name: String,
    pub kind: DnsNameKind,
    pub endpoint: String,
    pub network: String,
    #[schema(value_type = Vec<String>)]
    pub addresses: Vec<IpAddr>,
}

/// Why an endpoint is called so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DnsNameKind {
    /// It is the endpoint's name.
    Endpoint,
    /// It is the endpoint's host name, and not its name as well.
    Hostname,
    /// It is an alias on this network.
    Alias,
    /// It is the start of the endpoint's id.
    Id,
}

/// A name to look up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DnsQuestion {
    /// Who asks, by name or id. When left out, it is answered as by all networks together, and nobody else is asked.
    #[serde(default)]
    pub endpoint: Option<String>,
    pub name: String,
    /// The type of record, such as `A`, `AAAA`, `PTR` or `TYPE65`.
    #[serde(default = "a")]
    pub kind: String,
}

fn a() -> String {
    "A".to_string()
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DnsAnswer {
    /// Such as `NOERROR`, `NXDOMAIN` or `SERVFAIL`.
    pub outcome: String,
    /// The records' data, such as `10.9.0.2`.
    pub answers: Vec<String>,
    /// Who knew: `here`, `cache`, a server such as `192.0.2.53:53`, or `nobody`.
    pub from: String,
    pub took_us: u64,
}

/// One query that was answered, or given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DnsLine {
    /// Counted up from 1 at the start of the daemon.
    pub number: u64,
    /// Milliseconds since 1970, UTC.
    pub time_unix_ms: u64,
    /// Who asked.
    pub endpoint: String,
    /// As it was spelled, without the final dot; `.` for the root.
    pub name: String,
    /// Such as `A` or `TYPE65`.
    pub kind: String,
    /// Such as `NOERROR`, `NXDOMAIN` or `SERVFAIL`.
    pub outcome: String,
    /// The records' data, such as `10.9.0.2`.
    pub answers: Vec<String>,
    /// Who knew: `here`, `cache`, a server such as `192.0.2.53:53`, or `nobody`.
    pub from: String,
    pub took_us: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Flushed {
    /// How many answers of servers were forgotten.
    pub answers: u64,
}
