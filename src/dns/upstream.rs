//! Which server is asked, and for how long it is waited for. A server that is dead costs little once, and then next to nothing.
//!
//! ```text
//!          silent by UDP while another answered; or to the end; unreachable
//!   good ------------------------------------------------------------------> suspect, asked after all others, and beside
//!     ^                                                                         |     them now and then (1 s, 2 s .. 30 s)
//!     +-------------------------------------------------------------------------+
//!                     it replied to anything as fast as one waits for it
//! ```
//! No clock is read here: who calls says what time it is.

mod matches;
mod race;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub use matches::{Match, matches, matches_by_tcp, spell};
pub use race::Race;

/// More servers than these are not asked.
pub const MOST_SERVERS: usize = 8;

/// How long a server may be silent before the next is asked too. An answer that takes longer heals nobody, or a slow server
/// that is first on the list would cost this much again each time that it is late.
pub const PATIENCE: Duration = Duration::from_millis(200);

/// The first time between two questions that a suspect is asked beside others, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// One list of servers, and how each has been doing. Shared by the queries that ask them; behind a lock of the caller's.
#[derive(Debug, Clone)]
pub struct Servers {
    addresses: Vec<SocketAddr>,
    /// One for each address.
    health: Vec<Health>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Health {
    suspect: Option<Suspicion>,
    /// When it was last heard of.
    life: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Suspicion {
    since: Instant,
    /// When it is asked beside others again.
    probe: Instant,
    pause: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Ask this server too (by index into the list), now; then call again.
    Ask(usize),
    /// Nothing to do until then, or until something arrives.
    Wait(Instant),
    /// Nobody answers: SERVFAIL, or the worst reply that came. After an answer: nobody is listened to any longer.
    GiveUp,
}

/// What became of a question to one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It answered with something to pass on.
    Answered,
    /// It answered that it cannot (SERVFAIL, REFUSED, FORMERR, NOTIMP): another may.
    Declined,
    /// The network says that it cannot be reached: ICMP.
    Unreachable,
    /// The question came to nothing by a fault that need not be the server's: no file or no way of ours, or a connection.
    Failed,
}

impl Servers {
    /// In this order among equals. One that is named twice is asked once, and those after the eighth are left out.
    pub fn new(servers: Vec<SocketAddr>) -> Servers {
        let mut addresses = Vec::with_capacity(servers.len().min(MOST_SERVERS));
        for server in servers {
            if addresses.len() < MOST_SERVERS && !addresses.contains(&server) {
                addresses.push(server);
            }
        }
        Servers { health: vec![Health::default(); addresses.len()], addresses }
    }

    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Another list in place of this one. What is known of a server that is on both stays known.
    pub fn replaced_by(&self, new: Vec<SocketAddr>) -> Servers {
        let mut servers = Servers::new(new);
        for (address, health) in servers.addresses.iter().zip(&mut servers.health) {
            if let Some(old) = self.addresses.iter().position(|known| known == address) {
                *health = self.health[old];
            }
        }
        servers
    }

    /// Whether others are asked before it.
    pub fn is_suspect(&self, server: usize) -> bool {
        self.health.get(server).is_some_and(|health| health.suspect.is_some())
    }

    /// Whether nothing at all was heard of a suspect since it became one. Another is only slow.
    fn seems_dead(&self, server: usize) -> bool {
        let suspicion = self.health.get(server).and_then(|health| health.suspect);
        suspicion.is_some_and(|known| !self.lived_since(server, known.since))
    }

    fn suspect(&mut self, server: usize, now: Instant) {
        if let Some(health) = self.health.get_mut(server) {
            health.suspect.get_or_insert(Suspicion {
                since: now,
                probe: now + FIRST_PAUSE,
                pause: FIRST_PAUSE,
            });
        }
    }

    /// Whether a suspect's time has come to be asked beside others.
    fn probe_is_due(&self, server: usize, now: Instant) -> bool {
        self.health.get(server).and_then(|health| health.suspect).is_some_and(|known| now >= known.probe)
    }

    /// It is being asked. A suspect is then left alone for twice as long as before, unless it replies.
    fn asked(&mut self, server: usize, now: Instant) {
        let suspicion = self.health.get_mut(server).and_then(|health| health.suspect.as_mut());
        if let Some(suspicion) = suspicion.filter(|known| now >= known.probe) {
            suspicion.pause = (suspicion.pause * 2).min(LONGEST_PAUSE);
            suspicion.probe = now + suspicion.pause;
        }
    }

    fn heard(&mut self, server: usize, took: Duration, now: Instant) {
        if let Some(health) = self.health.get_mut(server) {
            health.life = health.life.max(Some(now));
            if took <= PATIENCE {
                health.suspect = None;
            }
        }
    }

    /// Whether it has said anything at all since then.
    fn lived_since(&self, server: usize, then: Instant) -> bool {
        self.health.get(server).is_some_and(|health| health.life >= Some(then))
    }
}

#[cfg(test)]
mod tests;
