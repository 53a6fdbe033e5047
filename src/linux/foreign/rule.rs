//! A rule as far as we understand it: what it loads, what it compares, and what it decides.
//! Everything else is a doubt, so that nothing is ever said of a rule that was not read to its end.

use super::talk::{find, find_be32, find_text};
use crate::netlink::wire;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) steps: Vec<Step>,
    pub(super) comment: Option<String>,
}

/// Registers are numbered by their first byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Load {
        to: usize,
        fact: Fact,
    },
    Put {
        to: usize,
        bytes: Vec<u8>,
    },
    Mask {
        from: usize,
        to: usize,
        mask: Vec<u8>,
        flip: Vec<u8>,
    },
    Compare {
        from: usize,
        equal: bool,
        value: Vec<u8>,
    },
    /// A look into a set, or into a map of verdicts.
    Lookup {
        from: usize,
        set: String,
        inverted: bool,
        is_map: bool,
    },
    /// The state of the connection is one of these, as iptables numbers them.
    States {
        any: u16,
        inverted: bool,
    },
    /// Something that is not understood, and may keep the rule from matching.
    Doubt,
    Decide(Verdict),
}

/// What we know of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fact {
    EntersByName,
    LeavesByName,
    EntersByIndex,
    LeavesByIndex,
    Family,
    State,
    Status,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Accept,
    Drop,
    Reject,
    Continue,
    Return,
    Jump(String),
    Goto(String),
    /// It goes somewhere that we do not see, such as to a program.
    Elsewhere,
}

/// How many bytes the registers have.
pub(super) const REGISTERS: usize = 64;
const VERDICT_REGISTER: u32 = 0;

/// What a match or target of iptables brings along.
const XT_INFO: u16 = 3;

impl Rule {
    pub(super) fn is_understood(&self) -> bool {
        !self.steps.contains(&Step::Doubt)
    }
}

/// Reads the attributes of a rule.
pub(super) fn read(attributes: &[u8]) -> Rule {
    const EXPRESSIONS: u16 = 4;
    const USERDATA: u16 = 7;
    const NAME: u16 = 1;
    const DATA: u16 = 2;
    let comment = find(attributes, USERDATA).and_then(comment_in);
    let mut rule = Rule { steps: Vec::new(), comment };
    let expressions = find(attributes, EXPRESSIONS).unwrap_or_default();
    for (_, expression) in wire::attributes(expressions).map_while(Result::ok) {
        let name = find_text(expression, NAME).unwrap_or_default();
        let data = find(expression, DATA).unwrap_or_default();
        if name == "match" && xt_name(data) == "comment" {
            rule.comment = find(data, XT_INFO).and_then(wire::text);
        } else if !WITHOUT_CONDITION.contains(&name.as_str()) {
            rule.steps.push(step(&name, data).unwrap_or(Step::Doubt));
        }
    }
    rule
}

/// Expressions that neither decide nor keep a rule from matching.
const WITHOUT_CONDITION: &[&str] = &["counter", "log", "notrack", "objref", "last"];

/// One expression. None where it is not understood.
fn step(name: &str, data: &[u8]) -> Option<Step> {
    match name {
        "meta" => load(data, meta_fact),
        "ct" => load(data, ct_fact),
        "immediate" => immediate(data),
        "bitwise" => mask(data),
        "cmp" => compare(data),
        "lookup" => lookup(data),
        "reject" => Some(Step::Decide(Verdict::Reject)),
        "queue" => Some(Step::Decide(Verdict::Elsewhere)),
        "target" => Some(Step::Decide(xt_target(&xt_name(data)))),
        "match" if xt_name(data) == "conntrack" => {
            const REVISION: u16 = 2;
            xt_conntrack(find_be32(data, REVISION)?, find(data, XT_INFO)?)
        }
        _ => None,
    }
}

fn load(data: &[u8], fact: impl FnOnce(u32) -> Option<Fact>) -> Option<Step> {
    const TO: u16 = 1;
    const KEY: u16 = 2;
    Some(Step::Load { to: register(find_be32(data, TO)?)?, fact: fact(find_be32(data, KEY)?)? })
}

fn meta_fact(key: u32) -> Option<Fact> {
    match key {
        4 => Some(Fact::EntersByIndex),
        5 => Some(Fact::LeavesByIndex),
        6 => Some(Fact::EntersByName),
        7 => Some(Fact::LeavesByName),
        15 => Some(Fact::Family),
        _ => None,
    }
}

fn ct_fact(key: u32) -> Option<Fact> {
    match key {
        0 => Some(Fact::State),
        2 => Some(Fact::Status),
        _ => None,
    }
}

fn immediate(data: &[u8]) -> Option<Step> {
    const TO: u16 = 1;
    const VALUE: u16 = 2;
    let (to, value) = (find_be32(data, TO)?, find(data, VALUE)?);
    if to == VERDICT_REGISTER {
        return Some(Step::Decide(verdict(value)));
    }
    Some(Step::Put { to: register(to)?, bytes: bytes_of(value)? })
}

