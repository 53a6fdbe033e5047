//! The last queries of one thread, as bytes in slots that are written again and again. Words are made of them only for who
//! reads them.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bowline_core::place::Place;

use super::decode::{answers, outcome, question};
use super::{From, Line};

/// How many queries a ring remembers.
pub(crate) const SLOTS: usize = 2048;

/// Header, the longest name, type and class.
const QUESTION: usize = 12 + 255 + 4;
/// Enough of a reply to say what was answered.
const REPLY: usize = 512;
/// A name of ours has at most 64 bytes.
const ENDPOINT: usize = 64;

/// What is to be remembered of a query.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    pub(crate) at: SystemTime,
    pub(crate) place: Place,
    pub(crate) endpoint: &'a str,
    pub(crate) query: &'a [u8],
    pub(crate) reply: &'a [u8],
    pub(crate) from: From,
    pub(crate) took: Duration,
}

#[derive(Debug, Clone)]
struct Slot {
    /// 0 while nothing was written to it.
    number: u64,
    at: SystemTime,
    place: Place,
    from: From,
    took: Duration,
    endpoint: Text<ENDPOINT>,
    query: Text<QUESTION>,
    reply: Text<REPLY>,
}

/// So many first bytes of something.
#[derive(Debug, Clone)]
struct Text<const MOST: usize> {
    bytes: [u8; MOST],
    length: u16,
}

#[derive(Debug)]
pub(crate) struct Ring {
    slots: Mutex<Slots>,
}

#[derive(Debug)]
struct Slots {
    slots: Box<[Slot]>,
    next: usize,
}

/// The lock of a ring, held while a handful of queries is written.
pub(crate) struct Writer<'a> {
    slots: MutexGuard<'a, Slots>,
    numbers: &'a AtomicU64,
}

impl<const MOST: usize> Text<MOST> {
    fn new() -> Text<MOST> {
        Text { bytes: [0; MOST], length: 0 }
    }

    fn set(&mut self, bytes: &[u8]) {
        let length = bytes.len().min(MOST);
        self.bytes[..length].copy_from_slice(&bytes[..length]);
        self.length = length as u16;
    }

