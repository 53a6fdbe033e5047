//! What the kernel has in our tables, read back piece by piece, so that no other table is dumped with it.

use std::collections::BTreeSet;

use bowline_core::firewall::{Chain, Element, FRAME, Set, TABLE, Table};
use nix::errno::Errno;

use super::batch::{Batch, What};
use super::element;
use super::frame::{self, DORMANT, FIRST_ID, OWNER, PERSIST};
use super::refusal::Fault;
use super::rule::OWN_SET;
use super::socket::Socket;
use super::wire::{self, Attr, flag, kind};

type Result<T> = std::result::Result<T, Fault>;

mod attr {
    pub(super) const TABLE: u16 = 1;
    pub(super) const TABLE_FLAGS: u16 = 2;
    pub(super) const TABLE_USE: u16 = 3;
    pub(super) const TABLE_OWNER: u16 = 7;
    pub(super) const CHAIN_NAME: u16 = 3;
    pub(super) const SET_NAME: u16 = 2;
    pub(super) const RULE_CHAIN: u16 = 2;
    pub(super) const ELEMENTS_SET: u16 = 2;
    pub(super) const ELEMENTS_LIST: u16 = 3;
    pub(super) const GENERATION: u16 = 1;
}

/// A table's own properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Properties {
    flags: u32,
    /// How many sets and chains with a name are in it.
    parts: usize,
    /// The port of the socket that owns it.
    pub(super) owner: Option<u32>,
}

impl Properties {
    /// Made to be owned, but its owner is gone.
    pub(super) fn is_orphan(self) -> bool {
        self.flags & PERSIST != 0 && self.flags & OWNER == 0
    }
}

pub(super) fn table(socket: &mut Socket, of: Table) -> Result<Option<Properties>> {
    let Some(table) = one(socket, of, kind::GET_TABLE, None)? else { return Ok(None) };
    let number = |kind| wire::find_be32(&table, kind);
    Ok(Some(Properties {
        flags: number(attr::TABLE_FLAGS).unwrap_or(0),
        parts: number(attr::TABLE_USE).unwrap_or(0) as usize,
        owner: number(attr::TABLE_OWNER),
    }))
}

/// Rises with every transaction on any table of the namespace.
pub(super) fn generation(socket: &mut Socket) -> Result<Option<u32>> {
    let answers = socket.ask(Table::Inet, kind::GET_GENERATION, flag::ACK, |_| {})?;
    Ok(answers.first().and_then(|answer| wire::find_be32(answer, attr::GENERATION)))
}

/// The elements of a set. None where it is not there, or holds what we would not put there.
pub(super) fn elements(socket: &mut Socket, set: Set) -> Result<Option<BTreeSet<Element>>> {
    let answers = absent_is_none(socket.ask(set.table(), kind::GET_ELEMENT, flag::DUMP, |w| {
        w.text(attr::TABLE, TABLE);
        w.text(attr::ELEMENTS_SET, set.name());
    }))?;
    Ok(answers.and_then(|answers| read(set, &answers)))
}

/// Whether exactly this element is there. Looks at its place only, whatever else is in the set.
pub(super) fn is_there(socket: &mut Socket, element: &Element) -> Result<bool> {
    let set = element.set();
    let answers = absent_is_none(socket.ask(set.table(), kind::GET_ELEMENT, flag::ACK, |w| {
        w.text(attr::TABLE, TABLE);
        w.text(attr::ELEMENTS_SET, set.name());
        w.nest(attr::ELEMENTS_LIST, |w| element::sought(w, element));
    }))?;
    let there = answers.and_then(|answers| read(set, &answers)).unwrap_or_default();
    Ok(there.contains(&element::canonical(element)))
}

fn read(set: Set, answers: &[Vec<u8>]) -> Option<BTreeSet<Element>> {
    let mut entries = Vec::new();
    for answer in answers {
        entries.extend(element::seen(wire::find(answer, attr::ELEMENTS_LIST).unwrap_or_default())?);
    }
    element::read(set, &entries)
}

