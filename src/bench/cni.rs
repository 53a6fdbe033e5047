//! `bench cni`: the whole of a plugin's call as a runtime sees it (started, fed, waited for, its answer parsed), for a
//! namespace that is there and one published port, beside the reference plugins in the same run.

mod caller;

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use bowline_core::{Code, Error, Result};
use bowline_linux::netns;
use serde_json::{Value, json};

use crate::figure::{Figure, Report, ms, percentile};
use crate::rig::{Rig, namespaces};
use caller::{Caller, Verb};

#[derive(Debug, Clone)]
pub struct Options {
    /// Containers on the large host.
    pub containers: usize,
    pub callers: usize,
    /// How often each side has its turn.
    pub rounds: usize,
    /// Where the reference plugins are.
    pub reference: PathBuf,
}

/// Containers on the small host, and calls of one round.
const EACH: usize = 10;
/// Of the reference, whose calls take some ten times as long.
const REFERENCE_EACH: usize = 2;
/// For each of the callers who call at once.
const AT_ONCE: usize = 50;

impl Options {
    pub fn full() -> Options {
        Options { containers: 1000, callers: 8, rounds: 30, reference: "/usr/lib/cni".into() }
    }

    pub fn quick() -> Options {
        Options { containers: 200, rounds: 8, ..Options::full() }
    }
}

/// What one side took, verb by verb.
#[derive(Default)]
struct Took {
    add: Vec<Duration>,
    check: Vec<Duration>,
    del: Vec<Duration>,
}

pub fn run(options: &Options, tell: &dyn Fn(&str)) -> Result<Report> {
    let mut report = Report::new("cni");
    let (small, large) = (Host::new("10.9.0.0/16")?, Host::new("10.10.0.0/16")?);
    tell(&format!("connecting {EACH} and {} containers", options.containers));
    let others = [namespaces(EACH)?, namespaces(options.containers)?];
    for (host, others) in [&small, &large].into_iter().zip(&others) {
        for (n, netns) in others.iter().enumerate() {
            host.caller.call(Verb::Add, &format!("there{n}"), port(10_000, n), netns)?;
        }
    }
    let reference = Reference::found(options)?;
    let fresh = namespaces(EACH)?;
    tell(&format!("{} rounds of {EACH} containers on each, beside the reference", options.rounds));
    let (mut few, mut many, mut theirs) = (Took::default(), Took::default(), Took::default());
    for _ in 0..options.rounds {
        for (host, took) in [(&small, &mut few), (&large, &mut many)] {
            let used = host.rig.used("bench")?;
            host.caller.round(&fresh, &[Verb::Check], took)?;
            host.rig.settle("bench", used)?;
        }
        if let Some(reference) = &reference {
            // Its portmap, as Debian has it, fails to CHECK a port that has no IPv6 address to go to.
            reference.caller.round(&fresh[..REFERENCE_EACH], &[], &mut theirs)?;
        }
    }
    tell_of(&mut report, &few, &many);
    compare(&mut report, &few, &theirs);
    drop(large);
    tell(&format!("{} callers adding {AT_ONCE} each", options.callers));
    let rate = at_once(&small, options.callers)?;
    report.samples.insert("at_once", options.callers * AT_ONCE);
    report.figures.insert("adds_at_once", Figure::at_least(rate, "1/s", 300.0));
    Ok(report)
}

fn tell_of(report: &mut Report, few: &Took, many: &Took) {
    let at = |samples: &[Duration], share| ms(percentile(samples, share));
    let add = at(&few.add, 0.5);
    report.samples.extend([("add", few.add.len()), ("check", few.check.len()), ("del", few.del.len())]);
    report.samples.insert("add_large", many.add.len());
    report.figures.extend([
        ("add_p50", Figure::at_most(add, "ms", 3.0)),
        ("add_p99", Figure::at_most(at(&few.add, 0.99), "ms", 8.0)),
        ("add_p50_1000_over_10", Figure::at_most(at(&many.add, 0.5) / add, "ratio", 1.2)),
        ("check_p50", Figure::at_most(at(&few.check, 0.5), "ms", 2.0)),
        ("del_p50", Figure::at_most(at(&few.del, 0.5), "ms", 3.0)),
        ("del_p50_large", Figure::at_most(at(&many.del, 0.5), "ms", 3.0)),
    ]);
}

/// The reference's figures, whose goal is ours: it is to take as long at least.
fn compare(report: &mut Report, ours: &Took, theirs: &Took) {
    const MISSING: &str = "install the reference plugins (package containernetworking-plugins)";
    report.samples.insert("reference", theirs.add.len());
    for (name, ours, theirs) in
        [("reference_add_p50", &ours.add, &theirs.add), ("reference_del_p50", &ours.del, &theirs.del)]
    {
        let [ours, value] = [ours, theirs].map(|samples| ms(percentile(samples, 0.5)));
        let figure = match theirs.is_empty() {
            true => Figure::not_measured("ms", ours, MISSING),
            false => Figure::at_least(value, "ms", ours),
        };
        report.figures.insert(name, figure);
    }
}

