//! dnsperf run in a container, and its words taken strictly: a line that is not as it was leaves no figure.

use std::fs::{self, File};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use bowline_core::{Code, Error, Result};
use bowline_linux::netns;
use bowline_linux::process::Identity;

/// As the goals are set: four clients with a hundred questions outstanding.
const LOAD: [&str; 4] = ["-c", "4", "-q", "100"];
/// It waits five seconds for what is lost, after its own time is up.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(super) struct Dnsperf {
    program: PathBuf,
    /// For what it says.
    dir: PathBuf,
}

/// How often the list of names is gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    Once,
    Again,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Run {
    /// Good answers a second: refusals and failures are answers too, but none that count.
    pub(super) rate: f64,
    /// Of all answers, on average, in milliseconds.
    pub(super) latency: f64,
    pub(super) sent: u64,
    pub(super) lost: u64,
    /// Answers that were refusals or failures.
    pub(super) wrong: u64,
}

impl Dnsperf {
    pub(super) fn new(program: &Path, dir: &Path) -> Dnsperf {
        Dnsperf { program: program.to_path_buf(), dir: dir.to_path_buf() }
    }

    pub(super) fn run(
        &self,
        inside: &OwnedFd,
        server: IpAddr,
        names: &Path,
        pass: Pass,
        stretch: Duration,
    ) -> Result<Run> {
        let what = format!("run dnsperf against {server}");
        let failed = |e: std::io::Error| Error::new(Code::Internal, what.clone()).because(e);
        // To a file: it tells of each query that is lost, and would wait for a pipe that nobody empties.
        let said = self.dir.join("dnsperf");
        let out = File::create(&said).map_err(failed)?;
        let err = out.try_clone().map_err(failed)?;
        let mut command = Command::new(&self.program);
        command.args(["-s", &server.to_string(), "-d"]).arg(names).args(LOAD);
        command.args(["-l", &stretch.as_secs().max(1).to_string()]);
        match pass {
            Pass::Once => drop(command.args(["-n", "1"])),
            Pass::Again => (),
        }
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        let mut child = netns::run(inside, move || command.spawn())?.map_err(failed)?;
        let in_time = match Identity::of(child.id()).map(Identity::open).transpose()?.flatten() {
            Some(process) => process.wait(Some(stretch + PATIENCE))?,
            // It has ended already.
            None => true,
        };
        if !in_time {
            child.kill().map_err(failed)?;
        }
        let status = child.wait().map_err(failed)?;
        let text = fs::read_to_string(&said).map_err(failed)?;
        if !in_time || !status.success() {
            let last: Vec<&str> = text.lines().rev().take(3).collect();
            let why = if in_time { status.to_string() } else { "it did not end".to_string() };
            return Err(Error::new(Code::Internal, what).because(format!("{why}: {}", last.join("; "))));
        }
        parse(&text).map_err(|why| Error::new(Code::Internal, what).because(why))
    }
}

/// What dnsperf 2.x prints at the end.
fn parse(text: &str) -> Result<Run, String> {
    let (_, text) = text.split_once("\nStatistics:\n").ok_or("it printed no statistics")?;
    let [sent, completed, lost] =
        ["Queries sent:", "Queries completed:", "Queries lost:"].map(|key| first::<u64>(text, key));
    let (sent, completed, lost) = (sent?, completed?, lost?);
    let rate: f64 = first(text, "Queries per second:")?;
    let latency: f64 = first(text, "Average Latency (s):")?;
    let codes = line(text, "Response codes:")?;
    let mut good = 0;
    let mut all = 0;
    for code in codes.split(", ").filter(|code| !code.is_empty()) {
        let mut words = code.split_whitespace();
        let (name, count) = (words.next(), words.next().and_then(|count| count.parse::<u64>().ok()));
        let (Some(name), Some(count)) = (name, count) else {
            return Err(format!("the response codes are unreadable: {codes:?}"));
        };
        all += count;
        if name == "NOERROR" {
            good += count;
        }
    }
    // A query may be cut off where the run ends; none may be counted twice.
    if all != completed || completed + lost > sent {
        return Err(format!(
            "{sent} sent, {completed} completed, {lost} lost, {all} answers: it does not add up"
        ));
    }
    if completed == 0 || !rate.is_finite() || !latency.is_finite() {
        return Err(format!("nothing was answered: {sent} sent, {lost} lost"));
    }
    let share = good as f64 / completed as f64;
    Ok(Run { rate: rate * share, latency: latency * 1000.0, sent, lost, wrong: completed - good })
}

/// The rest of the only line that begins so.
fn line<'a>(text: &'a str, key: &str) -> Result<&'a str, String> {
    let mut found = text.lines().filter_map(|line| line.trim().strip_prefix(key));
    match (found.next(), found.next()) {
        (Some(rest), None) => Ok(rest.trim()),
        (Some(_), Some(_)) => Err(format!("it printed {key:?} more than once")),
        (None, _) => Err(format!("it did not print {key:?}")),
    }
}

fn first<T: std::str::FromStr>(text: &str, key: &str) -> Result<T, String> {
    let rest = line(text, key)?;
    let number = rest.split_whitespace().next().and_then(|word| word.parse().ok());
    number.ok_or_else(|| format!("{key:?} is followed by {rest:?}, which is no number"))
}

#[cfg(test)]
mod tests;
