//! Networks that hang on a link of the host's. The LAN is the one behind the machine's uplink, or a second one that the
//! story makes; the witness on it is the neighbour outside.

use std::collections::BTreeSet;
use std::thread;

use bowline_api::v1::{CreateEndpoint, Join, Netns};
use serde_json::Value;

use crate::world::World;
use crate::world::place::Place;
use crate::world::said::{eventually, only_if};

/// The machine's uplink: the host is 192.0.2.1 there, the neighbour 192.0.2.2.
pub(super) const LAN: &str = "network create lan -d macvlan --parent uplink --subnet 192.0.2.0/24 --gateway 192.0.2.2 \
                   --ip-range 192.0.2.64/26";

/// A second card of the host's, with the same neighbour behind it: 198.51.100.2 and 2001:db8:1::2.
pub(super) fn second_lan(w: &World) {
    w.host().run("ip link add lan0 type veth peer name lan1 netns outside");
    w.outside().run("sysctl -qw net.ipv6.conf.lan1.accept_dad=0");
    w.outside().run("ip addr add 198.51.100.2/24 dev lan1");
    w.outside().run("ip addr add 2001:db8:1::2/64 dev lan1 nodad");
    w.outside().run("ip link set lan1 up");
    w.host().run("ip link set lan0 up");
}

/// It is the story's own, so the story takes it away, when nothing hangs on it any more.
pub(super) fn no_second_lan(w: &World) {
    w.removes_everything();
    w.host().run("ip link del lan0");
}

/// What a card of a container's is, as the kernel says: macvlan, bridge.
pub(super) fn card(place: Place<'_>, name: &str) -> (String, String) {
    let link = place.link(name).unwrap_or_else(|| panic!("there is no {name}"));
    let text = |value: &Value| value.as_str().unwrap_or("?").to_string();
    (text(&link["linkinfo"]["info_kind"]), text(&link["linkinfo"]["info_data"]["mode"]))
}

pub(crate) fn a_member_gets_a_card_on_the_lan(w: &World) {
    w.bowline(LAN);
    let web = w.attach("web", "lan", "");
    let db = w.attach("db", "lan", "");

    let promised = w.api().endpoint("web").unwrap();
    let its = &promised.interfaces[0];
    assert_eq!((web.addresses("eth0"), its.addresses[0].as_str()), (its.addresses.clone(), "192.0.2.64/24"));
    assert_eq!(web.default_route("-4").as_deref(), Some("192.0.2.2 dev eth0"));
    assert_eq!(card(web, "eth0"), ("macvlan".into(), "bridge".into()));
    let inside = web.link("eth0").unwrap();
    assert_eq!((inside["address"].as_str(), inside["mtu"].as_u64()), (Some(its.mac.as_str()), Some(1500)));
    assert_eq!(inside["operstate"], "UP");
    assert_eq!(its.host_link, "uplink");

    web.reaches("192.0.2.2");
    web.reaches("192.0.2.65");
    db.reaches("192.0.2.64");
    w.outside().reaches("192.0.2.64");
    // That is how macvlan is: a parent and its cards never hear each other.
    web.does_not_reach("192.0.2.1");
    assert_eq!(web.digs("db").found(), ["192.0.2.65"]);

    // There is nothing for a firewall of ours to do, nor is the host a router for it.
    assert_eq!(w.host().table(), None);
    let network = w.api_json("/v1/networks/lan");
    assert_eq!((&network["parent"], &network["parent_state"]), (&"uplink".into(), &"up".into()), "{network}");

    w.bowline("endpoint rm web");
    eventually("the card is gone", || only_if(web.link("eth0").is_none(), "eth0"));
    db.does_not_reach("192.0.2.64");
    w.bowline("network disconnect lan db");
    eventually("the other too", || only_if(db.link("eth0").is_none(), "eth0"));
    w.bowline("network rm lan");
}

pub(crate) fn a_member_runs_and_goes(w: &World) {
    w.bowline(LAN);
    let said = w.bowline("run --rm --network lan -- ping -n -q -c 1 -W 5 192.0.2.2");
    assert!(said.out.contains("1 received"), "{said}");
    eventually("nothing of it is left", || {
        let network = w.api().network("lan").unwrap();
        only_if(network.endpoints.is_empty(), network)
    });
}

