//! The words that nft has for numbers.

use super::part::{Level, State, Unit};
use crate::family::Family;

/// The common protocols above IP; the others go by their number.
pub(super) const PROTOCOLS: &[(u8, &str)] = &[
    (1, "icmp"),
    (2, "igmp"),
    (6, "tcp"),
    (17, "udp"),
    (33, "dccp"),
    (47, "gre"),
    (50, "esp"),
    (51, "ah"),
    (58, "ipv6-icmp"),
    (132, "sctp"),
    (136, "udplite"),
];

const ICMP_TYPES: &[(u8, &str)] = &[
    (0, "echo-reply"),
    (3, "destination-unreachable"),
    (4, "source-quench"),
    (5, "redirect"),
    (8, "echo-request"),
    (9, "router-advertisement"),
    (10, "router-solicitation"),
    (11, "time-exceeded"),
    (12, "parameter-problem"),
    (13, "timestamp-request"),
    (14, "timestamp-reply"),
    (15, "info-request"),
    (16, "info-reply"),
    (17, "address-mask-request"),
    (18, "address-mask-reply"),
];

const ICMPV6_TYPES: &[(u8, &str)] = &[
    (1, "destination-unreachable"),
    (2, "packet-too-big"),
    (3, "time-exceeded"),
    (4, "parameter-problem"),
    (128, "echo-request"),
    (129, "echo-reply"),
    (130, "mld-listener-query"),
    (131, "mld-listener-report"),
    (132, "mld-listener-done"),
    (133, "nd-router-solicit"),
    (134, "nd-router-advert"),
    (135, "nd-neighbor-solicit"),
    (136, "nd-neighbor-advert"),
    (137, "nd-redirect"),
    (138, "router-renumbering"),
    (141, "ind-neighbor-solicit"),
    (142, "ind-neighbor-advert"),
    (143, "mld2-listener-report"),
];

pub(super) fn icmp_types(family: Family) -> &'static [(u8, &'static str)] {
    match family {
        Family::V4 => ICMP_TYPES,
        Family::V6 => ICMPV6_TYPES,
    }
}

/// The word for a number, where there is one.
pub(super) fn word(table: &[(u8, &'static str)], number: u8) -> Option<&'static str> {
    table.iter().find(|(n, _)| *n == number).map(|(_, word)| *word)
}

/// The number that is meant, be it written as a word.
pub(super) fn number(table: &[(u8, &str)], text: &str) -> Option<u8> {
    let by_word = table.iter().find(|(_, word)| *word == text).map(|(n, _)| *n);
    by_word.or_else(|| if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None })
}

pub(super) fn listed(table: &[(u8, &str)]) -> String {
    table.iter().map(|(_, word)| *word).collect::<Vec<_>>().join(", ")
}

pub(super) fn state(state: State) -> &'static str {
    match state {
        State::Invalid => "invalid",
        State::Established => "established",
        State::Related => "related",
        State::New => "new",
        State::Untracked => "untracked",
    }
}

pub(super) fn level(level: Level) -> &'static str {
    match level {
        Level::Emerg => "emerg",
        Level::Alert => "alert",
        Level::Crit => "crit",
        Level::Err => "err",
        Level::Warn => "warn",
        Level::Notice => "notice",
        Level::Info => "info",
        Level::Debug => "debug",
    }
}

pub(super) fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Second => "second",
        Unit::Minute => "minute",
        Unit::Hour => "hour",
        Unit::Day => "day",
    }
}
