//! The first packet of a connection as far as we know it, and what a rule makes of it: yes, no, or perhaps.

use nix::net::if_::if_nametoindex;

use super::rule::{Fact, REGISTERS, Rule, Step, Verdict};
use super::ruleset::{Element, Family, Set, Table};

/// `IFNAMSIZ`: names are compared with zeros behind them.
const NAME: usize = 16;
/// Of a connection's state: it is new. `nft` and iptables agree on the number.
const NEW: u16 = 8;
/// Of its status: its destination was changed.
const CHANGED: u32 = 0x20;
/// That, among the states of iptables.
const XT_CHANGED: u16 = 0x80;

#[derive(Debug, Clone)]
pub(super) struct Card {
    name: [u8; NAME],
    index: Option<u32>,
}

#[derive(Debug)]
pub(super) struct Packet {
    pub(super) family: Family,
    pub(super) enters: Card,
    pub(super) leaves: Card,
    /// It was sent to a published port.
    pub(super) published: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Truth {
    Yes,
    No,
    Perhaps,
}

impl Card {
    /// The card of that name in the calling thread's namespace. An empty name is that of a card which no rule names.
    pub(super) fn of(name: &str) -> Card {
        let mut padded = [0; NAME];
        padded.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
        Card { name: padded, index: if_nametoindex(name).ok() }
    }
}

impl Truth {
    fn of(is: bool) -> Truth {
        if is { Truth::Yes } else { Truth::No }
    }

    fn and(self, other: Truth) -> Truth {
        match (self, other) {
            (Truth::No, _) | (_, Truth::No) => Truth::No,
            (Truth::Yes, Truth::Yes) => Truth::Yes,
            (Truth::Perhaps, _) | (_, Truth::Perhaps) => Truth::Perhaps,
        }
    }

    fn or(self, other: Truth) -> Truth {
        self.not().and(other.not()).not()
    }

    fn not(self) -> Truth {
        match self {
            Truth::Yes => Truth::No,
            Truth::No => Truth::Yes,
            Truth::Perhaps => Truth::Perhaps,
        }
    }
}

/// The registers of nf_tables, bit by bit: what is in them, and whether that is known.
struct Registers {
    bits: [u8; REGISTERS],
    known: [u8; REGISTERS],
}

impl Registers {
    fn put(&mut self, to: usize, bytes: &[u8], known: &[u8]) {
        for (at, (&byte, &known)) in (to..REGISTERS).zip(bytes.iter().zip(known)) {
            (self.bits[at], self.known[at]) = (byte, known);
        }
    }

    fn mask(&mut self, from: usize, to: usize, mask: &[u8], flip: &[u8]) {
        let each = || (from..REGISTERS).zip(mask.iter().zip(flip));
        let bits: Vec<u8> = each().map(|(at, (mask, flip))| (self.bits[at] & mask) ^ flip).collect();
        // What is masked out is known to be zero.
        let known: Vec<u8> = each().map(|(at, (mask, _))| self.known[at] | !mask).collect();
        self.put(to, &bits, &known);
    }

    fn is(&self, from: usize, value: &[u8]) -> Truth {
        let range = from..from + value.len();
        let (Some(bits), Some(known)) = (self.bits.get(range.clone()), self.known.get(range)) else {
            return Truth::Perhaps;
        };
        if bits.iter().zip(value).zip(known).any(|((bits, value), known)| (bits ^ value) & known != 0) {
            return Truth::No;
        }
        if known.iter().all(|&known| known == 0xff) { Truth::Yes } else { Truth::Perhaps }
    }

    fn is_in(&self, from: usize, set: &Set) -> Truth {
        set.iter().map(|element| self.is_element(from, element)).fold(Truth::No, Truth::or)
    }

