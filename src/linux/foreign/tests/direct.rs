//! What our own table does not let pass is no loss, whoever drops it.

use bowline_core::family::Family;
use bowline_core::firewall::Element;
use bowline_core::name::LinkName;

use super::{BRIDGE, host, load, name, run, seen_with};
use crate::foreign::obstacles;

const BOTH: &str =
    "table inet other { chain forward { type filter hook forward priority 0; policy drop; }; }";
const OF_IPV4: &str =
    "table ip other { chain forward { type filter hook forward priority 0; policy drop; }; }";

const PUBLISHED: &str = "published ports of bl-a from eth0";
const DIRECT: &str = "direct connections to bl-a from eth0";
const OUTGOING: &str = "connections from bl-a to eth0";

/// Loads rules that drop everything, and checks what of it matters where our table holds these elements.
fn check(rules: &str, ours: &[Element], expected: &[&str]) {
    host(|| {
        load(rules);
        let family = if rules == BOTH { "inet" } else { "ip" };
        let dropped = expected.join(", ");
        let line = format!("{family} other forward drops {dropped}, by its policy");
        let expected = if expected.is_empty() { vec![] } else { vec![line] };
        assert_eq!(seen_with(ours), expected, "{ours:?}");
    });
}

fn bridge() -> LinkName {
    name(BRIDGE)
}

fn trusted(from: &str) -> Element {
    Element::Trusted { from: name(from), to: bridge() }
}

#[test]
fn direct_connections_matter_where_they_are_let_in() {
    check(BOTH, &[], &[PUBLISHED, OUTGOING]);
    check(BOTH, &[Element::Open(Family::V6, bridge())], &[PUBLISHED, DIRECT, OUTGOING]);
    check(BOTH, &[Element::Open(Family::V4, name("bl-b"))], &[PUBLISHED, OUTGOING]);
    check(OF_IPV4, &[Element::Open(Family::V4, bridge())], &[PUBLISHED, DIRECT, OUTGOING]);
    check(OF_IPV4, &[Element::Open(Family::V6, bridge())], &[PUBLISHED, OUTGOING]);
    check(BOTH, &[trusted("eth0")], &[PUBLISHED, DIRECT, OUTGOING]);
    check(BOTH, &[trusted("wg0")], &[PUBLISHED, OUTGOING]);
}

#[test]
fn a_routed_network_publishes_at_its_own_addresses() {
    check(OF_IPV4, &[Element::Routed(Family::V4, bridge())], &[DIRECT, OUTGOING]);
    check(OF_IPV4, &[Element::Routed(Family::V6, bridge())], &[PUBLISHED, OUTGOING]);
    check(BOTH, &[Element::Routed(Family::V6, bridge())], &[PUBLISHED, DIRECT, OUTGOING]);
}

#[test]
fn nothing_matters_to_an_internal_network() {
    check(BOTH, &[Element::Internal(bridge())], &[]);
}

#[test]
fn a_network_without_ipv4_has_nothing_to_do_with_iptables() {
    host(|| {
        load(OF_IPV4);
        assert_eq!(seen_with(&[]).len(), 1);
        run("ip", &["-4", "addr", "flush", "dev", BRIDGE]);
        assert_eq!(seen_with(&[]), [""; 0]);
    });
}

#[test]
fn where_nobody_drops_our_own_table_is_not_looked_at() {
    host(|| {
        load("table ip other { chain forward { type filter hook forward priority 0; }; }");
        let found = obstacles(&[bridge()], || panic!("nobody drops"));
        assert_eq!(found.unwrap(), []);
    });
}
