//! The bridge table: a guarded port says the truth about who sends, and plays neither router nor DHCP server.

use bowline_core::firewall::Element;

use super::frames::{
    ARP, ICMPV6, IPV4, IPV6, UDP, arp, arrive, ether, icmpv6, ipv4, ipv6, mac, tagged, udp, wire,
};
use super::world::{BRIDGE_MAC, MACS, PORT, World, listen, next, two_networks, was};
use super::{link, run};

const ME: &str = MACS[0];
const NEIGHBOUR: &str = MACS[1];
const NOBODY: &str = "02:00:00:00:00:99";
const EVERYBODY: [u8; 6] = [0xff; 6];

/// The first member's port is guarded.
fn guarded() -> World {
    let mac = bowline_core::mac::Mac(mac(ME));
    let source = |address: &str| Element::Source { port: link("a0"), mac, address: address.parse().unwrap() };
    let guards =
        vec![Element::Guarded(link("a0")), source("10.1.0.2"), source("fd01::2"), source("fe80::ff:fe00:2")];
    let world = World::new([two_networks(), guards].concat());
    world.bridges_by_themselves();
    world
}

fn honest() -> Vec<(&'static str, Vec<u8>)> {
    let (udp, to) = (udp(5000, 5001), EVERYBODY);
    let asks = icmpv6(135, "fd01::3");
    vec![
        ("IPv4", ether(to, ME, IPV4, &ipv4("10.1.0.2", "10.1.0.3", UDP, &udp))),
        ("IPv4 of mere priority", tagged(&ether(to, ME, IPV4, &ipv4("10.1.0.2", "10.1.0.3", UDP, &udp)), 0)),
        ("ARP", ether(to, ME, ARP, &arp(ME, "10.1.0.2", "10.1.0.3"))),
        ("IPv6", ether(to, ME, IPV6, &ipv6("fd01::2", "fd01::3", UDP, &udp))),
        ("IPv6 of the link", ether(to, ME, IPV6, &ipv6("fe80::ff:fe00:2", "fd01::3", UDP, &udp))),
        ("solicitation", ether(to, ME, IPV6, &ipv6("fd01::2", "fd01::3", ICMPV6, &asks))),
        ("advertisement", ether(to, ME, IPV6, &ipv6("fd01::2", "fd01::3", ICMPV6, &icmpv6(136, "fd01::2")))),
    ]
}

fn forged() -> Vec<(&'static str, Vec<u8>)> {
    let (data, to) = (udp(5000, 5001), EVERYBODY);
    let dhcp = ether(to, ME, IPV4, &ipv4("10.1.0.2", "10.1.0.3", UDP, &udp(67, 68)));
    let router = ether(to, ME, IPV6, &ipv6("fe80::ff:fe00:2", "ff02::1", ICMPV6, &icmpv6(134, "::")));
    let from4 = |mac, ip| ether(to, mac, IPV4, &ipv4(ip, "10.1.0.3", UDP, &data));
    let from6 = |mac, ip| ether(to, mac, IPV6, &ipv6(ip, "fd01::3", UDP, &data));
    let icmp6 = |message: &[u8]| ether(to, ME, IPV6, &ipv6("fd01::2", "fd01::3", ICMPV6, message));
    vec![
        ("IPv4 of another", from4(ME, "10.1.0.9")),
        ("IPv4 in a VLAN", tagged(&from4(ME, "10.1.0.2"), 5)),
        ("IPv4 in a VLAN, with a priority", tagged(&from4(ME, "10.1.0.2"), 5 | 7 << 13)),
        ("IPv4 in a provider's VLAN", {
            let mut frame = tagged(&from4(ME, "10.1.0.2"), 5);
            frame[12..14].copy_from_slice(&0x88a8_u16.to_be_bytes());
            frame
        }),
        ("IPv6 in a VLAN", tagged(&from6(ME, "fd01::2"), 5)),
        ("IPv4 of the gateway", from4(ME, "10.1.0.1")),
        ("IPv4 by another MAC", from4(NOBODY, "10.1.0.2")),
        ("IPv4 by the neighbour's MAC", from4(NEIGHBOUR, "10.1.0.2")),
        ("IPv6 of another", from6(ME, "fd01::9")),
        ("IPv6 by another MAC", from6(NOBODY, "fd01::2")),
        ("ARP of the gateway", ether(to, ME, ARP, &arp(ME, "10.1.0.1", "10.1.0.3"))),
        ("ARP by another MAC", ether(to, NOBODY, ARP, &arp(ME, "10.1.0.2", "10.1.0.3"))),
        ("ARP for another MAC", ether(to, ME, ARP, &arp(NOBODY, "10.1.0.2", "10.1.0.3"))),
        ("DHCP", dhcp.clone()),
        ("DHCP of mere priority", tagged(&dhcp, 0)),
        ("DHCP of a VLAN", tagged(&dhcp, 5)),
        ("DHCPv6", ether(to, ME, IPV6, &ipv6("fd01::2", "fd01::3", UDP, &udp(547, 546)))),
        ("router", router.clone()),
        ("router of mere priority", tagged(&router, 0)),
        ("router of two tags", tagged(&tagged(&router, 0), 0)),
        ("redirect", icmp6(&icmpv6(137, "fd01::9"))),
        ("advertisement of the gateway", icmp6(&icmpv6(136, "fd01::1"))),
        ("something else", ether(to, ME, 0x88b5, &[0; 46])),
    ]
}

