//! `bench attach`: how long it takes to connect and disconnect a namespace that is there, through the API.

use std::fs;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use bowline_core::{Code, Error, Result};

use crate::figure::{Figure, Report, ms, percentile};
use crate::rig::{Rig, namespaces};

#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How many endpoints the large network has.
    pub endpoints: usize,
    pub clients: usize,
    /// How often the small and the large network are measured in turn.
    pub rounds: usize,
    /// How long an idle daemon is watched.
    pub idle: Duration,
}

/// Attaches of one round, on each network.
const EACH: usize = 10;

impl Options {
    pub fn full() -> Options {
        Options { endpoints: 1000, clients: 8, rounds: 40, idle: Duration::from_secs(10) }
    }

    pub fn quick() -> Options {
        Options { endpoints: 200, clients: 8, rounds: 10, idle: Duration::from_secs(2) }
    }
}

pub fn run(options: Options, tell: &dyn Fn(&str)) -> Result<Report> {
    let mut report = Report::new("attach");
    let mut rig = Rig::new()?;
    rig.network("small", "10.9.0.0/24")?;
    rig.network("large", "10.10.0.0/16")?;

    // All namespaces are made first and kept to the end: to make and to destroy them is the engine's work, not ours,
    // and would go on behind the measurements.
    tell(&format!("connecting {EACH} and {} endpoints", options.endpoints));
    let (small, large, fresh) = (namespaces(EACH)?, namespaces(options.endpoints)?, namespaces(EACH)?);
    populate(&rig, "small", &small)?;
    populate(&rig, "large", &large)?;
    latency(&rig, &options, &fresh, &mut report, tell)?;

    let rss = rig.client.info()?.rss_bytes as f64 / f64::from(1 << 20);
    report.figures.insert("rss_with_1000_endpoints", Figure::at_most(rss, "MiB", 32.0));
    idle(&rig, &options, &mut report, tell)?;
    restart(&mut rig, &options, &mut report, tell)?;
    gone(&rig, &options, &mut report, tell)?;
    parallel(&rig, &options, &large, &mut report, tell)?;
    Ok(report)
}

fn populate(rig: &Rig, network: &str, namespaces: &[OwnedFd]) -> Result<()> {
    for (n, netns) in namespaces.iter().enumerate() {
        rig.attach(&format!("{network}{n}"), network, netns)?;
    }
    Ok(())
}

/// The two networks in turn, so that what the machine does otherwise meets both alike.
fn latency(
    rig: &Rig,
    options: &Options,
    fresh: &[OwnedFd],
    report: &mut Report,
    tell: &dyn Fn(&str),
) -> Result<()> {
    tell(&format!("{} rounds of {EACH} attaches and detaches on each", options.rounds));
    let used = [rig.used("small")?, rig.used("large")?];
    let (mut attach, mut detach) = ([Vec::new(), Vec::new()], Vec::new());
    for round in 0..options.rounds {
        for (at, network) in ["small", "large"].into_iter().enumerate() {
            for (n, netns) in fresh.iter().enumerate() {
                attach[at].push(rig.attach(&format!("r{round}-{n}"), network, netns)?);
            }
            for n in 0..EACH {
                detach.push(rig.detach(&format!("r{round}-{n}"))?);
            }
            rig.settle(network, used[at])?;
        }
    }
    let [small, large] = &attach;
    let (p50, p50_large) = (ms(percentile(small, 0.5)), ms(percentile(large, 0.5)));
    report.samples.insert("attach", small.len());
    report.samples.insert("attach_large", large.len());
    report.samples.insert("detach", detach.len());
    report.figures.insert("attach_p50", Figure::at_most(p50, "ms", 1.5));
    report.figures.insert("attach_p99", Figure::at_most(ms(percentile(small, 0.99)), "ms", 5.0));
    report.figures.insert("attach_p50_1000_over_10", Figure::at_most(p50_large / p50, "ratio", 1.2));
    report.figures.insert("detach_p50", Figure::at_most(ms(percentile(&detach, 0.5)), "ms", 2.0));
    Ok(())
}

