//! The thread: it sleeps until a folder changes, a process ends, an order comes or something is due, and then looks at
//! no more than that.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bowline_core::place::Place;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::folders::{Changed, Folders, Name};
use super::{Desk, Ident, Order, Pace, Tell, Way, pidfd, search};

/// What an event of epoll is about. Processes are numbered after these.
const BELL: u64 = 0;
const FOLDERS: u64 = 1;
const MOUNTS: u64 = 2;
const FIRST_PROCESS: u64 = 3;

/// A search goes through all processes, so that much of the time is left to others after one.
const REST_AFTER_SEARCH: u32 = 10;

/// One that could not be made is made again, but not at once.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(10);

pub(super) struct Watcher {
    desk: Arc<Desk>,
    pace: Pace,
    tell: Tell,
    epoll: Epoll,
    folders: Folders,
    /// The kernel tells by it that something was mounted or unmounted, which no folder tells.
    _mounts: File,
    anchors: HashMap<Place, Anchor>,
    /// Whom the end of a process concerns.
    processes: HashMap<u64, Place>,
    next_process: u64,
    /// Those that are sought, by when.
    sought: BTreeSet<(Instant, Place)>,
    next_audit: Instant,
    no_search_before: Instant,
    #[cfg(test)]
    reports: Vec<std::sync::mpsc::Sender<std::collections::BTreeMap<Place, Option<PathBuf>>>>,
}

/// One namespace.
struct Anchor {
    ident: Ident,
    by: By,
    hope: Hope,
}

/// What it means that nothing is found.
enum Hope {
    /// That its keepers are gone: we have seen them all.
    Short,
    /// That they are not there yet. As there is no path, whoever is found is what keeps it.
    UntilFirstSeen,
    /// As there is a path that we cannot see, it may be kept by that.
    Long,
}

/// What it is known to be kept by.
enum By {
    Path {
        path: PathBuf,
        notice: Notice,
    },
    /// Nothing; this often nothing was found.
    Nothing {
        looks: usize,
        due: Instant,
    },
}

/// How we learn that a path leads elsewhere.
enum Notice {
    Folder(Name),
    Process(u64, OwnedFd),
    /// By looking from time to time.
    None,
}

/// Whether to go on.
#[derive(PartialEq, Eq)]
enum Next {
    Turn,
    End,
}

