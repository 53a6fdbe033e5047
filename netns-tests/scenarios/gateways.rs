//! Gateway modes, and cards that are trusted: how a network is reached by those who have a route to it.

use crate::world::World;
use crate::world::place::Place;

/// Two networks of one mode in both families, a member of each that serves at 80 and 81 and has published 80, and an
/// outsider who has routes to both.
fn town<'w>(w: &'w World, mode: &str) -> (Place<'w>, Place<'w>) {
    w.bowline(&format!("network create front --subnet 10.9.0.0/24 --subnet fd00:9::/64 {mode}"));
    w.bowline("network create back --subnet 10.8.0.0/24 --subnet fd00:8::/64");
    for (net, gateway) in [("10.9.0.0/24", "192.0.2.1"), ("fd00:9::/64", "2001:db8::1")] {
        w.outside().run(&format!("ip route add {net} via {gateway}"));
    }
    (w.attach("web", "front", "-p 8080:80"), w.attach("db", "back", ""))
}

pub(crate) fn nat_is_reached_by_published_ports_only(w: &World) {
    let (web, db) = town(w, "--gateway-mode nat");
    let _servers = (web.serves(80), web.serves(81));
    for from in [w.outside(), db] {
        for (host, own) in [("192.0.2.1", "10.9.0.2"), ("2001:db8::1", "fd00:9::2")] {
            from.fetches(host, 8080);
            from.does_not_fetch(own, 80);
            from.does_not_fetch(own, 81);
            from.does_not_reach(own);
        }
    }
}

pub(crate) fn unprotected_nat_is_reached_at_every_port(w: &World) {
    let (web, db) = town(w, "--gateway-mode nat-unprotected");
    let _servers = (web.serves(80), web.serves(81));
    let outside = w.outside().serves(90);
    for from in [w.outside(), db] {
        for (host, own) in [("192.0.2.1", "10.9.0.2"), ("2001:db8::1", "fd00:9::2")] {
            from.fetches(host, 8080);
            from.fetches(own, 81);
            from.reaches(own);
        }
    }
    assert_eq!(web.seen_by("192.0.2.2", 90), "192.0.2.1");
    drop(outside);
}

pub(crate) fn routed_is_reached_at_its_own_addresses(w: &World) {
    let (web, db) = town(w, "--gateway-mode routed");
    let _servers = (web.serves(80), web.serves(81), w.outside().serves(90));
    for from in [w.outside(), db] {
        for (host, own) in [("192.0.2.1", "10.9.0.2"), ("2001:db8::1", "fd00:9::2")] {
            from.fetches(own, 80);
            from.reaches(own);
            from.does_not_fetch(own, 81);
            from.does_not_fetch(host, 8080);
        }
    }
    // Nothing is translated, and no port of the host is taken.
    assert_eq!(web.seen_by("192.0.2.2", 90), "10.9.0.2");
    assert_eq!(web.seen_by("2001:db8::2", 90), "fd00:9::2");
    assert_eq!(w.host().binds("tcp", "0.0.0.0:8080").code, 0);
    let ports = w.bowline("port ls web --format json").json();
    assert!(ports[0]["host_port"].is_null() && ports[0]["port"] == 80, "{ports}");
    w.bowline("port publish web 81");
    w.outside().fetches("10.9.0.2", 81);
    w.bowline("port unpublish web 81");
    w.outside().does_not_fetch("10.9.0.2", 81);
}

pub(crate) fn each_family_has_its_own_mode(w: &World) {
    let (web, _) = town(w, "--gateway-mode-ipv6 routed");
    let _servers = (web.serves(80), w.outside().serves(90));
    w.outside().fetches("192.0.2.1", 8080);
    w.outside().does_not_fetch("10.9.0.2", 80);
    w.outside().fetches("fd00:9::2", 80);
    assert_eq!(web.seen_by("192.0.2.2", 90), "192.0.2.1");
    assert_eq!(web.seen_by("2001:db8::2", 90), "fd00:9::2");
}

