//! Leaving the host: under whose address, and by packets of which size.

use crate::world::World;
use crate::world::place::{ANSWER, SILENCE};

pub(crate) fn members_leave_under_the_hosts_address(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24 --subnet fd00:9::/64");
    let web = w.attach("web", "front", "");
    let _server = w.outside().serves(80);
    assert_eq!(web.seen_by("192.0.2.2", 80), "192.0.2.1");
    assert_eq!(web.seen_by("2001:db8::2", 80), "2001:db8::1");
}

pub(crate) fn members_keep_their_addresses_where_asked(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24 --subnet fd00:9::/64 --no-masquerade");
    let web = w.attach("web", "front", "");
    w.outside().run("ip route add 10.9.0.0/24 via 192.0.2.1");
    w.outside().run("ip route add fd00:9::/64 via 2001:db8::1");
    let _server = w.outside().serves(80);
    assert_eq!(web.seen_by("192.0.2.2", 80), "10.9.0.2");
    assert_eq!(web.seen_by("2001:db8::2", 80), "fd00:9::2");
    w.bowline("network update front --masquerade");
    assert_eq!(web.seen_by("192.0.2.2", 80), "192.0.2.1");
}

pub(crate) fn the_size_of_packets_follows_the_uplink(w: &World) {
    w.host().run("ip link set uplink mtu 1400");
    w.outside().run("ip link set card mtu 1400");
    w.bowline("network create front --subnet 10.9.0.0/24");
    let web = w.attach("web", "front", "");
    let port = w.api().endpoint("web").unwrap().interfaces[0].host_link.clone();
    for (place, link) in [(w.host(), "bl-front"), (w.host(), port.as_str()), (web, "eth0")] {
        assert_eq!(place.link(link).unwrap()["mtu"], 1400, "{link}");
    }
    web.ping(ANSWER, "-M do -s 1372 192.0.2.2").well();
    assert_ne!(web.ping(SILENCE, "-M do -s 1373 192.0.2.2").code, 0);
    w.removes_everything();
    w.host().run("ip link set uplink mtu 1500");
}

pub(crate) fn the_size_of_packets_is_as_asked(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24 --mtu 9000");
    let (web, db) = (w.attach("web", "front", ""), w.attach("db", "front", ""));
    assert_eq!(db.link("eth0").unwrap()["mtu"], 9000);
    web.ping(ANSWER, "-M do -s 8972 10.9.0.3").well();
    w.bowline("network update front --mtu 1300");
    for (place, link) in [(w.host(), "bl-front"), (web, "eth0"), (db, "eth0")] {
        assert_eq!(place.link(link).unwrap()["mtu"], 1300, "{link}");
    }
    web.reaches("10.9.0.3");
}

/// The way out is a tag on the card that is the way out elsewhere.
pub(crate) fn members_leave_and_are_reached_by_a_tagged_uplink(w: &World) {
    w.host().shell(
        "ip link add link uplink name tagged type vlan id 7
         ip addr add 198.51.100.1/24 dev tagged
         ip link set tagged up
         ip route replace default via 198.51.100.2",
    );
    w.outside().shell(
        "ip link add link card name tagged type vlan id 7
         ip addr add 198.51.100.2/24 dev tagged
         ip link set tagged up",
    );
    w.bowline("network create front --subnet 10.9.0.0/24");
    let web = w.attach("web", "front", "-p 8080:80");
    let _servers = (w.outside().serves(80), web.serves(80));
    assert_eq!(web.seen_by("198.51.100.2", 80), "198.51.100.1");
    assert_eq!(w.outside().seen_by("198.51.100.1", 8080), "198.51.100.2");
    w.outside().run("ip route add 10.9.0.0/24 via 198.51.100.1");
    w.outside().does_not_fetch("10.9.0.2", 80);
    w.removes_everything();
    w.host().shell("ip link del tagged; ip route replace default via 192.0.2.2");
}

pub(crate) fn the_size_of_packets_follows_a_tunnel(w: &World) {
    w.host().shell(
        "ip link add wg0 type wireguard
         ip link set wg0 up
         ip route replace default dev wg0",
    );
    w.bowline("network create front --subnet 10.9.0.0/24");
    let web = w.attach("web", "front", "");
    assert_eq!(w.host().link("wg0").unwrap()["mtu"], 1420);
    for (place, link) in [(w.host(), "bl-front"), (web, "eth0")] {
        assert_eq!(place.link(link).unwrap()["mtu"], 1420, "{link}");
    }
    w.removes_everything();
    w.host().shell("ip link del wg0; ip route replace default via 192.0.2.2");
}
