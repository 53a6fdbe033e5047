//! What a client does next (RFC 2131 section 4.4). It is told the time and given dice; it says what to send, and what it has.
//!
//! ```text
//!         begin            offer              ack               quiet
//! Idle ---------> Selecting -----> Requesting -----> Checking --------> Bound <----------.
//!                  ^  ^  ^           | no, or silence   | somebody has it | T1           |
//!                  |  |  '-----------'                  |                 v              | ack
//!                  |  '---------------------------------'              Renewing ---------|
//!                  |                                                      | T2           |
//!                  |                 no, or the lease ends                v              |
//!                  |--------------------------------------------------Rebinding ---------|
//!                  |                          no                                         |
//!                  '--------------------------------------------------Rebooting ---------'
//!                                                          its card was made anew
//! ```

use std::net::Ipv4Addr;
use std::time::Duration;

use bowline_core::lease::Lease;
use bowline_core::mac::Mac;

use crate::message::{Kind, Message, option};
use crate::{Identity, claims, offer};

/// One conversation after another, for one card.
#[derive(Debug, Clone)]
pub struct Client {
    who: Identity,
    phase: Phase,
    xid: u32,
    /// Of the same message.
    tries: u32,
    /// When the question now under way was asked first, and last.
    began: Duration,
    sent: Duration,
    next: Duration,
    /// The address that it had, and asks for again.
    wish: Option<Ipv4Addr>,
    declined: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// It was not told to begin.
    Idle,
    Selecting,
    /// An offer was taken up.
    Requesting(Lease),
    /// The address is given, and neighbours are asked whether they have it.
    Checking(Lease),
    Bound(Lease),
    Renewing(Lease),
    Rebinding(Lease),
    Rebooting(Lease),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    Send(Vec<u8>, Heading),
    /// By ARP: who has it?
    Question(Ipv4Addr),
    /// By ARP: we do.
    Statement(Ipv4Addr),
    /// From now on it has this, new or as before.
    Bound(Lease),
    /// From now on it has nothing, and looks for something else.
    Lost(Lost),
}

/// Whom a message goes to, and as whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heading {
    /// By a client that has no address yet, or cannot rely on it.
    ToAll,
    /// By one that has.
    ToAllFrom(Ipv4Addr),
    ToServer {
        from: Ipv4Addr,
        server: Ipv4Addr,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// Nobody answered in time.
    Expired,
    /// A server said no.
    Refused,
}

/// Between the first question and the second. Each next one is twice as long, and all are a little more or less.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(64);
/// An offer that is not answered is an offer no more.
const MOST_REQUESTS: u32 = 4;
/// Then the lease is used as long as it says, unheard (RFC 2131 section 3.2).
const MOST_REBOOTS: u32 = 3;
/// Between questions about a lease that goes on.
const SHORTEST_RENEWAL: Duration = Duration::from_secs(60);
/// How long neighbours have to say that the address is theirs. RFC 5227 wants seconds, which an attach does not have; who
/// is awake on a LAN answers in a millisecond.
const QUIET: Duration = Duration::from_millis(150);
/// After a server gave what somebody has (RFC 2131 section 3.1 no. 5), the first time and later.
const DECLINED_ONCE: Duration = Duration::from_millis(500);
const DECLINED_OFTEN: Duration = Duration::from_secs(10);
/// What we take, so that answers come in one part.
const LARGEST: u16 = 1472;

const WANTED: [u8; 10] = [
    option::MASK,
    // Before the router, as RFC 3442 says.
    option::ROUTES,
    option::ROUTER,
    option::DNS,
    option::DOMAIN,
    option::SEARCH,
    option::MTU,
    option::LEASE_TIME,
    option::T1,
    option::T2,
];

impl Client {
    pub fn new(who: Identity) -> Client {
        Client {
            who,
            phase: Phase::Idle,
            xid: 0,
            tries: 0,
            began: Duration::ZERO,
            sent: Duration::ZERO,
            next: Duration::MAX,
            wish: None,
            declined: 0,
        }
    }

    /// Begins to look for an address at the next [`Client::tick`], the one it had if it can have that.
    pub fn begin(&mut self, wish: Option<Ipv4Addr>, now: Duration, dice: u32) {
        self.wish = wish;
        self.select(now, now, dice);
    }

    /// Goes on with a lease that was had before, in whatever part of its time that is by now.
    pub fn resume(&mut self, lease: Lease) {
        self.next = lease.renew;
        self.phase = Phase::Bound(lease);
    }

    /// Asks whether a lease still holds, since its card is another, or was away.
    pub fn reboot(&mut self, lease: Lease, now: Duration, dice: u32) {
        self.exchange(now, now, dice);
        self.phase = Phase::Rebooting(lease);
    }

    pub fn who(&self) -> &Identity {
        &self.who
    }

    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// When it is to be called again, whatever is heard until then.
    pub fn due(&self) -> Duration {
        self.next
    }

