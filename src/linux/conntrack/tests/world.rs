//! A host between an outside and a member of a network of its own, each in a namespace of its own.

use std::io::Write;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::netns;

/// The host, as the outside sees it.
pub(super) const HOST: &str = "192.0.2.1";

/// Connections are tracked where a rule asks for it.
pub(super) const TRACKING: &str = "
    table inet track {
        chain output { type filter hook output priority 0; ct state new accept
        }
    }";

pub(super) struct World {
    /// With 192.0.2.2, and a way to 10.9.0.0/24 by the host.
    pub(super) outside: OwnedFd,
    /// With 10.9.0.2 and 10.9.0.3.
    pub(super) member: OwnedFd,
}

/// Runs a test on a thread of its own whose namespace is the host, with these rules.
pub(super) fn world(rules: &'static str, test: impl FnOnce(&World) + Send) {
    assert!(nix::unistd::geteuid().is_root(), "this test makes network namespaces: run it as root");
    let host = netns::create().unwrap();
    let world = World { outside: netns::create().unwrap(), member: netns::create().unwrap() };
    let path = |ns: &OwnedFd| format!("/proc/{}/fd/{}", std::process::id(), ns.as_raw_fd());
    netns::run(&host, || {
        let links = [("wan0", &world.outside, "192.0.2.1/24"), ("in0", &world.member, "10.9.0.1/24")];
        for (card, far, address) in links {
            let path = path(far);
            feed("ip", &["-batch", "-"], &format!(
                "link add {card} type veth peer name eth0 netns {path}\naddr add {address} dev {card}\nlink set {card} up"
            ));
        }
        feed("ip", &["-batch", "-"], "link set lo up");
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        feed("nft", &["-f", "-"], rules);
        let inside = |ns: &OwnedFd, lines: &str| netns::run(ns, || feed("ip", &["-batch", "-"], lines)).unwrap();
        inside(
            &world.outside,
            "addr add 192.0.2.2/24 dev eth0\nlink set eth0 up\nroute add 10.9.0.0/24 via 192.0.2.1",
        );
        inside(
            &world.member,
            "addr add 10.9.0.2/24 dev eth0\naddr add 10.9.0.3/24 dev eth0\nlink set eth0 up\nroute add default via 10.9.0.1",
        );
        test(&world);
    })
    .expect("the test panicked");
}

fn feed(program: &str, arguments: &[&str], lines: &str) {
    let mut child = Command::new(program).args(arguments).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{program}: {lines}");
}

/// A word over UDP, from a port that the kernel chooses.
pub(super) fn send(to: &str) {
    let to: SocketAddr = to.parse().unwrap();
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    UdpSocket::bind(any).unwrap().send_to(b"word", to).unwrap();
}

pub(super) fn send_from(ns: &OwnedFd, to: &str) {
    netns::run(ns, || send(to)).unwrap();
}

pub(super) fn ping(to: &str) {
    let output = Command::new("ping").args(["-c1", "-w10", to]).output().unwrap();
    assert!(output.status.success(), "ping {to}: {output:?}");
}

/// What `/proc` shows of the flows of this thread's namespace, in order:
/// `PROTOCOL FROM > TO:PORT`, and ` < WHO` where another than that one answers.
pub(super) fn tracked() -> Vec<String> {
    let text = std::fs::read_to_string("/proc/thread-self/net/nf_conntrack").unwrap();
    let mut all: Vec<String> = text.lines().filter_map(shown).collect();
    all.sort_unstable();
    all
}

/// Neighbours and routers are sought by the kernel itself, when it likes.
fn shown(line: &str) -> Option<String> {
    let protocol = line.split_ascii_whitespace().nth(2).filter(|&protocol| protocol != "icmpv6")?;
    let values = |key: &'static str| {
        line.split_ascii_whitespace().filter_map(move |word| word.strip_prefix(key)?.strip_prefix('='))
    };
    let addresses = |key| values(key).map(|value| value.parse::<IpAddr>().unwrap());
    let (from, to) = (addresses("src").next()?, addresses("dst").next()?);
    let port = values("dport").next().map_or(String::new(), |port| format!(":{port}"));
    let answers = addresses("src").nth(1).filter(|&answers| answers != to);
    let answers = answers.map_or(String::new(), |answers| format!(" < {answers}"));
    Some(format!("{protocol} {from} > {to}{port}{answers}"))
}

/// Waits until these are the flows, and no others.
pub(super) fn await_tracked(expected: &[impl AsRef<str>]) {
    let expected: Vec<&str> = expected.iter().map(AsRef::as_ref).collect();
    eventually(&format!("{expected:#?}"), || tracked() == expected);
}

pub(super) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "in vain waited for: {what}\nbut there are {:#?}", tracked());
        std::thread::yield_now();
    }
}
