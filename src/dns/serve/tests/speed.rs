//! How fast: one ear, and dnsperf (package) pointed at it and at NSD (package) in turn.
//! `cargo test --release -p bowline-dns --lib speed -- --ignored --nocapture --test-threads 1`

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Instant;

use bowline_core::name::{Id, Name};
use bowline_core::place::Place;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::RcvBufForce;

use super::rig::*;
use super::stub::answer;
use crate::asker::{Asker, Elsewhere, View};
use crate::serve::batch::Batch;
use crate::zone::{Entry, Zone};

/// So many names, and 10.9.x.y for each.
fn names(count: u32) -> View {
    let zone = Zone::new("bench".parse::<Name>().unwrap(), vec!["10.9.0.0/16".parse().unwrap()]);
    for n in 1..=count {
        let address = std::net::Ipv4Addr::from(0x0a09_0000 + n).into();
        zone.put(
            Id(n.into()),
            Entry { names: vec![format!("e{n}")], addresses: vec![address], services: Vec::new() },
        );
    }
    View { zones: vec![Arc::new(zone)], ..view(Elsewhere::Host(HOST)) }
}

/// A server in a thread of its own that answers everything at once.
fn server() -> SocketAddr {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut batch = Batch::new();
        let mut poll =
            [nix::poll::PollFd::new(std::os::fd::AsFd::as_fd(&socket), nix::poll::PollFlags::POLLIN)];
        while nix::poll::poll(&mut poll, nix::poll::PollTimeout::NONE).is_ok() {
            let Ok(count) = batch.receive(&socket) else { continue };
            for index in 0..count {
                let (received, query, out) = batch.one(index);
                *out = answer(query);
                batch.reply(received.from);
            }
            batch.send(&socket);
        }
    });
    address
}

/// A well known server with the same names, two processes of it.
struct Nsd {
    process: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Nsd {
    fn start(count: u32) -> Nsd {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display().to_string();
        let address = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut zone =
            "$ORIGIN bench.\n$TTL 5\n@ SOA ns.bench. h.bench. 1 1 1 1 1\n@ NS ns\nns A 10.9.0.1\n".to_owned();
        for n in 1..=count {
            zone += &format!("e{n} A {}\n", std::net::Ipv4Addr::from(0x0a09_0000 + n));
        }
        fs::write(folder.path().join("bench.zone"), zone).unwrap();
        let settings = format!(
            "server:\n ip-address: 127.0.0.1@{port}\n username: \"\"\n chroot: \"\"\n pidfile: {path}/pid\n zonesdir: {path}\n \
             zonelistfile: {path}/list\n xfrdfile: {path}/xfrd\n xfrdir: {path}\n logfile: {path}/log\n server-count: 2\n \
             rrl-ratelimit: 0\nremote-control:\n control-enable: no\nzone:\n name: bench\n zonefile: bench.zone\n",
            port = address.port(),
        );
        fs::write(folder.path().join("conf"), settings).unwrap();
        let process = Command::new("/usr/sbin/nsd")
            .arg("-d")
            .arg("-c")
            .arg(folder.path().join("conf"))
            .spawn()
            .unwrap();
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(address).unwrap();
        client.set_read_timeout(Some(std::time::Duration::from_millis(50))).unwrap();
        until("nsd answers", || {
            client.send(&query("e1.bench")).is_ok() && client.recv(&mut [0; 512]).is_ok()
        });
        Nsd { process, address, _folder: folder }
    }
}

impl Drop for Nsd {
    fn drop(&mut self) {
        // SIGTERM, so that it takes its own processes with it.
        let pid = nix::unistd::Pid::from_raw(self.process.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        self.process.wait().unwrap();
    }
}

/// Runs dnsperf, and says what it says.
fn run(what: &str, to: SocketAddr, queries: &str, extra: &[&str]) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, queries).unwrap();
    let output = Command::new("dnsperf")
        .args(["-s", "127.0.0.1", "-p", &to.port().to_string(), "-c", "4", "-q", "100", "-l", "3", "-d"])
        .arg(file.path())
        .args(extra)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let figure = |label: &str| {
        text.lines()
            .find(|line| line.contains(label))
            .map_or("?", |line| line.split(':').nth(1).unwrap_or("?").trim())
    };
    println!(
        "{what:24} {:>16}/s  latency {}  lost {}  codes {}",
        figure("Queries per second"),
        figure("Average Latency"),
        figure("Queries lost"),
        figure("Response codes"),
    );
}

#[test]
#[ignore = "measures; needs dnsperf and nsd"]
fn speed() {
    let outside = server();
    let rig = Rig::new(2, &[outside]);
    let asker = Arc::new(Asker::new(Place(5), names(20)));
    let (ears, web) = ears(asker.clone());
    // As their maker does: room for all that dnsperf has under way.
    setsockopt(&ears.udp, RcvBufForce, &(1 << 20)).unwrap();
    rig.service.open(asker, ears).unwrap();
    let owned = |count: u32| (1..=count).map(|n| format!("e{n}.bench A\n")).collect::<String>();
    let foreign = |count: u32| (1..=count).map(|n| format!("n{n}.example.org A\n")).collect::<String>();
    let (few, many) = (Nsd::start(20), Nsd::start(10_000));
    for _ in 0..3 {
        run("nsd, 20 names", few.address, &owned(20), &[]);
        web.asker.set(names(20));
        run("owned, 20 names", web.udp, &owned(20), &[]);
        web.asker.set(names(10_000));
        run("owned, 10,000 names", web.udp, &owned(10_000), &[]);
        run("nsd, 10,000 names", many.address, &owned(10_000), &[]);
        run("forwarded, cached", web.udp, &foreign(20), &[]);
        rig.service.flush();
        run("forwarded, uncached", web.udp, &foreign(1_000_000), &["-q", "60"]);
        rig.service.flush();
    }
}

#[test]
#[ignore = "measures"]
fn speed_of_coming_and_going() {
    let rig = Rig::new(2, &[]);
    let mut took = [Vec::new(), Vec::new()];
    for n in 0..1000 {
        let asker = Arc::new(Asker::new(Place(1000 + n), names(1)));
        let (ears, _) = ears(asker.clone());
        let began = Instant::now();
        rig.service.open(asker, ears).unwrap();
        took[0].push(began.elapsed());
        let began = Instant::now();
        rig.service.close(Place(1000 + n));
        took[1].push(began.elapsed());
    }
    for (what, took) in ["open", "close"].iter().zip(&mut took) {
        took.sort_unstable();
        println!("{what:6} p50 {:?}  p99 {:?}", took[500], took[990]);
    }
}