    /// What is to be done by now.
    pub fn tick(&mut self, now: Duration, dice: u32) -> Vec<Act> {
        if now < self.next {
            return Vec::new();
        }
        match self.phase.clone() {
            Phase::Idle => Vec::new(),
            Phase::Selecting => self.send(now, dice, &self.discover(now), Heading::ToAll),
            Phase::Requesting(_) if self.tries >= MOST_REQUESTS => {
                self.select(now, now, dice);
                self.tick(now, dice)
            }
            Phase::Requesting(offer) => self.request(&offer, now, dice),
            Phase::Checking(lease) => self.bind(lease),
            Phase::Rebooting(lease) if self.tries >= MOST_REBOOTS => {
                self.resume(lease);
                self.tick(now, dice)
            }
            Phase::Rebooting(lease) => {
                let mut message = self.message(Kind::Request, now);
                put_address(&mut message, option::REQUESTED_ADDRESS, lease.address.ip());
                self.send(now, dice, &message, Heading::ToAll)
            }
            Phase::Bound(lease) => {
                self.exchange(now, now, dice);
                self.prolong(lease, now, dice)
            }
            Phase::Renewing(lease) | Phase::Rebinding(lease) => self.prolong(lease, now, dice),
        }
    }

    /// A message that came in by this neighbour. What is no answer to ours changes nothing.
    pub fn hear(&mut self, message: &Message, hop: Option<Mac>, now: Duration, dice: u32) -> Vec<Act> {
        if !message.is_reply || message.xid != self.xid || message.chaddr != self.who.mac {
            return Vec::new();
        }
        // Another has the same MAC and asks at the same time: only its number tells (RFC 6842).
        if message.options.get(&option::CLIENT).is_some_and(|id| *id != self.who.client_id) {
            return Vec::new();
        }
        let given = |at| offer::lease(message, at).map(|lease| Lease { hop, ..lease });
        match (self.phase.clone(), message.kind()) {
            (Phase::Selecting, Some(Kind::Offer)) if self.tries > 0 => match given(now) {
                Some(offer) => {
                    self.tries = 0;
                    self.request(&offer, now, dice)
                }
                None => Vec::new(),
            },
            (Phase::Requesting(offer), Some(Kind::Ack)) => match given(self.sent) {
                Some(lease) if (lease.server, lease.address.ip()) == (offer.server, offer.address.ip()) => {
                    let address = lease.address.ip();
                    self.phase = Phase::Checking(lease);
                    self.next = now.saturating_add(QUIET);
                    vec![Act::Question(address)]
                }
                Some(_) | None => Vec::new(),
            },
            (Phase::Requesting(offer), Some(Kind::Nak)) if is_from(message, offer.server) => {
                self.wish = None;
                self.select(now, now.saturating_add(FIRST_WAIT), dice);
                Vec::new()
            }
            (Phase::Renewing(_) | Phase::Rebinding(_) | Phase::Rebooting(_), Some(Kind::Ack))
                if self.tries > 0 =>
            {
                given(self.sent).map_or_else(Vec::new, |lease| self.bind(lease))
            }
            (Phase::Renewing(lease), Some(Kind::Nak)) if is_from(message, lease.server) => {
                self.lose(Lost::Refused, now, dice)
            }
            (Phase::Rebinding(_) | Phase::Rebooting(_), Some(Kind::Nak))
                if message.address(option::SERVER).is_some() =>
            {
                self.lose(Lost::Refused, now, dice)
            }
            (
                Phase::Idle
                | Phase::Selecting
                | Phase::Requesting(_)
                | Phase::Checking(_)
                | Phase::Bound(_)
                | Phase::Renewing(_)
                | Phase::Rebinding(_)
                | Phase::Rebooting(_),
                _,
            ) => Vec::new(),
        }
    }

    /// An ARP packet that came in.
    pub fn hear_arp(&mut self, packet: &[u8], now: Duration, dice: u32) -> Vec<Act> {
        let Phase::Checking(lease) = self.phase.clone() else { return Vec::new() };
        let address = lease.address.ip();
        if !claims(packet, address, self.who.mac) {
            return Vec::new();
        }
        let mut message = self.message(Kind::Decline, now);
        put_address(&mut message, option::REQUESTED_ADDRESS, address);
        put_address(&mut message, option::SERVER, lease.server);
        let wait = if self.declined == 0 { DECLINED_ONCE } else { DECLINED_OFTEN };
        self.declined += 1;
        self.wish = None;
        self.select(now, now.saturating_add(wait), dice);
        vec![Act::Send(message.to_bytes(), Heading::ToAll)]
    }

    /// Gives a lease up. Servers do not answer to this.
    pub fn release(who: &Identity, lease: &Lease, dice: u32) -> (Vec<u8>, Heading) {
        let (from, server) = (lease.address.ip(), lease.server);
        let mut message = Message::new(Kind::Release, dice, who.mac);
        message.ciaddr = from;
        message.options.insert(option::CLIENT, who.client_id.clone());
        put_address(&mut message, option::SERVER, server);
        (message.to_bytes(), Heading::ToServer { from, server })
    }

