//! Whether a kernel takes our tables, one part at a time, for when somebody asks what is missing.

use bowline_core::firewall::{Chain, ChainKind, Table};
use bowline_core::{Code, Error, Result};

use super::batch::Batch;
use super::refusal::{self, Fault};
use super::socket::Socket;
use super::{frame, refuses_owner};

/// What kernels may have without the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// What filters routed packets.
    Inet,
    Nat,
    Bridge,
    /// A table that is its socket's, and outlives it.
    Owner,
}

/// Puts that part into the calling thread's namespace, which has none of our tables and is nobody else's.
/// Fails with [`Code::Unsupported`] where the kernel has no such thing.
pub(crate) fn attempt(part: Part) -> Result<()> {
    let mut batch = Batch::new();
    match part {
        Part::Inet => fill(&mut batch, Table::Inet, |chain| !translates(chain)),
        Part::Nat => fill(&mut batch, Table::Inet, translates),
        Part::Bridge => fill(&mut batch, Table::Bridge, |_| true),
        Part::Owner => frame::claim(&mut batch, Table::Inet),
    }
    let outcome = Socket::open()?.transact(&mut batch);
    outcome.map_err(|fault| {
        let owner = matches!(&fault, Fault::Refused(all) if all.iter().any(|r| refuses_owner(&batch, r)));
        let error = refusal::explain_batch(&batch, fault);
        if owner { Error { code: Code::Unsupported, ..error } } else { error }
    })
}

fn fill(batch: &mut Batch<'_>, table: Table, wanted: impl Fn(&Chain) -> bool) {
    frame::add(batch, table);
    frame::part(batch, |chain| chain.table == table && wanted(chain));
}

/// Jumped to from chains that translate, or one of those.
fn translates(chain: &Chain) -> bool {
    match &chain.base {
        Some(base) => base.kind == ChainKind::Nat,
        None => !frame::is_users(chain),
    }
}
