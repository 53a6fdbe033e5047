//! Ports: what `-p` asks for ([`Wish`]), and what came of it ([`Published`]). One is text from a person, the other is
//! as definite as the elements that the firewall makes of it.

mod parse;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::family::Family;
use crate::name::quoted;
use crate::{Code, Error, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

/// One port, or several that follow each other. Port 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ports {
    first: u16,
    last: u16,
}

/// The addresses of the host that a port is published on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum At {
    /// All that the host has, of both families.
    Everywhere,
    /// All that the host has, of this family.
    All(Family),
    One(IpAddr),
}

/// What `-p` asks for: `[HOSTIP:][HOSTPORT[-LAST]:]PORT[-LAST][/PROTOCOL]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    pub at: At,
    /// As many as `ports`; or more, of which the first free one serves a single port; or none, and free ones are chosen.
    pub host: Option<Ports>,
    pub ports: Ports,
    pub protocol: Protocol,
}

/// A host's ports that lead to an endpoint's: as many on either side, in the same order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Published {
    pub at: At,
    pub protocol: Protocol,
    pub host: Ports,
    /// The endpoint's.
    pub first: u16,
}

/// One port of the host, as a socket holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    pub at: At,
    pub protocol: Protocol,
    pub port: u16,
}

impl Protocol {
    pub const ALL: &'static [Protocol] = &[Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

    pub fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        }
    }

    /// As IP counts them.
    pub fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        }
    }

    pub fn of_number(number: u8) -> Option<Protocol> {
        Protocol::ALL.iter().copied().find(|p| p.number() == number)
    }
}

impl Ports {
    pub fn new(first: u16, last: u16) -> Result<Ports> {
        let bad = |why: &str, fix: String| {
            Err(Error::new(Code::InvalidPort, format!("ports {first}-{last} are not usable"))
                .because(why)
                .fix(fix))
        };
        if first == 0 {
            return bad("there is no port 0", "use 1 to 65535".into());
        }
        if last < first {
            return bad("the range is reversed", format!("did you mean {last}-{first}?"));
        }
        Ok(Ports { first, last })
    }

    pub fn one(port: u16) -> Result<Ports> {
        if port == 0 {
            return Err(Error::new(Code::InvalidPort, "port 0 is not usable")
                .because("there is no port 0")
                .fix("use 1 to 65535; leave the host's port out to have a free one chosen"));
        }
        Ok(Ports { first: port, last: port })
    }

    pub fn first(self) -> u16 {
        self.first
    }

    pub fn last(self) -> u16 {
        self.last
    }

    pub fn count(self) -> u16 {
        // All but port 0 are as many as fit.
        self.last - self.first + 1
    }

    pub fn iter(self) -> impl DoubleEndedIterator<Item = u16> {
        self.first..=self.last
    }

    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    /// As many ports, from another one on; None where they would go beyond the last there is.
    pub fn moved_to(self, first: u16) -> Option<Ports> {
        let last = first.checked_add(self.last - self.first)?;
        (first != 0).then_some(Ports { first, last })
    }
}

impl At {
    pub fn of(address: IpAddr) -> At {
        if address.is_unspecified() { At::All(Family::of(address)) } else { At::One(address) }
    }

    pub fn families(self) -> &'static [Family] {
        match self {
            At::Everywhere => &[Family::V4, Family::V6],
            At::All(Family::V4) | At::One(IpAddr::V4(_)) => &[Family::V4],
            At::All(Family::V6) | At::One(IpAddr::V6(_)) => &[Family::V6],
        }
    }

    /// The part of it that is of one family.
    pub fn within(self, family: Family) -> Option<At> {
        match self {
            At::Everywhere => Some(At::All(family)),
            At::All(_) | At::One(_) => self.families().contains(&family).then_some(self),
        }
    }

    /// True where one address of the host belongs to both.
    pub fn meets(self, other: At) -> bool {
        match (self, other) {
            (At::One(a), At::One(b)) => a == b,
            _ => self.families().iter().any(|f| other.families().contains(f)),
        }
    }

    pub fn includes(self, address: IpAddr) -> bool {
        match self {
            At::Everywhere => true,
            At::All(family) => family == Family::of(address),
            At::One(one) => one == address,
        }
    }
}

impl Published {
    /// The endpoint's ports.
    pub fn ports(&self) -> Ports {
        self.host.moved_to(self.first).expect("as many ports as the host's were checked to be there")
    }

    /// Where no port changes its number on the way.
    pub fn is_identity(&self) -> bool {
        self.host.first == self.first
    }

    /// The endpoint's port that this port of the host leads to.
    pub fn leads_to(&self, port: u16) -> Option<u16> {
        self.host.contains(port).then(|| self.first + (port - self.host.first))
    }

    pub fn host_ports(&self) -> impl Iterator<Item = HostPort> {
        let Published { at, protocol, host, .. } = *self;
        host.iter().map(move |port| HostPort { at, protocol, port })
    }
}

impl HostPort {
    /// True for two that one host cannot both give away.
    pub fn clashes_with(&self, other: &HostPort) -> bool {
        self.protocol == other.protocol && self.port == other.port && self.at.meets(other.at)
    }
}

impl FromStr for Protocol {
    type Err = Error;

    fn from_str(text: &str) -> Result<Protocol> {
        Protocol::ALL.iter().copied().find(|p| text.eq_ignore_ascii_case(p.name())).ok_or_else(|| {
            Error::new(Code::InvalidPort, format!("protocol {} is not usable", quoted(text)))
                .because("ports are of tcp, udp or sctp")
                .fix("write it as 53/udp; tcp is meant where none is given")
        })
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// As it stands before a port, its colon included.
impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Everywhere => Ok(()),
            At::All(Family::V4) => write!(f, "0.0.0.0:"),
            At::All(Family::V6) => write!(f, "[::]:"),
            At::One(IpAddr::V4(ip)) => write!(f, "{ip}:"),
            At::One(IpAddr::V6(ip)) => write!(f, "[{ip}]:"),
        }
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.at)?;
        match self.host {
            Some(host) => write!(f, "{host}:")?,
            None if self.at != At::Everywhere => write!(f, ":")?,
            None => {}
        }
        write!(f, "{}/{}", self.ports, self.protocol)
    }
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}:{}/{}", self.at, self.host, self.ports(), self.protocol)
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}/{}", self.at, self.port, self.protocol)
    }
}
