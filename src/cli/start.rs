//! The first use on a machine without systemd: the daemon is started by whoever needs it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use bowline_api::SOCKET;
use bowline_core::{Code, Context, Error, Result};
use bowline_linux::process::{self, Ready};

use crate::io::Io;
use crate::session::Session;

/// How long a daemon may take to be ready.
const PATIENCE: Duration = Duration::from_secs(5);

/// Starts the daemon where nothing listens. Whatever else is wrong with the socket, the call itself will tell.
pub(crate) fn if_absent(session: &Session, io: &mut Io<'_>) -> Result<()> {
    let socket = session.client.socket();
    let Some(absent) = absent(socket) else { return Ok(()) };
    if is_left_to_systemd() {
        return Err(left_to_systemd(socket, &absent));
    }
    started(Path::new(process::OWN_PROGRAM), session, io)
        .context(|| format!("start a daemon for {}", socket.display()))
}

/// Why nobody listens there. None where somebody does, or that cannot be told.
pub(crate) fn absent(socket: &Path) -> Option<io::Error> {
    let error = UnixStream::connect(socket).err()?;
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused).then_some(error)
}

/// Whether a daemon that is needed is for systemd to start.
pub(crate) fn is_left_to_systemd() -> bool {
    Path::new("/run/systemd/system").exists()
}

pub(crate) fn left_to_systemd(socket: &Path, absent: &io::Error) -> Error {
    let fix = match socket == Path::new(SOCKET) {
        true => "systemctl start bowline".to_string(),
        false => format!("bowline daemon --socket {}", socket.display()),
    };
    Error::new(Code::Unreachable, format!("connect to the daemon at {}", socket.display()))
        .because(absent)
        .fix(fix)
}

fn started(program: &Path, session: &Session, io: &mut Io<'_>) -> Result<()> {
    let socket = session.client.socket();
    let log = socket.with_file_name("daemon.log");
    let before = length(&log)?;
    let read_log = format!("read its log: cat {}", log.display());
    let said = launch(program, socket, &log)?;
    match said.recv_timeout(PATIENCE) {
        Ok(true) => (),
        // Of two that start at once one ends, and the other answers.
        Ok(false) | Err(RecvTimeoutError::Disconnected) if session.client.health().is_ok() => return Ok(()),
        Ok(false) | Err(RecvTimeoutError::Disconnected) => {
            let error = Error::new(Code::Unreachable, "the daemon ended at once");
            return Err(match last_words(&log, before) {
                Some(words) => error.because(words),
                None => error,
            }
            .fix(read_log));
        }
        Err(RecvTimeoutError::Timeout) => {
            let seconds = PATIENCE.as_secs();
            return Err(Error::new(
                Code::Unreachable,
                format!("the daemon is not ready after {seconds} seconds"),
            )
            .fix(read_log));
        }
    }
    let pid = session.client.info()?.pid;
    io.note(session, &format!("bowline: started the daemon (pid {pid}, log {})", log.display()));
    Ok(())
}

/// The size of the log, after which the new daemon's part begins; its directory is made where there is none.
fn length(log: &Path) -> Result<u64> {
    let look = || -> io::Result<u64> {
        if let Some(dir) = log.parent() {
            fs::create_dir_all(dir)?;
        }
        match fs::metadata(log) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            found => Ok(found?.len()),
        }
    };
    look().map_err(|error| {
        let (code, fix) = match error.kind() {
            io::ErrorKind::PermissionDenied => {
                (Code::Denied, "start the daemon as root: sudo bowline daemon")
            }
            _ => (Code::Unreachable, "choose a socket in a directory that can be made: --socket FILE"),
        };
        Error::new(code, format!("make room for the daemon's log {}", log.display())).because(error).fix(fix)
    })
}

