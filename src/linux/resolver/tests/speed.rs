//! What making ears costs, by hand:
//! `cargo test --release -p bowline-linux --lib -- --ignored --nocapture resolver_speed`

use std::time::{Duration, Instant};

use super::{container, inside};
use crate::resolver::{Ears, is_rewriting, lead_to, make, unmake};

#[test]
#[ignore = "prints figures, and checks none"]
fn resolver_speed() {
    let containers: Vec<_> = (0..100).map(|_| container()).collect();
    let mut ears: Vec<Ears> = Vec::new();
    measure("make", containers.iter().map(|ns| inside(ns, || timed(|| ears.push(make().unwrap())))));
    let there = containers.iter();
    measure("look", there.map(|ns| inside(ns, || timed(|| assert!(is_rewriting().unwrap())))));
    let pairs = containers.iter().zip(&ears);
    measure("put again", pairs.map(|(ns, ears)| inside(ns, || timed(|| lead_to(ears).unwrap()))));
    measure("unmake", containers.iter().map(|ns| inside(ns, || timed(|| unmake().unwrap()))));
}

fn timed(step: impl FnOnce()) -> Duration {
    let start = Instant::now();
    step();
    start.elapsed()
}

fn measure(what: &str, took: impl Iterator<Item = Duration>) {
    let mut took: Vec<Duration> = took.collect();
    took.sort();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    println!("{what}: min {:?} p50 {:?} p90 {:?} max {:?}", at(0), at(50), at(90), at(100));
}

/// What the table costs what passes it: `.. --ignored --nocapture passing_speed`
#[test]
#[ignore = "prints figures, and checks none"]
fn passing_speed() {
    let (with, without) = (container(), container());
    let ears = super::ears(&with);
    let beside = (super::client(&with, "127.0.0.1:0", "127.0.0.1:7777"), bound(&with));
    let direct = (super::client(&without, "127.0.0.1:0", "127.0.0.1:7777"), bound(&without));
    let asked = super::client(&with, "127.0.0.1:0", "127.0.0.11:53");
    let steps: [(&str, &dyn Fn()); 5] = [
        ("a datagram on the loopback without a table", &|| pass(&direct.0, &direct.1)),
        ("a datagram on the loopback beside the table", &|| pass(&beside.0, &beside.1)),
        ("a query to the ear", &|| pass(&asked, &ears.udp)),
        ("a query and its answer without a table", &|| ask(&direct.0, &direct.1)),
        ("a query to the ear and its answer", &|| ask(&asked, &ears.udp)),
    ];
    const TIMES: u32 = 200;
    let mut best = [Duration::MAX; 5];
    // In turns, so that what else the machine does falls on all alike; the best of each is the least disturbed.
    for _ in 0..1000 {
        for ((_, step), best) in steps.iter().zip(&mut best) {
            *best = timed(|| (0..TIMES).for_each(|_| step())).min(*best);
        }
    }
    for ((what, _), best) in steps.iter().zip(best) {
        println!("{what}: {:?}", best / TIMES);
    }
}

fn bound(ns: &std::os::fd::OwnedFd) -> std::net::UdpSocket {
    let socket = inside(ns, || std::net::UdpSocket::bind("127.0.0.1:7777")).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

fn pass(from: &std::net::UdpSocket, to: &std::net::UdpSocket) {
    from.send(&[0; 40]).unwrap();
    assert_eq!(to.recv(&mut [0; 64]).unwrap(), 40);
}

fn ask(from: &std::net::UdpSocket, to: &std::net::UdpSocket) {
    from.send(&[0; 40]).unwrap();
    let (_, client) = to.recv_from(&mut [0; 64]).unwrap();
    to.send_to(&[0; 56], client).unwrap();
    assert_eq!(from.recv(&mut [0; 64]).unwrap(), 56);
}
