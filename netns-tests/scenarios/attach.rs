//! A container joins and leaves: what it gets, and that nothing stays.

use crate::world::World;
use crate::world::said::{eventually, only_if};

pub(crate) fn a_container_gets_what_was_promised(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    let web = w.attach("web", "front", "");

    let promised = w.api().endpoint("web").unwrap();
    let card = &promised.interfaces[0];
    assert_eq!(web.addresses("eth0"), card.addresses);
    assert_eq!(card.addresses, ["10.9.0.2/24"]);
    assert_eq!(web.default_route("-4").as_deref(), Some("10.9.0.1 dev eth0"));
    let inside = web.link("eth0").unwrap();
    assert_eq!((inside["address"].as_str(), inside["mtu"].as_u64()), (Some(card.mac.as_str()), Some(1500)));
    assert_eq!(inside["operstate"], "UP");
    assert!(web.link("lo").unwrap()["flags"].as_array().unwrap().contains(&"UP".into()));

    let port = w.host().link(&card.host_link).unwrap();
    assert_eq!((port["master"].as_str(), port["operstate"].as_str()), (Some("bl-front"), Some("UP")));
    assert!(port["ifalias"].as_str().unwrap().starts_with("bowline:"), "{port}");
    assert_eq!(w.host().addresses("bl-front"), ["10.9.0.1/24"]);

    let table = w.host().table().unwrap();
    assert!(table.holds("networks", "bl-front"), "{table:?}");
    assert!(table.holds("masquerade4", "10.9.0.0/24"), "{table:?}");
    assert!(["forward", "input", "postrouting"].iter().all(|c| table.chains.contains(*c)), "{table:?}");
    web.reaches("10.9.0.1");
}

pub(crate) fn detaching_leaves_nothing(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    let web = w.attach("web", "front", "");
    let port = w.api().endpoint("web").unwrap().interfaces[0].host_link.clone();

    w.bowline("endpoint rm web");
    w.tries("endpoint rm web").refused("BWL-1202", 3);
    eventually("the pair is gone", || {
        only_if(w.host().link(&port).is_none() && web.link("eth0").is_none(), &port)
    });
    eventually("the address is free", || {
        let used = w.api().network("front").unwrap().subnets[0].used;
        only_if(used == 1, used)
    });

    w.bowline("network rm front");
    assert!(w.host().link("bl-front").is_none());
    assert_eq!(w.host().table(), None);
}

pub(crate) fn disconnecting_leaves_the_endpoint(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    let web = w.attach("web", "front", "");
    w.bowline("network disconnect front web");
    eventually("the card is gone", || only_if(web.link("eth0").is_none(), "eth0"));
    assert_eq!(w.api().endpoint("web").unwrap().interfaces, []);
    w.tries("network disconnect front web").refused("BWL-1210", 3);

    w.bowline("network connect front web");
    web.reaches("10.9.0.1");
    w.tries("network connect front web").refused("BWL-1209", 4);
}

pub(crate) fn what_was_asked_for_is_given(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24 --subnet fd00:9::/64");
    let asked = "--ip 10.9.0.77 --ip6 fd00:9::77 --mac 02:00:00:00:00:77 --interface lan0";
    let web = w.attach("web", "front", asked);
    assert_eq!(web.addresses("lan0"), ["10.9.0.77/24", "fd00:9::77/64"]);
    assert_eq!(web.link("lan0").unwrap()["address"], "02:00:00:00:00:77");
    assert!(web.link("eth0").is_none());
    web.reaches("10.9.0.1");
    web.reaches("fd00:9::1");
}

pub(crate) fn several_networks_several_cards(w: &World) {
    for (name, subnet) in [("front", "10.9.0.0/24"), ("back", "10.8.0.0/24"), ("side", "10.7.0.0/24")] {
        w.bowline(&format!("network create {name} --subnet {subnet}"));
    }
    let web = w.container("web");
    w.bowline("endpoint create web --netns web --network front --network back:ip=10.8.0.9 --network side:interface=lan");
    assert_eq!(web.addresses("eth0"), ["10.9.0.2/24"]);
    assert_eq!(web.addresses("eth1"), ["10.8.0.9/24"]);
    assert_eq!(web.addresses("lan"), ["10.7.0.2/24"]);
    assert_eq!(web.default_route("-4").as_deref(), Some("10.9.0.1 dev eth0"));
    for gateway in ["10.9.0.1", "10.8.0.1", "10.7.0.1"] {
        web.reaches(gateway);
    }
}

