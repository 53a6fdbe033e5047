//! Where kernel objects live: a network namespace, known by its cookie.

use std::fmt;

/// A network namespace. The kernel never reuses a cookie (SO_NETNS_COOKIE), unlike paths, pids and inode numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place(pub u64);

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "netns:{}", self.0)
    }
}

/// How to reach a namespace for the first time. What is behind it is checked by its cookie, never believed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Door {
    /// The namespace that the daemon was started in.
    Own,
    /// A file descriptor of the process that called us, which waits for the answer meanwhile.
    Fd { pid: u32, fd: u32 },
    /// A path, such as /run/netns/web: how a namespace is found again after a restart.
    Path(String),
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Door::Own => write!(f, "the daemon's own namespace"),
            Door::Fd { pid, fd } => write!(f, "fd {fd} of process {pid}"),
            Door::Path(path) => write!(f, "{path}"),
        }
    }
}

/// How others find a container's namespace, as far as that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// By a path that led there when somebody looked. If it does not now, it has gone.
    Seen(&'a str),
    /// By a path that may be one of another mount namespace, where we cannot see it.
    By(&'a str),
    Nowhere,
}