    fn get(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl Slot {
    fn new() -> Slot {
        Slot {
            number: 0,
            at: SystemTime::UNIX_EPOCH,
            place: Place(0),
            from: From::Nobody,
            took: Duration::ZERO,
            endpoint: Text::new(),
            query: Text::new(),
            reply: Text::new(),
        }
    }

    fn set(&mut self, number: u64, record: Record) {
        self.number = number;
        self.at = record.at;
        self.place = record.place;
        self.from = record.from;
        self.took = record.took;
        self.endpoint.set(record.endpoint.as_bytes());
        self.query.set(record.query);
        self.reply.set(record.reply);
    }

    fn line(&self) -> Line {
        let (name, kind) = question(self.query.get());
        Line {
            number: self.number,
            at: self.at,
            place: self.place,
            endpoint: String::from_utf8_lossy(self.endpoint.get()).into_owned(),
            name,
            kind,
            outcome: outcome(self.reply.get()),
            answers: answers(self.reply.get()),
            from: self.from,
            took: self.took,
        }
    }
}

impl Ring {
    pub(crate) fn new() -> Ring {
        let slots = vec![Slot::new(); SLOTS].into_boxed_slice();
        Ring { slots: Mutex::new(Slots { slots, next: 0 }) }
    }

    /// For a handful of queries. All rings draw from the same numbers.
    pub(crate) fn write<'a>(&'a self, numbers: &'a AtomicU64) -> Writer<'a> {
        Writer { slots: self.lock(), numbers }
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer<'_> {
    /// The number that it got. It is drawn under the lock, so that who read a number and then takes every lock, one after the
    /// other, finds all up to that one.
    pub(crate) fn put(&mut self, record: Record) -> u64 {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed) + 1;
        let next = self.slots.next;
        self.slots.slots[next].set(number, record);
        self.slots.next = (next + 1) % SLOTS;
        number
    }
}

/// One record in words, without a ring.
pub(crate) fn line(number: u64, record: Record) -> Line {
    let mut slot = Slot::new();
    slot.set(number, record);
    slot.line()
}

/// The last queries of all rings, oldest first: those after that number, and of these the last so many.
///
/// A thread that answers waits for no more than a copy of its own ring, into room that is there already. While the others are
/// copied it goes on, so what is numbered after the beginning is left for the next time: else a higher number of one ring
/// would hide a lower one of another from who asks for what comes after it.
pub(crate) fn lines<'a>(
    rings: impl Iterator<Item = &'a Ring>,
    numbers: &AtomicU64,
    after: u64,
    most: usize,
) -> Vec<Line> {
    let wanted = after.saturating_add(1)..=numbers.load(Ordering::Relaxed);
    let mut copied: Vec<Slot> = Vec::new();
    for ring in rings {
        let begin = copied.len();
        copied.resize(begin + most.min(SLOTS), Slot::new());
        let count = ring.lock().copy(&wanted, &mut copied[begin..]);
        copied.truncate(begin + count);
    }
    let mut found: Vec<&Slot> = copied.iter().collect();
    found.sort_unstable_by_key(|slot| slot.number);
    found[found.len().saturating_sub(most)..].iter().map(|slot| slot.line()).collect()
}

impl Slots {
    /// The last of those numbers, as many as there is room for; how many those were.
    fn copy(&self, wanted: &RangeInclusive<u64>, room: &mut [Slot]) -> usize {
        let (newer, older) = self.slots.split_at(self.next);
        let backwards = newer.iter().rev().chain(older.iter().rev());
        let found = backwards
            .skip_while(|slot| slot.number > *wanted.end())
            .take_while(|slot| slot.number >= *wanted.start());
        let mut count = 0;
        for (room, slot) in room.iter_mut().zip(found) {
            room.clone_from(slot);
            count += 1;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x02Db\0\0\x01\0\x01";
    const REPLY: &[u8] =
        b"\x12\x34\x85\x80\0\x01\0\x01\0\0\0\0\x02Db\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01\0\0\0\x05\0\x04\x0a\x09\0\x02";

    fn record<'a>() -> Record<'a> {
        Record {
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(7),
            place: Place(3),
            endpoint: "web",
            query: QUERY,
            reply: REPLY,
            from: From::Here,
            took: Duration::from_micros(9),
        }
    }

    fn numbers(lines: &[Line]) -> Vec<u64> {
        lines.iter().map(|line| line.number).collect()
    }

    #[test]
    fn a_query_is_told_in_words() {
        let (ring, counter) = (Ring::new(), AtomicU64::new(0));
        assert_eq!(ring.write(&counter).put(record()), 1);
        let wanted = Line {
            number: 1,
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(7),
            place: Place(3),
            endpoint: "web".into(),
            name: "Db".into(),
            kind: "A".into(),
            outcome: "NOERROR".into(),
            answers: vec!["10.9.0.2".into()],
            from: From::Here,
            took: Duration::from_micros(9),
        };
        assert_eq!(lines([&ring].into_iter(), &counter, 0, 10), [wanted]);
    }

    #[test]
    fn lines_of_two_rings_come_by_number_and_only_the_last_of_them() {
        let (one, two, counter) = (Ring::new(), Ring::new(), AtomicU64::new(0));
        for ring in [&one, &two, &two, &one, &two] {
            ring.write(&counter).put(record());
        }
        let read = |after, most| numbers(&lines([&one, &two].into_iter(), &counter, after, most));
        assert_eq!(read(0, 10), [1, 2, 3, 4, 5]);
        assert_eq!(read(0, 2), [4, 5]);
        assert_eq!(read(3, 10), [4, 5]);
        assert_eq!(read(5, 10), [0; 0]);
    }

    #[test]
    fn a_full_ring_forgets_the_oldest() {
        let (ring, counter) = (Ring::new(), AtomicU64::new(0));
        for _ in 0..SLOTS + 3 {
            ring.write(&counter).put(record());
        }
        let lines = lines([&ring].into_iter(), &counter, 0, usize::MAX);
        assert_eq!((lines.len(), lines[0].number), (SLOTS, 4));
    }

    #[test]
    fn whoever_reads_one_ring_keeps_nobody_from_writing_to_another_and_misses_nothing() {
        let (one, two, counter) = (Ring::new(), Ring::new(), AtomicU64::new(0));
        for ring in [&one, &two] {
            ring.write(&counter).put(record());
        }
        let put = |ring: &Ring| {
            let slots = ring.slots.try_lock().expect("the ring is free");
            Writer { slots, numbers: &counter }.put(record());
        };
        // When the second is asked for, the first was read.
        let rings = [&one, &two].into_iter().inspect(|ring| {
            if std::ptr::eq(*ring, &two) {
                put(&one);
                put(&two);
            }
        });
        let first = numbers(&lines(rings, &counter, 0, 10));
        let then = numbers(&lines([&one, &two].into_iter(), &counter, *first.last().unwrap(), 10));
        assert_eq!([first, then].concat(), [1, 2, 3, 4]);
    }
}
