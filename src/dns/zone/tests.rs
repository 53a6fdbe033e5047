use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

fn zone() -> Zone {
    Zone::new("front".parse().unwrap(), vec!["10.9.0.0/24".parse().unwrap(), "fd00:9::/64".parse().unwrap()])
}

fn entry(names: &[&str], addresses: &[&str]) -> Entry {
    Entry {
        names: names.iter().map(ToString::to_string).collect(),
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        services: Vec::new(),
    }
}

fn found(zone: &Zone, name: &str) -> BTreeSet<IpAddr> {
    let mut found = BTreeSet::new();
    zone.under(&WireName::from_text(name).unwrap(), |_, held| {
        found.extend(held.v4.iter().map(|(_, address)| IpAddr::V4(*address)));
        found.extend(held.v6.iter().map(|(_, address)| IpAddr::V6(*address)));
    });
    found
}

fn called(zone: &Zone, address: &str) -> Option<String> {
    zone.called(address.parse().unwrap()).map(|name| name.to_string())
}

#[test]
fn names_that_dns_can_hold() {
    let check = |name: &str, expected: Expect| {
        expected.assert_eq(&fits(name).map_or_else(|why| why, |()| "fits".to_string()));
    };
    for name in ["a", "web-1", "A.b_c", "-", "1.2", &"a".repeat(63), &["a"; 94].join(".")] {
        check(name, expect!["fits"]);
    }
    check("", expect!["it is empty"]);
    for name in [".", "a.", ".a", "a..b"] {
        check(name, expect!["there is nothing between two of its dots, before the first or after the last"]);
    }
    check(&"a".repeat(64), expect!["it has more than 63 bytes without a dot"]);
    for name in ["a b", "a\0b", "é", "a/b", "a\nb", "*", "a\\.b"] {
        check(name, expect!["it holds something else than letters, digits, '-', '_' and dots"]);
    }
    check(
        &["a"; 95].join("."),
        expect!["it has 189 bytes, and with a network's name after it there is room for 188"],
    );
    check(&"a.".repeat(200), expect!["it has more than 253 bytes"]);
}

#[test]
fn what_fits_can_be_said_of_any_network() {
    let network: Name = [&"n".repeat(31)[..], &"m".repeat(32)].join(".").parse().unwrap();
    assert_eq!(network.as_str().len(), Name::MAX);
    let zone = Zone::new(network, vec![]);
    let name = ["a"; 94].join(".") + "a";
    assert_eq!(fits(&name), Ok(()));
    zone.put(Id(1), entry(&[&name], &["10.9.0.2"]));
    assert_eq!(zone.called("10.9.0.2".parse().unwrap()).map(|name| name.len()), Some(254));
}

#[test]
fn hostile_names_are_passed_over() {
    let zone = zone();
    zone.put(Id(1), entry(&["a b", "a..b", "", "Web", "web"], &["10.9.0.2"]));
    assert_eq!(called(&zone, "10.9.0.2").as_deref(), Some("web.front."));
    assert_eq!(zone.entries()[0].1.names.len(), 5);
    zone.put(Id(2), entry(&["\0"], &["10.9.0.3"]));
    assert_eq!(called(&zone, "10.9.0.3"), None);
}

#[test]
fn a_network_whose_name_dns_cannot_hold_is_no_suffix() {
    let zone = Zone::new("a..b".parse().unwrap(), vec![]);
    zone.put(Id(1), entry(&["web"], &["10.9.0.2"]));
    assert_eq!(called(&zone, "10.9.0.2").as_deref(), Some("web."));
}

#[test]
fn who_got_an_address_since_keeps_it() {
    let zone = zone();
    zone.put(Id(1), entry(&["old"], &["10.9.0.2"]));
    zone.put(Id(2), entry(&["new"], &["10.9.0.2"]));
    zone.remove(Id(1));
    assert_eq!(called(&zone, "10.9.0.2").as_deref(), Some("new.front."));
    assert_eq!(found(&zone, "new").len(), 1);
}

#[test]
fn the_beginning_of_addresses_is_above_a_subnet_and_a_part_of_it_is_not() {
    let zone = Zone::new(
        "front".parse().unwrap(),
        vec!["10.9.16.0/20".parse().unwrap(), "fd00:9::/64".parse().unwrap()],
    );
    let is_within = |address: &str, bits| zone.is_within(address.parse().unwrap(), bits);
    for (address, bits) in [("0.0.0.0", 0), ("10.0.0.0", 8), ("10.9.0.0", 16), ("::", 0), ("fd00:9::", 60)] {
        assert!(is_within(address, bits), "{address}/{bits}");
    }
    for (address, bits) in [
        ("11.0.0.0", 8),
        ("10.8.0.0", 16),
        ("10.9.16.0", 24),
        ("10.9.16.0", 20),
        ("fd00:9::", 64),
        ("fe00::", 8),
    ] {
        assert!(!is_within(address, bits), "{address}/{bits}");
    }
}

#[test]
fn an_entry_is_replaced_at_once() {
    let zone = zone();
    let (first, second) = (entry(&["web"], &["10.9.0.2"]), entry(&["web", "www"], &["10.9.0.3"]));
    zone.put(Id(1), first.clone());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..2_000 {
                zone.put(Id(1), second.clone());
                zone.put(Id(1), first.clone());
            }
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            assert_eq!(found(&zone, "web").len(), 1);
        }
    });
}

proptest! {
    /// Endpoints come, change and go; each name finds what a search through all of them finds.
    #[test]
    fn tables_say_what_a_search_says(
        steps in prop::collection::vec(
            (0..6u128, prop::option::of((prop::collection::vec(0..8usize, 0..4), 0..3u8))),
            0..30,
        ),
    ) {
        const NAMES: [&str; 8] = ["web", "WEB", "a.web", "Db", "a.b", "c.a.B", "b", "bad name"];
        let zone = zone();
        let mut model: BTreeMap<Id, Entry> = BTreeMap::new();
        for (owner, change) in steps {
            let owner = Id(owner);
            match change {
                None => {
                    zone.remove(owner);
                    model.remove(&owner);
                }
                Some((names, count)) => {
                    let names: Vec<&str> = names.into_iter().map(|n| NAMES[n]).collect();
                    let addresses: Vec<String> = (0..count)
                        .flat_map(|n| [format!("10.9.{n}.{}", owner.0), format!("fd00:9::{n}:{}", owner.0)])
                        .collect();
                    let entry = entry(&names, &addresses.iter().map(String::as_str).collect::<Vec<_>>());
                    zone.put(owner, entry.clone());
                    model.insert(owner, entry);
                }
            }
            for name in &NAMES[..7] {
                let expected: BTreeSet<IpAddr> = model
                    .values()
                    .filter(|entry| entry.names.iter().any(|other| other.eq_ignore_ascii_case(name)))
                    .flat_map(|entry| entry.addresses.clone())
                    .collect();
                prop_assert_eq!(found(&zone, name), expected, "{}", name);
            }
            for end in ["web", "a.web", "b", "a.b", "c.a.b", "db"] {
                let below = format!(".{end}");
                let expected = model
                    .values()
                    .any(|entry| entry.names.iter().any(|name| name.to_ascii_lowercase().ends_with(&below)));
                prop_assert_eq!(zone.has_below(&WireName::from_text(end).unwrap()), expected, "{}", end);
            }
            prop_assert_eq!(zone.entries().into_iter().collect::<BTreeMap<_, _>>(), model.clone());
        }
        for owner in model.into_keys() {
            zone.remove(owner);
        }
        prop_assert!(zone.read().is_empty());
    }
}
