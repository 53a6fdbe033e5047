//! The daemon under test: the real binary, started and ended by the story.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::machine::{Machine, child_of};
use super::said::Said;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_bowline");

pub(crate) struct Daemon {
    /// What waits for it out here, and ends as it does.
    keeper: Child,
    pid: u32,
}

impl Daemon {
    /// Starts it and waits until it says that it is ready; or gives back how it ended.
    pub(crate) fn start(machine: &Machine, log: &Path, args: &[&str]) -> Result<Daemon, Said> {
        let before = fs::metadata(log).map_or(0, |m| m.len());
        let file = File::options().create(true).append(true).open(log).expect("open the daemon's log");
        let mut command = machine.command(None, "bash");
        command.args(["-c", "exec 3>&1 >&2; exec \"$0\" \"$@\"", BINARY]);
        command.args(["daemon", "--ready-fd", "3", "--log", "debug"]).args(args);
        let mut keeper = command.stdout(Stdio::piped()).stderr(file).spawn().expect("start the daemon");
        let mut line = String::new();
        let mut out = BufReader::new(keeper.stdout.take().expect("its output is piped"));
        out.read_line(&mut line).expect("read what the daemon says");
        if line.trim() == "ready" {
            let pid = child_of(keeper.id()).expect("a daemon that is ready runs");
            return Ok(Daemon { keeper, pid });
        }
        out.read_to_string(&mut line).expect("read what the daemon says");
        let mut end = keeper.wait_with_output().expect("wait for the daemon");
        end.stderr = fs::read(log).unwrap_or_default().split_off(usize::try_from(before).unwrap_or(0));
        Err(Said::of(format!("bowline daemon {}", args.join(" ")), &end))
    }

    pub(crate) fn still_runs(&mut self) -> bool {
        matches!(self.keeper.try_wait(), Ok(None))
    }

    /// It answers nobody until it is let go on.
    pub(crate) fn freezes(&self) {
        self.signal("STOP", self.pid);
    }

    /// Whoever waits for it out here stopped as it did, and goes on with it.
    pub(crate) fn goes_on(&self) {
        self.signal("CONT", self.pid);
        self.signal("CONT", self.keeper.id());
    }

    fn signal(&self, signal: &str, pid: u32) {
        let sent = Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "could not send SIG{signal} to {pid}");
    }

    /// Sends a signal and waits for the end: the exit code as a shell has it.
    pub(crate) fn end(mut self, signal: &str) -> i32 {
        use std::os::unix::process::ExitStatusExt;
        drop(
            Command::new("kill")
                .args([format!("-{signal}"), self.pid.to_string()])
                .stderr(Stdio::null())
                .status(),
        );
        let status = self.keeper.wait().expect("wait for the daemon");
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
    }

    /// What its open files are, without the numbers that differ from one to the next.
    pub(crate) fn files(&self) -> BTreeMap<String, usize> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{}/fd", self.pid)).into_iter().flatten().flatten() {
            let Ok(target) = fs::read_link(entry.path()) else { continue };
            let text = target.display().to_string();
            let kind = text.split_once(":[").map_or(text.clone(), |(kind, _)| kind.to_string());
            *files.entry(kind).or_default() += 1;
        }
        files
    }

    /// User and system time, which the kernel counts in hundredths of a second.
    pub(crate) fn cpu(&self) -> Duration {
        let stat =
            fs::read_to_string(format!("/proc/{}/stat", self.pid)).expect("a daemon that runs has one");
        let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect::<Vec<_>>();
        let ticks: u64 = fields[11..13].iter().filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// The network namespaces of its threads: one, and always the same.
    pub(crate) fn namespaces(&self) -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid)).into_iter().flatten().flatten();
        let mut all: Vec<String> = tasks
            .filter_map(|task| fs::read_link(task.path().join("ns/net")).ok())
            .map(|link| link.display().to_string())
            .collect();
        all.sort();
        all.dedup();
        all
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.still_runs() {
            drop(Command::new("kill").args(["-KILL", &self.pid.to_string()]).stderr(Stdio::null()).status());
        }
        drop(self.keeper.wait());
    }
}
