//! The table's constant part as operations: the sets, the chains, and the rules.

use bowline_core::firewall::{Chain, ChainKind, FRAME, Holds, Hook, Rule, Set};

use super::batch::{Batch, What};
use super::element;
use super::rule::{self, NEIGHBOUR_TYPES, OWN_SET};
use super::wire::{flag, kind};

/// How a table is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tenure {
    /// By our socket, so that nobody else changes it, and beyond the socket's end. Kernel 6.9 and later.
    Owned,
    /// Like any other table.
    Plain,
}

/// Only this socket may change the table.
pub(super) const OWNER: u32 = 0x2;
/// The table outlives its owner.
pub(super) const PERSIST: u32 = 0x4;

const POLICY_ACCEPT: u32 = 1;

/// The numbers that sets have within a transaction begin here, where no other value that we send is near.
pub(super) const FIRST_ID: u32 = 0xb011_0000;

/// Attributes of tables, sets and chains.
mod attr {
    pub(super) const TABLE_FLAGS: u16 = 2;

    pub(super) const SET_NAME: u16 = 2;
    pub(super) const SET_FLAGS: u16 = 3;
    pub(super) const SET_KEY_TYPE: u16 = 4;
    pub(super) const SET_KEY_LEN: u16 = 5;
    pub(super) const SET_ID: u16 = 10;
    pub(super) const SET_USERDATA: u16 = 13;

    pub(super) const CHAIN_NAME: u16 = 3;
    pub(super) const CHAIN_HOOK: u16 = 4;
    pub(super) const CHAIN_POLICY: u16 = 5;
    pub(super) const CHAIN_TYPE: u16 = 7;
    pub(super) const HOOK_NUMBER: u16 = 1;
    pub(super) const HOOK_PRIORITY: u16 = 2;

    pub(super) const RULE_CHAIN: u16 = 2;
    pub(super) const RULE_EXPRESSIONS: u16 = 4;

    pub(super) const ELEMENTS_SET: u16 = 2;
    pub(super) const ELEMENTS_LIST: u16 = 3;
    pub(super) const ELEMENTS_SET_ID: u16 = 4;
}

const ANONYMOUS: u32 = 0x1;
const CONSTANT: u32 = 0x2;
const INTERVAL: u32 = 0x4;

/// How `nft` calls the types of keys. The kernel only keeps the numbers for it.
mod datatype {
    pub(super) const IPV4_ADDR: u32 = 7;
    pub(super) const IPV6_ADDR: u32 = 8;
    pub(super) const ICMPV6_TYPE: u32 = 29;
    pub(super) const IFNAME: u32 = 41;
    /// A concatenation has six bits for each part.
    pub(super) const IFNAME_PAIR: u32 = IFNAME << 6 | IFNAME;
}

/// Replaces a table that may or may not be there.
pub(super) fn replace(batch: &mut Batch<'_>, tenure: Tenure) {
    // So that there is something to delete. Says nothing of flags, and so leaves those of an existing table alone.
    batch.op(What::AddTable, kind::NEW_TABLE, flag::CREATE, |_| {});
    delete(batch);
    match tenure {
        Tenure::Owned => claim(batch),
        Tenure::Plain => batch.op(What::AddTable, kind::NEW_TABLE, flag::CREATE, |_| {}),
    }
    fill(batch);
}

pub(super) fn delete(batch: &mut Batch<'_>) {
    batch.op(What::DelTable, kind::DEL_TABLE, 0, |_| {});
}

/// Makes the sending socket the owner of the table, which need not exist.
pub(super) fn claim(batch: &mut Batch<'_>) {
    batch.op(What::OwnTable, kind::NEW_TABLE, flag::CREATE, |w| w.be32(attr::TABLE_FLAGS, OWNER | PERSIST));
}

/// All that is in the table but the elements of its named sets.
pub(super) fn fill(batch: &mut Batch<'_>) {
    let mut ids = FIRST_ID..;
    let mut next_id = || ids.next().expect("there are few sets");
    for &set in Set::ALL {
        put_set(batch, set, next_id());
    }
    for chain in FRAME {
        put_chain(batch, chain);
    }
    for chain in FRAME {
        for rule in chain.rules {
            let own_set = next_id();
            if rule::needs_own_set(rule) {
                put_own_set(batch, own_set);
            }
            put_rule(batch, chain, rule, own_set);
        }
    }
}

