//! What is on its way to servers, written where it outlives the process. Whoever comes after one that was killed reads there
//! what its clients still wait for, and asks it again.
//!
//! A file of slots, in memory where its directory is: never waited for, and worth nothing after a few seconds.
//!
//! ```text
//! length of the query, or 0 | client's port | its address | namespace | when, in ms | query
//!             2                     2             4             8           8         to 488
//! ```

use std::fs::File;
use std::io;
use std::net::SocketAddrV4;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bowline_core::place::Place;
use tracing::debug;

use super::client::FORWARDS_OF_ALL;

/// A part of a page, so that it is written whole or not at all, whenever the process dies.
const SLOT: usize = 512;
const HEAD: usize = 24;
/// Whoever asked longer ago has given up, or asked again.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Slate {
    file: File,
    free: Mutex<Vec<u16>>,
    /// Nothing is wiped off any more: what is on it is for the next.
    closed: AtomicBool,
}

/// One question on the slate. It is wiped off when this is dropped.
#[derive(Debug)]
pub(super) struct Note {
    slate: Arc<Slate>,
    slot: u16,
}

/// What an earlier process left there.
#[derive(Debug)]
pub(super) struct Owed {
    pub(super) place: Place,
    pub(super) to: SocketAddrV4,
    pub(super) query: Vec<u8>,
    pub(super) note: Note,
}

impl Slate {
    /// The slate of that path, and what is owed by it.
    pub(super) fn open(path: &Path, now: SystemTime) -> io::Result<(Arc<Slate>, Vec<Owed>)> {
        let file =
            File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        file.set_len((FORWARDS_OF_ALL * SLOT) as u64)?;
        let mut bytes = vec![0; FORWARDS_OF_ALL * SLOT];
        file.read_exact_at(&mut bytes, 0)?;
        let slate = Arc::new(Slate { file, free: Mutex::default(), closed: AtomicBool::new(false) });
        let mut owed = Vec::new();
        // The first are taken first, so that who forwards little has few pages.
        for (slot, bytes) in (0..FORWARDS_OF_ALL as u16).zip(bytes.chunks_exact(SLOT)).rev() {
            let Some((place, to, at, query)) = read(bytes) else {
                slate.free().push(slot);
                continue;
            };
            // Dropped, the note of one that is too old wipes it off.
            let note = Note { slate: slate.clone(), slot };
            if now.duration_since(at).is_ok_and(|age| age < PATIENCE) {
                owed.push(Owed { place, to, query: query.to_vec(), note });
            }
        }
        Ok((slate, owed))
    }

    /// Writes it down; a query that is longer than nearly all are, or that finds no room, is not.
    pub(super) fn note(
        self: &Arc<Slate>,
        place: Place,
        to: SocketAddrV4,
        at: SystemTime,
        query: &[u8],
    ) -> Option<Note> {
        let length = u16::try_from(query.len()).ok().filter(|length| usize::from(*length) <= SLOT - HEAD)?;
        let millis = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        let mut bytes = [0; SLOT];
        bytes[..2].copy_from_slice(&length.to_be_bytes());
        bytes[2..4].copy_from_slice(&to.port().to_be_bytes());
        bytes[4..8].copy_from_slice(&to.ip().octets());
        bytes[8..16].copy_from_slice(&place.0.to_be_bytes());
        bytes[16..HEAD].copy_from_slice(&millis.to_be_bytes());
        bytes[HEAD..HEAD + query.len()].copy_from_slice(query);
        let slot = self.free().pop()?;
        let note = Note { slate: self.clone(), slot };
        // Where that fails the note is dropped, and its slot is free again.
        self.file.write_all_at(&bytes[..HEAD + query.len()], note.at()).ok().map(|()| note)
    }

    /// From now on what is on it stays.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    fn free(&self) -> MutexGuard<'_, Vec<u16>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Note {
    fn at(&self) -> u64 {
        u64::from(self.slot) * SLOT as u64
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        if self.slate.closed.load(Ordering::Relaxed) {
            return;
        }
        if let Err(error) = self.slate.file.write_all_at(&[0; 2], self.at()) {
            debug!(%error, "a question stays on the slate");
        }
        self.slate.free().push(self.slot);
    }
}

