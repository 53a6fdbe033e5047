//! The parts of rules: matches, and what is done with a packet on its way.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::bad;
use super::value::{Cards, Kind, Protocol, Range, Test, Value, Values};
use crate::Result;
use crate::family::Family;
use crate::name::quoted;
use crate::port;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// `iifname`, `oifname`
    Card(Way, Cards),
    /// `ip saddr`, `ip6 daddr` ..: as the packet has it now
    Address(End, Addresses),
    /// `ct original ip daddr` ..: as the connection's first packet had it when it came
    Original(End, Addresses),
    /// `ct original proto-dst` ..
    OriginalPort(End, Test<Range<u16>>),
    /// `meta l4proto`
    Protocol(Test<Protocol>),
    /// `ip protocol`
    Protocol4(Test<Protocol>),
    /// `tcp dport` ..; `th dport` without a protocol
    Port(Option<port::Protocol>, End, Test<Range<u16>>),
    /// `icmp type`, `icmpv6 type`
    Icmp(Family, Test<Kind>),
    /// `ct state`
    State(Values<State>),
    /// `ct status dnat`: the connection came by a published port
    Published,
    /// `meta mark`
    Mark(Mark),
    NotMark(Mark),
    /// `fib daddr type local`
    To(Reach),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    In,
    Out,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Source,
    Target,
}

/// Addresses of one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addresses {
    V4(Test<Range<Ipv4Addr>>),
    V6(Test<Range<Ipv6Addr>>),
}

/// Of a connection, in the kernel's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Invalid,
    Established,
    Related,
    New,
    Untracked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// An address of this host.
    Host,
    NotHost,
}

/// A packet's mark: these of its bits have this value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    value: u32,
    mask: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    pub prefix: Option<Prefix>,
    pub level: Level,
}

/// What a line of the log begins with: 1 to 127 printable characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);

/// In syslog's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Emerg,
    Alert,
    Crit,
    Err,
    Warn,
    Notice,
    Info,
    Debug,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    pub bound: Bound,
    pub per: Unit,
    rate: u32,
    burst: u32,
}

/// Which packets pass: those that keep to the rate, or those beyond it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    Within,
    Beyond,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Second,
    Minute,
    Hour,
    Day,
}

impl Match {
    /// The family that a packet must be of.
    pub fn family(&self) -> Option<Family> {
        match self {
            Match::Address(_, addresses) | Match::Original(_, addresses) => Some(addresses.family()),
            Match::Icmp(family, _) => Some(*family),
            Match::Protocol4(_) => Some(Family::V4),
            Match::Card(..)
            | Match::OriginalPort(..)
            | Match::Protocol(_)
            | Match::Port(..)
            | Match::State(_)
            | Match::Published
            | Match::Mark(_)
            | Match::NotMark(_)
            | Match::To(_) => None,
        }
    }

    /// The protocol above IP that a packet must be of, where there is but one.
    pub fn transport(&self) -> Option<u8> {
        match self {
            Match::Protocol(test) | Match::Protocol4(test) => test.only().map(|protocol| protocol.0),
            Match::Port(protocol, ..) => protocol.map(port::Protocol::number),
            Match::Icmp(Family::V4, _) => Some(Protocol::ICMP),
            Match::Icmp(Family::V6, _) => Some(Protocol::ICMPV6),
            Match::Card(..)
            | Match::Address(..)
            | Match::Original(..)
            | Match::OriginalPort(..)
            | Match::State(_)
            | Match::Published
            | Match::Mark(_)
            | Match::NotMark(_)
            | Match::To(_) => None,
        }
    }
}

impl Protocol {
    pub const ICMP: u8 = 1;
    pub const ICMPV6: u8 = 58;
}

impl Addresses {
    pub fn family(&self) -> Family {
        match self {
            Addresses::V4(_) => Family::V4,
            Addresses::V6(_) => Family::V6,
        }
    }
}

impl Value for State {}

impl State {
    pub const ALL: &'static [State] =
        &[State::Invalid, State::Established, State::Related, State::New, State::Untracked];
}

impl Mark {
    /// All bits.
    pub const WHOLE: u32 = u32::MAX;

    pub fn new(value: u32, mask: u32) -> Result<Mark> {
        if mask == 0 {
            return Err(bad("a mask of 0 leaves nothing to compare").fix("meta mark & 0xff == 0x10"));
        }
        if value & !mask != 0 {
            return Err(bad(format!("{value:#x} has bits that are not in the mask {mask:#x}"))
                .fix(format!("did you mean meta mark & {mask:#x} == {:#x}?", value & mask)));
        }
        Ok(Mark { value, mask })
    }

    pub fn value(self) -> u32 {
        self.value
    }

    pub fn mask(self) -> u32 {
        self.mask
    }
}

impl Prefix {
    /// The kernel's NF_LOG_PREFIXLEN less the final NUL.
    pub const MAX: usize = 127;

    pub fn new(text: &str) -> Result<Prefix> {
        let is_plain = |b: u8| (b.is_ascii_graphic() || b == b' ') && !matches!(b, b'"' | b'$');
        if text.is_empty() || text.len() > Prefix::MAX || !text.bytes().all(is_plain) {
            return Err(bad(format!("the prefix {} cannot be logged", quoted(text)))
                .fix(format!("use 1 to {} printable ASCII characters, without \" and $", Prefix::MAX)));
        }
        Ok(Prefix(text.to_string()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Level {
    pub const ALL: &'static [Level] = &[
        Level::Emerg,
        Level::Alert,
        Level::Crit,
        Level::Err,
        Level::Warn,
        Level::Notice,
        Level::Info,
        Level::Debug,
    ];
}

impl Limit {
    /// What there may be at once where nothing is said of it.
    pub const BURST: u32 = 5;
    /// The kernel counts in nanoseconds, of which a day's burst must fit 64 bits.
    pub const MOST_BURST: u32 = 65535;
    pub const MOST_RATE: u32 = 1_000_000;

    pub fn new(bound: Bound, rate: u32, per: Unit, burst: u32) -> Result<Limit> {
        let check = |what: &str, value: u32, most: u32| {
            if (1..=most).contains(&value) {
                return Ok(());
            }
            Err(bad(format!("a {what} of {value} is not possible")).fix(format!("use 1 to {most}")))
        };
        check("rate", rate, Limit::MOST_RATE)?;
        check("burst", burst, Limit::MOST_BURST)?;
        Ok(Limit { bound, per, rate, burst })
    }

    pub fn rate(self) -> u32 {
        self.rate
    }

    pub fn burst(self) -> u32 {
        self.burst
    }
}

impl Unit {
    pub const ALL: &'static [Unit] = &[Unit::Second, Unit::Minute, Unit::Hour, Unit::Day];

    pub fn seconds(self) -> u32 {
        match self {
            Unit::Second => 1,
            Unit::Minute => 60,
            Unit::Hour => 3600,
            Unit::Day => 86400,
        }
    }
}
