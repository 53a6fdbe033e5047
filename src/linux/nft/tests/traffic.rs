//! What the frame does to packets: a host with two networks and an outside, each in a namespace of its own.
//!
//! That something does not arrive is seen without waiting: after it, something is sent the same way that does.

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bowline_core::firewall::Element;

use super::space::Space;
use super::{net, network};
use crate::nft::Nft;

const PORT: u16 = 7;
/// The host's card outside, and one that is not the host's.
const HOST_OUTSIDE: &str = "192.0.2.1";
const OUTSIDE: &str = "192.0.2.2";

struct World {
    host: Space,
    /// Two members of network a, with 10.1.0.2 and 10.1.0.3.
    a: [Space; 2],
    /// A member of network b, with 10.2.0.2.
    b: Space,
    outside: Space,
    nft: Mutex<Nft>,
}

impl World {
    fn new(elements: Vec<Element>) -> World {
        let host = Space::new();
        let nft = Mutex::new(host.run(|| Nft::open().unwrap()));
        let world =
            World { host, a: [Space::new(), Space::new()], b: Space::new(), outside: Space::new(), nft };
        ip(
            &world.host,
            "link add bl-a type bridge
             link add bl-b type bridge
             addr add 10.1.0.1/24 dev bl-a
             addr add 10.2.0.1/24 dev bl-b
             addr add fd01::1/64 dev bl-a nodad
             link set bl-a up
             link set bl-b up"
                .into(),
        );
        world.join(&world.a[0], "a0", Some("bl-a"), "10.1.0.2/24", "10.1.0.1");
        world.join(&world.a[1], "a1", Some("bl-a"), "10.1.0.3/24", "10.1.0.1");
        world.join(&world.b, "b0", Some("bl-b"), "10.2.0.2/24", "10.2.0.1");
        world.join(&world.outside, "wan0", None, "192.0.2.2/24", "");
        ip(&world.a[0], "addr add fd01::2/64 dev eth0 nodad".into());
        ip(&world.host, format!("addr add {HOST_OUTSIDE}/24 dev wan0"));
        world.host.run(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap());
        world.with(move |nft| nft.put_frame(&elements.into_iter().collect()).unwrap());
        world
    }

    /// A card on the host, and its peer, eth0, in the space.
    fn join(&self, space: &Space, card: &str, bridge: Option<&str>, addr: &str, gateway: &str) {
        let master = bridge.map_or(String::new(), |bridge| format!("link set {card} master {bridge}"));
        let link = format!("link add {card} type veth peer name eth0 netns {}", space.path);
        ip(&self.host, format!("{link}\n{master}\nlink set {card} up"));
        let route =
            if gateway.is_empty() { String::new() } else { format!("route add default via {gateway}") };
        ip(space, format!("link set lo up\naddr add {addr} dev eth0\nlink set eth0 up\n{route}"));
    }

    fn with(&self, act: impl FnOnce(&mut Nft) + Send + 'static) {
        act(&mut self.nft.lock().unwrap());
    }

    fn change(&self, add: Vec<Element>, del: Vec<Element>) {
        self.with(move |nft| nft.change(&add, &del).unwrap());
    }
}

fn ip(space: &Space, lines: String) {
    space.run(move || {
        let mut child = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{lines}");
    });
}

