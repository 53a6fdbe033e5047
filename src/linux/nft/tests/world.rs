//! A host with two networks and an outside, each in a namespace of its own, and what they send each other.

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bowline_core::firewall::Element;

use super::space::Space;
use super::{net, network, run};
use crate::nft::Nft;

pub(super) const PORT: u16 = 7;
/// The host's card outside, and one that is not the host's.
pub(super) const HOST_OUTSIDE: &str = "192.0.2.1";
pub(super) const HOST_OUTSIDE6: &str = "2001:db8::1";
pub(super) const OUTSIDE: &str = "192.0.2.2";
pub(super) const OUTSIDE6: &str = "2001:db8::2";

/// Of both bridges.
pub(super) const BRIDGE_MAC: &str = "02:00:00:00:00:01";
const BRIDGE_CALLS: &str = "/proc/sys/net/bridge/bridge-nf-call-";
const WAN_MAC: &str = "02:00:00:00:01:01";
/// Of the members of network a.
pub(super) const MACS: [&str; 2] = ["02:00:00:00:00:02", "02:00:00:00:00:03"];

struct Card<'a> {
    /// The host's end.
    port: &'a str,
    bridge: Option<&'a str>,
    mac: &'a str,
    addrs: &'a [&'a str],
    gateways: &'a [&'a str],
}

pub(super) struct World {
    pub(super) host: Space,
    /// Two members of network a, with 10.1.0.2 and 10.1.0.3, fd01::2 and fd01::3.
    pub(super) a: [Space; 2],
    /// A member of network b, with 10.2.0.2.
    pub(super) b: Space,
    pub(super) outside: Space,
    nft: Mutex<Nft>,
}

impl World {
    pub(super) fn new(elements: Vec<Element>) -> World {
        let host = space();
        let nft = Mutex::new(host.run(|| Nft::open().unwrap()));
        let world = World { host, a: [space(), space()], b: space(), outside: space(), nft };
        ip(
            &world.host,
            format!(
                "link set lo up
                 link add bl-a address {BRIDGE_MAC} type bridge no_linklocal_learn 1
                 link add bl-b address {BRIDGE_MAC} type bridge no_linklocal_learn 1
                 addr add 10.1.0.1/24 dev bl-a
                 addr add 10.2.0.1/24 dev bl-b
                 addr add fd01::1/64 dev bl-a nodad
                 link set bl-a up
                 link set bl-b up"
            ),
        );
        let member =
            |port, bridge, mac, addrs, gateways| Card { port, bridge: Some(bridge), mac, addrs, gateways };
        let gateways = &["10.1.0.1", "fd01::1"];
        let a0 = member("a0", "bl-a", MACS[0], &["10.1.0.2/24", "fd01::2/64"], gateways);
        let a1 = member("a1", "bl-a", MACS[1], &["10.1.0.3/24", "fd01::3/64"], gateways);
        let b0 = member("b0", "bl-b", MACS[0], &["10.2.0.2/24"], &["10.2.0.1"]);
        let addrs = &["192.0.2.2/24", "2001:db8::2/64"];
        let wan = Card { port: "wan0", bridge: None, mac: MACS[0], addrs, gateways: &[] };
        world.join(&world.a[0], &a0);
        world.join(&world.a[1], &a1);
        world.join(&world.b, &b0);
        world.join(&world.outside, &wan);
        ip(
            &world.host,
            format!(
                "link set wan0 address {WAN_MAC}\naddr add {HOST_OUTSIDE}/24 dev wan0\naddr add {HOST_OUTSIDE6}/64 dev wan0 nodad"
            ),
        );
        world.host.run(|| {
            for (setting, value) in [
                ("net/ipv4/ip_forward", "1"),
                ("net/ipv6/conf/all/forwarding", "1"),
                ("net/ipv4/conf/bl-a/route_localnet", "1"),
            ] {
                std::fs::write(format!("/proc/sys/{setting}"), value).unwrap();
            }
        });
        ip(
            &world.outside,
            format!(
                "neigh add {HOST_OUTSIDE} lladdr {WAN_MAC} dev eth0\nneigh add {HOST_OUTSIDE6} lladdr {WAN_MAC} dev eth0"
            ),
        );
        for space in [&world.host, &world.a[0], &world.a[1], &world.b, &world.outside] {
            settle(space);
        }
        world.with(move |nft| nft.put_frame(&elements.into_iter().collect()).unwrap());
        world
    }

