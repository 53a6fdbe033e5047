//! One client's TCP connection: what came in and was not answered, what was answered and not sent, and for how long.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::slab::Key;
use super::stream::{self, Stream};

/// Of one namespace.
pub(super) const CONNECTIONS: usize = 64;
/// Of all together, in equal parts for the threads: with two of them, each has 512 of those namespaces whose connections it
/// keeps, whatever the other has.
pub(super) const CONNECTIONS_OF_ALL: usize = 1024;
/// Who has so many answers to come or to take is not listened to until some are gone.
const UNSENT: usize = 64;
/// The same for bytes; who lets a multiple of this lie there is let go.
const UNSENT_BYTES: usize = 64 * 1024;
const IDLE: Duration = Duration::from_secs(10);
/// For the rest of a message that has begun.
const REST: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) ear: Key,
    pub(super) stream: TcpStream,
    pub(super) inbound: Stream,
    outbound: Vec<u8>,
    written: usize,
    /// Answers that servers owe to us.
    pub(super) owed: usize,
    /// Answers that lie in `outbound`.
    queued: usize,
    /// When it last did something.
    pub(super) last: Instant,
    /// When the message began the rest of which is to come.
    begun: Option<Instant>,
    /// Its client says nothing more.
    pub(super) ended: bool,
    /// It waits for a turn.
    pub(super) is_in_line: bool,
    /// What epoll tells of it.
    pub(super) interest: (bool, bool),
    /// When it is looked at next.
    pub(super) timer: Instant,
}

impl Connection {
    pub(super) fn new(ear: Key, stream: TcpStream, now: Instant) -> Connection {
        Connection {
            ear,
            stream,
            inbound: Stream::default(),
            outbound: Vec::new(),
            written: 0,
            owed: 0,
            queued: 0,
            last: now,
            begun: None,
            ended: false,
            is_in_line: false,
            interest: (true, false),
            timer: now + IDLE,
        }
    }

    /// Takes in what came, as far as the buffer goes.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        match self.stream.read(buffer) {
            Ok(0) => self.ended = true,
            Ok(count) => self.inbound.push(&buffer[..count]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Whether it may have one more query answered.
    pub(super) fn may_ask(&self) -> bool {
        self.owed + self.queued < UNSENT && self.outbound.len() < UNSENT_BYTES
    }

    /// What came in whole is answered before more is taken in: the rest waits with the kernel, and so does its client.
    pub(super) fn is_listened_to(&self) -> bool {
        !self.ended && self.may_ask() && !self.inbound.has_next()
    }

    /// Puts an answer behind those that wait. False where its client has let too much lie there.
    pub(super) fn answer(&mut self, reply: &[u8]) -> bool {
        self.queued += 1;
        stream::frame(reply, &mut self.outbound) && self.outbound.len() - self.written <= 4 * UNSENT_BYTES
    }

    /// Sends what it takes.
    pub(super) fn flush(&mut self, now: Instant) -> io::Result<()> {
        while self.written < self.outbound.len() {
            match self.stream.write(&self.outbound[self.written..]) {
                Ok(count) => {
                    self.written += count;
                    self.last = now;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.outbound.drain(..std::mem::take(&mut self.written));
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.outbound.clear();
        // What a burst took is given back.
        self.outbound.shrink_to(4096);
        (self.written, self.queued) = (0, 0);
        Ok(())
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.written < self.outbound.len()
    }

    /// Whether nothing is left to do for a client that says nothing more.
    pub(super) fn is_done(&self) -> bool {
        self.ended && self.owed == 0 && !self.has_unsent()
    }

    /// After whole messages were taken: whether one has begun since.
    pub(super) fn mark(&mut self, took: bool, now: Instant) {
        if took {
            self.last = now;
            self.begun = None;
        }
        if self.inbound.begun() {
            self.begun.get_or_insert(now);
        } else {
            self.begun = None;
        }
    }

    /// When it is closed, if it does nothing until then.
    pub(super) fn deadline(&self, now: Instant) -> Instant {
        let rest = self.begun.filter(|_| self.is_listened_to()).map(|begun| begun + REST);
        // Who waits for servers is not idle: they have their own time.
        let idle = if self.owed > 0 { now + IDLE } else { self.last + IDLE };
        rest.map_or(idle, |rest| rest.min(idle))
    }
}
