//! One thread: it waits for all sockets, and takes one turn with each that has something. What belongs to one namespace never
//! takes more than its turn, whatever it sends.

use std::collections::HashMap;
use std::io;
use std::ops::ControlFlow;
use std::sync::mpsc::Sender;
use std::time::{Instant, SystemTime};

use bowline_core::place::Place;
use nix::sys::epoll::EpollEvent;
use tracing::error;

use crate::answer;
use crate::asker::View;
use crate::log::Line;
use crate::message::Transport;

use super::batch::Batch;
use super::client::Served;
use super::connection::Connection;
use super::decide::{Decided, decide};
use super::flight::{Destination, Waiter};
use super::forward::{Forwarder, Round};
use super::mail::{Mail, Order};
use super::poll::{EVENTS, Event, Poll, Token};
use super::shared::Shared;
use super::slab::{Key, Slab};
use super::timers::{Timer, Timers};

mod datagrams;
mod deliver;
mod ears;
mod streams;
#[cfg(test)]
mod tests;

/// How many turns a socket has where no other has anything.
const TURNS_ALONE: usize = 4;
/// What one read of a connection takes at most.
const READ: usize = 16 * 1024;

pub(super) struct Worker<'a> {
    number: usize,
    shared: &'a Shared,
    poll: Poll,
    served: Slab<Served>,
    places: HashMap<Place, Key>,
    connections: Slab<Connection>,
    /// Connections that have something to do, in the order of their turns: no event tells of what came in already.
    line: Vec<Key>,
    /// Those of them whose turn it is.
    called: Vec<Key>,
    round: u64,
    forwarder: Forwarder,
    timers: Timers,
    batch: Batch,
    scratch: Vec<u8>,
    buffer: Box<[u8]>,
    /// Held against the day when the process has no file left: with it a caller can at least be turned away.
    spare: Option<std::fs::File>,
    turn: u32,
}

