//! Matches, by the word that they begin with.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::{Parser, refused};
use crate::family::Family;
use crate::firewall::hooks::lex::Lexeme;
use crate::firewall::hooks::part::{Addresses, End, Mark, Match, Reach, State, Way};
use crate::firewall::hooks::value::{Card, Cards, Kind, Point, Protocol, Range, Test, Values};
use crate::firewall::hooks::{bad, words};
use crate::name::quoted;
use crate::{Error, Result, port};

const CARDS: &str = "iifname \"eth0\", iifname != \"lo\", iifname \"wg*\", or iifname { \"eth0\", \"eth1\" }";
const PORTS: &str = "a port is a number: tcp dport 80, tcp dport != 22, or tcp dport { 80, 443, 8000-8100 }";
const META: &str = "meta l4proto tcp, meta l4proto { tcp, udp }, or meta mark 0x1";
const CT: &str = "ct state established,related; ct status dnat; ct original ip daddr 192.0.2.1; \
    meta l4proto tcp ct original proto-dst 8080";
const STATES: &str =
    "ct state new, or ct state established,related; of invalid, established, related, new, untracked";
const MARKS: &str = "meta mark 0x1, meta mark != 0x1, or meta mark & 0xff == 0x10";
const FIB: &str = "fib daddr type local, or fib daddr type != local";

