//! `bench scale`: what it costs to publish a port, and what published ports and endpoints cost those who send, while their
//! number grows. Small and large are measured in turn, so that what the machine does otherwise meets both alike.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use bowline_api::v1;
use bowline_core::Result;

use crate::figure::{Figure, Report, ms, percentile};
use crate::paired::Paired;
use crate::rig::{Rig, namespaces};
use crate::traffic::{self, Acceptor};

#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The largest number of published ports; a tenth of it is measured too.
    pub ports: u16,
    pub endpoints: usize,
    pub rounds: usize,
    /// How many pairs of stretches of traffic are compared, in multiples of [`BATCHES`].
    pub pairs: usize,
    /// How long each stretch of traffic lasts.
    pub stretch: Duration,
}

/// So often the endpoints of senders that are checked and unchecked are others, and change places: two cards that are alike
/// differ by a hundredth, for as long as they live.
const BATCHES: usize = 10;

/// Published in one round.
const EACH: u16 = 20;
/// Ports of one endpoint.
const PER_ENDPOINT: u16 = 100;
/// The first of the ports that fill a host, and of those that are measured.
const FIRST: u16 = 10_000;
const MEASURED: u16 = 40_000;

impl Options {
    pub fn full() -> Options {
        Options {
            ports: 10_000,
            endpoints: 1000,
            rounds: 20,
            pairs: 100,
            stretch: Duration::from_millis(200),
        }
    }

    pub fn quick() -> Options {
        Options { ports: 1000, endpoints: 100, rounds: 5, pairs: 10, stretch: Duration::from_millis(100) }
    }
}

pub fn run(options: Options, tell: &dyn Fn(&str)) -> Result<Report> {
    let mut report = Report::new("scale");
    tell(&format!("publishing 0, {} and {} ports", options.ports / 10, options.ports));
    let hosts = [0, options.ports / 10, options.ports].map(Host::with_ports);
    let [none, some, many] = hosts;
    let (none, some, many) = (none?, some?, many?);
    publish(&[&none, &some, &many], &options, &mut report, tell)?;
    attach_with_ports(&none, &options, &mut report, tell)?;
    connect_rate(&none, &many, &options, &mut report, tell)?;
    drop((some, many));
    antispoof(&none, &options, &mut report, tell)?;
    tell(&format!("connecting {} endpoints", options.endpoints));
    let crowd = Host::with_endpoints(options.endpoints)?;
    carried(&none, &crowd, &options, &mut report, tell)?;
    Ok(report)
}

/// A host of its own with ports published on it, and a client on another of its networks.
struct Host {
    rig: Rig,
    web: OwnedFd,
    client: OwnedFd,
    /// Kept, for their endpoints live in them.
    _others: Vec<OwnedFd>,
    ports: u16,
}

impl Host {
    fn with_ports(ports: u16) -> Result<Host> {
        let others = namespaces(usize::from(ports.div_ceil(PER_ENDPOINT)))?;
        let host = Host::new(others, ports)?;
        for (n, netns) in (0_u16..).zip(&host._others) {
            let name = format!("fill{n}");
            host.rig.attach(&name, "front", netns)?;
            let first = FIRST + n * PER_ENDPOINT;
            let wishes = (first..first + PER_ENDPOINT.min(ports)).map(|port| spec(port, 80)).collect();
            host.rig.client.publish(&name, &v1::Publish { ports: wishes })?;
        }
        Ok(host)
    }

    fn with_endpoints(endpoints: usize) -> Result<Host> {
        let host = Host::new(namespaces(endpoints.saturating_sub(2))?, 0)?;
        for (n, netns) in host._others.iter().enumerate() {
            host.rig.attach(&format!("fill{n}"), "front", netns)?;
        }
        Ok(host)
    }

