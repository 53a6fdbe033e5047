//! The questions of a flight, each to one server: asked, heard, and believed or not.

use std::io;
use std::os::fd::OwnedFd;

use bowline_core::port::Protocol;
use tracing::debug;

use crate::answer;
use crate::asker::Elsewhere;
use crate::log::From;
use crate::message::Transport;
use crate::upstream::{Event, Match, matches, matches_by_tcp, spell};

use super::super::flight::{Coming, Heard, How, Question, Waiter};
use super::super::poll::{self, Token};
use super::super::slab::Key;
use super::dialler::{self, Dialler, Order};
use super::{Finished, Forwarder, Round};

/// What a reply is.
enum Judged {
    Answer {
        cut: bool,
    },
    /// It cannot, or does not want to.
    Refusal,
    /// No reply to what was asked.
    Stranger,
}

impl Forwarder {
    /// Something happened to the socket of a question.
    pub(in crate::serve) fn event(&mut self, round: &mut Round, key: Key, part: u8, event: poll::Event) {
        if key == dialler::BELL {
            return self.dialled(round);
        }
        let Some(flight) = self.flights.get_mut(key) else { return };
        let Some(Some(question)) = flight.questions.get_mut(usize::from(part)) else { return };
        // Connecting told the server nothing yet.
        if question.is_unsent() && !self.is_wanted(key) {
            return;
        }
        let Some(flight) = self.flights.get_mut(key) else { return };
        let Some(Some(question)) = flight.questions.get_mut(usize::from(part)) else { return };
        match question.event(event.writable, &mut self.buffer) {
            Ok(Heard::Nothing) => {}
            Ok(Heard::Reply(length)) => {
                flight.query[..2].copy_from_slice(&question.id);
                self.heard(round, key, part, length);
            }
            Ok(Heard::Written) => {
                let token = Token::Question(key, part);
                if let Err(error) = round.poll.change(&question.socket, token, true, false) {
                    self.failed(round, key, part, &error);
                }
            }
            Err(error) => self.failed(round, key, part, &error),
        }
    }

    /// Asks one server, at once or as soon as there is a socket. That it cannot be asked is a fault of ours, or of the way there:
    /// the race hears that this came to nothing.
    pub(super) fn question(&mut self, round: &mut Round, key: Key, server: usize, by: Transport) {
        let Some(flight) = self.flights.get_mut(key) else { return };
        let part = flight.questions.len() as u8;
        flight.questions.push(None);
        let coming = Coming { part, server, by };
        let Some(&to) = flight.group.addresses.get(server) else {
            return self.ask_at(round, key, coming, Err(io::ErrorKind::NotFound.into()));
        };
        let (place, protocol) = (flight.group.place, protocol(by));
        if !flight.group.is_own {
            let socket = self.dial.dial(place, protocol, to);
            return self.ask_at(round, key, coming, socket);
        }
        flight.coming.push(coming);
        if let Err(error) = self.order(round, Order { key, part, place, protocol, to }) {
            self.take_coming(key, part);
            self.ask_at(round, key, coming, Err(error));
        }
    }

    fn order(&mut self, round: &Round, order: Order) -> io::Result<()> {
        let dialler = match &self.dialler {
            Some(dialler) => dialler,
            None => {
                let dialler = Dialler::start(self.dial.clone())?;
                round.poll.read(&dialler, dialler::TOKEN)?;
                self.dialler.insert(dialler)
            }
        };
        dialler.order(order);
        Ok(())
    }

    /// Sockets were made elsewhere. Who may not ask any more by now does not.
    fn dialled(&mut self, round: &mut Round) {
        let Some(dialler) = &self.dialler else { return };
        for (Order { key, part, .. }, socket) in dialler.fetch() {
            let Some(coming) = self.take_coming(key, part) else { continue };
            if self.is_wanted(key) {
                self.ask_at(round, key, coming, socket);
                if self.flights.get(key).is_some_and(|flight| flight.questions[usize::from(part)].is_none()) {
                    self.go_on(round, key);
                }
            }
        }
    }

    fn take_coming(&mut self, key: Key, part: u8) -> Option<Coming> {
        let coming = &mut self.flights.get_mut(key)?.coming;
        let at = coming.iter().position(|coming| coming.part == part)?;
        Some(coming.swap_remove(at))
    }

    /// Asks at a socket, if it could be made.
    fn ask_at(&mut self, round: &mut Round, key: Key, coming: Coming, socket: io::Result<OwnedFd>) {
        let Some(flight) = self.flights.get_mut(key) else { return };
        let Coming { part, server, by } = coming;
        let id = self.ids.next().to_be_bytes();
        flight.query[..2].copy_from_slice(&id);
        let token = Token::Question(key, part);
        let asked = socket.and_then(|socket| match by {
            Transport::Udp => {
                let question = Question::by_udp(socket, server, id, &flight.query)?;
                round.poll.read(&question.socket, token).map(|()| question)
            }
            Transport::Tcp => {
                let question = Question::by_tcp(socket, server, id, &flight.query);
                round.poll.write(&question.socket, token).map(|()| question)
            }
        });
        match asked {
            Ok(question) => flight.questions[usize::from(part)] = Some(question),
            Err(error) => {
                debug!(?server, %error, "server not asked");
                flight.race.heard(&mut flight.group.servers(), server, Event::Failed, round.now);
            }
        }
    }

