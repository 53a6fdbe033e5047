use super::*;
use crate::nft::tests::every_kind;
use crate::nft::wire::Writer;
use bowline_core::firewall::Set;
use std::collections::BTreeSet;

use super::read::Seen;

fn net(text: &str) -> Element {
    Element::Masquerade(text.parse().unwrap())
}

fn bytes(element: &Element) -> Vec<u8> {
    let mut w = Writer::default();
    put(&mut w, &written(element));
    w.bytes
}

fn entries<'a>(elements: impl IntoIterator<Item = &'a Element>) -> Vec<Seen> {
    seen(&elements.into_iter().flat_map(bytes).collect::<Vec<u8>>()).unwrap()
}

#[test]
fn a_card_is_its_name_padded_with_nuls() {
    let expected = [
        &[28, 0, 1, 0x80][..], // the element
        &[24, 0, 1, 0x80],     // its key
        &[20, 0, 1, 0],        // the value
        b"bl-front\0\0\0\0\0\0\0\0",
    ];
    assert_eq!(bytes(&Element::Network("bl-front".parse().unwrap())), expected.concat());
}

#[test]
fn a_prefix_is_its_first_address_and_the_one_beyond_its_last() {
    let expected = [
        &[16, 0, 1, 0x80, 12, 0, 1, 0x80, 8, 0, 1, 0, 10, 9, 0, 0][..],
        &[24, 0, 1, 0x80, 12, 0, 1, 0x80, 8, 0, 1, 0, 10, 9, 1, 0],
        &[8, 0, 3, 0, 0, 0, 0, 1], // marked as an end
    ];
    assert_eq!(bytes(&net("10.9.0.0/24")), expected.concat());
}

#[test]
fn a_port_is_its_place_and_what_that_leads_to() {
    let port = Element::Port {
        at: At::One("192.0.2.1".parse().unwrap()),
        protocol: bowline_core::port::Protocol::Tcp,
        port: 8080,
        to: "10.9.0.2".parse().unwrap(),
        to_port: 80,
    };
    let expected = [
        &[40, 0, 1, 0x80][..],
        &[20, 0, 1, 0x80, 16, 0, 1, 0, 192, 0, 2, 1, 6, 0, 0, 0, 0x1f, 0x90, 0, 0],
        &[16, 0, 2, 0x80, 12, 0, 1, 0, 10, 9, 0, 2, 0, 80, 0, 0],
    ];
    assert_eq!(bytes(&port), expected.concat());
}

#[test]
fn a_span_is_the_first_of_its_keys_and_the_last() {
    let span = Element::Span {
        at: At::Everywhere,
        protocol: bowline_core::port::Protocol::Udp,
        ports: bowline_core::port::Ports::new(9000, 9100).unwrap(),
        to: "10.9.0.2".parse().unwrap(),
    };
    let expected = [
        &[56, 0, 1, 0x80][..],
        &[20, 0, 1, 0x80, 16, 0, 1, 0, 0, 0, 0, 0, 17, 0, 0, 0, 0x23, 0x28, 0, 0],
        &[20, 0, 10, 0x80, 16, 0, 1, 0, 255, 255, 255, 255, 17, 0, 0, 0, 0x23, 0x8c, 0, 0],
        &[12, 0, 2, 0x80, 8, 0, 1, 0, 10, 9, 0, 2],
    ];
    assert_eq!(bytes(&span), expected.concat());
}

#[test]
fn a_prefix_up_to_the_last_address_has_no_end() {
    for text in ["255.0.0.0/8", "ffff::/16", "0.0.0.0/0"] {
        assert_eq!(entries(&[net(text)]).len(), 1, "{text}");
        assert!(is_without_end(&net(text)), "{text}");
    }
    assert!(!is_without_end(&net("10.0.0.0/8")));
}

#[test]
fn every_kind_of_element_reads_back() {
    let all = every_kind();
    for &set in Set::ALL {
        let some: BTreeSet<Element> = all.iter().filter(|e| e.set() == set).cloned().collect();
        assert!(!some.is_empty(), "{set:?} has no example");
        assert_eq!(read(set, &entries(&some)), Some(some), "{set:?}");
    }
}

