//! Names for network namespaces, as `ip netns` keeps them: each is mounted over a file in /run/netns.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bowline_core::name::Name;
use bowline_core::place::{Door, Place};
use bowline_core::{Code, Error, Result};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// Where `ip netns` looks.
pub const NETNS_DIR: &str = "/run/netns";

const NOTHING: Option<&str> = None;

/// Gives the namespace a name that no other has. It lives until [`unpin`], whatever becomes of its processes.
pub fn pin(name: &Name, netns: impl AsFd) -> Result<PathBuf> {
    share_dir()?;
    let path = pinned(name);
    let what = || format!("name the network namespace {}", path.display());
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o0).open(&path).map_err(|e| match e
        .kind()
    {
        io::ErrorKind::AlreadyExists => {
            Error::new(Code::EndpointExists, what()).because("there is one of that name").fix(format!(
                "choose another --name; see: ip netns list; if nobody needs it: ip netns del {name}"
            ))
        }
        io::ErrorKind::PermissionDenied => Error::new(Code::Denied, what()).because(e).fix("run as root"),
        _ => Error::new(Code::Kernel, what()).because(e),
    })?;
    let source = format!("/proc/self/fd/{}", netns.as_fd().as_raw_fd());
    if let Err(e) = mount(Some(source.as_str()), &path, NOTHING, MsFlags::MS_BIND, NOTHING) {
        let error = refused(&what(), e);
        return Err(match fs::remove_file(&path) {
            Ok(()) => error,
            Err(left) => error.because(format!("and {} stays: {left}", path.display())),
        });
    }
    Ok(path)
}

/// Takes the name away from this namespace. One that nobody has, or that another has by now, is as good.
/// Without the namespace, it is taken from whatever has it.
pub fn unpin(name: &Name, from: Option<Place>) -> Result<()> {
    let path = pinned(name);
    if from.is_some_and(|ours| is_anothers(&path, ours)) {
        tracing::warn!(path = %path.display(), "another network namespace has the name, and keeps it");
        return Ok(());
    }
    let what = || format!("remove the network namespace {}", path.display());
    // Detached: a mount namespace made meanwhile may hold a copy, which must not keep the name.
    match umount2(&path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => (),
        Err(e) => return Err(refused(&what(), e)),
    }
    match fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::new(Code::Kernel, what()).because(e)),
        _ => Ok(()),
    }
}

/// Whether something else is there under the name. The empty file that we leave between making and mounting it is ours.
fn is_anothers(path: &Path, ours: Place) -> bool {
    let door = Door::Path(path.display().to_string());
    match crate::netns::open(&door).and_then(|ns| crate::netns::run(&ns, crate::netns::cookie_of_current)?) {
        Ok(there) => there != ours,
        Err(error) if error.code == Code::NetnsGone => false,
        Err(_) => !fs::symlink_metadata(path).is_ok_and(|file| file.is_file() && file.len() == 0),
    }
}

/// The file of that name.
pub fn pinned(name: &Name) -> PathBuf {
    Path::new(NETNS_DIR).join(name.as_str())
}

/// Makes the directory a shared mount, so that names given in one mount namespace show, and go, in all.
/// The lock is the one that `ip` takes: two at once would mount the directory twice.
fn share_dir() -> Result<()> {
    let what = || format!("prepare {NETNS_DIR}");
    let denied_or_not = |e: &io::Error| match e.kind() {
        io::ErrorKind::PermissionDenied => Error::new(Code::Denied, what()).because(e).fix("run as root"),
        _ => Error::new(Code::Kernel, what()).because(e),
    };
    fs::DirBuilder::new().recursive(true).mode(0o755).create(NETNS_DIR).map_err(|e| denied_or_not(&e))?;
    let share = || mount(NOTHING, NETNS_DIR, NOTHING, MsFlags::MS_SHARED | MsFlags::MS_REC, NOTHING);
    // It is a mount point already, but for the first time. The lock is not asked for in vain: anybody may hold it.
    match share() {
        Err(Errno::EINVAL) => (),
        outcome => return outcome.map_err(|e| refused(&what(), e)),
    }
    let _lock = lock_dir()?;
    match share() {
        // It is no mount point yet.
        Err(Errno::EINVAL) => {
            mount(Some(NETNS_DIR), NETNS_DIR, NOTHING, MsFlags::MS_BIND | MsFlags::MS_REC, NOTHING)
                .and_then(|()| share())
                .map_err(|e| refused(&what(), e))
        }
        outcome => outcome.map_err(|e| refused(&what(), e)),
    }
}

/// As `ip` does, but not for ever.
fn lock_dir() -> Result<Flock<File>> {
    let what = || format!("lock {NETNS_DIR}");
    let mut dir = File::open(NETNS_DIR).map_err(|e| Error::new(Code::Kernel, what()).because(e))?;
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match Flock::lock(dir, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((unlocked, Errno::EWOULDBLOCK)) if Instant::now() < deadline => dir = unlocked,
            Err((_, Errno::EWOULDBLOCK)) => {
                return Err(Error::new(Code::Busy, what())
                    .because("another process holds the lock")
                    .fix(format!("see which: fuser -v {NETNS_DIR}")));
            }
            Err((_, e)) => return Err(refused(&what(), e)),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn refused(what: &str, errno: Errno) -> Error {
    match errno {
        Errno::EPERM | Errno::EACCES => {
            Error::new(Code::Denied, what).because(errno.desc()).fix("run as root")
        }
        _ => Error::new(Code::Kernel, what).because(errno.desc()),
    }
}