/// How often the daemon's threads wake while nothing is asked of it.
fn idle(rig: &Rig, options: &Options, report: &mut Report, tell: &dyn Fn(&str)) -> Result<()> {
    tell(&format!("watching it idle for {} s", options.idle.as_secs()));
    let pid = rig.daemon_pid().ok_or_else(|| Error::new(Code::Internal, "there is no daemon"))?;
    // What the last requests left to do is done first.
    thread::sleep(Duration::from_secs(1));
    let before = switches(pid)?;
    thread::sleep(options.idle);
    let woken = (switches(pid)? - before) as f64 / options.idle.as_secs_f64();
    report.figures.insert("idle_wakeups_per_s", Figure::at_most(woken, "1/s", 0.0));
    Ok(())
}

fn switches(pid: u32) -> Result<u64> {
    let failed = |e: std::io::Error| Error::new(Code::Internal, "count the daemon's wake-ups").because(e);
    let mut total = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).map_err(failed)? {
        let status = fs::read_to_string(task.map_err(failed)?.path().join("status")).map_err(failed)?;
        let of = |key: &str| {
            status.lines().find_map(|l| l.strip_prefix(key)?.trim().parse::<u64>().ok()).unwrap_or(0)
        };
        total += of("voluntary_ctxt_switches:") + of("nonvoluntary_ctxt_switches:");
    }
    Ok(total)
}

fn restart(rig: &mut Rig, _: &Options, report: &mut Report, tell: &dyn Fn(&str)) -> Result<()> {
    tell("killing and starting the daemon, 5 times");
    let mut took = Vec::new();
    for _ in 0..5 {
        rig.kill()?;
        took.push(rig.start()?);
    }
    report.samples.insert("restart", took.len());
    report.figures.insert("ready_after_restart", Figure::at_most(ms(percentile(&took, 1.0)), "ms", 500.0));
    Ok(())
}

fn gone(rig: &Rig, options: &Options, report: &mut Report, tell: &dyn Fn(&str)) -> Result<()> {
    tell(&format!("detaching {} endpoints", options.endpoints));
    let links = rig.links()? - options.endpoints;
    let mut took = Vec::new();
    for n in 0..options.endpoints {
        took.push(rig.detach(&format!("large{n}"))?);
    }
    let until = rig.wait_for_links(links)?;
    report.samples.insert("detach_of_all", took.len());
    report.figures.insert("detach_of_all_p50", Figure::at_most(ms(percentile(&took, 0.5)), "ms", 2.0));
    report.figures.insert("gone_after_last_answer", Figure::at_most(until.as_secs_f64(), "s", 2.0));
    Ok(())
}

/// Many clients, over several networks.
fn parallel(
    rig: &Rig,
    options: &Options,
    namespaces: &[OwnedFd],
    report: &mut Report,
    tell: &dyn Fn(&str),
) -> Result<()> {
    const NETWORKS: usize = 4;
    let each = (namespaces.len() / options.clients.max(1)).max(1);
    tell(&format!("{} clients attaching {each} each, over {NETWORKS} networks", options.clients));
    for n in 0..NETWORKS {
        rig.network(&format!("many{n}"), &format!("10.{}.0.0/22", 20 + n))?;
    }
    let begun = Instant::now();
    let done: Vec<Result<()>> = thread::scope(|scope| {
        let clients = namespaces.chunks(each).take(options.clients).enumerate().map(|(c, mine)| {
            scope.spawn(move || -> Result<()> {
                for (n, netns) in mine.iter().enumerate() {
                    rig.attach(&format!("c{c}-{n}"), &format!("many{}", c % NETWORKS), netns)?;
                }
                Ok(())
            })
        });
        let clients: Vec<_> = clients.collect();
        clients.into_iter().map(|client| client.join().expect("a client does not panic")).collect()
    });
    let took = begun.elapsed();
    done.into_iter().collect::<Result<()>>()?;
    let rate = (each * options.clients) as f64 / took.as_secs_f64();
    report.samples.insert("parallel", each * options.clients);
    report.figures.insert("parallel_attach_rate", Figure::at_least(rate, "1/s", 700.0));
    Ok(())
}