/// Whether our tables are there with exactly the sets, chains and rules that this version gives them. The rules in the
/// administrator's chains are not looked at.
pub(super) fn frame_is_whole(socket: &mut Socket) -> Result<bool> {
    for &of in Table::ALL {
        let Some(table) = table(socket, of)? else { return Ok(false) };
        if table.parts != frame::parts(of) || table.flags & DORMANT != 0 {
            return Ok(false);
        }
    }
    let mut wanted = Batch::new();
    frame::fill(&mut wanted);

    let mut rules = Vec::new();
    for chain in FRAME.iter().filter(|chain| !frame::is_users(chain)) {
        let Some(seen) = self::rules(socket, chain)? else { return Ok(false) };
        if seen.len() != chain.rules.len() {
            return Ok(false);
        }
        rules.extend(seen);
    }
    let mut rules = rules.into_iter();
    for (what, wanted) in wanted.bodies() {
        let seen = match what {
            What::AddChain(chain) => {
                one(socket, chain.table, kind::GET_CHAIN, Some((attr::CHAIN_NAME, chain.name)))?
            }
            What::AddRule(..) => rules.next(),
            What::AddSet(set) => one(socket, set.table(), kind::GET_SET, Some((attr::SET_NAME, set.name())))?,
            // A set of a rule's own cannot be changed, and is not there without its rule.
            What::AddRulesSet
            | What::FillRulesSet
            | What::FlushHooks(_)
            | What::AddHook(..)
            | What::Rewrite(_)
            | What::Elements(..)
            | What::AddTable(_)
            | What::OwnTable(_)
            | What::DelTable(_) => continue,
        };
        if !seen.is_some_and(|seen| shows(&seen, wanted)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The rules of a chain, in order. None where there is no such chain.
fn rules(socket: &mut Socket, chain: &Chain) -> Result<Option<Vec<Vec<u8>>>> {
    absent_is_none(socket.ask(chain.table, kind::GET_RULE, flag::DUMP, |w| {
        w.text(attr::TABLE, TABLE);
        w.text(attr::RULE_CHAIN, chain.name);
    }))
}

/// One object in a table of ours, or the table itself, by its name.
fn one(socket: &mut Socket, of: Table, kind: u16, name: Option<(u16, &str)>) -> Result<Option<Vec<u8>>> {
    let answers = absent_is_none(socket.ask(of, kind, flag::ACK, |w| {
        w.text(attr::TABLE, TABLE);
        if let Some((kind, name)) = name {
            w.text(kind, name);
        }
    }))?;
    Ok(answers.unwrap_or_default().into_iter().next())
}

pub(super) fn absent_is_none<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(Fault::Refused(all)) if all.iter().all(|refusal| refusal.errno == Errno::ENOENT) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Whether the kernel shows what we have sent: for each attribute sent one of the same type and value, in the same order,
/// and none of that type besides. Attributes of other types are the kernel's own.
pub(super) fn shows(seen: &[u8], sent: &[u8]) -> bool {
    let mut seen: Vec<Attr<'_>> = wire::attrs(seen).collect();
    let mut sent_kinds = BTreeSet::new();
    for attr in wire::attrs(sent) {
        if is_of_the_transaction(&attr) {
            continue;
        }
        sent_kinds.insert(attr.kind);
        let Some(at) = seen.iter().position(|s| s.kind == attr.kind) else {
            // Some numbers are left out where they are zero.
            if attr.value == [0; 4] {
                continue;
            }
            return false;
        };
        let value = seen.remove(at).value;
        let same = if attr.nested { shows(value, attr.value) } else { same_value(value, attr.value) };
        if !same {
            return false;
        }
    }
    !seen.iter().any(|s| sent_kinds.contains(&s.kind))
}

/// The numbers of sets are not kept.
fn is_of_the_transaction(attr: &Attr<'_>) -> bool {
    let number = attr.value.try_into().map(u32::from_be_bytes);
    !attr.nested && number.is_ok_and(|number| (FIRST_ID..FIRST_ID + 0x1000).contains(&number))
}

/// A set without a name gets one.
fn same_value(seen: &[u8], sent: &[u8]) -> bool {
    let pattern = OWN_SET.trim_end_matches("%d").as_bytes();
    seen == sent || (sent.starts_with(OWN_SET.as_bytes()) && seen.starts_with(pattern))
}
