//! The way of a packet through the chains of one table, as the kernel would send it: from a base chain's first rule
//! to a verdict, and where it finds none to the policy.

use super::packet::{Packet, Truth};
use super::rule::Verdict;
use super::ruleset::{Base, Table};

/// What becomes of a packet that is dropped.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fate {
    /// None where it is the base chain's policy.
    pub(super) by: Option<Drop>,
    /// No rule before it may take the packet elsewhere by conditions that we do not understand.
    pub(super) certain: bool,
}

/// A rule that drops.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Drop {
    pub(super) chain: String,
    /// Counted from 1.
    pub(super) position: usize,
    pub(super) rejects: bool,
}

/// How a chain ends for a packet.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Nothing was decided, and the chain that jumped here goes on.
    Open,
    /// Accepted, or gone where we do not see it.
    Passed,
    Dropped(Drop),
}

struct Walk<'a> {
    table: &'a Table,
    packet: &'a Packet,
    certain: bool,
    /// Rules that may still be looked at. Jumps can make many ways of few chains.
    left: usize,
}

const MOST_RULES: usize = 200_000;
/// The kernel allows fewer.
const DEEPEST: usize = 32;

/// How the packet is dropped on its way through a base chain. None where it is not, or where we cannot tell.
pub(super) fn fate(table: &Table, base: &Base, packet: &Packet) -> Option<Fate> {
    let mut walk = Walk { table, packet, certain: true, left: MOST_RULES };
    let by = match walk.through(&base.name, true, 0) {
        End::Open if base.drops => None,
        End::Open | End::Passed => return None,
        End::Dropped(by) => Some(by),
    };
    Some(Fate { by, certain: walk.certain })
}

impl Walk<'_> {
    /// `surely` is whether the packet comes to this chain for sure. If not, we look only for what may save it.
    fn through(&mut self, chain: &str, surely: bool, depth: usize) -> End {
        let (table, packet) = (self.table, self.packet);
        let Some(rules) = table.chains.get(chain).filter(|_| depth < DEEPEST) else {
            return self.lost(surely);
        };
        for (at, rule) in rules.iter().enumerate() {
            let Some(left) = self.left.checked_sub(1) else { return self.lost(surely) };
            self.left = left;
            for (truth, verdict) in packet.meets(rule, table) {
                let matches = truth == Truth::Yes;
                let end = self.decide(&verdict, surely, matches, depth);
                let end = match end {
                    Some(Decision::Drops(rejects)) => {
                        return End::Dropped(Drop { chain: chain.to_string(), position: at + 1, rejects });
                    }
                    Some(Decision::Ends(end)) => end,
                    None => continue,
                };
                // A rule that matches is the last one that the packet meets in this chain.
                if matches || end != End::Open {
                    return end;
                }
            }
        }
        End::Open
    }

    /// What a verdict does. None where the chain goes on after it in any case.
    fn decide(&mut self, verdict: &Verdict, came: bool, matches: bool, depth: usize) -> Option<Decision> {
        let surely = came && matches;
        // What may leave the chain may escape a drop that is further down.
        let may_leave = came && !matches;
        Some(match verdict {
            Verdict::Continue => return None,
            Verdict::Accept | Verdict::Elsewhere => Decision::Ends(self.lost(surely)),
            Verdict::Drop | Verdict::Reject if surely => Decision::Drops(*verdict == Verdict::Reject),
            Verdict::Drop | Verdict::Reject => Decision::Ends(End::Open),
            Verdict::Return => {
                self.certain &= !may_leave;
                Decision::Ends(End::Open)
            }
            Verdict::Jump(to) => match self.through(to, surely, depth + 1) {
                End::Open => return None,
                end => Decision::Ends(end),
            },
            Verdict::Goto(to) => {
                self.certain &= !may_leave;
                Decision::Ends(self.through(to, surely, depth + 1))
            }
        })
    }

    /// The packet is out of our sight, or it may be.
    fn lost(&mut self, surely: bool) -> End {
        if surely {
            return End::Passed;
        }
        self.certain = false;
        End::Open
    }
}

enum Decision {
    /// Here, with or without telling the sender.
    Drops(bool),
    Ends(End),
}
