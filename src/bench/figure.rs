//! A figure, its goal, and how a report of them reads.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::machine::Machine;

#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub bench: &'static str,
    pub machine: Machine,
    /// How many samples each percentile is of.
    pub samples: BTreeMap<&'static str, usize>,
    pub figures: BTreeMap<&'static str, Figure>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figure {
    pub value: f64,
    pub unit: &'static str,
    pub goal: f64,
    pub ok: bool,
}

impl Figure {
    pub fn at_most(value: f64, unit: &'static str, goal: f64) -> Figure {
        Figure { value, unit, goal, ok: value <= goal }
    }

    pub fn at_least(value: f64, unit: &'static str, goal: f64) -> Figure {
        Figure { value, unit, goal, ok: value >= goal }
    }
}

impl Report {
    pub fn new(bench: &'static str) -> Report {
        Report { bench, machine: Machine::here(), samples: BTreeMap::new(), figures: BTreeMap::new() }
    }

    pub fn all_ok(&self) -> bool {
        self.figures.values().all(|figure| figure.ok)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "bench {}", self.bench)?;
        writeln!(f, "{}\n", self.machine)?;
        writeln!(f, "{:<34} {:>10} {:>10}  {:<12} OK", "FIGURE", "VALUE", "GOAL", "UNIT")?;
        for (name, figure) in &self.figures {
            let ok = if figure.ok { "yes" } else { "NO" };
            let Figure { value, goal, unit, .. } = figure;
            writeln!(f, "{name:<34} {value:>10.2} {goal:>10.2}  {unit:<12} {ok}")?;
        }
        let samples: Vec<String> = self.samples.iter().map(|(name, n)| format!("{name} {n}")).collect();
        writeln!(f, "\nsamples: {}", samples.join(", "))
    }
}

/// The value that `share` of the samples do not exceed (nearest rank).
pub(crate) fn percentile(samples: &[Duration], share: f64) -> Duration {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// Of rates, the middle one.
pub(crate) fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_samples() {
        let samples: Vec<Duration> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&samples, 0.5), Duration::from_millis(50));
        assert_eq!(percentile(&samples, 0.99), Duration::from_millis(99));
        assert_eq!(percentile(&[], 0.5), Duration::ZERO);
    }

    #[test]
    fn a_figure_knows_its_side_of_the_goal() {
        assert!(Figure::at_most(1.0, "ms", 1.5).ok && !Figure::at_most(2.0, "ms", 1.5).ok);
        assert!(Figure::at_least(2.0, "1/s", 1.5).ok && !Figure::at_least(1.0, "1/s", 1.5).ok);
    }
}
