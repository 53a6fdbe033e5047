//! The administrator's rules as operations: the expressions that `nft` sends for the same text, and the sets that some
//! of them bring along.

mod expression;
mod set;

use bowline_core::family::Family;
use bowline_core::firewall::Table;
use bowline_core::firewall::hooks::{
    Addresses, Cards, End, HookChain, Hooks, Mark, Match, Part, Protocol, Reach, Rule, State, Test, Value,
    Values, Verdict, Way,
};
use bowline_core::port;

use super::batch::{Batch, What};
use super::frame;
use super::rule::expression::{self as common, Load};
use super::rule::{CAME_BY, CT_STATE, CT_STATUS, DESTINATION_CHANGED, LEAVES_BY, NFPROTO, TRANSPORT};
use super::wire::{Writer, flag, kind};
use set::{KeyKind, Span};

mod attr {
    pub(super) const CHAIN: u16 = 2;
    pub(super) const EXPRESSIONS: u16 = 4;
}

/// The numbers of the rules' sets within a transaction begin here, beyond all of the frame's.
const FIRST_ID: u32 = frame::FIRST_ID + 0x1_0000;

const MARK: Load = Load::meta(3, 4);

/// Of `nf_conntrack`'s key in `ct`, for the direction of the connection's first packet.
const CT_PORTS: (u32, u32) = (11, 12);
const CT_ADDRESSES4: (u32, u32) = (19, 20);
const CT_ADDRESSES6: (u32, u32) = (21, 22);

/// Puts rules into chains that are there, and have none.
pub(super) fn fill(batch: &mut Batch<'_>, hooks: &Hooks) {
    let mut next_id = FIRST_ID;
    for &chain in HookChain::ALL {
        for rule in hooks.rules(chain) {
            let compiled = Compiler::compile(rule, next_id);
            for set in &compiled.sets {
                set::put(batch, set, next_id);
                next_id += 1;
            }
            let what = What::AddHook(chain, rule.to_string());
            batch.op(Table::Inet, what, kind::NEW_RULE, flag::CREATE | flag::APPEND, |w| {
                w.text(attr::CHAIN, chain.name());
                w.nest(attr::EXPRESSIONS, |w| w.bytes.extend(&compiled.w.bytes));
            });
        }
    }
}

/// Puts rules in place of those that the chains have.
pub(super) fn replace(batch: &mut Batch<'_>, hooks: &Hooks) {
    for &chain in HookChain::ALL {
        batch.op(Table::Inet, What::FlushHooks(chain), kind::DEL_RULE, 0, |w| {
            w.text(attr::CHAIN, chain.name())
        });
    }
    fill(batch, hooks);
}

struct Compiler {
    w: Writer,
    sets: Vec<set::OwnSet>,
    /// The number of the first set.
    first_id: u32,
    /// What the packet was found to be, and need not be asked again.
    family: Option<Family>,
    transport: Option<u8>,
}

impl Compiler {
    fn compile(rule: &Rule, first_id: u32) -> Compiler {
        let w = Writer::default();
        let mut compiler = Compiler { w, sets: Vec::new(), first_id, family: None, transport: None };
        rule.parts().iter().for_each(|part| compiler.part(part));
        match rule.verdict() {
            Some(Verdict::Accept) => common::accept(&mut compiler.w),
            Some(Verdict::Drop) => common::drop(&mut compiler.w),
            Some(Verdict::Return) => expression::back(&mut compiler.w),
            Some(Verdict::Reject) => expression::reject(&mut compiler.w),
            None => {}
        }
        compiler
    }

    fn part(&mut self, part: &Part) {
        match part {
            Part::Match(condition) => self.condition(condition),
            Part::Counter => expression::counter(&mut self.w),
            Part::Log(log) => expression::log(&mut self.w, log),
            Part::Limit(limit) => expression::limit(&mut self.w, *limit),
        }
    }

    fn condition(&mut self, condition: &Match) {
        match condition {
            Match::Card(way, cards) => self.cards(*way, cards),
            Match::Address(end, addresses) => self.address(*end, addresses),
            Match::Original(end, addresses) => self.original(*end, addresses),
            Match::OriginalPort(end, test) => {
                let key = of_end(*end, CT_PORTS);
                self.test(KeyKind::Port, test, Span::of_range, |w, _| expression::load_original(w, key));
            }
            Match::Protocol(test) => self.protocol(TRANSPORT, test),
            Match::Protocol4(test) => {
                self.guard_family(Family::V4);
                self.protocol(Load::network_header(9, 1), test);
            }
            Match::Port(protocol, end, test) => {
                if let Some(protocol) = protocol.map(port::Protocol::number) {
                    self.guard_transport(protocol);
                }
                let offset = of_end(*end, (0, 2));
                self.test(KeyKind::Port, test, Span::of_range, |w, len| {
                    common::load(w, &[Load::transport_header(offset, len)]);
                });
            }
            Match::Icmp(family, test) => {
                let (protocol, key) = match family {
                    Family::V4 => (Protocol::ICMP, KeyKind::IcmpType),
                    Family::V6 => (Protocol::ICMPV6, KeyKind::Icmpv6Type),
                };
                self.guard_family(*family);
                self.guard_transport(protocol);
                self.test(
                    key,
                    test,
                    |kind| Span::one(vec![kind.0]),
                    |w, len| {
                        common::load(w, &[Load::transport_header(0, len)]);
                    },
                );
            }
            Match::State(states) => common::ct_has(&mut self.w, CT_STATE, bits(states)),
            Match::Published => common::ct_has(&mut self.w, CT_STATUS, DESTINATION_CHANGED),
            Match::Mark(mark) => {
                self.load_mark(*mark);
                common::equals(&mut self.w, &mark.value().to_ne_bytes());
            }
            Match::NotMark(mark) => {
                self.load_mark(*mark);
                common::differs(&mut self.w, &mark.value().to_ne_bytes());
            }
            Match::To(Reach::Host) => common::target_is_local(&mut self.w),
            Match::To(Reach::NotHost) => common::target_is_not_local(&mut self.w),
        }
    }

