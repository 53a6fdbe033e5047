//! How many questions a second are answered: of owned names beside NSD and aardvark-dns, and of names that are forwarded.
//! All take turns in the same container, in alternating order, so that what the machine does otherwise meets all alike.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use bowline_core::Result;

use super::dnsperf::{Dnsperf, Pass, Run};
use super::flood::BELOW;
use super::goal::{self, Goal};
use super::nsd::{Nsd, Zone};
use super::stage::{AARDVARK, NSD, Network, RESOLVER, Stage};
use super::tools::{self, Tools};
use super::{Options, aardvark, wire};
use crate::figure::Report;

/// Every name that is asked elsewhere is here.
pub(super) const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
/// Names that are asked again and again, and so come from the cache.
const CACHED: usize = 1000;
/// More than anybody answers in a second: no name of a stretch is asked twice.
const UNCACHED_A_SECOND: u64 = 150_000;

/// One of those that take turns, and what it did in each round.
struct Contender<'a> {
    inside: &'a OwnedFd,
    server: IpAddr,
    names: &'a Path,
    runs: Vec<Run>,
}

impl<'a> Contender<'a> {
    fn new(inside: &'a OwnedFd, server: IpAddr, names: &'a Path) -> Contender<'a> {
        Contender { inside, server, names, runs: Vec::new() }
    }

    fn rates(&self) -> Vec<f64> {
        self.runs.iter().map(|run| run.rate).collect()
    }

    /// By how much it was better or worse than another, round by round.
    fn over(&self, other: &Contender, of: impl Fn(&Run) -> f64) -> Vec<f64> {
        self.runs.iter().zip(&other.runs).map(|(ours, theirs)| of(ours) / of(theirs)).collect()
    }

    fn bad(&self) -> f64 {
        self.runs.iter().map(|run| run.lost + run.wrong).sum::<u64>() as f64
    }
}

/// Each once a round, in an order that turns around with every round.
fn take_turns(dnsperf: &Dnsperf, contenders: &mut [&mut Contender], options: &Options) -> Result<()> {
    for round in 0..options.rounds {
        let turn = |contender: &mut Contender| -> Result<()> {
            let Contender { inside, server, names, .. } = contender;
            contender.runs.push(dnsperf.run(inside, *server, names, Pass::Again, options.stretch)?);
            Ok(())
        };
        if round % 2 == 0 {
            contenders.iter_mut().try_for_each(|contender| turn(contender))?;
        } else {
            contenders.iter_mut().rev().try_for_each(|contender| turn(contender))?;
        }
    }
    Ok(())
}

