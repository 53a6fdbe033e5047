//! A worker that is turned by hand, so that it can be looked at between its turns.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bowline_core::port::Protocol;
use nix::errno::Errno;
use nix::sys::socket::{Shutdown, shutdown};

use super::*;
use crate::asker::{Asker, Elsewhere};
use crate::serve::client::{Client, Ear, Hearing};
use crate::serve::mail::{Letterbox, mail};
use crate::serve::{Dial, stream};

/// Nothing that works takes so long on any machine.
const LONG: Duration = Duration::from_secs(20);
/// `localhost`, which is answered without zones.
const QUERY: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x09localhost\0\0\x01\0\x01";
/// With its length, the answer has one record more.
const ANSWER: usize = 2 + QUERY.len() + 16;
/// `example`, which servers would have to be asked about.
const OTHER: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07example\0\0\x01\0\x01";

struct Nowhere;

impl Dial for Nowhere {
    fn dial(&self, _: Place, _: Protocol, _: SocketAddr) -> io::Result<OwnedFd> {
        Err(io::ErrorKind::NetworkUnreachable.into())
    }
}

/// A worker's surroundings.
struct Bench {
    shared: Shared,
    mail: Mail,
    _letterbox: Letterbox,
    raw: [EpollEvent; EVENTS],
    events: Vec<Event>,
}

impl Bench {
    fn new() -> Bench {
        let (letterbox, mail) = mail().unwrap();
        Bench {
            shared: Shared::new(Arc::new(Nowhere), 1, 1 << 16, None),
            mail,
            _letterbox: letterbox,
            raw: [EpollEvent::empty(); EVENTS],
            events: Vec::new(),
        }
    }

    /// Two parts, so that the worker can hold the one while it is turned with the other.
    fn parts(&mut self) -> (&Shared, &Mail, (&mut [EpollEvent; EVENTS], &mut Vec<Event>)) {
        (&self.shared, &self.mail, (&mut self.raw, &mut self.events))
    }
}

fn ear(place: u64) -> (Arc<Ear>, SocketAddr) {
    let elsewhere = Elsewhere::Host(Place(100));
    let asker = Arc::new(Asker::new(Place(place), View { elsewhere, ..View::default() }));
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    udp.set_nonblocking(true).unwrap();
    tcp.set_nonblocking(true).unwrap();
    let address = tcp.local_addr().unwrap();
    (Arc::new(Ear::new(Arc::new(Client::new(asker)), udp, tcp)), address)
}

fn client(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.set_write_timeout(Some(LONG)).unwrap();
    stream
}

fn queries(query: &[u8], count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..count {
        assert!(stream::frame(query, &mut bytes));
    }
    bytes
}

#[test]
fn who_asks_faster_than_is_answered_waits_with_the_kernel() {
    const COUNT: usize = 20_000;
    let mut bench = Bench::new();
    let (shared, mail, (raw, events)) = bench.parts();
    let mut worker = Worker::new(0, shared, mail).unwrap();
    let (ear, address) = ear(1);
    worker.open(&ear).unwrap();
    let mut asks = client(address);
    let mut takes = asks.try_clone().unwrap();
    let asking = std::thread::spawn(move || asks.write_all(&queries(QUERY, COUNT)));
    let taking = std::thread::spawn(move || takes.read_exact(&mut vec![0; COUNT * ANSWER]));
    let mut most = 0;
    while !taking.is_finished() {
        assert!(worker.go_round(mail, raw, events).unwrap().is_continue());
        let room = worker.connections.iter().map(|(_, connection)| connection.inbound.room()).max();
        most = most.max(room.unwrap_or(0));
    }
    assert!((1..=4 * READ).contains(&most), "{most} bytes for queries of {} each", QUERY.len());
    asking.join().unwrap().unwrap();
    taking.join().unwrap().unwrap();
}

#[test]
fn a_namespace_has_one_turn_in_a_round_and_its_connections_take_turns() {
    takes_turns(QUERY, ANSWER);
}

/// There is no server, so that each is given up as soon as it is asked.
#[test]
fn an_answer_of_others_is_no_turn_more() {
    takes_turns(OTHER, 2 + OTHER.len());
}

