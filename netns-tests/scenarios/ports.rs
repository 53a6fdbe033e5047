//! Published ports: who reaches them, under which address, and what becomes of them. The neighbour behind the uplink is
//! 192.0.2.2 and 2001:db8::2, the host 192.0.2.1 and 2001:db8::1.

use crate::world::World;
use crate::world::place::Place;
use crate::world::said::{eventually, only_if};

const FRONT: &str = "network create front --subnet 10.9.0.0/24 --subnet fd00:9::/64";
const BACK: &str = "network create back --subnet 10.8.0.0/24 --subnet fd00:8::/64";

/// A server on `front` that has published something.
fn web<'w>(w: &'w World, options: &str) -> Place<'w> {
    w.bowline(FRONT);
    w.attach("web", "front", options)
}

/// T-05 of docs/testing.md.
pub(crate) fn everybody_reaches_a_published_port_and_is_seen_as_he_is(w: &World) {
    let web = web(w, "-p 8080:80");
    let _server = web.serves(80);
    assert_eq!(w.outside().seen_by("192.0.2.1", 8080), "192.0.2.2");
    assert_eq!(w.outside().seen_by("2001:db8::1", 8080), "2001:db8::2");
    // The host, by every address that it has. From 127.0.0.1 no answer could find back, so it appears as the gateway.
    assert_eq!(w.host().seen_by("192.0.2.1", 8080), "192.0.2.1");
    for own in ["127.0.0.1", "127.1.2.3"] {
        assert_eq!(w.host().seen_by(own, 8080), "10.9.0.1", "{own}");
    }
    for own in ["10.9.0.1", "fd00:9::1", "2001:db8::1", "::1"] {
        w.host().fetches(own, 8080);
    }
    w.host().fetches("10.9.0.2", 80);

    w.bowline(BACK);
    let db = w.attach("db", "back", "");
    for host in ["192.0.2.1", "10.8.0.1", "10.9.0.1"] {
        assert_eq!(db.seen_by(host, 8080), "10.8.0.2", "{host}");
    }
    for host in ["2001:db8::1", "fd00:8::1", "fd00:9::1"] {
        assert_eq!(db.seen_by(host, 8080), "fd00:8::2", "{host}");
    }
    // A neighbour, and it itself, by way of the host.
    let app = w.attach("app", "front", "");
    for host in ["192.0.2.1", "10.9.0.1", "2001:db8::1", "fd00:9::1"] {
        app.fetches(host, 8080);
        web.fetches(host, 8080);
    }
}

/// T-02.
pub(crate) fn nothing_else_is_open(w: &World) {
    let web = web(w, "-p 8080:80");
    let _servers = (web.serves(80), web.serves(81));
    w.bowline(BACK);
    let db = w.attach("db", "back", "");
    w.outside().run("ip route add 10.9.0.0/24 via 192.0.2.1");
    w.outside().run("ip route add fd00:9::/64 via 2001:db8::1");
    for from in [w.outside(), db] {
        for address in ["10.9.0.2", "fd00:9::2"] {
            from.does_not_fetch(address, 80);
            from.does_not_fetch(address, 81);
        }
        from.does_not_fetch("192.0.2.1", 80);
        from.fetches("192.0.2.1", 8080);
    }
}

pub(crate) fn a_port_on_one_address_is_on_that_one_only(w: &World) {
    w.host().run("ip addr add 192.0.2.7/24 dev uplink");
    let web = web(w, "-p 192.0.2.7:8080:80 -p [2001:db8::1]:8081:80");
    let _server = web.serves(80);
    assert_eq!(w.outside().seen_by("192.0.2.7", 8080), "192.0.2.2");
    assert_eq!(w.outside().seen_by("2001:db8::1", 8081), "2001:db8::2");
    w.outside().does_not_fetch("192.0.2.1", 8080);
    w.outside().does_not_fetch("2001:db8::1", 8080);
    w.host().does_not_fetch("127.0.0.1", 8080);
    // The same port on another address is another's to publish.
    let other = w.attach("other", "front", "-p 127.0.0.1:8080:80");
    let _other = other.serves(80);
    w.host().fetches("127.0.0.1", 8080);
    // An address that moves away takes no traffic of others along.
    w.host().run("ip addr del 192.0.2.7/24 dev uplink");
    w.outside().does_not_fetch("192.0.2.7", 8080);
}

