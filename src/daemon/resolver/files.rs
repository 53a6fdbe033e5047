//! /etc/netns/NAME/resolv.conf, which `ip netns exec NAME` puts over /etc/resolv.conf: written where the administrator has none.
//! It is a link to a file of ours, by which it is known as ours.

use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bowline_core::place::Place;

/// Where `ip netns exec NAME` looks.
const NETNS_ETC: &str = "/etc/netns";

/// Where `ip netns` has its names; /var/run is a link to /run.
const NAMED: [&str; 2] = ["/run/netns/", "/var/run/netns/"];

#[derive(Debug)]
pub(super) struct Files {
    ours: PathBuf,
    /// Held while a file comes or goes, and with it the directory.
    readers: Mutex<Readers>,
}

/// Who reads which file. A name may be taken over by another namespace before we hear that the first has lost it.
#[derive(Debug, Default)]
struct Readers {
    names: HashMap<Place, String>,
    places: HashMap<String, Place>,
}

impl Readers {
    /// A file that nobody reads any more by this.
    fn read(&mut self, place: Place, name: &str) -> Option<String> {
        let was =
            if self.names.get(&place).is_some_and(|was| was == name) { None } else { self.leave(place) };
        self.names.insert(place, name.to_string());
        self.places.insert(name.to_string(), place);
        was
    }

    fn leave(&mut self, place: Place) -> Option<String> {
        let name = self.names.remove(&place)?;
        if self.places.get(&name) != Some(&place) {
            return None;
        }
        self.places.remove(&name);
        Some(name)
    }
}

impl Files {
    pub(super) fn at(run_dir: &Path) -> Files {
        Files { ours: run_dir.join("resolv"), readers: Mutex::default() }
    }

    /// For a namespace that has a name, at the path of it. A failure is told and no more: names resolve without the file.
    pub(super) fn put(&self, place: Place, path: &str, text: &str) {
        let Some(name) = name_of(path) else { return };
        let mut readers = self.readers();
        match self.write(name, text) {
            Ok(()) => {
                let was = readers.read(place, name);
                self.take_away(was);
            }
            Err(error) => tracing::warn!(netns = %name, "write {NETNS_ETC}/{name}/resolv.conf: {error}"),
        }
    }

    pub(super) fn remove(&self, place: Place) {
        let mut readers = self.readers();
        let was = readers.leave(place);
        self.take_away(was);
    }

    fn take_away(&self, was: Option<String>) {
        if let Some(name) = was
            && let Err(error) = self.unlink(&name)
        {
            tracing::warn!(netns = %name, "remove {NETNS_ETC}/{name}/resolv.conf: {error}");
        }
    }

    /// Takes away what nobody in a namespace reads any more, of those that left while no daemon was there.
    pub(super) fn sweep(&self) {
        let readers = self.readers();
        let Ok(there) = fs::read_dir(&self.ours) else { return };
        for file in there.flatten() {
            let Ok(name) = file.file_name().into_string() else { continue };
            if !readers.places.contains_key(&name) {
                self.take_away(Some(name));
            }
        }
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let file = self.file(name);
        make_open_dir(&self.ours)?;
        // Renamed, so that whoever reads it finds all of it.
        let fresh = self.ours.join(".new");
        fs::write(&fresh, text)?;
        // Whatever the umask: programs of every user ask for names.
        fs::set_permissions(&fresh, Permissions::from_mode(0o644))?;
        fs::rename(&fresh, &file)?;
        let dir = Path::new(NETNS_ETC).join(name);
        // Another's end may take the outer directory away just before the inner one is made.
        let make = || make_open_dir(Path::new(NETNS_ETC)).and_then(|()| make_open_dir(&dir));
        make().or_else(|_| make())?;
        match symlink(&file, dir.join("resolv.conf")) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        }
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        let (file, dir) = (self.file(name), Path::new(NETNS_ETC).join(name));
        let link = dir.join("resolv.conf");
        if fs::read_link(&link).is_ok_and(|target| target == file) {
            unless_gone(fs::remove_file(&link))?;
            unless_gone(fs::remove_dir(&dir))?;
            unless_gone(fs::remove_dir(NETNS_ETC))?;
        }
        unless_gone(fs::remove_file(&file))?;
        unless_gone(fs::remove_dir(&self.ours))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.ours.join(name)
    }

    fn readers(&self) -> MutexGuard<'_, Readers> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whatever the umask; one that is there stays as it is.
fn make_open_dir(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made.and_then(|()| fs::set_permissions(dir, Permissions::from_mode(0o755))),
    }
}

fn name_of(path: &str) -> Option<&str> {
    let name = NAMED.iter().find_map(|dir| path.strip_prefix(dir))?;
    let plain = !name.is_empty() && !name.contains('/') && !matches!(name, "." | "..");
    plain.then_some(name)
}

/// What others still use, or have mounted something on, or have taken away, is as it should be.
fn unless_gone(done: io::Result<()>) -> io::Result<()> {
    let others = [ErrorKind::NotFound, ErrorKind::DirectoryNotEmpty, ErrorKind::ResourceBusy];
    match done {
        Err(error) if others.contains(&error.kind()) => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_was_taken_over_is_not_taken_away_with_who_lost_it() {
        let mut readers = Readers::default();
        assert_eq!(readers.read(Place(1), "web"), None);
        assert_eq!(readers.read(Place(2), "web"), None);
        assert_eq!(readers.leave(Place(1)), None);
        assert_eq!(readers.read(Place(2), "shop"), Some("web".to_string()));
        assert_eq!(readers.leave(Place(2)), Some("shop".to_string()));
        assert_eq!(readers.leave(Place(2)), None);
    }

    #[test]
    fn only_a_name_of_a_namespace_leads_to_a_file() {
        assert_eq!(name_of("/run/netns/web"), Some("web"));
        assert_eq!(name_of("/var/run/netns/cni-1"), Some("cni-1"));
        for path in ["/run/netns/", "/run/netns/..", "/run/netns/a/b", "/proc/1/ns/net", "web", ""] {
            assert_eq!(name_of(path), None, "{path}");
        }
    }
}
