//! What one container's flood does to another's questions and to the daemon's memory.

use std::fs;
use std::thread;

use bowline_core::{Code, Error, Result};

use super::flood::{self, Flood, Kind};
use super::goal::{self, Goal, at_least, at_most};
use super::stage::{RESOLVER, Stage};
use super::steady::{Heard, Steady};
use super::tools::{self, Tools};
use super::{Options, rates};
use crate::figure::Report;

/// A flood, and what is told of it: the others' 99th percentile, and how much of it there truly was.
struct Wave {
    saying: &'static str,
    kinds: &'static [Kind],
    p99: Goal,
    /// Of each kind. A flood that falls short shows nothing, and is not met.
    strength: &'static [Goal],
    samples: &'static str,
}

const SHORTEST: f64 = 0.9;

const WAVES: [Wave; 4] = [
    Wave {
        saying: "junk",
        kinds: &[Kind::Junk],
        p99: at_most("flood_junk_p99", "ms", 5.0),
        strength: &[at_least("flood_junk_rate", "1/s", flood::JUNK as f64 * SHORTEST)],
        samples: "flood_junk",
    },
    Wave {
        saying: "idle connections",
        kinds: &[Kind::Connections],
        p99: at_most("flood_connections_p99", "ms", 5.0),
        strength: &[at_least("flood_connections_opened", "sockets", 0.0)],
        samples: "flood_connections",
    },
    Wave {
        saying: "names that nobody has",
        kinds: &[Kind::Names],
        p99: at_most("flood_names_p99", "ms", 5.0),
        strength: &[at_least("flood_names_rate", "1/s", flood::NAMES as f64 * SHORTEST)],
        samples: "flood_names",
    },
    Wave {
        saying: "all of it at once",
        kinds: &[Kind::Junk, Kind::Connections, Kind::Names],
        p99: at_most("flood_all_p99", "ms", 5.0),
        strength: &[
            at_least("flood_all_junk_rate", "1/s", flood::JUNK as f64 * SHORTEST),
            at_least("flood_all_connections_opened", "sockets", 0.0),
            at_least("flood_all_names_rate", "1/s", flood::NAMES as f64 * SHORTEST),
        ],
        samples: "flood_all",
    },
];

impl Wave {
    fn needs_a_stub(&self) -> bool {
        self.kinds.contains(&Kind::Names)
    }
}

pub(super) fn run(
    stage: &mut Stage,
    tools: &Tools,
    options: &Options,
    report: &mut Report,
    tell: &dyn Fn(&str),
) -> Result<()> {
    bowline_linux::raise_file_limit()?;
    // One that has cached nothing yet, so that what it comes to remember is seen to grow.
    stage.restart()?;
    let stage = &*stage;
    let _stub = tools.nsd.as_deref().map(|program| rates::stub(stage, program)).transpose()?;
    tell(&format!("{} s of one container's questions, undisturbed", options.flood.as_secs()));
    let quiet = watched(stage, options, || Ok(()))?;
    goal::QUIET_P99.percentile(report, &quiet.latencies, 0.99);
    report.samples.insert("quiet", quiet.latencies.len());
    let memory = Memory::of_daemon(stage)?;

    let mut bad = quiet.bad();
    for (number, wave) in WAVES.iter().enumerate() {
        if wave.needs_a_stub() && tools.nsd.is_none() {
            [&wave.p99].into_iter().chain(wave.strength).for_each(|goal| goal.missing(report, tools::NO_NSD));
            continue;
        }
        tell(&format!("{} s of another's {}", options.flood.as_secs(), wave.saying));
        let heard = watched(stage, options, || {
            let harmful = &stage.few.insides[1];
            let floods: Vec<Flood> =
                wave.kinds.iter().map(|kind| Flood::start(harmful, *kind, number)).collect::<Result<_>>()?;
            thread::sleep(options.flood);
            for (flood, goal) in floods.into_iter().zip(wave.strength) {
                goal.measured(report, flood.finish()?);
            }
            Ok(())
        })?;
        bad += heard.bad();
        wave.p99.percentile(report, &heard.latencies, 0.99);
        report.samples.insert(wave.samples, heard.latencies.len());
    }
    goal::FLOOD_LOST.measured(report, bad as f64);
    goal::FLOOD_GROWTH.measured(report, memory.growth()? / f64::from(1 << 20));
    Ok(())
}

/// Another container's questions while something goes on.
fn watched(stage: &Stage, options: &Options, meanwhile: impl FnOnce() -> Result<()>) -> Result<Heard> {
    let names = stage.few.names.iter().map(|(name, _)| name.clone()).collect();
    let steady = Steady::start(&stage.few.insides[2], RESOLVER, names)?;
    let begun = std::time::Instant::now();
    meanwhile()?;
    thread::sleep(options.flood.saturating_sub(begun.elapsed()));
    let heard = steady.finish()?;
    if heard.sent == 0 {
        return Err(Error::new(Code::Internal, "ask at a steady pace").because("nothing was asked"));
    }
    Ok(heard)
}

/// The daemon's memory in use, from when it is first looked at.
struct Memory {
    pid: u32,
    before: u64,
}

impl Memory {
    fn of_daemon(stage: &Stage) -> Result<Memory> {
        let pid = stage.rig.daemon_pid().ok_or_else(|| Error::new(Code::Internal, "there is no daemon"))?;
        // From now on the kernel keeps the peak anew (proc_pid_clear_refs(5)).
        fs::write(format!("/proc/{pid}/clear_refs"), "5").map_err(|e| unread(&e))?;
        Ok(Memory { pid, before: status(pid, "VmRSS:")? })
    }

    /// In bytes, at the most of it.
    fn growth(&self) -> Result<f64> {
        Ok(status(self.pid, "VmHWM:")?.saturating_sub(self.before) as f64)
    }
}

fn status(pid: u32, key: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).map_err(|e| unread(&e))?;
    let kib = text.lines().find_map(|line| line.strip_prefix(key)?.trim().strip_suffix(" kB")?.parse().ok());
    kib.map(|kib: u64| kib * 1024).ok_or_else(|| unread(&format!("there is no {key}")))
}

fn unread(why: &impl std::fmt::Display) -> Error {
    Error::new(Code::Internal, "read the daemon's memory").because(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_process_is_read() {
        let pid = std::process::id();
        let (now, most) = (status(pid, "VmRSS:").unwrap(), status(pid, "VmHWM:").unwrap());
        assert!(now > 1 << 20 && most >= now / 2, "{now} now, {most} at most");
        assert!(status(pid, "VmNothing:").is_err());
    }

    #[test]
    fn every_kind_of_a_wave_has_its_strength_told() {
        for wave in &WAVES {
            assert_eq!(wave.kinds.len(), wave.strength.len(), "{}", wave.saying);
        }
    }
}
