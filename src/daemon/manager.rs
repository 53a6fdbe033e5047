//! The verbs, all blocking: check everything, journal the intent, change the kernel, journal that it is done, answer.
//!
//! Locks are taken in one order: hosts, seats (endpoints) by id, keepers (networks) by id, and the index, which is never
//! held while anything waits. An operation holds only what it touches, so two networks never wait on each other.

mod attach;
mod checkup;
mod direct;
mod endpoints;
mod firewall;
mod heal;
mod hooks;
mod hosts;
mod index;
mod inside;
mod keeper;
mod keyed;
mod known;
mod lease;
mod leases;
mod made;
mod medium;
mod names;
mod networks;
mod ports;
mod reaper;
mod recover;
mod relay;
mod seat;
mod siblings;
mod subnets;
mod system;
mod theirs;
mod tune;

use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bowline_api::v1::{Event, EventKind};
use bowline_core::kernel::Kernel;
use bowline_core::name::Id;
use bowline_core::place::Place;
use bowline_core::{Code, Error, Result};
use tokio::sync::broadcast;

use crate::config::Config;
use crate::leases::Leases;
use crate::relay::Relays;
use crate::resolver::{Resolver, Settings};
use crate::sockets::Sockets;
use crate::store::Store;
use hosts::Hosts;
use index::Index;
use reaper::Reaper;

pub use endpoints::Caller;
pub use system::version;

pub struct Manager {
    kernel: Arc<dyn Kernel>,
    sockets: Arc<dyn Sockets>,
    relays: OnceLock<Relays>,
    resolver: Arc<Resolver>,
    rules: Mutex<hooks::Rules>,
    /// The daemon's own namespace, where networks live unless a caller brings another.
    host: Place,
    store: Store,
    config: RwLock<Config>,
    paths: Paths,
    /// This host's own IPv6 prefix.
    ula: [u8; 5],
    index: Index,
    reaper: Reaper,
    leases: Arc<Leases>,
    hosts: Hosts,
    events: broadcast::Sender<Event>,
    random: Mutex<std::fs::File>,
    started: Instant,
}

/// Where the daemon keeps what.
#[derive(Debug, Clone)]
pub struct Paths {
    pub config: PathBuf,
    /// A file that was named must be there; the usual one need not.
    pub config_given: bool,
    pub socket: PathBuf,
    pub run_dir: PathBuf,
    pub state_dir: PathBuf,
}

impl std::fmt::Debug for Manager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Manager")
            .field("host", &self.host)
            .field("paths", &self.paths)
            .finish_non_exhaustive()
    }
}

impl Manager {
    /// Loads what is remembered. The kernel is not touched before [`Manager::recover`].
    pub(crate) fn new(
        kernel: Arc<dyn Kernel>,
        sockets: Arc<dyn Sockets>,
        host: Place,
        store: Store,
        config: Config,
        paths: Paths,
        resolver: Arc<Resolver>,
    ) -> Result<Manager> {
        let mut random = std::fs::File::open("/dev/urandom")
            .map_err(|e| Error::new(Code::Internal, "open /dev/urandom").because(e))?;
        let mut fresh = [0; 5];
        random
            .read_exact(&mut fresh)
            .map_err(|e| Error::new(Code::Internal, "read /dev/urandom").because(e))?;
        let ula = store.once("ula", || fresh.to_vec())?;
        let ula = ula.try_into().map_err(|_| {
            Error::new(Code::StateCorrupt, "read this host's IPv6 prefix")
                .because("it does not have five bytes")
                .fix("move the state directory away, or restore it from a backup")
        })?;
        let manager = Manager {
            kernel,
            sockets,
            relays: OnceLock::new(),
            resolver,
            rules: Mutex::default(),
            host,
            store,
            config: RwLock::new(config),
            paths,
            ula,
            index: Index::default(),
            reaper: Reaper::default(),
            leases: Arc::new(Leases::new()?),
            hosts: Hosts::default(),
            events: broadcast::Sender::new(1024),
            random: Mutex::new(random),
            started: Instant::now(),
        };
        manager.load()?;
        Ok(manager)
    }

    /// Reads the configuration again. What it says of pools and links holds for networks made from now on; the log and
    /// the socket's group stay until the next start.
    pub fn reload(&self) -> Result<()> {
        let path = self.paths.config_given.then_some(self.paths.config.as_path());
        let config = Config::load(path)?;
        self.resolver.configure(Settings::of(&config));
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        self.reload_hooks()
    }

    fn config(&self) -> RwLockReadGuard<'_, Config> {
        self.config.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    fn tell(&self, kind: EventKind, network: Option<&str>, endpoint: Option<&str>, detail: Option<String>) {
        let event = Event {
            time_unix_ms: now_unix_ms(),
            kind,
            network: network.map(str::to_string),
            endpoint: endpoint.map(str::to_string),
            detail,
        };
        // Nobody listening is no failure.
        drop(self.events.send(event));
    }

    fn fresh_id(&self) -> Id {
        let mut bytes = [0; 16];
        let mut random = held(&self.random);
        random.read_exact(&mut bytes).expect("/dev/urandom never ends and never fails once open");
        Id(u128::from_be_bytes(bytes))
    }
}

/// Locks, also after a panic elsewhere: an operation that died left its intent in the journal, and the next reconcile
/// finishes it, so what the lock guards is never worse than unfinished.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now_unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
