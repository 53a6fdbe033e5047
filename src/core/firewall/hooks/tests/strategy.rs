//! Any rules, and any text, some of which is nearly rules.

use std::fmt::Debug;
use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::family::Family;
use crate::firewall::hooks::part::{
    Addresses, Bound, End, Level, Limit, Log, Mark, Match, Prefix, Reach, State, Unit, Way,
};
use crate::firewall::hooks::value::{Card, Cards, Kind, Point, Protocol, Range, Test, Value, Values};
use crate::firewall::hooks::{Hooks, Part, Rule, Verdict};
use crate::port;

pub(super) fn hooks() -> impl Strategy<Value = Hooks> {
    (vec(rule(any_match().boxed()), 0..8), vec(rule(but_out()), 0..4))
        .prop_map(|(forward, prerouting)| Hooks { forward, prerouting })
}

/// Of parts that do not go together the first ones.
fn rule(condition: BoxedStrategy<Match>) -> impl Strategy<Value = Rule> {
    let part = prop_oneof![
        6 => condition.prop_map(Part::Match),
        1 => Just(Part::Counter),
        1 => log().prop_map(Part::Log),
        1 => limit().prop_map(Part::Limit),
    ];
    let verdict = select(vec![Verdict::Accept, Verdict::Drop, Verdict::Reject, Verdict::Return]);
    (vec(part, 0..6), prop::option::of(verdict)).prop_map(|(mut parts, verdict)| {
        loop {
            match Rule::new(parts.clone(), verdict) {
                Ok(rule) => return rule,
                Err(_) => match parts.pop() {
                    Some(_) => {}
                    None => return Rule::new(vec![Part::Counter], verdict).unwrap(),
                },
            }
        }
    })
}

fn but_out() -> BoxedStrategy<Match> {
    any_match().prop_filter("not known before routing", |m| !matches!(m, Match::Card(Way::Out, _))).boxed()
}

fn any_match() -> impl Strategy<Value = Match> {
    let protocol = || test(any::<u8>().prop_map(Protocol));
    let mark =
        || (any::<u32>(), 1..=u32::MAX).prop_map(|(value, mask)| Mark::new(value & mask, mask).unwrap());
    prop_oneof![
        (select(vec![Way::In, Way::Out]), cards()).prop_map(|(way, cards)| Match::Card(way, cards)),
        (end(), addresses()).prop_map(|(end, of)| Match::Address(end, of)),
        (end(), addresses()).prop_map(|(end, of)| Match::Original(end, of)),
        (end(), test(range::<u16>())).prop_map(|(end, ports)| Match::OriginalPort(end, ports)),
        protocol().prop_map(Match::Protocol),
        protocol().prop_map(Match::Protocol4),
        (prop::option::of(select(port::Protocol::ALL)), end(), test(range::<u16>()))
            .prop_map(|(protocol, end, ports)| Match::Port(protocol, end, ports)),
        (select(Family::BOTH.to_vec()), test(any::<u8>().prop_map(Kind)))
            .prop_map(|(family, kinds)| Match::Icmp(family, kinds)),
        vec(select(State::ALL), 1..6).prop_map(|states| Match::State(Values::new(states).unwrap())),
        Just(Match::Published),
        mark().prop_map(Match::Mark),
        mark().prop_map(Match::NotMark),
        (any::<u32>()).prop_map(|value| Match::Mark(Mark::new(value, Mark::WHOLE).unwrap())),
        select(vec![Reach::Host, Reach::NotHost]).prop_map(Match::To),
    ]
}

fn end() -> impl Strategy<Value = End> {
    select(vec![End::Source, End::Target])
}

fn addresses() -> impl Strategy<Value = Addresses> {
    prop_oneof![
        test(prop_oneof![range::<Ipv4Addr>(), prefix::<Ipv4Addr>()]).prop_map(Addresses::V4),
        test(prop_oneof![range::<Ipv6Addr>(), prefix::<Ipv6Addr>()]).prop_map(Addresses::V6),
    ]
}