/// None where the slot is empty, or holds nothing that we wrote.
fn read(bytes: &[u8]) -> Option<(Place, SocketAddrV4, SystemTime, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
    let [l0, l1, p0, p1, a, b, c, d, ..] = *head;
    let query = rest.get(..usize::from(u16::from_be_bytes([l0, l1]))).filter(|query| !query.is_empty())?;
    let number = |at: usize| head[at..].first_chunk().copied().map_or(0, u64::from_be_bytes);
    let to = SocketAddrV4::new([a, b, c, d].into(), u16::from_be_bytes([p0, p1]));
    let at = UNIX_EPOCH.checked_add(Duration::from_millis(number(16)))?;
    Some((Place(number(8)), to, at, query))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(port: u16) -> SocketAddrV4 {
        SocketAddrV4::new([127, 0, 0, 1].into(), port)
    }

    fn left(path: &Path, now: SystemTime) -> Vec<(u64, u16, Vec<u8>)> {
        let (slate, owed) = Slate::open(path, now).unwrap();
        slate.close();
        let mut left: Vec<_> =
            owed.iter().map(|owed| (owed.place.0, owed.to.port(), owed.query.clone())).collect();
        left.sort_unstable();
        left
    }

    #[test]
    fn what_was_not_wiped_off_is_found_by_the_next_until_somebody_wipes_it_off() {
        let folder = tempfile::tempdir().unwrap();
        let (path, now) = (folder.path().join("slate"), SystemTime::now());
        let (slate, owed) = Slate::open(&path, now).unwrap();
        assert!(owed.is_empty());
        let note = |number: u16, query: &[u8]| slate.note(Place(7), to(number), now, query);
        let answered = note(1, b"one").unwrap();
        let waits = note(2, b"two");
        let longest = note(3, &[3; SLOT - HEAD]);
        assert!(note(4, &[4; SLOT - HEAD + 1]).is_none());
        drop(answered);
        slate.close();
        drop((waits, longest));
        let all = vec![(7, 2, b"two".to_vec()), (7, 3, vec![3; SLOT - HEAD])];
        assert_eq!(left(&path, now), all);
        assert_eq!(left(&path, now), all, "reading it is not enough");
        drop(Slate::open(&path, now).unwrap());
        assert_eq!(left(&path, now), []);
    }

    #[test]
    fn what_is_old_is_wiped_off() {
        let folder = tempfile::tempdir().unwrap();
        let (path, now) = (folder.path().join("slate"), SystemTime::now());
        let (slate, _) = Slate::open(&path, now).unwrap();
        let _old = slate.note(Place(7), to(1), now - PATIENCE, b"old");
        let _new = slate.note(Place(7), to(2), now, b"new");
        assert_eq!(left(&path, now), [(7, 2, b"new".to_vec())]);
        assert_eq!(left(&path, now - PATIENCE), [], "of a time to come");
    }

    #[test]
    fn no_more_is_written_than_may_be_on_its_way_and_each_slot_is_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let (slate, _) = Slate::open(&folder.path().join("slate"), SystemTime::now()).unwrap();
        let note = || slate.note(Place(7), to(1), SystemTime::now(), b"query");
        let mut notes: Vec<_> = (0..FORWARDS_OF_ALL).map(|_| note().unwrap()).collect();
        assert!(note().is_none());
        notes.pop();
        assert!(note().is_some());
    }

    #[test]
    fn any_bytes_are_a_slate() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slate");
        for byte in [0xff, 0x01, 0x00] {
            std::fs::write(&path, vec![byte; FORWARDS_OF_ALL * SLOT + 1]).unwrap();
            assert_eq!(left(&path, SystemTime::now()), []);
        }
        std::fs::write(&path, b"short").unwrap();
        assert_eq!(left(&path, SystemTime::now()), []);
    }
}