pub(crate) fn the_default_route_goes_by_priority(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    w.bowline("network create back --subnet 10.8.0.0/24");
    w.bowline("network create inner --subnet 10.7.0.0/24 --internal");
    let web = w.attach("web", "front", "");
    let route = || web.default_route("-4").unwrap_or_default();
    assert_eq!(route(), "10.9.0.1 dev eth0");

    w.bowline("network connect back web --gw-priority 5");
    assert_eq!(route(), "10.8.0.1 dev eth1");
    w.bowline("network connect inner web --gw-priority 9");
    assert_eq!(route(), "10.8.0.1 dev eth1", "an internal network leads nowhere");

    w.bowline("network disconnect back web");
    eventually("the route is given back", || only_if(route() == "10.9.0.1 dev eth0", route()));
    w.outside().serves(80);
    web.reaches("192.0.2.2");
    w.bowline("network disconnect front web");
    eventually("no way out is left", || only_if(route().is_empty(), route()));
}

pub(crate) fn no_network_is_a_loopback(w: &World) {
    let web = w.container("web");
    w.bowline("endpoint create web --netns web --network none");
    web.reaches("127.0.0.1");
    assert_eq!(web.ip("link show").len(), 1);
    assert!(w.host().table().is_none(), "nothing is made of the host for it");
}

pub(crate) fn names_of_every_length(w: &World) {
    let (short, long) = ("fifteen-bytes-x", "a".repeat(64));
    let other = format!("{}b", "a".repeat(63));
    for name in [short, &long, &other] {
        // What is longer than 63 bytes is no name that can be asked for.
        w.bowline(&format!("network create {name} --no-dns"));
    }
    let web = w.container("web");
    w.bowline(&format!(
        "endpoint create {long} --netns web --network {long} --network {short} --network {other}"
    ));
    for network in w.api().networks().unwrap().iter().filter(|n| n.bridge.is_some()) {
        let bridge = network.bridge.as_deref().unwrap();
        assert!(w.host().link(bridge).is_some_and(|l| l["operstate"] == "UP"), "{bridge}");
        web.reaches(&network.subnets[0].gateway.unwrap().to_string());
    }
    w.tries(&format!("network create {long}a")).refused("BWL-1101", 2);
}

pub(crate) fn a_rehearsal_changes_nothing(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    w.container("web");
    let before = crate::world::Snapshot::of(w);
    let plan = w.bowline("network create back --subnet 10.8.0.0/24 --dry-run").out;
    assert!(plan.contains("bl-back") && plan.contains("10.8.0.1/24"), "{plan}");
    let plan = w.bowline("endpoint create web --netns web --network front --dry-run").out;
    assert!(plan.contains("10.9.0.2/24"), "{plan}");
    w.is_still(&before);
    assert_eq!(w.api().endpoints().unwrap(), []);
    assert_eq!(w.api().network("front").unwrap().subnets[0].used, 1);
}

pub(crate) fn a_process_is_a_way_in(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    let sleeper = w.host().starts("unshare --net sleep 1000");
    let status = std::fs::read_to_string(format!("/proc/{}/status", sleeper.pid())).unwrap();
    let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap();
    let pid = pids.split_whitespace().last().unwrap();
    eventually("it has a namespace of its own", || {
        let own = w.host().run(&format!("readlink /proc/{pid}/ns/net"));
        only_if(own != w.host().run("readlink /proc/1/ns/net"), own)
    });
    w.bowline(&format!("endpoint create web --netns pid:{pid} --network front"));
    w.host().reaches("10.9.0.2");
    w.bowline("endpoint rm web");
}
