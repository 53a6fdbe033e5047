//! Which names of which zones a name means to who asks: links first, then each network's names, bare and with the
//! network's name after them.

use std::net::Ipv6Addr;

use super::reverse::Reverse;
use crate::asker::View;
use crate::message::{WireName, split, strip};
use crate::zone::{Held, Tables, Zone};

const LOCALHOST: &[u8] = b"\x09localhost";
pub(super) const V4_REVERSE: &[u8] = b"\x07in-addr\x04arpa";
pub(super) const V6_REVERSE: &[u8] = b"\x03ip6\x04arpa";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Somebody has it.
    Owned,
    /// It is a link to somebody who is not there, and no other's name meanwhile.
    Gone,
    /// It is no name of ours.
    Nobody,
}

/// Calls for each zone in which somebody has the name, in the order of the view; a name may be found in two ways in one.
/// The zone is held meanwhile, so nothing else of it may be asked.
pub(super) fn each(view: &View, name: &[u8], mut call: impl FnMut(&Zone, &Tables, &Held)) -> Found {
    let mut found = Found::Nobody;
    let mut look = |zone: &Zone, name: &[u8]| {
        let (hit, linked) = match linked(view, name) {
            None => (zone.under(name, |tables, held| call(zone, tables, held)), false),
            Some(target) => (zone.under(&target, |tables, held| call(zone, tables, held)), true),
        };
        match found {
            Found::Owned => {}
            Found::Gone | Found::Nobody if hit => found = Found::Owned,
            Found::Gone | Found::Nobody if linked => found = Found::Gone,
            Found::Gone | Found::Nobody => {}
        }
    };
    for zone in &view.zones {
        look(zone, name);
        if !zone.suffix().is_empty()
            && let Some(bare) = strip(name, zone.suffix())
            && !bare.is_empty()
        {
            look(zone, bare);
        }
    }
    found
}

/// What a link means by this name; the root, which nobody has, where it means what DNS cannot hold.
fn linked(view: &View, name: &[u8]) -> Option<WireName> {
    let (_, target) = view.links.iter().find(|(alias, _)| says(alias, name))?;
    Some(WireName::from_text(target).unwrap_or(WireName::ROOT))
}

/// Whether a text is this name.
fn says(text: &str, mut name: &[u8]) -> bool {
    let mut labels = text.split('.');
    while let Some((label, rest)) = split(name) {
        if !labels.next().is_some_and(|text| text.as_bytes().eq_ignore_ascii_case(label)) {
            return false;
        }
        name = rest;
    }
    labels.next().is_none()
}

/// All of them, each at times the first. Callers count turns for many questions, so that one may be asked every other turn
/// only (A and AAAA by turns): a turn is a step of the golden ratio around the list, which leaves nobody out at any stride.
pub(super) fn turned<T>(list: &[T], turn: u32) -> impl Iterator<Item = &T> {
    let round = u64::from(turn.wrapping_mul(0x9e37_79b9));
    let first = ((round * list.len() as u64) >> 32) as usize;
    list[first..].iter().chain(&list[..first])
}

/// `localhost`, and all below it.
pub(super) fn is_localhost(name: &[u8]) -> bool {
    strip(name, LOCALHOST).is_some()
}

pub(super) fn localhost() -> WireName {
    WireName::from_text("localhost").unwrap_or(WireName::ROOT)
}

/// Whether names of ours are below one that nobody has: it must not be said that it does not exist, which would deny those
/// too (RFC 8020). Costs the same however many names there are, but for links, which are few.
pub(super) fn is_above(view: &View, name: &[u8]) -> bool {
    let above = |below: &[u8]| below.len() > name.len() && strip(below, name).is_some();
    // Every address in 127/8 and ::1 has a name.
    if [LOCALHOST, V4_REVERSE, V6_REVERSE].iter().any(|below| *below == name || above(below)) {
        return true;
    }
    if let Some(Reverse { address, bits }) = Reverse::parse(name)
        && (view.zones.iter().any(|zone| zone.is_within(address, bits))
            || address == Ipv6Addr::UNSPECIFIED && bits < 128)
    {
        return true;
    }
    let link = |name: &[u8]| {
        let ends = |alias: &WireName| alias.len() > name.len() && strip(alias, name).is_some();
        view.links.iter().any(|(alias, _)| WireName::from_text(alias).is_ok_and(|alias| ends(&alias)))
    };
    let within = |zone: &Zone| {
        strip(zone.suffix(), name).is_some()
            || zone.has_below(name)
            || strip(name, zone.suffix()).is_some_and(|bare| zone.has_below(bare) || link(bare))
    };
    link(name) || view.zones.iter().any(|zone| within(zone))
}

/// Where in a name the part begins that an answer of ours speaks for: the network's name, or else the root.
pub(super) fn apex(view: &View, name: &[u8]) -> usize {
    let networks = view.zones.iter().map(|zone| zone.suffix()).filter(|suffix| !suffix.is_empty());
    networks
        .chain([LOCALHOST, V4_REVERSE, V6_REVERSE])
        .find_map(|suffix| strip(name, suffix))
        .map_or(name.len(), <[u8]>::len)
}
