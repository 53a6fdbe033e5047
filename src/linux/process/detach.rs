//! Processes that outlive the one that started them: in nobody's session, nobody's child, and nobody's zombie.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use bowline_core::{Code, Error, Result};

use super::born;
use super::failure::NotStarted;
use super::program::{Kinship, Program};
use super::terminal::pipe;
use super::{Fate, Launch, Session};

/// The running program's own file, even where it was replaced on disk meanwhile.
pub const OWN_PROGRAM: &str = "/proc/self/exe";

/// Whether the new process is to have a pipe to say over that it is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// It finds the pipe with [`take_ready_pipe`]; the caller gets the end to read from, which ends when the process does.
    Pipe,
    Silent,
}

/// Where the new process finds the pipe.
pub const READY_FD: i32 = 3;

/// Starts `program` with `argv` (the name first), this process's environment, `/` as its directory, nothing to read,
/// and `log`, appended to, as both outputs. Returns once it runs, or says why it does not.
pub fn spawn_detached(
    program: &Path,
    argv: &[OsString],
    log: &Path,
    ready: Ready,
) -> Result<Option<OwnedFd>, NotStarted> {
    let launch = Launch {
        argv: argv.to_vec(),
        env: std::env::vars_os().collect(),
        cwd: Some(PathBuf::from("/")),
        stdin: Some(File::open("/dev/null").map_err(|e| unusable(Path::new("/dev/null"), &e))?.into()),
        stdout: Some(appended(log)?.into()),
        stderr: Some(appended(log)?.into()),
        session: Session::Own,
        fate: Fate::Separate,
        ..Launch::default()
    };
    let mut prepared = Program::prepare(launch)?;
    prepared.run_file(program)?;
    prepared.kinship = Kinship::Orphan;
    let (read, write) = match ready {
        Ready::Pipe => pipe().map(|(read, write)| (Some(read), Some(write)))?,
        Ready::Silent => (None, None),
    };
    prepared.extra = write;
    born::bear(&prepared)?;
    Ok(read)
}

/// The pipe that [`Ready::Pipe`] promised to this process, once, under the one number that it has. Refused where that is
/// no pipe.
pub fn take_ready_pipe(number: i32) -> Result<File> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let refused =
        |why: &str| Err(Error::new(Code::InvalidRequest, "say that this process is ready").because(why));
    if number != READY_FD {
        return refused(&format!(
            "descriptor {number} is not the one that was set aside for it, which is {READY_FD}"
        ));
    }
    let is_pipe = std::fs::metadata(format!("/proc/self/fd/{READY_FD}"))
        .is_ok_and(|m| m.file_type().is_fifo() && m.nlink() == 1);
    if !is_pipe {
        return refused("descriptor 3 is not a pipe");
    }
    if TAKEN.swap(true, Ordering::SeqCst) {
        return refused("it has been said already");
    }
    Ok(ready_file())
}

fn appended(log: &Path) -> Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(log).map_err(|e| unusable(log, &e))
}

fn unusable(path: &Path, error: &io::Error) -> Error {
    Error::new(Code::StateUnwritable, format!("open {}", path.display())).because(error)
}

#[allow(unsafe_code)]
fn ready_file() -> File {
    // SAFETY: the descriptor is open, was handed to this process for this, and is taken at most once.
    let file = unsafe { File::from_raw_fd(READY_FD) };
    // Commands that this process starts must not keep the reader waiting.
    if let Err(e) = nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC)) {
        tracing::warn!(error = %e, "the ready pipe will be inherited");
    }
    file
}