/// A socket there that waits, but not for ever. One that was closed just before may be held open still, by a process that
/// another test has forked and that has not run its program yet.
fn listen(space: &Space) -> UdpSocket {
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

fn send(from: &Space, to: &str, text: &'static str) {
    let to = SocketAddr::new(to.parse().unwrap(), PORT);
    from.run(move || {
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        UdpSocket::bind(any).unwrap().send_to(text.as_bytes(), to).unwrap();
    });
}

/// What arrives next, and from where.
fn next(socket: &UdpSocket) -> (String, String) {
    let mut buffer = [0; 64];
    let (len, from) = socket.recv_from(&mut buffer).unwrap();
    (String::from_utf8_lossy(&buffer[..len]).into_owned(), from.ip().to_canonical().to_string())
}

fn was(text: &str, from: &str) -> (String, String) {
    (text.to_string(), from.to_string())
}

fn internal(link: &str) -> Element {
    Element::Internal(link.parse().unwrap())
}

fn open(link: &str) -> Element {
    Element::Open(link.parse().unwrap())
}

fn two_networks() -> Vec<Element> {
    // Where br_netfilter is loaded, what a bridge passes goes through the chains too: "within" is for it as well.
    let within = ["bl-a", "bl-b"].map(|link| Element::Within(link.parse().unwrap()));
    let others = [network("bl-a"), network("bl-b"), net("10.1.0.0/24"), net("10.2.0.0/24")];
    within.into_iter().chain(others).collect()
}

#[test]
fn members_of_one_network_reach_each_other() {
    let world = World::new([two_networks(), vec![internal("bl-a")]].concat());
    let hears = listen(&world.a[1]);
    send(&world.a[0], "10.1.0.3", "hello");
    assert_eq!(next(&hears), was("hello", "10.1.0.2"));
}

#[test]
fn members_of_two_networks_do_not_reach_each_other_unless_open() {
    let world = World::new(two_networks());
    let hears = listen(&world.b);
    send(&world.a[0], "10.2.0.2", "closed");
    world.change(vec![open("bl-b")], vec![]);
    send(&world.a[0], "10.2.0.2", "open");
    assert_eq!(next(&hears), was("open", "10.1.0.2"));
    world.change(vec![Element::Strict("bl-b".parse().unwrap())], vec![]);
    send(&world.a[0], "10.2.0.2", "strict");
    world.change(vec![], vec![Element::Strict("bl-b".parse().unwrap())]);
    send(&world.a[0], "10.2.0.2", "open again");
    assert_eq!(next(&hears), was("open again", "10.1.0.2"));
}

#[test]
fn the_outside_does_not_reach_a_member_but_answers_it() {
    let world = World::new(two_networks());
    ip(&world.outside, format!("route add 10.1.0.0/24 via {HOST_OUTSIDE}"));
    let (inside, outside) = (listen(&world.a[0]), listen(&world.outside));
    send(&world.outside, "10.1.0.2", "closed");
    let to = SocketAddr::new(OUTSIDE.parse().unwrap(), PORT);
    let asks = inside.try_clone().unwrap();
    world.a[0].run(move || asks.send_to(b"question", to).unwrap());
    let mut buffer = [0; 64];
    let (_, from) = outside.recv_from(&mut buffer).unwrap();
    outside.send_to(b"answer", from).unwrap();
    assert_eq!(next(&inside), was("answer", OUTSIDE));
}

#[test]
fn a_member_appears_outside_under_the_address_of_the_host() {
    let world = World::new(two_networks());
    let (outside, b) = (listen(&world.outside), listen(&world.b));
    send(&world.a[0], OUTSIDE, "masked");
    assert_eq!(next(&outside), was("masked", HOST_OUTSIDE));

    world.change(vec![open("bl-b")], vec![]);
    send(&world.a[0], "10.2.0.2", "bare");
    assert_eq!(next(&b), was("bare", "10.1.0.2"), "not towards a network of ours");

    world.change(vec![], vec![net("10.1.0.0/24")]);
    send(&world.a[0], OUTSIDE, "bare");
    assert_eq!(next(&outside), was("bare", "10.1.0.2"));
}

#[test]
fn a_member_of_an_internal_network_reaches_neither_the_host_nor_the_outside() {
    let world = World::new([two_networks(), vec![internal("bl-a"), open("bl-b")]].concat());
    let (host, outside, b) = (listen(&world.host), listen(&world.outside), listen(&world.b));
    let targets = ["10.1.0.1", "10.2.0.1", HOST_OUTSIDE, OUTSIDE, "10.2.0.2", "fd01::1"];
    for target in targets {
        send(&world.a[0], target, "closed");
    }
    world.change(vec![], vec![internal("bl-a")]);
    for target in targets {
        send(&world.a[0], target, "open");
    }
    for _ in ["10.1.0.1", "10.2.0.1", HOST_OUTSIDE] {
        assert_eq!(next(&host), was("open", "10.1.0.2"));
    }
    assert_eq!(next(&host), was("open", "fd01::2"));
    assert_eq!(next(&outside), was("open", HOST_OUTSIDE));
    assert_eq!(next(&b), was("open", "10.1.0.2"));
}

#[test]
fn the_host_reaches_members_of_an_internal_network_and_hears_their_answers() {
    let world = World::new([two_networks(), vec![internal("bl-a")]].concat());
    for (mine, theirs) in [("10.1.0.1", "10.1.0.2"), ("fd01::1", "fd01::2")] {
        let member = listen(&world.a[0]);
        let mine: SocketAddr = SocketAddr::new(mine.parse().unwrap(), 0);
        let asks = world.host.run(move || {
            let socket = UdpSocket::bind(mine).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            socket
        });
        asks.send_to(b"question", (theirs, PORT)).unwrap();
        let mut buffer = [0; 64];
        let (_, from) = member.recv_from(&mut buffer).unwrap();
        member.send_to(b"answer", from).unwrap();
        assert_eq!(next(&asks), was("answer", theirs));
    }
}
