//! Who may open connections to whom. Every silence is asked for on a path that is known to work.

use crate::world::World;
use crate::world::place::Place;

/// Networks in both families, each with a member that serves, and a neighbour that has routes to them all.
fn town<'w>(w: &'w World, front: &str, back: &str) -> (Place<'w>, Place<'w>) {
    w.bowline(&format!("network create front --subnet 10.9.0.0/24 --subnet fd00:9::/64 {front}"));
    w.bowline(&format!("network create back --subnet 10.8.0.0/24 --subnet fd00:8::/64 {back}"));
    for (net, gateway) in [
        ("10.9.0.0/24", "192.0.2.1"),
        ("10.8.0.0/24", "192.0.2.1"),
        ("fd00:9::/64", "2001:db8::1"),
        ("fd00:8::/64", "2001:db8::1"),
    ] {
        w.outside().run(&format!("ip route add {net} via {gateway}"));
    }
    (w.attach("web", "front", ""), w.attach("db", "back", ""))
}

pub(crate) fn networks_do_not_reach_each_other(w: &World) {
    let (web, db) = town(w, "", "");
    let app = w.attach("app", "back", "");
    let _server = db.serves(80);
    for address in ["10.8.0.2", "fd00:8::2"] {
        app.fetches(address, 80);
        web.does_not_fetch(address, 80);
        web.does_not_reach(address);
    }
}

pub(crate) fn an_open_network_is_open_to_all(w: &World) {
    let (web, db) = town(w, "", "--isolation open");
    let _servers = (db.serves(80), web.serves(80));
    for address in ["10.8.0.2", "fd00:8::2"] {
        web.fetches(address, 80);
        w.outside().fetches(address, 80);
    }
    for address in ["10.9.0.2", "fd00:9::2"] {
        db.does_not_fetch(address, 80);
        w.outside().does_not_fetch(address, 80);
    }
}

/// T-02 of docs/testing.md.
pub(crate) fn outsiders_do_not_reach_members_directly(w: &World) {
    let (web, db) = town(w, "", "--isolate");
    let _servers = (web.serves(80), db.serves(80));
    for address in ["10.9.0.2", "fd00:9::2", "10.8.0.2", "fd00:8::2"] {
        w.host().fetches(address, 80);
        w.outside().does_not_fetch(address, 80);
        w.outside().does_not_reach(address);
    }
    // The way is there: it is the filter that closes it.
    w.bowline("network update front --isolation open");
    for address in ["10.9.0.2", "fd00:9::2"] {
        w.outside().fetches(address, 80);
    }
    w.bowline("network update front --isolation published");
    w.outside().does_not_fetch("10.9.0.2", 80);
}

/// An answer is accepted from anybody, so it must be asked first whether the sender can be who it says.
pub(crate) fn who_guesses_a_members_flow_stays_outside(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    w.bowline("network create plaza --subnet 10.8.0.0/24 --isolation open");
    let (app, shop) = (w.attach("app", "front", "--ip 10.9.0.2"), w.attach("shop", "plaza", "--ip 10.8.0.2"));
    let _answers = shop.answers_udp("shop", 7000);
    shop.run("nft add table ip seen");
    shop.run("nft add chain ip seen input { type filter hook input priority 0 ; }");
    shop.run("nft add rule ip seen input ip saddr 10.9.0.2 udp sport 5555 counter");
    let heard = || shop.tries("nft -j list chain ip seen input").well().json().to_string();
    app.asks_udp_from(5555, "10.8.0.2", 7000).well();
    let honest = heard();
    assert!(honest.contains("\"packets\":1"), "{honest}");

    let outside = w.outside();
    outside.run("ip address add 10.9.0.2/32 dev lo");
    outside.run("ip route add 10.8.0.0/24 via 192.0.2.1");
    outside.run_python(
        "import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('10.9.0.2', 5555))
s.sendto(b'forged', ('10.8.0.2', 7000))",
    );
    // What it says under its own name goes the same way, and arrives after.
    assert!(outside.asks_udp("10.8.0.2", 7000).starts_with("shop"));
    assert_eq!(heard(), honest, "a forged datagram was delivered");
    outside.run("ip route del 10.8.0.0/24");
    outside.run("ip address del 10.9.0.2/32 dev lo");
}

/// Somebody else's published ports: what the firewall goes by is that the connection was translated.
const PUBLISH: &str = "nft -f - <<END
table ip publish {
    chain prerouting {
        type nat hook prerouting priority -100
        ip daddr 192.0.2.1 tcp dport 8009 dnat to 10.9.0.2:80
        ip daddr 192.0.2.1 tcp dport 8008 dnat to 10.8.0.2:80
    }
}
END";

pub(crate) fn published_ports_are_reached_but_strict_networks_only_from_outside(w: &World) {
    let (web, db) = town(w, "", "--isolate");
    let _servers = (web.serves(80), db.serves(80));
    w.host().shell(PUBLISH);
    w.outside().fetches("192.0.2.1", 8009);
    w.outside().fetches("192.0.2.1", 8008);
    db.fetches("192.0.2.1", 8009);
    web.does_not_fetch("192.0.2.1", 8008);
    w.bowline("network update back --isolation published");
    web.fetches("192.0.2.1", 8008);
    w.host().run("nft delete table ip publish");
}

pub(crate) fn members_kept_apart_reach_the_gateway_only(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24 --subnet fd00:9::/64 --no-icc");
    let (web, db) = (w.attach("web", "front", ""), w.attach("db", "front", ""));
    let _server = db.serves(80);
    w.host().fetches("10.9.0.3", 80);
    for (gateway, peer) in [("10.9.0.1", "10.9.0.3"), ("fd00:9::1", "fd00:9::3")] {
        web.reaches(gateway);
        web.does_not_reach(peer);
        web.does_not_fetch(peer, 80);
        // Nor around the bridge, by way of the gateway.
        web.run(&format!("ip route add {peer} via {gateway}"));
        web.does_not_fetch(peer, 80);
        web.run(&format!("ip route del {peer} via {gateway}"));
    }
    let _outside = w.outside().serves(80);
    web.fetches("192.0.2.2", 80);

    w.bowline("network update front --icc");
    web.fetches("10.9.0.3", 80);
    web.fetches("fd00:9::3", 80);
    w.bowline("network update front --no-icc");
    web.does_not_fetch("10.9.0.3", 80);
}

/// An open network lets everybody in, but members kept apart stay apart, by whatever way they try.
pub(crate) fn members_kept_apart_do_not_meet_at_the_gateway(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24 --no-icc --isolation open");
    let (web, db) = (w.attach("web", "front", ""), w.attach("db", "front", ""));
    web.run("ip route add 10.9.0.3 via 10.9.0.1");
    db.run("ip route add 10.9.0.2 via 10.9.0.1");
    web.does_not_reach("10.9.0.3");
    db.does_not_reach("10.9.0.2");
    web.reaches("10.9.0.1");
    w.outside().run("ip route add 10.9.0.0/24 via 192.0.2.1");
    w.outside().reaches("10.9.0.3");
    w.outside().run("ip route del 10.9.0.0/24 via 192.0.2.1");
}
