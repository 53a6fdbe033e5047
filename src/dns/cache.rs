//! What servers answered, for as long as they said it holds. Shared by all threads; bounded in bytes.
//!
//! A key is spread over eight shards, each behind a lock of its own that is held for one look-up and one copy. Every shard has its
//! part of the bytes, and no source may have more than half of that part, so that whoever asks much pushes out its own.

mod kept;
mod shard;
mod walk;

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use kept::{Asked, Kept};
use shard::Shard;
pub(crate) use walk::question_end;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) use walk::record;

/// Whose answers: those of one list of servers, asked from one place. Two lists never share an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source(pub u64);

const SHARDS: usize = 8;

#[derive(Debug)]
pub struct Cache {
    shards: [Mutex<Shard>; SHARDS],
    /// Nobody outside can choose names that fall into one place.
    secret: RandomState,
}

impl Cache {
    pub fn new(most_bytes: usize) -> Cache {
        let shard = |_| Mutex::new(Shard::new(most_bytes / SHARDS));
        Cache { shards: std::array::from_fn(shard), secret: RandomState::new() }
    }

    /// Writes the answer over what is in `out`: the asker's id and its spelling of the name, and times to live less by what
    /// has passed. False where there is none that holds.
    pub fn get(&self, source: Source, query: &[u8], now: Instant, out: &mut Vec<u8>) -> bool {
        out.clear();
        let Some(asked) = Asked::of(source, query) else { return false };
        let (hash, mut shard) = self.place(asked.key());
        shard.get(hash, asked.key(), now).is_some_and(|kept| {
            kept.write(query, asked.end(), now, out);
            true
        })
    }

    /// Keeps a reply that [`crate::upstream::matches`] its query, if it may be kept (RFC 2308, RFC 8020 left out). A query
    /// that did not ask for recursion teaches nothing to those that do.
    pub fn put(&self, source: Source, query: &[u8], reply: &[u8], now: Instant) {
        let Some(asked) = Asked::of(source, query).filter(Asked::wants_recursion) else { return };
        if let Some(kept) = Kept::of(&asked, query, reply, now) {
            let (hash, mut shard) = self.place(asked.key());
            shard.put(hash, source, kept, now);
        }
    }

    /// How many answers it held.
    pub fn flush(&self) -> usize {
        // What was held is let go of after the lock.
        let flushed = |shard| locked(shard).flush().len();
        self.shards.iter().map(flushed).sum()
    }

    /// How many answers it holds, with those that nobody has pushed out since they died.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| locked(shard).len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What all that it holds costs, in bytes: never more than it was made for.
    pub fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| locked(shard).bytes()).sum()
    }

    /// The map of a shard finds its place by the lowest and highest bits, so the shard is chosen by others.
    fn place(&self, key: &[u8]) -> (u64, MutexGuard<'_, Shard>) {
        let hash = self.secret.hash_one(key);
        (hash, locked(&self.shards[(hash >> 32) as usize % SHARDS]))
    }
}

fn locked(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
