//! What is written down of a host: what was asked for, once, and how it goes, each time that changes.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::net::IpAddr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::{SystemTime, UNIX_EPOCH};

use bowline_api::v1::{self, Join};
use bowline_linux::process::Identity;
use serde::{Deserialize, Serialize};

use crate::publish::PublishArgs;
use crate::wishes::DnsArgs;

/// spec.json: all that `run` was told, with every relative thing made absolute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Spec {
    pub(super) name: String,
    pub(super) command: Vec<Os>,
    pub(super) wiring: Wiring,
    /// None for the name; on the host's own network, for the host's own.
    pub(super) hostname: Option<String>,
    /// What `--env` adds to the caller's environment.
    pub(super) env: Vec<(Os, Os)>,
    /// Where `--workdir` said to start.
    pub(super) workdir: Option<Os>,
    /// Where `run` was called, and starts otherwise.
    pub(super) called_in: Option<Os>,
    pub(super) user: Option<String>,
    pub(super) add_hosts: Vec<(String, IpAddr)>,
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) ports: PublishArgs,
    #[serde(default)]
    pub(super) resolver: DnsArgs,
    pub(super) detached: bool,
    /// Forget it when the command ends.
    pub(super) remove: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Wiring {
    /// A namespace of its own, on these networks; with a loopback only where there is none.
    Own(Vec<Join>),
    /// The host's own namespace.
    Host,
}

/// state.json: how it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) phase: Phase,
    /// Who watches over it.
    pub(super) supervisor: Process,
    #[serde(default)]
    pub(super) command: Option<Process>,
    /// Its namespace has the name, or is about to get it.
    #[serde(default)]
    pub(super) pinned: bool,
    /// The daemon knows it.
    #[serde(default)]
    pub(super) endpoint: bool,
    #[serde(default)]
    pub(super) interfaces: Vec<v1::Interface>,
    #[serde(default)]
    pub(super) ports: Vec<v1::Port>,
    #[serde(default)]
    pub(super) exit_code: Option<u8>,
    pub(super) created_unix_ms: u64,
    #[serde(default)]
    pub(super) started_unix_ms: Option<u64>,
    #[serde(default)]
    pub(super) finished_unix_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Phase {
    Starting,
    Running,
    Exited,
}

/// A process that may be looked for after it has ended: the start time tells it from a later one of that pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    pub(super) pid: u32,
    /// Clock ticks since boot: field 22 of /proc/PID/stat.
    pub(super) start: u64,
}

impl From<Identity> for Process {
    fn from(identity: Identity) -> Process {
        Process { pid: identity.pid, start: identity.start }
    }
}

impl From<Process> for Identity {
    fn from(process: Process) -> Identity {
        Identity { pid: process.pid, start: process.start }
    }
}

impl State {
    pub(super) fn new(supervisor: Identity) -> State {
        State {
            phase: Phase::Starting,
            supervisor: supervisor.into(),
            command: None,
            pinned: false,
            endpoint: false,
            interfaces: Vec::new(),
            ports: Vec::new(),
            exit_code: None,
            created_unix_ms: now_unix_ms(),
            started_unix_ms: None,
            finished_unix_ms: None,
        }
    }
}

pub(super) fn now_unix_ms() -> u64 {
    // A clock before 1970 is wrong, and no reason to fail.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// Text from a command line: a string in JSON where it is one, else its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Json", into = "Json")]
pub(super) struct Os(pub(super) OsString);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Json {
    Text(String),
    Bytes(Vec<u8>),
}

impl From<Json> for Os {
    fn from(json: Json) -> Os {
        match json {
            Json::Text(text) => Os(text.into()),
            Json::Bytes(bytes) => Os(OsString::from_vec(bytes)),
        }
    }
}

impl From<Os> for Json {
    fn from(os: Os) -> Json {
        match os.0.into_string() {
            Ok(text) => Json::Text(text),
            Err(os) => Json::Bytes(os.as_bytes().to_vec()),
        }
    }
}

impl<T: AsRef<OsStr>> From<T> for Os {
    fn from(text: T) -> Os {
        Os(text.as_ref().to_os_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_of_a_command_line_read_back() {
        for (os, json) in [(Os::from("é"), "\"é\""), (Os(OsString::from_vec(vec![0x61, 0xff])), "[97,255]")]
        {
            assert_eq!(serde_json::to_string(&os).unwrap(), json);
            assert_eq!(serde_json::from_str::<Os>(json).unwrap(), os);
        }
    }
}