/// Private: whoever is outside, and no member. Passthru: one member, which is all that the parent is.
pub(crate) fn each_mode_reaches_whom_it_should(w: &World) {
    second_lan(w);
    for mode in ["bridge", "private", "vepa"] {
        w.bowline(&format!(
            "network create {mode} -d macvlan --parent lan0 --mode {mode} --subnet 198.51.100.0/24"
        ));
        let (one, other) = (format!("{mode}-1"), format!("{mode}-2"));
        let a = w.attach(&one, mode, "--ip 198.51.100.11");
        let b = w.attach(&other, mode, "--ip 198.51.100.12");
        assert_eq!(card(a, "eth0").1, mode);
        a.reaches("198.51.100.2");
        w.outside().reaches("198.51.100.12");
        match mode {
            "bridge" => b.reaches("198.51.100.11"),
            // A switch that sends back what is for another of the same port is not there.
            _ => b.does_not_reach("198.51.100.11"),
        }
        w.bowline(&format!("endpoint rm {one}"));
        w.bowline(&format!("endpoint rm {other}"));
        w.bowline(&format!("network rm {mode}"));
    }

    w.bowline("network create own -d macvlan --parent lan0 --mode passthru --subnet 198.51.100.0/24");
    let a = w.attach("a", "own", "");
    let parents = w.host().link("lan0").unwrap()["address"].clone();
    assert_eq!(a.link("eth0").unwrap()["address"], parents);
    assert_eq!(w.api().endpoint("a").unwrap().interfaces[0].mac, parents);
    a.reaches("198.51.100.2");
    w.container("b");
    let refused = w.tries("endpoint create b --netns b --network own").refused("BWL-1217", 4);
    refused.naming(&["endpoint a", "passthru"]);
    w.tries("network create more -d macvlan --parent lan0 --subnet 203.0.113.0/24")
        .refused("BWL-1217", 4)
        .naming(&["network own"]);
    w.bowline("endpoint rm a");
    w.bowline("endpoint create b --netns b --network own");
    w.inside("b").reaches("198.51.100.2");
    no_second_lan(w);
}

pub(crate) fn addresses_are_nobody_elses(w: &World) {
    w.bowline("network create lan -d macvlan --parent uplink --subnet 192.0.2.0/29 --subnet 2001:db8::/64");
    let web = w.attach("web", "lan", "--mac 02:00:00:00:00:77");
    // .1 and ::1 are the host's, .2 and ::2 its router's.
    assert_eq!(web.addresses("eth0"), ["192.0.2.3/29", "2001:db8::3/64"]);
    assert_eq!(web.link("eth0").unwrap()["address"], "02:00:00:00:00:77");
    // Nobody said who leads out of it.
    assert_eq!((web.default_route("-4"), web.default_route("-6")), (None, None));
    web.reaches("192.0.2.2");
    web.reaches("2001:db8::2");

    w.container("db");
    let refused = |options: &str, code: &str, exit: i32, parts: &[&str]| {
        let line = format!("endpoint create db --netns db --network lan {options}");
        w.tries(&line).refused(code, exit).naming(parts);
    };
    refused("--ip 192.0.2.1", "BWL-1206", 4, &["the host's own uplink"]);
    refused("--ip 192.0.2.2", "BWL-1206", 4, &["a router of the host's"]);
    refused("--ip 192.0.2.3", "BWL-1206", 4, &["endpoint web"]);
    refused("--ip 10.9.0.1", "BWL-1106", 2, &["192.0.2.0/29"]);
    refused("--mac 02:00:00:00:00:77", "BWL-1218", 4, &["endpoint web on network lan"]);
    refused("--mac 01:00:5e:00:00:01", "BWL-1108", 2, &["unicast"]);
    let parents = w.host().link("uplink").unwrap()["address"].as_str().unwrap().to_string();
    refused(&format!("--mac {parents}"), "BWL-1218", 4, &["the host's uplink"]);
    assert!(w.inside("db").link("eth0").is_none());
    w.bowline("endpoint create db --netns db --network lan --ip 192.0.2.6 --ip6 2001:db8::66");
    web.reaches("192.0.2.6");
    web.reaches("2001:db8::66");
}

pub(crate) fn several_networks_over_one_parent(w: &World) {
    second_lan(w);
    w.bowline(
        "network create one -d macvlan --parent lan0 --subnet 198.51.100.0/24 --ip-range 198.51.100.64/26",
    );
    w.bowline("network create two -d macvlan --parent lan0 --mode private --subnet 203.0.113.0/24 --subnet fd00:7::/64");
    w.tries("network create three -d macvlan --parent lan0 --subnet 203.0.113.0/25").refused("BWL-1107", 4);
    // What is behind another card of the host's is as much in the way as ever.
    w.tries("network create four -d macvlan --parent lan0 --subnet 192.0.2.0/25").refused("BWL-1107", 4);
    let a = w.attach("a", "one", "");
    let both = w.container("both");
    w.bowline("endpoint create both --netns both --network one --network two");
    a.reaches("198.51.100.65");
    assert_eq!(both.addresses("eth1"), ["203.0.113.1/24", "fd00:7::1/64"]);
    w.bowline("network disconnect two both");
    w.bowline("network rm two");
    a.reaches("198.51.100.65");
    no_second_lan(w);
}

