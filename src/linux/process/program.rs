//! All that a child needs between fork and exec, laid out before the fork.
//! After it nothing may touch the heap: another thread may have held its lock at that instant.

use std::ffi::{CString, OsStr, OsString, c_char};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use bowline_core::{Code, Error, Result};

use super::{Fate, Launch, Session};

/// Where commands are looked for when PATH is not set.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[derive(Debug)]
pub(super) struct Program {
    /// What may be the program's file, in order of preference.
    pub(super) candidates: Vec<CString>,
    pub(super) argv: Pointers,
    pub(super) env: Pointers,
    pub(super) cwd: Option<CString>,
    pub(super) user: Option<Credentials>,
    pub(super) enter: Vec<OwnedFd>,
    pub(super) private: Option<Mounts>,
    pub(super) stdio: [Option<OwnedFd>; 3],
    /// Becomes descriptor 3.
    pub(super) extra: Option<OwnedFd>,
    pub(super) kinship: Kinship,
}

#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
}

#[derive(Debug)]
pub(super) struct Mounts {
    pub(super) hostname: Option<OsString>,
    pub(super) binds: Vec<(CString, CString)>,
    pub(super) sysfs: bool,
}

/// Where a new process stands in the trees of processes and sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kinship {
    Child {
        session: Session,
        fate: Fate,
    },
    /// Nobody's child and in nobody's session.
    Orphan,
}

/// A null-terminated array of C strings, and the strings.
#[derive(Debug)]
pub(super) struct Pointers {
    strings: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl Pointers {
    fn new(strings: Vec<CString>) -> Pointers {
        let mut pointers: Vec<_> = strings.iter().map(|s| s.as_ptr()).collect();
        pointers.push(std::ptr::null());
        Pointers { strings, pointers }
    }

    /// Valid as long as `self`.
    pub(super) fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }

    pub(super) fn first(&self) -> &CString {
        &self.strings[0]
    }
}

impl Program {
    pub(super) fn prepare(launch: Launch) -> Result<Program> {
        let Some(command) = launch.argv.first() else {
            return Err(Error::new(Code::InvalidRequest, "start a command").because("none is given"));
        };
        let path = launch.env.iter().rev().find(|(key, _)| key == "PATH").map(|(_, value)| value.as_os_str());
        let candidates = candidates(command, path)?;
        let env = launch.env.iter().map(|(key, value)| {
            let mut line = key.clone();
            line.push("=");
            line.push(value);
            c_string(&line)
        });
        let private = launch.private.map(|private| -> Result<Mounts> {
            let bind = |b: &super::Bind| Ok((c_path(&b.source)?, c_path(&b.target)?));
            Ok(Mounts {
                hostname: private.hostname.map(OsString::from),
                binds: private.binds.iter().map(bind).collect::<Result<_>>()?,
                sysfs: private.sysfs,
            })
        });
        Ok(Program {
            candidates,
            env: Pointers::new(env.collect::<Result<_>>()?),
            argv: Pointers::new(launch.argv.iter().map(|a| c_string(a)).collect::<Result<_>>()?),
            cwd: launch.cwd.as_deref().map(c_path).transpose()?,
            user: launch.user.map(|u| Credentials { uid: u.uid, gid: u.gid, groups: u.groups }),
            enter: launch.enter,
            private: private.transpose()?,
            stdio: [launch.stdin, launch.stdout, launch.stderr],
            extra: None,
            kinship: Kinship::Child { session: launch.session, fate: launch.fate },
        })
    }

    /// Executes this file, whatever the name in argv is.
    pub(super) fn run_file(&mut self, file: &Path) -> Result<()> {
        self.candidates = vec![c_path(file)?];
        Ok(())
    }
}

fn candidates(command: &OsStr, path: Option<&OsStr>) -> Result<Vec<CString>> {
    if command.is_empty() || command.as_bytes().contains(&b'/') {
        return Ok(vec![c_string(command)?]);
    }
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH)).as_bytes();
    path.split(|&byte| byte == b':')
        .map(|dir| {
            // An empty entry is the working directory (POSIX.1, section 8.3).
            let dir = if dir.is_empty() { b"." } else { dir };
            c_string(Path::new(OsStr::from_bytes(dir)).join(command).as_os_str())
        })
        .collect()
}

fn c_path(path: &Path) -> Result<CString> {
    c_string(path.as_os_str())
}

fn c_string(text: &OsStr) -> Result<CString> {
    CString::new(text.to_os_string().into_vec()).map_err(|_| {
        Error::new(Code::InvalidRequest, "start a command").because(format!("{text:?} contains a NUL byte"))
    })
}
