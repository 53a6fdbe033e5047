//! What keys and their data are made of. Each part begins at a word of four bytes and is filled up with zeros, in sets as
//! in the registers that rules load them to; those that stand alone in a set of ours fill their words anyway.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bowline_core::family::Family;
use bowline_core::firewall::Field;
use bowline_core::mac::Mac;
use bowline_core::name::LinkName;
use bowline_core::port::Protocol;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Link(LinkName),
    Mac(Mac),
    Address(IpAddr),
    Family(Family),
    Protocol(Protocol),
    Port(u16),
}

const IPV4: u8 = 2;
const IPV6: u8 = 10;
/// What a card's name takes, NULs included.
const LINK_LEN: usize = 16;

/// The bytes of a field, without what fills it up.
pub(in crate::nft) fn len(field: Field) -> usize {
    match field {
        Field::Link => LINK_LEN,
        Field::Mac => 6,
        Field::Address4 => 4,
        Field::Address6 => 16,
        Field::Family | Field::Protocol => 1,
        Field::Port => 2,
    }
}

/// The bytes that these fields take together.
pub(in crate::nft) fn padded(fields: &[Field]) -> usize {
    fields.iter().map(|&field| len(field).next_multiple_of(4)).sum()
}

pub(super) fn bytes(parts: &[Part]) -> Vec<u8> {
    // The longest there are: a card, a MAC and an IPv6 address.
    let mut bytes = Vec::with_capacity(40);
    for part in parts {
        match part {
            Part::Link(link) => {
                bytes.extend(link.as_str().as_bytes());
                bytes.resize(bytes.len() + LINK_LEN - link.as_str().len(), 0);
            }
            Part::Mac(mac) => bytes.extend(mac.0),
            Part::Address(IpAddr::V4(address)) => bytes.extend(address.octets()),
            Part::Address(IpAddr::V6(address)) => bytes.extend(address.octets()),
            Part::Family(Family::V4) => bytes.push(IPV4),
            Part::Family(Family::V6) => bytes.push(IPV6),
            Part::Protocol(protocol) => bytes.push(protocol.number()),
            Part::Port(port) => bytes.extend(port.to_be_bytes()),
        }
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

/// None where the bytes are not of these fields, or not as we would write them.
pub(super) fn parts(fields: &[Field], mut bytes: &[u8]) -> Option<Vec<Part>> {
    let mut parts = Vec::with_capacity(fields.len());
    for &field in fields {
        let (padded, rest) = bytes.split_at_checked(len(field).next_multiple_of(4))?;
        let (value, filling) = padded.split_at(len(field));
        if filling.iter().any(|&byte| byte != 0) {
            return None;
        }
        parts.push(part(field, value)?);
        bytes = rest;
    }
    bytes.is_empty().then_some(parts)
}

fn part(field: Field, value: &[u8]) -> Option<Part> {
    Some(match field {
        Field::Link => Part::Link(link(value)?),
        Field::Mac => Part::Mac(Mac(value.try_into().ok()?)),
        Field::Address4 => Part::Address(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?).into()),
        Field::Address6 => Part::Address(Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?).into()),
        Field::Family => Part::Family(match *value {
            [IPV4] => Family::V4,
            [IPV6] => Family::V6,
            _ => return None,
        }),
        Field::Protocol => Part::Protocol(Protocol::of_number(*value.first()?)?),
        Field::Port => Part::Port(u16::from_be_bytes(value.try_into().ok()?)),
    })
}

fn link(value: &[u8]) -> Option<LinkName> {
    let (name, filling) = value.split_at(value.iter().position(|&byte| byte == 0)?);
    if filling.iter().any(|&byte| byte != 0) {
        return None;
    }
    std::str::from_utf8(name).ok()?.parse().ok()
}
