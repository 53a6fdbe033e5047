//! Elements as the kernel keeps them: a card as its padded name, a prefix as the two ends of an interval.
//! And back again, however the kernel orders them.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bowline_core::firewall::{Element, Holds, Set};
use bowline_core::name::LinkName;
use ipnetwork::IpNetwork;

use super::wire::{self, Writer};

mod attr {
    pub(super) const LIST_ELEM: u16 = 1;
    pub(super) const KEY: u16 = 1;
    pub(super) const FLAGS: u16 = 3;
    pub(super) const VALUE: u16 = 1;
}

const INTERVAL_END: u32 = 1;
/// What a card's name takes, NULs included.
pub(super) const LINK_LEN: usize = 16;

/// What tells an element from the others of its set. Prefixes are in the order of their first addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Link([u8; LINK_LEN]),
    /// First and last address.
    Range4(u32, u32),
    Range6(u128, u128),
}

pub(super) fn key(element: &Element) -> Key {
    match element {
        Element::Network(link)
        | Element::Within(link)
        | Element::Apart(link)
        | Element::Internal(link)
        | Element::Open(link)
        | Element::Strict(link) => Key::Link(padded(link)),
        Element::Masquerade(IpNetwork::V4(net)) => {
            Key::Range4(net.network().to_bits(), net.broadcast().to_bits())
        }
        Element::Masquerade(IpNetwork::V6(net)) => {
            Key::Range6(net.network().to_bits(), net.broadcast().to_bits())
        }
    }
}

/// Whether it is an interval to the kernel, of two entries.
pub(super) fn is_prefix(element: &Element) -> bool {
    match key(element) {
        Key::Link(_) => false,
        Key::Range4(..) | Key::Range6(..) => true,
    }
}

/// Whether it is an interval of one entry: up to the last address, there is none beyond to end it.
pub(super) fn is_without_end(element: &Element) -> bool {
    matches!(key(element), Key::Range4(_, u32::MAX) | Key::Range6(_, u128::MAX))
}

/// The same element, a prefix without the bits of a host.
pub(super) fn canonical(element: &Element) -> Element {
    match element {
        Element::Masquerade(net) => {
            let net = IpNetwork::new(net.network(), net.prefix()).expect("the length was valid before");
            Element::Masquerade(net)
        }
        Element::Network(_)
        | Element::Within(_)
        | Element::Apart(_)
        | Element::Internal(_)
        | Element::Open(_)
        | Element::Strict(_) => element.clone(),
    }
}

fn padded(link: &LinkName) -> [u8; LINK_LEN] {
    let mut name = [0; LINK_LEN];
    name[..link.as_str().len()].copy_from_slice(link.as_str().as_bytes());
    name
}

/// Writes what makes up an element, to stand in a list of elements.
pub(super) fn put(w: &mut Writer, element: &Element) {
    match (key(element), element.set().holds()) {
        (Key::Link(name), Holds::LinkPair) => put_key(w, &[name, name].concat()),
        (Key::Link(name), _) => put_key(w, &name),
        (Key::Range4(first, last), _) => {
            put_key(w, &first.to_be_bytes());
            // The end is the first address beyond. An interval up to the very last address has none.
            if let Some(end) = last.checked_add(1) {
                put_end(w, &end.to_be_bytes());
            }
        }
        (Key::Range6(first, last), _) => {
            put_key(w, &first.to_be_bytes());
            if let Some(end) = last.checked_add(1) {
                put_end(w, &end.to_be_bytes());
            }
        }
    }
}

pub(super) fn put_key(w: &mut Writer, key: &[u8]) {
    w.nest(attr::LIST_ELEM, |w| w.nest(attr::KEY, |w| w.attr(attr::VALUE, key)));
}

fn put_end(w: &mut Writer, key: &[u8]) {
    w.nest(attr::LIST_ELEM, |w| {
        w.nest(attr::KEY, |w| w.attr(attr::VALUE, key));
        w.be32(attr::FLAGS, INTERVAL_END);
    });
}

/// One entry of a set, as dumped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    key: Vec<u8>,
    end: bool,
}

/// The entries in a list of elements. Nothing where one has no key.
pub(super) fn entries(list: &[u8]) -> Option<Vec<Entry>> {
    wire::attrs(list)
        .map(|elem| {
            let key = wire::find(wire::find(elem.value, attr::KEY)?, attr::VALUE)?.to_vec();
            let flags = wire::find_be32(elem.value, attr::FLAGS).unwrap_or(0);
            Some(Entry { key, end: flags & INTERVAL_END != 0 })
        })
        .collect()
}

/// The elements that a set's entries stand for. Nothing where one is not of our making.
pub(super) fn read(set: Set, entries: &[Entry]) -> Option<BTreeSet<Element>> {
    match set {
        Set::Networks => links(entries, Element::Network),
        Set::Internal => links(entries, Element::Internal),
        Set::Open => links(entries, Element::Open),
        Set::Strict => links(entries, Element::Strict),
        Set::Within => entries.iter().map(|e| pair(&e.key).map(Element::Within)).collect(),
        Set::Apart => entries.iter().map(|e| pair(&e.key).map(Element::Apart)).collect(),
        Set::Masquerade4 => {
            prefixes(entries, |key| Some(u32::from_be_bytes(key.try_into().ok()?).into()), 32)
        }
        Set::Masquerade6 => prefixes(entries, |key| Some(u128::from_be_bytes(key.try_into().ok()?)), 128),
    }
}

fn links(entries: &[Entry], make: fn(LinkName) -> Element) -> Option<BTreeSet<Element>> {
    entries.iter().map(|entry| link(&entry.key).map(make)).collect()
}