    fn is_element(&self, from: usize, element: &Element) -> Truth {
        element.key.as_ref().map_or(Truth::Perhaps, |key| self.is(from, key))
    }
}

impl Packet {
    /// What the rule may decide, each with whether it comes to that.
    pub(super) fn meets(&self, rule: &Rule, table: &Table) -> Vec<(Truth, Verdict)> {
        let mut registers = Registers { bits: [0; REGISTERS], known: [0; REGISTERS] };
        let mut so_far = Truth::Yes;
        for step in &rule.steps {
            let mut holds = Truth::Yes;
            match step {
                Step::Load { to, fact } => {
                    let (bytes, known) = self.fact(*fact);
                    registers.put(*to, &bytes, &known);
                }
                Step::Put { to, bytes } => registers.put(*to, bytes, &[0xff; REGISTERS]),
                Step::Mask { from, to, mask, flip } => registers.mask(*from, *to, mask, flip),
                Step::Compare { from, equal: true, value } => holds = registers.is(*from, value),
                Step::Compare { from, equal: false, value } => holds = registers.is(*from, value).not(),
                Step::Lookup { from, set, is_map: true, .. } => {
                    return match table.sets.get(set) {
                        Some(map) => mapped(&registers, *from, map, so_far),
                        None => vec![(Truth::Perhaps, Verdict::Elsewhere)],
                    };
                }
                Step::Lookup { from, set, inverted, is_map: false } => {
                    holds = table.sets.get(set).map_or(Truth::Perhaps, |set| registers.is_in(*from, set));
                    holds = if *inverted { holds.not() } else { holds };
                }
                Step::States { any, inverted } => {
                    holds = Truth::of((any & self.xt_state() != 0) != *inverted);
                }
                Step::Doubt => {
                    // It may have loaded something, wherever.
                    registers.known = [0; REGISTERS];
                    holds = Truth::Perhaps;
                }
                Step::Decide(Verdict::Continue) => {}
                Step::Decide(verdict) => return vec![(so_far, verdict.clone())],
            }
            so_far = so_far.and(holds);
            if so_far == Truth::No {
                return Vec::new();
            }
        }
        Vec::new()
    }

    /// The bytes of a fact, and which of their bits are known.
    fn fact(&self, fact: Fact) -> (Vec<u8>, Vec<u8>) {
        let name = |card: &Card| (card.name.to_vec(), vec![0xff; NAME]);
        let index = |card: &Card| match card.index {
            Some(index) => (index.to_ne_bytes().to_vec(), vec![0xff; 4]),
            None => (vec![0; 4], vec![0; 4]),
        };
        match fact {
            Fact::EntersByName => name(&self.enters),
            Fact::LeavesByName => name(&self.leaves),
            Fact::EntersByIndex => index(&self.enters),
            Fact::LeavesByIndex => index(&self.leaves),
            Fact::Family => (vec![self.protocol(), 0, 0, 0], vec![0xff; 4]),
            Fact::State => (u32::from(NEW).to_ne_bytes().to_vec(), vec![0xff; 4]),
            Fact::Status => {
                let status = if self.published { CHANGED } else { 0 };
                (status.to_ne_bytes().to_vec(), CHANGED.to_ne_bytes().to_vec())
            }
        }
    }

    /// The family in one byte, which is the first of a register.
    fn protocol(&self) -> u8 {
        match self.family {
            Family::Ip6 => Family::Ip6.number(),
            Family::Ip | Family::Inet => Family::Ip.number(),
        }
    }

    fn xt_state(&self) -> u16 {
        NEW | if self.published { XT_CHANGED } else { 0 }
    }
}

/// The verdicts of a map that may be met.
fn mapped(registers: &Registers, from: usize, map: &Set, so_far: Truth) -> Vec<(Truth, Verdict)> {
    let verdict = |element: &Element| element.verdict.clone().unwrap_or(Verdict::Elsewhere);
    map.iter()
        .map(|element| (so_far.and(registers.is_element(from, element)), verdict(element)))
        .filter(|(truth, _)| *truth != Truth::No)
        .collect()
}
