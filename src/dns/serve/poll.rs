//! What a worker waits for: its epoll, and what each event is about.

use std::io;
use std::os::fd::AsFd;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::slab::{GENERATION, Key};

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// Somebody wants something of the worker.
    Mail,
    Datagrams(Key),
    Listener(Key),
    Connection(Key),
    /// One question of a flight.
    Question(Key, u8),
}

impl Token {
    /// Kind, part, generation and index: 4, 8, 20 and 32 bits.
    fn packed(self) -> u64 {
        let pack = |kind: u64, part: u8, key: Key| {
            kind << 60 | u64::from(part) << 52 | u64::from(key.generation) << 32 | u64::from(key.index)
        };
        match self {
            Token::Mail => 0,
            Token::Datagrams(key) => pack(1, 0, key),
            Token::Listener(key) => pack(2, 0, key),
            Token::Connection(key) => pack(3, 0, key),
            Token::Question(key, part) => pack(4, part, key),
        }
    }

    fn unpacked(word: u64) -> Token {
        let key = Key { index: word as u32, generation: (word >> 32) as u32 & GENERATION };
        match word >> 60 {
            1 => Token::Datagrams(key),
            2 => Token::Listener(key),
            3 => Token::Connection(key),
            4 => Token::Question(key, (word >> 52) as u8),
            _ => Token::Mail,
        }
    }
}

/// What happened to a socket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    pub(super) token: Token,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// Both directions are over, or there is an error to be fetched.
    pub(super) over: bool,
    /// The former, for certain: it is told whatever is waited for, and for ever.
    pub(super) ended: bool,
}

#[derive(Debug)]
pub(super) struct Poll {
    epoll: Epoll,
}

/// How many events are taken at once. The rest are first in the next turn, so nobody is passed over.
pub(super) const EVENTS: usize = 64;

impl Poll {
    pub(super) fn new() -> io::Result<Poll> {
        Ok(Poll { epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)? })
    }

    /// Readable is told for as long as it is so.
    pub(super) fn read(&self, socket: impl AsFd, token: Token) -> io::Result<()> {
        self.add(socket, EpollFlags::EPOLLIN, token)
    }

    /// The same for a socket that all workers wait for: only those that are idle are woken, and not all of them.
    pub(super) fn share(&self, socket: impl AsFd, token: Token) -> io::Result<()> {
        self.add(socket, EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE, token)
    }

    /// For a socket that is connecting.
    pub(super) fn write(&self, socket: impl AsFd, token: Token) -> io::Result<()> {
        self.add(socket, EpollFlags::EPOLLOUT, token)
    }

    fn add(&self, socket: impl AsFd, flags: EpollFlags, token: Token) -> io::Result<()> {
        Ok(self.epoll.add(socket, EpollEvent::new(flags, token.packed()))?)
    }

    pub(super) fn change(&self, socket: impl AsFd, token: Token, read: bool, write: bool) -> io::Result<()> {
        let mut flags = EpollFlags::empty();
        flags.set(EpollFlags::EPOLLIN, read);
        flags.set(EpollFlags::EPOLLOUT, write);
        Ok(self.epoll.modify(socket, &mut EpollEvent::new(flags, token.packed()))?)
    }

    /// Must come before the close of a socket that somebody else may hold too (a fd store, the other workers): the kernel
    /// forgets a socket by itself only when its last holder lets go.
    pub(super) fn forget(&self, socket: impl AsFd) -> io::Result<()> {
        Ok(self.epoll.delete(socket)?)
    }

    /// Waits for events until then; what was there before is written over.
    pub(super) fn wait(
        &self,
        until: Option<Instant>,
        now: Instant,
        raw: &mut [EpollEvent; EVENTS],
        events: &mut Vec<Event>,
    ) -> io::Result<()> {
        let timeout = match until {
            None => EpollTimeout::NONE,
            // Rounded up: a turn for nothing is worse than a millisecond late.
            Some(at) => {
                let millis = at.saturating_duration_since(now).as_micros().div_ceil(1000).min(60_000);
                EpollTimeout::from(u16::try_from(millis).unwrap_or(u16::MAX))
            }
        };
        events.clear();
        let count = match self.epoll.wait(raw, timeout) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        events.extend(raw[..count].iter().map(|event| Event {
            token: Token::unpacked(event.data()),
            readable: event.events().contains(EpollFlags::EPOLLIN),
            writable: event.events().contains(EpollFlags::EPOLLOUT),
            over: event.events().intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP),
            ended: event.events().contains(EpollFlags::EPOLLHUP),
        }));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_way_through_the_kernel() {
        let key = Key { index: u32::MAX, generation: GENERATION };
        for token in [
            Token::Mail,
            Token::Datagrams(key),
            Token::Listener(key),
            Token::Connection(Key { index: 7, generation: 0 }),
            Token::Question(key, 255),
            Token::Question(Key { index: 0, generation: 1 }, 0),
        ] {
            assert_eq!(Token::unpacked(token.packed()), token);
        }
    }
}
