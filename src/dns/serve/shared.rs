//! What all workers share, and the thread that keeps each of them at work.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use bowline_core::place::Place;
use tracing::error;

use crate::cache::Cache;
use crate::log::ring::Ring;

use super::Dial;
use super::client::Ear;
use super::mail::Mail;
use super::slate::Slate;
use super::source::Groups;
use super::worker::Worker;

pub(super) struct Shared {
    pub(super) dial: Arc<dyn Dial>,
    pub(super) cache: Cache,
    pub(super) groups: Groups,
    /// How many queries are on their way.
    pub(super) forwards: Arc<AtomicUsize>,
    /// One for each worker.
    pub(super) rings: Vec<Ring>,
    pub(super) numbers: AtomicU64,
    /// What is on its way is written down here, where there is a slate.
    pub(super) slate: Option<Arc<Slate>>,
    /// Who is told of sockets that broke.
    pub(super) broken: OnceLock<Sender<Place>>,
    ears: Mutex<HashMap<Place, Arc<Ear>>>,
}

impl Shared {
    pub(super) fn new(
        dial: Arc<dyn Dial>,
        threads: usize,
        cache_bytes: usize,
        slate: Option<Arc<Slate>>,
    ) -> Shared {
        Shared {
            dial,
            cache: Cache::new(cache_bytes),
            groups: Groups::default(),
            forwards: Arc::default(),
            rings: (0..threads).map(|_| Ring::new()).collect(),
            numbers: AtomicU64::new(0),
            slate,
            broken: OnceLock::new(),
            ears: Mutex::default(),
        }
    }

    /// Where to answer. Whoever changes it tells the workers before letting go of it, so that all learn in the same order.
    pub(super) fn table(&self) -> MutexGuard<'_, HashMap<Place, Arc<Ear>>> {
        self.ears.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ears(&self) -> Vec<Arc<Ear>> {
        self.table().values().cloned().collect()
    }

    /// Whether that worker is the one that has the TCP connections of that place.
    pub(super) fn keeps_streams(&self, worker: usize, place: Place) -> bool {
        place.0 % self.rings.len() as u64 == worker as u64
    }
}

/// A worker's thread. One that fails is a mistake of ours: it is told, and the next one takes its place at the same sockets.
/// What was under way with it is lost, and asked again by its clients.
pub(super) fn work(number: usize, shared: &Shared, mail: &Mail) {
    loop {
        let run = || Worker::new(number, shared, mail)?.run(mail);
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => {
                error!(worker = number, %error, "resolver has to begin again");
                // It is the kernel that is short of something: not to ask it again at once.
                thread::sleep(Duration::from_millis(100));
            }
            Err(panic) => {
                let what = panic.downcast_ref::<String>().map(String::as_str);
                let what = what.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown");
                error!(worker = number, what, "resolver failed and begins again");
            }
        }
    }
}