/// T-04.
pub(crate) fn a_loopback_port_is_the_hosts_own(w: &World) {
    let web = web(w, "-p 127.0.0.2:8080:80 -p [::1]:8081:80 -p 127.0.0.1:5300:53/udp -p [::1]:5301:53/udp");
    let _servers = (web.serves(80), web.answers_udp("web", 53));
    w.host().fetches("127.0.0.2", 8080);
    w.host().fetches("::1", 8081);
    assert_eq!(w.host().asks_udp("127.0.0.1", 5300), "web 10.9.0.1");
    w.host().asks_udp("::1", 5301);
    let db = w.attach("db", "front", "");
    // Whoever routes the loopback to us gets nowhere; nor do members, who have the host as their router.
    for (from, via, card) in [(w.outside(), "192.0.2.1", "card"), (db, "10.9.0.1", "eth0")] {
        from.shell(&format!(
            "sysctl -qw net.ipv4.conf.all.route_localnet=1 net.ipv4.conf.{card}.route_localnet=1
             ip route del local 127.0.0.0/8 dev lo table local 2>&- || true
             ip route add 127.0.0.0/8 via {via} dev {card} src $(ip -4 -o addr show dev {card} | tr -s ' ' | cut -d' ' -f4 | cut -d/ -f1)"
        ));
        from.does_not_fetch("127.0.0.2", 8080);
        from.gets_no_udp("127.0.0.1", 5300);
    }
    let counted = web.shell("cat /proc/net/snmp | grep ^Udp: | tail -1 | cut -d' ' -f2");
    db.gets_no_udp("127.0.0.1", 5300);
    assert_eq!(web.shell("cat /proc/net/snmp | grep ^Udp: | tail -1 | cut -d' ' -f2"), counted);
    for host in ["192.0.2.1", "10.9.0.1"] {
        w.outside().does_not_fetch(host, 8080);
        web.does_not_fetch(host, 8080);
    }
}

pub(crate) fn udp_is_answered_from_the_address_that_was_asked(w: &World) {
    w.host().run("ip addr add 192.0.2.7/24 dev uplink");
    let web = web(w, "-p 5300:53/udp");
    let _server = web.answers_udp("web", 53);
    w.bowline(BACK);
    let db = w.attach("db", "back", "");
    let app = w.attach("app", "front", "");
    for host in ["192.0.2.1", "192.0.2.7", "2001:db8::1"] {
        for from in [w.outside(), db, app, web, w.host()] {
            from.asks_udp(host, 5300);
        }
    }
    assert_eq!(w.outside().asks_udp("192.0.2.7", 5300), "web 192.0.2.2");
    assert_eq!(db.asks_udp("192.0.2.7", 5300), "web 10.8.0.2");
    w.host().run("ip addr del 192.0.2.7/24 dev uplink");
}

pub(crate) fn ipv6_reaches_an_endpoint_that_has_only_ipv4(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    let web = w.attach("web", "front", "-p 8080:80 -p 5300:53/udp");
    let _servers = (web.serves(80), web.answers_udp("web", 53));
    for host in ["2001:db8::1", "::1"] {
        w.host().fetches(host, 8080);
        w.host().asks_udp(host, 5300);
    }
    assert_eq!(w.outside().seen_by("2001:db8::1", 8080), "10.9.0.1");
    w.outside().asks_udp("2001:db8::1", 5300);
    assert_eq!(w.outside().seen_by("192.0.2.1", 8080), "192.0.2.2");
}

