//! What is forgotten and what is kept.

use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream, UdpSocket};

use bowline_core::family::Family;
use bowline_core::port::{At, Ports, Protocol};

use super::world::{HOST, TRACKING, await_tracked, eventually, ping, send, send_from, tracked, world};
use crate::conntrack::flows::Question;
use crate::conntrack::{Conntrack, Flows, Towards};

/// Everything towards these ports of the host over UDP, and what of it goes to 10.9.0.2.
fn towards(at: At, first: u16, last: u16) -> Flows {
    let ports = Ports::new(first, last).unwrap();
    let to = vec![ip("10.9.0.2")];
    Flows { towards: vec![Towards { at, protocol: Protocol::Udp, ports, to }], ..Flows::default() }
}

fn of(addresses: &[&str]) -> Flows {
    Flows { of: addresses.iter().copied().map(ip).collect(), ..Flows::default() }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Without and with the help of the kernel's own filter.
fn either_way(test: impl Fn(&mut Conntrack)) {
    for filter_from in [None, Some(0)] {
        let mut conntrack = Conntrack { filter_from, ..Conntrack::open().unwrap() };
        test(&mut conntrack);
        assert_eq!(conntrack.filter_from, filter_from, "the kernel has a filter");
        conntrack.forget(&of(&["127.0.0.1", "::1", "192.0.2.2", "10.9.0.1"])).unwrap();
        await_tracked(&[] as &[&str]);
    }
}

#[test]
fn a_flow_to_a_port_of_the_host_is_forgotten_and_only_it() {
    world(TRACKING, |world| {
        let listener = TcpListener::bind("127.0.0.1:53").unwrap();
        either_way(|conntrack| {
            let _connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            send("127.0.0.1:53");
            send("127.0.0.1:54");
            send("192.0.2.1:53");
            send("[::1]:53");
            send("192.0.2.2:53");
            send_from(&world.outside, "10.9.0.2:53");
            send_from(&world.outside, "10.9.0.3:53");
            let kept = [
                "tcp 127.0.0.1 > 127.0.0.1:53",
                "udp 127.0.0.1 > 127.0.0.1:54",
                "udp 192.0.2.1 > 192.0.2.2:53",
                "udp 192.0.2.2 > 10.9.0.2:53",
                "udp 192.0.2.2 > 10.9.0.3:53",
            ];
            let local = ["udp 127.0.0.1 > 127.0.0.1:53", "udp 192.0.2.1 > 192.0.2.1:53", "udp ::1 > ::1:53"];
            let mut all = [&kept[..], &local].concat();
            all.sort_unstable();
            await_tracked(&all);
            assert_eq!(conntrack.forget(&towards(At::Everywhere, 53, 53)).unwrap(), 3);
            assert_eq!(tracked(), kept);
            assert_eq!(conntrack.forget(&towards(At::Everywhere, 53, 53)).unwrap(), 0);
            assert_eq!(tracked(), kept);
        });
    });
}

#[test]
fn a_port_of_one_address_or_family_is_not_that_of_another() {
    world(TRACKING, |_| {
        either_way(|conntrack| {
            let all = ["udp 127.0.0.1 > 127.0.0.1:53", "udp 192.0.2.1 > 192.0.2.1:53", "udp ::1 > ::1:53"];
            let again = || {
                ["127.0.0.1:53", "192.0.2.1:53", "[::1]:53"].into_iter().for_each(send);
                await_tracked(&all);
            };
            again();
            assert_eq!(conntrack.forget(&towards(At::One(ip(HOST)), 53, 53)).unwrap(), 1);
            assert_eq!(tracked(), [all[0], all[2]]);
            assert_eq!(conntrack.forget(&towards(At::All(Family::V6), 53, 53)).unwrap(), 1);
            assert_eq!(tracked(), [all[0]]);
            assert_eq!(conntrack.forget(&towards(At::One(ip("127.0.0.1")), 53, 53)).unwrap(), 1);
            again();
            assert_eq!(conntrack.forget(&towards(At::All(Family::V4), 53, 53)).unwrap(), 2);
            assert_eq!(tracked(), [all[2]]);
        });
    });
}

#[test]
fn all_of_several_ports_are_forgotten() {
    world(TRACKING, |_| {
        either_way(|conntrack| {
            let all = [52, 53, 54, 55, 56].map(|port| format!("udp 127.0.0.1 > 127.0.0.1:{port}"));
            (52..57).for_each(|port| send(&format!("127.0.0.1:{port}")));
            await_tracked(&all);
            assert_eq!(conntrack.forget(&towards(At::Everywhere, 53, 55)).unwrap(), 3);
            assert_eq!(tracked(), [&all[0][..], &all[4]]);
        });
    });
}

#[test]
fn a_translated_flow_is_forgotten_by_the_port_of_the_host() {
    const RULES: &str = "
        table inet nat {
            chain prerouting {
                type nat hook prerouting priority dstnat;
                ip daddr 192.0.2.1 udp dport 8080 dnat ip to 10.9.0.2:53
                ip daddr 192.0.2.1 udp dport 8081 dnat ip to 10.9.0.3:53
            }
            chain postrouting { type nat hook postrouting priority srcnat; ip daddr 10.9.0.2 masquerade
            }
        }";
    world(RULES, |world| {
        either_way(|conntrack| {
            for to in ["192.0.2.1:8080", "192.0.2.1:8081", "10.9.0.2:8080", "10.9.0.2:53"] {
                send_from(&world.outside, to);
            }
            let straight = ["udp 192.0.2.2 > 10.9.0.2:53", "udp 192.0.2.2 > 10.9.0.2:8080"];
            let other = "udp 192.0.2.2 > 192.0.2.1:8081 < 10.9.0.3";
            let ours = "udp 192.0.2.2 > 192.0.2.1:8080 < 10.9.0.2";
            await_tracked(&[straight[0], straight[1], ours, other]);
            assert_eq!(conntrack.forget(&towards(At::Everywhere, 53, 53)).unwrap(), 0, "not by its own port");
            assert_eq!(conntrack.forget(&towards(At::All(Family::V6), 8080, 8080)).unwrap(), 0);
            assert_eq!(conntrack.forget(&towards(At::Everywhere, 8081, 8081)).unwrap(), 0, "of another");
            assert_eq!(conntrack.forget(&towards(At::Everywhere, 8080, 8080)).unwrap(), 1);
            assert_eq!(tracked(), [straight[0], straight[1], other]);
        });
    });
}

#[test]
fn the_flows_of_an_address_are_forgotten_in_either_direction() {
    const RULES: &str = "
        table inet nat {
            chain prerouting {
                type nat hook prerouting priority dstnat;
                ip daddr 192.0.2.1 udp dport 8080 dnat ip to 10.9.0.2:53
            }
            chain postrouting { type nat hook postrouting priority srcnat; oifname wan0 masquerade
            }
            chain output { type filter hook output priority 0; ct state new accept
        }
        }";
    world(RULES, |world| {
        let all = [
            "icmp 10.9.0.1 > 10.9.0.2",
            "icmp 10.9.0.1 > 10.9.0.3",
            "udp 10.9.0.2 > 192.0.2.2:7",
            "udp 192.0.2.2 > 192.0.2.1:8080 < 10.9.0.2",
            "udp ::1 > ::1:7",
        ];
        ping("10.9.0.2");
        ping("10.9.0.3");
        send_from(&world.member, "192.0.2.2:7");
        send_from(&world.outside, "192.0.2.1:8080");
        send("[::1]:7");
        await_tracked(&all);
        let mut conntrack = Conntrack::open().unwrap();
        assert_eq!(conntrack.forget(&of(&["10.9.0.4", "fd00::4"])).unwrap(), 0);
        assert_eq!(conntrack.forget(&of(&["10.9.0.2"])).unwrap(), 3);
        assert_eq!(tracked(), [all[1], all[4]]);
        let both = Flows { of: of(&["10.9.0.3"]).of, ..towards(At::Everywhere, 7, 7) };
        assert_eq!(conntrack.forget(&both).unwrap(), 2);
        assert!(tracked().is_empty());
        assert_eq!(conntrack.forget(&both).unwrap(), 0);
    });
}

#[test]
fn a_flow_in_a_zone_is_forgotten() {
    const RULES: &str = "
        table inet track {
            chain output {
                type filter hook output priority raw;
                udp dport 53 ct zone set 7
                udp dport 54 ct original zone set 8
                udp dport 55 ct reply zone set 9
            }
        }";
    world(RULES, |_| {
        either_way(|conntrack| {
            for port in 53..=55 {
                send(&format!("127.0.0.1:{port}"));
                await_tracked(&[format!("udp 127.0.0.1 > 127.0.0.1:{port}")]);
                assert_eq!(conntrack.forget(&towards(At::Everywhere, port, port)).unwrap(), 1);
                assert!(tracked().is_empty());
            }
        });
    });
}

#[test]
fn ten_thousand_flows_are_forgotten_at_once() {
    world(TRACKING, |_| {
        either_way(|conntrack| {
            let _receiver = UdpSocket::bind(("0.0.0.0", 53)).unwrap();
            let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
            send("127.0.0.1:54");
            // The queue of the loopback is short, and what finds no room in it is lost.
            eventually("all are tracked", || {
                for i in 0..10_000 {
                    sender.send_to(b"word", (Ipv4Addr::from_bits(0x7f00_0001 + i), 53)).unwrap();
                }
                tracked().len() == 10_001
            });
            assert_eq!(conntrack.forget(&towards(At::Everywhere, 53, 53)).unwrap(), 10_000);
            assert_eq!(tracked(), ["udp 127.0.0.1 > 127.0.0.1:54"]);
        });
    });
}

#[test]
fn a_kernel_that_refuses_to_filter_is_asked_without() {
    world(TRACKING, |_| {
        send("127.0.0.1:53");
        await_tracked(&["udp 127.0.0.1 > 127.0.0.1:53"]);
        let mut conntrack = Conntrack::open().unwrap();
        // Every kernel refuses to look for a port without a family.
        let question = Question { family: None, port: Some((Protocol::Udp, 53)) };
        assert_eq!(conntrack.ask(question, &towards(At::Everywhere, 53, 53)).unwrap().len(), 1);
        assert_eq!(conntrack.filter_from, None);
    });
}

#[test]
fn where_nothing_is_tracked_nothing_is_forgotten() {
    world("", |_| {
        send("127.0.0.1:53");
        let mut conntrack = Conntrack::open().unwrap();
        assert_eq!(conntrack.forget(&towards(At::Everywhere, 53, 53)).unwrap(), 0);
        assert_eq!(conntrack.forget(&Flows::default()).unwrap(), 0);
    });
}
