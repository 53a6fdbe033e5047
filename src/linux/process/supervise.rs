//! Watching over a command until it ends: its signals, its terminal, its output, and the strays that it leaves.
//! One poll over a signalfd and a pipe; nothing is asked twice.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};

use bowline_core::{Code, Error, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::getpgrp;

use super::child::{Child, Exit, Stat, signal_raw};
use super::reap::{News, Whose, has_stopped, peek, reap};
use super::terminal::Terminal;

/// What is passed on to the command, and whether to all of its process group, as a terminal would.
const FORWARDED: [(Signal, To); 7] = [
    (Signal::SIGHUP, To::Group),
    (Signal::SIGINT, To::Group),
    (Signal::SIGQUIT, To::Group),
    (Signal::SIGWINCH, To::Group),
    (Signal::SIGTERM, To::Command),
    (Signal::SIGUSR1, To::Command),
    (Signal::SIGUSR2, To::Command),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum To {
    Command,
    Group,
}

/// A process that has taken charge of its signals and of the orphans among its descendants.
#[derive(Debug)]
pub struct Supervisor {
    signals: SignalFd,
}

/// What a command writes: read from `pipe`, handed to `sink`, which copes with its own failures.
pub struct Output<'a> {
    pub pipe: OwnedFd,
    pub sink: &'a mut dyn FnMut(&[u8]),
}

impl std::fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").field("pipe", &self.pipe).finish_non_exhaustive()
    }
}

#[allow(unsafe_code)]
fn heed_children() -> nix::Result<()> {
    // SAFETY: the default action runs no code of ours.
    unsafe { nix::sys::signal::signal(Signal::SIGCHLD, nix::sys::signal::SigHandler::SigDfl) }.map(drop)
}

impl Supervisor {
    /// Call it before any thread is started and before the command. Signals that come until [`Supervisor::watch`] wait for
    /// it; those that this process was told to ignore (as by nohup) stay ignored.
    pub fn new() -> Result<Supervisor> {
        // Inherited as ignored (bash: trap '' CHLD), it would have the kernel reap what is ours to reap.
        heed_children().map_err(|e| refused("listen for the end of commands", e))?;
        nix::sys::prctl::set_child_subreaper(true).map_err(|e| refused("adopt orphans", e))?;
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        for (signal, _) in FORWARDED {
            if !is_ignored(signal) {
                mask.add(signal);
            }
        }
        pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&mask), None).map_err(|e| refused("block signals", e))?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .map_err(|e| refused("listen for signals", e))?;
        Ok(Supervisor { signals })
    }

    /// Sleeps until the command ends. What is left of its process group, and of its session if that is its own, is killed
    /// before it is reaped, while its pid cannot mean anything else.
    pub fn watch(
        &self,
        child: &Child,
        terminal: Option<&Terminal>,
        output: Option<Output<'_>>,
    ) -> Result<Exit> {
        let mut output = output.map(Reader::new).transpose()?;
        loop {
            if let Some((_, News::Ended(exit))) =
                peek(Whose::Only(child.raw())).map_err(|e| refused("watch the command", e))?
            {
                end_leftovers(child, terminal);
                reap(child.raw()).map_err(|e| refused("reap the command", e))?;
                reap_strays(child);
                if let Some(output) = &mut output {
                    output.drain();
                }
                return Ok(exit);
            }
            if has_stopped(child.raw()).map_err(|e| refused("watch the command", e))?
                && let Some(terminal) = terminal
            {
                suspend(child, terminal)?;
            }
            reap_strays(child);
            self.sleep(child, &mut output)?;
        }
    }

    /// Until there is a signal or the end, having handled it and what was written meanwhile.
    fn sleep(&self, child: &Child, output: &mut Option<Reader<'_>>) -> Result<()> {
        loop {
            // A SIGCHLD may be lost to another thread; that the command ended is not.
            let mut fds = vec![
                PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
                PollFd::new(child.pidfd().as_fd(), PollFlags::POLLIN),
            ];
            fds.extend(output.as_ref().map(|o| PollFd::new(o.pipe.as_fd(), PollFlags::POLLIN)));
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) => (),
                Err(Errno::EINTR) => continue,
                Err(e) => return Err(refused("wait for the command", e)),
            }
            let ready: Vec<bool> =
                fds.iter().map(|fd| fd.revents().is_some_and(|events| !events.is_empty())).collect();
            if ready.get(2) == Some(&true) && output.as_mut().is_some_and(|o| o.read() == Flow::Over) {
                *output = None;
            }
            if ready[0] || ready[1] {
                return self.forward(child);
            }
        }
    }

    fn forward(&self, child: &Child) -> Result<()> {
        loop {
            let info = match self.signals.read_signal() {
                Ok(Some(info)) => info,
                Ok(None) => return Ok(()),
                Err(Errno::EINTR) => continue,
                Err(e) => return Err(refused("read a signal", e)),
            };
            let signal = info.ssi_signo as i32;
            let Some((_, to)) = FORWARDED.iter().find(|(each, _)| *each as i32 == signal) else { continue };
            let pid = child.raw().as_raw();
            let target = match to {
                To::Command => pid,
                To::Group => -pid,
            };
            // Not reaped yet, so that the pid is the command's; it may have ended, which is no failure.
            if let Err(e) = signal_raw(target, signal)
                && e != Errno::ESRCH
            {
                tracing::warn!(signal, error = %e, "a signal was not forwarded");
            }
        }
    }
}

