//! One part of the cache: what is kept by its hash, and each source's in the order in which they came.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Instant;

use super::Source;
use super::kept::Kept;

/// What an answer costs beside its bytes: itself, the two allocations' own words, and its slots in a map and in a queue that
/// may be little more than half (map: less than half, at 7/8 load) full.
const OVERHEAD: usize = size_of::<Kept>() + 2 * 16 + 40 + 16;

/// What a source costs beside its answers: its slot in a map, and the first slots of its queue.
const LINE: usize = 2 * size_of::<(Source, Line)>() + 64;

/// How often what is wanted is passed over before one is pushed out all the same: work is bounded.
const CHANCES: usize = 8;

#[derive(Debug)]
pub(super) struct Shard {
    most: usize,
    bytes: usize,
    answers: HashMap<u64, Box<Kept>, BuildHasherDefault<AsIs>>,
    sources: HashMap<Source, Line>,
}

/// One source's answers, the oldest first: each hash once for each answer that is kept.
#[derive(Debug)]
struct Line {
    bytes: usize,
    hashes: VecDeque<u64>,
}

/// Keys of the map are hashes already, made with a secret.
#[derive(Debug, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Shard {
    pub(super) fn new(most: usize) -> Shard {
        Shard { most, bytes: 0, answers: HashMap::default(), sources: HashMap::default() }
    }

    pub(super) fn get(&mut self, hash: u64, key: &[u8], now: Instant) -> Option<&Kept> {
        let kept = self.answers.get_mut(&hash).filter(|kept| kept.key() == key && kept.holds(now))?;
        kept.wanted = true;
        Some(kept)
    }

    /// What is dead is not looked for: it is replaced in its place, or pushed out when its turn comes.
    pub(super) fn put(&mut self, hash: u64, source: Source, mut kept: Kept, now: Instant) {
        let cost = kept.bytes() + OVERHEAD;
        let old = self.answers.get_mut(&hash);
        // Two keys of one hash, once in 2^64: the one that came first stays.
        if LINE + cost > self.most / 2 || old.as_ref().is_some_and(|old| old.key() != kept.key()) {
            return;
        }
        let line = self.sources.entry(source).or_insert_with(|| {
            self.bytes += LINE;
            Line { bytes: LINE, hashes: VecDeque::new() }
        });
        match old {
            Some(old) => {
                let before = old.bytes() + OVERHEAD;
                self.bytes -= before;
                line.bytes -= before;
                kept.wanted = old.wanted;
                **old = kept;
            }
            None => {
                line.hashes.push_back(hash);
                self.answers.insert(hash, Box::new(kept));
            }
        }
        line.bytes += cost;
        self.bytes += cost;
        while self.sources.get(&source).is_some_and(|line| line.bytes > self.most / 2) {
            self.push_out(source, now);
        }
        while self.bytes > self.most
            && let Some((&biggest, _)) = self.sources.iter().max_by_key(|(_, line)| line.bytes)
        {
            self.push_out(biggest, now);
        }
    }

    /// Lets go of a source's oldest answer, or of a later one where the oldest were asked for and still hold: a flood of
    /// names that nobody asks for twice goes before what is in use.
    fn push_out(&mut self, source: Source, now: Instant) {
        let Some(line) = self.sources.get_mut(&source) else { return };
        let mut chances = CHANCES;
        while let Some(hash) = line.hashes.pop_front() {
            let spared = self.answers.get_mut(&hash).filter(|kept| kept.wanted && kept.holds(now));
            if let Some(kept) = spared.filter(|_| chances > 0) {
                kept.wanted = false;
                chances -= 1;
                line.hashes.push_back(hash);
                continue;
            }
            if let Some(kept) = self.answers.remove(&hash) {
                let cost = kept.bytes() + OVERHEAD;
                line.bytes -= cost;
                self.bytes -= cost;
            }
            break;
        }
        if line.hashes.is_empty() {
            self.sources.remove(&source);
            self.bytes -= LINE;
        }
    }

    /// It is empty; what was in it is the caller's, to be let go of where nobody waits.
    pub(super) fn flush(&mut self) -> Shard {
        std::mem::replace(self, Shard::new(self.most))
    }

    pub(super) fn len(&self) -> usize {
        self.answers.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
