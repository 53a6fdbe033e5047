//! Directories that the daemon makes for itself.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use bowline_core::Result;

pub(crate) fn make(dir: &Path, mode: u32) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(dir)
        .map_err(|error| crate::store::unwritable(&format!("make the directory {}", dir.display()), &error))
}