    /// A card on the host, and its peer, eth0, in the space. Who sends to the host knows its MAC, so that what is sent is
    /// there at once.
    fn join(&self, space: &Space, card: &Card) {
        let Card { port, bridge, mac, addrs, gateways } = card;
        let link = format!("link add {port} type veth peer name eth0 address {mac} netns {}", space.path);
        let master = bridge.map_or(String::new(), |bridge| format!("link set {port} master {bridge}"));
        ip(&self.host, format!("{link}\n{master}\nlink set {port} up"));
        let mut lines = vec!["link set lo up\nlink set eth0 up".to_string()];
        lines.extend(addrs.iter().map(|addr| match addr.contains(':') {
            true => format!("addr add {addr} dev eth0 nodad"),
            false => format!("addr add {addr} dev eth0"),
        }));
        for gateway in *gateways {
            lines.push(format!("neigh add {gateway} lladdr {BRIDGE_MAC} dev eth0"));
            lines.push(format!("route add default via {gateway}"));
        }
        ip(space, lines.join("\n"));
    }

    /// Has bridges pass frames without the help of br_netfilter, where that is loaded.
    pub(super) fn bridges_by_themselves(&self) {
        if self.bridges_call_iptables() {
            self.host.run(|| {
                std::fs::write(format!("{BRIDGE_CALLS}iptables"), "0").unwrap();
                std::fs::write(format!("{BRIDGE_CALLS}ip6tables"), "0").unwrap();
            });
        }
    }

    /// Whether br_netfilter is loaded and at work, as it is unless told otherwise.
    pub(super) fn bridges_call_iptables(&self) -> bool {
        self.host
            .run(|| std::fs::read_to_string(format!("{BRIDGE_CALLS}iptables")).is_ok_and(|v| v.trim() == "1"))
    }

    pub(super) fn with(&self, act: impl FnOnce(&mut Nft) + Send + 'static) {
        act(&mut self.nft.lock().unwrap());
    }

    pub(super) fn change(&self, add: Vec<Element>, del: Vec<Element>) {
        self.with(move |nft| nft.change(&add, &del).unwrap());
    }
}

/// A namespace where an address is used at once, and not after a wait for others that might have it.
fn space() -> Space {
    let space = Space::new();
    space.run(|| {
        for conf in ["all", "default"] {
            std::fs::write(format!("/proc/sys/net/ipv6/conf/{conf}/accept_dad"), "0").unwrap();
        }
    });
    space
}

/// Waits for what the kernel leaves for later: until then a card drops what it should send, and an address is not yet one
/// of the host's own.
fn settle(space: &Space) {
    let deadline = Instant::now() + Duration::from_secs(60);
    space.run(move || {
        while !is_settled() {
            let (links, addresses) = (run("ip", &["-o", "link"]), run("ip", &["-o", "-6", "addr"]));
            assert!(Instant::now() < deadline, "{links}{addresses}");
            std::thread::yield_now();
        }
    });
}

fn is_settled() -> bool {
    let up = |link: &str| link.contains("state UP") || link.contains("LOOPBACK");
    let locals = run("ip", &["-6", "route", "show", "table", "local"]);
    let is_local = |line: &str| {
        let address = line.split_whitespace().nth(3).and_then(|address| address.split('/').next());
        address.is_some_and(|address| locals.contains(&format!("local {address} ")))
    };
    run("ip", &["-o", "link"]).lines().all(up) && run("ip", &["-o", "-6", "addr"]).lines().all(is_local)
}

pub(super) fn ip(space: &Space, lines: String) {
    space.run(move || {
        let mut child = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{lines}");
    });
}

/// A socket there that waits, but not for ever. One that was closed just before may be held open still, by a process that
/// another test has forked and that has not run its program yet.
pub(super) fn listen(space: &Space) -> UdpSocket {
    space.run(|| {
        let deadline = Instant::now() + Duration::from_secs(10);
        let socket = loop {
            match UdpSocket::bind(("::", PORT)) {
                Err(e) if e.kind() == ErrorKind::AddrInUse && Instant::now() < deadline => {
                    std::thread::yield_now()
                }
                bound => break bound.unwrap(),
            }
        };
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        socket
    })
}

pub(super) fn send(from: &Space, to: &str, text: &'static str) {
    let to = SocketAddr::new(to.parse().unwrap(), PORT);
    from.run(move || {
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        UdpSocket::bind(any).unwrap().send_to(text.as_bytes(), to).unwrap();
    });
}

/// What arrives next, and from where.
pub(super) fn next(socket: &UdpSocket) -> (String, String) {
    let mut buffer = [0; 64];
    let (len, from) = socket.recv_from(&mut buffer).unwrap();
    (String::from_utf8_lossy(&buffer[..len]).into_owned(), from.ip().to_canonical().to_string())
}

pub(super) fn was(text: &str, from: &str) -> (String, String) {
    (text.to_string(), from.to_string())
}

pub(super) fn two_networks() -> Vec<Element> {
    // Where br_netfilter is loaded, what a bridge passes goes through the chains too: "within" is for it as well.
    let within = ["bl-a", "bl-b"].map(|link| Element::Within(link.parse().unwrap()));
    let others = [network("bl-a"), network("bl-b"), net("10.1.0.0/24"), net("10.2.0.0/24")];
    within.into_iter().chain(others).collect()
}