fn pair(key: &[u8]) -> Option<LinkName> {
    let (from, to) = key.split_at_checked(LINK_LEN)?;
    if from != to {
        return None;
    }
    link(from)
}

fn link(key: &[u8]) -> Option<LinkName> {
    let key: &[u8; LINK_LEN] = key.try_into().ok()?;
    let len = key.iter().position(|&b| b == 0)?;
    std::str::from_utf8(&key[..len]).ok()?.parse().ok()
}

fn prefixes(
    entries: &[Entry],
    number: impl Fn(&[u8]) -> Option<u128>,
    width: u8,
) -> Option<BTreeSet<Element>> {
    let mut marks =
        entries.iter().map(|e| Some((number(&e.key)?, !e.end))).collect::<Option<Vec<(u128, bool)>>>()?;
    // Where two intervals touch, one ends at the number that the other begins with: ends first.
    marks.sort_unstable();

    let mut found = BTreeSet::new();
    let mut open: Option<u128> = None;
    for (mark, begins) in marks {
        if let Some(first) = open.take() {
            found.insert(prefix(first, mark.checked_sub(1)?, width)?);
        }
        open = begins.then_some(mark);
    }
    if let Some(first) = open {
        found.insert(prefix(first, u128::MAX >> (128 - width), width)?);
    }
    Some(found)
}

/// The prefix that covers exactly these addresses, if one does.
fn prefix(first: u128, last: u128, width: u8) -> Option<Element> {
    let hosts = first ^ last;
    let host_bits = u8::try_from(hosts.count_ones()).ok()?;
    let is_prefix = hosts.trailing_ones() == u32::from(host_bits) && first & hosts == 0;
    if !is_prefix {
        return None;
    }
    let addr = match width {
        32 => IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(first).ok()?)),
        _ => IpAddr::V6(Ipv6Addr::from_bits(first)),
    };
    IpNetwork::new(addr, width - host_bits).ok().map(Element::Masquerade)
}

#[cfg(test)]
mod unit {
    use super::*;

    fn net(text: &str) -> Element {
        Element::Masquerade(text.parse().unwrap())
    }

    fn written(elements: &[Element]) -> Vec<Entry> {
        let mut w = Writer::default();
        elements.iter().for_each(|e| put(&mut w, e));
        entries(&w.bytes).unwrap()
    }

    #[test]
    fn a_card_is_its_name_padded_with_nuls() {
        let mut w = Writer::default();
        put(&mut w, &Element::Network("bl-front".parse().unwrap()));
        let expected = [
            &[28, 0, 1, 0x80][..], // the element
            &[24, 0, 1, 0x80],     // its key
            &[20, 0, 1, 0],        // the value
            b"bl-front\0\0\0\0\0\0\0\0",
        ];
        assert_eq!(w.bytes, expected.concat());
    }

    #[test]
    fn a_prefix_is_its_first_address_and_the_one_beyond_its_last() {
        let mut w = Writer::default();
        put(&mut w, &net("10.9.0.0/24"));
        let expected = [
            &[16, 0, 1, 0x80, 12, 0, 1, 0x80, 8, 0, 1, 0, 10, 9, 0, 0][..],
            &[24, 0, 1, 0x80, 12, 0, 1, 0x80, 8, 0, 1, 0, 10, 9, 1, 0],
            &[8, 0, 3, 0, 0, 0, 0, 1], // marked as an end
        ];
        assert_eq!(w.bytes, expected.concat());
    }

    #[test]
    fn a_prefix_up_to_the_last_address_has_no_end() {
        assert_eq!(written(&[net("255.0.0.0/8")]).len(), 1);
        assert_eq!(written(&[net("ffff::/16")]).len(), 1);
        assert_eq!(written(&[net("0.0.0.0/0")]).len(), 1);
    }

    #[test]
    fn prefixes_read_back_from_entries_in_any_order() {
        for texts in [
            &["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/23"][..],
            &["0.0.0.0/0"],
            &["0.0.0.0/1", "128.0.0.0/1"],
            &["10.0.0.1/32", "10.0.0.2/32", "255.255.255.255/32"],
            &["255.255.254.0/24", "255.255.255.0/24"],
        ] {
            let set: BTreeSet<Element> = texts.iter().map(|t| net(t)).collect();
            let mut entries = written(&set.iter().cloned().collect::<Vec<_>>());
            entries.reverse();
            assert_eq!(read(Set::Masquerade4, &entries), Some(set));
        }
        for texts in [&["fd00::/64", "fd00:0:0:1::/64"][..], &["::/0"], &["fffe::/16", "ffff::/16"]] {
            let set: BTreeSet<Element> = texts.iter().map(|t| net(t)).collect();
            let mut entries = written(&set.iter().cloned().collect::<Vec<_>>());
            entries.reverse();
            assert_eq!(read(Set::Masquerade6, &entries), Some(set));
        }
    }

    #[test]
    fn what_is_not_of_our_making_is_nothing() {
        let four = |key: [u8; 4], end| Entry { key: key.to_vec(), end };
        let odd = [four([10, 0, 0, 1], false), four([10, 0, 0, 4], true)];
        assert_eq!(read(Set::Masquerade4, &odd), None);
        assert_eq!(read(Set::Masquerade4, &[Entry { key: vec![1], end: false }]), None);
        assert_eq!(read(Set::Networks, &[four([b'b'; 4], false)]), None);
        let mixed = Entry { key: [[b'a'; 16], [b'b'; 16]].concat(), end: false };
        assert_eq!(read(Set::Within, &[mixed]), None);
    }
}
