//! Who has a namespace: a process that is in it, or else a mount of it, or a process that has it open, as far as they can be
//! seen from here.
//! One look answers for all that are sought.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::makedev;

use super::Ident;

/// For each that is found a path that leads there for as long as its keeper has it.
pub(super) fn search(sought: &HashSet<Ident>) -> io::Result<HashMap<Ident, PathBuf>> {
    let mut found = processes(sought)?;
    if found.len() < sought.len() {
        for (ident, path) in mounts(sought)? {
            found.entry(ident).or_insert(path);
        }
    }
    let missing: HashSet<Ident> = sought.iter().filter(|ident| !found.contains_key(ident)).copied().collect();
    if !missing.is_empty() {
        found.extend(files(&missing)?);
    }
    Ok(found)
}

/// Open files, which take longest to look through.
fn files(sought: &HashSet<Ident>) -> io::Result<HashMap<Ident, PathBuf>> {
    let mut found = HashMap::new();
    for pid in others()? {
        let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        for file in open.flatten() {
            let path = file.path();
            let is_one =
                fs::read_link(&path).is_ok_and(|target| target.as_os_str().as_bytes().starts_with(b"net:["));
            if is_one
                && let Some(ident) = Ident::at(&path)
                && sought.contains(&ident)
            {
                found.entry(ident).or_insert(path);
            }
        }
    }
    Ok(found)
}

/// We ourselves do not count: what we have there is what is asked about.
fn others() -> io::Result<Vec<u32>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        pids.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    let own = std::process::id();
    pids.retain(|&pid| pid != own);
    Ok(pids)
}

fn processes(sought: &HashSet<Ident>) -> io::Result<HashMap<Ident, PathBuf>> {
    let mut found = HashMap::new();
    for pid in others()? {
        let Some((ident, path)) = of_process(pid) else { continue };
        if sought.contains(&ident) {
            found.entry(ident).or_insert(path);
            if found.len() == sought.len() {
                break;
            }
        }
    }
    Ok(found)
}

/// Where the process is; None where it is gone.
fn of_process(pid: u32) -> Option<(Ident, PathBuf)> {
    let with_ident = |path: PathBuf| Ident::at(&path).map(|ident| (ident, path));
    if let Some(found) = with_ident(PathBuf::from(format!("/proc/{pid}/ns/net"))) {
        return Some(found);
    }
    // A program whose first thread has ended lives on in the others.
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    threads.flatten().find_map(|thread| with_ident(thread.path().join("ns/net")))
}

/// Of namespaces, in the calling thread's view of the file system.
fn mounts(sought: &HashSet<Ident>) -> io::Result<Vec<(Ident, PathBuf)>> {
    let table = fs::read("/proc/thread-self/mountinfo")?;
    let mounts = table.split(|&byte| byte == b'\n').filter_map(mount);
    Ok(mounts.filter(|(ident, path)| sought.contains(ident) && Ident::at(path) == Some(*ident)).collect())
}

/// Reads a line of mountinfo (proc_pid_mountinfo(5)); None where it is no mount of a network namespace.
fn mount(line: &[u8]) -> Option<(Ident, PathBuf)> {
    let mut fields = line.split(|&byte| byte == b' ').skip(2);
    let (dev, root, point) = (fields.next()?, fields.next()?, fields.next()?);
    let ino = root.strip_prefix(b"net:[")?.strip_suffix(b"]")?;
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<u64>().ok();
    let colon = dev.iter().position(|&byte| byte == b':')?;
    let dev = makedev(number(&dev[..colon])?, number(&dev[colon + 1..])?);
    let point = OsString::from_vec(unescaped(point));
    Some((Ident { dev, ino: number(ino)? }, Path::new(&point).to_path_buf()))
}

/// Blanks and backslashes are written as a backslash and three octal digits.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.first_chunk::<3>().filter(|_| byte == b'\\');
        let value = digits.and_then(|digits| {
            let text = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(text, 8).ok()
        });
        match value {
            Some(value) => {
                plain.push(value);
                rest = &after[3..];
            }
            None => {
                plain.push(byte);
                rest = after;
            }
        }
    }
    plain
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn a_mount_of_a_namespace_is_read_and_no_other() {
        let line = b"94 32 0:4 net:[4026532567] /run/net\\040ns/a\\134b rw shared:43 - nsfs nsfs rw";
        let expected = (Ident { dev: 4, ino: 4026532567 }, PathBuf::from("/run/net ns/a\\b"));
        assert_eq!(mount(line), Some(expected));
        for other in [
            &b"93 32 0:4 mnt:[4026532566] /run/mnt rw - nsfs nsfs rw"[..],
            b"25 1 8:1 / / rw - ext4 /dev/root rw",
            b"94 32 0:4 net:[x] /run/a rw - nsfs nsfs rw",
            b"94 32 04 net:[4] /run/a rw - nsfs nsfs rw",
            b"94 32",
            b"",
        ] {
            assert_eq!(mount(other), None, "{}", String::from_utf8_lossy(other));
        }
    }

    #[test]
    fn what_is_no_escape_is_left() {
        for text in ["", "\\", "\\04", "\\999", "a\\", "\\777"] {
            assert_eq!(unescaped(text.as_bytes()), text.as_bytes(), "{text}");
        }
    }
}
