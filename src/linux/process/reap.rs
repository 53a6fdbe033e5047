//! Waiting for children, with the kernel's own numbers: a command may be killed by a signal that has no name.

use nix::errno::Errno;
use nix::unistd::Pid;

use super::child::Exit;
use super::terminal::retried;

/// Which children are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    Only(Pid),
    Any,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    Ended(Exit),
    Stopped,
}

/// Sleeps until the child has ended, and reaps it.
pub(super) fn reap(child: Pid) -> nix::Result<Exit> {
    loop {
        if let Some((_, News::Ended(exit))) = ask(Whose::Only(child), libc::WEXITED)? {
            return Ok(exit);
        }
    }
}

/// A child that has ended is left as it is, so that its pid keeps meaning it.
pub(super) fn peek(whose: Whose) -> nix::Result<Option<(Pid, News)>> {
    ask(whose, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT)
}

/// True once for each time that the child stopped. One that has ended does not stop any more, and where only stops are
/// asked for, the kernel says of it that it is no child.
pub(super) fn has_stopped(child: Pid) -> nix::Result<bool> {
    match ask(Whose::Only(child), libc::WSTOPPED | libc::WNOHANG) {
        Err(Errno::ECHILD) => Ok(false),
        news => Ok(matches!(news?, Some((_, News::Stopped)))),
    }
}

/// None where there is no news, or no such child.
fn ask(whose: Whose, flags: i32) -> nix::Result<Option<(Pid, News)>> {
    let (kind, id) = match whose {
        Whose::Only(pid) => (libc::P_PID, pid.as_raw() as libc::id_t),
        Whose::Any => (libc::P_ALL, 0),
    };
    match retried(|| waitid(kind, id, flags)) {
        Err(Errno::ECHILD) if whose == Whose::Any => Ok(None),
        outcome => outcome,
    }
}

#[allow(unsafe_code)]
fn waitid(kind: libc::idtype_t, id: libc::id_t, flags: i32) -> nix::Result<Option<(Pid, News)>> {
    // SAFETY: siginfo_t is plain data, for which zero is valid: a pid of 0 says that there was no news.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one siginfo_t, which outlives the call.
    Errno::result(unsafe { libc::waitid(kind, id, &raw mut info, flags) })?;
    // SAFETY: waitid filled in the fields of SIGCHLD, or left the zeros.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Ok(None);
    }
    let news = match info.si_code {
        libc::CLD_EXITED => News::Ended(Exit::Code(status as u8)),
        libc::CLD_KILLED | libc::CLD_DUMPED => News::Ended(Exit::Signal(status as u8)),
        _ => News::Stopped,
    };
    Ok(Some((Pid::from_raw(pid), news)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_has_ended_has_not_stopped() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = Pid::from_raw(child.id() as i32);
        while peek(Whose::Only(pid)).unwrap().is_none() {
            std::thread::yield_now();
        }
        assert_eq!(has_stopped(pid), Ok(false));
        assert!(child.wait().unwrap().success());
    }
}