fn takes_turns(query: &[u8], answer: usize) {
    const EACH: usize = 50;
    let mut bench = Bench::new();
    let (shared, mail, (raw, events)) = bench.parts();
    let mut worker = Worker::new(0, shared, mail).unwrap();
    let ears = [ear(1), ear(2)];
    let mut clients = Vec::new();
    for (ear, address) in &ears {
        worker.open(ear).unwrap();
        clients.extend((0..3).map(|_| client(*address)));
    }
    for client in &mut clients {
        client.write_all(&queries(query, EACH)).unwrap();
    }
    let (mut told, total) = (0, clients.len() * EACH);
    let mut places: HashMap<Key, Vec<(Key, bool)>> = HashMap::new();
    while told < total || !worker.line.is_empty() {
        assert!(worker.go_round(mail, raw, events).unwrap().is_continue());
        let now = shared.numbers.load(Ordering::Relaxed) as usize;
        assert!(now - told <= 2 * 8, "{} answers in one round", now - told);
        told = now;
        // Of a place those in line keep their order, so none is passed by another.
        let mut lines: HashMap<Key, Vec<(Key, bool)>> = HashMap::new();
        for key in &worker.line {
            let connection = worker.connections.get(*key).unwrap();
            let takes_in = connection.interest.0 && connection.inbound.has_next();
            lines.entry(connection.ear).or_default().push((*key, takes_in));
        }
        for (ear, line) in &lines {
            assert!(line.iter().all(|(_, takes_in)| !takes_in), "more is taken in than can be answered");
            if let Some(before) = places.get(ear).filter(|before| before.len() > 1 && line.len() > 1) {
                assert_eq!(before[1].0, line[0].0, "whoever was second is first");
            }
        }
        places = lines;
    }
    for client in &mut clients {
        client.read_exact(&mut vec![0; EACH * answer]).unwrap();
    }
}

#[test]
fn a_paused_socket_is_heard_again() {
    let mut bench = Bench::new();
    let (shared, mail, (raw, events)) = bench.parts();
    let mut worker = Worker::new(0, shared, mail).unwrap();
    let (ear, address) = ear(1);
    worker.open(&ear).unwrap();
    let key = worker.places[&Place(1)];
    let began = Instant::now();
    for over in [Transport::Udp, Transport::Tcp] {
        worker.pause(key, over, began);
    }
    let mut tcp = client(address);
    tcp.write_all(&queries(QUERY, 1)).unwrap();
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    udp.send_to(QUERY, ear.udp.local_addr().unwrap()).unwrap();
    let mut rounds = 0;
    while shared.numbers.load(Ordering::Relaxed) < 2 {
        assert!(worker.go_round(mail, raw, events).unwrap().is_continue());
        rounds += 1;
        assert!(began.elapsed() < LONG);
    }
    assert!(began.elapsed() >= Duration::from_millis(100), "{:?}", began.elapsed());
    assert!(rounds < 10, "{rounds} rounds: it waited for something meanwhile");
    tcp.read_exact(&mut [0; ANSWER]).unwrap();
}

#[test]
fn a_socket_that_is_shut_down_is_given_up_at_once() {
    let mut bench = Bench::new();
    let (shared, mail, (raw, events)) = bench.parts();
    let mut worker = Worker::new(0, shared, mail).unwrap();
    let (ear, _) = ear(1);
    worker.open(&ear).unwrap();
    let key = worker.places[&Place(1)];
    shutdown(ear.tcp.as_raw_fd(), Shutdown::Both).unwrap();
    // It is done all the same.
    assert_eq!(shutdown(ear.udp.as_raw_fd(), Shutdown::Both), Err(Errno::ENOTCONN));
    assert!(worker.go_round(mail, raw, events).unwrap().is_continue());
    let served = worker.served.get(key).unwrap();
    assert_eq!((served.datagrams, served.streams), (Hearing::Off, Hearing::Off));
    assert!(worker.timers.next().is_none(), "it is looked at again");
}

#[test]
fn the_end_of_a_socket_is_not_that_of_the_next_in_its_place() {
    let mut bench = Bench::new();
    let (shared, mail, _) = bench.parts();
    let mut worker = Worker::new(0, shared, mail).unwrap();
    worker.open(&ear(1).0).unwrap();
    let key = worker.places[&Place(1)];
    for token in [Token::Datagrams(key), Token::Listener(key)] {
        worker.event(Event { token, readable: true, writable: false, over: true, ended: true }, 1);
    }
    let served = worker.served.get(key).unwrap();
    assert_eq!((served.datagrams, served.streams), (Hearing::On, Hearing::On));
}

#[test]
fn without_any_file_a_caller_waits_and_does_not_keep_us_busy() {
    // In a process of its own, that may have few: those of this one are for all tests.
    let output = std::process::Command::new("prlimit")
        .arg("--nofile=64")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "serve::worker::tests::without_any_file_inside", "--ignored"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
#[ignore = "is run by the test before it, with few files"]
fn without_any_file_inside() {
    let mut bench = Bench::new();
    let (shared, mail, (raw, events)) = bench.parts();
    let mut worker = Worker::new(0, shared, mail).unwrap();
    let (ear, address) = ear(1);
    worker.open(&ear).unwrap();
    let key = worker.places[&Place(1)];
    let mut client = client(address);
    // The last file of all is gone too, as where another thread was faster to take it.
    worker.spare = None;
    let files: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
    assert!(worker.go_round(mail, raw, events).unwrap().is_continue());
    assert!(matches!(worker.served.get(key).unwrap().streams, Hearing::Paused(_)));
    drop(files);
    client.write_all(&queries(QUERY, 1)).unwrap();
    while shared.numbers.load(Ordering::Relaxed) == 0 {
        assert!(worker.go_round(mail, raw, events).unwrap().is_continue());
    }
    client.read_exact(&mut [0; ANSWER]).unwrap();
}
