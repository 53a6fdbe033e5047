//! Elements as the kernel keeps them: a key, or the first and the last of many, and what that leads to.
//! And back again, however the kernel orders them.

mod parts;
mod put;
mod read;

use bowline_core::family::Family;
use bowline_core::firewall::Element;
use bowline_core::port::At;
use ipnetwork::IpNetwork;

pub(super) use parts::{len, padded};
pub(super) use put::{Written, put, put_end, put_key, sought, written};
pub(super) use read::{read, seen};

mod attr {
    pub(super) const LIST_ELEM: u16 = 1;
    pub(super) const KEY: u16 = 1;
    pub(super) const DATA: u16 = 2;
    pub(super) const FLAGS: u16 = 3;
    pub(super) const KEY_END: u16 = 10;
    pub(super) const VALUE: u16 = 1;
}

const INTERVAL_END: u32 = 1;

/// Whether it is an interval to the kernel, of two entries.
pub(super) fn is_prefix(element: &Element) -> bool {
    matches!(element, Element::Masquerade(_))
}

/// Whether it is an interval of one entry: up to the last address, there is none beyond to end it.
pub(super) fn is_without_end(element: &Element) -> bool {
    let Element::Masquerade(net) = element else { return false };
    match net {
        IpNetwork::V4(net) => net.broadcast().to_bits() == u32::MAX,
        IpNetwork::V6(net) => net.broadcast().to_bits() == u128::MAX,
    }
}

/// The same element as it reads back: a prefix without the bits of a host, a place on the host of one family.
pub(super) fn canonical(element: &Element) -> Element {
    let one_family = |at: At, to| at.within(Family::of(to)).unwrap_or(at);
    match *element {
        Element::Masquerade(net) => {
            let net = IpNetwork::new(net.network(), net.prefix()).expect("the length was valid before");
            Element::Masquerade(net)
        }
        Element::Port { at, protocol, port, to, to_port } => {
            Element::Port { at: one_family(at, to), protocol, port, to, to_port }
        }
        Element::Span { at, protocol, ports, to } => {
            Element::Span { at: one_family(at, to), protocol, ports, to }
        }
        Element::Network(_)
        | Element::Within(_)
        | Element::Apart(_)
        | Element::Internal(_)
        | Element::Strict(_)
        | Element::Open(..)
        | Element::Routed(..)
        | Element::Trusted { .. }
        | Element::Reachable { .. }
        | Element::Shut { .. }
        | Element::Guarded(_)
        | Element::Source { .. } => element.clone(),
    }
}

#[cfg(test)]
mod tests;
