//! The queries of one worker that are on their way to servers.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Instant;

use bowline_core::place::Place;

use crate::answer;
use crate::cache::Cache;
use crate::log::From;
use crate::upstream::{Race, Step};

mod dialler;
mod questions;
#[cfg(test)]
mod tests;

use dialler::Dialler;

use super::Dial;
use super::flight::{Destination, Flight, How, Waiter};
use super::poll::Poll;
use super::random::Ids;
use super::slab::{Key, Slab};
use super::source::Group;
use super::timers::{Timer, Timers};

/// A message of the longest that there is.
const BUFFER: usize = 65_536;
/// How many questions one query may cost, with those by TCP and to servers that are tried again.
const QUESTIONS: usize = 32;
/// How many queries that were answered may keep sockets to servers that are yet to show whether they live.
const LINGERING: usize = 64;

pub(super) struct Forwarder {
    dial: Arc<dyn Dial>,
    /// Who makes sockets elsewhere. It begins with the first that is wanted.
    dialler: Option<Dialler>,
    flights: Slab<Flight>,
    /// Who asks the same while it is on its way waits with the first: by a keyed hash of source and question.
    alike: HashMap<u64, Key>,
    hash: RandomState,
    ids: Ids,
    buffer: Box<[u8]>,
    lingering: usize,
    /// Answers that are to be given.
    pub(super) finished: Vec<Finished>,
}

/// What a forwarder works with that is not its own.
pub(super) struct Round<'a> {
    pub(super) poll: &'a Poll,
    pub(super) timers: &'a mut Timers,
    pub(super) cache: &'a Cache,
    pub(super) now: Instant,
}

/// An answer, and who waits for it.
pub(super) struct Finished {
    pub(super) query: Vec<u8>,
    pub(super) reply: Vec<u8>,
    pub(super) from: From,
    pub(super) waiting: Vec<Waiter>,
}

impl Forwarder {
    pub(super) fn new(dial: Arc<dyn Dial>) -> Forwarder {
        Forwarder {
            dial,
            dialler: None,
            flights: Slab::new(),
            alike: HashMap::new(),
            hash: RandomState::new(),
            ids: Ids::new(),
            buffer: vec![0; BUFFER].into_boxed_slice(),
            lingering: 0,
            finished: Vec::new(),
        }
    }

    /// Sends a query to servers, or has it wait for the same one that was sent already.
    pub(super) fn ask(&mut self, round: &mut Round, group: &Arc<Group>, query: &[u8], waiter: Waiter) {
        let how = match waiter.to {
            Destination::Datagram { .. } => How::Udp,
            Destination::Connection(_) => How::Tcp,
            Destination::Caller(_) => How::Whole,
        };
        // All of it but the id: what differs in case or in an option is another question.
        let alike = self.hash.hash_one((group.source, how, &query[2..]));
        if let Some(flight) = self.alike.get(&alike).and_then(|key| self.flights.get_mut(*key))
            && flight.group.source == group.source
            && flight.how == how
            && flight.query[2..] == query[2..]
        {
            flight.waiting.push(waiter);
            return;
        }
        let race = Race::begin(&group.servers(), how.first(), round.now);
        let key = self.flights.insert(Flight {
            group: group.clone(),
            query: query.to_vec(),
            how,
            alike,
            race,
            questions: Vec::new(),
            coming: Vec::new(),
            waiting: vec![waiter],
            lingers: false,
            worst: None,
        });
        self.alike.insert(alike, key);
        self.go_on(round, key);
    }

    /// Its time has come.
    pub(super) fn due(&mut self, round: &mut Round, key: Key) {
        let Some(flight) = self.flights.get(key) else { return };
        if !flight.lingers {
            return self.go_on(round, key);
        }
        let until = flight.race.lingers(&flight.group.servers(), round.now);
        match until {
            // One that it waits for became a suspect since, and was asked later than the others.
            Some(until) => round.timers.set(until, Timer::Flight(key)),
            None => self.land(key),
        }
    }

    /// Drops what is on its way for a namespace that is no longer served, or from it.
    pub(super) fn forget(&mut self, place: Place) {
        let keys: Vec<Key> = self.flights.iter().map(|(key, _)| key).collect();
        for key in keys {
            let Some(flight) = self.flights.get_mut(key) else { continue };
            flight.waiting.retain(|waiter| waiter.permit.client.asker.place != place);
            let is_over = flight.waiting.is_empty() && !flight.lingers;
            if flight.group.place != place && !is_over {
                continue;
            }
            // Others may have asked from there as well, if it is a host to them.
            let query = std::mem::take(&mut flight.query);
            let mut reply = Vec::new();
            answer::failure(&query, &mut reply);
            let waiting = std::mem::take(&mut flight.waiting);
            self.finished.push(Finished { query, reply, from: From::Nobody, waiting });
            self.land(key);
        }
        if let Some(dialler) = &self.dialler {
            dialler.forget(place);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.flights.len()
    }

    pub(super) fn has(&self, key: Key) -> bool {
        self.flights.get(key).is_some()
    }

    /// Does what the race says until there is something to wait for.
    fn go_on(&mut self, round: &mut Round, key: Key) {
        while let Some(flight) = self.flights.get_mut(key) {
            let step = flight.race.step(&mut flight.group.servers(), round.now);
            match step {
                Step::Ask(server) if flight.questions.len() < QUESTIONS => {
                    if !self.is_wanted(key) {
                        return;
                    }
                    let Some(by) = self.flights.get(key).map(|flight| flight.how.first()) else { return };
                    self.question(round, key, server, by);
                }
                Step::Wait(at) => return round.timers.set(at, Timer::Flight(key)),
                Step::Ask(_) | Step::GiveUp => {
                    let (reply, from) = flight.worst.take().unwrap_or_else(|| {
                        let mut reply = Vec::new();
                        answer::failure(&flight.query, &mut reply);
                        (reply, From::Nobody)
                    });
                    return self.finish(round, key, reply, from);
                }
            }
        }
    }

    /// All who wait get this. The flight stays for a moment if a suspect was asked too: only so is it heard when it is back.
    fn finish(&mut self, round: &mut Round, key: Key, reply: Vec<u8>, from: From) {
        let Some(flight) = self.flights.get_mut(key) else { return };
        let waiting = std::mem::take(&mut flight.waiting);
        let query = flight.query.clone();
        self.finished.push(Finished { query, reply, from, waiting });
        let until = flight.race.lingers(&flight.group.servers(), round.now);
        match until {
            Some(until) if self.lingering < LINGERING => {
                self.lingering += 1;
                flight.lingers = true;
                let alike = flight.alike;
                self.no_longer_found(alike, key);
                round.timers.set(until, Timer::Flight(key));
            }
            Some(_) | None => self.land(key),
        }
    }

    /// Closes its sockets and forgets it.
    fn land(&mut self, key: Key) {
        let Some(flight) = self.flights.remove(key) else { return };
        self.no_longer_found(flight.alike, key);
        self.lingering -= usize::from(flight.lingers);
    }

    fn no_longer_found(&mut self, alike: u64, key: Key) {
        if self.alike.get(&alike) == Some(&key) {
            self.alike.remove(&alike);
        }
    }
}
