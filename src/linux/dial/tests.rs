//! Sockets of a namespace that the calling thread is not in.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::time::{Duration, Instant};

use bowline_core::place::Place;
use bowline_core::port::Protocol;
use nix::fcntl::{F_GETFD, F_GETFL, FdFlag, OFlag, fcntl};

use super::{Pool, dial_at};
use crate::netns;

/// A container with a server of its own.
struct Container {
    ns: OwnedFd,
    place: Place,
    udp: UdpSocket,
    tcp: TcpListener,
}

impl Container {
    fn new(address: &str) -> Container {
        let ns = netns::create().expect("these tests make network namespaces: run them as root");
        let (place, udp, tcp) = netns::run(&ns, || {
            let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap();
            assert!(up.success());
            let place = netns::cookie_of_current().unwrap();
            (place, UdpSocket::bind(address).unwrap(), TcpListener::bind(address).unwrap())
        })
        .unwrap();
        udp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Container { ns, place, udp, tcp }
    }

    fn server(&self) -> SocketAddr {
        self.udp.local_addr().unwrap()
    }

    fn known_to(&self, pool: &Pool) {
        pool.know(self.place, self.udp.as_fd()).unwrap();
    }

    /// Asks by the socket, and returns the port that the server hears it from.
    fn is_reached_by(&self, socket: &OwnedFd) -> u16 {
        let asks = UdpSocket::from(socket.try_clone().unwrap());
        asks.send(b"?").unwrap();
        let (_, from) = self.udp.recv_from(&mut [0; 16]).expect("nothing arrives");
        assert_eq!(from, asks.local_addr().unwrap());
        from.port()
    }
}

fn is_as_promised(socket: &OwnedFd) {
    let status = OFlag::from_bits_retain(fcntl(socket, F_GETFL).unwrap());
    assert!(status.contains(OFlag::O_NONBLOCK));
    assert!(FdFlag::from_bits_retain(fcntl(socket, F_GETFD).unwrap()).contains(FdFlag::FD_CLOEXEC));
}

#[test]
fn a_socket_is_of_the_namespace_of_the_one_that_shows_the_way() {
    let own = netns::cookie_of_current().unwrap();
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let container = Container::new(address);
        let socket = dial_at(container.udp.as_fd(), Protocol::Udp, container.server()).unwrap();
        container.is_reached_by(&socket);
        is_as_promised(&socket);
        assert_eq!(netns::cookie_of(&socket).unwrap(), container.place);

        let to = container.tcp.local_addr().unwrap();
        let socket = dial_at(container.tcp.as_fd(), Protocol::Tcp, to).unwrap();
        is_as_promised(&socket);
        let (_, from) = container.tcp.accept().unwrap();
        assert_eq!(from, TcpStream::from(socket).local_addr().unwrap());
    }
    assert_eq!(netns::cookie_of_current().unwrap(), own);
}

#[test]
fn what_is_no_socket_shows_no_way() {
    let file = std::fs::File::open("/proc/self/status").unwrap();
    dial_at(file.as_fd(), Protocol::Udp, "127.0.0.1:53".parse().unwrap()).unwrap_err();
}

#[test]
fn each_socket_of_a_pool_is_another_with_a_port_of_its_own() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let container = Container::new(address);
        let pool = Pool::default();
        container.known_to(&pool);
        let sockets: Vec<OwnedFd> = (0..100)
            .map(|_| pool.dial(container.place, Protocol::Udp, container.server()).unwrap())
            .collect();
        let ports: Vec<u16> = sockets.iter().map(|socket| container.is_reached_by(socket)).collect();
        sockets.iter().for_each(is_as_promised);
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 100, "{ports:?}");
        // Counted up, all of them would be within a few hundred of each other.
        let spread = ports.iter().max().unwrap() - ports.iter().min().unwrap();
        assert!(spread > 1000, "{ports:?}");
        // 1, 2, 4, 8, then 16 a visit: 111 were made.
        assert_eq!(pool.waiting(), 11);
        assert_eq!(netns::cookie_of(&sockets[99]).unwrap(), container.place);
    }
}

#[test]
fn a_stream_of_a_pool_is_of_the_place_too() {
    let container = Container::new("127.0.0.1:0");
    let pool = Pool::default();
    container.known_to(&pool);
    let to = container.tcp.local_addr().unwrap();
    let socket = pool.dial(container.place, Protocol::Tcp, to).unwrap();
    is_as_promised(&socket);
    let (_, from) = container.tcp.accept().unwrap();
    assert_eq!(from, TcpStream::from(socket).local_addr().unwrap());
}

#[test]
fn a_place_that_is_not_known_or_forgotten_is_not_dialled_from() {
    let container = Container::new("127.0.0.1:0");
    let pool = Pool::default();
    let refused = || pool.dial(container.place, Protocol::Udp, container.server()).unwrap_err().kind();
    assert_eq!(refused(), std::io::ErrorKind::NotFound);
    container.known_to(&pool);
    pool.dial(container.place, Protocol::Udp, container.server()).unwrap();
    pool.forget(container.place);
    assert_eq!(refused(), std::io::ErrorKind::NotFound);
}

#[test]
fn a_forgotten_namespace_dies() {
    let container = Container::new("127.0.0.1:0");
    let pool = Pool::default();
    container.known_to(&pool);
    for _ in 0..5 {
        drop(pool.dial(container.place, Protocol::Udp, container.server()).unwrap());
    }
    assert_eq!(pool.waiting(), 2);
    let host = netns::create().unwrap();
    let near = veth(&host, &container.ns);
    // Nothing but the pool has it open now.
    let Container { ns, place, udp, tcp } = container;
    drop((ns, udp, tcp));
    pool.dial(place, Protocol::Udp, "127.0.0.1:53".parse().unwrap()).expect("the pool has it open still");
    assert!(near());
    pool.forget(place);
    assert_eq!(pool.waiting(), 0);
    eventually("the card's other end goes with its namespace", || !near());
}

/// A card in the one namespace whose other end is in the second; returns whether it is there.
fn veth(here: &OwnedFd, there: &OwnedFd) -> impl Fn() -> bool + use<> {
    use std::os::fd::AsRawFd;
    let peer = format!("/proc/{}/fd/{}", std::process::id(), there.as_raw_fd());
    netns::run(here, || {
        let add = ["link", "add", "near", "type", "veth", "peer", "name", "far", "netns", &peer];
        assert!(Command::new("ip").args(add).status().unwrap().success());
    })
    .unwrap();
    let here = here.try_clone().unwrap();
    move || {
        let shown = || Command::new("ip").args(["link", "show", "near"]).output().unwrap();
        netns::run(&here, shown).unwrap().status.success()
    }
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "in vain waited for: {what}");
        std::thread::yield_now();
    }
}

/// By hand: `cargo test --release -p bowline-linux --lib -- --ignored --nocapture dial_speed`
#[test]
#[ignore = "prints figures, and checks none"]
fn dial_speed() {
    let container = Container::new("127.0.0.1:0");
    let pool = Pool::default();
    container.known_to(&pool);
    let measure = |what: &str, dial: &dyn Fn() -> OwnedFd| {
        const TIMES: u32 = 2000;
        let start = Instant::now();
        (0..TIMES).for_each(|_| drop(dial()));
        println!("{what}: {:?} each", start.elapsed() / TIMES);
    };
    let to = container.server();
    measure("dial_at", &|| dial_at(container.udp.as_fd(), Protocol::Udp, to).unwrap());
    measure("a pool", &|| pool.dial(container.place, Protocol::Udp, to).unwrap());
}