    fn select(&mut self, now: Duration, next: Duration, dice: u32) {
        self.exchange(now, next, dice);
        self.phase = Phase::Selecting;
    }

    /// A question of its own, with its own number.
    fn exchange(&mut self, now: Duration, next: Duration, dice: u32) {
        (self.xid, self.tries, self.began, self.next) = (dice, 0, now, next);
    }

    fn lose(&mut self, why: Lost, now: Duration, dice: u32) -> Vec<Act> {
        // Who was told no is not given it again.
        self.wish = match (why, &self.phase) {
            (
                Lost::Expired,
                Phase::Bound(lease)
                | Phase::Renewing(lease)
                | Phase::Rebinding(lease)
                | Phase::Rebooting(lease),
            ) => Some(lease.address.ip()),
            (Lost::Expired, Phase::Idle | Phase::Selecting | Phase::Requesting(_) | Phase::Checking(_))
            | (Lost::Refused, _) => None,
        };
        self.select(now, now, dice);
        vec![Act::Lost(why)]
    }

    fn bind(&mut self, lease: Lease) -> Vec<Act> {
        let says_so = matches!(self.phase, Phase::Checking(_) | Phase::Rebooting(_));
        self.declined = 0;
        self.resume(lease.clone());
        let address = lease.address.ip();
        let mut acts = vec![Act::Bound(lease)];
        if says_so {
            acts.push(Act::Statement(address));
        }
        acts
    }

    fn request(&mut self, offer: &Lease, now: Duration, dice: u32) -> Vec<Act> {
        let mut message = self.message(Kind::Request, now);
        put_address(&mut message, option::REQUESTED_ADDRESS, offer.address.ip());
        put_address(&mut message, option::SERVER, offer.server);
        self.phase = Phase::Requesting(offer.clone());
        self.send(now, dice, &message, Heading::ToAll)
    }

    /// From T1 on the server is asked, from T2 on any, and at the end it is over.
    fn prolong(&mut self, lease: Lease, now: Duration, dice: u32) -> Vec<Act> {
        let from = lease.address.ip();
        if now >= lease.expires {
            self.phase = Phase::Rebinding(lease);
            return self.lose(Lost::Expired, now, dice);
        }
        let mut message = self.message(Kind::Request, now);
        message.ciaddr = from;
        let (heading, until) = if now >= lease.rebind {
            (Heading::ToAllFrom(from), lease.expires)
        } else {
            (Heading::ToServer { from, server: lease.server }, lease.rebind)
        };
        let wait = (until.saturating_sub(now) / 2).max(SHORTEST_RENEWAL);
        self.tries += 1;
        self.sent = now;
        self.next = until.min(now.saturating_add(wait));
        self.phase = if now >= lease.rebind { Phase::Rebinding(lease) } else { Phase::Renewing(lease) };
        vec![Act::Send(message.to_bytes(), heading)]
    }

    fn send(&mut self, now: Duration, dice: u32, message: &Message, heading: Heading) -> Vec<Act> {
        let wait = (FIRST_WAIT * 2_u32.saturating_pow(self.tries)).min(LONGEST_WAIT);
        self.tries = (self.tries + 1).min(31);
        self.sent = now;
        self.next = now.saturating_add(jittered(wait, dice));
        vec![Act::Send(message.to_bytes(), heading)]
    }

    fn discover(&self, now: Duration) -> Message {
        let mut message = self.message(Kind::Discover, now);
        if let Some(wish) = self.wish {
            put_address(&mut message, option::REQUESTED_ADDRESS, wish);
        }
        message
    }

    fn message(&self, kind: Kind, now: Duration) -> Message {
        let mut message = Message::new(kind, self.xid, self.who.mac);
        message.secs = u16::try_from(now.saturating_sub(self.began).as_secs()).unwrap_or(u16::MAX);
        message.options.insert(option::CLIENT, self.who.client_id.clone());
        if kind == Kind::Decline {
            return message;
        }
        message.broadcast = self.who.answer_to_all;
        message.options.insert(option::WANTED, WANTED.to_vec());
        message.options.insert(option::LARGEST, LARGEST.to_be_bytes().to_vec());
        if let Some(hostname) = self.who.hostname() {
            message.options.insert(option::HOSTNAME, hostname.as_bytes().to_vec());
        }
        message
    }
}

/// A quarter more or less, so that those who began together do not go on together.
fn jittered(wait: Duration, dice: u32) -> Duration {
    let share = wait / 2;
    wait - share / 2 + share.mul_f64(f64::from(dice) / f64::from(u32::MAX))
}

fn is_from(message: &Message, server: Ipv4Addr) -> bool {
    message.address(option::SERVER) == Some(server)
}

fn put_address(message: &mut Message, code: u8, address: Ipv4Addr) {
    message.options.insert(code, address.octets().to_vec());
}

#[cfg(test)]
mod tests;
