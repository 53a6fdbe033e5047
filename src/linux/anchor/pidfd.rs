//! The process that a path in /proc is about, held by a descriptor that tells of its end.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::path::{Component, Path};

use nix::errno::Errno;

/// The process behind a path such as /proc/PID/ns/net.
pub(super) fn of_path(path: &Path) -> Option<u32> {
    let mut parts = path.components();
    let (root, proc, pid) = (parts.next()?, parts.next()?, parts.next()?);
    let Component::Normal(pid) = pid else { return None };
    if root != Component::RootDir || proc != Component::Normal("proc".as_ref()) {
        return None;
    }
    pid.to_str()?.parse().ok()
}

/// It becomes readable when the process has ended, with all of its threads. It does not keep the process's namespaces.
#[allow(unsafe_code)]
pub(super) fn open(pid: u32) -> nix::Result<OwnedFd> {
    // SAFETY: pidfd_open takes plain numbers; it sets close-on-exec by itself.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: the kernel has just opened it for us, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn a_path_is_of_a_process_or_not() {
        let check = |path: &str, expected| assert_eq!(of_path(Path::new(path)), expected, "{path}");
        check("/proc/17/ns/net", Some(17));
        check("/proc/17/task/18/ns/net", Some(17));
        check("/proc/self/ns/net", None);
        check("/proc/-1/ns/net", None);
        check("/proc/99999999999/ns/net", None);
        check("proc/17/ns/net", None);
        check("/run/proc/17/ns/net", None);
        check("/proc", None);
    }
}
