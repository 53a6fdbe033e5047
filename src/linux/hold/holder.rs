//! Who holds a port: the sockets that the kernel shows, and the processes that have them open. It is looked up when
//! something has failed already, so it takes its time, though not without end, and never fails itself.

use std::collections::BTreeMap;
use std::fs::{self, read_link};
use std::path::Path;
use std::time::{Duration, Instant};

use bowline_core::port::HostPort;

use super::diag::{self, Seen};

/// A process that has a socket open which is on the port. Where several of one name share a socket, the eldest of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    pub pid: u32,
    pub command: String,
    /// Such as `127.0.0.1:8080`.
    pub at: String,
}

/// A host with very many open files is not searched to its end.
const PATIENCE: Duration = Duration::from_secs(1);
/// More are not named.
const NAMED: usize = 3;

/// The processes that hold a port of the host, as far as can be seen.
pub(crate) fn holders(port: &HostPort) -> Vec<Holder> {
    those_with(&diag::sockets(port))
}

/// Why the port cannot be had, in sentences.
pub(super) fn reasons(port: &HostPort) -> Vec<String> {
    let sockets = diag::sockets(port);
    let holders = those_with(&sockets);
    let mut reasons: Vec<_> = holders.iter().take(NAMED).map(Holder::sentence).collect();
    if let Some(more) = holders.len().checked_sub(NAMED).filter(|more| *more > 0) {
        reasons.push(format!("{more} more hold it too"));
    }
    if !reasons.is_empty() {
        return reasons;
    }
    // What no process has open any more is at its end.
    match sockets.iter().find(|seen| seen.inode == 0) {
        Some(ending) => vec![format!("a connection that is ending holds {}, mostly for a minute", ending.at)],
        None => vec!["a process that cannot be seen holds it".into()],
    }
}

impl Holder {
    fn sentence(&self) -> String {
        format!("{} (pid {}) holds {}", self.command, self.pid, self.at)
    }
}

fn those_with(sockets: &[Seen]) -> Vec<Holder> {
    let wanted: BTreeMap<u32, &Seen> =
        sockets.iter().filter(|s| s.inode != 0).map(|s| (s.inode, s)).collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let deadline = Instant::now() + PATIENCE;
    let mut found = BTreeMap::new();
    for pid in processes() {
        if Instant::now() >= deadline {
            break;
        }
        for seen in open_sockets(pid, deadline).filter_map(|inode| wanted.get(&inode)) {
            let Some(command) = command(pid) else { continue };
            let holder = Holder { pid, command: command.clone(), at: seen.at.to_string() };
            found.entry((seen.inode, command)).or_insert(holder);
        }
    }
    let mut holders: Vec<_> = found.into_values().collect();
    holders.sort();
    holders.dedup();
    holders
}

/// Those that we see, the eldest first as far as numbers tell; ourselves at the end, for we may have very many files.
fn processes() -> Vec<u32> {
    let own = std::process::id();
    let mut pids: Vec<u32> = names(Path::new("/proc")).filter_map(|name| name.parse().ok()).collect();
    pids.sort_by_key(|pid| (*pid == own, *pid));
    pids
}

/// The inodes of the sockets that a process has open; none where it is gone or not ours to look into.
fn open_sockets(pid: u32, deadline: Instant) -> impl Iterator<Item = u32> {
    let files = Path::new("/proc").join(pid.to_string()).join("fd");
    names(&files).take_while(move |_| Instant::now() < deadline).filter_map(move |name| {
        let target = read_link(files.join(name)).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    })
}

fn names(folder: &Path) -> impl Iterator<Item = String> + use<> {
    fs::read_dir(folder).into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok())
}

/// A process names itself as it likes, so a terminal is kept safe from it.
fn command(pid: u32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    let name = String::from_utf8_lossy(&name);
    Some(name.trim_end_matches('\n').chars().map(|c| if c.is_control() { '?' } else { c }).collect())
}
