//! Where the files of hosts live: a directory each, which is also the claim to the name.
//! It appears whole and goes whole, by rename, so that of two who claim a name at once exactly one has it.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use bowline_core::name::Name;
use bowline_core::{Code, Context, Error, Result};
use bowline_linux::process::{Identity, PidFd};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::record::{Phase, Spec, State};

/// All hosts of one daemon.
#[derive(Debug, Clone)]
pub(super) struct Shelf {
    dir: PathBuf,
}

/// One host's directory.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) name: Name,
    dir: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Starting,
    Running,
    Exited(u8),
    /// Nobody watches over it, and nobody wrote down how it ended.
    Dead,
}

impl Shelf {
    pub(super) fn new(dir: impl Into<PathBuf>) -> Shelf {
        Shelf { dir: dir.into() }
    }

    /// Takes the name, with these two files. Fails with [`Code::EndpointExists`] where somebody has it.
    pub(super) fn claim(&self, name: &Name, spec: &Spec, state: &State) -> Result<Place> {
        let what = || format!("keep the files of {name}");
        self.make().context(what)?;
        let nest = Place { name: name.clone(), dir: self.aside("new", name) };
        make_dir(&nest.dir, false).context(what)?;
        let filled = nest
            .write("spec.json", spec)
            .and_then(|()| nest.write("state.json", state))
            .and_then(|()| nest.put("exit", b""));
        let place = self.at(name);
        let moved = filled.and_then(|()| match fs::rename(&nest.dir, &place.dir) {
            Ok(()) => Ok(()),
            // The directory of a host is never empty.
            Err(e) if matches!(e.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {
                Err(taken(&place))
            }
            Err(e) => Err(unwritable(&place.dir, &e)),
        });
        if let Err(error) = moved {
            return Err(match fs::remove_dir_all(&nest.dir) {
                Ok(()) => error,
                Err(left) => error.because(format!("and {} stays: {left}", nest.dir.display())),
            });
        }
        Ok(place)
    }

    /// Fails as a claim would now. The claim itself has the last word.
    pub(super) fn refuse_taken(&self, name: &Name) -> Result<()> {
        let place = self.at(name);
        if place.exists() { Err(taken(&place)) } else { Ok(()) }
    }

    /// The host of that name.
    pub(super) fn find(&self, name: &str) -> Result<Place> {
        let missing = || {
            Error::new(Code::EndpointNotFound, format!("no command called {name:?} was run here"))
                .fix("see those that were: bowline ps -a")
        };
        // What is no name is nobody's, and must not become a path.
        let place = self.at(&name.parse().map_err(|_| missing())?);
        if place.exists() { Ok(place) } else { Err(missing()) }
    }

    /// All of them, by name.
    pub(super) fn list(&self) -> Result<Vec<Place>> {
        let failed = |e: &io::Error| match e.kind() {
            ErrorKind::PermissionDenied => {
                Error::new(Code::Denied, format!("list {}", self.dir.display())).because(e).fix("run as root")
            }
            _ => Error::new(Code::StateUnwritable, format!("list {}", self.dir.display())).because(e),
        };
        let entries = match fs::read_dir(&self.dir) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|e| failed(&e))?,
        };
        let mut places = Vec::new();
        for entry in entries {
            let file = entry.map_err(|e| failed(&e))?.file_name();
            // Names cannot begin with a dot; what comes and goes does.
            if let Some(name) = file.to_str().and_then(|text| text.parse().ok()) {
                places.push(self.at(&name));
            }
        }
        places.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(places)
    }

    pub(super) fn at(&self, name: &Name) -> Place {
        Place { name: name.clone(), dir: self.dir.join(name.as_str()) }
    }

    fn make(&self) -> Result<()> {
        make_dir(&self.dir, true)
    }

    fn aside(&self, why: &str, name: &Name) -> PathBuf {
        aside(&self.dir, why, name)
    }
}