fn point<T: Point + Debug>() -> impl Strategy<Value = T> {
    any::<u128>().prop_map(|bits| T::of_bits(bits >> (128 - T::BITS)).unwrap())
}

fn range<T: Point + Debug + 'static>() -> BoxedStrategy<Range<T>> {
    let near = |first: T, more: u8| T::of_bits(first.bits().saturating_add(more.into())).unwrap_or(first);
    prop_oneof![
        point().prop_map(Range::one),
        (point::<T>(), any::<u8>())
            .prop_map(move |(first, more)| Range::new(first, near(first, more)).unwrap()),
        (point::<T>(), point()).prop_map(|(a, b)| Range::new(a.min(b), a.max(b)).unwrap()),
    ]
    .boxed()
}

fn prefix<T: Point + Debug + 'static>() -> BoxedStrategy<Range<T>> {
    (point::<T>(), 0..=T::BITS).prop_map(|(address, len)| Range::of_prefix(address, len).unwrap()).boxed()
}

fn test<T: Value + Debug>(value: impl Strategy<Value = T>) -> impl Strategy<Value = Test<T>> {
    (vec(value, 1..5), any::<bool>()).prop_map(|(values, not)| {
        let values = Values::new(values).unwrap();
        if not { Test::NotIn(values) } else { Test::In(values) }
    })
}

fn cards() -> impl Strategy<Value = Cards> {
    let card =
        || "[a-z0-9][!#-)+-.0-9;-\\[\\]-~]{0,14}".prop_filter_map("no card", |name| Card::new(&name).ok());
    prop_oneof![
        2 => test(card()).prop_map(Cards::Named),
        1 => card().prop_map(Cards::Like),
        1 => card().prop_map(Cards::NotLike),
    ]
}

fn log() -> impl Strategy<Value = Log> {
    let prefix = "[ -!#%-~]{1,127}".prop_map(|text| Prefix::new(&text).unwrap());
    (prop::option::of(prefix), select(Level::ALL)).prop_map(|(prefix, level)| Log { prefix, level })
}

fn limit() -> impl Strategy<Value = Limit> {
    let bound = select(vec![Bound::Within, Bound::Beyond]);
    (bound, 1..=Limit::MOST_RATE, select(Unit::ALL), 1..=Limit::MOST_BURST)
        .prop_map(|(bound, rate, per, burst)| Limit::new(bound, rate, per, burst).unwrap())
}

/// Words that mean something somewhere, in no order; or anything at all.
pub(super) fn text() -> impl Strategy<Value = String> {
    const WORDS: &str = "chain user-forward user-prerouting { } { } , ; \n \n \\\n != == & # \" \"x\" \"eth*\" @set $x iifname \
        oifname ip ip6 saddr daddr protocol meta l4proto mark tcp udp sctp th sport dport icmp icmpv6 type ct state status \
        dnat original proto-dst proto-src new established,related fib local counter packets bytes log prefix level info \
        limit rate over 10/second burst accept drop reject return jump include table set 22 80-90 65536 0x10 10.0.0.0/8 \
        192.0.2.1-192.0.2.9 fd00::/8 10.0.0.1/99 ::1 - / echo-request \u{e4} \u{7} \u{2003}";
    let words: Vec<&str> = WORDS.split(' ').collect();
    let soup = vec(select(words), 0..40).prop_map(|words| words.join(" "));
    prop_oneof![
        1 => any::<String>(),
        3 => soup.clone(),
        3 => soup.prop_map(|soup| format!("chain user-forward {{\n{soup}")),
        2 => (hooks(), any::<prop::sample::Index>(), any::<char>()).prop_map(|(hooks, at, stray)| {
            let mut all: Vec<char> = hooks.to_string().chars().collect();
            let at = at.index(all.len());
            all[at] = stray;
            all.into_iter().collect()
        }),
    ]
}
