//! Turns with TCP: new connections, and what comes and goes over those that there are.

use std::io;
use std::time::{Instant, SystemTime};

use nix::errno::Errno;
use tracing::debug;

use crate::message::Transport;

use super::super::connection::{CONNECTIONS, CONNECTIONS_OF_ALL, Connection};
use super::super::decide::{Decided, decide};
use super::super::flight::{Destination, Waiter};
use super::super::forward::Round;
use super::super::poll::{Event, Token};
use super::super::slab::Key;
use super::super::stream::Next;
use super::super::timers::Timer;
use super::Worker;

/// How many connections one turn takes in, and how many messages of one connection it looks at.
const ACCEPTS: usize = 8;
const MESSAGES: usize = 8;

impl Worker<'_> {
    pub(super) fn accept(&mut self, ear: Key) {
        for turn in 0..ACCEPTS {
            let Some(served) = self.served.get(ear) else { return };
            match served.ear.tcp.accept() {
                Ok((stream, _)) => {
                    if let Err(error) = stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true)) {
                        debug!(%error, "connection not usable");
                        continue;
                    }
                    self.make_room(ear);
                    let connection = Connection::new(ear, stream, Instant::now());
                    let timer = connection.timer;
                    let key = self.connections.insert(connection);
                    let stream = &self.connections.get(key).expect("it was put there just now").stream;
                    if let Err(error) = self.poll.read(stream, Token::Connection(key)) {
                        debug!(%error, "connection not usable");
                        self.connections.remove(key);
                        continue;
                    }
                    self.timers.set(timer, Timer::Connection(key));
                    if let Some(served) = self.served.get_mut(ear) {
                        served.connections.push(key);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                    // The kernel looks for a file before it looks for a caller: only the first time is one surely there.
                    Some(Errno::EMFILE | Errno::ENFILE) if turn == 0 => return self.out_of_files(ear),
                    Some(Errno::EMFILE | Errno::ENFILE) => return,
                    // Its client went away before it was taken in.
                    Some(Errno::ECONNABORTED | Errno::EINTR) => {}
                    // It no longer listens.
                    Some(Errno::EINVAL) => return self.give_up(ear, Transport::Tcp, &error),
                    // The kernel is short of something, most of all.
                    _ => {
                        debug!(%error, "no connection taken in");
                        return self.pause(ear, Transport::Tcp, Instant::now());
                    }
                },
            }
        }
    }

    /// Room for one more: the idlest of the same namespace makes it, or where all together have too many and that one has
    /// none, the idlest of all.
    fn make_room(&mut self, ear: Key) {
        let own = self.served.get(ear).map_or(&[][..], |served| &served.connections);
        let full = self.connections.len() >= CONNECTIONS_OF_ALL / self.shared.rings.len();
        if own.len() < CONNECTIONS && !full {
            return;
        }
        let idlest = match self.idlest(own.iter().copied()) {
            None => self.idlest(self.connections.iter().map(|(key, _)| key)),
            own => own,
        };
        if let Some(key) = idlest {
            self.hang_up(key);
        }
    }

    fn idlest(&self, keys: impl Iterator<Item = Key>) -> Option<Key> {
        keys.filter_map(|key| Some((self.connections.get(key)?.last, key))).min().map(|(_, key)| key)
    }

    /// Somebody is let go of, so that the next try finds room; where nobody is left, the caller is turned away, and where that
    /// fails, it has to wait. In no case the listener rings for the same caller for ever.
    fn out_of_files(&mut self, ear: Key) {
        if let Some(key) = self.idlest(self.connections.iter().map(|(key, _)| key)) {
            return self.hang_up(key);
        }
        drop(self.spare.take());
        if self.served.get(ear).is_some_and(|served| served.ear.tcp.accept().is_err()) {
            self.pause(ear, Transport::Tcp, Instant::now());
        }
        match std::fs::File::open("/dev/null") {
            Ok(file) => self.spare = Some(file),
            Err(error) => debug!(%error, "no spare file"),
        }
    }

    pub(super) fn connection(&mut self, key: Key, event: Event) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if event.over {
            return self.hang_up(key);
        }
        if event.readable
            && connection.is_listened_to()
            && let Err(error) = connection.read(&mut self.buffer)
        {
            debug!(%error, "connection broke");
            return self.hang_up(key);
        }
        self.line_up(key);
    }

    /// It waits for its turn, behind those that do already.
    pub(super) fn line_up(&mut self, key: Key) {
        if let Some(connection) = self.connections.get_mut(key)
            && !connection.is_in_line
        {
            connection.is_in_line = true;
            self.line.push(key);
        }
    }

    /// One connection of each namespace has its turn, that which waits longest. However many a namespace has, and whatever they
    /// ask, others wait no longer for it.
    pub(super) fn call(&mut self) {
        if self.line.is_empty() {
            return;
        }
        self.round += 1;
        let mut called = std::mem::take(&mut self.called);
        self.line.retain(|key| {
            let Some(connection) = self.connections.get_mut(*key) else { return false };
            if let Some(served) = self.served.get_mut(connection.ear)
                && std::mem::replace(&mut served.round, self.round) == self.round
            {
                return true;
            }
            connection.is_in_line = false;
            called.push(*key);
            false
        });
        for waits in 0..self.line.len() {
            self.listen(self.line[waits]);
        }
        for key in called.drain(..) {
            self.serve(key, Instant::now());
        }
        self.called = called;
        self.deliver();
    }

    /// Answers of what came in whole a handful, sends what it takes, and says what is waited for next.
    fn serve(&mut self, key: Key, now: Instant) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let Some(served) = self.served.get_mut(connection.ear) else { return self.hang_up(key) };
        let view = served.refresh(&self.shared.groups);
        let at = SystemTime::now();
        let (mut took, mut broken) = (false, false);
        for _ in 0..MESSAGES {
            if !connection.may_ask() {
                break;
            }
            let query = match connection.inbound.take() {
                Next::Message(query) => query,
                Next::More => break,
                Next::Broken => {
                    broken = true;
                    break;
                }
            };
            self.turn = self.turn.wrapping_add(1);
            match decide(
                query,
                Transport::Tcp,
                (served, &view),
                self.shared,
                (self.turn, now),
                &mut self.scratch,
            ) {
                // Whoever sends what no query is wants no answers, and would keep us at it for ever.
                Decided::Silence => {
                    broken = true;
                    break;
                }
                Decided::Reply(from) => {
                    let record = served.record(&view, at, query, &self.scratch, from, now.elapsed());
                    self.shared.rings[self.number].write(&self.shared.numbers).put(record);
                    broken |= !connection.answer(&self.scratch);
                }
                Decided::Forward(group, permit) => {
                    let to = Destination::Connection(key);
                    let waiter = Waiter { permit, to, id: [query[0], query[1]], began: now, at };
                    let round = &mut Round {
                        poll: &self.poll,
                        timers: &mut self.timers,
                        cache: &self.shared.cache,
                        now,
                    };
                    connection.owed += 1;
                    self.forwarder.ask(round, &group, query, waiter);
                }
            }
            took = true;
        }
        connection.mark(took, now);
        if let Err(error) = connection.flush(now) {
            debug!(%error, "connection broke");
            broken = true;
        }
        let left = connection.inbound.has_next();
        if broken || connection.is_done() && !left {
            return self.hang_up(key);
        }
        let deadline = connection.deadline(now);
        if deadline < connection.timer {
            connection.timer = deadline;
            self.timers.set(deadline, Timer::Connection(key));
        }
        if left && connection.may_ask() {
            self.line_up(key);
        }
        self.listen(key);
    }

    /// Has epoll tell of what is waited for, and of nothing else.
    fn listen(&mut self, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let interest = (connection.is_listened_to(), connection.has_unsent());
        if interest == connection.interest {
            return;
        }
        connection.interest = interest;
        let token = Token::Connection(key);
        if let Err(error) = self.poll.change(&connection.stream, token, interest.0, interest.1) {
            debug!(%error, "connection not usable");
            self.hang_up(key);
        }
    }

    /// A connection's timer rang. It is closed if it did nothing, or looked at again when it must have.
    pub(super) fn overdue(&mut self, key: Key, at: Instant, now: Instant) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.timer != at {
            return;
        }
        let deadline = connection.deadline(now);
        if deadline <= now {
            return self.hang_up(key);
        }
        connection.timer = deadline;
        self.timers.set(deadline, Timer::Connection(key));
    }

    pub(super) fn hang_up(&mut self, key: Key) {
        let Some(connection) = self.connections.remove(key) else { return };
        if let Some(served) = self.served.get_mut(connection.ear) {
            served.connections.retain(|other| *other != key);
        }
    }
}
