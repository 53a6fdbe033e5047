//! A test hook that kills the process just before a chosen change to the kernel.
//! Every call that changes kernel state announces itself here first, so a crash test can stop at each one.

use std::sync::atomic::{AtomicU64, Ordering};

static CALLS: AtomicU64 = AtomicU64::new(0);
static KILL_AT: AtomicU64 = AtomicU64::new(u64::MAX);

/// Call just before each request that changes something in the kernel.
pub(crate) fn about_to_change() {
    let call = CALLS.fetch_add(1, Ordering::SeqCst) + 1;
    if call >= KILL_AT.load(Ordering::SeqCst) {
        die();
    }
}

/// Changes announced by this process so far.
pub(crate) fn calls_made() -> u64 {
    CALLS.load(Ordering::SeqCst)
}

/// Arms the hook: the process dies just before its `call`-th change, counted from 1.
pub(crate) fn kill_at(call: u64) {
    KILL_AT.store(call, Ordering::SeqCst);
}

fn die() {
    let outcome = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
    // SIGKILL to oneself does not return; if it was refused, nothing may be changed after it all the same.
    tracing::error!(?outcome, "could not kill this process at the chosen call");
    std::process::abort();
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;

    /// Run by the test below, in a process of its own.
    #[test]
    #[ignore = "it kills its process"]
    fn victim() {
        kill_at(calls_made() + 3);
        for call in 1.. {
            about_to_change();
            println!("made call {call}");
        }
    }

    #[test]
    fn a_process_dies_just_before_the_chosen_call() {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "fault::tests::victim", "--ignored", "--nocapture"])
            .output()
            .unwrap();
        assert_eq!(output.status.signal(), Some(libc::SIGKILL));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("made call 2") && !said.contains("made call 3"), "{said}");
    }
}