impl Parser<'_> {
    pub(super) fn condition(&mut self, word: &str) -> Result<Match> {
        match word {
            "iifname" => Ok(Match::Card(Way::In, self.cards()?)),
            "oifname" => Ok(Match::Card(Way::Out, self.cards()?)),
            "ip" => self.header(Family::V4),
            "ip6" => self.header(Family::V6),
            "meta" => self.meta(),
            "tcp" => self.port(Some(port::Protocol::Tcp)),
            "udp" => self.port(Some(port::Protocol::Udp)),
            "sctp" => self.port(Some(port::Protocol::Sctp)),
            "th" => self.port(None),
            "icmp" => self.icmp(Family::V4),
            "icmpv6" => self.icmp(Family::V6),
            "ct" => self.connection(),
            "fib" => self.fib(),
            _ => Err(refused::in_rules(word)),
        }
    }

    fn cards(&mut self) -> Result<Cards> {
        let not = self.is_not();
        if let Some(Lexeme::Word(text) | Lexeme::Text(text)) = self.peek()
            && let Some(begin) = text.strip_suffix('*')
        {
            self.value(CARDS)?;
            if begin.is_empty() {
                return Err(bad("\"*\" is every card").fix("leave the match out"));
            }
            let begin = Card::new(begin)?;
            return Ok(if not { Cards::NotLike(begin) } else { Cards::Like(begin) });
        }
        let values = self.values(CARDS, |text| match text.strip_suffix('*') {
            Some(_) => Err(bad(format!("{} cannot be in a set", quoted(text)))
                .fix("write a rule of its own for names that begin alike: iifname \"eth*\"")),
            None => Card::new(text),
        })?;
        Ok(Cards::Named(if not { Test::NotIn(values) } else { Test::In(values) }))
    }

    fn header(&mut self, family: Family) -> Result<Match> {
        let works = match family {
            Family::V4 => {
                "ip saddr 192.0.2.0/24, ip daddr { 192.0.2.1, 198.51.100.0/24 }, or ip protocol tcp"
            }
            Family::V6 => "ip6 saddr fd00::/8, ip6 daddr 2001:db8::1, or meta l4proto tcp",
        };
        match (self.word(works)?, family) {
            ("saddr", _) => Ok(Match::Address(End::Source, self.addresses(family)?)),
            ("daddr", _) => Ok(Match::Address(End::Target, self.addresses(family)?)),
            ("protocol", Family::V4) => Ok(Match::Protocol4(self.protocols()?)),
            (other, _) => Err(no_field(other, works)),
        }
    }

    fn addresses(&mut self, family: Family) -> Result<Addresses> {
        Ok(match family {
            Family::V4 => {
                Addresses::V4(self.test("ip saddr 192.0.2.0/24", |text| range::<Ipv4Addr>(text, address))?)
            }
            Family::V6 => {
                Addresses::V6(self.test("ip6 saddr fd00::/8", |text| range::<Ipv6Addr>(text, address))?)
            }
        })
    }

    fn protocols(&mut self) -> Result<Test<Protocol>> {
        self.test(META, |text| {
            // nft has a name of its own for what others call so.
            let text = if text == "icmpv6" { "ipv6-icmp" } else { text };
            words::number(words::PROTOCOLS, text).map(Protocol).ok_or_else(|| {
                bad(format!("{} is no protocol", quoted(text)))
                    .fix(format!("use a number, or one of {}", words::listed(words::PROTOCOLS)))
            })
        })
    }

    fn meta(&mut self) -> Result<Match> {
        match self.word(META)? {
            "l4proto" => Ok(Match::Protocol(self.protocols()?)),
            "mark" => self.mark(),
            "iifname" => Ok(Match::Card(Way::In, self.cards()?)),
            "oifname" => Ok(Match::Card(Way::Out, self.cards()?)),
            other => Err(no_field(other, META)),
        }
    }

    fn mark(&mut self) -> Result<Match> {
        let number = |text: &str| {
            let parsed = match text.strip_prefix("0x") {
                Some(hex) if hex.bytes().all(|b| b.is_ascii_hexdigit()) => u32::from_str_radix(hex, 16).ok(),
                Some(_) => None,
                None => whole(text),
            };
            parsed.ok_or_else(|| bad(format!("{} is no mark", quoted(text))).fix(MARKS))
        };
        if self.take(Lexeme::Word("set")) {
            return Err(bad("marks are read here, and not set").fix(MARKS));
        }
        let (not, mask, value) = if self.take(Lexeme::Mask) || self.take(Lexeme::Word("and")) {
            let mask = number(self.value(MARKS)?)?;
            if !matches!(self.peek(), Some(Lexeme::Is | Lexeme::IsNot)) {
                return Err(bad("a masked mark is compared with == or !=").fix(MARKS));
            }
            (self.is_not(), mask, number(self.value(MARKS)?)?)
        } else {
            (self.is_not(), Mark::WHOLE, number(self.value(MARKS)?)?)
        };
        let mark = Mark::new(value, mask)?;
        Ok(if not { Match::NotMark(mark) } else { Match::Mark(mark) })
    }

    fn port(&mut self, protocol: Option<port::Protocol>) -> Result<Match> {
        let end = match self.word(PORTS)? {
            "sport" => End::Source,
            "dport" => End::Target,
            other => return Err(no_field(other, PORTS)),
        };
        Ok(Match::Port(protocol, end, self.ports()?))
    }

    fn ports(&mut self) -> Result<Test<Range<u16>>> {
        self.test(PORTS, |text| {
            range(text, |text| {
                whole(text).ok_or_else(|| bad(format!("{} is no port", quoted(text))).fix(PORTS))
            })
        })
    }

    fn icmp(&mut self, family: Family) -> Result<Match> {
        const WORKS: &str = "icmp type echo-request, or icmpv6 type { echo-request, echo-reply }";
        match self.word(WORKS)? {
            "type" => {}
            other => return Err(no_field(other, WORKS)),
        }
        let types = words::icmp_types(family);
        let kind = |text: &str| {
            words::number(types, text).map(Kind).ok_or_else(|| {
                bad(format!("{} is no type of message", quoted(text)))
                    .fix(format!("use a number, or one of {}", words::listed(types)))
            })
        };
        Ok(Match::Icmp(family, self.test(WORKS, kind)?))
    }

    fn connection(&mut self) -> Result<Match> {
        match self.word(CT)? {
            "state" => Ok(Match::State(self.states()?)),
            "status" => {
                self.take(Lexeme::Is);
                if self.peek() == Some(Lexeme::IsNot) {
                    self.next();
                    // What nft makes of "!= dnat" holds for nearly every connection, translated or not.
                    return Err(bad("a status is asked for, and not its absence")
                        .fix("accept or return what has it in a rule before: ct status dnat return"));
                }
                match self.word(CT)? {
                    "dnat" => Ok(Match::Published),
                    other => Err(bad(format!("the status {} is not asked for here", quoted(other)))
                        .fix("ct status dnat: the connection came by a published port")),
                }
            }
            "original" => self.original(),
            "reply" => Err(bad("answers are not asked for apart").fix("ct state established,related accept")),
            other => Err(no_field(other, CT)),
        }
    }

    /// `new,established`, and `{ new, established }` which means the same as a connection has but one state.
    fn states(&mut self) -> Result<Values<State>> {
        if self.is_not() {
            return Err(bad("states are asked for, and not their absence").fix(STATES));
        }
        let state = |text: &str| {
            State::ALL
                .iter()
                .copied()
                .find(|s| words::state(*s) == text)
                .ok_or_else(|| bad(format!("{} is no state", quoted(text))).fix(STATES))
        };
        if self.peek() == Some(Lexeme::Open) {
            return self.values(STATES, state);
        }
        let mut states = vec![state(self.value(STATES)?)?];
        while self.take(Lexeme::Comma) {
            states.push(state(self.value(STATES)?)?);
        }
        Ok(Values::new(states).expect("there is one at least"))
    }

    fn original(&mut self) -> Result<Match> {
        let family = match self.word(CT)? {
            "ip" => Family::V4,
            "ip6" => Family::V6,
            "proto-dst" => return Ok(Match::OriginalPort(End::Target, self.ports()?)),
            "proto-src" => return Ok(Match::OriginalPort(End::Source, self.ports()?)),
            other => return Err(no_field(other, CT)),
        };
        match self.word(CT)? {
            "saddr" => Ok(Match::Original(End::Source, self.addresses(family)?)),
            "daddr" => Ok(Match::Original(End::Target, self.addresses(family)?)),
            other => Err(no_field(other, CT)),
        }
    }

    fn fib(&mut self) -> Result<Match> {
        for wanted in ["daddr", "type"] {
            let word = self.word(FIB)?;
            if word != wanted {
                return Err(no_field(word, FIB));
            }
        }
        let not = self.is_not();
        match self.value(FIB)? {
            "local" => Ok(Match::To(if not { Reach::NotHost } else { Reach::Host })),
            other => Err(no_field(other, FIB)),
        }
    }
}

