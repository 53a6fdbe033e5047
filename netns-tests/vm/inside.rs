//! The part that is played in the guest: it tells the stories that it was given, and reports each as it ends.

use std::fs;
use std::path::Path;

use libtest_mimic::{Completion, Failed};

use super::report;

/// The names of the stories to tell.
pub(crate) fn stories(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join(".stories")).expect("the folder that is shared has a list");
    text.lines().map(str::to_string).collect()
}

pub(crate) fn report(folder: &Path, story: &str, outcome: &Result<Completion, Failed>) {
    if let Err(error) = report::write(folder, story, outcome) {
        eprintln!("report {story}: {error}");
    }
}
