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
