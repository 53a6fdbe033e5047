//! The programs of others that `bench dns` compares with, and where they are found.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Those that this machine has. What is missing is said in the report, and never made up for.
#[derive(Debug)]
pub(super) struct Tools {
    pub(super) dnsperf: Option<PathBuf>,
    pub(super) nsd: Option<PathBuf>,
    pub(super) aardvark: Option<PathBuf>,
}

pub(super) const NO_DNSPERF: &str = "install dnsperf";
pub(super) const NO_NSD: &str = "install nsd";
pub(super) const NO_AARDVARK: &str = "cargo install aardvark-dns --locked, or name it by AARDVARK_DNS";

impl Tools {
    pub(super) fn here() -> Tools {
        let path = env::var_os("PATH").unwrap_or_default();
        // Where servers are, which the PATH of a user may lack.
        let mut folders: Vec<PathBuf> = env::split_paths(&path).collect();
        folders.push("/usr/sbin".into());
        let by_cargo = env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo/bin"));
        let named = env::var_os("AARDVARK_DNS").map(PathBuf::from);
        Tools {
            dnsperf: find("dnsperf", &folders),
            nsd: find("nsd", &folders),
            aardvark: match named {
                Some(named) => Some(named).filter(|file| is_program(file)),
                None => find("aardvark-dns", folders.iter().chain(&by_cargo)),
            },
        }
    }
}

fn find<'a>(name: &str, folders: impl IntoIterator<Item = &'a PathBuf>) -> Option<PathBuf> {
    let files = folders.into_iter().map(|folder| folder.join(OsStr::new(name)));
    files.into_iter().find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_a_file_that_may_be_run() {
        let folders = [PathBuf::from("/proc/self"), PathBuf::from("/usr/bin")];
        assert_eq!(find("env", &folders), Some(PathBuf::from("/usr/bin/env")));
        // /proc/self/status may be read only, /proc/self/task is a directory.
        assert_eq!(find("status", &folders[..1]), None);
        assert_eq!(find("task", &folders[..1]), None);
    }
}
