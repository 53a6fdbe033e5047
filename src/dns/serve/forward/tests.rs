//! A forwarder alone, at times that the test says.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, SystemTime};

use super::super::client::Client;
use super::super::poll::{Event, Token};
use super::super::source::Groups;
use super::super::tests::rig::{Dialer, HOST, is_open, query, view};
use super::super::tests::stub::answer;
use super::*;
use crate::asker::{Asker, Elsewhere};
use crate::message::Transport;
use crate::upstream;

/// A server that does what the test does with its socket.
struct Server {
    socket: UdpSocket,
    address: SocketAddr,
}

impl Server {
    fn new() -> Server {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Server { address: socket.local_addr().unwrap(), socket }
    }

    /// What it was asked, and by whom.
    fn asked(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = [0; 512];
        let (length, from) = self.socket.recv_from(&mut buffer).unwrap();
        (buffer[..length].to_vec(), from)
    }
}

struct Rig {
    forwarder: Forwarder,
    dialer: Arc<Dialer>,
    poll: Poll,
    timers: Timers,
    cache: Cache,
    group: Arc<Group>,
    client: Arc<Client>,
    now: Instant,
}

impl Rig {
    fn new(servers: &[&Server]) -> Rig {
        let dialer = Arc::new(Dialer::default());
        let elsewhere = Elsewhere::Host(HOST);
        let groups = Groups::default();
        groups.set_host(servers.iter().map(|server| server.address).collect());
        Rig {
            forwarder: Forwarder::new(dialer.clone()),
            dialer,
            poll: Poll::new().unwrap(),
            timers: Timers::default(),
            cache: Cache::new(1 << 20),
            group: groups.find(HOST, &elsewhere).unwrap(),
            client: Arc::new(Client::new(Arc::new(Asker::new(HOST, view(elsewhere))))),
            now: Instant::now(),
        }
    }

    fn with(&mut self, call: impl FnOnce(&mut Forwarder, &mut Round)) {
        let Rig { forwarder, poll, timers, cache, now, .. } = self;
        call(forwarder, &mut Round { poll, timers, cache, now: *now });
    }

    /// Somebody asks for that name, as by UDP.
    fn ask(&mut self, name: &str) -> Key {
        let query = query(name);
        let waiter = Waiter {
            permit: self.client.permit(&Arc::default()).unwrap(),
            to: Destination::Datagram {
                ear: Key { index: 0, generation: 0 },
                to: "127.0.0.1:9".parse().unwrap(),
                note: None,
            },
            id: [query[0], query[1]],
            began: self.now,
            at: SystemTime::now(),
        };
        let group = self.group.clone();
        self.with(|forwarder, round| forwarder.ask(round, &group, &query, waiter));
        self.forwarder.flights.iter().map(|(key, _)| key).last().unwrap()
    }

    /// So much later, whatever was due meanwhile has happened.
    fn pass(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while let Some((at, timer)) = self.timers.due(end) {
            self.now = self.now.max(at);
            let Timer::Flight(key) = timer else { panic!("a connection's time") };
            self.with(|forwarder, round| forwarder.due(round, key));
        }
        self.now = end;
    }

    /// That question of a query has something to read.
    fn read(&mut self, key: Key, part: u8) {
        let token = Token::Question(key, part);
        let event = Event { token, readable: true, writable: false, over: false, ended: false };
        self.with(|forwarder, round| forwarder.event(round, key, part, event));
    }

    /// Another query finds that a server is not reached.
    fn unreachable(&self, server: usize) {
        let mut servers = self.group.servers();
        let mut race = Race::begin(&servers, Transport::Udp, self.now);
        while let Step::Ask(asked) = race.step(&mut servers, self.now) {
            let event = if asked == server { upstream::Event::Unreachable } else { upstream::Event::Failed };
            race.heard(&mut servers, asked, event, self.now);
        }
        drop(servers);
        assert!(self.is_suspect(server));
    }

    fn is_suspect(&self, server: usize) -> bool {
        self.group.servers().is_suspect(server)
    }
}

#[test]
fn who_waits_for_suspects_lets_go_though_more_became_suspects() {
    let (dead, slow, late, last) = (Server::new(), Server::new(), Server::new(), Server::new());
    // With one that is not asked at all, there is no time set for the end of the query.
    let mut rig = Rig::new(&[&dead, &slow, &late, &last]);
    // The first becomes a suspect.
    let first = rig.ask("one.example.org");
    rig.pass(200);
    let (asked, from) = slow.asked();
    slow.socket.send_to(&answer(&asked), from).unwrap();
    rig.read(first, 1);
    assert!(rig.is_suspect(0) && !rig.is_suspect(2));
    rig.pass(2_000);
    assert_eq!(rig.forwarder.len(), 0);
    // It is asked beside the second; the third is asked later, and is none yet when the second answers.
    let long = rig.ask("two.example.org");
    rig.pass(250);
    let (asked, from) = slow.asked();
    slow.socket.send_to(&answer(&asked), from).unwrap();
    rig.read(long, 0);
    assert!(rig.forwarder.finished.len() == 2 && rig.forwarder.has(long));
    assert!(!rig.is_suspect(2));
    rig.unreachable(2);
    rig.pass(5_000);
    assert_eq!((rig.forwarder.len(), rig.forwarder.lingering), (0, 0));
    let sockets = rig.dialer.dialled.lock().unwrap().clone();
    assert!(!sockets.iter().any(|(_, socket)| is_open(*socket)));
}

#[test]
fn what_icmp_says_is_heard() {
    let (gone, other) = (Server::new(), Server::new());
    let address = gone.address;
    drop(gone);
    let gone = Server { socket: other.socket.try_clone().unwrap(), address };
    let mut rig = Rig::new(&[&gone, &other]);
    let key = rig.ask("example.org");
    rig.read(key, 0);
    assert!(rig.is_suspect(0));
    other.asked();
}
