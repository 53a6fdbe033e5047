//! Who runs in a network namespace that is ours alone, and how all of it is ended.
//! Some programs make themselves nobody's child; where they run is what they cannot leave behind.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use bowline_core::{Code, Error, Result};
use bowline_linux::process::Identity;

const SIGKILL: i32 = 9;
/// A killed process is gone in no time; one that the kernel holds on to longer is a fault worth telling.
const PATIENCE: Duration = Duration::from_secs(10);

/// Kills every process in a namespace, and returns when none is left. The caller's own would end the caller: it is refused.
pub(crate) fn end_all(netns: &OwnedFd) -> Result<()> {
    let here = number(fs::metadata("/proc/self/ns/net"))?;
    let there = number(netns.try_clone().and_then(|fd| File::from(fd).metadata()))?;
    if here == there {
        return Err(Error::new(Code::Internal, "end what runs in a namespace").because("it is our own"));
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        // Again until none is found: one that was killed may have had a child just before.
        let found = in_namespace(there)?;
        if found.is_empty() {
            return Ok(());
        }
        for process in found {
            let left = deadline.saturating_duration_since(Instant::now());
            end(process, there, left)?;
        }
    }
}

fn end(process: Identity, namespace: (u64, u64), patience: Duration) -> Result<()> {
    let Some(held) = process.open()? else { return Ok(()) };
    // Now that its number cannot come to mean another process.
    if of(process.pid) != Some(namespace) {
        return Ok(());
    }
    held.signal(SIGKILL)?;
    if held.wait(Some(patience))? {
        return Ok(());
    }
    Err(Error::new(Code::Timeout, format!("end process {} in a namespace of the bench", process.pid)))
}

fn in_namespace(namespace: (u64, u64)) -> Result<Vec<Identity>> {
    let failed = |e: std::io::Error| Error::new(Code::Internal, "list the processes").because(e);
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if of(pid) == Some(namespace) {
            found.extend(Identity::of(pid));
        }
    }
    Ok(found)
}

/// None for one that has ended.
fn of(pid: u32) -> Option<(u64, u64)> {
    number(fs::metadata(format!("/proc/{pid}/ns/net"))).ok()
}

/// What a namespace's file is known by: no other has it as long as the namespace lives.
fn number(file: std::io::Result<fs::Metadata>) -> Result<(u64, u64)> {
    let file = file.map_err(|e| Error::new(Code::Internal, "look at a namespace").because(e))?;
    Ok((file.dev(), file.ino()))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use bowline_linux::netns;

    use super::*;

    #[test]
    fn all_that_runs_in_a_namespace_is_ended_and_nothing_else() {
        let spaces = [netns::create().unwrap(), netns::create().unwrap()];
        let [mut theirs, mut others] = spaces.each_ref().map(|space| {
            let mut command = Command::new("sleep");
            command.arg("1000").stdin(Stdio::null());
            netns::run(space, move || command.spawn()).unwrap().unwrap()
        });
        let ended = end_all(&spaces[0]);
        let left = others.try_wait();
        others.kill().unwrap();
        others.wait().unwrap();
        ended.unwrap();
        assert!(left.unwrap().is_none(), "another's process was ended");
        assert!(!theirs.wait().unwrap().success());
        end_all(&spaces[0]).unwrap();
    }

    #[test]
    fn our_own_namespace_is_left_alone() {
        let own = netns::current().unwrap();
        assert_eq!(end_all(&own).unwrap_err().code, Code::Internal);
    }
}
