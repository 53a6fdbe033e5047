//! Rules as nft shows them, which can be read again.

use std::fmt::{self, Display, Formatter};

use super::part::{Addresses, Bound, End, Level, Limit, Log, Mark, Match, Reach, Way};
use super::value::{Card, Cards, Point, Protocol, Range, Test, Values};
use super::words;
use super::{HookChain, Hooks, Part, Rule, Verdict};
use crate::family::Family;
use crate::port;

/// As a file.
impl Display for Hooks {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for &chain in HookChain::ALL {
            writeln!(f, "chain {} {{", chain.name())?;
            self.rules(chain).iter().try_for_each(|rule| writeln!(f, "    {rule}"))?;
            writeln!(f, "}}")?;
        }
        Ok(())
    }
}

impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let parts = self.parts.iter().map(|part| part as &dyn Display);
        let verdict = self.verdict.iter().map(|verdict| verdict as &dyn Display);
        separated(f, " ", parts.chain(verdict))
    }
}

fn separated<D: Display>(f: &mut Formatter<'_>, by: &str, all: impl IntoIterator<Item = D>) -> fmt::Result {
    all.into_iter().enumerate().try_for_each(|(i, one)| {
        let by = if i == 0 { "" } else { by };
        write!(f, "{by}{one}")
    })
}

impl Display for Part {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Part::Match(condition) => condition.fmt(f),
            Part::Counter => f.write_str("counter"),
            Part::Log(log) => log.fmt(f),
            Part::Limit(limit) => limit.fmt(f),
        }
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Accept => "accept",
            Verdict::Drop => "drop",
            Verdict::Reject => "reject",
            Verdict::Return => "return",
        })
    }
}

impl Display for Match {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Match::Card(way, cards) => write!(f, "{}ifname {cards}", way.letter()),
            Match::Address(end, of) => write!(f, "{} {}addr {of}", ip(of.family()), end.letter()),
            Match::Original(end, of) => {
                write!(f, "ct original {} {}addr {of}", ip(of.family()), end.letter())
            }
            Match::OriginalPort(end, test) => write!(f, "ct original proto-{} {test}", end.word()),
            Match::Protocol(test) => write!(f, "meta l4proto {test}"),
            Match::Protocol4(test) => write!(f, "ip protocol {test}"),
            Match::Port(protocol, end, test) => {
                write!(f, "{} {}port {test}", protocol.map_or("th", port::Protocol::name), end.letter())
            }
            Match::Icmp(family, test) => {
                let types = words::icmp_types(*family);
                let keyword = match family {
                    Family::V4 => "icmp",
                    Family::V6 => "icmpv6",
                };
                write!(f, "{keyword} type ")?;
                show_test(f, test, |kind| Numbered(types, kind.0))
            }
            Match::State(states) => {
                f.write_str("ct state ")?;
                separated(f, ",", states.all().iter().map(|state| words::state(*state)))
            }
            Match::Published => f.write_str("ct status dnat"),
            Match::Mark(mark) => show_mark(f, *mark, "==", ""),
            Match::NotMark(mark) => show_mark(f, *mark, "!=", "!= "),
            Match::To(Reach::Host) => f.write_str("fib daddr type local"),
            Match::To(Reach::NotHost) => f.write_str("fib daddr type != local"),
        }
    }
}

impl Way {
    fn letter(self) -> char {
        match self {
            Way::In => 'i',
            Way::Out => 'o',
        }
    }
}

impl End {
    fn letter(self) -> char {
        match self {
            End::Source => 's',
            End::Target => 'd',
        }
    }

    fn word(self) -> &'static str {
        match self {
            End::Source => "src",
            End::Target => "dst",
        }
    }
}

fn ip(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

fn show_mark(f: &mut Formatter<'_>, mark: Mark, masked: &str, whole: &str) -> fmt::Result {
    let (value, mask) = (mark.value(), mark.mask());
    if mask == Mark::WHOLE {
        return write!(f, "meta mark {whole}{value:#010x}");
    }
    write!(f, "meta mark & {mask:#010x} {masked} {value:#010x}")
}

/// A number, by its word where it has one.
struct Numbered(&'static [(u8, &'static str)], u8);

impl Display for Numbered {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match words::word(self.0, self.1) {
            Some(word) => f.write_str(word),
            None => write!(f, "{}", self.1),
        }
    }
}

impl Display for Protocol {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Numbered(words::PROTOCOLS, self.0).fmt(f)
    }
}

impl Display for Cards {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Cards::Named(test) => test.fmt(f),
            Cards::Like(begin) => write!(f, "\"{}*\"", begin.as_str()),
            Cards::NotLike(begin) => write!(f, "!= \"{}*\"", begin.as_str()),
        }
    }
}

impl Display for Card {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_str())
    }
}

impl Display for Addresses {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Addresses::V4(test) => test.fmt(f),
            Addresses::V6(test) => test.fmt(f),
        }
    }
}

impl<T: Display> Display for Test<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        show_test(f, self, |value| value)
    }
}

fn show_test<'a, T, D: Display>(
    f: &mut Formatter<'_>,
    test: &'a Test<T>,
    shown: impl Fn(&'a T) -> D,
) -> fmt::Result {
    let values: &Values<T> = match test {
        Test::In(values) => values,
        Test::NotIn(values) => {
            f.write_str("!= ")?;
            values
        }
    };
    match values.all() {
        [only] => shown(only).fmt(f),
        all => {
            f.write_str("{ ")?;
            separated(f, ", ", all.iter().map(shown))?;
            f.write_str(" }")
        }
    }
}

impl<T: Point + Display> Display for Range<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.is_one() {
            return self.first().fmt(f);
        }
        match self.prefix() {
            Some(len) => write!(f, "{}/{len}", self.first()),
            None => write!(f, "{}-{}", self.first(), self.last()),
        }
    }
}

impl Display for Log {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("log")?;
        if let Some(prefix) = &self.prefix {
            write!(f, " prefix \"{}\"", prefix.as_str())?;
        }
        match self.level {
            Level::Warn => Ok(()),
            level => write!(f, " level {}", words::level(level)),
        }
    }
}

impl Display for Limit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let over = match self.bound {
            Bound::Within => "",
            Bound::Beyond => "over ",
        };
        write!(f, "limit rate {over}{}/{}", self.rate(), words::unit(self.per))?;
        match self.burst() {
            Limit::BURST => Ok(()),
            burst => write!(f, " burst {burst} packets"),
        }
    }
}
