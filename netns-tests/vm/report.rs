//! What passes between this machine and the guest, by a folder that both share: a list of stories goes in, and for each a
//! file of its name comes out, which is complete once it is there.

use std::fs;
use std::io;
use std::path::Path;

use libtest_mimic::{Completion, Failed};

const LIST: &str = ".stories";

pub(super) fn ask(folder: &Path, stories: &[&str]) -> io::Result<()> {
    fs::write(folder.join(LIST), stories.join("\n"))
}

pub(crate) fn asked(folder: &Path) -> io::Result<Vec<String>> {
    let text = fs::read_to_string(folder.join(LIST))?;
    Ok(text.lines().map(str::to_string).collect())
}

pub(crate) fn write(folder: &Path, story: &str, outcome: &Result<Completion, Failed>) -> io::Result<()> {
    let text = match outcome {
        Ok(Completion::Completed) => "passed\n".to_string(),
        Ok(Completion::Ignored { reason }) => format!("ignored\n{}", reason.as_deref().unwrap_or_default()),
        Err(failed) => format!("failed\n{}", failed.message().unwrap_or_default()),
    };
    let draft = folder.join(format!(".{story}"));
    fs::write(&draft, text)?;
    fs::rename(draft, folder.join(story))
}

/// None where there is none yet.
pub(super) fn read(folder: &Path, story: &str) -> Option<Result<Completion, Failed>> {
    let text = fs::read_to_string(folder.join(story)).ok()?;
    let (word, rest) = text.split_once('\n').unwrap_or((&text, ""));
    Some(match word {
        "passed" => Ok(Completion::Completed),
        "ignored" => Ok(Completion::ignored_with(rest)),
        "failed" => Err(Failed::from(rest)),
        word => Err(Failed::from(format!("the guest reported {word:?}"))),
    })
}

/// How many there are.
pub(super) fn count(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.')).count()
}
