//! A table of the older iptables taken apart: entries of conditions, matches and a target, which jump by their offsets.

use std::collections::{BTreeMap, HashMap};

use super::super::rule::{self, Fact, Rule, Step, Verdict};
use super::super::ruleset::{Base, Family, Table};
use super::FILTER;
use crate::netlink::wire;

const FORWARD: &str = "FORWARD";
/// A card's name with zeros behind it.
const CARD: usize = 16;

/// A table as the kernel has it.
pub(super) struct Block {
    /// Where the first rule of the chain FORWARD is, and its policy.
    pub(super) begin: usize,
    pub(super) policy: usize,
    pub(super) entries: Vec<u8>,
}

/// Where things are in an entry (`struct ipt_entry` and `struct ip6t_entry`).
pub(super) struct Layout {
    family: Family,
    /// The masks of the addresses.
    masks: std::ops::Range<usize>,
    /// Two names, then their masks.
    cards: usize,
    protocol: usize,
    flags: usize,
    inverted: usize,
    /// Of the target and of the next entry, two bytes each.
    offsets: usize,
    matches: usize,
    goto: u8,
}

impl Layout {
    pub(super) fn of(family: Family) -> Layout {
        match family {
            Family::Ip | Family::Inet => Layout {
                family,
                masks: 8..16,
                cards: 16,
                protocol: 80,
                flags: 82,
                inverted: 83,
                offsets: 88,
                matches: 112,
                goto: 2,
            },
            Family::Ip6 => Layout {
                family,
                masks: 32..64,
                cards: 64,
                protocol: 128,
                flags: 131,
                inverted: 132,
                offsets: 140,
                matches: 168,
                goto: 4,
            },
        }
    }

    /// None where the block is not as it should be.
    pub(super) fn table(&self, block: &Block) -> Option<Table> {
        let mut chains: BTreeMap<String, Vec<Rule>> = BTreeMap::from([(FORWARD.to_string(), Vec::new())]);
        let mut drops = false;
        let entries = self.entries(&block.entries)?;
        let starts = starts(&entries);
        let mut chain = None;
        for entry in &entries {
            if entry.at == block.begin {
                chain = Some(FORWARD.to_string());
            }
            if entry.at == block.policy {
                drops = self.verdict(entry, &starts)? == Verdict::Drop;
                chain = None;
            } else if let Some(name) = entry.begins() {
                chains.entry(name.clone()).or_default();
                chain = Some(name);
            } else if let Some(rules) = chain.as_ref().and_then(|chain| chains.get_mut(chain)) {
                rules.push(self.rule(entry, &starts)?);
            }
        }
        let forward = vec![Base { name: FORWARD.to_string(), drops, priority: 0 }];
        Some(Table { legacy: true, forward, chains, ..Table::new(self.family, FILTER.to_string()) })
    }

    fn entries<'a>(&self, bytes: &'a [u8]) -> Option<Vec<Entry<'a>>> {
        let mut entries = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let entry = self.entry(bytes, at)?;
            at = entry.end();
            entries.push(entry);
        }
        Some(entries)
    }

    fn entry<'a>(&self, bytes: &'a [u8], at: usize) -> Option<Entry<'a>> {
        let offset = |field: usize| u16_at(bytes, at + self.offsets + field).map(usize::from);
        let (target, next) = (offset(0)?, offset(2)?);
        let bytes = bytes.get(at..at + next)?;
        let matches = bytes.get(self.matches..target)?;
        Some(Entry { at, bytes, matches, target: Extension::read(bytes.get(target..)?)? })
    }

    fn verdict(&self, entry: &Entry<'_>, starts: &HashMap<usize, String>) -> Option<Verdict> {
        if !entry.target.name.is_empty() {
            return Some(rule::xt_target(&entry.target.name));
        }
        let code = u32_at(entry.target.info, 0)?.cast_signed();
        let Ok(to) = usize::try_from(code) else {
            return Some(match code {
                -1 => Verdict::Drop,
                -2 => Verdict::Accept,
                -5 => Verdict::Return,
                _ => Verdict::Elsewhere,
            });
        };
        // A rule without a target jumps to the next one.
        if to == entry.end() {
            return Some(Verdict::Continue);
        }
        let chain = starts.get(&to)?.clone();
        let goes = entry.bytes[self.flags] & self.goto != 0;
        Some(if goes { Verdict::Goto(chain) } else { Verdict::Jump(chain) })
    }

    fn rule(&self, entry: &Entry<'_>, starts: &HashMap<usize, String>) -> Option<Rule> {
        const BY_CARDS: u8 = 3;
        let inverted = entry.bytes[self.inverted];
        let mut rule = Rule { steps: Vec::new(), comment: None };
        rule.steps.extend(self.card(entry, 0, Fact::EntersByName, inverted & 1 != 0)?);
        rule.steps.extend(self.card(entry, 1, Fact::LeavesByName, inverted & 2 != 0)?);
        let asks_more = entry.bytes[self.masks.clone()].iter().any(|&byte| byte != 0)
            || u16_at(entry.bytes, self.protocol)? != 0
            || entry.bytes[self.flags] & !self.goto != 0
            || inverted & !BY_CARDS != 0;
        if asks_more {
            rule.steps.push(Step::Doubt);
        }
        let mut rest = entry.matches;
        while !rest.is_empty() {
            let one = Extension::read(rest)?;
            rest = &rest[one.size..];
            match one.name.as_str() {
                "comment" => rule.comment = wire::text(one.info),
                "conntrack" => {
                    rule.steps.push(rule::xt_conntrack(one.revision, one.info).unwrap_or(Step::Doubt));
                }
                _ => rule.steps.push(Step::Doubt),
            }
        }
        rule.steps.push(Step::Decide(self.verdict(entry, starts)?));
        Some(rule)
    }

    /// The comparison with a card's name, or its beginning, where one is asked for.
    fn card(&self, entry: &Entry<'_>, which: usize, fact: Fact, inverted: bool) -> Option<Vec<Step>> {
        let field = |nth: usize| entry.bytes.get(self.cards + nth * CARD..)?.first_chunk::<CARD>();
        let (name, mask) = (field(which)?, field(which + 2)?);
        let value: Vec<u8> =
            name.iter().zip(mask).take_while(|(_, mask)| **mask != 0).map(|(b, _)| *b).collect();
        if value.is_empty() {
            return Some(Vec::new());
        }
        Some(vec![Step::Load { to: 0, fact }, Step::Compare { from: 0, equal: !inverted, value }])
    }
}

