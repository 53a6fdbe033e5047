//! Ids of questions that nobody can guess from those before.

use std::hash::{BuildHasher, RandomState};

/// A counter through a keyed hash (SipHash), the key of which is the system's randomness and never leaves us.
#[derive(Debug)]
pub(super) struct Ids {
    key: RandomState,
    turn: u64,
}

impl Ids {
    pub(super) fn new() -> Ids {
        Ids { key: RandomState::new(), turn: 0 }
    }

    pub(super) fn next(&mut self) -> u16 {
        self.turn = self.turn.wrapping_add(1);
        self.key.hash_one(self.turn) as u16
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_spread_over_all_numbers_and_differ_from_run_to_run() {
        let run = || {
            let mut ids = Ids::new();
            (0..4096).map(|_| ids.next()).collect::<Vec<_>>()
        };
        let first = run();
        // 4096 draws of 65536 hit about 3970 different ones.
        assert!(first.iter().collect::<HashSet<_>>().len() > 3800);
        assert!(
            (0..16).all(|bit| (1500..2600).contains(&first.iter().filter(|id| **id >> bit & 1 == 1).count()))
        );
        assert_ne!(first, run());
    }
}
