//! What happened, one line of JSON each.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Milliseconds since 1970, UTC.
    pub time_unix_ms: u64,
    pub kind: EventKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// More, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    NetworkCreated,
    NetworkUpdated,
    NetworkRemoved,
    EndpointCreated,
    EndpointRemoved,
    EndpointStopped,
    Connected,
    Disconnected,
    Published,
    Unpublished,
    /// The link that a network hangs on came, went, is up, down or has another name.
    ParentChanged,
    /// A DHCP server gave an address, or another than before.
    Leased,
    /// A lease ended, and its address was taken away.
    LeaseLost,
    /// Something was changed by another hand and put right.
    Healed,
    /// The reader was too slow: some events before this one are missing.
    Missed,
}
