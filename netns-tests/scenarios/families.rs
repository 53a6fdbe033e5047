//! IPv4, IPv6, both, and what neither may let in.

use crate::world::World;
use crate::world::said::{eventually, only_if};

pub(crate) fn two_families(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24 --subnet fd00:9::/64");
    let (web, db) = (w.attach("web", "front", ""), w.attach("db", "front", ""));
    assert_eq!(web.addresses("eth0"), ["10.9.0.2/24", "fd00:9::2/64"]);
    assert_eq!(web.default_route("-4").as_deref(), Some("10.9.0.1 dev eth0"));
    assert_eq!(web.default_route("-6").as_deref(), Some("fd00:9::1 dev eth0"));
    let _server = db.serves(80);
    web.fetches("10.9.0.3", 80);
    web.fetches("fd00:9::3", 80);
}

pub(crate) fn ipv6_alone(w: &World) {
    w.bowline("network create six --ipv6 --no-ipv4");
    let web = w.attach("web", "six", "");
    let addresses = web.addresses("eth0");
    assert!(addresses.len() == 1 && addresses[0].starts_with("fd"), "{addresses:?}");
    assert_eq!(web.default_route("-4"), None);
    let network = w.api().network("six").unwrap();
    web.reaches(&network.subnets[0].gateway.unwrap().to_string());
    let _server = w.outside().serves(80);
    assert_eq!(web.seen_by("2001:db8::2", 80), "2001:db8::1", "it leaves under the host's address");
}

/// T-10 of docs/testing.md.
pub(crate) fn ipv4_alone_has_no_ipv6_at_all(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    let web = w.attach("web", "front", "");
    assert_eq!(web.run("ip -6 -o addr show dev eth0"), "");
    assert_eq!(w.host().run("ip -6 -o addr show dev bl-front"), "");
    assert_eq!(web.run("ip -6 route show table all dev eth0"), "");
    assert_eq!(web.run("sysctl -n net.ipv6.conf.eth0.disable_ipv6"), "1\n");
}

pub(crate) fn addresses_are_usable_at_once(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24 --subnet fd00:9::/64");
    let web = w.container("web");
    w.bowline("endpoint create web --netns web --network front");
    let first = web.run("ip -6 -o addr show");
    assert!(first.contains("fd00:9::2") && !first.contains("tentative"), "{first}");
    let bridge = w.host().run("ip -6 -o addr show dev bl-front scope global");
    assert!(bridge.contains("fd00:9::1") && !bridge.contains("tentative"), "{bridge}");
    web.reaches("fd00:9::1");
}

/// A default route and a prefix by way of the sender, to everybody on the link.
const ADVERTISE: &str = "
import socket, struct
card = socket.if_nametoindex('CARD')
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, card)
prefix = socket.inet_pton(socket.AF_INET6, '2001:db8:bad::')
ra = struct.pack('!BBHBBHII', 134, 0, 0, 64, 0, 1800, 0, 0)
ra += struct.pack('!BBBBIII16s', 3, 4, 64, 0xc0, 86400, 14400, 0, prefix)
for _ in range(3): s.sendto(ra, ('ff02::1', 0, 0, card))
";

/// T-14.
pub(crate) fn no_container_advertises_a_route(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24 --subnet fd00:9::/64");
    let (rogue, peer) = (w.attach("rogue", "front", "--no-antispoof"), w.attach("peer", "front", ""));
    // One that does listen, on a link of its own, so that the forgery is known to work.
    let gullible = w.container("gullible");
    w.host().run("ip -n rogue link add lure type veth peer name lured netns gullible");
    rogue.shell("sysctl -qw net.ipv6.conf.lure.accept_dad=0; ip link set lure up");
    gullible.run("ip link set lured up");
    let advertise = |card: &str| {
        let mut command = rogue.command("python3");
        let said = crate::world::said::Said::by("advertise".into(), {
            command.args(["-c", &ADVERTISE.replace("CARD", card)]);
            command
        });
        said.well();
    };
    eventually("the gullible one falls for it", || {
        advertise("lure");
        let routes = gullible.run("ip -6 route show default");
        only_if(routes.contains("proto ra"), routes)
    });

    let all = || {
        [
            w.host().run("ip -6 route show table all"),
            w.host().run("ip -6 -o addr"),
            peer.run("ip -6 route show table all"),
            peer.run("ip -6 -o addr"),
        ]
    };
    let before = all();
    let heard = |place: crate::world::place::Place<'_>| {
        let counters = place.run("cat /proc/net/snmp6");
        let line = counters.lines().find(|line| line.starts_with("Icmp6InRouterAdvertisements")).unwrap();
        line.split_whitespace().last().unwrap().parse::<u64>().unwrap()
    };
    eventually("the forgery arrives", || {
        advertise("eth0");
        let count = (heard(w.host()), heard(peer));
        only_if(count.0 > 0 && count.1 > 0, count)
    });
    assert_eq!(all(), before);
}

/// T-14.
pub(crate) fn no_advertisement_of_a_guarded_member_arrives(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24 --subnet fd00:9::/64");
    let (rogue, peer) = (w.attach("rogue", "front", ""), w.attach("peer", "front", ""));
    rogue.reaches("fd00:9::3");
    let heard = |place: crate::world::place::Place<'_>| {
        let counters = place.run("cat /proc/net/snmp6");
        counters.lines().find(|line| line.starts_with("Icmp6InRouterAdvertisements")).unwrap().to_string()
    };
    let before = (heard(w.host()), heard(peer));
    for _ in 0..5 {
        rogue.run_python(&ADVERTISE.replace("CARD", "eth0"));
    }
    // What was sent before the echo is there before the echo.
    rogue.reaches("fd00:9::3");
    rogue.reaches("fd00:9::1");
    assert_eq!((heard(w.host()), heard(peer)), before);
}
