//! Gives the answers of servers to those who wait for them.

use std::time::Instant;

use tracing::debug;

use crate::answer;
use crate::asker::Elsewhere;
use crate::log::From;
use crate::log::ring;

use super::super::flight::{Destination, Waiter};
use super::super::forward::Finished;
use super::{Worker, answer_here, tell};

impl Worker<'_> {
    pub(super) fn deliver(&mut self) {
        while let Some(mut finished) = self.forwarder.finished.pop() {
            for waiter in std::mem::take(&mut finished.waiting) {
                self.give(&mut finished, waiter);
            }
        }
    }

    fn give(&mut self, finished: &mut Finished, waiter: Waiter) {
        let now = Instant::now();
        let asker = &waiter.permit.client.asker;
        let view = asker.view();
        let over = waiter.to.over();
        finished.query[..2].copy_from_slice(&waiter.id);
        let from = if view.elsewhere == Elsewhere::Never {
            // It was taken off the outside meanwhile.
            self.turn = self.turn.wrapping_add(1);
            answer_here(&finished.query, over, &view, self.turn, &mut self.scratch);
            From::Here
        } else {
            self.scratch.clear();
            self.scratch.extend_from_slice(&finished.reply);
            if let Some(id) = self.scratch.first_chunk_mut() {
                *id = waiter.id;
            }
            answer::fit(&finished.query, over, &mut self.scratch);
            finished.from
        };
        let record = ring::Record {
            at: waiter.at,
            place: asker.place,
            endpoint: &view.endpoint,
            query: &finished.query,
            reply: &self.scratch,
            from,
            took: now.saturating_duration_since(waiter.began),
        };
        let number = self.shared.rings[self.number].write(&self.shared.numbers).put(record);
        match waiter.to {
            Destination::Datagram { ear, to, note } => {
                if let Some(served) = self.served.get(ear)
                    && let Err(error) = served.ear.udp.send_to(&self.scratch, to)
                {
                    debug!(place = %asker.place, %error, "answer not taken");
                }
                drop(note);
            }
            Destination::Connection(key) => {
                if let Some(connection) = self.connections.get_mut(key) {
                    connection.owed -= 1;
                    // It may ask more now. That waits for its turn: an answer is no way to have one more.
                    if connection.answer(&self.scratch) { self.line_up(key) } else { self.hang_up(key) }
                }
            }
            Destination::Caller(to) => tell(&to, Some((self.scratch.clone(), ring::line(number, record)))),
        }
    }
}
