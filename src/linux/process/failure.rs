//! Why a command did not start: the step that a child could not take, carried to its parent in twelve bytes.

use std::fmt;

use bowline_core::{Code, Error};
use nix::errno::Errno;

use super::program::Program;

/// A command that never ran, and the exit code that a shell or an engine would give for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotStarted {
    pub error: Error,
    /// 127: there is no such program. 126: it cannot be executed. 125: its surroundings could not be made.
    pub exit_code: u8,
}

impl fmt::Display for NotStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for NotStarted {}

impl From<Error> for NotStarted {
    fn from(error: Error) -> NotStarted {
        NotStarted { error, exit_code: 125 }
    }
}

impl From<NotStarted> for Error {
    fn from(failed: NotStarted) -> Error {
        failed.error
    }
}

macro_rules! steps {
    ($($name:ident: $what:literal,)*) => {
        /// What a child does before it is the command, in order.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u32)]
        pub(super) enum Step { $($name),* }

        impl Step {
            const ALL: &'static [Step] = &[$(Step::$name),*];

            fn what(self) -> &'static str {
                match self { $(Step::$name => $what),* }
            }
        }
    };
}

steps! {
    Session: "start a session",
    Terminal: "take the terminal",
    Part: "part from its parent",
    Enter: "enter a namespace",
    Unshare: "make namespaces of its own",
    Mounts: "keep its mounts to itself",
    Hostname: "set its host name",
    Bind: "put a file over another",
    Cwd: "change to the working directory",
    Groups: "take its groups",
    Gid: "take its group",
    Uid: "become its user",
    Tie: "tie its life to its parent's",
    Stdio: "connect its standard streams",
    Close: "close what is not its own",
    Signals: "reset its signals",
    Exec: "execute it",
}

/// A step that failed, on the item of that number where there are several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) step: Step,
    pub(super) item: u32,
    pub(super) errno: Errno,
}

impl Fault {
    pub(super) const BYTES: usize = 12;

    pub(super) fn to_bytes(self) -> [u8; Fault::BYTES] {
        let mut bytes = [0; Fault::BYTES];
        bytes[..4].copy_from_slice(&(self.step as u32).to_ne_bytes());
        bytes[4..8].copy_from_slice(&self.item.to_ne_bytes());
        bytes[8..].copy_from_slice(&(self.errno as i32).to_ne_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: [u8; Fault::BYTES]) -> Option<Fault> {
        let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let step = *Step::ALL.get(word(0) as usize)?;
        Some(Fault { step, item: word(4), errno: Errno::from_raw(word(8) as i32) })
    }

    /// In words, for the program that it happened to.
    pub(super) fn explain(self, program: &Program) -> NotStarted {
        let command = program.argv.first().to_string_lossy();
        let error = Error::new(Code::NotStarted, format!("start {command:?}"));
        if self.step == Step::Exec {
            return self.not_executed(error, program);
        }
        let mut cause = self.step.what().to_string();
        let item = self.item as usize;
        match self.step {
            Step::Cwd => cause.extend(program.cwd.iter().map(|dir| format!(" {}", dir.to_string_lossy()))),
            Step::Bind => {
                let bind = program.private.as_ref().and_then(|p| p.binds.get(item));
                cause.extend(bind.map(|(_, target)| format!(": {}", target.to_string_lossy())));
            }
            Step::Hostname => {
                let name = program.private.as_ref().and_then(|p| p.hostname.as_ref());
                cause.extend(name.map(|name| format!(" {name:?}")));
            }
            Step::Session
            | Step::Terminal
            | Step::Part
            | Step::Enter
            | Step::Unshare
            | Step::Mounts
            | Step::Groups
            | Step::Gid
            | Step::Uid
            | Step::Tie
            | Step::Stdio
            | Step::Close
            | Step::Signals
            | Step::Exec => (),
        }
        let error = error.because(format!("cannot {cause}")).because(self.errno.desc());
        let error = match (self.step, self.errno) {
            (Step::Cwd, Errno::ENOENT | Errno::ENOTDIR) => {
                error.fix("give a directory that exists: --workdir /")
            }
            (_, Errno::EPERM | Errno::EACCES) => error.fix("run as root"),
            _ => error,
        };
        NotStarted { error, exit_code: 125 }
    }

    fn not_executed(self, error: Error, program: &Program) -> NotStarted {
        let command = program.argv.first().to_string_lossy();
        let tried = program.candidates.get(self.item as usize).map(|c| c.to_string_lossy());
        let tried = tried.as_deref().unwrap_or_default();
        if !matches!(self.errno, Errno::ENOENT | Errno::ENOTDIR) {
            let error = error.because(format!("{tried}: {}", self.errno.desc()));
            let error = match self.errno {
                Errno::EACCES => error.fix(format!("see its permissions: ls -ld {tried}")),
                Errno::ENOEXEC => error.fix("give a script its first line, such as #!/bin/sh"),
                _ => error,
            };
            return NotStarted { error, exit_code: 126 };
        }
        let there = program.candidates.iter().find(|c| {
            std::path::Path::new(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(c.as_bytes()))
                .is_file()
        });
        let error = match there {
            Some(file) => error
                .because(format!("{} is there, but its interpreter is not", file.to_string_lossy()))
                .fix("see the first line of the script, or the interpreter of the binary: file"),
            None if program.candidates.len() > 1 || !command.contains('/') => {
                error.because("no directory of PATH has it").fix("see the spelling, or give the whole path")
            }
            None => error.because("there is no such file").fix("see the spelling"),
        };
        NotStarted { error, exit_code: 127 }
    }
}
