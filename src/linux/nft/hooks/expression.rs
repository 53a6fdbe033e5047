//! Expressions that only the administrator's rules have.

use bowline_core::firewall::hooks::{Bound, Level, Limit, Log};

use crate::nft::rule::OWN_SET;
use crate::nft::rule::expression::{DATA_VALUE, FIRST, compare, expression, verdict};
use crate::nft::wire::Writer;

const AT_MOST: u32 = 3;
const AT_LEAST: u32 = 5;

const RETURN: i32 = -5;

/// Of the connection's first packet, as it came.
pub(super) fn load_original(w: &mut Writer, key: u32) {
    const ORIGINAL: u8 = 0;
    expression(w, "ct", |w| {
        w.be32(1, FIRST);
        w.be32(2, key);
        w.attr(3, &[ORIGINAL]);
    });
}

/// Whether that is in a set of the rule's own.
pub(super) fn lookup(w: &mut Writer, id: u32, negated: bool) {
    expression(w, "lookup", |w| {
        w.text(1, OWN_SET);
        w.be32(2, FIRST);
        w.be32(4, id);
        w.be32(5, u32::from(negated));
    });
}

/// Whether that lies between the two, both included.
pub(super) fn range(w: &mut Writer, first: &[u8], last: &[u8], negated: bool) {
    const OUTSIDE: u32 = 1;
    if !negated {
        compare(w, AT_LEAST, first);
        return compare(w, AT_MOST, last);
    }
    expression(w, "range", |w| {
        w.be32(1, FIRST);
        w.be32(2, OUTSIDE);
        w.nest(3, |w| w.attr(DATA_VALUE, first));
        w.nest(4, |w| w.attr(DATA_VALUE, last));
    });
}

pub(super) fn counter(w: &mut Writer) {
    expression(w, "counter", |_| {});
}

pub(super) fn log(w: &mut Writer, log: &Log) {
    expression(w, "log", |w| {
        if let Some(prefix) = &log.prefix {
            w.text(2, prefix.as_str());
        }
        match syslog(log.level) {
            WARNING => {}
            level => w.be32(5, level),
        }
    });
}

/// What the kernel takes where nothing is said.
const WARNING: u32 = 4;

fn syslog(level: Level) -> u32 {
    match level {
        Level::Emerg => 0,
        Level::Alert => 1,
        Level::Crit => 2,
        Level::Err => 3,
        Level::Warn => WARNING,
        Level::Notice => 5,
        Level::Info => 6,
        Level::Debug => 7,
    }
}

pub(super) fn limit(w: &mut Writer, limit: Limit) {
    const PACKETS: u32 = 0;
    let beyond = match limit.bound {
        Bound::Within => 0,
        Bound::Beyond => 1,
    };
    expression(w, "limit", |w| {
        w.attr(1, &u64::from(limit.rate()).to_be_bytes());
        w.attr(2, &u64::from(limit.per.seconds()).to_be_bytes());
        w.be32(3, limit.burst());
        w.be32(4, PACKETS);
        w.be32(5, beyond);
    });
}

/// To the chain that jumped here.
pub(super) fn back(w: &mut Writer) {
    verdict(w, RETURN, None);
}

/// That the port is not reachable, in the words of the packet's family.
pub(super) fn reject(w: &mut Writer) {
    const OF_EITHER_FAMILY: u32 = 2;
    const PORT_UNREACHABLE: u8 = 1;
    expression(w, "reject", |w| {
        w.be32(1, OF_EITHER_FAMILY);
        w.attr(2, &[PORT_UNREACHABLE]);
    });
}
