//! What a command said and how it ended, and how long something may take to become true.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::patience::stretched;

/// Long enough for a loaded machine; whoever is in time never waits for it.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) line: String,
    /// As a shell has it: 128 and the signal's number for who was killed.
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn by(line: String, mut command: Command) -> Said {
        let output = command.output().unwrap_or_else(|e| panic!("run {line}: {e}"));
        Said::of(line, &output)
    }

    pub(crate) fn of(line: String, output: &Output) -> Said {
        use std::os::unix::process::ExitStatusExt;
        let killed = || output.status.signal().map_or(-1, |signal| 128 + signal);
        Said {
            line,
            code: output.status.code().unwrap_or_else(killed),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub(crate) fn well(self) -> Said {
        assert!(self.code == 0, "{self}");
        self
    }

    /// It failed as documented: with this code in its message, and this exit code.
    #[track_caller]
    pub(crate) fn refused(self, code: &str, exit: i32) -> Said {
        let coded =
            self.err.contains(&format!("error[{code}]: ")) || self.err.contains(&format!("\"{code}\""));
        assert!(coded && self.code == exit, "wanted {code} and exit code {exit} of {self}");
        self
    }

    /// Its message has all of these.
    #[track_caller]
    pub(crate) fn naming(self, parts: &[&str]) -> Said {
        for part in parts {
            assert!(self.err.contains(part), "wanted {part:?} in the message of {self}");
        }
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("no JSON ({e}) from {self}"))
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "`{}` (exit code {})\nout: {}\nerr: {}",
            self.line,
            self.code,
            self.out.trim(),
            self.err.trim()
        )
    }
}

/// Looks until it is so, and says what it saw last if it never is.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let patience = stretched(PATIENCE);
    let deadline = Instant::now() + patience;
    loop {
        match look() {
            Ok(seen) => return seen,
            Err(last) if Instant::now() > deadline => {
                panic!("{what}: not within {patience:?}; last seen: {last}")
            }
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// For `eventually`: fine if it is so, else what was seen.
pub(crate) fn only_if(so: bool, seen: impl std::fmt::Debug) -> Result<(), String> {
    if so { Ok(()) } else { Err(format!("{seen:?}")) }
}

/// Two long texts, of which only the lines that differ are shown.
#[track_caller]
pub(crate) fn assert_same(what: &str, before: &str, after: &str) {
    let only = |these: &str, those: &str, sign: char| -> Vec<String> {
        these.lines().filter(|l| !those.lines().any(|o| o == *l)).map(|l| format!("{sign} {l}")).collect()
    };
    let changes = [only(before, after, '-'), only(after, before, '+')].concat();
    assert!(before == after, "{what} changed:\n{}", changes.join("\n"));
}