impl Place {
    pub(super) fn exists(&self) -> bool {
        self.dir.is_dir()
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(super) fn spec(&self) -> Result<Spec> {
        self.read("spec.json")
    }

    pub(super) fn state(&self) -> Result<State> {
        self.read("state.json")
    }

    pub(super) fn record(&self, state: &State) -> Result<()> {
        self.write("state.json", state)
    }

    pub(super) fn status(&self) -> Result<Status> {
        Ok(Status::of(&self.state()?))
    }

    /// The process that watches over it, if it is alive.
    pub(super) fn supervisor(&self) -> Result<Option<PidFd>> {
        Identity::from(self.state()?.supervisor).open()
    }

    /// Replaces a file's content; a reader sees all of the old or all of the new.
    pub(super) fn put(&self, name: &str, content: &[u8]) -> Result<()> {
        let (path, fresh) = (self.file(name), self.file(&format!(".{name}")));
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&fresh)?;
            // Whatever the umask: the command may be of any user. The directory around the file lets nobody in.
            file.set_permissions(fs::Permissions::from_mode(0o644))?;
            file.write_all(content)?;
            fs::rename(&fresh, &path)
        };
        write().map_err(|e| unwritable(&path, &e))
    }

    /// Forgets the host and all of its files. One that is gone is as good.
    pub(super) fn forget(&self) -> Result<()> {
        let shelf = self.dir.parent().expect("a place is on a shelf");
        let gone = aside(shelf, "old", &self.name);
        match fs::rename(&self.dir, &gone) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            renamed => renamed.map_err(|e| unwritable(&self.dir, &e))?,
        }
        fs::remove_dir_all(&gone).map_err(|e| unwritable(&gone, &e))
    }

    fn write(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let json = serde_json::to_vec_pretty(value).expect("records have string keys only");
        self.put(name, &json)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let path = self.file(name);
        let what = || format!("read {}", path.display());
        let text = fs::read(&path).map_err(|e| match e.kind() {
            ErrorKind::NotFound => {
                Error::new(Code::EndpointNotFound, what()).because("it was removed meanwhile")
            }
            ErrorKind::PermissionDenied => Error::new(Code::Denied, what()).because(e).fix("run as root"),
            _ => Error::new(Code::StateCorrupt, what()).because(e),
        })?;
        serde_json::from_slice(&text).map_err(|e| {
            Error::new(Code::StateCorrupt, what())
                .because(e)
                .fix(format!("remove what is left of it: bowline rm -f {}", self.name))
        })
    }
}

impl Status {
    pub(super) fn of(state: &State) -> Status {
        let watched = Identity::from(state.supervisor).is_alive();
        match (state.phase, state.exit_code) {
            (Phase::Starting, _) if watched => Status::Starting,
            // Until its end is complete, it runs.
            (Phase::Running | Phase::Exited, _) if watched => Status::Running,
            (Phase::Exited, Some(code)) => Status::Exited(code),
            (Phase::Starting | Phase::Running | Phase::Exited, _) => Status::Dead,
        }
    }
}

/// A name beside the hosts' that is nobody else's.
fn aside(shelf: &Path, why: &str, name: &Name) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    shelf.join(format!(".{why}.{name}.{}.{count}", std::process::id()))
}

fn make_dir(dir: &Path, or_have: bool) -> Result<()> {
    DirBuilder::new().recursive(or_have).mode(0o700).create(dir).map_err(|e| unwritable(dir, &e))
}

fn unwritable(path: &Path, error: &io::Error) -> Error {
    let code = match error.kind() {
        ErrorKind::PermissionDenied => Code::Denied,
        _ => Code::StateUnwritable,
    };
    let failed = Error::new(code, format!("write {}", path.display())).because(error);
    if code == Code::Denied { failed.fix("run as root") } else { failed }
}

fn taken(place: &Place) -> Error {
    let name = &place.name;
    let error = Error::new(Code::EndpointExists, format!("a command called {name} exists already"));
    match place.status() {
        Ok(Status::Starting | Status::Running) => error
            .because("it is running")
            .fix(format!("choose another --name, or end that one: bowline rm -f {name}")),
        Ok(Status::Exited(code)) => {
            error.because(format!("it ended with exit code {code}")).fix(format!("bowline rm {name}"))
        }
        Ok(Status::Dead) => {
            error.because("it died with whoever watched over it").fix(format!("bowline rm {name}"))
        }
        Err(_) => error.fix(format!("bowline rm -f {name}")),
    }
}
