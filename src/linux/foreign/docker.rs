//! Two rules in the chain that Docker leaves to the administrator: what enters or leaves by a bridge of ours is
//! accepted. They are written as iptables writes them, comment included, so that it shows and deletes them as its own.

use bowline_core::Result;
use bowline_core::name::LinkName;
use netlink_packet_core::NLM_F_CREATE;

use super::rule::{self, Fact, Step, Verdict};
use super::ruleset::{Family, GET_CHAIN, GET_RULE};
use super::talk::{self, Operation, Talk, attr, find, nest, text};
use super::tool::DOCKER_USER;
use crate::netlink::Failure;

const NEW_RULE: u16 = 6;
const DEL_RULE: u16 = 8;
const TABLE: &str = "filter";
/// The mark of our rules.
const COMMENT: &str = "bowline";

mod of {
    pub(super) const TABLE: u16 = 1;
    pub(super) const CHAIN: u16 = 2;
    pub(super) const CHAIN_NAME: u16 = 3;
    pub(super) const CHAIN_HOOK: u16 = 4;
    pub(super) const HANDLE: u16 = 3;
    pub(super) const EXPRESSIONS: u16 = 4;
    pub(super) const USERDATA: u16 = 7;
}

/// A rule of ours in one of the two tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mine {
    family: Family,
    side: Side,
}

/// One that is there, and what the kernel calls it.
struct Found {
    mine: Mine,
    handle: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Enters,
    Leaves,
}

/// Accepts what enters or leaves by the bridge, at the front of DOCKER-USER in `ip filter` and `ip6 filter`, where
/// that chain is. Returns whether a rule was added: not where they are there already. Docker's rules for its own
/// bridges come after that chain, so that members may then send to its containers' own addresses where nothing else
/// forbids it.
pub(crate) fn welcome(bridge: &LinkName) -> Result<bool> {
    talk::undisturbed(&format!("welcome {bridge} in {DOCKER_USER}"), |talk| {
        let generation = talk.generation()?;
        let mut missing = Vec::new();
        for family in [Family::Ip, Family::Ip6] {
            let Some(there) = rules(talk, family, bridge)? else { continue };
            let is_missing = |side: &Side| !there.iter().any(|found| found.mine.side == *side);
            let sides = [Side::Leaves, Side::Enters].into_iter().filter(is_missing);
            missing.extend(sides.map(|side| Mine { family, side }.insert(bridge)));
        }
        if missing.is_empty() {
            return Ok(false);
        }
        talk.transact(generation, &missing)?;
        Ok(true)
    })
}

/// Takes away the rules that [`welcome`] added, and nothing else. Succeeds where there are none.
pub(crate) fn unwelcome(bridge: &LinkName) -> Result<()> {
    talk::undisturbed(&format!("take {bridge} out of {DOCKER_USER}"), |talk| {
        let generation = talk.generation()?;
        let mut there = Vec::new();
        for family in [Family::Ip, Family::Ip6] {
            there.extend(rules(talk, family, bridge)?.unwrap_or_default());
        }
        if there.is_empty() {
            return Ok(());
        }
        let deletions: Vec<Operation> = there.iter().map(|found| found.mine.delete(&found.handle)).collect();
        talk.transact(generation, &deletions)
    })
}

/// Our rules for the bridge. None where that table has no such chain for an administrator's rules.
fn rules(talk: &mut Talk, family: Family, bridge: &LinkName) -> Result<Option<Vec<Found>>, Failure> {
    let chain = [text(of::TABLE, TABLE), text(of::CHAIN_NAME, DOCKER_USER)];
    let Some(chain) = talk.one(GET_CHAIN, family.number(), &chain)? else { return Ok(None) };
    if find(&chain.attributes, of::CHAIN_HOOK).is_some() {
        return Ok(None);
    }
    let answers = talk.dump(GET_RULE, family.number(), &place())?;
    let mine = answers.iter().filter_map(|answer| {
        let side = side_of(&answer.attributes, bridge)?;
        let handle = find(&answer.attributes, of::HANDLE)?.to_vec();
        Some(Found { mine: Mine { family, side }, handle })
    });
    Ok(Some(mine.collect()))
}

/// Which of our two rules for the bridge this is. After an `iptables-restore` the comment is a match of iptables, which
/// is read just so.
fn side_of(attributes: &[u8], bridge: &LinkName) -> Option<Side> {
    let rule = rule::read(attributes);
    let [Step::Load { to, fact }, Step::Compare { from, equal: true, value }, Step::Decide(Verdict::Accept)] =
        &rule.steps[..]
    else {
        return None;
    };
    // Without a zero behind it, it is the beginning of many names.
    let (name, zeros) = value.split_at_checked(bridge.as_str().len())?;
    let is_whole = !zeros.is_empty() && zeros.iter().all(|&byte| byte == 0);
    let is_ours = rule.comment.as_deref() == Some(COMMENT);
    if from != to || name != bridge.as_str().as_bytes() || !is_whole || !is_ours {
        return None;
    }
    match fact {
        Fact::EntersByName => Some(Side::Enters),
        Fact::LeavesByName => Some(Side::Leaves),
        Fact::EntersByIndex | Fact::LeavesByIndex | Fact::Family | Fact::State | Fact::Status => None,
    }
}

impl Mine {
    fn insert(self, bridge: &LinkName) -> Operation {
        const IIFNAME: u32 = 6;
        const OIFNAME: u32 = 7;
        const REGISTER: u32 = 1;
        const EQUAL: u32 = 0;
        const VERDICT: u32 = 0;
        const ACCEPT: u32 = 1;
        let key = match self.side {
            Side::Enters => IIFNAME,
            Side::Leaves => OIFNAME,
        };
        let name = nest(3, &[text(1, bridge.as_str())]);
        let accept = nest(2, &[nest(2, &[number(1, ACCEPT)])]);
        let expressions = [
            expression("meta", &[number(1, REGISTER), number(2, key)]),
            expression("cmp", &[number(1, REGISTER), number(2, EQUAL), name]),
            expression("counter", &[]),
            expression("immediate", &[number(1, VERDICT), accept]),
        ];
        let comment = [&[0, COMMENT.len() as u8 + 1], COMMENT.as_bytes(), &[0]].concat();
        let [table, chain] = place();
        let rule = [table, chain, nest(of::EXPRESSIONS, &expressions), attr(of::USERDATA, &comment)];
        // Without NLM_F_APPEND it becomes the first.
        self.operation(NEW_RULE, NLM_F_CREATE, &rule)
    }

    fn delete(self, handle: &[u8]) -> Operation {
        let [table, chain] = place();
        self.operation(DEL_RULE, 0, &[table, chain, attr(of::HANDLE, handle)])
    }

    fn operation(self, kind: u16, flags: u16, attributes: &[Vec<u8>]) -> Operation {
        Operation { kind, flags, family: self.family.number(), attributes: attributes.concat() }
    }
}

fn place() -> [Vec<u8>; 2] {
    [text(of::TABLE, TABLE), text(of::CHAIN, DOCKER_USER)]
}

fn expression(name: &str, data: &[Vec<u8>]) -> Vec<u8> {
    nest(1, &[text(1, name), nest(2, data)])
}

fn number(kind: u16, value: u32) -> Vec<u8> {
    attr(kind, &value.to_be_bytes())
}
