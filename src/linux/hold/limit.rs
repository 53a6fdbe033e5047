//! How many files this process may have open: each held port is one, and few are allowed unless more are asked for.

use bowline_core::{Code, Error, Result};
use nix::errno::Errno;

/// As many as ports of both protocols and families could ever need, with their relays.
const ENOUGH: u64 = 1 << 19;

/// Raises the limit to what is enough, where this process may, or else to what the administrator allows; and returns it.
/// A command started after inherits it.
pub fn raise_file_limit() -> Result<u64> {
    let failed = |what: &str, errno: Errno| Error::new(Code::Kernel, what).because(errno);
    let now = exchange(None).map_err(|e| failed("read how many files may be open", e))?;
    if now.rlim_max < ENOUGH && exchange(Some(&libc::rlimit { rlim_cur: ENOUGH, rlim_max: ENOUGH })).is_ok() {
        return Ok(ENOUGH);
    }
    if now.rlim_cur < now.rlim_max {
        let most = libc::rlimit { rlim_cur: now.rlim_max, ..now };
        exchange(Some(&most)).map_err(|e| failed("raise how many files may be open", e))?;
    }
    Ok(now.rlim_max)
}

/// The limit as it was, having set it where a new one is given.
#[allow(unsafe_code)]
pub(super) fn exchange(new: Option<&libc::rlimit>) -> nix::Result<libc::rlimit> {
    let new = new.map_or(std::ptr::null(), |new| &raw const *new);
    let mut old = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: process 0 is this one; the kernel reads `new`, if there is any, and writes `old`; both outlive the call.
    Errno::result(unsafe { libc::prlimit(0, libc::RLIMIT_NOFILE, new, &raw mut old) }).map(|_| old)
}