impl Watcher {
    pub(super) fn new(desk: Arc<Desk>, pace: Pace, tell: Tell) -> nix::Result<Watcher> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let folders = Folders::new()?;
        epoll.add(&*desk, EpollEvent::new(EpollFlags::EPOLLIN, BELL))?;
        epoll.add(&folders, EpollEvent::new(EpollFlags::EPOLLIN, FOLDERS))?;
        let mounts = File::open("/proc/thread-self/mountinfo").map_err(|error| errno(&error))?;
        epoll.add(&mounts, EpollEvent::new(EpollFlags::EPOLLPRI, MOUNTS))?;
        let now = Instant::now();
        Ok(Watcher {
            next_audit: now + pace.audit,
            desk,
            pace,
            tell,
            epoll,
            folders,
            _mounts: mounts,
            anchors: HashMap::new(),
            processes: HashMap::new(),
            next_process: FIRST_PROCESS,
            sought: BTreeSet::new(),
            no_search_before: now,
            #[cfg(test)]
            reports: Vec::new(),
        })
    }

    pub(super) fn run(&mut self) {
        let mut events = [EpollEvent::empty(); 64];
        loop {
            let count = match self.epoll.wait(&mut events, self.patience()) {
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                Err(errno) => {
                    tracing::error!(%errno, "namespaces are watched no more");
                    return;
                }
            };
            if self.turn(&events[..count]) == Next::End {
                return;
            }
        }
    }

    fn turn(&mut self, events: &[EpollEvent]) -> Next {
        let mut rung = false;
        for event in events {
            match event.data() {
                BELL => rung = true,
                FOLDERS => match self.folders.changed() {
                    Ok(changed) => self.folders_changed(changed),
                    Err(errno) => tracing::warn!(%errno, "read what changed in folders"),
                },
                // Mounts come in bursts, and one look is enough for many.
                MOUNTS => self.next_audit = self.next_audit.min(Instant::now() + self.pace.mounted),
                process => {
                    if let Some(&place) = self.processes.get(&process) {
                        self.process_ended(place);
                    }
                }
            }
        }
        let next = if rung { self.obey() } else { Next::Turn };
        let now = Instant::now();
        if now >= self.next_audit {
            self.next_audit = now + self.pace.audit;
            self.look_at_all();
        }
        if self.next_search().is_some_and(|due| due <= Instant::now()) {
            self.search();
        }
        #[cfg(test)]
        self.report();
        next
    }

    /// Rounded up, so that a part of a millisecond is not spun away.
    fn patience(&self) -> EpollTimeout {
        let audit = (!self.anchors.is_empty()).then_some(self.next_audit);
        let Some(due) = audit.into_iter().chain(self.next_search()).min() else { return EpollTimeout::NONE };
        let left = due.saturating_duration_since(Instant::now()).as_millis().saturating_add(1);
        EpollTimeout::try_from(left).unwrap_or(EpollTimeout::MAX)
    }

    fn next_search(&self) -> Option<Instant> {
        self.sought.first().map(|(due, _)| (*due).max(self.no_search_before))
    }

    fn obey(&mut self) -> Next {
        for order in self.desk.orders() {
            match order {
                Order::Hold(place, ident, way) => self.hold(place, ident, way),
                Order::Forget(place) => self.forget(place),
                Order::End => return Next::End,
                #[cfg(test)]
                Order::Report(to) => self.reports.push(to),
            }
        }
        Next::Turn
    }

    fn hold(&mut self, place: Place, ident: Ident, way: Way) {
        self.forget(place);
        let (path, hope) = match way {
            Way::None => (None, Hope::UntilFirstSeen),
            Way::Unseen(path) => (Some(path), Hope::Long),
            Way::Seen(path) => (Some(path), Hope::Short),
        };
        let by = path.and_then(|path| self.follow(place, ident, path));
        let first = match hope {
            Hope::Short => Duration::ZERO,
            Hope::UntilFirstSeen | Hope::Long => self.pace.first,
        };
        let by = by.unwrap_or_else(|| self.seek(place, 0, Instant::now() + first));
        self.anchors.insert(place, Anchor { ident, by, hope });
    }

    fn forget(&mut self, place: Place) {
        if let Some(anchor) = self.anchors.remove(&place) {
            self.let_go(place, anchor.by);
        }
    }

    /// Watches a path, if it leads there. It is watched first, so that no change between is missed.
    fn follow(&mut self, place: Place, ident: Ident, path: PathBuf) -> Option<By> {
        let notice = self.notice(place, &path);
        if Ident::at(&path) == Some(ident) {
            return Some(By::Path { path, notice });
        }
        self.stop(place, notice);
        None
    }

    fn notice(&mut self, place: Place, path: &std::path::Path) -> Notice {
        let made = match pidfd::of_path(path) {
            Some(pid) => pidfd::open(pid).and_then(|process| {
                let number = self.next_process;
                self.epoll.add(&process, EpollEvent::new(EpollFlags::EPOLLIN, number))?;
                self.next_process += 1;
                self.processes.insert(number, place);
                Ok(Notice::Process(number, process))
            }),
            None => self.folders.watch(path, place).map(Notice::Folder),
        };
        made.unwrap_or_else(|errno| {
            tracing::debug!(%place, path = %path.display(), %errno, "no notice tells of this path");
            Notice::None
        })
    }

    fn stop(&mut self, place: Place, notice: Notice) {
        match notice {
            Notice::Folder(name) => self.folders.unwatch(&name, place),
            // Closed, it leaves epoll by itself.
            Notice::Process(number, process) => {
                self.processes.remove(&number);
                drop(process);
            }
            Notice::None => (),
        }
    }

    fn seek(&mut self, place: Place, looks: usize, due: Instant) -> By {
        self.sought.insert((due, place));
        By::Nothing { looks, due }
    }

    fn let_go(&mut self, place: Place, by: By) {
        match by {
            By::Path { notice, .. } => self.stop(place, notice),
            By::Nothing { due, .. } => {
                self.sought.remove(&(due, place));
            }
        }
    }

    fn folders_changed(&mut self, changed: Changed) {
        for place in changed.unwatched {
            if let Some(Anchor { by: By::Path { notice, .. }, .. }) = self.anchors.get_mut(&place) {
                *notice = Notice::None;
            }
            self.look(place);
        }
        changed.places.into_iter().for_each(|place| self.look(place));
        if changed.everything {
            self.look_at_all();
        }
    }

    fn process_ended(&mut self, place: Place) {
        let Some(anchor) = self.anchors.get_mut(&place) else { return };
        let By::Path { notice, .. } = &mut anchor.by else { return };
        let over = std::mem::replace(notice, Notice::None);
        self.stop(place, over);
        self.look(place);
    }

    fn look_at_all(&mut self) {
        let all: Vec<Place> = self.anchors.keys().copied().collect();
        all.into_iter().for_each(|place| self.look(place));
    }

    /// Whether its path still leads there; if not, it is sought at once.
    fn look(&mut self, place: Place) {
        let Some(anchor) = self.anchors.get(&place) else { return };
        let By::Path { path, notice } = &anchor.by else { return };
        let there = Ident::at(path) == Some(anchor.ident);
        if there && !matches!(notice, Notice::None) {
            return;
        }
        let (ident, path) = (anchor.ident, path.clone());
        // What told nothing may do so now: a folder that is there again.
        let by = if there { self.follow(place, ident, path) } else { None };
        let by = by.unwrap_or_else(|| self.seek(place, 0, Instant::now()));
        let Some(anchor) = self.anchors.get_mut(&place) else { return };
        let before = std::mem::replace(&mut anchor.by, by);
        self.let_go(place, before);
    }

    /// Looks for all that are due, in one go.
    fn search(&mut self) {
        let begin = Instant::now();
        let due: Vec<Place> =
            self.sought.iter().take_while(|(due, _)| *due <= begin).map(|(_, place)| *place).collect();
        let idents: HashSet<Ident> =
            due.iter().filter_map(|place| self.anchors.get(place)).map(|anchor| anchor.ident).collect();
        let found = search::search(&idents);
        let now = Instant::now();
        self.no_search_before = now + now.duration_since(begin) * REST_AFTER_SEARCH;
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                // Not knowing is no reason to give anything up.
                tracing::warn!(%error, "look for processes in namespaces");
                self.no_search_before = now + REST_AFTER_FAILURE;
                return;
            }
        };
        for place in due {
            self.searched(place, &found);
        }
    }

    fn searched(&mut self, place: Place, found: &HashMap<Ident, PathBuf>) {
        let Some(anchor) = self.anchors.get(&place) else { return };
        let By::Nothing { looks, due } = anchor.by else { return };
        let waits = match anchor.hope {
            Hope::Short => &self.pace.short,
            Hope::UntilFirstSeen => &self.pace.pathless,
            Hope::Long => &self.pace.long,
        };
        let (ident, wait) = (anchor.ident, waits.get(looks).copied());
        self.sought.remove(&(due, place));
        let by = match (found.get(&ident), wait) {
            (Some(path), wait) => self.follow(place, ident, path.clone()).unwrap_or_else(|| {
                // It went while we looked. What it may have left behind was not looked for.
                self.seek(place, looks, Instant::now() + wait.unwrap_or(Duration::ZERO))
            }),
            (None, Some(wait)) => self.seek(place, looks + 1, Instant::now() + wait),
            (None, None) => {
                self.anchors.remove(&place);
                tracing::debug!(%place, "nobody but us seems to keep the namespace");
                return (self.tell)(place);
            }
        };
        let Some(anchor) = self.anchors.get_mut(&place) else { return };
        if matches!((&by, &anchor.hope), (By::Path { .. }, Hope::UntilFirstSeen)) {
            anchor.hope = Hope::Short;
        }
        anchor.by = by;
    }

    #[cfg(test)]
    fn report(&mut self) {
        if self.sought.first().is_some_and(|(due, _)| *due <= Instant::now()) {
            return;
        }
        let path = |anchor: &Anchor| match &anchor.by {
            By::Path { path, .. } => Some(path.clone()),
            By::Nothing { .. } => None,
        };
        for to in self.reports.drain(..) {
            let all = self.anchors.iter().map(|(place, anchor)| (*place, path(anchor))).collect();
            to.send(all).expect("whoever asked waits");
        }
    }
}

fn errno(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
