//! `bench macvlan`: how long it takes to connect a namespace to a link of the host's, and what passes between two that are,
//! beside two that somebody connected by hand with `ip`. Both pairs hang on one parent, and are measured in turn.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;
use std::time::Duration;

use bowline_api::v1;
use bowline_core::{Code, Error, Result};
use bowline_linux::netns;

use crate::figure::{Figure, Report, median, ms, percentile};
use crate::rig::{Rig, namespaces};
use crate::traffic;

#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub rounds: usize,
    /// How long each stretch of traffic lasts.
    pub stretch: Duration,
}

/// Attaches of one round, and endpoints that are there all the time.
const EACH: usize = 10;

const NETWORK: &str = "lan";
/// What an internal network without a parent of the host's hangs on.
const PARENT: &str = "bl-lan";

impl Options {
    pub fn full() -> Options {
        Options { rounds: 40, stretch: Duration::from_millis(500) }
    }

    pub fn quick() -> Options {
        Options { rounds: 10, stretch: Duration::from_millis(200) }
    }
}

pub fn run(options: Options, tell: &dyn Fn(&str)) -> Result<Report> {
    let mut report = Report::new("macvlan");
    let rig = Rig::new()?;
    let subnets = vec![v1::SubnetSpec::new("10.9.0.0/16")];
    let driver = v1::Driver::Macvlan;
    let wish = v1::CreateNetwork { driver, internal: true, subnets, ..v1::CreateNetwork::named(NETWORK) };
    rig.client.create_network(&wish)?;
    latency(&rig, &options, &mut report, tell)?;
    carried(&rig, &options, &mut report, tell)?;
    Ok(report)
}

fn latency(rig: &Rig, options: &Options, report: &mut Report, tell: &dyn Fn(&str)) -> Result<()> {
    let there = namespaces(EACH)?;
    for (n, netns) in there.iter().enumerate() {
        rig.attach(&format!("there{n}"), NETWORK, netns)?;
    }
    tell(&format!("{} rounds of {EACH} attaches and detaches", options.rounds));
    let used = rig.used(NETWORK)?;
    let (mut attach, mut detach) = (Vec::new(), Vec::new());
    for round in 0..options.rounds {
        let fresh = namespaces(EACH)?;
        for (n, netns) in fresh.iter().enumerate() {
            attach.push(rig.attach(&format!("r{round}-{n}"), NETWORK, netns)?);
        }
        for n in 0..EACH {
            detach.push(rig.detach(&format!("r{round}-{n}"))?);
        }
        rig.settle(NETWORK, used)?;
    }
    report.samples.insert("attach", attach.len());
    report.figures.insert("attach_p50", Figure::at_most(ms(percentile(&attach, 0.5)), "ms", 1.5));
    report.figures.insert("attach_p99", Figure::at_most(ms(percentile(&attach, 0.99)), "ms", 5.0));
    report.figures.insert("detach_p50", Figure::at_most(ms(percentile(&detach, 0.5)), "ms", 2.0));
    Ok(())
}

fn carried(rig: &Rig, options: &Options, report: &mut Report, tell: &dyn Fn(&str)) -> Result<()> {
    let (ours, theirs) = (namespaces(2)?, namespaces(2)?);
    let mut to = Vec::new();
    for (n, netns) in ours.iter().enumerate() {
        let name = format!("carry{n}");
        rig.attach(&name, NETWORK, netns)?;
        to.push(first_address(rig, &name)?);
    }
    for (n, netns) in theirs.iter().enumerate() {
        by_hand(rig, netns, &format!("10.9.250.{}", n + 1))?;
    }
    let address_of_theirs: IpAddr = [10, 9, 250, 2].into();
    tell(&format!("{} rounds of traffic, by each in turn", options.rounds));
    let (mut bytes, mut packets) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    // The first stretch warms up both and is not counted.
    for round in 0..=options.rounds {
        let pairs = [(0, &ours, to[1]), (1, &theirs, address_of_theirs)];
        // Who is first in a round is second in the next.
        for at in [round % 2, 1 - round % 2] {
            let (side, pair, address) = pairs[at];
            let streamed = traffic::streams(&pair[0], &pair[1], address, options.stretch)?;
            let arrived = traffic::packets(&pair[0], &pair[1], address, options.stretch)?;
            if round > 0 {
                bytes[side].push(streamed);
                packets[side].push(arrived);
            }
        }
    }
    report.samples.insert("traffic", options.rounds);
    report.figures.insert("throughput_over_by_hand", ratio(&bytes, 0.98));
    report.figures.insert("packets_over_by_hand", ratio(&packets, 0.98));
    report.figures.insert("throughput", Figure::at_least(median(&bytes[0]), "Gbit/s", 0.0));
    Ok(())
}

/// The median of the rounds' own ratios: what the machine does otherwise meets both of a round alike.
fn ratio([ours, theirs]: &[Vec<f64>; 2], goal: f64) -> Figure {
    let mut all: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
    all.sort_unstable_by(f64::total_cmp);
    let spread = all.first().zip(all.last()).map(|(least, most)| [*least, *most]);
    Figure { spread, ..Figure::at_least(median(&all), "ratio", goal) }
}

fn first_address(rig: &Rig, name: &str) -> Result<IpAddr> {
    let endpoint = rig.client.endpoint(name)?;
    let address = endpoint.interfaces.first().and_then(|interface| interface.addresses.first().cloned());
    let parsed = address.as_deref().and_then(|text| text.split('/').next()?.parse().ok());
    parsed.ok_or_else(|| Error::new(Code::Internal, format!("endpoint {name} has no address")))
}

/// As a person would do it. The card is born in the namespace there too.
fn by_hand(rig: &Rig, netns: &OwnedFd, address: &str) -> Result<()> {
    let inside = format!("/proc/{}/fd/{}", std::process::id(), netns.as_raw_fd());
    let card = format!("link add name eth0 link {PARENT} netns {inside} type macvlan mode bridge");
    ip(rig.host(), &card)?;
    ip(netns, "link set lo up")?;
    ip(netns, &format!("addr add {address}/16 dev eth0"))?;
    ip(netns, "link set eth0 up")
}

fn ip(netns: &OwnedFd, line: &str) -> Result<()> {
    let failed = || Error::new(Code::Internal, format!("ip {line}"));
    let mut command = Command::new("ip");
    command.args(line.split(' '));
    let output = netns::run(netns, move || command.output())?.map_err(|e| failed().because(e))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed().because(String::from_utf8_lossy(&output.stderr).trim()).fix("install iproute2"))
}