/// Without a parent: members have each other and nothing else, by whatever they send.
pub(crate) fn an_internal_network_leads_nowhere(w: &World) {
    w.bowline("network create back -d macvlan --internal --subnet 10.7.0.0/24 --gateway 10.7.0.1");
    let a = w.attach("a", "back", "");
    let b = w.attach("b", "back", "");
    a.reaches("10.7.0.3");
    assert_eq!(a.default_route("-4"), None);
    assert_eq!(b.digs("-q a").found(), ["10.7.0.2"]);

    // The other end of what they hang on is in the host. A member that knows its MAC still gets no answer.
    let end = w.host().shell("ip -o link | grep -o 'ble[a-z2-7]*' | head -1").trim().to_string();
    let mac = w.host().link(&end).unwrap()["address"].as_str().unwrap().to_string();
    a.run("ip route add 192.0.2.0/24 dev eth0");
    a.does_not_reach("192.0.2.1");
    a.run(&format!("ip neigh replace 192.0.2.1 lladdr {mac} dev eth0"));
    a.run(&format!("ip neigh replace 192.0.2.2 lladdr {mac} dev eth0"));
    w.host().run("ip route add 10.7.0.0/24 dev bl-back");
    a.does_not_reach("192.0.2.1");
    a.does_not_reach("192.0.2.2");
    w.host().run("ip route del 10.7.0.0/24 dev bl-back");

    w.bowline("endpoint rm a");
    w.bowline("endpoint rm b");
    w.bowline("network rm back");
    assert_eq!(w.host().table(), None);
}

pub(crate) fn the_host_reaches_members_where_it_is_let(w: &World) {
    w.bowline(&format!("{LAN} --subnet 2001:db8::/64 --host-access"));
    let network = w.api().network("lan").unwrap();
    assert_eq!(network.host_addresses, ["192.0.2.64/24", "2001:db8::3/64"]);
    let web = w.attach("web", "lan", "");
    w.host().reaches("192.0.2.65");
    w.host().reaches("2001:db8::4");
    web.reaches("192.0.2.64");
    web.reaches("2001:db8::3");
    // The neighbours of both are where they were.
    w.host().reaches("192.0.2.2");
    web.reaches("192.0.2.2");
    let server = web.serves(80);
    assert_eq!(w.host().seen_by("192.0.2.65", 80), "192.0.2.64");
    drop(server);
    w.container("db");
    w.tries("endpoint create db --netns db --network lan --ip 192.0.2.64")
        .refused("BWL-1206", 4)
        .naming(&["host-access"]);

    let routes = || w.host().run("ip -o route show proto 0x62");
    assert!(routes().contains("192.0.2.65"), "{}", routes());
    w.restart();
    w.has_no_drift();
    w.host().reaches("192.0.2.65");
    let shim = w.host().shell("ip -o link | grep -o 'blh[a-z2-7]*' | head -1").trim().to_string();
    w.host().run(&format!("ip link del {shim}"));
    eventually("it is made again", || only_if(routes().contains("192.0.2.65"), routes()));
    w.host().reaches("192.0.2.65");

    w.bowline("endpoint rm web");
    eventually("no route is left", || only_if(routes().is_empty(), routes()));
    w.bowline("network rm lan");
    assert!(w.host().link(&shim).is_none());
}

pub(crate) fn fifty_at_once(w: &World) {
    const MANY: usize = 50;
    w.bowline(
        "network create lan -d macvlan --parent uplink --subnet 192.0.2.0/24 --ip-range 192.0.2.128/25",
    );
    w.host().shell(&format!("for n in $(seq 0 {}); do ip netns add c$n; done", MANY - 1));
    let api = w.api();
    thread::scope(|scope| {
        for n in 0..MANY {
            let api = &api;
            scope.spawn(move || {
                let netns = Netns { fd: None, path: Some(format!("/run/netns/c{n}")) };
                let join = Join { network: "lan".into(), ..Join::default() };
                let wish =
                    CreateEndpoint { networks: vec![join], ..CreateEndpoint::named(format!("c{n}"), netns) };
                api.create_endpoint(&wish).unwrap_or_else(|e| panic!("attach c{n}: {e}"));
            });
        }
    });
    let all = api.endpoints().unwrap();
    let addresses: BTreeSet<&String> = all.iter().flat_map(|e| &e.interfaces[0].addresses).collect();
    assert_eq!((all.len(), addresses.len()), (MANY, MANY));
    for endpoint in [&all[0], &all[MANY / 2], &all[MANY - 1]] {
        let address = endpoint.interfaces[0].addresses[0].trim_end_matches("/24");
        w.outside().reaches(address);
    }
    w.has_no_drift();
    thread::scope(|scope| {
        for n in 0..MANY {
            let api = &api;
            scope.spawn(move || api.remove_endpoint(&format!("c{n}")).unwrap());
        }
    });
    eventually("every card is gone", || {
        let left = w
            .host()
            .shell(&format!("for n in $(seq 0 {}); do ip -n c$n -o link show type macvlan; done", MANY - 1));
        only_if(left.is_empty(), left)
    });
    eventually("every address is free", || {
        let used = api.network("lan").unwrap().subnets[0].used;
        only_if(used == 0, used)
    });
    w.host().shell(&format!("for n in $(seq 0 {}); do ip netns del c$n; done", MANY - 1));
}