    fn new(others: Vec<OwnedFd>, ports: u16) -> Result<Host> {
        let rig = Rig::new()?;
        rig.network("front", "10.9.0.0/20")?;
        rig.network("back", "10.32.0.0/24")?;
        let [web, client] = <[OwnedFd; 2]>::try_from(namespaces(2)?).expect("two were made");
        rig.attach("web", "front", &web)?;
        rig.attach("client", "back", &client)?;
        Ok(Host { rig, web, client, _others: others, ports })
    }

    fn address(&self, endpoint: &str) -> Result<IpAddr> {
        let view = self.rig.client.endpoint(endpoint)?;
        let address = view.interfaces.first().and_then(|i| i.addresses.first()).cloned().unwrap_or_default();
        let ip = address.split('/').next().unwrap_or_default();
        Ok(ip.parse().expect("the daemon tells addresses"))
    }
}

fn spec(host: u16, port: u16) -> v1::PublishSpec {
    v1::PublishSpec { host_port: Some(host), port, ..v1::PublishSpec::default() }
}

/// One port at a time, on an endpoint that has none otherwise.
fn publish(hosts: &[&Host; 3], options: &Options, report: &mut Report, tell: &dyn Fn(&str)) -> Result<()> {
    tell(&format!("{} rounds of {EACH} ports on each", options.rounds));
    let mut took = [Vec::new(), Vec::new(), Vec::new()];
    let mut back = Vec::new();
    for _ in 0..options.rounds {
        for (at, host) in hosts.iter().enumerate() {
            for n in 0..EACH {
                let wish = v1::Publish { ports: vec![spec(MEASURED + n, 80)] };
                let begun = Instant::now();
                host.rig.client.publish("web", &wish)?;
                took[at].push(begun.elapsed());
            }
            for n in 0..EACH {
                let wish = v1::Publish { ports: vec![spec(MEASURED + n, 80)] };
                let begun = Instant::now();
                host.rig.client.unpublish("web", &wish)?;
                back.push(begun.elapsed());
            }
        }
    }
    let p50 = took.each_ref().map(|samples| ms(percentile(samples, 0.5)));
    report.samples.insert("publish", took[0].len());
    report.samples.insert("unpublish", back.len());
    for (name, value) in [
        ("publish_p50_among_0", p50[0]),
        ("publish_p50_among_tenth", p50[1]),
        ("publish_p50_among_all", p50[2]),
    ] {
        report.figures.insert(name, Figure::at_most(value, "ms", 0.4));
    }
    let (least, most) = p50.iter().fold((f64::MAX, 0.0_f64), |(a, b), &v| (a.min(v), b.max(v)));
    report.figures.insert("publish_p50_spread", Figure::at_most(most / least, "ratio", 1.2));
    report.figures.insert("unpublish_p50", Figure::at_most(ms(percentile(&back, 0.5)), "ms", 2.0));
    Ok(())
}

/// What thirty-two ports add to an attach.
fn attach_with_ports(host: &Host, options: &Options, report: &mut Report, tell: &dyn Fn(&str)) -> Result<()> {
    tell("attaching with 32 ports and without");
    let fresh = namespaces(4)?;
    let used = host.rig.used("front")?;
    let mut took = [Vec::new(), Vec::new()];
    for _ in 0..options.rounds {
        for (at, count) in [(0, 0_u16), (1, 32)] {
            for (n, netns) in fresh.iter().enumerate() {
                let mut wish = Rig::wish(&format!("p{n}"), "front", netns);
                wish.publish = (0..count).map(|i| spec(MEASURED + i, 80)).collect();
                let begun = Instant::now();
                host.rig.client.create_endpoint(&wish)?;
                took[at].push(begun.elapsed());
                host.rig.detach(&format!("p{n}"))?;
                host.rig.settle("front", used)?;
            }
        }
    }
    let [without, with] = took.each_ref().map(|samples| ms(percentile(samples, 0.5)));
    report.samples.insert("attach_with_32_ports", took[1].len());
    report.figures.insert("attach_32_ports_more", Figure::at_most(with - without, "ms", 1.0));
    Ok(())
}

