//! The two namespaces of a call: the host's, which is the caller's own, and the container's, which must be another.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bowline_api::v1::Netns;

use crate::failure::{Code, Failure};

type Result<T> = std::result::Result<T, Failure>;

/// This process's: its open file and its number.
pub(crate) fn own() -> Result<(File, u64)> {
    let failed = |error| Failure::new(Code::Io, "open this process's own network namespace").because(error);
    let file = File::open("/proc/thread-self/ns/net").map_err(failed)?;
    let number = file.metadata().map_err(failed)?.ino();
    Ok((file, number))
}

/// The container's. What it is, the daemon looks at; that it is not the host's is known here, before anything is done.
pub(crate) fn open(path: &str) -> Result<(File, Netns)> {
    let bad = |why: &dyn std::fmt::Display| {
        Failure::new(Code::Netns, format!("CNI_NETNS {path:.200?} is not a network namespace")).because(why)
    };
    // A pipe would keep whoever opens it waiting, and a device might do anything.
    let there = fs::metadata(path).map_err(|error| bad(&error))?;
    if !there.is_file() {
        return Err(bad(&"it is no file"));
    }
    let file = File::open(path).map_err(|error| bad(&error))?;
    let (theirs, host) = (file.metadata().map_err(|error| bad(&error))?, own()?.0);
    let ours = host.metadata().map_err(|error| bad(&error))?;
    if (theirs.dev(), theirs.ino()) == (ours.dev(), ours.ino()) {
        return Err(Failure::new(
            Code::Netns,
            "plugin's netns and netns from CNI_NETNS should not be the same",
        )
        .because(format!("CNI_NETNS {path:.200?} is the host's own, which is left alone")));
    }
    let whole = std::path::absolute(path).map_err(|error| bad(&error))?;
    // The number of a process is another's after it; what was mounted stays.
    let lasts = !Path::new(&whole).starts_with("/proc");
    let netns = Netns { path: lasts.then(|| whole.to_string_lossy().into_owned()), ..of(&file) };
    Ok((file, netns))
}

/// An open file, as the daemon takes it from us.
pub(crate) fn of(file: &File) -> Netns {
    Netns { fd: u32::try_from(file.as_raw_fd()).ok(), path: None }
}