/// How many sets and chains with a name are in the table. The kernel does not count a rule's own set.
pub(super) fn parts() -> usize {
    Set::ALL.len() + FRAME.len()
}

fn put_set(batch: &mut Batch<'_>, set: Set, id: u32) {
    let link_len = element::LINK_LEN as u32;
    let (flags, key_type, key_len) = match set.holds() {
        Holds::Link => (0, datatype::IFNAME, link_len),
        Holds::LinkPair => (0, datatype::IFNAME_PAIR, 2 * link_len),
        Holds::Prefix4 => (INTERVAL, datatype::IPV4_ADDR, 4),
        Holds::Prefix6 => (INTERVAL, datatype::IPV6_ADDR, 16),
    };
    batch.op(What::AddSet(set.name()), kind::NEW_SET, flag::CREATE, |w| {
        w.text(attr::SET_NAME, set.name());
        w.be32(attr::SET_FLAGS, flags);
        w.be32(attr::SET_KEY_TYPE, key_type);
        w.be32(attr::SET_KEY_LEN, key_len);
        w.be32(attr::SET_ID, id);
        w.attr(attr::SET_USERDATA, &byte_order(set.holds()));
    });
}

/// A note that `nft` leaves for itself: the byte order of the keys.
fn byte_order(holds: Holds) -> [u8; 6] {
    let order: u32 = match holds {
        Holds::LinkPair => 0,
        Holds::Link => 1,
        Holds::Prefix4 | Holds::Prefix6 => 2,
    };
    let [a, b, c, d] = order.to_ne_bytes();
    [0, 4, a, b, c, d]
}

fn put_chain(batch: &mut Batch<'_>, chain: &'static Chain) {
    let kind = match chain.kind {
        ChainKind::Filter => "filter",
        ChainKind::Nat => "nat",
    };
    let hook = match chain.hook {
        Hook::Input => 1,
        Hook::Forward => 2,
        Hook::Postrouting => 4,
    };
    batch.op(What::AddChain(chain), kind::NEW_CHAIN, flag::CREATE, |w| {
        w.text(attr::CHAIN_NAME, chain.name);
        w.nest(attr::CHAIN_HOOK, |w| {
            w.be32(attr::HOOK_NUMBER, hook);
            w.attr(attr::HOOK_PRIORITY, &chain.priority.to_be_bytes());
        });
        w.be32(attr::CHAIN_POLICY, POLICY_ACCEPT);
        w.text(attr::CHAIN_TYPE, kind);
    });
}

fn put_rule(batch: &mut Batch<'_>, chain: &'static Chain, rule: &'static Rule, own_set: u32) {
    batch.op(What::AddRule(chain, rule), kind::NEW_RULE, flag::CREATE | flag::APPEND, |w| {
        w.text(attr::RULE_CHAIN, chain.name);
        w.nest(attr::RULE_EXPRESSIONS, |w| rule::put(w, rule, own_set));
    });
}

/// A set without a name of its own, which lives and dies with the rule that follows.
fn put_own_set(batch: &mut Batch<'_>, id: u32) {
    const NAME: &str = "of icmpv6 types";
    batch.op(What::AddSet(NAME), kind::NEW_SET, flag::CREATE, |w| {
        w.text(attr::SET_NAME, OWN_SET);
        w.be32(attr::SET_FLAGS, ANONYMOUS | CONSTANT);
        w.be32(attr::SET_KEY_TYPE, datatype::ICMPV6_TYPE);
        w.be32(attr::SET_KEY_LEN, 1);
        w.be32(attr::SET_ID, id);
    });
    batch.op(What::FillSet(NAME), kind::NEW_ELEMENT, flag::CREATE, |w| {
        w.text(attr::ELEMENTS_SET, OWN_SET);
        w.be32(attr::ELEMENTS_SET_ID, id);
        w.nest(attr::ELEMENTS_LIST, |w| NEIGHBOUR_TYPES.iter().for_each(|&t| element::put_key(w, &[t])));
    });
}
