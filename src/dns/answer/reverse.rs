//! Names of addresses: `2.0.9.10.in-addr.arpa` and its like.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::lookup::{V4_REVERSE, V6_REVERSE};
use crate::message::{split, strip};

/// An address, or so many bits from the beginning of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reverse {
    pub(super) address: IpAddr,
    pub(super) bits: u8,
}

impl Reverse {
    pub(super) fn parse(name: &[u8]) -> Option<Reverse> {
        if let Some(labels) = strip(name, V4_REVERSE) {
            let (bytes, n) = values::<4>(labels, octet)?;
            return Some(Reverse { address: Ipv4Addr::from(bytes).into(), bits: 8 * n });
        }
        let (nibbles, n) = values::<32>(strip(name, V6_REVERSE)?, nibble)?;
        let bits = nibbles.iter().fold(0, |bits, nibble| bits << 4 | u128::from(*nibble));
        Some(Reverse { address: Ipv6Addr::from_bits(bits).into(), bits: 4 * n })
    }

    /// Whether it is an address, and not the beginning of many.
    pub(super) fn is_whole(self) -> bool {
        self.bits == if self.address.is_ipv4() { 32 } else { 128 }
    }
}

/// What the labels say, the last one first, and how many there are; nothing where one says nothing, or there are too many.
fn values<const N: usize>(mut labels: &[u8], read: fn(&[u8]) -> Option<u8>) -> Option<([u8; N], u8)> {
    let (mut values, mut n) = ([0; N], 0);
    while let Some((label, rest)) = split(labels) {
        *values.get_mut(n)? = read(label)?;
        n += 1;
        labels = rest;
    }
    values[..n].reverse();
    Some((values, n as u8))
}

/// As it is written for a reverse name: `010` is another name than `10`, and nobody's.
fn octet(label: &[u8]) -> Option<u8> {
    number(label)?.try_into().ok()
}

fn nibble(label: &[u8]) -> Option<u8> {
    match label {
        [digit] => char::from(*digit).to_digit(16).map(|value| value as u8),
        _ => None,
    }
}

/// A number without a needless nought or a sign.
pub(super) fn number(label: &[u8]) -> Option<u16> {
    let plain = label.iter().all(u8::is_ascii_digit) && (label.len() == 1 || !label.starts_with(b"0"));
    std::str::from_utf8(label).ok().filter(|_| plain)?.parse().ok()
}
