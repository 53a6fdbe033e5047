//! Descriptors and the terminal: pipes that close at exec, and giving the foreground away and taking it back.

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use bowline_core::{Code, Error, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use nix::unistd::{Pid, getpgrp, pipe2, tcsetpgrp};

/// The terminal on standard input, as it was before a command was given it. Dropping it takes the foreground back.
#[derive(Debug)]
pub struct Terminal {
    modes: Termios,
}

impl Terminal {
    /// None where standard input is no terminal, or one whose foreground is not ours to give.
    pub fn of_stdin() -> Option<Terminal> {
        let stdin = std::io::stdin();
        let modes = tcgetattr(&stdin).ok()?;
        let owner = nix::unistd::tcgetpgrp(&stdin).ok()?;
        (owner == getpgrp()).then_some(Terminal { modes })
    }

    /// Gives the foreground to a process group.
    pub(super) fn give(&self, group: Pid) -> nix::Result<()> {
        quietly(|| tcsetpgrp(std::io::stdin(), group))
    }

    /// Takes the foreground back, with the modes as they were.
    pub(super) fn take(&self) -> nix::Result<()> {
        quietly(|| {
            tcsetpgrp(std::io::stdin(), getpgrp())?;
            retried(|| tcsetattr(std::io::stdin(), SetArg::TCSADRAIN, &self.modes))
        })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A terminal that hung up cannot be taken back, and need not be.
        let _hung_up = self.take();
    }
}

/// From the background, both calls stop a process that does not block SIGTTOU.
fn quietly<T>(act: impl FnOnce() -> nix::Result<T>) -> nix::Result<T> {
    let mut before = SigSet::empty();
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGTTOU);
    pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&mask), Some(&mut before))?;
    let outcome = act();
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
    outcome
}

/// The host's name, as this process sees it.
pub fn hostname() -> Result<OsString> {
    nix::unistd::gethostname().map_err(|e| Error::new(Code::Kernel, "read the host name").because(e.desc()))
}

/// The two ends of a pipe, to read from and to write to; both close at exec.
pub fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    pipe2(OFlag::O_CLOEXEC).map_err(|e| Error::new(Code::Kernel, "make a pipe").because(e.desc()))
}

/// The same file under a number that is at least `least`, and under no other.
pub(super) fn above(file: OwnedFd, least: RawFd) -> Result<OwnedFd> {
    if file.as_raw_fd() >= least {
        return Ok(file);
    }
    let fd = fcntl(file.as_fd(), FcntlArg::F_DUPFD_CLOEXEC(least))
        .map_err(|e| Error::new(Code::Kernel, "duplicate a descriptor").because(e.desc()))?;
    Ok(own(fd))
}

/// Repeats a call that a signal interrupted.
pub(super) fn retried<T>(mut act: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match act() {
            Err(Errno::EINTR) => (),
            outcome => return outcome,
        }
    }
}

/// Takes charge of a descriptor that a call has just returned.
#[allow(unsafe_code)]
pub(super) fn own(fd: RawFd) -> OwnedFd {
    debug_assert!(fd.as_raw_fd() >= 0);
    // SAFETY: every caller passes what the kernel has just given it, which nobody else knows of.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
