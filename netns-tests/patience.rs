//! How long to wait for what comes, and for what does not: an emulated processor is slow, so in the guest all is longer.

use std::env;
use std::sync::OnceLock;
use std::time::Duration;

/// The guest's first process says that it is the guest.
const GUEST: &str = "BOWLINE_TEST_GUEST";

const LONGER: u32 = 5;

/// As long as this on a real machine.
pub(crate) fn stretched(time: Duration) -> Duration {
    static GUEST_IS_SET: OnceLock<bool> = OnceLock::new();
    match GUEST_IS_SET.get_or_init(|| env::var_os(GUEST).is_some()) {
        true => time * LONGER,
        false => time,
    }
}

pub(crate) fn milliseconds(time: Duration) -> String {
    stretched(time).as_millis().to_string()
}

/// With a fraction, as `ping` and `timeout` take it.
pub(crate) fn seconds(time: Duration) -> String {
    stretched(time).as_secs_f64().to_string()
}
