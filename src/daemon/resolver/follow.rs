//! The host's resolv.conf, followed wherever it leads: written anew, renamed over, linked elsewhere, mounted over.
//! A file that is gone, empty or half written says nothing, and what it said last stays.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, PoisonError, Weak};
use std::time::{Duration, Instant};

use bowline_core::{Code, Error, Result};
use bowline_dns::resolv::ResolvConf;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

use super::{Resolver, read};

pub(super) const PATH: &str = "/etc/resolv.conf";

/// A writer that truncates and writes is given this long to finish.
const QUIET: Duration = Duration::from_millis(20);

/// What no notice tells of, such as a change on a network file system, is found by looking.
const AUDIT: Duration = Duration::from_secs(30);

const MOST_LINKS: usize = 8;

/// More than a resolv.conf ever is: what is longer is none.
const MOST_BYTES: u64 = 1 << 20;

impl Resolver {
    /// Asks the host's servers as its file names them now.
    pub(super) fn read_host(&self) {
        let written = written();
        if let Some(conf) = &written {
            *self.host.write().unwrap_or_else(PoisonError::into_inner) = conf.clone();
        }
        let servers: Vec<SocketAddr> = match read(&self.settings).servers {
            Some(servers) => servers.into_iter().map(|ip| SocketAddr::new(ip, 53)).collect(),
            None => read(&self.host).upstreams(index_of),
        };
        tracing::debug!(?servers, "the host's name servers");
        self.service.set_servers(servers);
    }

    /// Reads the file again whenever it changes, on a thread that ends with the resolver.
    pub(crate) fn follow(self: &Arc<Resolver>) -> Result<()> {
        let failed = |e| Error::new(Code::Kernel, format!("watch {PATH}")).because(e);
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).map_err(failed)?;
        let mounts = File::open("/proc/self/mountinfo")
            .map_err(|e| Error::new(Code::Kernel, "watch this namespace's mounts").because(e))?;
        let followed = Arc::downgrade(self);
        std::thread::Builder::new()
            .name("bowline-resolv".into())
            .spawn(move || follow(&followed, &inotify, &mounts))
            .map_err(|e| Error::new(Code::Internal, "start a thread").because(e))?;
        Ok(())
    }
}

fn follow(resolver: &Weak<Resolver>, inotify: &Inotify, mounts: &File) {
    let mut watched = BTreeMap::new();
    loop {
        // Watched before it is read, so that no change falls between.
        watch(inotify, &mut watched);
        match resolver.upgrade() {
            Some(resolver) => resolver.read_host(),
            None => return,
        }
        wait(inotify, mounts, AUDIT);
        let begun = Instant::now();
        while wait(inotify, mounts, QUIET) && begun.elapsed() < 10 * QUIET {}
    }
}

/// Watches what the file depends on now, and nothing that it depended on before. Asked again about one that is watched
/// already, the kernel says so; of another that has the same name, it begins anew.
fn watch(inotify: &Inotify, watched: &mut BTreeMap<PathBuf, WatchDescriptor>) {
    let what = AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_MOVED_FROM
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_MODIFY
        | AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_MOVE_SELF
        | AddWatchFlags::IN_DELETE_SELF;
    let now: BTreeMap<PathBuf, WatchDescriptor> = way_to(Path::new(PATH))
        .into_iter()
        .filter_map(|path| inotify.add_watch(&path, what).ok().map(|watch| (path, watch)))
        .collect();
    for (path, watch) in std::mem::replace(watched, now) {
        if watched.values().all(|other| *other != watch)
            && let Err(errno) = inotify.rm_watch(watch)
        {
            // The kernel has dropped it with what it was about.
            tracing::trace!(path = %path.display(), %errno, "no longer watched");
        }
    }
}

/// True where something changed before the time was up.
fn wait(inotify: &Inotify, mounts: &File, most: Duration) -> bool {
    let mut ready = [
        PollFd::new(inotify.as_fd(), PollFlags::POLLIN),
        // The kernel's way to say that the table of mounts is another.
        PollFd::new(mounts.as_fd(), PollFlags::POLLPRI),
    ];
    let timeout = PollTimeout::try_from(most).expect("half a minute fits a timeout of poll");
    let changed = poll(&mut ready, timeout).is_ok_and(|ready| ready > 0);
    while inotify.read_events().is_ok_and(|events| !events.is_empty()) {}
    changed
}

/// What leads to the file: the directories of all links on the way, its own, and the file itself, which may be mounted there
/// from elsewhere. Where the way ends before that, the directory in which the rest is missing.
fn way_to(path: &Path) -> Vec<PathBuf> {
    let mut way = Vec::new();
    let mut links = 0;
    let mut here = PathBuf::from("/");
    let mut rest: VecDeque<OsString> = parts(path);
    while let Some(part) = rest.pop_front() {
        if part == ".." {
            here.pop();
            continue;
        }
        let next = here.join(&part);
        match fs::read_link(&next) {
            Ok(target) => {
                way.push(here.clone());
                links += 1;
                if links > MOST_LINKS {
                    return way;
                }
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                rest = parts(&target).into_iter().chain(rest).collect();
            }
            Err(_) => {
                if rest.is_empty() || !next.is_dir() {
                    way.push(here);
                    way.push(next);
                    return way;
                }
                here = next;
            }
        }
    }
    way
}

fn parts(path: &Path) -> VecDeque<OsString> {
    let named = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_os_string()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    named.collect()
}

/// None where it says nothing of servers: it is being written, or is not there. Nothing but a file is read, and that without
/// waiting for anybody.
fn written() -> Option<ResolvConf> {
    let file = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(PATH).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).ok()?;
    if bytes.len() as u64 > MOST_BYTES {
        tracing::warn!("{PATH} is too large to be one, and not read");
        return None;
    }
    let conf = ResolvConf::parse(&String::from_utf8_lossy(&bytes));
    (!conf.servers.is_empty()).then_some(conf)
}

fn index_of(link: &str) -> Option<u32> {
    nix::net::if_::if_nametoindex(link).ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_way_has_every_link_and_the_file_and_ends_where_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let at = |name: &str| root.join(name);
        fs::create_dir(at("v1")).unwrap();
        fs::write(at("v1/it"), "").unwrap();
        symlink("v1", at("now")).unwrap();
        symlink(at("now/it"), at("conf")).unwrap();
        assert_eq!(way_to(&at("v1/it")), [at("v1"), at("v1/it")]);
        assert_eq!(way_to(&at("conf")), [root.clone(), root.clone(), at("v1"), at("v1/it")]);
        symlink("v1/../v1/it", at("round")).unwrap();
        assert_eq!(way_to(&at("round")), [root.clone(), at("v1"), at("v1/it")]);
        symlink("nowhere/at/all", at("lost")).unwrap();
        assert_eq!(way_to(&at("lost")), [root.clone(), root.clone(), at("nowhere")]);
        symlink("loop", at("loop")).unwrap();
        assert_eq!(way_to(&at("loop")).len(), MOST_LINKS + 1);
    }
}