fn mask(data: &[u8]) -> Option<Step> {
    const FROM: u16 = 1;
    const TO: u16 = 2;
    const MASK: u16 = 4;
    const FLIP: u16 = 5;
    const OPERATION: u16 = 6;
    // Shifts have another number than 0.
    if find_be32(data, OPERATION).is_some_and(|operation| operation != 0) {
        return None;
    }
    let (mask, flip) = (bytes_of(find(data, MASK)?)?, bytes_of(find(data, FLIP)?)?);
    let (from, to) = (register(find_be32(data, FROM)?)?, register(find_be32(data, TO)?)?);
    (mask.len() == flip.len()).then_some(Step::Mask { from, to, mask, flip })
}

fn compare(data: &[u8]) -> Option<Step> {
    const FROM: u16 = 1;
    const HOW: u16 = 2;
    const VALUE: u16 = 3;
    let equal = match find_be32(data, HOW)? {
        0 => true,
        1 => false,
        _ => return None,
    };
    let from = register(find_be32(data, FROM)?)?;
    Some(Step::Compare { from, equal, value: bytes_of(find(data, VALUE)?)? })
}

fn lookup(data: &[u8]) -> Option<Step> {
    const SET: u16 = 1;
    const FROM: u16 = 2;
    const TO: u16 = 3;
    const FLAGS: u16 = 5;
    const INVERTED: u32 = 1;
    let is_map = match find_be32(data, TO) {
        None => false,
        Some(VERDICT_REGISTER) => true,
        Some(_) => return None,
    };
    let inverted = find_be32(data, FLAGS).unwrap_or(0) & INVERTED != 0;
    let from = register(find_be32(data, FROM)?)?;
    Some(Step::Lookup { from, set: find_text(data, SET)?, inverted, is_map })
}

/// There are four registers of sixteen bytes, and sixteen of four that lie over them.
fn register(number: u32) -> Option<usize> {
    let number = number as usize;
    match number {
        1..=4 => Some((number - 1) * 16),
        8..=23 => Some((number - 8) * 4),
        _ => None,
    }
}

/// The plain bytes of a datum, as long as the registers at most.
pub(super) fn bytes_of(datum: &[u8]) -> Option<Vec<u8>> {
    const VALUE: u16 = 1;
    find(datum, VALUE).filter(|bytes| bytes.len() <= REGISTERS).map(<[u8]>::to_vec)
}

/// The verdict of a datum.
pub(super) fn verdict(datum: &[u8]) -> Verdict {
    const VERDICT: u16 = 2;
    const CODE: u16 = 1;
    const CHAIN: u16 = 2;
    let verdict = find(datum, VERDICT).unwrap_or_default();
    let chain = find_text(verdict, CHAIN);
    match (find_be32(verdict, CODE).map(u32::cast_signed), chain) {
        (Some(0), _) => Verdict::Drop,
        (Some(1), _) => Verdict::Accept,
        (Some(-1), _) => Verdict::Continue,
        (Some(-3), Some(chain)) => Verdict::Jump(chain),
        (Some(-4), Some(chain)) => Verdict::Goto(chain),
        (Some(-5), _) => Verdict::Return,
        _ => Verdict::Elsewhere,
    }
}

/// What `nft` keeps beside a rule: pieces of a type, a length and a value.
fn comment_in(mut userdata: &[u8]) -> Option<String> {
    const COMMENT: u8 = 0;
    while let [kind, length, rest @ ..] = userdata {
        let (value, rest) = rest.split_at_checked(usize::from(*length))?;
        if *kind == COMMENT {
            return wire::text(value);
        }
        userdata = rest;
    }
    None
}

/// The name of a match or target of iptables.
fn xt_name(data: &[u8]) -> String {
    const NAME: u16 = 1;
    find_text(data, NAME).unwrap_or_default()
}

/// `-m conntrack --ctstate`, where it asks for nothing else (`struct xt_conntrack_mtinfo2` and `3`).
pub(super) fn xt_conntrack(revision: u32, info: &[u8]) -> Option<Step> {
    const ASKED: usize = 146;
    const INVERTED: usize = 148;
    const STATES: usize = 150;
    const STATE: u16 = 1;
    let number = |at| info.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes);
    if !matches!(revision, 2 | 3) || number(ASKED)? != STATE {
        return None;
    }
    Some(Step::States { any: number(STATES)?, inverted: number(INVERTED)? & STATE != 0 })
}

/// Targets of iptables after which the next rule is looked at.
const PASSING_TARGETS: &[&str] = &[
    "LOG",
    "NFLOG",
    "MARK",
    "CONNMARK",
    "TCPMSS",
    "CHECKSUM",
    "CLASSIFY",
    "DSCP",
    "TOS",
    "TTL",
    "HL",
    "TRACE",
    "SET",
    "AUDIT",
    "SECMARK",
    "CONNSECMARK",
];

/// What a target of iptables decides, other than those that have the verdict in them.
pub(super) fn xt_target(name: &str) -> Verdict {
    match name {
        "REJECT" => Verdict::Reject,
        name if PASSING_TARGETS.contains(&name) => Verdict::Continue,
        _ => Verdict::Elsewhere,
    }
}