pub(crate) fn isolated_has_no_address_of_the_hosts(w: &World) {
    w.tries("network create front --gateway-mode isolated").refused("BWL-1111", 2).naming(&["--internal"]);
    w.bowline(
        "network create front --internal --gateway-mode isolated --subnet 10.9.0.0/24 --subnet fd00:9::/64",
    );
    let (web, app) = (w.attach("web", "front", ""), w.attach("app", "front", ""));
    let _server = web.serves(80);
    let web_at = web.addresses("eth0");
    let web_at: Vec<&str> = web_at.iter().map(|a| a.split('/').next().unwrap()).collect();
    for address in &web_at {
        app.fetches(address, 80);
    }
    assert!(w.host().addresses("bl-front").is_empty());
    // So no address is kept for it: the first is a member's.
    assert_eq!(web_at, ["10.9.0.1", "fd00:9::1"]);
    let said = w.bowline("network show front").out;
    assert!(said.contains("10.9.0.0/24, no gateway, 2 of 254"), "{said}");
    w.restart();
    assert_eq!(w.attach("late", "front", "").addresses("eth0"), ["10.9.0.3/24", "fd00:9::3/64"]);
    // Unless it is named.
    w.bowline(
        "network create back --internal --gateway-mode isolated --subnet 10.8.0.0/24 --gateway 10.8.0.1",
    );
    assert_eq!(w.attach("db", "back", "").addresses("eth0"), ["10.8.0.2/24"]);
    assert!(!app.pings("192.0.2.1") && !app.pings("10.9.0.254"));
}

/// RFC 3021 and RFC 6164: both of two addresses are somebody's.
pub(crate) fn two_addresses_are_a_network(w: &World) {
    w.bowline(
        "network create pair --internal --gateway-mode isolated --subnet 10.9.0.0/31 --subnet fd00:9::/127",
    );
    let (one, two) = (w.attach("one", "pair", ""), w.attach("two", "pair", ""));
    let _servers = (one.serves(80), two.serves(80));
    for (from, to) in [(one, "10.9.0.1"), (two, "10.9.0.0"), (one, "fd00:9::1"), (two, "fd00:9::")] {
        from.fetches(to, 80);
    }
    w.container("three");
    w.tries("endpoint create three --netns three --network pair").refused("BWL-1207", 1);
    // With a gateway there is one member.
    w.bowline("network create link --subnet 10.8.0.0/31 --subnet fd00:8::/127");
    let web = w.attach("web", "link", "-p 8080:80");
    let _server = web.serves(80);
    assert_eq!(web.addresses("eth0"), ["10.8.0.1/31", "fd00:8::1/127"]);
    assert!(web.pings("10.8.0.0") && web.pings("fd00:8::") && web.pings("192.0.2.2"));
    w.outside().fetches("192.0.2.1", 8080);
    w.outside().fetches("2001:db8::1", 8080);
    w.has_no_drift();
}

pub(crate) fn a_trusted_card_reaches_every_port(w: &World) {
    let (web, db) = town(w, "--trusted-interface uplink");
    let _servers = (web.serves(80), web.serves(81));
    for own in ["10.9.0.2", "fd00:9::2"] {
        w.outside().fetches(own, 81);
        w.outside().reaches(own);
        db.does_not_fetch(own, 81);
    }
    w.bowline("network update front --no-trusted-interfaces");
    w.outside().does_not_fetch("10.9.0.2", 81);
    w.bowline("network update front --trusted-interface uplink");
    w.outside().fetches("10.9.0.2", 81);
    w.restart();
    w.outside().fetches("10.9.0.2", 81);
}

pub(crate) fn a_member_of_two_modes_is_reached_by_both(w: &World) {
    // Docker test TestRoutedNonGateway: what a routed network opens stays open where another network is the way out.
    let (web, _) = town(w, "--gateway-mode routed");
    let _server = web.serves(80);
    w.bowline("network connect back web --gw-priority 5");
    w.outside().fetches("192.0.2.1", 8080);
    web.run("ip route add 192.0.2.0/24 via 10.9.0.1");
    w.outside().fetches("10.9.0.2", 80);
}
