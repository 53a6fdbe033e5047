//! Where is answered: the sockets of each namespace, from the day they are opened to the day they are closed, or break.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bowline_core::place::Place;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracing::{debug, error, warn};

use crate::message::Transport;

use super::super::client::{Ear, Hearing, Served};
use super::super::poll::{Poll, Token};
use super::super::slab::Key;
use super::super::timers::Timer;
use super::Worker;

/// How long a socket is left alone that the kernel has nothing for: it may have by then, and to look costs nothing.
const PAUSE: Duration = Duration::from_millis(100);

impl Worker<'_> {
    /// Answers at these sockets. Those that it had of that place it lets go of; what is on its way there stays so.
    pub(super) fn open(&mut self, ear: &Arc<Ear>) -> io::Result<()> {
        let place = ear.client.asker.place;
        let known = self.places.get(&place).copied().and_then(|key| Some((key, self.served.get_mut(key)?)));
        let key = match known {
            Some((key, served)) => {
                leave(&self.poll, served);
                let connections = std::mem::take(&mut served.connections);
                *served = Served::new(ear.clone());
                served.connections = connections;
                key
            }
            None => {
                let key = self.served.insert(Served::new(ear.clone()));
                self.places.insert(place, key);
                key
            }
        };
        self.hear(key, Transport::Udp)?;
        // One worker has all connections of a place: so it knows which is the idlest, and no lock is needed to count them.
        if self.shared.keeps_streams(self.number, place) {
            self.hear(key, Transport::Tcp)?;
        }
        Ok(())
    }

    pub(super) fn close(&mut self, place: Place) {
        let Some(key) = self.places.remove(&place) else { return };
        if let Some(served) = self.served.remove(key) {
            leave(&self.poll, &served);
            for connection in served.connections {
                self.connections.remove(connection);
            }
        }
        self.forwarder.forget(place);
    }

    /// An event says that a socket came to its end. It may speak of the one before, whose place another took since.
    pub(super) fn ended(&mut self, key: Key, over: Transport) {
        let Some(served) = self.served.get(key) else { return };
        let socket = match over {
            Transport::Udp => served.ear.udp.as_fd(),
            Transport::Tcp => served.ear.tcp.as_fd(),
        };
        if has_ended(socket) {
            let error = match over {
                Transport::Udp => served.ear.udp.take_error(),
                Transport::Tcp => served.ear.tcp.take_error(),
            };
            let error = error.ok().flatten();
            self.give_up(key, over, &error.unwrap_or_else(|| io::ErrorKind::NotConnected.into()));
        }
    }

    /// A socket that is good for nothing any more, as `ss -K` leaves one: whoever has the right to do that in a namespace would
    /// have it ring here for ever. Those who look after the namespace are told, to make another.
    pub(super) fn give_up(&mut self, key: Key, over: Transport, error: &io::Error) {
        let shared = self.shared;
        let Some(served) = self.still(key, over, Hearing::Off) else { return };
        let place = served.ear.client.asker.place;
        warn!(%place, ?over, %error, "socket broke, nothing is answered there");
        served.ear.set_broken();
        if let Some(tell) = shared.broken.get()
            && tell.send(place).is_err()
        {
            debug!(%place, "nobody wants to know any more");
        }
    }

    /// Leaves a socket alone for a moment.
    pub(super) fn pause(&mut self, key: Key, over: Transport, now: Instant) {
        if self.still(key, over, Hearing::Paused(now + PAUSE)).is_some() {
            self.timers.set(now + PAUSE, Timer::Ear(key));
        }
    }

    /// Waits again for those sockets whose pause is over.
    pub(super) fn resume(&mut self, key: Key, now: Instant) {
        for over in [Transport::Udp, Transport::Tcp] {
            let Some(served) = self.served.get_mut(key) else { return };
            if !matches!(served.hearing(over), Hearing::Paused(until) if *until <= now) {
                continue;
            }
            if let Err(error) = self.hear(key, over) {
                let place = self.served.get(key).map(|served| served.ear.client.asker.place);
                debug!(?place, ?over, %error, "socket is not waited for, and tried again");
                self.timers.set(now + PAUSE, Timer::Ear(key));
            }
        }
    }

    fn hear(&mut self, key: Key, over: Transport) -> io::Result<()> {
        let Some(served) = self.served.get_mut(key) else { return Ok(()) };
        match over {
            Transport::Udp => self.poll.share(&served.ear.udp, Token::Datagrams(key))?,
            Transport::Tcp => self.poll.read(&served.ear.tcp, Token::Listener(key))?,
        }
        *served.hearing(over) = Hearing::On;
        Ok(())
    }

    /// No longer waits for a socket. None where it did not.
    fn still(&mut self, key: Key, over: Transport, hearing: Hearing) -> Option<&Served> {
        let served = self.served.get_mut(key)?;
        if *served.hearing(over) != Hearing::On {
            return None;
        }
        forget(&self.poll, &served.ear, over);
        *served.hearing(over) = hearing;
        Some(served)
    }
}

impl Served {
    fn hearing(&mut self, over: Transport) -> &mut Hearing {
        match over {
            Transport::Udp => &mut self.datagrams,
            Transport::Tcp => &mut self.streams,
        }
    }
}

fn has_ended(socket: BorrowedFd) -> bool {
    let mut asked = [PollFd::new(socket, PollFlags::empty())];
    poll(&mut asked, PollTimeout::ZERO).is_ok()
        && asked[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP))
}

/// Stops waiting for an ear's sockets. Other holders may keep them open, so the kernel would not do it by itself.
fn leave(poll: &Poll, served: &Served) {
    for (over, hearing) in [(Transport::Udp, served.datagrams), (Transport::Tcp, served.streams)] {
        if hearing == Hearing::On {
            forget(poll, &served.ear, over);
        }
    }
}

fn forget(poll: &Poll, ear: &Ear, over: Transport) {
    let result = match over {
        Transport::Udp => poll.forget(&ear.udp),
        Transport::Tcp => poll.forget(&ear.tcp),
    };
    if let Err(error) = result {
        error!(place = %ear.client.asker.place, ?over, %error, "socket was not waited for");
    }
}
