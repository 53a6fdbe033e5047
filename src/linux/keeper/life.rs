//! How long a keeper lives. It decides by what it is told; whoever asks has the clock.

use std::time::{Duration, Instant};

/// A daemon that was stopped or updated, or a host whose daemon does not come up at once, is back by then. Longer, the
/// namespaces of containers that have ended would stay.
const ALONE: Duration = Duration::from_secs(15 * 60);

/// A daemon comes at once to the keeper that it has started, if it comes at all.
const FIRST: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// For that long, where nothing happens before.
    Stay(Option<Duration>),
    End,
}

#[derive(Debug)]
pub(super) struct Life {
    /// Since when nobody is connected, or since the keeper began.
    alone: Instant,
    met: bool,
}

impl Life {
    pub(super) fn begin(now: Instant) -> Life {
        Life { alone: now, met: false }
    }

    /// What to do while so many are connected, and something is kept or nothing.
    pub(super) fn verdict(&mut self, connected: usize, keeps: bool, now: Instant) -> Verdict {
        if connected > 0 {
            self.met = true;
            self.alone = now;
            return Verdict::Stay(None);
        }
        let patience = match (keeps, self.met) {
            (true, _) => ALONE,
            (false, false) => FIRST,
            (false, true) => return Verdict::End,
        };
        match (self.alone + patience).saturating_duration_since(now) {
            Duration::ZERO => Verdict::End,
            left => Verdict::Stay(Some(left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lives_while_it_keeps_something_and_a_daemon_is_there_or_was_lately() {
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let mut life = Life::begin(begin);
        assert_eq!(life.verdict(1, false, at(1)), Verdict::Stay(None));
        assert_eq!(life.verdict(1, true, at(5000)), Verdict::Stay(None));
        assert_eq!(life.verdict(0, true, at(5000)), Verdict::Stay(Some(ALONE)));
        assert_eq!(life.verdict(0, true, at(5899)), Verdict::Stay(Some(Duration::from_secs(1))));
        assert_eq!(life.verdict(1, true, at(5899)), Verdict::Stay(None), "a daemon is back in time");
        assert_eq!(life.verdict(0, true, at(6798)), Verdict::Stay(Some(Duration::from_secs(1))));
        assert_eq!(life.verdict(0, true, at(6799)), Verdict::End);
    }

    #[test]
    fn with_nothing_kept_it_ends_when_it_is_left() {
        let begin = Instant::now();
        let mut life = Life::begin(begin);
        life.verdict(1, false, begin);
        assert_eq!(life.verdict(0, false, begin), Verdict::End);
    }

    #[test]
    fn one_that_nobody_comes_to_ends_soon() {
        let begin = Instant::now();
        let mut life = Life::begin(begin);
        assert_eq!(life.verdict(0, false, begin), Verdict::Stay(Some(FIRST)));
        assert_eq!(life.verdict(0, false, begin + FIRST), Verdict::End);
    }
}