pub(super) fn owned(
    stage: &Stage,
    tools: &Tools,
    options: &Options,
    report: &mut Report,
    tell: &dyn Fn(&str),
) -> Result<()> {
    const BESIDE_NSD: [Goal; 4] = [
        goal::OWNED_OVER_NSD,
        goal::OWNED_LATENCY_OVER_NSD,
        goal::MANY_OVER_NSD,
        goal::MANY_LATENCY_OVER_NSD,
    ];
    const ALONE: [Goal; 4] = [goal::OWNED_RATE, goal::OWNED_LATENCY, goal::MANY_OVER_FEW, goal::OWNED_LOST];
    let Some(program) = &tools.dnsperf else {
        let all = BESIDE_NSD.iter().chain(&ALONE).chain([&goal::OWNED_OVER_AARDVARK]);
        all.for_each(|goal| goal.missing(report, tools::NO_DNSPERF));
        return Ok(());
    };
    let (few, many) = (&stage.few, &stage.many);
    let few_names = stage.questions("few", few.names.iter().map(|(name, _)| name))?;
    let many_names = stage.questions("many", shuffled(many).map(|(name, _)| name))?;
    let dnsperf = Dnsperf::new(program, stage.rig.dir());

    let mut ours = Contender::new(few.asker(), RESOLVER, &few_names);
    let mut ours_many = Contender::new(many.asker(), RESOLVER, &many_names);
    let mut nsd = Contender::new(few.asker(), NSD.into(), &few_names);
    let mut nsd_many = Contender::new(many.asker(), NSD.into(), &many_names);
    let mut theirs = Contender::new(few.asker(), AARDVARK.into(), &few_names);

    let mut contenders = vec![&mut ours];
    let mut servers = Vec::new();
    if let Some(program) = &tools.nsd {
        for (network, dir) in [(few, "nsd-few"), (many, "nsd-many")] {
            let (zone, dir) = (Zone::Names(&network.names), stage.rig.dir().join(dir));
            servers.push(Nsd::start(program, network.asker(), NSD, zone, &dir)?);
        }
        contenders.push(&mut nsd);
    }
    if let Some(program) = &tools.aardvark {
        let dir = stage.rig.dir().join("aardvark");
        aardvark::start(program, few.asker(), AARDVARK, &few.names, &dir)?;
        contenders.push(&mut theirs);
    }
    contenders.push(&mut ours_many);
    if tools.nsd.is_some() {
        contenders.push(&mut nsd_many);
    }
    let (rounds, seconds) = (options.rounds, options.stretch.as_secs());
    tell(&format!("{rounds} rounds of {seconds} s of owned names, {} in turn", contenders.len()));
    take_turns(&dnsperf, &mut contenders, options)?;

    report.samples.insert("owned_rounds", ours.runs.len());
    goal::OWNED_RATE.of_rounds(report, &ours.rates());
    let latencies: Vec<f64> = ours.runs.iter().map(|run| run.latency).collect();
    goal::OWNED_LATENCY.of_rounds(report, &latencies);
    goal::MANY_OVER_FEW.of_rounds(report, &ours_many.over(&ours, |run| run.rate));
    goal::OWNED_LOST.measured(report, ours.bad() + ours_many.bad());
    if tools.nsd.is_some() {
        goal::OWNED_OVER_NSD.of_rounds(report, &ours.over(&nsd, |run| run.rate));
        goal::OWNED_LATENCY_OVER_NSD.of_rounds(report, &ours.over(&nsd, |run| run.latency));
        goal::MANY_OVER_NSD.of_rounds(report, &ours_many.over(&nsd_many, |run| run.rate));
        goal::MANY_LATENCY_OVER_NSD.of_rounds(report, &ours_many.over(&nsd_many, |run| run.latency));
    } else {
        BESIDE_NSD.iter().for_each(|goal| goal.missing(report, tools::NO_NSD));
    }
    match &tools.aardvark {
        Some(_) => goal::OWNED_OVER_AARDVARK.of_rounds(report, &ours.over(&theirs, |run| run.rate)),
        None => goal::OWNED_OVER_AARDVARK.missing(report, tools::NO_AARDVARK),
    }
    Ok(())
}

/// In an order that neither server's memory is helped by, and the same every time.
fn shuffled(network: &Network) -> impl Iterator<Item = &(String, Ipv4Addr)> {
    /// A prime, and so it meets every name of any number that it does not divide.
    const STEP: usize = 7919;
    let count = network.names.len();
    (0..count).map(move |n| &network.names[n * STEP % count])
}

/// A server on the host's loopback, to which all names that nobody here has are forwarded.
pub(super) fn stub(stage: &Stage, program: &Path) -> Result<Nsd> {
    let zone = Zone::Below(BELOW, ELSEWHERE);
    let stub = Nsd::start(program, stage.rig.host(), NSD, zone, &stage.rig.dir().join("nsd-stub"))?;
    wire::expect(stage.few.asker(), RESOLVER, &format!("through.{BELOW}"), ELSEWHERE)?;
    Ok(stub)
}

