//! What a keeper holds, by name, and how much of it there may be.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use nix::errno::Errno;

use super::wire::MOST_SOCKETS;

/// Files that a keeper needs beside what it keeps, and to hear of more than it can keep.
const OTHERS: usize = 320;

#[derive(Debug)]
pub(super) struct Shelf {
    kept: BTreeMap<String, Vec<OwnedFd>>,
    sockets: usize,
    most: usize,
}

impl Shelf {
    /// For a process that may have so many files open.
    pub(super) fn within(limit: u64) -> Shelf {
        let most = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(OTHERS);
        Shelf { kept: BTreeMap::new(), sockets: 0, most }
    }

    /// In place of what the name had. Where they are refused it keeps that.
    pub(super) fn keep(&mut self, name: &str, sockets: Vec<OwnedFd>) -> Result<(), Errno> {
        if !(1..=MOST_SOCKETS).contains(&sockets.len()) {
            return Err(Errno::EINVAL);
        }
        let before = self.kept.get(name).map_or(0, Vec::len);
        let after = self.sockets - before + sockets.len();
        if after > self.most {
            return Err(Errno::EMFILE);
        }
        self.kept.insert(name.to_string(), sockets);
        self.sockets = after;
        Ok(())
    }

    pub(super) fn forget(&mut self, name: &str) {
        let gone = self.kept.remove(name);
        self.sockets -= gone.map_or(0, |sockets| sockets.len());
    }

    pub(super) fn clear(&mut self) {
        self.kept.clear();
        self.sockets = 0;
    }

    pub(super) fn get(&self, name: &str) -> Option<&[OwnedFd]> {
        self.kept.get(name).map(Vec::as_slice)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.kept.keys()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(count: usize) -> Vec<OwnedFd> {
        (0..count).map(|_| std::fs::File::open("/dev/null").unwrap().into()).collect()
    }

    #[test]
    fn no_more_is_kept_than_leaves_files_for_the_keeper_itself() {
        let mut shelf = Shelf::within(OTHERS as u64 + 3);
        shelf.keep("a", files(2)).unwrap();
        assert_eq!(shelf.keep("b", files(2)), Err(Errno::EMFILE));
        // In place of two there is room for three.
        shelf.keep("a", files(3)).unwrap();
        shelf.forget("a");
        shelf.forget("a");
        shelf.keep("b", files(3)).unwrap();
        assert_eq!(shelf.keep("b", files(4)), Err(Errno::EMFILE));
        assert_eq!(shelf.get("b").unwrap().len(), 3, "what was refused changes nothing");
        shelf.clear();
        shelf.keep("c", files(3)).unwrap();
        assert_eq!(shelf.names().collect::<Vec<_>>(), ["c"]);
    }

    #[test]
    fn nothing_and_too_much_under_one_name_are_refused() {
        let mut shelf = Shelf::within(4096);
        assert_eq!(shelf.keep("a", files(0)), Err(Errno::EINVAL));
        assert_eq!(shelf.keep("a", files(MOST_SOCKETS + 1)), Err(Errno::EINVAL));
        assert!(shelf.is_empty());
    }
}