pub(crate) fn ipv4_reaches_an_endpoint_that_has_only_ipv6(w: &World) {
    w.bowline("network create front --subnet fd00:9::/64");
    let web = w.attach("web", "front", "-p 8080:80");
    let _server = web.serves(80);
    w.outside().fetches("192.0.2.1", 8080);
    w.host().fetches("127.0.0.1", 8080);
    assert_eq!(w.outside().seen_by("2001:db8::1", 8080), "2001:db8::2");
}

pub(crate) fn what_is_relayed_keeps_out_whom_the_firewall_does(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24 --isolate");
    w.bowline(BACK);
    w.bowline("network create hidden --internal --subnet 10.7.0.0/24 --subnet fd00:7::/64");
    let web = w.attach("web", "front", "-p 8080:80");
    let _server = web.serves(80);
    let (db, inner) = (w.attach("db", "back", ""), w.attach("inner", "hidden", ""));
    w.outside().fetches("2001:db8::1", 8080);
    for host in ["2001:db8::1", "fd00:8::1"] {
        db.does_not_fetch(host, 8080);
    }
    db.does_not_fetch("192.0.2.1", 8080);
    inner.does_not_fetch("fd00:7::1", 8080);
}

pub(crate) fn ranges_and_free_ports(w: &World) {
    let web = web(
        w,
        "-p 8000-8010:8000-8010 -p 9000-9002:80-82 -p 7000-7009:80 -p 80 -P --expose 81 --expose 53/udp",
    );
    let _servers = (web.serves(80), web.serves(81), web.serves(8005));
    w.outside().fetches("192.0.2.1", 8005);
    w.outside().fetches("192.0.2.1", 9001);
    w.outside().fetches("192.0.2.1", 7000);
    let ports = w.bowline("port ls web --format json").json();
    let chosen: Vec<(u64, u64)> = ports
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|p| Some((p["host_port"].as_u64()?, p["port"].as_u64()?)))
        .filter(|(host, _)| *host >= 32_768)
        .collect();
    assert_eq!(chosen.iter().map(|(_, port)| *port).collect::<Vec<_>>(), [80, 81, 53], "{ports}");
    let (free, _) = chosen[1];
    for host in ["192.0.2.1", "2001:db8::1"] {
        w.outside().fetches(host, u16::try_from(free).unwrap());
    }
    // A range whose numbers stay is one element of its map.
    let spans = w.host().run("nft list map inet bowline spans4");
    assert!(spans.contains("tcp . 8000-8010 : 10.9.0.2"), "{spans}");
    assert_eq!(w.host().run("nft list map inet bowline anywhere4").matches(" . 9").count(), 3);
}

pub(crate) fn ports_come_and_go_while_others_are_in_use(w: &World) {
    let web = web(w, "-p 7000:7");
    let _servers = (web.echoes(7), web.serves(80));
    let talk = w.outside().talks_to("192.0.2.1", 7000);
    let before = w.bowline("endpoint inspect web").out;
    for _ in 0..20 {
        w.bowline("port publish web 8080:80 8081:80/tcp 8082:80");
        w.outside().fetches("192.0.2.1", 8082);
        w.bowline("port unpublish web 8080 8081:80 8082");
        w.outside().does_not_fetch("192.0.2.1", 8081);
    }
    assert_eq!(w.bowline("endpoint inspect web").out, before);
    talk.ends().well();
    // A connection through a port that is taken back is cut.
    let mut talk = w.outside().talks_to("192.0.2.1", 7000);
    w.bowline("port unpublish web --all");
    eventually("the connection is cut", || only_if(!talk.still_runs(), "it goes on"));
    let cut = talk.ends();
    assert!(cut.code != 0, "the connection went on: {cut}");
    w.tries("port unpublish web 7000").refused("BWL-1215", 3);
}

