//! The reaper takes from the kernel, in batches and behind the answer, what endpoints no longer have: deleting fifty veth
//! pairs together costs the kernel about as much as deleting one.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use bowline_core::endpoint::Interface;
use bowline_core::name::Id;
use bowline_core::place::Place;
use bowline_core::plan::Change;
use bowline_core::state::LinkKey;

use super::seat::Seat;
use super::{Manager, held};
use crate::store::{EndpointRecord, Life};

/// An interface that was answered for as gone.
#[derive(Debug, Clone)]
pub(super) struct Dead {
    pub(super) seat: Arc<Seat>,
    pub(super) interface: Interface,
    /// Where its port is.
    pub(super) host: Place,
}

impl Dead {
    fn deletion(&self) -> Change {
        Change::DelLink { key: LinkKey::new(self.host, self.interface.port.clone()) }
    }
}

#[derive(Debug, Default)]
pub(super) struct Reaper {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Dead>,
    /// What the kernel would not give up, to be tried again.
    stuck: Vec<Dead>,
    busy: bool,
    stop: bool,
}

/// How long the kernel is left alone after it would not give something up.
const AGAIN: Duration = Duration::from_secs(2);

/// How long an operation waits for what it met on its way out.
const PATIENCE: Duration = Duration::from_secs(10);

impl Reaper {
    pub(super) fn bury(&self, dead: Dead) {
        held(&self.queue).waiting.push(dead);
        self.changed.notify_all();
    }

    /// Waits until nothing is on its way out any more. False where nothing was, or where it takes too long.
    /// To be called without any lock.
    pub(super) fn wait_until_idle(&self) -> bool {
        let queue = held(&self.queue);
        if queue.waiting.is_empty() && !queue.busy {
            return false;
        }
        let busy = |queue: &mut Queue| !queue.waiting.is_empty() || queue.busy;
        let waited = self.changed.wait_timeout_while(queue, PATIENCE, busy);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    pub(super) fn stop(&self) {
        held(&self.queue).stop = true;
        self.changed.notify_all();
    }

    /// The next batch; None once stopped.
    fn next(&self) -> Option<Vec<Dead>> {
        let mut queue = held(&self.queue);
        loop {
            if queue.stop {
                return None;
            }
            if !queue.waiting.is_empty() {
                queue.busy = true;
                return Some(std::mem::take(&mut queue.waiting));
            }
            if queue.stuck.is_empty() {
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            } else {
                let (again, timeout) =
                    self.changed.wait_timeout(queue, AGAIN).unwrap_or_else(PoisonError::into_inner);
                queue = again;
                if timeout.timed_out() {
                    let stuck = std::mem::take(&mut queue.stuck);
                    queue.waiting.extend(stuck);
                }
            }
        }
    }

    fn done(&self, stuck: Vec<Dead>) {
        let mut queue = held(&self.queue);
        queue.stuck.extend(stuck);
        queue.busy = false;
        self.changed.notify_all();
    }
}

impl Manager {
    /// Runs on a thread of its own until [`Manager::stop_reaping`].
    pub fn reap(&self) {
        while let Some(batch) = self.reaper.next() {
            let (gone, stuck) = self.delete(batch);
            self.free(&gone);
            self.reaper.done(stuck);
        }
    }

    pub fn stop_reaping(&self) {
        self.reaper.stop();
    }

    /// Together if it goes, else one by one, so that one that is stuck does not keep the others.
    fn delete(&self, batch: Vec<Dead>) -> (Vec<Dead>, Vec<Dead>) {
        let all: Vec<Change> = batch.iter().map(Dead::deletion).collect();
        if self.kernel.apply(&all).is_ok() {
            return (batch, Vec::new());
        }
        batch.into_iter().partition(|dead| match self.kernel.apply(&[dead.deletion()]) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(link = %dead.interface.port, code = %error.code, "delete a port: {error}");
                false
            }
        })
    }

    /// The kernel has confirmed: addresses may be given again, and the journal forgets.
    fn free(&self, gone: &[Dead]) {
        let mut forgotten: Vec<(Id, Option<EndpointRecord>)> = Vec::new();
        for Dead { seat, interface, .. } in gone {
            if let Some(keeper) = self.index.network_by_id(interface.network) {
                keeper.lock().release(&seat.name, &interface.addresses);
            }
            let mut seated = seat.lock();
            seated.leaving.retain(|i| i.port != interface.port);
            if seated.life != Life::Removed {
                // Under its lock, so that no newer record is overwritten.
                self.journal(&[(seat.id, Some(seated.record(&[])))]);
            } else if seated.leaving.is_empty() {
                // Nobody finds it any more, so nothing newer can be there.
                forgotten.push((seat.id, None));
            }
        }
        self.journal(&forgotten);
    }

    /// A failure loses nothing: after a restart what was leaving is leaving still, and is found gone.
    fn journal(&self, records: &[(Id, Option<EndpointRecord>)]) {
        if records.is_empty() {
            return;
        }
        if let Err(error) = self.store.put_endpoints(records) {
            tracing::warn!(code = %error.code, "journal {} endpoints that left: {error}", records.len());
        }
    }
}