pub(super) fn forwarded(
    stage: &Stage,
    tools: &Tools,
    options: &Options,
    report: &mut Report,
    tell: &dyn Fn(&str),
) -> Result<()> {
    let all = [goal::CACHED_OVER_OWNED, goal::UNCACHED_RATE, goal::FORWARDED_LOST];
    let (Some(program), Some(nsd)) = (&tools.dnsperf, &tools.nsd) else {
        let missing = if tools.dnsperf.is_none() { tools::NO_DNSPERF } else { tools::NO_NSD };
        all.iter().for_each(|goal| goal.missing(report, missing));
        return Ok(());
    };
    let _stub = stub(stage, nsd)?;
    let dnsperf = Dnsperf::new(program, stage.rig.dir());
    let asker = stage.few.asker();
    let owned_names = stage.questions("few", stage.few.names.iter().map(|(name, _)| name))?;
    let cached_names = stage.questions("cached", (0..CACHED).map(|n| format!("cached{n}.{BELOW}")))?;
    let (rounds, seconds) = (options.rounds, options.stretch.as_secs());

    tell(&format!("{rounds} rounds of {seconds} s of owned names, and of forwarded ones that are cached"));
    // Asked once, they are known.
    dnsperf.run(asker, RESOLVER, &cached_names, Pass::Once, options.stretch)?;
    let mut owned = Contender::new(asker, RESOLVER, &owned_names);
    let mut cached = Contender::new(asker, RESOLVER, &cached_names);
    take_turns(&dnsperf, &mut [&mut owned, &mut cached], options)?;

    tell(&format!("{rounds} rounds of {seconds} s of names that nobody has asked for before"));
    let mut uncached = Vec::new();
    for round in 0..rounds {
        let names = unheard_of(stage, round, options)?;
        uncached.push(dnsperf.run(asker, RESOLVER, &names, Pass::Once, options.stretch)?);
    }
    let lost = uncached.iter().map(|run| run.lost + run.wrong).sum::<u64>() as f64;
    let rates: Vec<f64> = uncached.iter().map(|run| run.rate).collect();
    report.samples.insert("forwarded_rounds", rounds);
    goal::CACHED_OVER_OWNED.of_rounds(report, &cached.over(&owned, |run| run.rate));
    goal::UNCACHED_RATE.of_rounds(report, &rates);
    goal::FORWARDED_LOST.measured(report, owned.bad() + cached.bad() + lost);
    Ok(())
}

/// Enough for a stretch, none of which was asked for in another round.
fn unheard_of(stage: &Stage, round: usize, options: &Options) -> Result<PathBuf> {
    let count = UNCACHED_A_SECOND * options.stretch.as_secs().max(1);
    stage.questions("uncached", (0..count).map(|n| format!("new{round}-{n}.{BELOW}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(rate: f64, latency: f64) -> Run {
        Run { rate, latency, sent: 10, lost: 1, wrong: 2 }
    }

    #[test]
    fn rounds_are_compared_with_their_own_and_not_with_each_other() {
        let inside = bowline_linux::netns::current().unwrap();
        let names = Path::new("names");
        let mut ours = Contender::new(&inside, RESOLVER, names);
        let mut theirs = Contender::new(&inside, NSD.into(), names);
        ours.runs = vec![run(100.0, 2.0), run(50.0, 4.0)];
        theirs.runs = vec![run(200.0, 1.0), run(100.0, 4.0)];
        assert_eq!(ours.over(&theirs, |run| run.rate), [0.5, 0.5]);
        assert_eq!(ours.over(&theirs, |run| run.latency), [2.0, 1.0]);
        assert_eq!(ours.bad(), 6.0);
    }

    #[test]
    fn every_name_is_asked_for_whatever_the_order() {
        let names = (0..10_000).map(|n| (format!("name{n}"), Ipv4Addr::LOCALHOST)).collect();
        let network = Network { insides: Vec::new(), names };
        let asked: std::collections::BTreeSet<_> = shuffled(&network).collect();
        assert_eq!(asked.len(), 10_000);
        let first: Vec<&str> = shuffled(&network).take(3).map(|(name, _)| name.as_str()).collect();
        assert_eq!(first, ["name0", "name7919", "name5838"]);
    }
}
