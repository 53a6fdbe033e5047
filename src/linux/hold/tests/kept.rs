//! That ports are nobody else's while no daemon runs, and what the next one makes of what was kept.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use bowline_core::place::Place;
use bowline_core::port::Protocol;

use super::space::{Says, assert_taken, bound, port, rival, rival_at_last, space};
use crate::hold::{Held, Keeping, Socket};
use crate::keeper::tests::home::Home;
use crate::keeper::{Keeper, Kept};
use crate::netns;

/// A daemon that begins: who keeps for it, and what was kept.
fn begins(home: &Home) -> (Keeping, Kept) {
    let (client, kept) = home.client();
    let keeping = Keeping::default();
    keeping.set(Arc::new(Keeper::Process(client))).unwrap();
    (keeping, kept)
}

fn here() -> Place {
    netns::cookie_of_current().unwrap()
}

/// What it holds from the start on.
fn takes_up(keeping: &Keeping, kept: Kept) -> Held {
    let mut held = Held::at(here(), keeping.clone());
    for (name, sockets) in kept {
        held.adopt(here(), &name, sockets).unwrap();
    }
    held
}

fn names(home: &Home) -> Vec<String> {
    home.client().1.into_iter().map(|(name, _)| name).collect()
}

#[test]
fn a_port_stays_taken_until_the_next_daemon_has_it() {
    let all = ["80/tcp", "53/udp", "127.0.0.1:81/tcp", "[::1]:81/udp", "0.0.0.0:82/tcp", "[::]:83/udp"];
    let home = Home::new();
    space(|| {
        let (keeping, _) = begins(&home);
        let mut held = Held::at(here(), keeping.clone());
        let ports: Vec<_> = all.iter().map(|text| port(text)).collect();
        held.hold(&ports).unwrap();
        keeping.get().unwrap().settle().unwrap();
        drop((held, keeping));
        let taken = || {
            for (protocol, at) in [
                (Protocol::Tcp, "0.0.0.0:80"),
                (Protocol::Tcp, "[::1]:80"),
                (Protocol::Udp, "127.0.0.1:53"),
                (Protocol::Tcp, "127.0.0.1:81"),
                (Protocol::Udp, "[::1]:81"),
                (Protocol::Tcp, "0.0.0.0:82"),
                (Protocol::Udp, "[::]:83"),
            ] {
                assert_taken(protocol, at);
            }
        };
        taken();
        let (keeping, kept) = begins(&home);
        let mut held = takes_up(&keeping, kept);
        let mut sorted = ports.clone();
        sorted.sort_unstable();
        assert_eq!(held.all().copied().collect::<Vec<_>>(), sorted);
        held.hold(&ports).unwrap();
        taken();
        // And they are those that they were told to be.
        drop(rival(Protocol::Tcp, "[::1]:82", Says::Nothing).unwrap());
        held.free(&ports);
        drop(rival_at_last(Protocol::Tcp, "[::]:80", Says::Nothing));
        assert_eq!(names(&home), [""; 0], "nothing is kept any more");
    });
}

#[test]
fn what_is_let_go_of_is_free_when_that_is_done() {
    let home = Home::new();
    space(|| {
        let (keeping, _) = begins(&home);
        let mut held = Held::at(here(), keeping.clone());
        let range: Vec<_> = (7000..7100).map(|n| port(&format!("{n}/tcp"))).collect();
        held.hold(&range).unwrap();
        // One of the middle of a bundle, which is told anew.
        held.free(&range[40..41]);
        drop(rival_at_last(Protocol::Tcp, "0.0.0.0:7040", Says::Nothing));
        drop((held, keeping));
        for taken in [7000, 7039, 7041, 7099] {
            assert_taken(Protocol::Tcp, &format!("0.0.0.0:{taken}"));
        }
        let (keeping, kept) = begins(&home);
        let mut held = takes_up(&keeping, kept);
        assert_eq!(held.all().count(), 99);
        // What comes now has names of its own.
        held.hold(&range).unwrap();
        keeping.get().unwrap().settle().unwrap();
        drop((held, keeping));
        let (keeping, kept) = begins(&home);
        let mut held = takes_up(&keeping, kept);
        assert_eq!(held.all().count(), 100);
        held.free(&range);
        assert_eq!(names(&home), [""; 0]);
    });
}

#[test]
fn what_is_taken_up_hears_nothing_before_it_is_told_to() {
    let home = Home::new();
    space(|| {
        let (keeping, _) = begins(&home);
        let mut held = Held::at(here(), keeping.clone());
        held.hold(&[port("53/udp")]).unwrap();
        // It was relayed when the daemon died.
        held.listen(&port("53/udp")).unwrap();
        keeping.get().unwrap().settle().unwrap();
        drop((held, keeping));
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"asked before", "127.0.0.1:53").unwrap();
        let (keeping, kept) = begins(&home);
        let held = takes_up(&keeping, kept);
        client.send_to(b"asked too early", "127.0.0.1:53").unwrap();
        let Some(Socket::Udp(server)) = held.listen(&port("53/udp")).unwrap() else {
            panic!("it is not held")
        };
        client.send_to(b"asked after", "127.0.0.1:53").unwrap();
        let mut buffer = [0; 64];
        for expected in [&b"asked before"[..], b"asked after"] {
            let length = server.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], expected);
        }
    });
}

#[test]
fn nothing_is_taken_up_that_is_no_port_as_ours_are() {
    space(|| {
        let refused = |sockets: Vec<OwnedFd>, why: &str| {
            let mut held = Held::at(here(), Keeping::default());
            let error = held.adopt(here(), "ports-1-0", sockets).unwrap_err();
            assert!(error.to_string().contains(why), "{error} and not {why}");
            assert_eq!(held.all().count(), 0);
        };
        let udp = || bound(Protocol::Udp, "127.0.0.1:90", Says::Nothing).unwrap();
        let silent = bound(Protocol::Tcp, "127.0.0.1:90", Says::Nothing).unwrap();
        refused(vec![udp(), silent], "no port as ours");
        refused(
            vec![std::net::UdpSocket::bind("127.0.0.1:0").unwrap().into()]
                .into_iter()
                .chain([std::os::unix::net::UnixDatagram::unbound().unwrap().into()])
                .collect(),
            "no port as ours",
        );
        refused(vec![std::fs::File::open("/dev/null").unwrap().into()], "");
        let other = netns::create().unwrap();
        let elsewhere = netns::run(&other, udp).unwrap();
        refused(vec![elsewhere], "and not in");
        let mut held = Held::at(here(), Keeping::default());
        held.adopt(here(), "ports-1-0", vec![udp()]).unwrap();
        assert_eq!(held.all().count(), 1);
    });
}
