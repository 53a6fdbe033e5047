//! Opening a store: who holds it, what version it is, whether it is whole, and whether it is of this boot.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use bowline_core::{Code, Error, Result};
use redb::{Builder, Database, DatabaseError, ReadableDatabase, StorageError};

use super::backend::{Backend, Lasts};
use super::file::File;
use super::{Boot, ENDPOINTS, FIXED, META, NETWORKS, VERSION};

/// A few hundred small records need little; the default would let the file's pages fill a gigabyte.
const CACHE: usize = 1 << 20;

pub(super) fn database(dir: &Path, name: &str, lasts: Lasts) -> Result<Database> {
    crate::dirs::make(dir, 0o700)?;
    let path = dir.join(name);
    let what = || format!("open the store {}", path.display());
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|error| unwritable(&what(), &error))?;

    // A page that is damaged where no checksum looks can make the store panic; that must not look like a crash.
    let opened = std::panic::catch_unwind(|| open_whole(file, lasts));
    let database = match opened {
        Ok(Ok(database)) => database,
        Ok(Err(error)) => return Err(refused(&what(), error)),
        Err(_) => return Err(corrupt(&what(), &"its pages are damaged")),
    };
    check_version(&database, &what())?;
    Ok(database)
}

fn open_whole(file: fs::File, lasts: Lasts) -> Result<Database, DatabaseError> {
    let backend = Backend { file: redb::backends::FileBackend::new(file)?, lasts };
    let mut database = Builder::new().set_cache_size(CACHE).create_with_backend(backend)?;
    if !database.check_integrity()? {
        tracing::warn!("the store was not closed cleanly and was repaired");
    }
    Ok(database)
}

/// The store of this boot: what an earlier boot, or another namespace's daemon, left is not of this world. What boot it
/// is of stands beside it, for after a power cut it may not be readable.
pub(super) fn run_file(dir: &Path, boot: &Boot) -> Result<File> {
    const NAME: &str = "run.redb";
    let beside = dir.join("boot");
    let known: Option<Boot> = fs::read(&beside).ok().and_then(|text| serde_json::from_slice(&text).ok());
    // Opening it first makes sure that nobody else has it.
    match File::open(dir, NAME, Lasts::UntilReboot) {
        Ok(file) if known.as_ref() == Some(boot) => return Ok(file),
        Ok(file) => drop(file),
        Err(error) => {
            let of_another_boot = known.is_none_or(|known| known.boot_id != boot.boot_id);
            if error.code != Code::StateCorrupt || !of_another_boot {
                return Err(error);
            }
        }
    }
    let failed =
        |path: &Path, error: &io::Error| unwritable(&format!("begin the store {}", path.display()), error);
    let path = dir.join(NAME);
    fs::remove_file(&path).map_err(|e| failed(&path, &e))?;
    let text = serde_json::to_vec(boot).expect("a boot is two plain fields");
    fs::write(&beside, text).map_err(|e| failed(&beside, &e))?;
    File::open(dir, NAME, Lasts::UntilReboot)
}

fn check_version(database: &Database, what: &str) -> Result<()> {
    let tx = database.begin_read().map_err(|e| failed(what, e))?;
    let known = match tx.open_table(META) {
        Ok(meta) => meta.get("version").map_err(|e| failed(what, e))?.map(|v| v.value().to_vec()),
        Err(redb::TableError::TableDoesNotExist(_)) => None,
        Err(error) => return Err(failed(what, error)),
    };
    let Some(bytes) = known else {
        return first_tables(database).map_err(|error| failed(what, error));
    };
    let version = <[u8; 4]>::try_from(bytes.as_slice()).map(u32::from_be_bytes);
    match version {
        Ok(version) if version <= VERSION => Ok(()),
        Ok(version) => {
            Err(newer(what, &format!("it is of version {version}, and this daemon knows {VERSION}")))
        }
        Err(_) => Err(corrupt(what, &"its version is not a number")),
    }
}

fn first_tables(database: &Database) -> Result<(), redb::Error> {
    let tx = database.begin_write()?;
    tx.open_table(META)?.insert("version", VERSION.to_be_bytes().as_slice())?;
    tx.open_table(NETWORKS)?;
    tx.open_table(ENDPOINTS)?;
    tx.open_table(FIXED)?;
    Ok(tx.commit()?)
}

/// An error of the store's, at work.
pub(super) fn failed(what: &str, error: impl Into<redb::Error>) -> Error {
    match error.into() {
        redb::Error::Io(error) => unwritable(what, &error),
        redb::Error::Corrupted(why) => corrupt(what, &why),
        error => Error::new(Code::Internal, what).because(error),
    }
}

fn refused(what: &str, error: DatabaseError) -> Error {
    match error {
        DatabaseError::DatabaseAlreadyOpen => Error::new(Code::DaemonRunning, what)
            .because("another daemon holds it")
            .fix("stop the other one, or give this one directories of its own: --run-dir D --state-dir D --socket F"),
        DatabaseError::UpgradeRequired(version) => newer(what, &format!("its file format is {version}")),
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
            corrupt(what, &"it is not a store")
        }
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
            corrupt(what, &"it ends too early")
        }
        DatabaseError::Storage(StorageError::Io(error)) => unwritable(what, &error),
        DatabaseError::Storage(StorageError::Corrupted(why)) => corrupt(what, &why),
        error => corrupt(what, &error),
    }
}

fn corrupt(what: &str, why: &dyn std::fmt::Display) -> Error {
    Error::new(Code::StateCorrupt, what)
        .because(why)
        .fix("move the file away, or restore it from a backup; containers keep running")
}

fn newer(what: &str, why: &str) -> Error {
    Error::new(Code::StateNewer, what).because(why).fix("use the newer bowline that wrote it")
}

pub(crate) fn unwritable(what: &str, error: &io::Error) -> Error {
    let fix = match error.kind() {
        io::ErrorKind::StorageFull => "make room on the file system that holds it",
        io::ErrorKind::PermissionDenied => "run the daemon as root, or give it a directory that it may write",
        io::ErrorKind::ReadOnlyFilesystem => "mount it writable, or give another directory",
        _ => "give a directory that can be written: --state-dir D or --run-dir D",
    };
    Error::new(Code::StateUnwritable, what).because(error).fix(fix)
}
