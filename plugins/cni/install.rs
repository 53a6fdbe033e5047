//! The links that runtimes look for, and a list that joins a network. Each is put in its place at once, whatever runs there.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use bowline_api::{Code, Error, Result};

use crate::migrate::joining;
use crate::role::Role;

/// Where runtimes look, unless told otherwise.
pub const BIN_DIR: &str = "/opt/cni/bin";
pub const CONF_DIR: &str = "/etc/cni/net.d";

/// A link to `program` for each of these roles, in place of what is there. What was done, a line each.
pub fn links(program: &Path, dir: &Path, roles: &[Role]) -> Result<Vec<String>> {
    let mut done = Vec::new();
    fs::create_dir_all(dir).map_err(|error| failed("make", dir, &error))?;
    for name in roles.iter().map(|role| role.name()).chain(["bowline-cni"]) {
        let link = dir.join(name);
        if fs::read_link(&link).is_ok_and(|to| to == program) {
            continue;
        }
        // A program that is not a link of ours is somebody's, and kept.
        if link.is_file() && !link.is_symlink() {
            let aside = dir.join(format!("{name}.before-bowline"));
            fs::rename(&link, &aside).map_err(|error| failed("keep", &link, &error))?;
            done.push(format!("kept {}", aside.display()));
        }
        let fresh = dir.join(format!(".{name}.{}", std::process::id()));
        symlink(program, &fresh)
            .and_then(|()| fs::rename(&fresh, &link))
            .map_err(|error| failed("link", &link, &error))?;
        done.push(format!("linked {}", link.display()));
    }
    Ok(done)
}

/// A list that joins `network`, where there is none of that name.
pub fn conflist(dir: &Path, name: &str, network: &str) -> Result<PathBuf> {
    if !crate::call::is_name(name) {
        return Err(Error::new(Code::InvalidName, format!("{name:?} is no name of a network of CNI's"))
            .fix("use A-Z a-z 0-9 . _ - and begin with a letter or digit"));
    }
    fs::create_dir_all(dir).map_err(|error| failed("make", dir, &error))?;
    let path = dir.join(format!("10-{name}.conflist"));
    let mut file = fs::File::create_new(&path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Error::new(Code::InvalidOption, format!("write {}", path.display()))
            .because("it is there already")
            .fix("remove it first, or choose another --conflist NAME"),
        _ => failed("write", &path, &error),
    })?;
    file.write_all(joining(name, network).as_bytes()).map_err(|error| failed("write", &path, &error))?;
    Ok(path)
}

/// A file in place of another, which stays beside it.
pub fn replace(path: &Path, text: &str) -> Result<PathBuf> {
    let beside = |end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let (old, fresh) = (beside(".before-bowline"), beside(".fresh"));
    fs::copy(path, &old).map_err(|error| failed("keep", path, &error))?;
    let written = fs::write(&fresh, text).and_then(|()| fs::rename(&fresh, path));
    written.map_err(|error| failed("write", path, &error))?;
    Ok(old)
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Error {
    let code = if error.kind() == ErrorKind::PermissionDenied { Code::Denied } else { Code::StateUnwritable };
    Error::new(code, format!("{what} {}", path.display())).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_take_the_place_of_programs_which_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("bridge"), "theirs").unwrap();
        let program = Path::new("/usr/local/bin/bowline");
        let done = links(program, dir.path(), &[Role::Bowline, Role::Bridge]).unwrap();
        assert_eq!(done.len(), 4, "{done:?}");
        assert_eq!(fs::read_link(dir.path().join("bridge")).unwrap(), program);
        assert_eq!(fs::read_to_string(dir.path().join("bridge.before-bowline")).unwrap(), "theirs");
        assert_eq!(links(program, dir.path(), &[Role::Bowline, Role::Bridge]).unwrap(), [""; 0]);
    }

    #[test]
    fn a_list_that_is_there_is_not_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = conflist(dir.path(), "apps", "front").unwrap();
        assert_eq!(conflist(dir.path(), "apps", "back").unwrap_err().code, Code::InvalidOption);
        assert!(fs::read_to_string(path).unwrap().contains("front"));
        assert_eq!(conflist(dir.path(), "../x", "front").unwrap_err().code, Code::InvalidName);
    }
}
