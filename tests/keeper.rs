//! The keeper as a process of its own: the real program, started by a daemon's side that runs here, and killed.

use std::fs;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bowline_core::Code;
use bowline_linux::keeper::{Client, Keeper, Kept};
use tempfile::TempDir;

use crate::support::{signal, until};

const BINARY: &str = env!("CARGO_BIN_EXE_bowline");

/// A run directory, and the keeper that is to end with the test.
struct Home(TempDir);

impl Home {
    fn new() -> Home {
        Home(tempfile::Builder::new().prefix("bowline-").tempdir().unwrap())
    }

    fn daemon(&self) -> (Keeper, Kept) {
        let (client, kept) = Client::open(self.0.path(), Path::new(BINARY));
        (Keeper::Process(client), kept)
    }

    /// The keeper of this directory, if it runs.
    fn keeper(&self) -> Option<u32> {
        let numbers = fs::read_dir("/proc").unwrap().flatten();
        let pids = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.into_iter().find(|pid| {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<&[u8]> = words.split(|byte| *byte == 0).collect();
            words.contains(&&b"keeper"[..]) && words.contains(&self.0.path().as_os_str().as_encoded_bytes())
        })
    }

    fn socket(&self) -> PathBuf {
        self.0.path().join("keeper.sock")
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(pid) = self.keeper() {
            signal("KILL", pid);
        }
    }
}

fn socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

fn names(kept: &Kept) -> Vec<&str> {
    kept.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn a_keeper_is_nobodys_child_and_has_nothing_but_what_it_keeps() {
    let home = Home::new();
    let (daemon, _) = home.daemon();
    assert_eq!(home.keeper(), None, "there is nothing to keep");
    let _not_for_it = socket();
    daemon.keep("dns-1", &[socket().as_fd()]).unwrap();
    daemon.settle().unwrap();
    let pid = home.keeper().expect("it was started");
    let file = |name: &str| format!("/proc/{pid}/{name}");
    assert_eq!(fs::read_to_string(file("comm")).unwrap(), "bowline-keeper\n");
    assert!(fs::read(file("cmdline")).unwrap().starts_with(b"bowline\0keeper\0"), "as ps shows it");
    assert_eq!(fs::read_link(file("cwd")).unwrap(), Path::new("/"));
    assert_eq!(fs::read_dir(file("task")).unwrap().count(), 1, "it has no threads");
    let stat = fs::read_to_string(file("stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let own_session = fs::read_to_string("/proc/self/stat").unwrap();
    let own_session = own_session.rsplit_once(')').unwrap().1.split_whitespace().nth(3).unwrap().to_string();
    assert_ne!(fields[1], std::process::id().to_string(), "its parent");
    assert_ne!(fields[3], own_session, "its session");
    let mut files: Vec<String> = fs::read_dir(file("fd"))
        .unwrap()
        .map(|entry| fs::read_link(entry.unwrap().path()).unwrap().display().to_string())
        .map(|target| target.split_once(":[").map_or(target.clone(), |(kind, _)| kind.to_string()))
        .collect();
    files.sort();
    // It listens, hears the daemon, keeps one, and has the directory locked.
    let dir = home.0.path().display().to_string();
    let mut wanted = ["/dev/null", "/dev/null", "/dev/null", &dir, "socket", "socket", "socket"];
    wanted.sort_unstable();
    assert_eq!(files, wanted);
    daemon.forget("dns-1").unwrap();
    drop(daemon);
    until("a keeper that nobody needs to end", || home.keeper().is_none().then_some(()));
    assert!(!home.socket().exists());
}

#[test]
fn a_keeper_that_is_killed_has_a_successor_that_keeps_all_though_nobody_asks() {
    let home = Home::new();
    let (daemon, _) = home.daemon();
    for name in ["dns-1", "dns-2"] {
        daemon.keep(name, &[socket().as_fd()]).unwrap();
    }
    daemon.settle().unwrap();
    let first = home.keeper().unwrap();
    signal("KILL", first);
    // As soon as it has all, the daemon may go too.
    until("it has all", || (names(&home.daemon().1) == ["dns-1", "dns-2"]).then_some(()));
    daemon.keep("dns-3", &[socket().as_fd()]).unwrap();
    drop(daemon);
    assert_eq!(names(&home.daemon().1), ["dns-1", "dns-2", "dns-3"]);
}

#[test]
fn a_keeper_that_is_found_dead_is_replaced_before_the_next_is_kept() {
    let home = Home::new();
    let (daemon, _) = home.daemon();
    let mut before = None;
    for name in ["dns-1", "dns-2", "dns-3"] {
        daemon.keep(name, &[socket().as_fd()]).unwrap();
        let pid = until("a keeper", || home.keeper().filter(|pid| Some(*pid) != before));
        signal("KILL", pid);
        before = Some(pid);
    }
    daemon.keep("dns-4", &[socket().as_fd()]).unwrap();
    daemon.settle().unwrap();
    drop(daemon);
    assert_eq!(names(&home.daemon().1), ["dns-1", "dns-2", "dns-3", "dns-4"]);
}

#[test]
fn a_keeper_that_is_stopped_keeps_nobody_waiting_for_long() {
    let home = Home::new();
    let (daemon, _) = home.daemon();
    daemon.keep("dns-1", &[socket().as_fd()]).unwrap();
    daemon.settle().unwrap();
    let pid = home.keeper().unwrap();
    signal("STOP", pid);
    let begun = Instant::now();
    daemon.keep("dns-2", &[socket().as_fd()]).expect("it can hear later");
    let (next, kept) = home.daemon();
    assert!(kept.is_empty());
    let first = next.keep("dns-3", &[socket().as_fd()]).unwrap_err();
    assert_eq!(
        (first.code, next.keep("dns-4", &[socket().as_fd()]).unwrap_err().code),
        (Code::Timeout, Code::Timeout)
    );
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    signal("CONT", pid);
    daemon.settle().unwrap();
    assert_eq!(names(&home.daemon().1), ["dns-1", "dns-2"]);
}

/// It speaks the protocol by itself, and kills itself between two messages, with answers unread.
const DAEMON: &str = r#"
import os, signal, socket, sys
line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
line.connect(sys.argv[1])
line.send(b"\x01\x04")
for number in range(60):
    kept = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    socket.send_fds(line, [b"\x01\x02late-%02d" % number], [kept.fileno()])
os.kill(os.getpid(), signal.SIGKILL)
"#;

#[test]
fn what_a_killed_daemon_had_said_is_done() {
    let home = Home::new();
    let (daemon, _) = home.daemon();
    daemon.keep("early", &[socket().as_fd()]).unwrap();
    daemon.settle().unwrap();
    let status = Command::new("python3").args(["-c", DAEMON]).arg(home.socket()).status().unwrap();
    assert!(!status.success(), "it was to be killed");
    drop(daemon);
    assert_eq!(home.daemon().1.len(), 61);
}