/// Starts the daemon. What is received is true once it is ready, and false if it ends before.
fn launch(program: &Path, socket: &Path, log: &Path) -> Result<mpsc::Receiver<bool>> {
    let argv: [OsString; 6] = [
        "bowline".into(),
        "daemon".into(),
        "--socket".into(),
        std::path::absolute(socket).unwrap_or_else(|_| socket.to_path_buf()).into(),
        "--ready-fd".into(),
        "3".into(),
    ];
    let pipe = process::spawn_detached(program, &argv, log, Ready::Pipe)
        .map_err(Error::from)?
        .expect("a pipe was asked for");
    let (tell, told) = mpsc::channel();
    // It ends with the pipe: when the daemon is ready, or gone.
    std::thread::spawn(move || {
        let ready = matches!(File::from(pipe).read(&mut [0]), Ok(1));
        // Whoever waited may have lost patience.
        let _nobody_waits = tell.send(ready);
    });
    Ok(told)
}

/// The line of the log that says why the daemon ended: its error, or just the last.
fn last_words(log: &Path, from: u64) -> Option<String> {
    let mut file = File::open(log).ok()?;
    file.seek(SeekFrom::Start(from)).ok()?;
    let mut text = Vec::new();
    file.take(64 << 10).read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let error = lines.clone().rfind(|line| line.starts_with("error["));
    error.or_else(|| lines.next_back()).map(str::to_string)
}

#[cfg(test)]
mod tests {
    use bowline_api::v1;

    use super::*;
    use crate::fixture::{Captured, Fake, Scratch, session};

    #[test]
    fn under_systemd_the_fix_is_to_start_the_unit() {
        let absent = io::Error::from(io::ErrorKind::NotFound);
        let check = |socket: &str| left_to_systemd(Path::new(socket), &absent).fix.unwrap();
        assert_eq!(check(SOCKET), "systemctl start bowline");
        assert_eq!(check("/tmp/x.sock"), "bowline daemon --socket /tmp/x.sock");
    }

    #[test]
    fn a_daemon_that_ends_at_once_leaves_its_last_words() {
        let scratch = Scratch::new("last-words");
        let program = scratch
            .script("echo starting; echo 'error[BWL-3003]: a daemon runs here'; echo '  fix: x'; exit 1");
        let session = session(scratch.path("bowline.sock"));
        let mut io = Captured::default();
        let error = started(&program, &session, &mut io.io()).unwrap_err();
        assert_eq!(error.code, Code::Unreachable);
        assert_eq!(error.cause().unwrap(), "error[BWL-3003]: a daemon runs here");
        assert!(error.fix.unwrap().ends_with("daemon.log"));
        assert_eq!(io.err(), "");
    }

    #[test]
    fn a_daemon_that_says_it_is_ready_is_named_with_its_log() {
        let health = v1::Health { status: "ok".into(), holds: Vec::new() };
        let fake =
            Fake::new("ready", &[("GET /v1/health", &health), ("GET /v1/info", &crate::fixture::info())]);
        let program = fake.scratch.script("echo \"$@\"; echo ready >&3");
        let socket = fake.scratch.path("bowline.sock");
        let mut io = Captured::default();
        started(&program, &session(&socket), &mut io.io()).unwrap();
        let log = fake.scratch.path("daemon.log");
        assert_eq!(io.err(), format!("bowline: started the daemon (pid 12, log {})\n", log.display()));
        let said = format!("daemon --socket {} --ready-fd 3\n", socket.display());
        assert_eq!(std::fs::read_to_string(log).unwrap(), said);
    }

    #[test]
    fn a_daemon_that_ends_because_another_was_faster_is_no_failure() {
        let health = v1::Health { status: "ok".into(), holds: Vec::new() };
        let fake = Fake::new("faster", &[("GET /v1/health", &health)]);
        let program = fake.scratch.script("exit 1");
        let mut io = Captured::default();
        started(&program, &session(fake.scratch.path("bowline.sock")), &mut io.io()).unwrap();
        assert_eq!(io.err(), "");
    }

    #[test]
    fn a_program_that_is_not_there_is_not_started() {
        let scratch = Scratch::new("no-program");
        let session = session(scratch.path("bowline.sock"));
        let mut io = Captured::default();
        let error = started(Path::new("/no/such/program"), &session, &mut io.io()).unwrap_err();
        assert_eq!(error.code, Code::NotStarted);
    }
}
