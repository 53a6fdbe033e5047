//! How long it takes to hold many ports. Run by hand, on a quiet machine:
//! `cargo test --release -p bowline-linux hold::tests::speed -- --ignored --nocapture`

use std::time::Instant;

use super::space::{port, space};
use crate::hold::{Held, raise_file_limit};

const MANY: u16 = 10_000;

#[test]
#[ignore = "it measures"]
fn holding_ten_thousand_ports() {
    raise_file_limit().unwrap();
    space(|| {
        for protocol in ["tcp", "udp"] {
            let ports: Vec<_> = (1..=MANY).map(|n| port(&format!("{n}/{protocol}"))).collect();
            let mut held = Held::default();
            let timed = |what: &str, run: &mut dyn FnMut()| {
                let begin = Instant::now();
                run();
                println!("{what} a port of {protocol}: {:?}", begin.elapsed() / u32::from(MANY));
            };
            timed("hold", &mut || held.hold(&ports).unwrap());
            assert_eq!(held.all().count(), usize::from(MANY));
            timed("hold again", &mut || held.hold(&ports).unwrap());
            timed("free", &mut || held.free(&ports));
            timed("hold, memory being warm,", &mut || held.hold(&ports).unwrap());
        }
    });
}
