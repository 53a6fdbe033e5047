//! What a query is answered from the zones that the asker sees, or that it must be asked elsewhere.

mod lookup;
mod records;
mod reply;
mod reverse;
mod service;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::asker::{Elsewhere, View};
use crate::message::{Bad, HEADER, Query, Transport, kind, question};
use lookup::Found;
use reply::{Rcode, Reply};
use reverse::Reverse;
use service::Service;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// What was written is the answer.
    Reply,
    /// It is a good query about a name that is not ours: ask elsewhere.
    Elsewhere,
    /// No query, or one that must not be answered.
    Silence,
}

/// Writes the answer over what is in `out`. An owned address costs no allocation once `out` has room.
/// `turn` differs from call to call: with it the addresses of a name take turns in being first.
pub fn answer(query: &[u8], over: Transport, view: &View, turn: u32, out: &mut Vec<u8>) -> Verdict {
    out.clear();
    let query = match Query::parse(query) {
        Ok(query) => query,
        Err(bad) => return reject(query, bad, out),
    };
    if query.edns().is_some_and(|edns| edns.version > 0) {
        return reply::status(&query, over, Rcode::BadVers, out);
    }
    let name = query.lower();
    let asked = Asked { query: &query, name: &name, over, view, turn };
    match query.qtype() {
        // The first two are answered with a stream of messages, which neither we nor a forwarder of single ones can pass on;
        // ANY with as much as a server likes, which nobody but an attacker needs (RFC 8482).
        kind::AXFR | kind::IXFR | kind::ANY => reply::status(&query, over, Rcode::Refused, out),
        _ if lookup::is_localhost(&name) => asked.localhost(out),
        kind::A | kind::AAAA => match asked.addresses(out) {
            Found::Owned => Verdict::Reply,
            Found::Gone => asked.gone(out),
            Found::Nobody => asked.beside_names(out),
        },
        _ => match lookup::each(view, &name, |_, _, _| {}) {
            Found::Owned => asked.nothing_of_that_type(out),
            Found::Gone => asked.gone(out),
            Found::Nobody => asked.beside_names(out),
        },
    }
}

/// SERVFAIL, for a query that [`answer`] sent elsewhere and nobody answered.
pub fn failure(query: &[u8], out: &mut Vec<u8>) {
    status_of(query, Rcode::ServFail, out);
}

/// REFUSED, for a query of somebody who has too many under way.
pub fn refuse(query: &[u8], out: &mut Vec<u8>) {
    status_of(query, Rcode::Refused, out);
}

/// FORMERR, for a query that is longer than any that makes sense.
pub fn malformed(query: &[u8], out: &mut Vec<u8>) {
    status_of(query, Rcode::FormErr, out);
}

/// Cuts a reply that is too long for who asked: an empty one with TC set, so that the client comes back by TCP.
pub fn fit(query: &[u8], over: Transport, reply: &mut Vec<u8>) {
    let Ok(query) = Query::parse(query) else {
        // Only what parses is ever sent elsewhere; a reply to anything else would have nobody to go to.
        reply.clear();
        return;
    };
    if reply.len() > query.limit(over) && reply.len() >= HEADER {
        reply::cut(&query, reply);
    }
}

fn status_of(query: &[u8], rcode: Rcode, out: &mut Vec<u8>) {
    out.clear();
    match Query::parse(query) {
        // Such a reply fits anywhere.
        Ok(query) => reply::status(&query, Transport::Udp, rcode, out),
        Err(bad) => reject(query, bad, out),
    };
}

/// What is said of a message that is no query to answer. Only where the question was understood it is said again.
fn reject(bytes: &[u8], bad: Bad, out: &mut Vec<u8>) -> Verdict {
    match bad {
        Bad::Silence => return Verdict::Silence,
        Bad::FormErr => reply::bare(bytes, Rcode::FormErr, &[], out),
        Bad::NotImp => reply::bare(bytes, Rcode::NotImp, &[], out),
        Bad::Refused => reply::bare(bytes, Rcode::Refused, question(bytes).unwrap_or_default(), out),
    }
    Verdict::Reply
}

/// A good query, and who asks it.
#[derive(Clone, Copy)]
struct Asked<'a> {
    query: &'a Query<'a>,
    name: &'a [u8],
    over: Transport,
    view: &'a View,
    turn: u32,
}

