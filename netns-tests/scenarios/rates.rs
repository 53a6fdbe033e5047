//! How fast an endpoint may send and receive.

use crate::world::World;
use crate::world::said::{eventually, only_if};

/// Megabits a second that `from` gets through to `to`, by a transfer of a fixed size.
fn mbit(from: crate::world::place::Place<'_>, to: &str, port: u16, kbytes: u64) -> f64 {
    let took = from.sends(to, port, kbytes);
    kbytes as f64 * 8.0 / 1000.0 / took.as_secs_f64()
}

pub(crate) fn rates_hold_in_both_directions_and_can_be_seen(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    let slow = w.attach("slow", "front", "--rate-in 20mbit --rate-out 10mbit");
    let fast = w.attach("fast", "front", "");
    let (_slow, _fast) = (slow.swallows(9), fast.swallows(9));
    for (from, to, kbytes, wanted) in [(fast, "10.9.0.2", 2500, 20.0), (slow, "10.9.0.3", 1250, 10.0)] {
        // No processor is too busy to be held back, but it may be too busy to send as fast as it may.
        eventually("it is as fast as it may be", || {
            let rate = mbit(from, to, 9, kbytes);
            assert!(rate < 1.2 * wanted, "{rate} Mbit/s instead of {wanted}");
            only_if(rate > 0.8 * wanted, rate)
        });
    }
    let seen = w.bowline("endpoint inspect slow").json();
    assert_eq!(seen[0]["interfaces"][0]["rate_in_bits_per_s"], 20_000_000);
    assert_eq!(seen[0]["interfaces"][0]["rate_out_bits_per_s"], 10_000_000);
    w.kill();
    w.start();
    let rate = mbit(fast, "10.9.0.2", 9, 2500);
    assert!(rate < 24.0, "{rate} Mbit/s");
    eventually("the other one is fast", || {
        let rate = mbit(fast, "10.9.0.3", 9, 2500);
        only_if(rate > 100.0, rate)
    });
    w.tries("endpoint create x --netns slow --network front --rate-in 1").refused("BWL-1113", 2);
}