/// The chains by where their first rules are, which is how they are jumped to.
fn starts(entries: &[Entry<'_>]) -> HashMap<usize, String> {
    entries.iter().filter_map(|entry| Some((entry.end(), entry.begins()?))).collect()
}

struct Entry<'a> {
    at: usize,
    bytes: &'a [u8],
    matches: &'a [u8],
    target: Extension<'a>,
}

impl Entry<'_> {
    /// The name of the chain that begins after this entry.
    fn begins(&self) -> Option<String> {
        if self.target.name == "ERROR" { wire::text(self.target.info) } else { None }
    }

    fn end(&self) -> usize {
        self.at + self.bytes.len()
    }
}

/// A match or a target: its size, a name of 29 bytes and a revision, then what is its own.
struct Extension<'a> {
    size: usize,
    name: String,
    revision: u32,
    info: &'a [u8],
}

impl Extension<'_> {
    fn read(bytes: &[u8]) -> Option<Extension<'_>> {
        const HEADER: usize = 32;
        let size = usize::from(u16_at(bytes, 0)?);
        let info = bytes.get(HEADER..size)?;
        let name = wire::text(&bytes[2..HEADER - 1])?;
        Some(Extension { size, name, revision: u32::from(bytes[HEADER - 1]), info })
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod unit {
    use super::*;

    /// A rule of IPv4 for one card, with a target of that name.
    fn entry(card: &str, target: &str, info: &[u8]) -> Vec<u8> {
        let size = (32 + info.len()).next_multiple_of(8);
        let mut bytes = vec![0; 112 + size];
        bytes[16..16 + card.len()].copy_from_slice(card.as_bytes());
        bytes[48..48 + card.len()].fill(0xff);
        bytes[88..90].copy_from_slice(&112_u16.to_ne_bytes());
        bytes[90..92].copy_from_slice(&(112 + size as u16).to_ne_bytes());
        bytes[112..114].copy_from_slice(&(size as u16).to_ne_bytes());
        bytes[114..114 + target.len()].copy_from_slice(target.as_bytes());
        bytes[144..144 + info.len()].copy_from_slice(info);
        bytes
    }

    fn block() -> Block {
        let parts = [
            entry("bl-a", "", &[0; 4]),
            entry("", "", &(-1_i32).to_ne_bytes()),
            entry("", "ERROR", b"X\0"),
            entry("eth", "REJECT", &[0; 4]),
            entry("", "", &(-5_i32).to_ne_bytes()),
            entry("", "ERROR", b"ERROR\0"),
        ];
        let starts: Vec<usize> =
            parts.iter().scan(0, |at, part| Some(std::mem::replace(at, *at + part.len()))).collect();
        let mut entries = parts.concat();
        // The first rule jumps to the chain X.
        entries[144..148].copy_from_slice(&(starts[3] as i32).to_ne_bytes());
        Block { begin: 0, policy: starts[1], entries }
    }

    #[test]
    fn chains_are_told_by_their_heads_and_jumps_by_where_they_go() {
        let table = Layout::of(Family::Ip).table(&block()).unwrap();
        let named = |name: &str, verdict| Rule {
            steps: vec![
                Step::Load { to: 0, fact: Fact::EntersByName },
                Step::Compare { from: 0, equal: true, value: name.as_bytes().to_vec() },
                Step::Decide(verdict),
            ],
            comment: None,
        };
        assert!(table.forward[0].drops);
        assert_eq!(table.chains[FORWARD], [named("bl-a", Verdict::Jump("X".into()))]);
        let returns = Rule { steps: vec![Step::Decide(Verdict::Return)], comment: None };
        assert_eq!(table.chains["X"], [named("eth", Verdict::Reject), returns]);
    }

    #[test]
    fn a_damaged_block_is_refused_and_never_read_beyond_its_end() {
        let layout = Layout::of(Family::Ip);
        let whole = block();
        for end in 1..whole.entries.len() {
            let cut = Block { entries: whole.entries[..end].to_vec(), ..whole };
            let is_whole = layout.entries(&cut.entries).is_some_and(|all| all.last().unwrap().end() == end);
            assert_eq!(layout.entries(&cut.entries).is_some(), is_whole, "{end}");
        }
        for at in 0..whole.entries.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut entries = whole.entries.clone();
                entries[at] = byte;
                // Whatever it is read as, this comes to an end.
                drop(layout.table(&Block { entries, ..whole }));
            }
        }
        let mut lost = block();
        lost.entries[144] ^= 0x08;
        assert!(layout.table(&lost).is_none(), "a jump to where no chain begins");
    }
}
