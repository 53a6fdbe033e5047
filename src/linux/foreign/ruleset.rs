//! The tables of others that see forwarded packets, with the chains that these can come through, all of one moment.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use bowline_core::Result;
use bowline_core::firewall::TABLE as OURS;
use nix::errno::Errno;

use super::rule::{self, Rule, Step, Verdict};
use super::talk::{self, Answer, Talk, find, find_be32, find_text};
use crate::netlink::{Failure, wire};

const GET_TABLE: u16 = 1;
pub(super) const GET_CHAIN: u16 = 4;
pub(super) const GET_RULE: u16 = 7;
const GET_SET: u16 = 10;
const GET_ELEMENT: u16 = 13;
/// Larger sets are not kept: what a rule says that looks into one is a doubt.
const LARGEST_SET: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    Inet,
    Ip,
    Ip6,
}

#[derive(Debug)]
pub(super) struct Table {
    pub(super) family: Family,
    pub(super) name: String,
    /// It is not of nf_tables, but of the older iptables.
    pub(super) legacy: bool,
    /// The chains on the forward hook, in the order of their priorities.
    pub(super) forward: Vec<Base>,
    pub(super) chains: BTreeMap<String, Vec<Rule>>,
    pub(super) sets: HashMap<String, Set>,
}

#[derive(Debug)]
pub(super) struct Base {
    pub(super) name: String,
    pub(super) drops: bool,
    pub(super) priority: i32,
}

/// The elements of a set or verdict map of single values.
pub(super) type Set = Vec<Element>;

#[derive(Debug)]
pub(super) struct Element {
    /// None for the element that matches where no other does.
    pub(super) key: Option<Vec<u8>>,
    pub(super) verdict: Option<Verdict>,
}

mod attr {
    pub(super) const TABLE: u16 = 1;
    pub(super) const TABLE_FLAGS: u16 = 2;
    pub(super) const CHAIN_NAME: u16 = 3;
    pub(super) const CHAIN_HOOK: u16 = 4;
    pub(super) const CHAIN_POLICY: u16 = 5;
    pub(super) const HOOK_NUMBER: u16 = 1;
    pub(super) const HOOK_PRIORITY: u16 = 2;
    pub(super) const RULE_CHAIN: u16 = 2;
    pub(super) const SET_NAME: u16 = 2;
    pub(super) const SET_FLAGS: u16 = 3;
    pub(super) const ELEMENTS_SET: u16 = 2;
    pub(super) const ELEMENTS_LIST: u16 = 3;
    pub(super) const ELEMENT_KEY: u16 = 1;
    pub(super) const ELEMENT_DATA: u16 = 2;
}

const DORMANT: u32 = 1;
const FORWARD_HOOK: u32 = 2;
const INTERVALS: u32 = 4;

/// All tables but ours in which a forwarded packet is looked at.
pub(super) fn read() -> Result<Vec<Table>> {
    talk::undisturbed("read the firewalls of this host", |talk| {
        let generation = talk.generation()?;
        let mut tables = tables(talk)?;
        for table in &mut tables {
            table.fill(talk)?;
        }
        if talk.generation()? == generation { Ok(tables) } else { Err(Errno::EINTR.into()) }
    })
}

fn tables(talk: &mut Talk) -> Result<Vec<Table>, Failure> {
    let mut tables = Vec::new();
    for answer in talk.dump(GET_TABLE, 0, &[])? {
        let flags = find_be32(&answer.attributes, attr::TABLE_FLAGS).unwrap_or(0);
        let name = find_text(&answer.attributes, attr::TABLE).unwrap_or_default();
        let Some(family) = Family::numbered(answer.family) else { continue };
        if flags & DORMANT == 0 && !(family == Family::Inet && name == OURS) {
            tables.push(Table::new(family, name));
        }
    }
    for answer in talk.dump(GET_CHAIN, 0, &[])? {
        let Some(base) = Base::read(&answer.attributes) else { continue };
        let name = find_text(&answer.attributes, attr::TABLE).unwrap_or_default();
        let of = |table: &&mut Table| table.family.number() == answer.family && table.name == name;
        if let Some(table) = tables.iter_mut().find(of) {
            table.forward.push(base);
        }
    }
    tables.retain(|table| !table.forward.is_empty());
    tables.sort_by(|a, b| (a.family, &a.name).cmp(&(b.family, &b.name)));
    tables.iter_mut().for_each(|table| table.forward.sort_by_key(|base| base.priority));
    Ok(tables)
}

impl Table {
    pub(super) fn new(family: Family, name: String) -> Table {
        let (forward, chains, sets) = (Vec::new(), BTreeMap::new(), HashMap::new());
        Table { family, name, legacy: false, forward, chains, sets }
    }

