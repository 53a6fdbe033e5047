//! The place in a run directory that one keeper has for itself: a lock on the directory, and the socket in it.

use std::fs::{self, File, Permissions};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bowline_core::{Code, Error, Result};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};

/// Daemons that wait to be let in; there is one, and now and then its successor.
const BACKLOG: i32 = 16;

/// How long one that ends may take to give its place up.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where a keeper listens.
pub(super) fn socket_in(run_dir: &Path) -> PathBuf {
    run_dir.join("keeper.sock")
}

/// Given up when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    path: PathBuf,
    listener: OwnedFd,
    _lock: Flock<File>,
}

impl Seat {
    /// In place of whoever had it before and is gone.
    pub(super) fn take(run_dir: &Path) -> Result<Seat> {
        let lock = lock(run_dir)?;
        let path = socket_in(run_dir);
        let failed = |why: &dyn std::fmt::Display| {
            Error::new(Code::InvalidSocket, format!("listen at {}", path.display())).because(why)
        };
        // Made under another name and moved when it is root's alone: nobody can come before, and a stale one is replaced.
        let new = path.with_extension("new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(&error)),
            _ => (),
        }
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let made = || -> nix::Result<OwnedFd> {
            let listener = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
            bind(listener.as_raw_fd(), &UnixAddr::new(&new)?)?;
            Ok(listener)
        };
        let listener = made().map_err(|errno| match errno {
            Errno::ENAMETOOLONG => failed(&errno.desc()).fix("choose a shorter one: --run-dir /run/bowline"),
            errno => failed(&errno.desc()),
        })?;
        fs::set_permissions(&new, Permissions::from_mode(0o600)).map_err(|e| failed(&e))?;
        let backlog = Backlog::new(BACKLOG).expect("16 is within its bounds");
        listen(&listener, backlog).map_err(|errno| failed(&errno.desc()))?;
        fs::rename(&new, &path).map_err(|e| failed(&e))?;
        Ok(Seat { path, listener, _lock: lock })
    }
}

impl AsFd for Seat {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // While the lock is held, so that it is not a successor's. Where it stays, nobody answers there, and it is replaced.
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), "remove the keeper's socket: {error}");
        }
    }
}

/// Directories have one keeper each, and two daemons with different ones do not meet.
fn lock(run_dir: &Path) -> Result<Flock<File>> {
    let what = || format!("lock {}", run_dir.display());
    let mut dir = File::open(run_dir).map_err(|e| Error::new(Code::StateUnwritable, what()).because(e))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match Flock::lock(dir, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((unlocked, Errno::EWOULDBLOCK)) if Instant::now() < deadline => dir = unlocked,
            Err((_, Errno::EWOULDBLOCK)) => {
                return Err(Error::new(Code::Busy, what())
                    .because("another keeper has it")
                    .fix(format!("see which: fuser -v {}", run_dir.display())));
            }
            Err((_, errno)) => return Err(Error::new(Code::Kernel, what()).because(errno.desc())),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