#[test]
fn an_element_is_as_long_as_its_set_wants() {
    for element in every_kind() {
        let set = element.set();
        let entry = &entries([&element])[0];
        assert_eq!(entry.key.len(), padded(set.key()), "{element}");
        assert_eq!(entry.data.len(), padded(set.data()), "{element}");
    }
}

#[test]
fn what_is_of_both_families_reads_back_as_of_its_targets() {
    let port = |at| Element::Port {
        at,
        protocol: bowline_core::port::Protocol::Tcp,
        port: 1,
        to: "fd00::2".parse().unwrap(),
        to_port: 2,
    };
    assert_eq!(canonical(&port(At::Everywhere)), port(At::All(Family::V6)));
    assert_eq!(
        read(Set::Anywhere6, &entries(&[port(At::Everywhere)])),
        Some([port(At::All(Family::V6))].into())
    );
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
        let mut entries = entries(&set);
        entries.reverse();
        assert_eq!(read(Set::Masquerade4, &entries), Some(set));
    }
    for texts in [&["fd00::/64", "fd00:0:0:1::/64"][..], &["::/0"], &["fffe::/16", "ffff::/16"]] {
        let set: BTreeSet<Element> = texts.iter().map(|t| net(t)).collect();
        let mut entries = entries(&set);
        entries.reverse();
        assert_eq!(read(Set::Masquerade6, &entries), Some(set));
    }
}

#[test]
fn what_is_not_of_our_making_is_nothing() {
    let refused = |set, entry: Seen| assert_eq!(read(set, std::slice::from_ref(&entry)), None, "{entry:?}");
    let key = |key: &[u8]| Seen { key: key.to_vec(), last: None, data: Vec::new(), is_end: false };
    let odd = [key(&[10, 0, 0, 1]), Seen { is_end: true, ..key(&[10, 0, 0, 4]) }];
    assert_eq!(read(Set::Masquerade4, &odd), None, "no prefix");
    refused(Set::Masquerade4, key(&[1]));
    refused(Set::Networks, key(&[b'b'; 4]));
    refused(Set::Networks, key(&[b'b'; 16]));
    refused(Set::Networks, key(b"bl-a\0more\0\0\0\0\0\0\0"));
    refused(
        Set::Within,
        key(&[[b'a', 0, 0, 0, 0, 0, 0, 0], [0; 8], [b'b', 0, 0, 0, 0, 0, 0, 0], [0; 8]].concat()),
    );
    refused(Set::Open, key(&[&[3, 0, 0, 0, b'a'][..], &[0; 15]].concat()));
    refused(Set::Open, key(&[&[2, 0, 0, 1, b'a'][..], &[0; 15]].concat()));
    refused(Set::Shut, key(&[2, 0, 0, 0, 1, 0, 0, 0, 0, 80, 0, 0]));
    refused(Set::Shut, key(&[2, 0, 0, 0, 6, 0, 0, 0, 0, 80, 0, 0, 0]));
    // Leads nowhere.
    refused(Set::Anywhere4, key(&[6, 0, 0, 0, 0, 80, 0, 0]));

    let first = [10, 0, 0, 1, 6, 0, 0, 0, 0, 80, 0, 0];
    let span = |last: [u8; 12]| Seen { last: Some(last.to_vec()), data: vec![10, 9, 0, 2], ..key(&first) };
    assert!(read(Set::Spans4, &[span([10, 0, 0, 1, 6, 0, 0, 0, 0, 90, 0, 0])]).is_some());
    refused(Set::Spans4, span([10, 0, 0, 2, 6, 0, 0, 0, 0, 90, 0, 0]));
    refused(Set::Spans4, span([255, 255, 255, 255, 6, 0, 0, 0, 0, 90, 0, 0]));
    refused(Set::Spans4, span([10, 0, 0, 1, 17, 0, 0, 0, 0, 90, 0, 0]));
    refused(Set::Spans4, span([10, 0, 0, 1, 6, 0, 0, 0, 0, 79, 0, 0]));
}