#[test]
fn a_guarded_port_passes_what_is_honest_and_nothing_else() {
    let world = guarded();
    let (mut from, mut to) = (wire(&world.a[0]), wire(&world.a[1]));
    let names: Vec<&str> = honest().iter().map(|(name, _)| *name).collect();
    let all: Vec<_> = forged().into_iter().chain(honest()).collect();
    assert_eq!(arrive(&mut from, &mut to, &all), names);
}

#[test]
fn a_port_that_is_not_guarded_passes_everything() {
    let world = guarded();
    world.change(vec![], vec![Element::Guarded(link("a0"))]);
    let (mut from, mut to) = (wire(&world.a[0]), wire(&world.a[1]));
    let all: Vec<_> = forged().into_iter().chain(honest()).collect();
    let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    assert_eq!(arrive(&mut from, &mut to, &all), names);
}

#[test]
fn a_bridge_learns_no_sender_from_what_a_guarded_port_forges() {
    let world = guarded();
    let (mut from, mut to) = (wire(&world.a[0]), wire(&world.a[1]));
    // Addresses that go no further than the bridge pass no filter; ours are told not to learn from them.
    let hello = |last| ether([0x01, 0x80, 0xc2, 0, 0, last], NOBODY, 0x888e, &[0; 46]);
    let (_, last) = honest().remove(0);
    let forged = ether(EVERYBODY, NOBODY, IPV4, &ipv4("10.1.0.2", "10.1.0.3", UDP, &udp(1, 2)));
    let learned = || run("bridge", &["fdb", "show", "br", "bl-a"]).contains(NOBODY);

    let frames = [
        ("between bridges", hello(0x03)),
        ("LLDP", hello(0x0e)),
        ("forged", forged.clone()),
        ("honest", last.clone()),
    ];
    assert_eq!(arrive(&mut from, &mut to, &frames), ["honest"]);
    assert!(!world.host.run(learned));

    world.change(vec![], vec![Element::Guarded(link("a0"))]);
    arrive(&mut from, &mut to, &[("forged", forged), ("honest", last)]);
    assert!(world.host.run(learned), "but it does from others");
}

#[test]
fn the_loopback_of_the_host_is_not_reached_from_a_bridge_where_localnet_is_routed() {
    let world = World::new(two_networks());
    let hears = listen(&world.host);
    let mut from = wire(&world.a[0]);
    let datagram = |text: &str| {
        let len = u16::try_from(8 + text.len()).unwrap();
        [&[5000_u16, PORT, len, 0].map(u16::to_be_bytes).concat(), text.as_bytes()].concat()
    };
    let mut send = |source, target, text| {
        let packet = ipv4(source, target, UDP, &datagram(text));
        std::io::Write::write_all(&mut from, &ether(mac(BRIDGE_MAC), ME, IPV4, &packet)).unwrap();
    };
    send("10.1.0.2", "127.0.0.1", "to loopback");
    send("127.0.0.1", "10.1.0.1", "from loopback");
    send("10.1.0.2", "10.1.0.1", "honest");
    assert_eq!(next(&hears), was("honest", "10.1.0.2"));
}
