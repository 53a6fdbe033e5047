//! What host-local gave on this network before we were in its place: files that somebody's containers still live by. They
//! are handed to the daemon with the first container of each boot, and cost nothing where there are none.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::host_local::{Folder, owner};
use crate::{Asked, Result};

/// Says that they were handed over, and in which boot.
const MARK: &str = ".bowline";

#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    found: Vec<(IpAddr, String)>,
    /// Where to say that they are taken over, and what.
    mark: Option<(PathBuf, String)>,
}

pub(crate) fn of(asked: &Asked) -> Result<Leftovers> {
    if asked.config.ipam_type()? != Some("host-local") {
        return Ok(Leftovers::default());
    }
    let folder = Folder::of(asked)?;
    if !folder.path().is_dir() {
        return Ok(Leftovers::default());
    }
    let mark = folder.path().join(MARK);
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    if fs::read_to_string(&mark).is_ok_and(|marked| marked == boot) {
        return Ok(Leftovers::default());
    }
    // Whoever had one before the machine started is gone.
    Ok(Leftovers { found: folder.since(booted())?, mark: Some((mark, boot)) })
}

/// What was taken over for a container goes with it.
pub(crate) fn give_back(asked: &Asked) -> Result<()> {
    match asked.config.ipam_type() {
        Ok(Some("host-local")) => {
            Folder::of(asked)?.release(&owner(&asked.call.container, &asked.call.ifname))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

impl Leftovers {
    pub(crate) fn addresses(&self) -> Vec<(IpAddr, String)> {
        self.found.clone()
    }

    /// The daemon has them. Where that cannot be written down they are handed over again, which changes nothing.
    pub(crate) fn taken_over(&self) {
        if let Some((mark, boot)) = &self.mark {
            drop(fs::write(mark, boot));
        }
    }
}

fn booted() -> SystemTime {
    let text = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = text.split_ascii_whitespace().next().and_then(|word| word.parse::<f64>().ok());
    let up = Duration::from_secs_f64(seconds.unwrap_or_default().max(0.0));
    SystemTime::now().checked_sub(up).unwrap_or(SystemTime::UNIX_EPOCH)
}
