//! From an offer or an acknowledgement to a [`Lease`]: what in it can be used. A lease that cannot is none; a part that cannot
//! is left out.

use std::net::Ipv4Addr;
use std::time::Duration;

use bowline_core::lease::{Lease, LeaseRoute};
use ipnetwork::Ipv4Network;

use crate::message::{Message, option};

/// Nobody means less, and to renew one would keep both sides busy.
const SHORTEST: u32 = 5;
const INFINITE: u32 = u32::MAX;
/// Of routes, servers and domains, each.
const MOST: usize = 32;
/// What every host must take (RFC 791).
const LEAST_MTU: u16 = 576;
const LONGEST_DOMAIN: usize = 253;

/// What the message gives, had it come just now. None where it lacks an address, a server or a time that can be used.
pub fn lease(message: &Message, now: Duration) -> Option<Lease> {
    let server = message.address(option::SERVER).filter(is_somebodys)?;
    let prefix = match message.address(option::MASK) {
        Some(mask) => ipnetwork::ipv4_mask_to_prefix(mask).ok()?,
        None => prefix_of_class(message.yiaddr),
    };
    let address = Ipv4Network::new(message.yiaddr, prefix).ok().filter(is_member)?;
    let seconds = message.number(option::LEASE_TIME).filter(|seconds| *seconds >= SHORTEST)?;
    let (renew, rebind) = times(message, seconds);
    let after = |seconds: Duration| now.saturating_add(seconds);
    let ends = seconds != INFINITE;
    Some(Lease {
        address,
        server,
        hop: None,
        routes: routes(message, address),
        dns: message.addresses(option::DNS).into_iter().filter(is_somebodys).take(MOST).collect(),
        search: search(message),
        mtu: mtu(message),
        began: now,
        renew: if ends { after(renew) } else { Lease::NEVER },
        rebind: if ends { after(rebind) } else { Lease::NEVER },
        expires: if ends { after(Duration::from_secs(seconds.into())) } else { Lease::NEVER },
    })
}

/// T1 and T2 where the server says them and they fit, or half and seven eighths (RFC 2131 section 4.4.5).
fn times(message: &Message, seconds: u32) -> (Duration, Duration) {
    let whole = Duration::from_secs(seconds.into());
    let said = |code| message.number(code).map(|seconds| Duration::from_secs(seconds.into()));
    let rebind = said(option::T2).filter(|t2| *t2 < whole && *t2 > Duration::from_secs(1));
    let rebind = rebind.unwrap_or(whole / 8 * 7);
    let renew = said(option::T1).filter(|t1| *t1 < rebind && !t1.is_zero());
    (renew.unwrap_or_else(|| (whole / 2).min(rebind)), rebind)
}

/// Routes with their own masks take the place of the router (RFC 3442). One whose neighbour is not in the subnet leads nowhere.
fn routes(message: &Message, address: Ipv4Network) -> Vec<LeaseRoute> {
    let neighbour = |ip: &Ipv4Addr| address.contains(*ip) && *ip != address.ip();
    let classless = message.options.get(&option::ROUTES).and_then(|value| classless(value));
    if let Some(mut routes) = classless {
        routes.retain(|route| {
            route.via.as_ref().is_none_or(neighbour) && (route.via.is_some() || route.to.prefix() > 0)
        });
        // What is on the link is known to be by the address itself.
        let mut there = std::collections::BTreeSet::from([(address.network(), address.prefix())]);
        routes.retain(|route| there.insert((route.to.ip(), route.to.prefix())));
        routes.truncate(MOST);
        return routes;
    }
    let any = Ipv4Network::new(Ipv4Addr::UNSPECIFIED, 0).expect("zero is a prefix length");
    let router = message.addresses(option::ROUTER).into_iter().find(neighbour);
    router.map(|via| LeaseRoute { to: any, via: Some(via) }).into_iter().collect()
}