pub(crate) fn who_has_a_port_is_named_and_another_proposed(w: &World) {
    let _web = web(w, "-p 8080:80");
    w.container("other");
    w.tries("endpoint create other --netns other --network front -p 8080:80")
        .refused("BWL-1214", 4)
        .naming(&["endpoint web has published it", "-p 8081:80"]);
    // A process of the host's, on one address: it is in the way of all of them.
    let server = w.host().serves(8090);
    w.tries("endpoint create other --netns other --network front -p 127.0.0.1:8090:80")
        .refused("BWL-1214", 4)
        .naming(&["(pid ", "-p 127.0.0.1:8091:80"]);
    w.tries("port check 8090").refused("BWL-1214", 4).naming(&["(pid "]);
    drop(server);
    eventually("the port is free", || {
        let check = w.tries("port check 8090");
        only_if(check.code == 0, check)
    });
    // Nothing of the attempts is left, and what was in the way may now be published.
    w.bowline("endpoint create other --netns other --network front -p 8090:80");
    w.tries("port check 8080").refused("BWL-1214", 4).naming(&["web"]);
}

pub(crate) fn nobody_else_can_bind_a_published_port(w: &World) {
    let _web = web(w, "-p 8080:80 -p 127.0.0.1:8081:80 -p 5300:53/udp");
    for (kind, address) in [
        ("tcp", "0.0.0.0:8080"),
        ("tcp", "127.0.0.1:8080"),
        ("tcp", "[::]:8080"),
        ("tcp", "192.0.2.1:8080"),
        ("tcp", "127.0.0.1:8081"),
        ("tcp", "0.0.0.0:8081"),
        ("udp", "0.0.0.0:5300"),
        ("udp", "[::1]:5300"),
    ] {
        let said = w.host().binds(kind, address);
        assert!(said.code != 0 && said.err.contains("in use"), "{kind} {address}: {said}");
    }
    w.bowline("endpoint rm web");
    eventually("the ports are free", || {
        let said = w.host().binds("tcp", "0.0.0.0:8080");
        only_if(said.code == 0, said)
    });
}

pub(crate) fn a_port_that_was_just_served_can_be_published(w: &World) {
    // The server's side closes first, so the port is in TIME_WAIT on the host.
    let server = w.host().serves(8080);
    w.outside().fetches("192.0.2.1", 8080);
    drop(server);
    let web = web(w, "-p 8080:80");
    let _server = web.serves(80);
    w.outside().fetches("192.0.2.1", 8080);
}

pub(crate) fn a_sender_that_never_stops_reaches_the_next_one(w: &World) {
    w.bowline(FRONT);
    let mut stream = w.outside().streams_to("192.0.2.1", 5300);
    let one = w.attach("one", "front", "-p 5300:53/udp");
    let one_answers = one.answers_udp("one", 53);
    stream.wait_for_line("one");
    let two = w.container("two");
    let _two_answers = two.answers_udp("two", 53);
    // Publishing takes over at once: unpublish and publish are one after the other, and so are the answers.
    w.bowline("endpoint create two --netns two --network front");
    w.bowline("port unpublish one 5300/udp");
    w.bowline("port publish two 5300:53/udp");
    stream.wait_for_line("two");
    drop(one_answers);
    // The same with an endpoint that goes.
    w.bowline("endpoint rm two");
    w.bowline("port publish one 5300:53/udp");
    let _one_answers = one.answers_udp("one", 53);
    stream.wait_for_line("one");
}

