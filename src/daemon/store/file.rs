//! One redb file. After an error of the disk redb wants to be closed and opened again; that is done when it is next needed,
//! so a disk that was full heals by itself once there is room.

use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use bowline_core::{Code, Error, Result};
use redb::{Database, ReadTransaction, ReadableDatabase, WriteTransaction};

use super::backend::Lasts;
use super::open;

#[derive(Debug)]
pub(super) struct File {
    dir: PathBuf,
    name: &'static str,
    lasts: Lasts,
    /// None between closing and opening again.
    database: RwLock<Option<Database>>,
}

impl File {
    pub(super) fn open(dir: &Path, name: &'static str, lasts: Lasts) -> Result<File> {
        let database = open::database(dir, name, lasts)?;
        Ok(File { dir: dir.to_path_buf(), name, lasts, database: RwLock::new(Some(database)) })
    }

    pub(super) fn read<T>(&self, act: impl Fn(&ReadTransaction) -> Result<T, redb::Error>) -> Result<T> {
        self.with(|database| act(&database.begin_read()?)).map_err(|error| self.failed("read", error))?
    }

    /// On disk when it returns, or not done at all.
    pub(super) fn commit(&self, act: impl Fn(&WriteTransaction) -> Result<(), redb::Error>) -> Result<()> {
        let done = self.with(|database| {
            let tx = database.begin_write()?;
            act(&tx)?;
            Ok(tx.commit()?)
        });
        done.map_err(|error| self.failed("write", error))?
    }

    /// Once, or twice where the first time told of an error before.
    fn with<T>(&self, act: impl Fn(&Database) -> Result<T, redb::Error>) -> Result<Result<T>, redb::Error> {
        let first = self.database.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(&act);
        match first {
            Some(Err(redb::Error::PreviousIo)) | None => (),
            Some(done) => return done.map(Ok),
        }
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // The file is locked for as long as it is open.
        *database = None;
        match open::database(&self.dir, self.name, self.lasts) {
            Ok(opened) => {
                tracing::info!(store = self.name, "opened again after an error of the disk");
                act(database.insert(opened)).map(Ok)
            }
            Err(error) => Ok(Err(error)),
        }
    }

    fn failed(&self, what: &str, error: redb::Error) -> Error {
        let what = format!("{what} the store {}", self.dir.join(self.name).display());
        match error {
            redb::Error::PreviousIo => Error::new(Code::StateUnwritable, what).because("its disk has failed"),
            error => open::failed(&what, error),
        }
    }
}
