//! Sleeping until a file in a directory changes, or a process ends.

use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use bowline_core::{Code, Error, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::child::PidFd;
use super::terminal::own;

/// Changes to the files of one directory, from the moment that this was made.
#[derive(Debug)]
pub struct Watch {
    events: File,
}

/// Why [`Watch::wait`] returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    Changed,
    /// The process has ended, and nothing has changed that was not told before.
    Ended,
}

impl Watch {
    pub fn on(dir: &Path) -> Result<Watch> {
        let failed =
            |e: Errno| Error::new(Code::Kernel, format!("watch {}", dir.display())).because(e.desc());
        let path = CString::new(dir.as_os_str().as_bytes()).map_err(|_| failed(Errno::EINVAL))?;
        let events = start(&path).map_err(failed)?;
        Ok(Watch { events })
    }

    pub fn wait(&mut self, process: &PidFd) -> Result<Woken> {
        let failed = |e: &dyn std::fmt::Display| Error::new(Code::Kernel, "wait for a change").because(e);
        loop {
            let mut fds = [
                PollFd::new(self.events.as_fd(), PollFlags::POLLIN),
                PollFd::new(process.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) => (),
                Err(Errno::EINTR) => continue,
                Err(e) => return Err(failed(&e)),
            }
            if fds[0].revents().is_none_or(|events| events.is_empty()) {
                return Ok(Woken::Ended);
            }
            // What changed is not read: the caller looks at everything anyhow.
            let mut buffer = [0; 4096];
            match self.events.read(&mut buffer) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => (),
                Err(e) => return Err(failed(&e)),
                Ok(_) => return Ok(Woken::Changed),
            }
        }
    }
}

#[allow(unsafe_code)]
fn start(path: &CString) -> nix::Result<File> {
    // SAFETY: inotify_init1 takes flags only.
    let fd = Errno::result(unsafe { libc::inotify_init1(libc::IN_CLOEXEC) })?;
    let events = own(fd);
    let kinds = libc::IN_MODIFY | libc::IN_CREATE | libc::IN_MOVED_TO | libc::IN_DELETE;
    // SAFETY: the path is a C string that outlives the call.
    Errno::result(unsafe { libc::inotify_add_watch(fd, path.as_ptr(), kinds) })?;
    Ok(events.into())
}