impl Asked<'_> {
    /// The way of nearly every query: addresses are written as they are found. Nothing is left in `out` but for an owned name.
    fn addresses(&self, out: &mut Vec<u8>) -> Found {
        let mut reply = Reply::begin(self.query, self.over, out);
        let ttl = self.view.ttl;
        let v4 = self.query.qtype() == kind::A;
        let found = lookup::each(self.view, self.name, |_, _, held| {
            if v4 {
                reply.addresses(kind::A, ttl, lookup::turned(&held.v4, self.turn).map(|(_, a)| a.octets()));
            } else {
                reply.addresses(
                    kind::AAAA,
                    ttl,
                    lookup::turned(&held.v6, self.turn).map(|(_, a)| a.octets()),
                );
            }
        });
        match found {
            Found::Owned if reply.is_empty() => reply.soa(lookup::apex(self.view, self.name), ttl),
            Found::Owned | Found::Gone | Found::Nobody => {}
        }
        match found {
            Found::Owned => reply.finish(Rcode::NoError),
            Found::Gone | Found::Nobody => reply.abandon(),
        }
        found
    }

    /// Names that nobody has, but that we know about: of addresses, and of what is served.
    fn beside_names(&self, out: &mut Vec<u8>) -> Verdict {
        if let Some(reverse) = Reverse::parse(self.name)
            && let Some(verdict) = self.reverse(reverse, out)
        {
            return verdict;
        }
        if let Some((service, host)) = service::parse(self.name) {
            match lookup::each(self.view, host, |_, _, _| {}) {
                Found::Owned => return self.service(service, host, out),
                Found::Gone => return self.gone(out),
                Found::Nobody => {}
            }
        }
        match self.view.elsewhere {
            // Whether recursion is desired or not: Docker forwards these too, and a client that does not want it asks no
            // resolver of a container.
            Elsewhere::Host(_) | Elsewhere::Own(_) => {
                out.clear();
                Verdict::Elsewhere
            }
            Elsewhere::Never => self.negative_of(self.absence(), self.name.len(), out),
        }
    }

    /// A link to somebody who is not there.
    fn gone(&self, out: &mut Vec<u8>) -> Verdict {
        self.negative(self.absence(), out)
    }

    /// How it is said that nobody has the name.
    fn absence(&self) -> Rcode {
        if lookup::is_above(self.view, self.name) { Rcode::NoError } else { Rcode::NxDomain }
    }

    /// RFC 6761 §6.3: never asked elsewhere, whatever the type.
    fn localhost(&self, out: &mut Vec<u8>) -> Verdict {
        let mut reply = Reply::begin(self.query, self.over, out);
        match self.query.qtype() {
            kind::A => reply.addresses(kind::A, self.view.ttl, [Ipv4Addr::LOCALHOST.octets()].into_iter()),
            kind::AAAA => {
                reply.addresses(kind::AAAA, self.view.ttl, [Ipv6Addr::LOCALHOST.octets()].into_iter())
            }
            _ => {
                reply.abandon();
                return self.nothing_of_that_type(out);
            }
        }
        reply.finish(Rcode::NoError);
        Verdict::Reply
    }

    /// An address's name: whose it is, or that it is nobody's where it would be ours to know. Part of one is a name that has
    /// others below it (RFC 8020: NXDOMAIN would deny those too).
    fn reverse(&self, reverse: Reverse, out: &mut Vec<u8>) -> Option<Verdict> {
        let Reverse { address, bits } = reverse;
        let whole = reverse.is_whole();
        let called = match address {
            _ if !whole => None,
            address if address.is_loopback() => Some(lookup::localhost()),
            address => self.view.zones.iter().find_map(|zone| zone.called(address)),
        };
        if let Some(called) = called {
            return Some(match self.query.qtype() {
                kind::PTR => records::pointer(self, &called, out),
                _ => self.nothing_of_that_type(out),
            });
        }
        let ours = match address {
            IpAddr::V4(address) if bits >= 8 && address.octets()[0] == 127 => true,
            address => self.view.zones.iter().any(|zone| zone.covers(address, bits)),
        };
        ours.then(|| self.negative(if whole { Rcode::NxDomain } else { Rcode::NoError }, out))
    }

    /// `_80._tcp.web`: who of those called web serves it. What an owned name does not serve does not exist.
    fn service(&self, service: Service, host: &[u8], out: &mut Vec<u8>) -> Verdict {
        let (protocol, port) = match service {
            Service::All => return self.nothing_of_that_type(out),
            Service::Unknown => return self.negative(Rcode::NxDomain, out),
            Service::Port(protocol, port) => (protocol, port),
        };
        let servers = service::servers(self, host, (protocol, port));
        if servers.is_empty() {
            return self.negative(Rcode::NxDomain, out);
        }
        match self.query.qtype() {
            kind::SRV => records::services(self, port, &servers, out),
            _ => self.nothing_of_that_type(out),
        }
    }

    /// The name exists, and has no record of that type.
    fn nothing_of_that_type(&self, out: &mut Vec<u8>) -> Verdict {
        self.negative(Rcode::NoError, out)
    }

    fn negative(&self, rcode: Rcode, out: &mut Vec<u8>) -> Verdict {
        self.negative_of(rcode, lookup::apex(self.view, self.name), out)
    }

    fn negative_of(&self, rcode: Rcode, apex: usize, out: &mut Vec<u8>) -> Verdict {
        let mut reply = Reply::begin(self.query, self.over, out);
        reply.soa(apex, self.view.ttl);
        reply.finish(rcode);
        Verdict::Reply
    }
}
