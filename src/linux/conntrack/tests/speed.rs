//! What forgetting costs, by hand:
//! `cargo test -p bowline-linux -- --ignored --nocapture conntrack_speed`

use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use bowline_core::family::Family;
use bowline_core::port::{At, Ports, Protocol};

use super::world::{TRACKING, world};
use crate::conntrack::{Conntrack, Flows, Towards};

#[test]
#[ignore = "prints figures, and checks none"]
fn conntrack_speed() {
    world(TRACKING, |_| {
        let buckets = std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_buckets").unwrap();
        println!("buckets: {}", buckets.trim());
        let _receivers = [53, 54].map(|port| UdpSocket::bind(("0.0.0.0", port)).unwrap());
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let send = |flows, port| {
            for i in 0..flows {
                sender.send_to(b"word", (Ipv4Addr::from_bits(0x7f00_0001 + i), port)).unwrap();
            }
        };
        let mut conntrack = Conntrack::open().unwrap();
        measure("an empty table", || assert_eq!(conntrack.forget(&udp(At::Everywhere)).unwrap(), 0));
        for others in [1, 1000, 10_000, 100_000] {
            send(others, 54);
            for (at, what) in [(At::Everywhere, "both families"), (At::All(Family::V4), "IPv4")] {
                for (filter_from, how) in [(None, "without"), (Some(0), "with")] {
                    conntrack.filter_from = filter_from;
                    let flows = udp(at);
                    measure(&format!("one port, {what}, {how} filter, beside {others} flows"), || {
                        send(1, 53);
                        assert_eq!(conntrack.forget(&flows).unwrap(), 1);
                    });
                }
            }
        }
        send(10_000, 53);
        let start = Instant::now();
        let forgotten = conntrack.forget(&udp(At::Everywhere)).unwrap();
        println!("{forgotten} flows of one port beside 100000: {:?}", start.elapsed());
    });
}

fn udp(at: At) -> Flows {
    let ports = Ports::one(53).unwrap();
    let towards = Towards { at, protocol: Protocol::Udp, ports, to: Vec::new() };
    Flows { towards: vec![towards], ..Flows::default() }
}

fn measure(what: &str, mut step: impl FnMut()) {
    const TIMES: usize = 20;
    let mut took: Vec<Duration> = (0..TIMES)
        .map(|_| {
            let start = Instant::now();
            step();
            start.elapsed()
        })
        .collect();
    took.sort();
    let at = |percent: usize| took[(TIMES - 1) * percent / 100];
    println!("{what}: min {:?} p50 {:?} p90 {:?} max {:?}", at(0), at(50), at(90), at(100));
}
