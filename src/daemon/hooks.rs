//! The administrator's own rules: the files `*.nft` of one directory, read whole or refused whole ([`read`]), and a copy of
//! those that were last in force ([`keep`]), for a start that finds the files wrong.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bowline_core::firewall::hooks::Hooks;
use bowline_core::{Code, Context, Error, Result};

pub const DIR: &str = "/etc/bowline/nft.d";

const MOST_FILES: usize = 100;
const LONGEST: u64 = 64 << 10;
/// Others than the owner may write.
const OTHERS_WRITE: u32 = 0o022;
const ROOT: u32 = 0;

const KEPT: &str = "hooks.nft";

/// All rules of all files, by the files' names in the order of bytes. None where there is no directory. Rules hold
/// together, so one that is not understood, or a file that others might have written, spoils all.
pub fn read(dir: &Path) -> Result<Hooks> {
    let texts = texts(dir).context(|| format!("read your rules in {}", dir.display()))?;
    let files = texts.iter().map(|(path, text)| (path.to_string_lossy(), text.as_str()));
    let files: Vec<_> = files.collect();
    Hooks::of_files(files.iter().map(|(path, text)| (&**path, *text)))
}

/// Writes down what is in force now, if it is not written there already. Of no rules there is no file.
pub fn keep(state_dir: &Path, hooks: &Hooks) -> Result<()> {
    let path = state_dir.join(KEPT);
    let text = hooks.to_string();
    let done = match fs::read_to_string(&path) {
        Ok(there) if there == text => Ok(()),
        Ok(_) if hooks.is_empty() => fs::remove_file(&path),
        Err(error) if error.kind() == ErrorKind::NotFound && hooks.is_empty() && state_dir.is_dir() => Ok(()),
        Ok(_) | Err(_) => write(&path, &text),
    };
    done.map_err(|error| crate::store::unwritable(&format!("write {}", path.display()), &error))
}

/// What was kept last; None where nothing was.
pub fn kept(state_dir: &Path) -> Result<Option<Hooks>> {
    let path = state_dir.join(KEPT);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refused(format!("{} cannot be read", path.display())).because(error)),
    };
    Hooks::parse(&path.to_string_lossy(), &text).map(Some)
}

/// On disk when it returns, in place of what was there before.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

fn texts(dir: &Path) -> Result<Vec<(PathBuf, String)>> {
    let unreadable = |error: io::Error| refused(format!("{} cannot be read", dir.display())).because(error);
    match fs::metadata(dir) {
        Ok(of_dir) if of_dir.is_dir() => check_owner(dir, &of_dir)?,
        Ok(_) => return Err(refused(format!("{} is no directory", dir.display()))),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    }
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if is_named_as_rules(&path) {
            paths.push(path);
        }
    }
    if paths.len() > MOST_FILES {
        return Err(refused(format!("there are {} files", paths.len()))
            .fix(format!("put your rules into at most {MOST_FILES} files")));
    }
    paths.sort();
    paths.into_iter().map(|path| text(&path).map(|text| (path, text))).collect()
}

/// As a shell takes `*.nft`.
fn is_named_as_rules(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.ends_with(b".nft") && !name.starts_with(b".")
}

fn text(path: &Path) -> Result<String> {
    let shown = path.display();
    let unreadable = |error: io::Error| refused(format!("{shown} cannot be read")).because(error);
    // Opening something else than a file may wait for ever.
    if !fs::symlink_metadata(path).map_err(unreadable)?.is_file() {
        return Err(refused(format!("{shown} is no regular file"))
            .fix(format!("put the file itself there, or move it away: mv {shown} {shown}.off")));
    }
    let file = File::open(path).map_err(unreadable)?;
    check_owner(path, &file.metadata().map_err(unreadable)?)?;
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LONGEST {
        return Err(refused(format!("{shown} is longer than {LONGEST} bytes")).fix("make two files of it"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        refused(format!("{shown}:{line} is not UTF-8"))
    })
}

fn check_owner(path: &Path, of: &Metadata) -> Result<()> {
    let shown = path.display();
    if of.uid() != ROOT && of.uid() != own_user() {
        return Err(refused(format!("{shown} is not root's")).fix(format!("chown root: {shown}")));
    }
    if of.mode() & OTHERS_WRITE != 0 {
        return Err(refused(format!("{shown} may be written by others than its owner"))
            .fix(format!("chmod go-w {shown}")));
    }
    Ok(())
}

/// Who this process is: root, but in tests.
fn own_user() -> u32 {
    fs::metadata("/proc/self").map_or(ROOT, |of| of.uid())
}

fn refused(what: impl Into<String>) -> Error {
    Error::new(Code::InvalidRules, what)
}

#[cfg(test)]
mod tests;
