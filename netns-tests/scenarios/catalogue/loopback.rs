//! The host's loopback, and what is published on it, from everywhere but the host: raw datagrams, each a question that
//! needs no answer, for TCP hides what arrived when its answer cannot come back.

use super::frames::{mac, sends};
use crate::world::World;
use crate::world::place::Place;
use crate::world::said::{eventually, only_if};

const MANY: u64 = 100;

/// How many datagrams have been given to programs in that namespace, of both families.
fn heard(place: Place<'_>) -> u64 {
    let four = place.shell("grep ^Udp: /proc/net/snmp | tail -1 | cut -d' ' -f2");
    let six = place.shell("grep -w Udp6InDatagrams /proc/net/snmp6 | tr -s '\\t ' ' ' | cut -d' ' -f2");
    [four, six].iter().map(|count| count.trim().parse::<u64>().expect("a counter")).sum()
}

/// A datagram as it would be for a host that believed it.
fn datagram(to: &str, from_address: &str, to_address: &str, port: u16) -> String {
    let kind = if to_address.contains(':') { "0x86dd" } else { "0x0800" };
    format!("ether('{to}', mine, {kind}, udp('{from_address}', '{to_address}', 999, {port}))")
}

/// Who sends, by which card, to which MAC of the host's, under which address of each family.
type Attacker<'w> = (Place<'w>, &'static str, String, [&'static str; 2]);

fn attackers(w: &World) -> [Attacker<'_>; 3] {
    let bridge = mac(w.host(), "bl-front");
    [
        (w.outside(), "card", mac(w.host(), "uplink"), ["192.0.2.2", "2001:db8::2"]),
        (w.inside("db"), "eth0", bridge.clone(), ["10.9.0.3", "fd00:9::3"]),
        (w.inside("rogue"), "eth0", bridge, ["10.9.0.4", "fd00:9::4"]),
    ]
}

fn town<'w>(w: &'w World, ports: &str) -> Place<'w> {
    w.bowline("network create front --subnet 10.9.0.0/24 --subnet fd00:9::/64");
    let web = w.attach("web", "front", ports);
    w.attach("db", "front", "");
    w.attach("rogue", "front", "--no-antispoof");
    web
}

/// Sends an honest datagram by the same way until one arrives: what was sent before it has arrived too, if it ever
/// will, and would make a hundred of one.
#[track_caller]
fn hears_nothing_but(place: Place<'_>, before: u64, honest: impl Fn()) {
    let mut sent = 0;
    eventually("the honest one arrives", || {
        honest();
        sent += 1;
        only_if(heard(place) > before, before)
    });
    let heard = heard(place) - before;
    assert!(heard <= sent, "{heard} arrived, of which {sent} were to");
}

/// T-03. A listener of the host's, a bridge that has `route_localnet`, and packets to and from 127/8 and ::1.
pub(crate) fn nobody_but_the_host_reaches_its_loopback(w: &World) {
    let _web = town(w, "-p 127.0.0.1:8080:80");
    let local = |card: &str| {
        w.host().run(&format!("sysctl -n net.ipv4.conf.{card}.route_localnet")).trim().to_string()
    };
    assert_eq!(["all", "default", "uplink", "bl-front"].map(local), ["0", "0", "0", "1"]);
    let _listener = w.host().answers_udp("host", 5353);
    for (from, card, host, [four, six]) in attackers(w) {
        let before = heard(w.host());
        let addresses = [
            (four, "127.0.0.1"),
            (four, "127.9.9.9"),
            ("127.0.0.1", "127.0.0.1"),
            (six, "::1"),
            ("::1", "::1"),
        ];
        for (own, target) in addresses {
            sends(from, card, MANY, &datagram(&host, own, target, 5353));
        }
        let own_address = if card == "card" { "192.0.2.1" } else { "10.9.0.1" };
        sends(from, card, MANY, &datagram(&host, "127.0.0.1", own_address, 5353));
        let honest = datagram(&host, four, own_address, 5353);
        hears_nothing_but(w.host(), before, || sends(from, card, 1, &honest));
    }
    unguarded_host_is_reached(w);
    w.host().asks_udp("127.0.0.1", 5353);
}

/// The same packet, to a namespace whose card has `route_localnet` and that has no table of ours.
fn unguarded_host_is_reached(w: &World) {
    let (victim, neighbour) = (w.container("victim"), w.container("neighbour"));
    w.host().run("ip -n victim link add eth0 type veth peer name eth0 netns neighbour");
    victim.shell(
        "ip link set lo up; ip addr add 192.0.2.1/24 dev eth0; ip link set eth0 up
         sysctl -qw net.ipv4.conf.eth0.route_localnet=1",
    );
    neighbour.shell("ip addr add 192.0.2.2/24 dev eth0; ip link set eth0 up");
    let _listener = victim.answers_udp("victim", 5353);
    let frame = datagram(&mac(victim, "eth0"), "192.0.2.2", "127.0.0.1", 5353);
    eventually("where nobody guards it, it is heard", || {
        sends(neighbour, "eth0", 1, &frame);
        only_if(heard(victim) > 0, heard(victim))
    });
}

/// T-04. Ports of both families, published on loopback addresses only.
pub(crate) fn no_datagram_from_elsewhere_reaches_a_loopback_port(w: &World) {
    let web =
        town(w, "-p 127.0.0.1:5300:53/udp -p 127.0.0.2:5301:53/udp -p [::1]:5302:53/udp -p 5399:53/udp");
    let _server = web.answers_udp("web", 53);
    for (from, card, host, [four, six]) in attackers(w) {
        let before = heard(web);
        let (own4, own6) =
            if card == "card" { ("192.0.2.1", "2001:db8::1") } else { ("10.9.0.1", "fd00:9::1") };
        for port in [5300, 5301, 5302] {
            let targets = [(four, "127.0.0.1"), (four, "127.0.0.2"), (six, "::1"), (four, own4), (six, own6)];
            for (own, target) in targets {
                sends(from, card, MANY, &datagram(&host, own, target, port));
            }
        }
        // The way is there: what is published for all arrives by it.
        hears_nothing_but(web, before, || sends(from, card, 1, &datagram(&host, four, own4, 5399)));
        let before = heard(web);
        hears_nothing_but(web, before, || sends(from, card, 1, &datagram(&host, six, own6, 5399)));
    }
    for (address, port) in [("127.0.0.1", 5300), ("127.0.0.2", 5301), ("::1", 5302)] {
        w.host().asks_udp(address, port);
    }
}
