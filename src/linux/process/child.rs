//! Processes as they are watched and ended: by a descriptor, which never comes to mean another process.
//! Between two runs of bowline a process is known by its pid and the moment that it started.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use bowline_core::{Code, Error, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;

use super::failure::NotStarted;
use super::reap::reap;
use super::terminal::own;

/// A child of this process, which is to be waited for.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    process: PidFd,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Code(u8),
    Signal(u8),
}

impl Exit {
    /// As a shell has it: 128 and the signal's number for a command that was killed.
    pub fn code(self) -> u8 {
        match self {
            Exit::Code(code) => code,
            Exit::Signal(signal) => 128 + signal,
        }
    }
}

impl Child {
    pub(super) fn adopt(pid: Pid) -> Result<Child, NotStarted> {
        match PidFd::of_live(pid.as_raw()) {
            Ok(process) => Ok(Child { pid, process }),
            Err(e) => {
                // Not reaped yet, so that the pid is still the child's.
                let _ended = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
                let _reaped = reap(pid);
                Err(refused("watch the command", e).into())
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.pid.as_raw() as u32
    }

    pub(super) fn raw(&self) -> Pid {
        self.pid
    }

    pub fn pidfd(&self) -> &PidFd {
        &self.process
    }

    pub fn signal(&self, signal: i32) -> Result<()> {
        self.process.signal(signal)
    }

    /// Sleeps until it ends, and reaps it.
    pub fn wait(&self) -> Result<Exit> {
        reap(self.pid).map_err(|e| refused("wait for the command", e))
    }
}

/// A process that another run of bowline may have started: its pid, and when it started in ticks since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    pub pid: u32,
    pub start: u64,
}

impl Identity {
    /// None where there is no such process, or only its zombie.
    pub fn of(pid: u32) -> Option<Identity> {
        let stat = Stat::of(pid)?;
        stat.alive.then_some(Identity { pid, start: stat.start })
    }

    pub fn this() -> Result<Identity> {
        Identity::of(std::process::id())
            .ok_or_else(|| Error::new(Code::Kernel, "read /proc/self/stat").because("is /proc mounted?"))
    }

    pub fn is_alive(self) -> bool {
        Identity::of(self.pid) == Some(self)
    }

    /// The process itself, if it is alive.
    pub fn open(self) -> Result<Option<PidFd>> {
        match PidFd::of_live(self.pid as i32) {
            // Looked at again now that the number cannot come to mean another.
            Ok(process) => Ok(self.is_alive().then_some(process)),
            Err(Errno::ESRCH) => Ok(None),
            Err(e) => Err(refused(&format!("watch process {}", self.pid), e)),
        }
    }

    /// Signals its process group, which it leads.
    pub fn signal_group(self, signal: i32) -> Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        signal_raw(-(self.pid as i32), signal).or_else(gone_is_fine("signal the command", signal))
    }
}

/// The parts of /proc/PID/stat that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) alive: bool,
    pub(super) session: i32,
    pub(super) start: u64,
}

impl Stat {
    pub(super) fn of(pid: u32) -> Option<Stat> {
        Stat::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The name in parentheses may itself hold parentheses and spaces: the last one ends it (proc_pid_stat(5)).
    pub(super) fn parse(text: &str) -> Option<Stat> {
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        Some(Stat {
            alive: !matches!(*fields.first()?, "Z" | "X" | "x"),
            session: fields.get(3)?.parse().ok()?,
            start: fields.get(19)?.parse().ok()?,
        })
    }
}

/// A process held by a descriptor.
#[derive(Debug)]
pub struct PidFd(OwnedFd);

impl PidFd {
    #[allow(unsafe_code)]
    fn of_live(pid: i32) -> nix::Result<PidFd> {
        // SAFETY: pidfd_open takes plain numbers; it sets close-on-exec by itself.
        let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
        Ok(PidFd(own(fd as RawFd)))
    }

    /// One that has ended takes every signal.
    #[allow(unsafe_code)]
    pub fn signal(&self, signal: i32) -> Result<()> {
        let (fd, nothing) = (self.0.as_raw_fd(), std::ptr::null::<libc::siginfo_t>());
        // SAFETY: the descriptor is open, and no siginfo is passed.
        let outcome =
            Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, nothing, 0) });
        outcome.map(drop).or_else(gone_is_fine("signal the command", signal))
    }

    /// Sleeps until it has ended. False where the time was not enough.
    pub fn wait(&self, patience: Option<Duration>) -> Result<bool> {
        let deadline = patience.map(|p| Instant::now() + p);
        loop {
            let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, until(deadline)) {
                Ok(0) if deadline.is_some_and(|d| Instant::now() >= d) => return Ok(false),
                Ok(0) | Err(Errno::EINTR) => (),
                Ok(_) => return Ok(true),
                Err(e) => return Err(refused("wait for a process", e)),
            }
        }
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn until(deadline: Option<Instant>) -> PollTimeout {
    let Some(deadline) = deadline else { return PollTimeout::NONE };
    // Rounded up, so that a part of a millisecond is not spun away.
    let left = deadline.saturating_duration_since(Instant::now()).as_millis().saturating_add(1);
    PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
}

/// nix knows no real-time signals by name, and a user may send one.
#[allow(unsafe_code)]
pub(super) fn signal_raw(target: i32, signal: i32) -> nix::Result<()> {
    // SAFETY: kill takes plain numbers.
    Errno::result(unsafe { libc::kill(target, signal) }).map(drop)
}

fn gone_is_fine(what: &str, signal: i32) -> impl FnOnce(Errno) -> Result<()> {
    let what = format!("{what} with signal {signal}");
    move |errno| match errno {
        Errno::ESRCH => Ok(()),
        Errno::EINVAL => Err(Error::new(Code::InvalidRequest, what).because("there is no such signal")),
        other => Err(refused(&what, other)),
    }
}

fn refused(what: &str, errno: Errno) -> Error {
    let code = match errno {
        Errno::EPERM | Errno::EACCES => Code::Denied,
        Errno::ENOSYS => Code::Unsupported,
        _ => Code::Kernel,
    };
    Error::new(code, what).because(errno.desc())
}