/// Connections through the last port of all, and through the only one.
fn connect_rate(
    one: &Host,
    many: &Host,
    options: &Options,
    report: &mut Report,
    tell: &dyn Fn(&str),
) -> Result<()> {
    tell("connecting through one port and through the last of all");
    one.rig.client.publish("web", &v1::Publish { ports: vec![spec(FIRST, 80)] })?;
    let _one = Acceptor::start(&one.web, 80)?;
    let last = many._others.last().unwrap_or(&many.web);
    let _many = Acceptor::start(last, 80)?;
    let to = |port: u16| SocketAddr::from(([10, 32, 0, 1], port));
    let ways = [(many, FIRST + many.ports - 1), (one, FIRST)];
    let mut rates = Paired::default();
    for _ in 0..options.pairs {
        rates.round(|at| {
            let (host, port) = ways[at];
            traffic::connects(&host.client, to(port), options.stretch)
        })?;
    }
    report.samples.insert("connect_pairs", rates.rounds());
    report.figures.insert("connect_rate_last_of_all", Figure::at_least(rates.median_of(0), "1/s", 0.0));
    report.figures.insert("connect_rate_over_one", rates.ratio_at_least(0.97));
    one.rig.client.unpublish("web", &v1::Publish { ports: vec![spec(FIRST, 80)] })?;
    Ok(())
}

/// Pairs of cards that differ in nothing but that the senders of one are checked.
fn antispoof(host: &Host, options: &Options, report: &mut Report, tell: &dyn Fn(&str)) -> Result<()> {
    tell("carrying traffic with senders checked and unchecked");
    let used = host.rig.used("front")?;
    let mut rates = Paired::default();
    for batch in 0..BATCHES {
        let spaces = namespaces(4)?;
        let checked = 2 * (batch % 2);
        for (n, netns) in spaces.iter().enumerate() {
            let mut wish = Rig::wish(&format!("s{n}"), "front", netns);
            wish.antispoof = n == checked || n == checked + 1;
            host.rig.client.create_endpoint(&wish)?;
        }
        for _ in 0..options.pairs / BATCHES {
            rates.round(|at| {
                let from = if at == 0 { checked } else { 2 - checked };
                let address = host.address(&format!("s{}", from + 1))?;
                traffic::streams(&spaces[from], &spaces[from + 1], address, options.stretch)
            })?;
        }
        for n in 0..spaces.len() {
            host.rig.detach(&format!("s{n}"))?;
        }
        host.rig.settle("front", used)?;
    }
    report.samples.insert("antispoof_pairs", rates.rounds());
    report.figures.insert("antispoof_throughput", rates.ratio_at_least(0.98));
    Ok(())
}

/// What two endpoints carry, alone and among many.
fn carried(
    few: &Host,
    many: &Host,
    options: &Options,
    report: &mut Report,
    tell: &dyn Fn(&str),
) -> Result<()> {
    tell("carrying traffic between two, alone and among many");
    let mut pairs = Vec::new();
    for host in [many, few] {
        let peer = namespaces(1)?.remove(0);
        host.rig.attach("peer", "front", &peer)?;
        pairs.push((host, peer, host.address("peer")?));
    }
    let (mut bytes, mut packets) = (Paired::default(), Paired::default());
    for _ in 0..options.pairs {
        bytes.round(|at| {
            let (host, peer, address) = &pairs[at];
            traffic::streams(&host.web, peer, *address, options.stretch)
        })?;
        packets.round(|at| {
            let (host, peer, address) = &pairs[at];
            traffic::packets(&host.web, peer, *address, options.stretch)
        })?;
    }
    report.samples.insert("traffic_pairs", bytes.rounds());
    report.figures.insert("throughput_among_many", Figure::at_least(bytes.median_of(0), "Gbit/s", 0.0));
    report.figures.insert("packets_among_many", Figure::at_least(packets.median_of(0), "1/s", 0.0));
    report.figures.insert("throughput_over_few", bytes.ratio_at_least(0.98));
    report.figures.insert("packets_over_few", packets.ratio_at_least(0.98));
    Ok(())
}
