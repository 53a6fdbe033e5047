//! Real packets: what is said to drop does, and what is said to pass does.

use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;

use super::{BRIDGE, load, name, run, seen};
use crate::foreign::welcome;
use crate::netns;

/// A host between a member behind its bridge and the outside.
fn between(test: impl FnOnce(&OwnedFd, &OwnedFd) + Send) {
    super::host(|| {
        let (member, outside) = (netns::create().unwrap(), netns::create().unwrap());
        let path = |ns: &OwnedFd| format!("/proc/{}/fd/{}", std::process::id(), ns.as_raw_fd());
        run("ip", &["link", "set", "far", "netns", &path(&outside)]);
        run("ip", &["link", "add", "port", "type", "veth", "peer", "name", "card", "netns", &path(&member)]);
        run("ip", &["link", "set", "port", "master", BRIDGE, "up"]);
        run("ip", &["link", "set", BRIDGE, "up"]);
        run("sh", &["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
        inside(&member, "card", "10.9.0.2/24", "10.9.0.1");
        inside(&outside, "far", "192.0.2.1/24", "192.0.2.2");
        test(&member, &outside);
    });
}

fn inside(ns: &OwnedFd, card: &str, address: &str, gateway: &str) {
    netns::run(ns, || {
        run("ip", &["addr", "add", address, "dev", card]);
        run("ip", &["link", "set", card, "up"]);
        run("ip", &["route", "add", "default", "via", gateway]);
    })
    .unwrap();
}

fn reaches(from: &OwnedFd, to: &str) -> bool {
    let ping = || Command::new("ping").args(["-n", "-c", "3", "-i", "0.2", "-W", "1", to]).output().unwrap();
    netns::run(from, ping).unwrap().status.success()
}

#[test]
fn what_is_in_the_way_is_so_for_packets_and_what_is_welcome_passes() {
    between(|member, outside| {
        assert!(reaches(member, "192.0.2.1") && reaches(outside, "10.9.0.2"), "before there is a firewall");
        load(
            "table ip filter {
            chain DOCKER-USER { counter return; }
            chain FORWARD { type filter hook forward priority 0; policy drop; jump DOCKER-USER; }
        }",
        );
        assert_eq!(seen().len(), 1);
        assert!(!reaches(member, "192.0.2.1") && !reaches(outside, "10.9.0.2"));
        assert!(welcome(&name(BRIDGE)).unwrap());
        assert_eq!(seen(), [""; 0]);
        assert!(reaches(member, "192.0.2.1") && reaches(outside, "10.9.0.2"));
    });
}