pub(crate) fn ports_outlive_the_daemon(w: &World) {
    let web = web(w, "-p 8080:80 -p 127.0.0.1:8081:80 -p 8082:80");
    let _server = web.serves(80);
    w.bowline("port publish web 9000-9010:9000-9010");
    w.bowline("port unpublish web 8082");
    let works = |w: &World| {
        w.outside().fetches("192.0.2.1", 8080);
        w.outside().fetches("2001:db8::1", 8080);
        w.host().fetches("127.0.0.1", 8081);
        w.outside().does_not_fetch("192.0.2.1", 8081);
        w.outside().does_not_fetch("192.0.2.1", 8082);
    };
    works(w);
    let before = w.bowline("port ls --format json").out;
    w.restart();
    works(w);
    w.kill();
    // The firewall needs nobody for what it translates.
    w.outside().fetches("192.0.2.1", 8080);
    w.start();
    works(w);
    w.host().fetches("::1", 8080);
    assert_eq!(w.bowline("port ls --format json").out, before);
    assert!(w.host().binds("tcp", "0.0.0.0:8080").code != 0);
    assert_eq!(w.bowline("system drift --format json").json()["steps"].as_array().map(Vec::len), Some(0));
}

/// Whether the daemon lives, is dead, or is back.
pub(crate) fn nobody_else_can_bind_a_published_port_while_the_daemon_is_away(w: &World) {
    let web = web(w, "-p 8080:80 -p 127.0.0.1:8081:80 -p 5300:53/udp -p 7000-7040:7000-7040");
    w.bowline("port publish web [::1]:8082:80 8083:80");
    w.bowline("port unpublish web 8083");
    let _server = web.serves(80);
    let is_held = |when: &str| {
        for (kind, address) in [
            ("tcp", "0.0.0.0:8080"),
            ("tcp", "[::1]:8080"),
            ("tcp", "192.0.2.1:8080"),
            ("tcp", "127.0.0.1:8081"),
            ("tcp", "[::1]:8082"),
            ("udp", "0.0.0.0:5300"),
            ("tcp", "0.0.0.0:7000"),
            ("tcp", "0.0.0.0:7040"),
        ] {
            let said = w.host().binds(kind, address);
            assert!(said.code != 0 && said.err.contains("in use"), "{when}: {kind} {address}: {said}");
        }
        for (kind, address) in [("tcp", "0.0.0.0:8083"), ("tcp", "192.0.2.1:8081"), ("udp", "0.0.0.0:8080")] {
            w.host().binds(kind, address).well();
        }
    };
    is_held("at first");
    for again in 1..=2 {
        w.kill();
        is_held(&format!("it is dead, {again}"));
        w.outside().fetches("192.0.2.1", 8080);
        w.start();
        is_held(&format!("it is back, {again}"));
        w.outside().fetches("2001:db8::1", 8080);
        assert!(!w.log().contains("is taken"), "{}", w.log());
    }
    w.has_no_drift();
    // When it is said to be free it is.
    w.bowline("port unpublish web 7000-7040:7000-7040");
    w.host().binds("tcp", "0.0.0.0:7020").well();
    w.bowline("port unpublish web --all");
    for (kind, port) in [("tcp", 8080), ("tcp", 8081), ("tcp", 8082), ("udp", 5300)] {
        w.host().binds(kind, &format!("[::]:{port}")).well();
    }
}

/// What is kept for a daemon that has no use for it any more is let go of.
pub(crate) fn ports_of_what_is_gone_when_the_daemon_comes_back_are_free(w: &World) {
    let _web = web(w, "-p 8080:80");
    w.bowline("network create back --subnet 10.8.0.0/24");
    let _db = w.attach("db", "back", "-p 8081:80");
    w.kill();
    // With the namespace goes its port of the host's bridge.
    w.host().run("ip netns del web");
    w.start();
    eventually("the port is free", || {
        let said = w.host().binds("tcp", "0.0.0.0:8080");
        only_if(said.code == 0, said)
    });
    assert!(w.host().binds("tcp", "0.0.0.0:8081").code != 0);
}

pub(crate) fn a_port_that_was_taken_while_the_daemon_was_away_still_works(w: &World) {
    let web = web(w, "-p 8080:80");
    let _server = web.serves(80);
    w.kill();
    // Who keeps it meanwhile may be killed too.
    w.kill_keepers();
    let _thief = w.host().serves(8080);
    w.start();
    assert_eq!(w.outside().seen_by("192.0.2.1", 8080), "192.0.2.2");
    assert!(w.log().contains("port 8080/tcp is taken"), "{}", w.log());
    w.bowline("endpoint rm web");
}

