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

/// Where the kernel differs from what is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Drift {
    /// The steps that would put it right.
    pub steps: Vec<String>,
}
