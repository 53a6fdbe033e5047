//! What is remembered, in two redb files by lifetime: `run.redb` dies with the boot, `state.redb` outlives it.
//!
//! Every commit is where it must be before it returns, on disk for what is for good, so what was answered is not lost.

mod backend;
mod file;
mod open;
mod record;

use std::path::Path;

use bowline_core::name::Id;
use bowline_core::{Code, Context, Error, Result};
use redb::{ReadableTable, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;

use backend::Lasts;
use file::File;

pub(crate) use open::unwritable;
pub use record::{
    EndpointRecord, FixedRecord, InsideRecord, InterfaceRecord, LeaseRecord, Life, MediumRecord,
    NetworkRecord, Phase,
};

/// The version of the records in both files. A newer one is refused, an older one is read.
pub const VERSION: u32 = 1;

const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const NETWORKS: TableDefinition<u128, &[u8]> = TableDefinition::new("networks");
const ENDPOINTS: TableDefinition<u128, &[u8]> = TableDefinition::new("endpoints");
/// Keyed by `network id / endpoint name`.
const FIXED: TableDefinition<&str, &[u8]> = TableDefinition::new("fixed");

#[derive(Debug)]
pub struct Store {
    run: File,
    state: File,
}

/// What a boot is known by: its id, and the namespace that the daemon serves.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Boot {
    pub boot_id: String,
    pub host: u64,
}

impl Store {
    /// Opens both files, and empties `run.redb` where it is from another boot.
    pub fn open(run_dir: &Path, state_dir: &Path, boot: &Boot) -> Result<Store> {
        let state = File::open(state_dir, "state.redb", Lasts::ForGood)?;
        let run = open::run_file(run_dir, boot)?;
        Ok(Store { run, state })
    }

    pub fn networks(&self) -> Result<Vec<NetworkRecord>> {
        all(&self.state, NETWORKS)
    }

    pub fn put_network(&self, id: Id, record: &NetworkRecord) -> Result<()> {
        put(&self.state, NETWORKS, id.0, record).context(|| format!("remember network {}", record.name))
    }

    /// Forgets a network and the addresses that were kept on it.
    pub fn remove_network(&self, id: Id) -> Result<()> {
        self.state
            .commit(|tx| {
                tx.open_table(NETWORKS)?.remove(id.0)?;
                let prefix = format!("{id}/");
                tx.open_table(FIXED)?.retain(|key, _| !key.starts_with(&prefix))?;
                Ok(())
            })
            .context(|| format!("forget network {id}"))
    }

    pub fn endpoints(&self) -> Result<Vec<EndpointRecord>> {
        all(&self.run, ENDPOINTS)
    }

    pub fn put_endpoint(&self, id: Id, record: &EndpointRecord) -> Result<()> {
        put(&self.run, ENDPOINTS, id.0, record).context(|| format!("remember endpoint {}", record.name))
    }

    /// Many at once, in one commit: None forgets.
    pub fn put_endpoints(&self, records: &[(Id, Option<EndpointRecord>)]) -> Result<()> {
        self.run
            .commit(|tx| {
                let mut table = tx.open_table(ENDPOINTS)?;
                for (id, record) in records {
                    match record {
                        Some(record) => table.insert(id.0, json(record).as_slice())?,
                        None => table.remove(id.0)?,
                    };
                }
                Ok(())
            })
            .context(|| format!("remember {} endpoints", records.len()))
    }

    pub fn fixed(&self) -> Result<Vec<FixedRecord>> {
        all(&self.state, FIXED)
    }

    pub fn put_fixed(&self, record: &FixedRecord) -> Result<()> {
        let key = fixed_key(&record.network, &record.endpoint);
        self.state
            .commit(|tx| {
                tx.open_table(FIXED)?.insert(key.as_str(), json(record).as_slice())?;
                Ok(())
            })
            .context(|| format!("keep the addresses of {}", record.endpoint))
    }

    pub fn remove_fixed(&self, network: &str, endpoint: &str) -> Result<()> {
        let key = fixed_key(network, endpoint);
        self.state
            .commit(|tx| {
                tx.open_table(FIXED)?.remove(key.as_str())?;
                Ok(())
            })
            .context(|| format!("give up the addresses of {endpoint}"))
    }

    /// A value that is made once and kept for good, such as this host's random IPv6 prefix.
    pub fn once(&self, key: &str, make: impl FnOnce() -> Vec<u8>) -> Result<Vec<u8>> {
        let known = self.state.read(|tx| Ok(tx.open_table(META)?.get(key)?.map(|v| v.value().to_vec())))?;
        if let Some(value) = known {
            return Ok(value);
        }
        let value = make();
        self.state.commit(|tx| {
            tx.open_table(META)?.insert(key, value.as_slice())?;
            Ok(())
        })?;
        Ok(value)
    }
}

fn fixed_key(network: &str, endpoint: &str) -> String {
    format!("{network}/{endpoint}")
}

fn json(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record).expect("records have string keys only")
}

fn put(file: &File, table: TableDefinition<u128, &[u8]>, key: u128, record: &impl Serialize) -> Result<()> {
    file.commit(|tx| {
        tx.open_table(table)?.insert(key, json(record).as_slice())?;
        Ok(())
    })
}

fn all<K: redb::Key + 'static, T: DeserializeOwned>(
    file: &File,
    table: TableDefinition<K, &'static [u8]>,
) -> Result<Vec<T>> {
    let values: Vec<Vec<u8>> =
        file.read(|tx| tx.open_table(table)?.iter()?.map(|entry| Ok(entry?.1.value().to_vec())).collect())?;
    let parse = |bytes: &Vec<u8>| {
        serde_json::from_slice(bytes).map_err(|error| {
            Error::new(Code::StateCorrupt, format!("read a record of {}", redb::TableHandle::name(&table)))
                .because(error)
                .fix("move the state directory away, or restore it from a backup")
        })
    };
    values.iter().map(parse).collect()
}

#[cfg(test)]
mod tests;
