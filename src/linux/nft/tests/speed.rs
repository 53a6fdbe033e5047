//! What things cost, by hand:
//! `cargo test --release -p bowline-linux -- --ignored --nocapture nft_speed`

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use bowline_core::firewall::Element;
use bowline_core::port::Protocol::Tcp;

use super::{in_namespace, many, network, port, put, seen, span};

#[test]
#[ignore = "prints figures, and checks none"]
fn nft_speed() {
    in_namespace(|| {
        let mut nft = put(&[]);
        let (a, b) = ([network("bl-a")], [super::net("10.9.0.0/24")]);
        measure("change: add one card", 1000, || nft.change(&a, &[]).unwrap());
        measure("change: delete and add one card", 1000, || nft.change(&a, &a).unwrap());
        measure("change: add and delete one prefix", 1000, || nft.change(&b, &b).unwrap());
        measure("elements: of no network", 200, || assert!(nft.elements().unwrap().is_some()));
        measure("put_frame: no network", 50, || nft.put_frame(&[].into()).unwrap());
        for networks in [10, 100, 2000] {
            let all = many(networks);
            measure(&format!("put_frame: {networks} networks"), 20, || nft.put_frame(&all).unwrap());
            measure(&format!("elements: {networks} networks"), 20, || assert!(seen(&mut nft) == all));
            measure(&format!("change: one card beside {networks} networks"), 200, || {
                nft.change(&a, &a).unwrap()
            });
        }
        let one = [port("0.0.0.0", Tcp, 1, "10.0.0.2", 80)];
        let span = [span("0.0.0.0", Tcp, 2, 3, "10.0.0.2")];
        for count in [0, 10_000] {
            let all: BTreeSet<Element> = ports(count).collect();
            measure(&format!("put_frame: {count} ports"), 20, || nft.put_frame(&all).unwrap());
            measure(&format!("elements: {count} ports"), 20, || assert!(seen(&mut nft) == all));
            measure(&format!("change: add one port beside {count}"), 1000, || nft.change(&one, &[]).unwrap());
            measure(&format!("change: delete and add one port beside {count}"), 1000, || {
                nft.change(&one, &one).unwrap()
            });
            measure(&format!("change: delete and add one span beside {count} ports"), 1000, || {
                nft.change(&span, &span).unwrap()
            });
        }
        let start = Instant::now();
        drop(nft);
        println!("close the socket: {:?}", start.elapsed());
    });
}

/// Each of a member of its own.
fn ports(count: u16) -> impl Iterator<Item = Element> {
    (0..count).map(|i| {
        let to = Ipv4Addr::from_bits(0x0a00_0002 + (u32::from(i) << 6));
        port("0.0.0.0", Tcp, 20_000 + i, &to.to_string(), 80)
    })
}

fn measure(what: &str, times: usize, mut step: impl FnMut()) {
    let mut took: Vec<Duration> = (0..times)
        .map(|_| {
            let start = Instant::now();
            step();
            start.elapsed()
        })
        .collect();
    took.sort();
    let at = |percent: usize| took[(times - 1) * percent / 100];
    println!("{what}: min {:?} p50 {:?} p90 {:?} max {:?}", at(0), at(50), at(90), at(100));
}