/// A prefix length, as many bytes of the destination as that has, and the router. None where any of it makes no sense.
fn classless(mut value: &[u8]) -> Option<Vec<LeaseRoute>> {
    let mut routes = Vec::new();
    while let Some((&prefix, rest)) = value.split_first() {
        let (net, rest) = rest.split_at_checked(usize::from(prefix).div_ceil(8)).filter(|_| prefix <= 32)?;
        let (via, rest) = rest.split_at_checked(4)?;
        let mut octets = [0; 4];
        octets[..net.len()].copy_from_slice(net);
        let to = Ipv4Network::new(octets.into(), prefix).ok()?;
        let to = Ipv4Network::new(to.network(), prefix).ok()?;
        let via = Ipv4Addr::new(via[0], via[1], via[2], via[3]);
        routes.push(LeaseRoute { to, via: (!via.is_unspecified()).then_some(via) });
        value = rest;
    }
    Some(routes)
}

fn mtu(message: &Message) -> Option<u32> {
    let bytes: [u8; 2] = message.options.get(&option::MTU)?.as_slice().try_into().ok()?;
    Some(u16::from_be_bytes(bytes)).filter(|mtu| *mtu >= LEAST_MTU).map(u32::from)
}

/// The domains that are searched, or else the one that it is in.
fn search(message: &Message) -> Vec<String> {
    let listed = message.options.get(&option::SEARCH).and_then(|value| domains(value));
    if let Some(listed) = listed.filter(|listed| !listed.is_empty()) {
        return listed;
    }
    let own = message.options.get(&option::DOMAIN).map_or(&[][..], Vec::as_slice);
    let own = std::str::from_utf8(own).unwrap_or_default();
    let own = own.trim_end_matches('\0').trim_end_matches('.');
    if own.len() <= LONGEST_DOMAIN && own.split('.').all(|label| is_label(label.as_bytes())) {
        vec![own.to_string()]
    } else {
        Vec::new()
    }
}

/// Names as DNS has them, one after the other (RFC 3397). A pointer leads back only, so reading ends. None where any of it
/// makes no sense.
fn domains(value: &[u8]) -> Option<Vec<String>> {
    let (mut names, mut at) = (Vec::new(), 0);
    while at < value.len() {
        let (name, next) = domain(value, at)?;
        names.push(name);
        at = next;
        if names.len() == MOST {
            break;
        }
    }
    Some(names)
}

fn domain(value: &[u8], begin: usize) -> Option<(String, usize)> {
    let (mut name, mut at, mut next, mut lowest) = (String::new(), begin, None, begin);
    loop {
        let length = *value.get(at)?;
        match length {
            0 => break,
            1..=63 => {
                let label =
                    value.get(at + 1..at + 1 + usize::from(length)).filter(|label| is_label(label))?;
                if !name.is_empty() {
                    name.push('.');
                }
                name.extend(label.iter().map(|byte| char::from(*byte)));
                if name.len() > LONGEST_DOMAIN {
                    return None;
                }
                at += 1 + usize::from(length);
            }
            192.. => {
                let to = usize::from(u16::from_be_bytes([length & 0x3f, *value.get(at + 1)?]));
                if to >= lowest {
                    return None;
                }
                next = next.or(Some(at + 2));
                (at, lowest) = (to, to);
            }
            64..192 => return None,
        }
    }
    let next = next.unwrap_or(at + 1);
    (!name.is_empty()).then_some((name, next))
}

fn is_label(label: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=63).contains(&label.len()) && label.iter().all(fits)
}

/// Of one host, and not of this one only.
fn is_somebodys(ip: &Ipv4Addr) -> bool {
    !(ip.is_unspecified()
        || ip.is_loopback()
        || ip.is_multicast()
        || ip.octets()[0] >= 240
        || ip.octets()[0] == 0)
}

/// An address that a card can have.
fn is_member(net: &Ipv4Network) -> bool {
    let inside = net.prefix() >= 31 || (net.ip() != net.network() && net.ip() != net.broadcast());
    net.prefix() > 0 && inside && is_somebodys(&net.ip())
}

fn prefix_of_class(ip: Ipv4Addr) -> u8 {
    match ip.octets()[0] {
        0..128 => 8,
        128..192 => 16,
        192.. => 24,
    }
}

#[cfg(test)]
mod tests;
