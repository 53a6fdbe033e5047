//! What a caller wanted to be taken away while no daemon ran: a file each, in the state directory, for the next start.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Below the state directory.
const FOLDER: &str = "spool";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spooled {
    /// The endpoint's.
    pub key: String,
    /// When it was asked for. What has the key only since then is another.
    pub unix_ms: u64,
}

/// Remembers that the endpoint of a key is to go. On disk before it returns.
pub fn put(state_dir: &Path, key: &str) -> io::Result<PathBuf> {
    let folder = state_dir.join(FOLDER);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let spooled =
        Spooled { key: key.to_string(), unix_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX) };
    let name = format!("{}-{}", now.as_nanos(), std::process::id());
    let (fresh, whole) = (folder.join(format!(".{name}")), folder.join(name));
    let make = || fs::create_dir_all(&folder).and_then(|()| fs::File::create_new(&fresh));
    // Between the two a daemon that just started may have taken the empty folder away.
    let mut file = make().or_else(|_| make())?;
    file.write_all(&serde_json::to_vec(&spooled).expect("wire types have string keys only"))?;
    file.sync_all()?;
    fs::rename(&fresh, &whole)?;
    Ok(whole)
}

/// Everything that waits, with its file. One that cannot be read is nobody's wish.
pub fn all(state_dir: &Path) -> Vec<(PathBuf, Spooled)> {
    let Ok(entries) = fs::read_dir(state_dir.join(FOLDER)) else { return Vec::new() };
    let whole = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b".")));
    whole
        .filter_map(|path| Some((serde_json::from_slice(&fs::read(&path).ok()?).ok()?, path)))
        .map(swap)
        .collect()
}

fn swap((spooled, path): (Spooled, PathBuf)) -> (PathBuf, Spooled) {
    (path, spooled)
}

/// It was carried out. Where it cannot be taken away it is carried out again, which changes nothing.
pub fn done(file: &Path) {
    drop(fs::remove_file(file));
    // Only an empty one goes.
    drop(file.parent().map(fs::remove_dir));
}