fn refused(what: &str, errno: Errno) -> Error {
    Error::new(Code::Kernel, what).because(errno.desc())
}

fn end_leftovers(child: &Child, terminal: Option<&Terminal>) {
    let pid = child.raw().as_raw();
    // Nobody left in the group is the usual case.
    let _empty = signal_raw(-pid, libc::SIGKILL);
    // All of its session descends from the command, and what the command leaves becomes ours: no child but the command,
    // no leftovers, and no look at every process of the machine.
    if terminal.is_some() || !has_others_than(child) {
        return;
    }
    for other in numbered("/proc").filter(|&other| other != child.pid()) {
        if Stat::of(other).is_some_and(|stat| stat.session == pid) {
            let _ended = signal_raw(other as i32, libc::SIGKILL);
        }
    }
}

/// True where the kernel does not say.
fn has_others_than(child: &Child) -> bool {
    let command = child.pid().to_string();
    numbered("/proc/self/task").any(|thread| {
        let children = std::fs::read_to_string(format!("/proc/self/task/{thread}/children"));
        children.map_or(true, |pids| pids.split_whitespace().any(|pid| pid != command))
    })
}

/// The entries of a directory that are numbers, as processes and threads are in /proc.
fn numbered(dir: &str) -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Orphans that have ended, but never the command itself.
fn reap_strays(child: &Child) {
    while let Ok(Some((pid, News::Ended(_)))) = peek(Whose::Any) {
        if pid == child.raw() || reap(pid).is_err() {
            return;
        }
    }
}

/// The command was stopped from the terminal: so are we, with the rest of our pipeline. The shell continues us both.
fn suspend(child: &Child, terminal: &Terminal) -> Result<()> {
    let lost = |e| refused("share the terminal", e);
    terminal.take().map_err(lost)?;
    signal_raw(0, libc::SIGTSTP).map_err(lost)?;
    // Continued in the background, it may run but not have the terminal.
    if nix::unistd::tcgetpgrp(std::io::stdin()) == Ok(getpgrp()) {
        terminal.give(child.raw()).map_err(lost)?;
    }
    signal_raw(-child.raw().as_raw(), libc::SIGCONT).or_else(|e| match e {
        Errno::ESRCH => Ok(()),
        other => Err(lost(other)),
    })
}

struct Reader<'a> {
    pipe: File,
    sink: &'a mut dyn FnMut(&[u8]),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    More,
    Dry,
    Over,
}

impl<'a> Reader<'a> {
    fn new(output: Output<'a>) -> Result<Reader<'a>> {
        fcntl(&output.pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
            .map_err(|e| refused("read the output", e))?;
        Ok(Reader { pipe: output.pipe.into(), sink: output.sink })
    }

    fn read(&mut self) -> Flow {
        let mut buffer = [0; 64 << 10];
        match self.pipe.read(&mut buffer) {
            Ok(0) => Flow::Over,
            Ok(n) => {
                (self.sink)(&buffer[..n]);
                Flow::More
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => Flow::More,
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => Flow::Dry,
            Err(e) => {
                tracing::warn!(error = %e, "the output is lost");
                Flow::Over
            }
        }
    }

    /// What is in the pipe now. A stray that goes on writing is not waited for: the pipe holds 1 MiB at most.
    fn drain(&mut self) {
        for _ in 0..16 {
            if self.read() != Flow::More {
                return;
            }
        }
    }
}

#[allow(unsafe_code)]
fn is_ignored(signal: Signal) -> bool {
    // SAFETY: sigaction is plain data; with no new action the call only writes the old one to it.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: as above; the signal is one of a fixed list.
    let outcome = unsafe { libc::sigaction(signal as i32, std::ptr::null(), &raw mut action) };
    outcome == 0 && action.sa_sigaction == libc::SIG_IGN
}
