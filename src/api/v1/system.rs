//! The daemon itself.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Endpoint, Network};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    pub version: String,
    pub api: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`, or `starting` while a hold is alive.
    pub status: String,
    /// What is still to be done before the daemon is ready.
    pub holds: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Info {
    pub version: String,
    pub pid: u32,
    pub kernel: String,
    pub uptime_s: u64,
    pub socket: String,
    pub state_dir: String,
    pub run_dir: String,
    pub config: String,
    pub networks: u64,
    pub endpoints: u64,
    /// Addresses in use over all networks.
    pub addresses_used: u64,
    pub rss_bytes: u64,
    pub run_store_bytes: u64,
    pub state_store_bytes: u64,
}

/// Everything that the daemon remembers, and the state that it wants of the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Dump {
    pub version: Version,
    pub networks: Vec<Network>,
    pub endpoints: Vec<Endpoint>,
    /// One kernel object a line, as wanted.
    pub wanted: Vec<String>,
}

/// What this host can do, and what is wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Checkup {
    /// What kernels may have or not.
    pub features: Vec<Feature>,
    pub checks: Vec<Check>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Feature {
    /// One word, such as `vlan-filtering`
    pub feature: String,
    /// As people call it, such as `VLAN filtering of bridges`
    pub name: String,
    pub has: Has,
    /// Whether bowline does nothing at all without it.
    pub required: bool,
    /// What bowline does with it.
    pub purpose: String,
    /// What the kernel answered, or why it could not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// How the host comes by it, or does without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Has {
    Yes,
    No,
    /// It could not be tried.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// What was looked at, such as `firewall`
    pub about: String,
    pub standing: Standing,
    pub what: String,
    /// A command, or else what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    Well,
    /// It works, and may not for long, or not for all.
    Doubtful,
    Wrong,
    /// It could not be looked at.
    Unknown,
}

/// Where the kernel differs from what is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Drift {
    /// The steps that would put it right.
    pub steps: Vec<String>,
}
