//! The reaper takes from the kernel, in batches and behind the answer, what endpoints no longer have: deleting fifty veth
//! pairs together costs the kernel about as much as deleting one.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use bowline_core::endpoint::Interface;
use bowline_core::firewall::Element;
use bowline_core::name::Id;
use bowline_core::place::Place;
use bowline_core::plan::Change;
use bowline_core::state::{LinkKey, Route};

use ipnetwork::IpNetwork;

use super::leases::Goodbye;
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
    /// What the firewall has about the port.
    pub(super) elements: Vec<Element>,
    /// What leads the host to it.
    pub(super) routes: Vec<Route>,
    /// What gives its lease back.
    pub(super) goodbye: Option<Arc<Goodbye>>,
}

impl Dead {
    fn deletion(&self) -> Change {
        Change::DelLink { key: LinkKey::new(self.host, self.interface.port.clone()) }
    }

    fn filters(&self) -> impl Iterator<Item = Change> {
        let elements = self.elements.iter();
        let elements = elements.map(|e| Change::DelElement { place: self.host, element: e.clone() });
        self.routes.iter().cloned().map(Change::DelRoute).chain(elements)
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
    batches: u64,
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

    /// Whose interfaces wait to be taken away, each once.
    pub(super) fn seats(&self) -> Vec<Arc<Seat>> {
        let mut seats: Vec<_> = held(&self.queue).waiting.iter().map(|dead| dead.seat.clone()).collect();
        seats.sort_by_key(|seat| seat.id);
        seats.dedup_by_key(|seat| seat.id);
        seats
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

    /// How many batches are done.
    pub(super) fn batches(&self) -> u64 {
        held(&self.queue).batches
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
        queue.batches += 1;
        self.changed.notify_all();
    }
}

impl Manager {
    /// Runs on a thread of its own until [`Manager::stop_reaping`].
    pub fn reap(&self) {
        while let Some(batch) = self.reaper.next() {
            let (gone, mut stuck) = self.delete(batch);
            stuck.extend(self.free(gone));
            self.reaper.done(stuck);
        }
    }

    pub fn stop_reaping(&self) {
        self.reaper.stop();
    }

    /// Together if it goes, else one by one, so that one that is stuck does not keep the others.
    fn delete(&self, batch: Vec<Dead>) -> (Vec<Dead>, Vec<Dead>) {
        let mut batch = batch;
        batch.sort_by_key(|dead| dead.host);
        batch.iter().filter_map(|dead| dead.goodbye.as_ref()).for_each(|goodbye| goodbye.say());
        let all: Vec<Change> = batch.iter().map(Dead::deletion).collect();
        let (gone, stuck) = if self.kernel.apply(&all).is_ok() {
            (batch, Vec::new())
        } else {
            batch.into_iter().partition(|dead| match self.kernel.apply(&[dead.deletion()]) {
                Ok(()) => true,
                Err(error) => {
                    tracing::warn!(link = %dead.interface.port, code = %error.code, "delete a port: {error}");
                    false
                }
            })
        };
        let (clean, left): (Vec<_>, Vec<_>) =
            gone.chunk_by(|a, b| a.host == b.host).partition(|here| self.clean_up(here));
        let mut stuck = stuck;
        stuck.extend(left.concat());
        (clean.concat(), stuck)
    }

    /// After the ports of one host: what the firewall has about them, and the flows of their addresses, which the next to
    /// have them must not inherit. False where that did not go.
    fn clean_up(&self, here: &[Dead]) -> bool {
        let addresses = here.iter().flat_map(|dead| dead.interface.addresses.iter().map(IpNetwork::ip));
        let forget = Change::ForgetFlows {
            place: here[0].host,
            addresses: addresses.collect(),
            ports: Vec::new(),
            straight: Vec::new(),
        };
        let steps: Vec<Change> = here.iter().flat_map(Dead::filters).chain([forget]).collect();
        if let Err(error) = self.kernel.apply(&steps) {
            tracing::warn!(code = %error.code, "clean up after {} ports: {error}", here.len());
            return false;
        }
        true
    }

    /// The kernel has confirmed: the journal forgets, and then addresses may be given again. In that order, for of two
    /// records that hold one address the next start would not know whose it is. What could not be journalled is tried again.
    fn free(&self, gone: Vec<Dead>) -> Vec<Dead> {
        let mut forgotten: Vec<(Id, Option<EndpointRecord>)> = Vec::new();
        let (mut done, mut again) = (Vec::new(), Vec::new());
        for dead in gone {
            let mut seated = dead.seat.lock();
            let before = seated.leaving.clone();
            seated.leaving.retain(|i| i.port != dead.interface.port);
            let written = if seated.life != Life::Removed {
                // Under its lock, so that no newer record is overwritten.
                self.journal(&[(dead.seat.id, Some(seated.record(&[])))])
            } else {
                if seated.leaving.is_empty() {
                    // Nobody finds it any more, so nothing newer can be there.
                    forgotten.push((dead.seat.id, None));
                }
                true
            };
            if !written {
                seated.leaving = before;
            }
            drop(seated);
            if written { done.push(dead) } else { again.push(dead) }
        }
        if !self.journal(&forgotten) {
            again.extend(done);
            return again;
        }
        for Dead { seat, interface, .. } in &done {
            if let Some(keeper) = self.index.network_by_id(interface.network) {
                let mut kept = keeper.lock();
                kept.release(&seat.name, &interface.addresses);
                kept.leaving = kept.leaving.saturating_sub(1);
            }
        }
        again
    }

    fn journal(&self, records: &[(Id, Option<EndpointRecord>)]) -> bool {
        if records.is_empty() {
            return true;
        }
        match self.store.put_endpoints(records) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(code = %error.code, "journal {} endpoints that left: {error}", records.len());
                false
            }
        }
    }
}