/// Many callers on one network, each with containers of its own.
fn at_once(host: &Host, callers: usize) -> Result<f64> {
    let spaces = namespaces(callers * AT_ONCE)?;
    let begun = Instant::now();
    let done: Vec<Result<()>> = thread::scope(|scope| {
        let each = spaces.chunks(AT_ONCE).enumerate().map(|(c, mine)| {
            let add = move |n: usize, netns| {
                host.caller.call(Verb::Add, &format!("once{c}-{n}"), port(20_000, c * AT_ONCE + n), netns)
            };
            scope.spawn(move || mine.iter().enumerate().try_for_each(|(n, netns)| add(n, netns).map(drop)))
        });
        let each: Vec<_> = each.collect();
        each.into_iter().map(|caller| caller.join().expect("a caller does not panic")).collect()
    });
    let took = begun.elapsed();
    done.into_iter().collect::<Result<()>>()?;
    Ok(spaces.len() as f64 / took.as_secs_f64())
}

fn port(first: u16, n: usize) -> u16 {
    first + u16::try_from(n).expect("there are fewer containers than ports")
}

/// A daemon, and the program as its plugin.
struct Host {
    rig: Rig,
    caller: Caller,
}

impl Host {
    fn new(subnet: &str) -> Result<Host> {
        let rig = Rig::new()?;
        let bin = rig.dir().join("bin");
        let program = fs::read_link("/proc/self/exe").and_then(|program| {
            fs::create_dir_all(&bin)?;
            symlink(program, bin.join("bowline-cni"))
        });
        program.map_err(|e| failed("link the program as a plugin", &e))?;
        let plugin = json!({
            "type": "bowline-cni", "bridge": "bench0", "capabilities": {"portMappings": true},
            "ipam": {"type": "host-local", "ranges": [[{"subnet": subnet}]]},
        });
        let caller = Caller::new(rig.host(), rig.dir(), bin, vec![plugin])?;
        Ok(Host { rig, caller })
    }
}

/// The reference's chain in a host namespace of its own. Its files go with it.
struct Reference {
    caller: Caller,
    dir: PathBuf,
}

impl Reference {
    /// None where it is not installed.
    fn found(options: &Options) -> Result<Option<Reference>> {
        let all = ["bridge", "host-local", "portmap"];
        if !all.iter().all(|name| options.reference.join(name).is_file()) {
            return Ok(None);
        }
        let dir = PathBuf::from(format!("/run/bowline-bench-{}-reference", std::process::id()));
        fs::create_dir_all(&dir).map_err(|e| failed("make a directory for the reference", &e))?;
        let host = netns::create()?;
        bowline_linux::process::raise_loopback(&host)?;
        let plugins = reference_chain(&dir);
        let caller = Caller::new(&host, &dir, options.reference.clone(), plugins)?;
        Ok(Some(Reference { caller, dir }))
    }
}

fn reference_chain(dir: &Path) -> Vec<Value> {
    vec![
        json!({
            "type": "bridge", "bridge": "bench0", "isDefaultGateway": true, "ipMasq": true,
            "ipam": {"type": "host-local", "dataDir": dir, "ranges": [[{"subnet": "10.9.0.0/24"}]]},
        }),
        json!({"type": "portmap", "capabilities": {"portMappings": true}}),
    ]
}

impl Drop for Reference {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            eprintln!("bowline: remove {}: {error}", self.dir.display());
        }
    }
}

impl Caller {
    /// The life of a container at a time: added to the namespaces one by one, looked at by these verbs, deleted.
    fn round(&self, fresh: &[OwnedFd], looks: &[Verb], took: &mut Took) -> Result<()> {
        let name = |n| format!("round{n}");
        let mut results = Vec::new();
        for (n, netns) in fresh.iter().enumerate() {
            let (result, time) = self.call(Verb::Add, &name(n), port(8000, n), netns)?;
            took.add.push(time);
            results.push(result);
        }
        for &verb in looks.iter().chain(&[Verb::Del]) {
            let times = if verb == Verb::Check { &mut took.check } else { &mut took.del };
            for (n, (netns, result)) in fresh.iter().zip(&results).enumerate() {
                times.push(self.call_with(verb, &name(n), port(8000, n), netns, result.as_ref())?.1);
            }
        }
        Ok(())
    }
}

fn failed(what: &str, error: &std::io::Error) -> Error {
    Error::new(Code::Internal, what).because(error)
}
