//! The time since this host was booted, asleep or awake: a daemon that starts again finds it gone on, and nobody sets it.

use std::time::Duration;

use bowline_core::lease::Lease;
use nix::time::{ClockId, clock_gettime};

pub(crate) fn now() -> Duration {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("Linux has had this clock since 2.6.39");
    Duration::from(now)
}

/// The same for people, by the clock on the wall as it is now. None where that is never.
pub(crate) fn unix_ms(at: Duration) -> Option<u64> {
    let wall = clock_gettime(ClockId::CLOCK_REALTIME).expect("there is a clock on the wall");
    let booted = Duration::from(wall).saturating_sub(now());
    (at != Lease::NEVER).then(|| u64::try_from(booted.saturating_add(at).as_millis()).unwrap_or(u64::MAX))
}