    fn cards(&mut self, way: Way, cards: &Cards) {
        let card = match way {
            Way::In => CAME_BY,
            Way::Out => LEAVES_BY,
        };
        match cards {
            Cards::Named(test) => {
                self.test(
                    KeyKind::Card,
                    test,
                    |card| Span::of_card(card.as_str()),
                    |w, _| common::load(w, &[card]),
                );
            }
            Cards::Like(begin) => {
                common::load(&mut self.w, &[card]);
                common::equals(&mut self.w, begin.as_str().as_bytes());
            }
            Cards::NotLike(begin) => {
                common::load(&mut self.w, &[card]);
                common::differs(&mut self.w, begin.as_str().as_bytes());
            }
        }
    }

    /// As it is in the packet's header.
    fn address(&mut self, end: End, addresses: &Addresses) {
        self.guard_family(addresses.family());
        match addresses {
            Addresses::V4(test) => {
                let offset = of_end(end, (12, 16));
                self.test(KeyKind::Address4, test, Span::of_range, |w, len| {
                    common::load(w, &[Load::network_header(offset, len)]);
                });
            }
            Addresses::V6(test) => {
                let offset = of_end(end, (8, 24));
                self.test(KeyKind::Address6, test, Span::of_range, |w, len| {
                    common::load(w, &[Load::network_header(offset, len)]);
                });
            }
        }
    }

    /// As the connection remembers it. For one of the other family the kernel finds nothing, and the rule does not hold.
    fn original(&mut self, end: End, addresses: &Addresses) {
        match addresses {
            Addresses::V4(test) => {
                let key = of_end(end, CT_ADDRESSES4);
                self.test(KeyKind::Original4, test, Span::of_range, |w, _| expression::load_original(w, key));
            }
            Addresses::V6(test) => {
                let key = of_end(end, CT_ADDRESSES6);
                self.test(KeyKind::Original6, test, Span::of_range, |w, _| expression::load_original(w, key));
            }
        }
    }

    fn protocol(&mut self, load: Load, test: &Test<Protocol>) {
        self.test(
            KeyKind::Protocol,
            test,
            |protocol| Span::one(vec![protocol.0]),
            |w, _| common::load(w, &[load]),
        );
        self.transport = self.transport.or(test.only().map(|protocol| protocol.0));
    }

    fn load_mark(&mut self, mark: Mark) {
        common::load(&mut self.w, &[MARK]);
        if mark.mask() != Mark::WHOLE {
            common::mask(&mut self.w, &mark.mask().to_ne_bytes());
        }
    }

    fn guard_family(&mut self, family: Family) {
        if self.family.is_none() {
            let number = match family {
                Family::V4 => 2,
                Family::V6 => 10,
            };
            common::load(&mut self.w, &[NFPROTO]);
            common::equals(&mut self.w, &[number]);
            self.family = Some(family);
        }
    }

    fn guard_transport(&mut self, protocol: u8) {
        if self.transport.is_none() {
            common::load(&mut self.w, &[TRANSPORT]);
            common::equals(&mut self.w, &[protocol]);
            self.transport = Some(protocol);
        }
    }

    /// `load` takes so many bytes of what is compared.
    fn test<T: Value>(
        &mut self,
        key: KeyKind,
        test: &Test<T>,
        span: impl Fn(&T) -> Span,
        load: impl Fn(&mut Writer, u32),
    ) {
        let negated = matches!(test, Test::NotIn(_));
        match test.values().all() {
            [only] => self.one(key, &span(only), negated, load),
            all => {
                let spans: Vec<Span> = all.iter().map(span).collect();
                let id = self.first_id + u32::try_from(self.sets.len()).expect("a rule has few sets");
                self.sets.push(set::OwnSet { key, spans });
                load(&mut self.w, key.len());
                expression::lookup(&mut self.w, id, negated);
            }
        }
    }

    fn one(&mut self, key: KeyKind, span: &Span, negated: bool, load: impl Fn(&mut Writer, u32)) {
        let w = &mut self.w;
        let compare = if negated { common::differs } else { common::equals };
        if span.is_one() {
            load(w, key.len());
            return compare(w, &span.first);
        }
        let Some(len) = span.prefix else {
            load(w, key.len());
            return expression::range(w, &span.first, &span.last, negated);
        };
        let bytes = (len / 8) as usize;
        if key.is_of_packet() && bytes > 0 && len.is_multiple_of(8) {
            // Whole bytes of a header are loaded without the others.
            load(w, len / 8);
            return compare(w, &span.first[..bytes]);
        }
        load(w, key.len());
        let mask: Vec<u8> = span.first.iter().zip(&span.last).map(|(first, last)| !(first ^ last)).collect();
        common::mask(w, &mask);
        compare(w, &span.first);
    }
}

fn of_end<T>(end: End, (source, target): (T, T)) -> T {
    match end {
        End::Source => source,
        End::Target => target,
    }
}

fn bits(states: &Values<State>) -> u32 {
    states.all().iter().fold(0, |bits, state| {
        bits | match state {
            State::Invalid => 0x1,
            State::Established => 0x2,
            State::Related => 0x4,
            State::New => 0x8,
            State::Untracked => 0x40,
        }
    })
}
