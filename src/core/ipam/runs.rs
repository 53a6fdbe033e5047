//! A set of numbers that come mostly in runs: as small as the number of its runs.

use std::collections::BTreeMap;
use std::ops::Range;

use super::bits::Bits;

/// Each run by its last number, with its first: the run of `n`, if any, is then the first that ends at `n` or later,
/// and to take from the front moves no key. No two runs touch.
#[derive(Debug, Clone, Default)]
pub(super) struct Runs(BTreeMap<Bits, u128>);

impl Runs {
    pub(super) fn of(numbers: Range<u128>) -> Runs {
        if numbers.is_empty() {
            return Runs::default();
        }
        Runs(BTreeMap::from([(Bits(numbers.end - 1), numbers.start)]))
    }

    pub(super) fn first(&self) -> Option<Bits> {
        self.0.first_key_value().map(|(_, &start)| Bits(start))
    }

    /// False if it was not there.
    pub(super) fn remove(&mut self, n: u128) -> bool {
        let Some((&last, start)) = self.0.range_mut(Bits(n)..).next() else {
            return false;
        };
        let before = *start;
        if before > n {
            return false;
        }
        if last.0 == n {
            self.0.remove(&last);
        } else {
            *start = n + 1;
        }
        if before < n {
            self.0.insert(Bits(n - 1), before);
        }
        true
    }

    /// `n` must not be there yet.
    pub(super) fn insert(&mut self, n: u128) {
        let joined = n.checked_sub(1).and_then(|before| self.0.remove(&Bits(before)));
        let start = joined.unwrap_or(n);
        match self.0.range_mut(Bits(n)..).next() {
            Some((_, next)) if *next == n + 1 => *next = start,
            Some(_) | None => {
                self.0.insert(Bits(n), start);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn runs_are_a_set_in_the_fewest_runs(toggles in prop::collection::vec(0u128..40, 0..300)) {
            let mut runs = Runs::of(10..20);
            let mut set: BTreeSet<u128> = (10..20).collect();
            for n in toggles {
                if set.insert(n) {
                    runs.insert(n);
                } else {
                    set.remove(&n);
                    prop_assert!(runs.remove(n));
                    prop_assert!(!runs.remove(n));
                }
                prop_assert_eq!(runs.first().map(|n| n.0), set.first().copied());
                let fewest = set.iter().filter(|&&n| !set.contains(&(n + 1))).count();
                prop_assert_eq!(runs.count(), fewest);
            }
            while let Some(n) = set.pop_first() {
                prop_assert!(runs.remove(n));
            }
            prop_assert_eq!(runs.count(), 0);
        }
    }

    #[test]
    fn an_empty_range_has_no_run() {
        assert_eq!(Runs::of(5..5).first(), None);
    }
}
