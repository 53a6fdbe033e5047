//! One query on its way: who has been asked, who is asked next, and when it is over.

use std::time::{Duration, Instant};

use super::{Event, MOST_SERVERS, PATIENCE, Servers, Step};
use crate::message::Transport;

/// How long a query may take where no server that is waited for has shown life since it was sent, and where one has: that one may
/// be waiting for others itself.
const IN_SILENCE: Duration = Duration::from_millis(1_800);
const WITH_LIFE: Duration = Duration::from_secs(5);

/// How long a suspect is listened to when all is over. It may be slow, which is better than dead.
const LINGER: Duration = Duration::from_secs(1);

/// One query on its way. It knows servers by their index into the list that it was begun with.
#[derive(Debug, Clone)]
pub struct Race {
    began: Instant,
    /// By what servers are asked. Whether a server does well is told by UDP only: by TCP one client, with a name that its own
    /// server is slow about or with connections that fail, could have it doubted for all.
    over: Transport,
    servers: usize,
    state: [Asked; MOST_SERVERS],
    answered: bool,
    /// Somebody replied that it cannot: there is something to tell the asker.
    declined: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    NotYet,
    Since(Instant),
    /// The same, and what it does says nothing about its health.
    ByTcpSince(Instant),
    /// It replied, or cannot.
    Done,
}

impl Race {
    pub fn begin(servers: &Servers, over: Transport, now: Instant) -> Race {
        let count = servers.addresses.len();
        Race {
            began: now,
            over,
            servers: count,
            state: [Asked::NotYet; MOST_SERVERS],
            answered: false,
            declined: false,
        }
    }

    /// What to do now.
    pub fn step(&mut self, servers: &mut Servers, now: Instant) -> Step {
        if self.answered {
            return match self.lingers(servers, now) {
                Some(until) => Step::Wait(until),
                None => Step::GiveUp,
            };
        }
        let patience = self.patience(servers, now);
        let next = match patience {
            Some(_) => None,
            None => self.next(servers),
        };
        let end = self.end(servers);
        // Once somebody good is asked, a suspect may be asked as well to see whether it is back.
        if now < end
            && let Some(server) = next.or_else(|| self.due(servers, now))
        {
            self.state[server] = match self.over {
                Transport::Udp => {
                    servers.asked(server, now);
                    Asked::Since(now)
                }
                Transport::Tcp => Asked::ByTcpSince(now),
            };
            return Step::Ask(server);
        }
        let end = self.enough(servers).unwrap_or(end).min(end);
        if now >= end || self.waiting().next().is_none() {
            self.time_out(servers, now);
            return Step::GiveUp;
        }
        let more = self.not_yet(servers).next().is_some();
        Step::Wait(patience.filter(|_| more).unwrap_or(end).min(end))
    }

    /// Tells what a server did, so that this race and all later ones know.
    pub fn heard(&mut self, servers: &mut Servers, server: usize, event: Event, now: Instant) {
        let by_udp = match self.state.get(server) {
            Some(Asked::Since(asked)) => Some(*asked),
            Some(Asked::ByTcpSince(_)) => None,
            Some(Asked::NotYet | Asked::Done) | None => return,
        };
        self.state[server] = Asked::Done;
        // That it cannot say is about the name, or about us: it is as good as it was, and as fast.
        if let (Some(asked), Event::Answered | Event::Declined) = (by_udp, event) {
            servers.heard(server, now.saturating_duration_since(asked), now);
        }
        match event {
            Event::Answered => {
                self.answered = true;
                let late = |(_, since): &(usize, Instant)| now.saturating_duration_since(*since) >= PATIENCE;
                self.silent_by_udp().filter(late).for_each(|(silent, _)| servers.suspect(silent, now));
            }
            Event::Declined => self.declined = true,
            Event::Unreachable if by_udp.is_some() => servers.suspect(server, now),
            Event::Unreachable | Event::Failed => {}
        }
    }

    /// A server that was asked by UDP is asked the same by TCP instead.
    pub fn again_by_tcp(&mut self, server: usize) {
        if let Some(state) = self.state.get_mut(server)
            && let Asked::Since(asked) = *state
        {
            *state = Asked::ByTcpSince(asked);
        }
    }

    /// When all is over: until when its other sockets are worth keeping, so that a suspect that was asked beside others is heard
    /// when it replies. None where nobody is waited for. Without it, a suspect is heard of only if it is first.
    pub fn lingers(&self, servers: &Servers, now: Instant) -> Option<Instant> {
        let until = self.silent_by_udp().filter(|(server, _)| servers.is_suspect(*server));
        until.map(|(_, since)| since + LINGER).max().filter(|until| now < *until)
    }

    /// When it is given up, whatever came.
    fn end(&self, servers: &Servers) -> Instant {
        let lives = self.waiting().any(|(server, _)| servers.lived_since(server, self.began));
        self.began + if lives { WITH_LIFE } else { IN_SILENCE }
    }

    /// When it is given up because somebody declined: servers that seem dead are no reason to wait for more.
    fn enough(&self, servers: &Servers) -> Option<Instant> {
        let all_dead = self.waiting().all(|(server, _)| servers.seems_dead(server));
        self.waiting().map(|(_, since)| since + PATIENCE).max().filter(|_| self.declined && all_dead)
    }

    /// Those that have been asked and are silent, and since when.
    fn waiting(&self) -> impl Iterator<Item = (usize, Instant)> {
        self.state.into_iter().enumerate().filter_map(|(server, state)| match state {
            Asked::Since(since) | Asked::ByTcpSince(since) => Some((server, since)),
            Asked::NotYet | Asked::Done => None,
        })
    }

    /// Those of them whose silence, or whose reply, is about them.
    fn silent_by_udp(&self) -> impl Iterator<Item = (usize, Instant)> {
        self.waiting().filter(|(server, _)| matches!(self.state[*server], Asked::Since(_)))
    }

    /// Those that have not been asked. Where nobody good is left among them, all are asked at once.
    fn not_yet(&self, servers: &Servers) -> impl Iterator<Item = usize> {
        let count = self.servers.min(servers.addresses.len());
        (0..count).filter(|server| self.state[*server] == Asked::NotYet)
    }

    /// Until when a good server that was asked may be silent. None has it who became a suspect meanwhile.
    fn patience(&self, servers: &Servers, now: Instant) -> Option<Instant> {
        let good = self.waiting().filter(|(server, _)| !servers.is_suspect(*server));
        good.map(|(_, since)| since + PATIENCE).max().filter(|until| now < *until)
    }

    /// The first that is good; else any that may know more than those who declined.
    fn next(&self, servers: &Servers) -> Option<usize> {
        let good = self.not_yet(servers).find(|server| !servers.is_suspect(*server));
        good.or_else(|| self.not_yet(servers).find(|server| !self.declined || !servers.seems_dead(*server)))
    }

    fn due(&self, servers: &Servers, now: Instant) -> Option<usize> {
        if self.over == Transport::Tcp {
            return None;
        }
        self.not_yet(servers).find(|server| servers.probe_is_due(*server, now))
    }

    /// Whoever was silent to the end, and to everybody else meanwhile. One that spoke to others does not know the name.
    fn time_out(&self, servers: &mut Servers, now: Instant) {
        for (server, since) in self.silent_by_udp() {
            if !servers.lived_since(server, since) {
                servers.suspect(server, now);
            }
        }
    }
}