fn no_field(word: &str, works: &str) -> Error {
    refused::anywhere(word).unwrap_or_else(|| bad(format!("{} has no meaning here", quoted(word))).fix(works))
}

/// Digits and nothing else.
fn whole<T: FromStr>(text: &str) -> Option<T> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// A value, two with a dash between, or a prefix.
fn range<T: Point + Display>(text: &str, read: impl Fn(&str) -> Result<T>) -> Result<Range<T>> {
    if let Some((first, last)) = text.split_once('-') {
        let (first, last) = (read(first)?, read(last)?);
        return Range::new(first, last).ok_or_else(|| {
            bad(format!("the range {first}-{last} is reversed")).fix(format!("did you mean {last}-{first}?"))
        });
    }
    if T::HAS_PREFIXES
        && let Some((address, len)) = text.split_once('/')
    {
        let address = read(address)?;
        return whole(len).and_then(|len| Range::of_prefix(address, len)).ok_or_else(|| {
            bad(format!("{} is no length of a prefix", quoted(len))).fix(format!("use 0 to {}", T::BITS))
        });
    }
    Ok(Range::one(read(text)?))
}

fn address<T: FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| match text.parse() {
        Ok(IpAddr::V4(_)) => {
            bad(format!("{text} is an IPv4 address")).fix(format!("use ip in place of ip6: ip saddr {text}"))
        }
        Ok(IpAddr::V6(_)) => {
            bad(format!("{text} is an IPv6 address")).fix(format!("use ip6 in place of ip: ip6 saddr {text}"))
        }
        Err(_) => bad(format!("{} is no address", quoted(text)))
            .fix("names are not looked up; write ip saddr 192.0.2.0/24, or ip6 saddr 2001:db8::/32"),
    })
}
