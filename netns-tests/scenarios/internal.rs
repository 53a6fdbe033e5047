//! An internal network reaches its own members and nothing else, whatever routes a member makes itself.

use crate::world::World;

/// T-13 of docs/testing.md.
pub(crate) fn an_internal_network_reaches_its_members_only(w: &World) {
    w.bowline("network create inner --subnet 10.9.0.0/24 --subnet fd00:9::/64 --internal");
    w.bowline("network create front --subnet 10.8.0.0/24 --subnet fd00:8::/64 --isolation open");
    let (web, db) = (w.attach("web", "inner", ""), w.attach("db", "inner", ""));
    let app = w.attach("app", "front", "");
    let _servers = (db.serves(80), app.serves(80), w.outside().serves(80), w.host().serves(81));

    web.fetches("10.9.0.3", 80);
    web.fetches("fd00:9::3", 80);
    assert_eq!((web.default_route("-4"), web.default_route("-6")), (None, None));

    // A member that makes routes of its own is stopped by the filter.
    web.run("ip route add default via 10.9.0.1");
    web.run("ip route add default via fd00:9::1");
    for (address, port) in [
        ("192.0.2.2", 80),
        ("2001:db8::2", 80),
        ("192.0.2.1", 81),
        ("2001:db8::1", 81),
        ("10.8.0.2", 80),
        ("fd00:8::2", 80),
        ("10.8.0.1", 81),
        ("fd00:8::1", 81),
        ("10.9.0.1", 81),
        ("fd00:9::1", 81),
    ] {
        web.does_not_fetch(address, port);
    }
    // They are there for others.
    app.fetches("192.0.2.2", 80);
    app.fetches("192.0.2.1", 81);
    app.fetches("fd00:8::1", 81);
    w.host().fetches("10.9.0.3", 80);
}

/// T-09.
pub(crate) fn not_even_the_link_local_address_of_the_bridge(w: &World) {
    w.bowline("network create inner --subnet fd00:9::/64 --internal");
    w.bowline("network create front --subnet fd00:8::/64");
    let (web, app) = (w.attach("web", "inner", ""), w.attach("app", "front", ""));
    let _server = w.host().serves(81);
    let local = |bridge: &str| {
        crate::world::said::eventually("it has a link-local address", || {
            let all = w.host().ip(&format!("-6 addr show dev {bridge} scope link"));
            let address = all.first().and_then(|link| link["addr_info"][0]["local"].as_str());
            address.map(str::to_string).ok_or_else(|| format!("{all:?}"))
        })
    };
    let card = |place: crate::world::place::Place<'_>| place.link("eth0").unwrap()["ifindex"].to_string();
    app.fetches(&format!("{}%{}", local("bl-front"), card(app)), 81);
    web.does_not_fetch(&format!("{}%{}", local("bl-inner"), card(web)), 81);
    web.does_not_reach(&format!("{}%eth0", local("bl-inner")));
}

/// T-13.
pub(crate) fn nobody_reaches_an_internal_network(w: &World) {
    w.bowline("network create inner --subnet 10.9.0.0/24 --subnet fd00:9::/64 --internal --isolation open");
    w.bowline("network create front --subnet 10.8.0.0/24 --subnet fd00:8::/64");
    let (web, app) = (w.attach("web", "inner", ""), w.attach("app", "front", ""));
    let _server = web.serves(80);
    w.outside().run("ip route add 10.9.0.0/24 via 192.0.2.1");
    w.outside().run("ip route add fd00:9::/64 via 2001:db8::1");
    for address in ["10.9.0.2", "fd00:9::2"] {
        app.does_not_fetch(address, 80);
        w.outside().does_not_fetch(address, 80);
    }
    w.bowline("network update inner --internal=false");
    for address in ["10.9.0.2", "fd00:9::2"] {
        app.fetches(address, 80);
        w.outside().fetches(address, 80);
    }
    assert_eq!(web.default_route("-4").as_deref(), Some("10.9.0.1 dev eth0"), "it leads somewhere now");
    w.bowline("network update inner --internal");
    app.does_not_fetch("10.9.0.2", 80);
    assert_eq!(web.default_route("-4"), None);
}
