//! Every figure of `bench dns`, with its goal: what a round's values are held against.

use std::time::Duration;

use crate::figure::{Figure, Report, median, ms, percentile};

#[derive(Debug, Clone, Copy)]
pub(super) struct Goal {
    name: &'static str,
    unit: &'static str,
    side: Side,
    goal: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    AtLeast,
    AtMost,
}

pub(super) const OWNED_RATE: Goal = told("owned_rate", "1/s");
pub(super) const OWNED_LATENCY: Goal = told("owned_latency", "ms");
pub(super) const OWNED_OVER_NSD: Goal = at_least("owned_over_nsd", "ratio", 0.9);
pub(super) const OWNED_LATENCY_OVER_NSD: Goal = at_most("owned_latency_over_nsd", "ratio", 1.0);
pub(super) const OWNED_OVER_AARDVARK: Goal = at_least("owned_over_aardvark", "ratio", 1.5);
pub(super) const MANY_OVER_FEW: Goal = at_least("owned_10000_over_20", "ratio", 0.9);
pub(super) const MANY_OVER_NSD: Goal = at_least("owned_10000_over_nsd", "ratio", 0.9);
pub(super) const MANY_LATENCY_OVER_NSD: Goal = at_most("owned_10000_latency_over_nsd", "ratio", 1.0);
pub(super) const OWNED_LOST: Goal = at_most("owned_lost_or_wrong", "queries", 0.0);

pub(super) const CACHED_OVER_OWNED: Goal = at_least("cached_over_owned", "ratio", 0.8);
pub(super) const UNCACHED_RATE: Goal = at_least("uncached_rate", "1/s", 40_000.0);
pub(super) const FORWARDED_LOST: Goal = at_most("forwarded_lost_or_wrong", "queries", 0.0);

pub(super) const QUIET_P99: Goal = at_most("quiet_p99", "ms", 5.0);
pub(super) const FLOOD_LOST: Goal = at_most("flood_lost_or_wrong", "queries", 0.0);
pub(super) const FLOOD_GROWTH: Goal = at_most("flood_rss_growth", "MiB", 32.0);

pub(super) const RESTART_P99: Goal = at_most("restart_p99", "ms", 150.0);
pub(super) const RESTART_WORST: Goal = told("restart_worst", "ms");
pub(super) const RESTART_LOST: Goal = at_most("restart_lost_or_wrong", "queries", 0.0);

pub(super) const fn at_least(name: &'static str, unit: &'static str, goal: f64) -> Goal {
    Goal { name, unit, side: Side::AtLeast, goal }
}

pub(super) const fn at_most(name: &'static str, unit: &'static str, goal: f64) -> Goal {
    Goal { name, unit, side: Side::AtMost, goal }
}

/// For the reader of the report, who may want to know: any value will do.
const fn told(name: &'static str, unit: &'static str) -> Goal {
    at_least(name, unit, 0.0)
}

impl Goal {
    pub(super) fn measured(self, report: &mut Report, value: f64) {
        report.figures.insert(self.name, self.figure(value));
    }

    /// The median of the rounds, with their spread.
    pub(super) fn of_rounds(self, report: &mut Report, rounds: &[f64]) {
        let least = rounds.iter().copied().fold(f64::INFINITY, f64::min);
        let most = rounds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let figure = Figure { spread: Some([least, most]), ..self.figure(median(rounds)) };
        report.figures.insert(self.name, figure);
    }

    /// Of what was answered. Where nothing was, there is no latency, and none is short.
    pub(super) fn percentile(self, report: &mut Report, latencies: &[Duration], share: f64) {
        if latencies.is_empty() {
            self.missing(report, "nothing was answered");
        } else {
            self.measured(report, ms(percentile(latencies, share)));
        }
    }

    pub(super) fn missing(self, report: &mut Report, why: &'static str) {
        report.figures.insert(self.name, Figure::not_measured(self.unit, self.goal, why));
    }

    fn figure(self, value: f64) -> Figure {
        match self.side {
            Side::AtLeast => Figure::at_least(value, self.unit, self.goal),
            Side::AtMost => Figure::at_most(value, self.unit, self.goal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_told_by_their_median_and_their_ends() {
        let mut report = Report::new("dns");
        OWNED_OVER_NSD.of_rounds(&mut report, &[0.8, 1.2, 0.95]);
        let figure = &report.figures["owned_over_nsd"];
        assert_eq!((figure.value, figure.spread, figure.ok), (Some(0.95), Some([0.8, 1.2]), true));
    }

    #[test]
    fn the_latency_of_nothing_is_not_short() {
        let mut report = Report::new("dns");
        RESTART_P99.percentile(&mut report, &[], 0.99);
        assert_eq!((report.figures["restart_p99"].value, report.all_ok()), (None, false));
        RESTART_P99.percentile(&mut report, &[Duration::from_millis(3)], 0.99);
        assert_eq!((report.figures["restart_p99"].value, report.all_ok()), (Some(3.0), true));
    }

    #[test]
    fn no_rounds_meet_no_goal() {
        let mut report = Report::new("dns");
        OWNED_OVER_NSD.of_rounds(&mut report, &[]);
        assert!(!report.all_ok(), "{report}");
    }
}
