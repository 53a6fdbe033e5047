//! Two ways of the same thing, compared in pairs: what the machine does otherwise comes and goes over seconds, and meets
//! both stretches of a pair alike. Which is first changes from pair to pair, for the second finds warm caches.

use bowline_core::Result;

use crate::figure::{Figure, median};

/// The rates of both, and how the first compares with the second.
#[derive(Debug, Default)]
pub(crate) struct Paired {
    pub(crate) rates: [Vec<f64>; 2],
    ratios: Vec<f64>,
}

impl Paired {
    /// One stretch of each; `measure` is asked for the 0th or the 1st of them.
    pub(crate) fn round(&mut self, mut measure: impl FnMut(usize) -> Result<f64>) -> Result<()> {
        let first = self.ratios.len() % 2;
        let mut rate = [0.0; 2];
        for at in [first, 1 - first] {
            rate[at] = measure(at)?;
            self.rates[at].push(rate[at]);
        }
        self.ratios.push(rate[0] / rate[1]);
        Ok(())
    }

    pub(crate) fn rounds(&self) -> usize {
        self.ratios.len()
    }

    pub(crate) fn median_of(&self, at: usize) -> f64 {
        median(&self.rates[at])
    }

    /// The median of the ratios, and where the ratio of all rounds that could be made would be 95 times in a hundred.
    pub(crate) fn ratio_at_least(&self, goal: f64) -> Figure {
        Figure { spread: interval(&self.ratios), ..Figure::at_least(median(&self.ratios), "ratio", goal) }
    }
}

/// The interval that holds the median with a confidence of 95 %, whatever the samples are distributed like: by the ranks that
/// a binomial distribution of a half leaves outside on both sides, in its normal approximation. None for few samples.
fn interval(samples: &[f64]) -> Option<[f64; 2]> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let reach = 1.96 * n.sqrt() / 2.0;
    let low = (n / 2.0 - reach).floor() - 1.0;
    if low < 0.0 {
        return None;
    }
    let low = low as usize;
    Some([*sorted.get(low)?, *sorted.get(sorted.len() - 1 - low)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_machine_does_meanwhile_meets_both() {
        let mut paired = Paired::default();
        // Ten times slower in some rounds, and always 2 % less of the first.
        for slow in [1.0, 10.0, 1.0, 1.0, 10.0, 10.0] {
            paired.round(|at| Ok(if at == 0 { 98.0 } else { 100.0 } / slow)).unwrap();
        }
        let ratio = paired.ratio_at_least(0.97);
        assert!(ratio.ok && (ratio.value.unwrap() - 0.98).abs() < 1e-9, "{ratio:?}");
        assert_eq!((paired.rounds(), paired.rates[0].len()), (6, 6));
    }

    #[test]
    fn each_is_first_as_often_as_the_other() {
        let mut order = Vec::new();
        let mut paired = Paired::default();
        for _ in 0..2 {
            paired
                .round(|at| {
                    order.push(at);
                    Ok(1.0)
                })
                .unwrap();
        }
        assert_eq!(order, [0, 1, 1, 0]);
    }

    #[test]
    fn the_interval_narrows_with_more_samples_and_few_have_none() {
        let samples: Vec<f64> = (1..=100).map(f64::from).collect();
        // Tables of the sign test have 40 and 61.
        assert_eq!(interval(&samples), Some([40.0, 61.0]));
        assert_eq!(interval(&samples[..3]), None);
        assert_eq!(interval(&[]), None);
    }
}