impl<'a> Worker<'a> {
    /// A worker that answers wherever it is to be answered now.
    pub(super) fn new(number: usize, shared: &'a Shared, mail: &Mail) -> io::Result<Worker<'a>> {
        let poll = Poll::new()?;
        poll.read(mail, Token::Mail)?;
        let mut worker = Worker {
            number,
            shared,
            poll,
            served: Slab::new(),
            places: HashMap::new(),
            connections: Slab::new(),
            line: Vec::new(),
            called: Vec::new(),
            round: 0,
            forwarder: Forwarder::new(shared.dial.clone()),
            timers: Timers::default(),
            batch: Batch::new(),
            scratch: Vec::with_capacity(READ),
            buffer: vec![0; READ].into_boxed_slice(),
            spare: Some(std::fs::File::open("/dev/null")?),
            turn: 0,
        };
        for ear in shared.ears() {
            let place = ear.client.asker.place;
            if let Err(error) = worker.open(&ear) {
                error!(%place, %error, "namespace not answered");
            }
        }
        Ok(worker)
    }

    /// Until it is told to stop.
    pub(super) fn run(&mut self, mail: &Mail) -> io::Result<()> {
        let mut raw = [EpollEvent::empty(); EVENTS];
        let mut events = Vec::with_capacity(EVENTS);
        while self.go_round(mail, &mut raw, &mut events)?.is_continue() {}
        Ok(())
    }

    /// One turn for everybody who has something, once there is somebody.
    fn go_round(
        &mut self,
        mail: &Mail,
        raw: &mut [EpollEvent; EVENTS],
        events: &mut Vec<Event>,
    ) -> io::Result<ControlFlow<()>> {
        let now = Instant::now();
        let until = if self.line.is_empty() { self.timers.next() } else { Some(now) };
        self.poll.wait(until, now, raw, events)?;
        // Alone, a socket may have a few turns at once: nobody waits for the end of them.
        let turns = if events.len() == 1 && self.line.is_empty() { TURNS_ALONE } else { 1 };
        for event in events {
            // Whoever attaches or detaches a container waits for this, so it waits for no more than one turn.
            if event.token == Token::Mail {
                mail.quiet();
            }
            while let Some(order) = mail.next() {
                match order {
                    Order::Begin(done) => tell(&done, ()),
                    Order::Stop => return Ok(ControlFlow::Break(())),
                    Order::Open(ear, done) => tell(&done, self.open(&ear)),
                    Order::Close(place, done) => {
                        self.close(place);
                        tell(&done, ());
                    }
                    Order::Resolve { place, query, to } => self.resolve(place, &query, to),
                    Order::Again(owed) => self.again(owed),
                }
            }
            self.event(*event, turns);
        }
        self.call();
        self.expire();
        Ok(ControlFlow::Continue(()))
    }

    fn event(&mut self, event: Event, turns: usize) {
        match event.token {
            Token::Mail => {}
            Token::Datagrams(key) if event.ended => self.ended(key, Transport::Udp),
            Token::Datagrams(key) => {
                // Asking it once more costs less than waiting for all.
                (0..turns).find(|_| !self.datagrams(key));
            }
            Token::Listener(key) if event.ended => self.ended(key, Transport::Tcp),
            Token::Listener(key) => self.accept(key),
            Token::Connection(key) => self.connection(key, event),
            Token::Question(key, part) => {
                let (forwarder, mut round) = self.forwarding(Instant::now());
                forwarder.event(&mut round, key, part, event);
            }
        }
        self.deliver();
    }

    fn expire(&mut self) {
        let (connections, flights, served) = (&self.connections, &self.forwarder, &self.served);
        self.timers.tidy(connections.len() + flights.len() + served.len(), |timer| match timer {
            Timer::Flight(key) => flights.has(key),
            Timer::Connection(key) => connections.get(key).is_some(),
            Timer::Ear(key) => served.get(key).is_some(),
        });
        let Some(next) = self.timers.next() else { return };
        let now = Instant::now();
        if next > now {
            return;
        }
        while let Some((at, timer)) = self.timers.due(now) {
            match timer {
                Timer::Flight(key) => {
                    let (forwarder, mut round) = self.forwarding(now);
                    forwarder.due(&mut round, key);
                }
                Timer::Connection(key) => self.overdue(key, at, now),
                Timer::Ear(key) => self.resume(key, now),
            }
        }
        self.deliver();
    }

    fn forwarding(&mut self, now: Instant) -> (&mut Forwarder, Round<'_>) {
        let round = Round { poll: &self.poll, timers: &mut self.timers, cache: &self.shared.cache, now };
        (&mut self.forwarder, round)
    }

    fn resolve(&mut self, place: Place, query: &[u8], to: Sender<Option<(Vec<u8>, Line)>>) {
        let Some(served) = self.places.get(&place).and_then(|key| self.served.get_mut(*key)) else { return };
        let view = served.refresh(&self.shared.groups);
        self.turn = self.turn.wrapping_add(1);
        let (at, began) = (SystemTime::now(), Instant::now());
        match decide(
            query,
            Transport::Tcp,
            (served, &view),
            self.shared,
            (self.turn, began),
            &mut self.scratch,
        ) {
            Decided::Silence => tell(&to, None),
            Decided::Reply(from) => {
                let record = served.record(&view, at, query, &self.scratch, from, began.elapsed());
                let number = self.shared.rings[self.number].write(&self.shared.numbers).put(record);
                tell(&to, Some((self.scratch.clone(), crate::log::ring::line(number, record))));
            }
            Decided::Forward(group, permit) => {
                let id = [query[0], query[1]];
                let waiter = Waiter { permit, to: Destination::Caller(to), id, began, at };
                let (forwarder, mut round) = self.forwarding(began);
                forwarder.ask(&mut round, &group, query, waiter);
                self.deliver();
            }
        }
    }
}

/// Whoever no longer waits for an answer does not need it.
fn tell<T>(to: &Sender<T>, what: T) {
    if to.send(what).is_err() {
        tracing::debug!("nobody waits for the answer any more");
    }
}

/// FORMERR for a query of which not all came.
fn malformed(query: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(header) = query.first_chunk::<12>() else { return false };
    if header[2] & 0x80 != 0 {
        return false;
    }
    out.clear();
    out.extend([header[0], header[1], header[2] & 0x79 | 0x80, 0x81, 0, 0, 0, 0, 0, 0, 0, 0]);
    true
}

/// Writes the answer for somebody who may no longer ask elsewhere.
fn answer_here(query: &[u8], over: Transport, view: &View, turn: u32, out: &mut Vec<u8>) {
    if answer::answer(query, over, view, turn, out) != answer::Verdict::Reply {
        answer::failure(query, out);
    }
}
