//! The administrator's own rules: what files in `nft.d` put into the chains that ours jump to first ([`Hooks`]).
//! They are written in a part of nft's own language, and shown as nft shows them.

mod lex;
mod parse;
mod part;
mod show;
mod value;
mod words;

use super::{USER_FORWARD, USER_PREROUTING};
use crate::family::Family;
use crate::{Code, Error, Result};

pub use part::{Addresses, Bound, End, Level, Limit, Log, Mark, Match, Prefix, Reach, State, Unit, Way};
pub use value::{Card, Cards, Kind, Point, Protocol, Range, Test, Value, Values};

/// The rules of both chains, each in the order in which they are asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hooks {
    pub forward: Vec<Rule>,
    pub prerouting: Vec<Rule>,
}

/// What a packet must be, what is done with it, and what becomes of it. Parts are taken in their order, up to the first
/// that the packet does not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    parts: Vec<Part>,
    verdict: Option<Verdict>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Match(Match),
    Counter,
    Log(Log),
    /// A match too: passed as often as it says.
    Limit(Limit),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// No other rule of ours is asked.
    Accept,
    Drop,
    /// Drop, and tell the sender.
    Reject,
    /// To bowline's own rules.
    Return,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookChain {
    Forward,
    Prerouting,
}

impl Hooks {
    /// Every packet may have to ask all of them, one after the other.
    pub const MOST_RULES: usize = 1000;

    /// The rules of one file, which errors call by this name.
    pub fn parse(file: &str, text: &str) -> Result<Hooks> {
        parse::file(file, text)
    }

    /// The rules of several files, in this order. All of them, or none.
    pub fn of_files<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Hooks> {
        let mut all = Hooks::default();
        for (file, text) in files {
            let Hooks { forward, prerouting } = Hooks::parse(file, text)?;
            all.forward.extend(forward);
            all.prerouting.extend(prerouting);
            if all.len() > Hooks::MOST_RULES {
                return Err(bad(format!("{file} is one too many"))
                    .because(format!(
                        "with it there are {} rules, and {} are the most",
                        all.len(),
                        Hooks::MOST_RULES
                    ))
                    .fix(
                        "put values of like rules into one set: ip saddr { 192.0.2.1, 198.51.100.0/24 } drop",
                    ));
            }
        }
        Ok(all)
    }

    pub fn rules(&self, chain: HookChain) -> &[Rule] {
        match chain {
            HookChain::Forward => &self.forward,
            HookChain::Prerouting => &self.prerouting,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.forward.len() + self.prerouting.len()
    }
}

impl HookChain {
    pub const ALL: &'static [HookChain] = &[HookChain::Forward, HookChain::Prerouting];

    pub fn name(self) -> &'static str {
        match self {
            HookChain::Forward => USER_FORWARD,
            HookChain::Prerouting => USER_PREROUTING,
        }
    }
}

impl Rule {
    /// The kernel takes 128 expressions a rule and 4 KiB of what they keep; no part is more than three of them.
    pub const MOST_PARTS: usize = 32;

    /// Refuses what no packet could pass.
    pub fn new(parts: Vec<Part>, verdict: Option<Verdict>) -> Result<Rule> {
        if parts.is_empty() && verdict.is_none() {
            return Err(bad("the rule is empty").fix("give it a verdict: accept, drop, reject or return"));
        }
        if parts.len() > Rule::MOST_PARTS {
            return Err(bad(format!("the rule has {} parts", parts.len()))
                .fix(format!("make two of it, of at most {} parts each", Rule::MOST_PARTS)));
        }
        let mut known = Known::default();
        for part in &parts {
            if let Part::Match(condition) = part {
                known.learn(condition)?;
            }
        }
        Ok(Rule { parts, verdict })
    }

    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    pub fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }
}

/// What a packet that has come so far in a rule is.
#[derive(Default)]
struct Known {
    family: Option<Family>,
    transport: Option<u8>,
    /// It was asked for a protocol, be it for one of several.
    asked: bool,
}

impl Known {
    fn learn(&mut self, condition: &Match) -> Result<()> {
        if let (Some(known), Some(now)) = (self.family, condition.family())
            && known != now
        {
            return Err(bad(format!("the packet is {known} already, and \"{condition}\" wants {now}"))
                .fix("make two rules of it, one for each family"));
        }
        if let (Some(known), Some(now)) = (self.transport, condition.transport())
            && known != now
        {
            let (known, now) = (Protocol(known), Protocol(now));
            return Err(bad(format!("the packet is {known} already, and \"{condition}\" wants {now}"))
                .fix("make two rules of it; or for a port of several protocols: meta l4proto { tcp, udp } th dport 53"));
        }
        if matches!(condition, Match::OriginalPort(..)) && !self.asked {
            return Err(bad(format!("\"{condition}\" does not say of which protocol"))
                .fix(format!("write the protocol before it: meta l4proto tcp {condition}")));
        }
        self.family = self.family.or(condition.family());
        self.transport = self.transport.or(condition.transport());
        self.asked |= condition.transport().is_some()
            || matches!(condition, Match::Protocol(Test::In(_)) | Match::Protocol4(Test::In(_)));
        Ok(())
    }
}

fn bad(why: impl Into<String>) -> Error {
    Error::new(Code::InvalidRules, why)
}

#[cfg(test)]
mod tests;