pub(crate) fn ports_follow_the_default_route(w: &World) {
    let web = web(w, "-p 8080:80");
    let _server = web.serves(80);
    w.outside().fetches("192.0.2.1", 8080);
    w.bowline(BACK);
    w.bowline("network connect back web --gw-priority 10");
    w.outside().fetches("192.0.2.1", 8080);
    let maps = w.host().run("nft list map inet bowline anywhere4");
    assert!(maps.contains("tcp . 8080 : 10.8.0.2 . 80"), "{maps}");
    w.bowline("network disconnect back web");
    w.outside().fetches("192.0.2.1", 8080);
    w.outside().fetches("2001:db8::1", 8080);
    w.bowline("network disconnect front web");
    w.outside().does_not_fetch("192.0.2.1", 8080);
    assert_eq!(w.host().binds("tcp", "0.0.0.0:8080").code, 0);
    w.bowline("network connect front web");
    w.outside().fetches("192.0.2.1", 8080);
}

/// T-08.
pub(crate) fn what_is_wrong_with_a_port_changes_nothing(w: &World) {
    let _web = web(w, "-p 8080:80");
    w.bowline("network create hidden --internal --subnet 10.7.0.0/24");
    w.container("other");
    let before = (w.host().run("nft list ruleset"), w.bowline("port ls --format json").out);
    for (spec, code) in [
        ("0:80", 2),
        ("80:0", 2),
        ("65536:80", 2),
        ("80:65536", 2),
        ("90-80:90-80", 2),
        ("8000-8010:8000-8005", 2),
        ("80/icmp", 2),
        ("80/", 2),
        ("a:b", 2),
        ("1.2.3.4.5:80:80", 2),
        ("::1:80:80", 2),
        ("203.0.113.9:8081:80", 2),
        ("224.0.0.1:8081:80/udp", 2),
        ("[fe80::1]:8081:80", 2),
        ("\"80\"", 2),
        ("8081:80\n", 2),
        ("$(id):80", 2),
        ("8080:81", 4),
        ("127.0.0.1:8080:81", 4),
        ("8079-8081:8079-8081", 4),
    ] {
        let said = w.calls(&["port", "publish", "web", spec]);
        assert_eq!(said.code, code, "{spec:?}: {said}");
        let said =
            w.calls(&["endpoint", "create", "other", "--netns", "other", "--network", "front", "-p", spec]);
        assert_eq!(said.code, code, "{spec:?}: {said}");
    }
    let twice = w.tries("endpoint create other --netns other --network front -p 9000:80 -p 9000:81");
    assert!(twice.err.contains("twice"), "{twice}");
    let inside = w.tries("endpoint create other --netns other --network hidden -p 9000:80");
    assert!(inside.err.contains("internal"), "{inside}");
    assert_eq!((w.host().run("nft list ruleset"), w.bowline("port ls --format json").out), before);
    for port in ["8081", "8079", "9000"] {
        assert_eq!(w.host().binds("tcp", &format!("0.0.0.0:{port}")).code, 0, "{port}");
    }
}

/// T-06.
pub(crate) fn a_hosts_port_of_a_well_known_number_swallows_nothing_else(w: &World) {
    // CVE-2025-67499: port 53 published by one must leave everybody's own questions alone.
    let web = web(w, "-p 53:53/udp");
    let _answers = (web.answers_udp("web", 53), w.outside().answers_udp("outside", 53));
    let app = w.attach("app", "front", "");
    assert_eq!(app.asks_udp("192.0.2.2", 53), "outside 192.0.2.1");
    assert_eq!(w.host().asks_udp("192.0.2.2", 53), "outside 192.0.2.1");
    assert_eq!(w.outside().asks_udp("192.0.2.1", 53), "web 192.0.2.2");
}
