//! What becomes of one query, whichever way it came.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::answer::{self, Verdict};
use crate::asker::View;
use crate::log::From;
use crate::log::ring::Record;
use crate::message::Transport;

use super::batch::QUERY;
use super::client::{Permit, Served};
use super::shared::Shared;
use super::source::Group;

pub(super) enum Decided {
    /// What was written is the answer.
    Reply(From),
    Silence,
    /// Servers are to be asked, and may be.
    Forward(Arc<Group>, Permit),
}

/// Names of ours first, then what servers said before, then the servers.
pub(super) fn decide(
    query: &[u8],
    over: Transport,
    (served, view): (&Served, &View),
    shared: &Shared,
    (turn, now): (u32, Instant),
    out: &mut Vec<u8>,
) -> Decided {
    match answer::answer(query, over, view, turn, out) {
        Verdict::Reply => return Decided::Reply(From::Here),
        Verdict::Silence => return Decided::Silence,
        Verdict::Elsewhere => {}
    }
    // By TCP it could be sixteen times as long, and those on their way are counted, not weighed.
    if query.len() > QUERY {
        answer::malformed(query, out);
        return Decided::Reply(From::Here);
    }
    let Some(group) = &served.group else {
        answer::failure(query, out);
        return Decided::Reply(From::Nobody);
    };
    if shared.cache.get(group.source, query, now, out) {
        answer::fit(query, over, out);
        return Decided::Reply(From::Cache);
    }
    match served.ear.client.permit(&shared.forwards) {
        Some(permit) => Decided::Forward(group.clone(), permit),
        None => {
            answer::failure(query, out);
            Decided::Reply(From::Nobody)
        }
    }
}

impl Served {
    /// What the log keeps of a query.
    pub(super) fn record<'a>(
        &self,
        view: &'a View,
        at: SystemTime,
        query: &'a [u8],
        reply: &'a [u8],
        from: From,
        took: Duration,
    ) -> Record<'a> {
        let place = self.ear.client.asker.place;
        Record { at, place, endpoint: &view.endpoint, query, reply, from, took }
    }
}