    /// Reads the rules of all chains that a forwarded packet can come to, and the sets that those look into.
    fn fill(&mut self, talk: &mut Talk) -> Result<(), Failure> {
        let mut todo: Vec<String> = self.forward.iter().map(|base| base.name.clone()).collect();
        while let Some(chain) = todo.pop() {
            if self.chains.contains_key(&chain) {
                continue;
            }
            let place = self.place(attr::RULE_CHAIN, &chain);
            let answers = talk.dump(GET_RULE, self.family.number(), &place)?;
            let rules: Vec<Rule> = answers.iter().map(|answer| rule::read(&answer.attributes)).collect();
            for rule in &rules {
                self.read_sets(talk, rule)?;
                todo.extend(self.leads_to(rule));
            }
            self.chains.insert(chain, rules);
        }
        Ok(())
    }

    /// The chains that the rule may send a packet to.
    fn leads_to(&self, rule: &Rule) -> Vec<String> {
        let verdicts = rule.steps.iter().flat_map(|step| match step {
            Step::Decide(verdict) => vec![verdict],
            Step::Lookup { set, is_map: true, .. } => {
                self.sets.get(set).into_iter().flatten().filter_map(|e| e.verdict.as_ref()).collect()
            }
            Step::Lookup { is_map: false, .. }
            | Step::Load { .. }
            | Step::Put { .. }
            | Step::Mask { .. }
            | Step::Compare { .. }
            | Step::States { .. }
            | Step::Doubt => Vec::new(),
        });
        let chains = verdicts.filter_map(|verdict| match verdict {
            Verdict::Jump(chain) | Verdict::Goto(chain) => Some(chain.clone()),
            Verdict::Accept
            | Verdict::Drop
            | Verdict::Reject
            | Verdict::Continue
            | Verdict::Return
            | Verdict::Elsewhere => None,
        });
        chains.collect()
    }

    /// Reads the sets that the rule looks into, unless that would not help to understand it.
    fn read_sets(&mut self, talk: &mut Talk, rule: &Rule) -> Result<(), Failure> {
        for step in rule.steps.iter().filter(|_| rule.is_understood()) {
            if let Step::Lookup { set, .. } = step
                && !self.sets.contains_key(set)
            {
                self.read_set(talk, set)?;
            }
        }
        Ok(())
    }

    fn read_set(&mut self, talk: &mut Talk, name: &str) -> Result<(), Failure> {
        let family = self.family.number();
        let Some(set) = talk.one(GET_SET, family, &self.place(attr::SET_NAME, name))? else { return Ok(()) };
        if find_be32(&set.attributes, attr::SET_FLAGS).unwrap_or(0) & INTERVALS != 0 {
            return Ok(());
        }
        let answers = talk.dump(GET_ELEMENT, family, &self.place(attr::ELEMENTS_SET, name))?;
        let elements: Set = answers.iter().flat_map(elements).collect();
        if elements.len() <= LARGEST_SET {
            self.sets.insert(name.to_string(), elements);
        }
        Ok(())
    }

    fn place(&self, kind: u16, name: &str) -> [Vec<u8>; 2] {
        [talk::text(attr::TABLE, &self.name), talk::text(kind, name)]
    }
}

impl fmt::Display for Table {
    /// As `nft` wants it, for a table that it can see.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = match self.family {
            Family::Inet => "inet",
            Family::Ip => "ip",
            Family::Ip6 => "ip6",
        };
        write!(f, "{family} {}{}", self.name, if self.legacy { " (legacy)" } else { "" })
    }
}

fn elements(answer: &Answer) -> Vec<Element> {
    let list = find(&answer.attributes, attr::ELEMENTS_LIST).unwrap_or_default();
    wire::attributes(list)
        .map_while(Result::ok)
        .map(|(_, element)| Element {
            key: find(element, attr::ELEMENT_KEY).and_then(rule::bytes_of),
            verdict: find(element, attr::ELEMENT_DATA).map(rule::verdict),
        })
        .collect()
}

impl Base {
    /// None for a chain that is not on the forward hook.
    fn read(attributes: &[u8]) -> Option<Base> {
        const DROP: u32 = 0;
        let hook = find(attributes, attr::CHAIN_HOOK)?;
        if find_be32(hook, attr::HOOK_NUMBER)? != FORWARD_HOOK {
            return None;
        }
        Some(Base {
            name: find_text(attributes, attr::CHAIN_NAME)?,
            drops: find_be32(attributes, attr::CHAIN_POLICY) == Some(DROP),
            priority: find_be32(hook, attr::HOOK_PRIORITY)?.cast_signed(),
        })
    }
}

impl Family {
    fn numbered(number: u8) -> Option<Family> {
        [Family::Inet, Family::Ip, Family::Ip6].into_iter().find(|family| family.number() == number)
    }

    pub(super) fn number(self) -> u8 {
        match self {
            Family::Inet => 1,
            Family::Ip => 2,
            Family::Ip6 => 10,
        }
    }
}
