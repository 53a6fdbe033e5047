//! Folders in which names may come to lead elsewhere: one watch each, however many names in it are of concern.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use bowline_core::place::Place;
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

/// Reads between two looks at what else there is to do.
const READS: usize = 64;

#[derive(Debug)]
pub(super) struct Folders {
    inotify: Inotify,
    /// The names in a folder, and whom they concern. The kernel has one number for a folder, whichever path leads to it.
    names: HashMap<WatchDescriptor, HashMap<OsString, HashSet<Place>>>,
}

/// A name that is watched.
#[derive(Debug)]
pub(super) struct Name {
    folder: WatchDescriptor,
    name: OsString,
}

/// What may lead elsewhere now.
#[derive(Debug, Default)]
pub(super) struct Changed {
    pub(super) places: HashSet<Place>,
    /// Those whose folder is gone, so that nothing tells of them any more.
    pub(super) unwatched: HashSet<Place>,
    /// Notices were lost.
    pub(super) everything: bool,
}

impl Folders {
    pub(super) fn new() -> nix::Result<Folders> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        Ok(Folders { inotify, names: HashMap::new() })
    }

    pub(super) fn watch(&mut self, path: &Path, place: Place) -> nix::Result<Name> {
        let kinds = AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Errno::EINVAL);
        };
        let folder = self.inotify.add_watch(folder, kinds)?;
        let name = name.to_os_string();
        self.names.entry(folder).or_default().entry(name.clone()).or_default().insert(place);
        Ok(Name { folder, name })
    }

    pub(super) fn unwatch(&mut self, name: &Name, place: Place) {
        let Some(names) = self.names.get_mut(&name.folder) else { return };
        if let Some(places) = names.get_mut(&name.name) {
            places.remove(&place);
            if places.is_empty() {
                names.remove(&name.name);
            }
        }
        if !names.is_empty() {
            return;
        }
        self.names.remove(&name.folder);
        // Gone by itself where the folder is.
        if let Err(errno) = self.inotify.rm_watch(name.folder) {
            tracing::debug!(%errno, "a folder was not watched any more");
        }
    }

    /// What the notices say that have come. More may wait.
    pub(super) fn changed(&mut self) -> nix::Result<Changed> {
        let mut changed = Changed::default();
        for _ in 0..READS {
            let events = match self.inotify.read_events() {
                Ok(events) => events,
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => break,
                Err(errno) => return Err(errno),
            };
            for event in events {
                let is = |kinds| event.mask.intersects(kinds);
                if is(AddWatchFlags::IN_Q_OVERFLOW) {
                    changed.everything = true;
                } else if is(AddWatchFlags::IN_IGNORED) {
                    let names = self.names.remove(&event.wd).unwrap_or_default();
                    changed.unwatched.extend(names.into_values().flatten());
                } else if let Some(names) = self.names.get(&event.wd) {
                    match event.name {
                        Some(name) => changed.places.extend(names.get(&name).into_iter().flatten()),
                        // The folder itself is another's now, or is somewhere else.
                        None => changed.places.extend(names.values().flatten()),
                    }
                }
            }
        }
        Ok(changed)
    }
}

impl AsFd for Folders {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}
