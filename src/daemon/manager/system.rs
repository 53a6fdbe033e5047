//! About the daemon itself: what it is, what it holds, what it wants.

use std::collections::BTreeSet;
use std::fs;

use bowline_api::v1;
use bowline_core::place::Place;
use bowline_core::state::State;
use bowline_core::{Result, driver};

use super::Manager;
use super::attach::among;
use super::hosts::Side;
use super::seat::{Seat, wanted};
use crate::store::Life;

pub fn version() -> v1::Version {
    v1::Version { version: env!("CARGO_PKG_VERSION").to_string(), api: "v1".to_string() }
}

impl Manager {
    pub fn info(&self) -> v1::Info {
        let size = |path: std::path::PathBuf| fs::metadata(path).map(|m| m.len()).unwrap_or(0);
        let networks = self.index.networks();
        let used: u128 = networks.iter().map(|keeper| keeper.lock().addresses_used()).sum();
        v1::Info {
            version: version().version,
            pid: std::process::id(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_string(),
            uptime_s: self.started.elapsed().as_secs(),
            socket: self.paths.socket.display().to_string(),
            state_dir: self.paths.state_dir.display().to_string(),
            run_dir: self.paths.run_dir.display().to_string(),
            config: self.paths.config.display().to_string(),
            networks: networks.len() as u64,
            endpoints: self.index.endpoints().len() as u64,
            addresses_used: u64::try_from(used).unwrap_or(u64::MAX),
            rss_bytes: rss_bytes(),
            run_store_bytes: size(self.paths.run_dir.join("run.redb")),
            state_store_bytes: size(self.paths.state_dir.join("state.redb")),
        }
    }

    pub fn dump(&self) -> v1::Dump {
        let wanted = self.wanted_of_all().to_string();
        v1::Dump {
            version: version(),
            networks: self.networks(),
            endpoints: self.endpoints(),
            wanted: wanted.lines().map(str::to_string).collect(),
        }
    }

    /// Stopped endpoints, with the addresses kept for them, and networks without endpoints.
    pub fn prune(&self) -> Result<v1::Pruned> {
        let mut pruned = v1::Pruned::default();
        for seat in self.index.endpoints() {
            let stopped = seat.lock().life == Life::Stopped;
            if stopped {
                self.remove_endpoint(seat.name.as_str())?;
                pruned.removed.push(seat.name.to_string());
            }
        }
        pruned.removed.extend(self.prune_networks()?.removed);
        Ok(pruned)
    }

    /// Everything, inside containers too.
    fn wanted_of_all(&self) -> State {
        let hosts: BTreeSet<Place> = self.index.networks().iter().map(|keeper| keeper.host).collect();
        let mut state: State = hosts.into_iter().map(|place| self.wanted_of_host(place)).collect();
        for seat in self.index.endpoints() {
            state.extend(self.wanted_of_endpoint(&seat));
        }
        state
    }

    pub(super) fn wanted_of_host(&self, place: Place) -> State {
        let networks: Vec<_> =
            self.index.networks().into_iter().filter(|keeper| keeper.host == place).collect();
        let mut side = Side::default();
        let mut state = State::default();
        for keeper in networks {
            let kept = keeper.lock();
            side = side.with(&kept.network);
            state.extend(driver::network(&kept.network));
        }
        for seat in self.index.endpoints() {
            state.extend(self.wanted_of_endpoint(&seat).within(place));
        }
        state.extend(side.state(place));
        state
    }

    fn wanted_of_endpoint(&self, seat: &Seat) -> State {
        let seated = seat.lock();
        let keepers = self.keepers_of(&seated.endpoint);
        let kept: Vec<_> = keepers.iter().map(|k| k.lock()).collect();
        wanted(&seated.endpoint, among(&kept))
    }
}

/// What the kernel says that this process holds in memory.
fn rss_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
