//! Commands in namespaces: how one is started, watched and ended, and how its namespace gets a name.
//! Nothing here knows of networks or of the daemon; every call blocks, and none needs a thread of its own.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

mod born;
mod child;
mod detach;
mod failure;
mod pin;
mod program;
mod reap;
mod space;
mod supervise;
mod terminal;
mod user;
mod watch;

pub use child::{Child, Exit, Identity, PidFd};
pub use detach::{OWN_PROGRAM, READY_FD, Ready, spawn_detached, take_ready_pipe};
pub use failure::NotStarted;
pub use pin::{NETNS_DIR, pin, pinned, unpin};
pub use space::{raise_loopback, spaces_of};
pub use supervise::{Output, Supervisor};
pub use terminal::{Terminal, hostname, pipe};
pub use user::User;
pub use watch::{Watch, Woken};

/// A command and the surroundings that it is to find itself in. Standard streams that are not given are the caller's.
#[derive(Debug, Default)]
pub struct Launch {
    /// The command and its arguments, at least one. A command without a slash is looked up in the PATH of `env`.
    pub argv: Vec<OsString>,
    /// All of its environment.
    pub env: Vec<(OsString, OsString)>,
    /// The caller's if None; after entering a mount namespace, its root.
    pub cwd: Option<PathBuf>,
    /// The caller's identity if None.
    pub user: Option<User>,
    /// Namespaces to enter, in this order; one of mounts comes last.
    pub enter: Vec<OwnedFd>,
    /// Mounts and a host name of its own.
    pub private: Option<Private>,
    pub stdin: Option<OwnedFd>,
    pub stdout: Option<OwnedFd>,
    pub stderr: Option<OwnedFd>,
    pub session: Session,
    pub fate: Fate,
}

/// What a command has for itself: no other process sees these mounts and this name.
#[derive(Debug, Default)]
pub struct Private {
    pub hostname: Option<String>,
    /// Files to put over others. Both must exist.
    pub binds: Vec<Bind>,
    /// A /sys that shows the links of its network namespace, where the kernel lets us.
    pub sysfs: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    pub source: PathBuf,
    pub target: PathBuf,
}

/// Whose keyboard signals a command gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Session {
    /// A session of its own, without a terminal: it is sent only what its supervisor forwards.
    #[default]
    Own,
    /// The foreground of the caller's terminal, which is the caller's standard input.
    Terminal,
}

/// What becomes of a command when the thread that started it dies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fate {
    /// It is killed: nothing runs unwatched.
    #[default]
    Shared,
    /// It lives on, as a child of init.
    Separate,
}

/// Starts a command. Returns once the kernel runs its program; if it never does, the error says which step failed.
pub fn start(launch: Launch) -> Result<Child, NotStarted> {
    let program = program::Program::prepare(launch)?;
    let pid = born::bear(&program)?;
    Child::adopt(pid)
}

#[cfg(test)]
mod tests;
