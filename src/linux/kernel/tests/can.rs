//! What the kernel can do, as we find it out; `ip`, `nft` and `tc` are the witnesses, each by trying it too.

use std::process::Command;
use std::time::{Duration, Instant};

use bowline_core::Code;
use bowline_core::feature::Feature;
use bowline_core::kernel::Kernel as _;

use super::world::world;
use crate::{netns, probe};

/// Whether all of these commands succeed in a fresh namespace.
fn succeeds(commands: &[&str]) -> bool {
    let ns = netns::create().unwrap();
    netns::run(&ns, || {
        commands.iter().all(|command| {
            let words: Vec<&str> = command.split(' ').collect();
            Command::new(words[0]).args(&words[1..]).output().unwrap().status.success()
        })
    })
    .unwrap()
}

/// The commands that show it; none where nobody but the kernel itself could tell.
fn witness(feature: Feature) -> &'static [&'static str] {
    match feature {
        Feature::Bridge => &["ip link add x type bridge"],
        Feature::Veth => &["ip link add x type veth peer name y"],
        Feature::Macvlan => &["ip link add p type bridge", "ip link add x link p type macvlan"],
        Feature::Ipvlan => &["ip link add p type bridge", "ip link add x link p type ipvlan"],
        Feature::Vlan => &["ip link add p type bridge", "ip link add x link p type vlan id 1"],
        Feature::VlanFiltering => {
            &["ip link add x type bridge", "ip link set x type bridge vlan_filtering 1"]
        }
        Feature::Vrf => &["ip link add x type vrf table 1"],
        Feature::Dummy => &["ip link add x type dummy"],
        Feature::Vxlan => &["ip link add x type vxlan id 1 dstport 4789"],
        Feature::Wireguard => &["ip link add x type wireguard"],
        Feature::Nftables => {
            &["nft add table inet x", "nft add chain inet x y { type filter hook forward priority 0; }"]
        }
        Feature::Nat => &[
            "nft add table inet x",
            "nft add chain inet x y { type nat hook postrouting priority 100; }",
            "nft add rule inet x y masquerade",
        ],
        Feature::NftBridge => &[
            "nft add table bridge x",
            "nft add chain bridge x y { type filter hook prerouting priority 0; }",
            "nft add rule bridge x y ether saddr 02:00:00:00:00:01 drop",
        ],
        Feature::Tbf => &["tc qdisc add dev lo root tbf rate 1mbit burst 10kb latency 100ms"],
        Feature::Sctp => &["python3 -c __import__('socket').socket(2,1,132)"],
        Feature::Ipv6 => &["python3 -c __import__('socket').socket(10,2)"],
        // No tool that all have asks for an owner that its table outlives, a cookie, a count of flows, or these sizes.
        Feature::TableOwner | Feature::NetnsCookie | Feature::Conntrack | Feature::BigTcp => &[],
    }
}

#[test]
fn what_the_kernel_can_do_is_what_others_find() {
    world(|world| {
        for &feature in Feature::ALL {
            let outcome = world.kernel.can(feature);
            if let Err(error) = &outcome {
                assert_eq!(error.code, Code::Unsupported, "{feature}: {error}");
                assert_eq!(error.what, format!("this kernel has no {feature}"));
            }
            let commands = witness(feature);
            assert!(
                commands.is_empty() || succeeds(commands) == outcome.is_ok(),
                "{feature}: we say {outcome:?}, and others find the contrary with {commands:?}"
            );
        }
    });
}

#[test]
fn a_trial_leaves_nothing_behind_in_the_host() {
    world(|world| {
        let listed = || {
            let links = Command::new("ip").args(["-o", "link"]).output().unwrap().stdout;
            let tables = Command::new("nft").args(["list", "ruleset"]).output().unwrap().stdout;
            String::from_utf8([links, tables].concat()).unwrap()
        };
        let before = listed();
        for &feature in Feature::ALL {
            let _either = world.kernel.can(feature);
        }
        assert_eq!(listed(), before);
    });
}

#[test]
fn a_trial_is_short() {
    const TRIES: u32 = 20;
    for &feature in Feature::ALL {
        // Where the machine is busy some take longer, and the least is what it costs.
        let least = (0..TRIES)
            .map(|_| {
                let begin = Instant::now();
                let _either = probe::can(feature);
                begin.elapsed()
            })
            .min()
            .unwrap();
        println!("{feature}: {least:?}");
        assert!(least < Duration::from_millis(5), "{feature} takes {least:?}");
    }
}

#[test]
fn a_yes_is_remembered_and_a_no_is_asked_again() {
    world(|world| {
        let known = || world.kernel.can.lock().unwrap();
        let (there, lacking): (Vec<Feature>, Vec<Feature>) =
            Feature::ALL.iter().partition(|feature| world.kernel.can(**feature).is_ok());
        assert!(there.contains(&Feature::Bridge), "{there:?}");
        assert_eq!(Vec::from_iter(known().iter().copied()), there);
        // Whoever is known to be there is not tried: else these would be found to be absent.
        known().extend(&lacking);
        lacking.iter().for_each(|feature| world.kernel.can(*feature).unwrap());
    });
}