    /// A server said something; it lies in the buffer.
    fn heard(&mut self, round: &mut Round, key: Key, part: u8, length: usize) {
        let reply = &mut self.buffer[..length];
        let Some(flight) = self.flights.get_mut(key) else { return };
        let Some(question) = flight.questions.get_mut(usize::from(part)).and_then(Option::take) else {
            return;
        };
        let server = question.server;
        let from = From::Server(flight.group.addresses[server]);
        let over = question.over();
        let by_udp = over == Transport::Udp;
        let judged = judge(&flight.query, reply, over);
        let event = match judged {
            Judged::Answer { cut: true } if by_udp && flight.how == How::Whole => None,
            Judged::Answer { .. } => Some(Event::Answered),
            Judged::Refusal => Some(Event::Declined),
            Judged::Stranger if by_udp => None,
            Judged::Stranger => Some(Event::Failed),
        };
        let Some(event) = event else {
            // The other way is harder to forge, and has room for all of it.
            flight.race.again_by_tcp(server);
            if self.is_wanted(key) {
                self.question(round, key, server, Transport::Tcp);
                self.go_on(round, key);
            }
            return;
        };
        spell(&flight.query, reply);
        flight.race.heard(&mut flight.group.servers(), server, event, round.now);
        if flight.waiting.is_empty() {
            if flight.questions.iter().all(Option::is_none) {
                self.land(key);
            }
            return;
        }
        match event {
            Event::Answered => {
                round.cache.put(flight.group.source, &flight.query, reply, round.now);
                let reply = reply.to_vec();
                self.finish(round, key, reply, from);
            }
            Event::Declined => {
                flight.worst.get_or_insert_with(|| (reply.to_vec(), from));
                self.go_on(round, key);
            }
            Event::Unreachable | Event::Failed => self.go_on(round, key),
        }
    }

    fn failed(&mut self, round: &mut Round, key: Key, part: u8, error: &io::Error) {
        let Some(flight) = self.flights.get_mut(key) else { return };
        let Some(question) = flight.questions.get_mut(usize::from(part)).and_then(Option::take) else {
            return;
        };
        debug!(server = question.server, %error, "server not reached");
        let event = match question.over() {
            Transport::Udp if is_of_the_network(error) => Event::Unreachable,
            Transport::Udp | Transport::Tcp => Event::Failed,
        };
        flight.race.heard(&mut flight.group.servers(), question.server, event, round.now);
        if flight.waiting.is_empty() {
            if flight.questions.iter().all(Option::is_none) {
                self.land(key);
            }
        } else {
            self.go_on(round, key);
        }
    }

    /// Whether anybody may still ask elsewhere, as of now. Who may not any more is told so; if that is all, so it ends.
    pub(super) fn is_wanted(&mut self, key: Key) -> bool {
        let Some(flight) = self.flights.get_mut(key) else { return false };
        let may = |waiter: &mut Waiter| waiter.permit.client.asker.view().elsewhere != Elsewhere::Never;
        let told: Vec<Waiter> = flight.waiting.extract_if(.., |waiter| !may(waiter)).collect();
        if !told.is_empty() {
            let query = flight.query.clone();
            let mut reply = Vec::new();
            answer::failure(&query, &mut reply);
            self.finished.push(Finished { query, reply, from: From::Nobody, waiting: told });
        }
        let wanted = !flight.waiting.is_empty();
        if !wanted {
            self.land(key);
        }
        wanted
    }
}

fn protocol(by: Transport) -> Protocol {
    match by {
        Transport::Udp => Protocol::Udp,
        Transport::Tcp => Protocol::Tcp,
    }
}

fn judge(sent: &[u8], reply: &[u8], over: Transport) -> Judged {
    let matched = match over {
        Transport::Udp => matches(sent, reply),
        Transport::Tcp => matches_by_tcp(sent, reply),
    };
    match (matched, reply.get(2..4)) {
        (Match::Yes, Some(flags)) if matches!(flags[1] & 15, 1 | 2 | 4 | 5) => Judged::Refusal,
        (Match::Yes, Some(flags)) => Judged::Answer { cut: flags[0] & 2 != 0 },
        (Match::Yes | Match::No, _) => Judged::Stranger,
    }
}

/// What ICMP says of a server. Of all else that a socket may fail with, we may be the reason: a query too long for the way, a
/// limit of ours.
fn is_of_the_network(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable)
}
