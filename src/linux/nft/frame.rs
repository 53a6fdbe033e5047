//! The tables' constant part as operations: the sets, the chains, and the rules.

pub(super) mod set;

use bowline_core::firewall::{Base, Chain, ChainKind, FRAME, Hook, Rule, Set, Table};
use bowline_core::firewall::{USER_FORWARD, USER_PREROUTING};

use super::batch::{Batch, What};
use super::rule;
use super::wire::{flag, kind};

/// How a table is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tenure {
    /// By our socket, so that nobody else changes it, and beyond the socket's end. Kernel 6.9 and later.
    Owned,
    /// Like any other table.
    Plain,
}

/// No chain of the table is run.
pub(super) const DORMANT: u32 = 0x1;
/// Only this socket may change the table.
pub(super) const OWNER: u32 = 0x2;
/// The table outlives its owner.
pub(super) const PERSIST: u32 = 0x4;

const POLICY_ACCEPT: u32 = 1;

/// The numbers that sets have within a transaction begin here, where no other value that we send is near.
pub(super) const FIRST_ID: u32 = 0xb011_0000;

/// Attributes of tables, chains and rules.
mod attr {
    pub(super) const TABLE_FLAGS: u16 = 2;

    pub(super) const CHAIN_NAME: u16 = 3;
    pub(super) const CHAIN_HOOK: u16 = 4;
    pub(super) const CHAIN_POLICY: u16 = 5;
    pub(super) const CHAIN_TYPE: u16 = 7;
    pub(super) const HOOK_NUMBER: u16 = 1;
    pub(super) const HOOK_PRIORITY: u16 = 2;

    pub(super) const RULE_CHAIN: u16 = 2;
    pub(super) const RULE_EXPRESSIONS: u16 = 4;
}

/// Replaces tables that may or may not be there.
pub(super) fn replace(batch: &mut Batch<'_>, tenure: Tenure) {
    remove(batch);
    for &table in Table::ALL {
        match tenure {
            Tenure::Owned => claim(batch, table),
            Tenure::Plain => add(batch, table),
        }
    }
    fill(batch);
}

/// Deletes tables that may or may not be there.
pub(super) fn remove(batch: &mut Batch<'_>) {
    for &table in Table::ALL {
        // So that there is something to delete.
        add(batch, table);
        delete(batch, table);
    }
}

/// Says nothing of flags, and so leaves those of an existing table alone.
pub(super) fn add(batch: &mut Batch<'_>, table: Table) {
    batch.op(table, What::AddTable(table), kind::NEW_TABLE, flag::CREATE, |_| {});
}

pub(super) fn delete(batch: &mut Batch<'_>, table: Table) {
    batch.op(table, What::DelTable(table), kind::DEL_TABLE, 0, |_| {});
}

/// Makes the sending socket the owner of the table, which need not exist.
pub(super) fn claim(batch: &mut Batch<'_>, table: Table) {
    batch.op(table, What::OwnTable(table), kind::NEW_TABLE, flag::CREATE, |w| {
        w.be32(attr::TABLE_FLAGS, OWNER | PERSIST);
    });
}

/// All that is in the tables but the elements of their named sets.
pub(super) fn fill(batch: &mut Batch<'_>) {
    part(batch, |_| true);
}

/// The same, with these chains only, which jump to no others, and the sets of their tables.
pub(super) fn part(batch: &mut Batch<'_>, wanted: impl Fn(&Chain) -> bool) {
    let mut ids = FIRST_ID..;
    let mut next_id = || ids.next().expect("there are few sets");
    let chains = || FRAME.iter().filter(|chain| wanted(chain));
    for &set in Set::ALL.iter().filter(|set| chains().any(|chain| chain.table == set.table())) {
        set::put(batch, set, next_id());
    }
    // Rules jump to chains, so these are all there before.
    for chain in chains() {
        put_chain(batch, chain);
    }
    for chain in chains() {
        for rule in chain.rules {
            let own_set = next_id();
            if rule::needs_own_set(rule) {
                set::put_neighbour_types(batch, chain.table, own_set);
            }
            put_rule(batch, chain, rule, own_set);
        }
    }
}

/// How many sets and chains with a name are in the table. The kernel does not count a rule's own set.
pub(super) fn parts(table: Table) -> usize {
    let sets = Set::ALL.iter().filter(|set| set.table() == table).count();
    sets + FRAME.iter().filter(|chain| chain.table == table).count()
}

/// Whether the rules in it are the administrator's, and none of the frame.
pub(super) fn is_users(chain: &Chain) -> bool {
    chain.table == Table::Inet && matches!(chain.name, USER_FORWARD | USER_PREROUTING)
}

fn put_chain(batch: &mut Batch<'_>, chain: &'static Chain) {
    batch.op(chain.table, What::AddChain(chain), kind::NEW_CHAIN, flag::CREATE, |w| {
        w.text(attr::CHAIN_NAME, chain.name);
        let Some(Base { kind, hook, priority }) = chain.base else { return };
        w.nest(attr::CHAIN_HOOK, |w| {
            w.be32(attr::HOOK_NUMBER, number(hook));
            w.attr(attr::HOOK_PRIORITY, &priority.to_be_bytes());
        });
        w.be32(attr::CHAIN_POLICY, POLICY_ACCEPT);
        w.text(
            attr::CHAIN_TYPE,
            match kind {
                ChainKind::Filter => "filter",
                ChainKind::Nat => "nat",
            },
        );
    });
}

/// The same in both families.
fn number(hook: Hook) -> u32 {
    match hook {
        Hook::Prerouting => 0,
        Hook::Input => 1,
        Hook::Forward => 2,
        Hook::Output => 3,
        Hook::Postrouting => 4,
    }
}

fn put_rule(batch: &mut Batch<'_>, chain: &'static Chain, rule: &'static Rule, own_set: u32) {
    let flags = flag::CREATE | flag::APPEND;
    batch.op(chain.table, What::AddRule(chain, rule), kind::NEW_RULE, flags, |w| {
        w.text(attr::RULE_CHAIN, chain.name);
        w.nest(attr::RULE_EXPRESSIONS, |w| rule::put(w, chain.table, rule, own_set));
    });
}
