//! What an owned address costs. Not a test: run it with `--release -- speed --ignored --nocapture`.

use std::hint::black_box;
use std::time::Instant;

use super::*;

const ROUNDS: u32 = 2_000_000;

#[test]
#[ignore = "measures"]
fn speed() {
    for size in [10, 10_000] {
        let zone = Zone::new("front".parse().unwrap(), vec!["10.0.0.0/8".parse().unwrap()]);
        for n in 0..size {
            let address = Ipv4Addr::from_bits(0x0a00_0000 + n).to_string();
            let names = [&format!("web{n}")[..], &format!("host{n}"), &format!("{n:012x}"), "all"];
            zone.put(Id(n.into()), entry(&names, &[&address], &[]));
        }
        let view = View { links: Vec::new(), zones: vec![Arc::new(zone)], ..view() };
        // In an order that no cache foresees.
        let asked = |kind: u16, tail: &str| -> Vec<Vec<u8>> {
            let order = (0..size).map(|n| (n * 7_919) % size);
            order.map(|n| with_edns(query(&format!("web{n}{tail}"), kind), 1232, 0, false)).collect()
        };
        let what = [
            ("A", asked(kind::A, "")),
            ("A .front", asked(kind::A, ".front")),
            ("AAAA, nothing", asked(kind::AAAA, "")),
            ("A, not ours", asked(kind::A, ".com")),
            ("PTR", vec![with_edns(query("2.0.0.10.in-addr.arpa", kind::PTR), 1232, 0, false)]),
        ];
        for (title, queries) in what {
            let mut out = Vec::with_capacity(65_535);
            let began = Instant::now();
            for (turn, query) in (0..ROUNDS).zip(queries.iter().cycle()) {
                black_box(answer(black_box(query), Transport::Udp, &view, turn, &mut out));
            }
            println!("{size:>6} endpoints, {title}: {} ns", began.elapsed().as_nanos() / u128::from(ROUNDS));
        }
    }
}
