//! One turn with a namespace's UDP socket: a handful of queries in, the answers out.

use std::time::{Instant, SystemTime};

use nix::errno::Errno;
use tracing::debug;

use crate::log::From;
use crate::message::Transport;

use super::super::batch::DATAGRAMS;
use super::super::decide::{Decided, decide};
use super::super::flight::{Destination, Waiter};
use super::super::forward::Round;
use super::super::slab::Key;
use super::super::slate::Owed;
use super::{Worker, malformed};

impl Worker<'_> {
    /// A query that came to an earlier process, which did not live to answer it.
    pub(super) fn again(&mut self, owed: Owed) {
        let Owed { place, to, query, note } = owed;
        let Some(key) = self.places.get(&place).copied() else { return };
        let Some(served) = self.served.get_mut(key) else { return };
        let view = served.refresh(&self.shared.groups);
        self.turn = self.turn.wrapping_add(1);
        let (at, began) = (SystemTime::now(), Instant::now());
        let turn = (self.turn, began);
        match decide(&query, Transport::Udp, (served, &view), self.shared, turn, &mut self.scratch) {
            Decided::Silence => {}
            Decided::Reply(from) => {
                let record = served.record(&view, at, &query, &self.scratch, from, began.elapsed());
                self.shared.rings[self.number].write(&self.shared.numbers).put(record);
                if let Err(error) = served.ear.udp.send_to(&self.scratch, to) {
                    debug!(%place, %error, "answer not taken");
                }
            }
            Decided::Forward(group, permit) => {
                let to = Destination::Datagram { ear: key, to, note: Some(note) };
                let waiter = Waiter { permit, to, id: [query[0], query[1]], began, at };
                let (forwarder, mut round) = self.forwarding(began);
                forwarder.ask(&mut round, &group, &query, waiter);
                self.deliver();
            }
        }
    }

    /// Whether there were any: then there may be more by now.
    pub(super) fn datagrams(&mut self, key: Key) -> bool {
        let Some(served) = self.served.get_mut(key) else { return false };
        let count = match self.batch.receive(&served.ear.udp) {
            Ok(count) => count,
            // Another worker was faster.
            Err(Errno::EAGAIN | Errno::EINTR) => return false,
            Err(error) => {
                debug!(place = %served.ear.client.asker.place, %error, "no datagram received");
                // Whoever destroys a socket takes the port that the kernel chose for it: nothing will come any more.
                match served.ear.udp.local_addr() {
                    Ok(own) if own.port() != 0 => self.pause(key, Transport::Udp, Instant::now()),
                    Ok(_) | Err(_) => self.give_up(key, Transport::Udp, &error.into()),
                }
                return false;
            }
        };
        let view = served.refresh(&self.shared.groups);
        let (at, began) = (SystemTime::now(), Instant::now());
        let mut told: [(usize, From); DATAGRAMS] = [(0, From::Here); DATAGRAMS];
        let mut replies = 0;
        for index in 0..count {
            let (received, query, out) = self.batch.one(index);
            // Nothing can be sent there. A server's own port is answered: forwarders ask from it, and what is a response is not
            // answered wherever it comes from, so that two servers cannot be set on each other.
            if received.from.port() == 0 {
                continue;
            }
            self.turn = self.turn.wrapping_add(1);
            let decided = if !received.cut {
                decide(query, Transport::Udp, (served, &view), self.shared, (self.turn, began), out)
            } else if malformed(query, out) {
                Decided::Reply(From::Here)
            } else {
                Decided::Silence
            };
            match decided {
                Decided::Silence => {}
                Decided::Reply(from) => {
                    told[replies] = (index, from);
                    replies += 1;
                    self.batch.reply(received.from);
                }
                Decided::Forward(group, permit) => {
                    let place = served.ear.client.asker.place;
                    let slate = self.shared.slate.as_ref();
                    let note = slate.and_then(|slate| slate.note(place, received.from, at, query));
                    let to = Destination::Datagram { ear: key, to: received.from, note };
                    let waiter = Waiter { permit, to, id: [query[0], query[1]], began, at };
                    let round = &mut Round {
                        poll: &self.poll,
                        timers: &mut self.timers,
                        cache: &self.shared.cache,
                        now: began,
                    };
                    self.forwarder.ask(round, &group, query, waiter);
                }
            }
        }
        if replies > 0 {
            let took = began.elapsed();
            let mut log = self.shared.rings[self.number].write(&self.shared.numbers);
            for (&(index, from), reply) in told[..replies].iter().zip(self.batch.replies()) {
                log.put(served.record(&view, at, self.batch.query(index), reply, from, took));
            }
            drop(log);
            let dropped = self.batch.send(&served.ear.udp);
            if dropped > 0 {
                debug!(place = %served.ear.client.asker.place, dropped, "answers not taken");
            }
        }
        count > 0
    }
}