/// Whatever the daemon does, or does not, members talk on; and it knows them again.
pub(crate) fn a_restart_disturbs_nobody(w: &World) {
    w.bowline(LAN);
    let web = w.attach("web", "lan", "");
    let _server = w.outside().echoes(7);
    let index = web.link("eth0").unwrap()["ifindex"].clone();
    let talk = web.talks_to("192.0.2.2", 7);
    w.restart();
    w.kill();
    w.start();
    w.has_no_drift();
    assert_eq!(web.link("eth0").unwrap()["ifindex"], index, "it is another card");
    talk.ends().well();
    let db = w.attach("db", "lan", "");
    db.reaches("192.0.2.64");
    assert_eq!(db.digs("web").found(), ["192.0.2.64"]);
    w.bowline("endpoint rm web");
    eventually("the card is gone", || only_if(web.link("eth0").is_none(), "eth0"));
}

pub(crate) fn a_namespace_that_went_without_a_word(w: &World) {
    w.bowline(LAN);
    w.attach("web", "lan", "");
    w.attach("away", "lan", "");
    w.host().run("ip netns del web");
    eventually("it is released", || {
        let network = w.api().network("lan").unwrap();
        only_if(network.endpoints.len() == 1, network)
    });
    w.tries("endpoint rm web").refused("BWL-1202", 3);
    w.stop();
    w.host().run("ip netns del away");
    w.start();
    eventually("the other too", || {
        let network = w.api().network("lan").unwrap();
        only_if(network.endpoints.is_empty(), network)
    });
    w.attach("again", "lan", "").reaches("192.0.2.2");
}

pub(crate) fn a_card_that_its_container_deleted(w: &World) {
    w.bowline(LAN);
    let web = w.attach("web", "lan", "");
    let mac = web.link("eth0").unwrap()["address"].clone();
    web.run("ip link del eth0");
    eventually("it is made again", || {
        let link = web.link("eth0");
        only_if(link.as_ref().is_some_and(|link| link["address"] == mac), link)
    });
    web.reaches("192.0.2.2");
    assert_eq!(web.default_route("-4").as_deref(), Some("192.0.2.2 dev eth0"));
    w.has_no_drift();
}

/// Cards of others on the same parent, in the container and in the host, are never touched.
pub(crate) fn cards_of_others_are_left_alone(w: &World) {
    w.bowline(LAN);
    let web = w.attach("web", "lan", "");
    w.host().run("ip link add theirs link uplink netns web type macvlan mode bridge");
    web.run("ip link set theirs alias bowline:stem:not-of-ours");
    w.host().run("ip link add mine link uplink type macvlan mode bridge");
    w.restart();
    w.bowline("system repair");
    w.container("db");
    w.host().run("ip link add eth0 link uplink netns db type macvlan mode bridge");
    w.tries("endpoint create db --netns db --network lan").refused("BWL-1212", 4).naming(&["eth0"]);
    w.bowline("endpoint create db --netns db --network lan:interface=eth1");
    w.bowline("endpoint rm db");
    w.bowline("endpoint rm web");
    eventually("ours are gone", || {
        let left = (web.link("eth0"), w.inside("db").link("eth1"));
        only_if(left == (None, None), left)
    });
    assert!(web.link("theirs").is_some() && w.inside("db").link("eth0").is_some());
    for (place, name) in [(web, "theirs"), (w.inside("db"), "eth0"), (w.host(), "mine")] {
        place.run(&format!("ip link del {name}"));
    }
}

/// What a container does to the mark on its card, or to its name, keeps nobody from taking it away.
pub(crate) fn a_card_without_its_mark_still_goes(w: &World) {
    w.bowline(LAN);
    let web = w.attach("web", "lan", "");
    web.run("ip link set eth0 down");
    web.run("ip link set eth0 name mine alias nobody group 7");
    w.bowline("endpoint rm web");
    eventually("it is gone all the same", || only_if(web.link("mine").is_none(), "mine"));
}
