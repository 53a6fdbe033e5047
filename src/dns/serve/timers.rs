//! What is to be looked at when, the next first. An entry is never taken back: who is woken looks whether it was meant.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use super::slab::Key;

/// Whom to wake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Flight(Key),
    Connection(Key),
    /// The sockets of an ear that are paused.
    Ear(Key),
}

/// So many may be of things that are gone in any case.
const SLACK: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, Timer)>>,
}

impl Timers {
    pub(super) fn set(&mut self, at: Instant, timer: Timer) {
        self.heap.push(Reverse((at, timer)));
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Forgets those of things that are gone, once they are most of all: who begins and ends things by the thousand is not to
    /// fill our memory with times.
    pub(super) fn tidy(&mut self, alive: usize, is_alive: impl Fn(Timer) -> bool) {
        if self.heap.len() > 4 * alive + SLACK {
            self.heap.retain(|Reverse((_, timer))| is_alive(*timer));
        }
    }

    /// One that is due, and when it was.
    pub(super) fn due(&mut self, now: Instant) -> Option<(Instant, Timer)> {
        let Reverse((at, timer)) = *self.heap.peek()?;
        if at > now {
            return None;
        }
        self.heap.pop();
        Some((at, timer))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn flight(index: u32) -> Timer {
        Timer::Flight(Key { index, generation: 0 })
    }

    #[test]
    fn what_is_due_comes_in_order_and_nothing_before_its_time() {
        let (now, mut timers) = (Instant::now(), Timers::default());
        let later = now + Duration::from_secs(1);
        timers.set(later, flight(2));
        timers.set(now, flight(1));
        assert_eq!((timers.next(), timers.due(now)), (Some(now), Some((now, flight(1)))));
        assert_eq!((timers.due(now), timers.next()), (None, Some(later)));
        assert_eq!(timers.due(later), Some((later, flight(2))));
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn times_of_what_is_gone_are_forgotten_and_others_kept() {
        let (now, mut timers) = (Instant::now(), Timers::default());
        for index in 0..2 * SLACK as u32 {
            timers.set(now, flight(index));
        }
        timers.tidy(1, |timer| timer == flight(7));
        assert_eq!((timers.due(now), timers.due(now)), (Some((now, flight(7))), None));
    }
}
