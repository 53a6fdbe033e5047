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

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// None where it was not measured, and `missing` says why.
    pub value: Option<f64>,
    pub unit: &'static str,
    pub goal: f64,
    pub ok: bool,
    /// The least and the most of the rounds that the value is the median of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spread: Option<[f64; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<&'static str>,
}

impl Figure {
    pub fn at_most(value: f64, unit: &'static str, goal: f64) -> Figure {
        Figure { value: Some(value), unit, goal, ok: value <= goal, spread: None, missing: None }
    }

    pub fn at_least(value: f64, unit: &'static str, goal: f64) -> Figure {
        Figure { value: Some(value), unit, goal, ok: value >= goal, spread: None, missing: None }
    }

    /// Never as good as one that was: what cannot be measured is not met.
    pub fn not_measured(unit: &'static str, goal: f64, missing: &'static str) -> Figure {
        Figure { value: None, unit, goal, ok: false, spread: None, missing: Some(missing) }
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
            let Figure { goal, unit, .. } = figure;
            let value = figure.value.map_or("-".to_string(), |value| format!("{value:.2}"));
            write!(f, "{name:<34} {value:>10} {goal:>10.2}  {unit:<12} {ok}")?;
            if let Some([least, most]) = figure.spread {
                write!(f, "{:width$}({least:.2} to {most:.2})", "", width = 4 - ok.len())?;
            }
            if let Some(missing) = figure.missing {
                write!(f, "  not measured: {missing}")?;
            }
            writeln!(f)?;
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
        // What is no number meets nothing.
        assert!(!Figure::at_most(f64::NAN, "ms", 1.5).ok && !Figure::at_least(f64::NAN, "ms", 1.5).ok);
    }

    #[test]
    fn what_was_not_measured_has_no_value_and_is_not_met() {
        let mut report = Report::new("dns");
        let missing = Figure::not_measured("ratio", 0.0, "install nsd");
        let json = serde_json::to_value(&missing).expect("a figure is JSON");
        assert_eq!((json["value"].is_null(), json["ok"].as_bool()), (true, Some(false)));
        report.figures.insert("owned_over_nsd", missing);
        assert!(!report.all_ok());
        let text = report.to_string();
        assert!(text.contains("not measured: install nsd") && !text.contains("yes"), "{text}");
    }

    #[test]
    fn a_spread_stands_beside_its_figure() {
        let mut report = Report::new("dns");
        let spread = Some([0.91, 1.07]);
        report.figures.insert("owned_over_nsd", Figure { spread, ..Figure::at_least(1.0, "ratio", 0.9) });
        assert!(report.to_string().contains("(0.91 to 1.07)"), "{report}");
    }
}
