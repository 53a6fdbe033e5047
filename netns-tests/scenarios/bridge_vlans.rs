//! Bridges that filter by VLAN: who is in which, and that nobody gets into another, by whatever way he tries.

use bowline_api::v1::{CreateEndpoint, Join, Netns};
use serde_json::Value;

use super::crash::{Act, dies_everywhere};
use crate::world::World;
use crate::world::place::Place;
use crate::world::said::{eventually, only_if};

/// VLAN 10 with the gateway, and two members of VLAN 20 beside it.
fn town(w: &World) -> [Place<'_>; 4] {
    w.bowline("network create front --vlan 10 --subnet 10.9.0.0/24 --subnet fd00:9::/64");
    let web = w.attach("web", "front", "--ip 10.9.0.2 --ip6 fd00:9::2");
    let db = w.attach("db", "front", "--ip 10.9.0.3 --ip6 fd00:9::3");
    let red = w.attach("red", "front:vlan=20,ip=10.9.0.4,ip6=fd00:9::4", "");
    let rose = w.attach("rose", "front:vlan=20,ip=10.9.0.5,ip6=fd00:9::5", "");
    [web, db, red, rose]
}

/// What each link of a bridge is in, as `bridge` sees it: `10 PVID Egress Untagged`.
fn vlans(w: &World, link: &str) -> Vec<String> {
    let said: Value = w.host().tries(&format!("bridge -j vlan show dev {link}")).well().json();
    let all = said[0]["vlans"].as_array().cloned().unwrap_or_default();
    let flags = |vlan: &Value| vlan["flags"].as_array().cloned().unwrap_or_default();
    let words = |vlan: &Value| {
        let flags: Vec<String> = flags(vlan).iter().map(|f| f.as_str().unwrap_or("?").to_string()).collect();
        [&[vlan["vlan"].to_string()][..], &flags].concat().join(" ")
    };
    all.iter().map(words).collect()
}

fn port(w: &World, endpoint: &str) -> String {
    w.api().endpoint(endpoint).unwrap().interfaces[0].host_link.clone()
}

pub(crate) fn members_of_one_vlan_reach_each_other_and_the_gateway(w: &World) {
    let [web, db, ..] = town(w);
    for to in ["10.9.0.1", "10.9.0.3", "fd00:9::1", "fd00:9::3", "192.0.2.2", "2001:db8::2"] {
        web.reaches(to);
    }
    db.reaches("10.9.0.2");
    assert_eq!(web.default_route("-4").as_deref(), Some("10.9.0.1 dev eth0"));
    for link in ["bl-front", &port(w, "web"), &port(w, "db")] {
        assert_eq!(vlans(w, link), ["10 PVID Egress Untagged"], "{link}");
    }
    let _server = web.serves(80);
    w.bowline("port publish web 8080:80");
    w.outside().fetches("192.0.2.1", 8080);
    db.fetches("192.0.2.1", 8080);
    let shown = w.api_json("/v1/networks/front");
    assert_eq!(shown["vlan"], 10);
    let shown = w.api_json("/v1/endpoints/red");
    assert_eq!(shown["interfaces"][0]["vlan"], 20);
}

pub(crate) fn members_of_another_vlan_reach_their_own_only(w: &World) {
    let [web, _db, red, rose] = town(w);
    red.reaches("10.9.0.5");
    red.reaches("fd00:9::5");
    rose.reaches("10.9.0.4");
    assert_eq!((red.default_route("-4"), red.default_route("-6")), (None, None));
    assert_eq!(vlans(w, &port(w, "red")), ["20 PVID Egress Untagged"]);
    for to in ["10.9.0.1", "10.9.0.2", "fd00:9::1", "fd00:9::2"] {
        red.does_not_reach(to);
    }
    for to in ["10.9.0.4", "fd00:9::4"] {
        web.does_not_reach(to);
        w.host().does_not_reach(to);
    }
    w.tries("port publish red 8080:80").refused("BWL-1111", 2);

    // Nor by way of the host, whatever they believe of its MAC and of the way.
    let _server = web.serves(80);
    web.reaches("10.9.0.1");
    let mac = w.host().link("bl-front").unwrap()["address"].as_str().unwrap().to_string();
    let its_port = w.host().link(&port(w, "red")).unwrap()["address"].as_str().unwrap().to_string();
    for mac in [mac, its_port] {
        red.run(&format!("ip neigh replace 10.9.0.1 lladdr {mac} dev eth0"));
        red.run("ip route replace default via 10.9.0.1");
        for to in ["10.9.0.1", "192.0.2.1", "192.0.2.2"] {
            red.does_not_reach(to);
        }
        red.run("ip route replace 10.9.0.2/32 via 10.9.0.1");
        red.does_not_fetch("10.9.0.2", 80);
        red.run("ip route del 10.9.0.2/32");
        red.run("ip route del default");
    }
    // Not even while somebody looks on.
    w.host().run("ip link set bl-front promisc on");
    red.run("ip route replace default via 10.9.0.1");
    red.does_not_reach("10.9.0.1");
    w.host().run("ip link set bl-front promisc off");
    red.run("ip route del default");
}

pub(crate) fn no_tag_leads_into_another_vlan(w: &World) {
    let [_web, db, red, _rose] = town(w);
    let tagged = |vlan: u16| {
        format!(
            "import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(('eth0', 0))
mine = s.getsockname()[4]
ip = bytes.fromhex('4500001c00000000401100000a0900030a0900ff')
s.send(b'\\xff' * 6 + mine + b'\\x81\\x00' + ({vlan}).to_bytes(2, 'big') + b'\\x08\\x00' + ip + bytes(40))
s.send(b'\\xff' * 6 + mine + b'\\x81\\x00' + (10).to_bytes(2, 'big') + b'\\x81\\x00' + ({vlan}).to_bytes(2, 'big') + b'\\x08\\x00' + ip + bytes(40))"
        )
    };
    let watch = "nft add table netdev seen; nft add chain netdev seen in '{ type filter hook ingress device eth0 priority 0; }'
                 nft add rule netdev seen in ether saddr SENDER counter";
    let mac = |place: Place<'_>| place.link("eth0").unwrap()["address"].as_str().unwrap().to_string();
    let trusted = w.attach("trusted", "front", "--no-antispoof --ip 10.9.0.6");
    for sender in [db, trusted] {
        red.shell(&watch.replace("SENDER", &mac(sender)));
        for vlan in [20, 0, 1, 4095] {
            sender.run_python(&tagged(vlan));
        }
        sender.reaches("10.9.0.1");
        let seen = red.run("nft list table netdev seen");
        assert!(seen.contains("packets 0"), "{seen}");
        red.run("nft delete table netdev seen");
    }
    // On the way that is open it would be seen.
    red.shell(&watch.replace("SENDER", &mac(w.inside("rose"))));
    w.inside("rose").reaches("10.9.0.4");
    let seen = red.run("nft list table netdev seen");
    assert!(!seen.contains("packets 0"), "{seen}");
}

pub(crate) fn vlans_are_put_right(w: &World) {
    let [web, _db, red, _rose] = town(w);
    w.restart();
    w.kill();
    w.start();
    let (plain, apart) = (port(w, "web"), port(w, "red"));
    let right = || {
        vlans(w, "bl-front") == ["10 PVID Egress Untagged"]
            && vlans(w, &plain) == ["10 PVID Egress Untagged"]
            && vlans(w, &apart) == ["20 PVID Egress Untagged"]
    };
    assert!(right());
    for harm in [
        format!("bridge vlan add dev {plain} vid 20"),
        format!("bridge vlan del dev {plain} vid 10"),
        format!("bridge vlan add dev {apart} vid 10 pvid untagged"),
        "bridge vlan add dev bl-front vid 20 self".to_string(),
        "bridge vlan add dev bl-front vid 7 pvid untagged self".to_string(),
        "bridge vlan del dev bl-front vid 10 self".to_string(),
        "ip link set bl-front type bridge vlan_filtering 0".to_string(),
    ] {
        w.host().run(&harm);
        let drift = w.api().drift().unwrap().steps;
        assert!(!drift.is_empty(), "{harm}");
        w.bowline("system repair");
        assert!(right(), "{harm}");
        w.has_no_drift();
        let link = w.host().link("bl-front").unwrap();
        assert_eq!(link["linkinfo"]["info_data"]["vlan_filtering"], 1, "{harm}");
        web.reaches("10.9.0.1");
        red.does_not_reach("10.9.0.2");
    }
    w.bowline("network create plain --subnet 10.8.0.0/24");
    w.host().run("ip link set bl-plain type bridge vlan_filtering 1");
    w.bowline("system repair");
    assert_eq!(w.host().link("bl-plain").unwrap()["linkinfo"]["info_data"]["vlan_filtering"], 0);
    w.host().run("ip link del bl-front");
    eventually("the bridge is made again", || only_if(right(), "not yet"));
    web.reaches("10.9.0.3");
    red.does_not_reach("10.9.0.2");
}

pub(crate) fn numbers_and_bridges_that_do_not_fit_are_refused(w: &World) {
    for vlan in ["0", "4095"] {
        w.tries(&format!("network create front --vlan {vlan}")).refused("BWL-1116", 2).naming(&["1 to 4094"]);
    }
    w.bowline("network create front --subnet 10.9.0.0/24");
    w.container("web");
    let create = "endpoint create web --netns web --network";
    w.tries(&format!("{create} front:vlan=20")).refused("BWL-1116", 2).naming(&["--vlan"]);
    w.tries(&format!("{create} front:vlan=4095")).refused("BWL-1116", 2);
    w.bowline(&format!("{create} front"));
}

/// A bridge of others that is a trunk: VLAN 10 leads to a router, and who says nothing is in VLAN 1.
const TRUNK: &str = "
sysctl -qw net.ipv6.conf.default.addr_gen_mode=1
ip link add br-lan type bridge forward_delay 0 vlan_filtering 1
ip link add lan0 type veth peer name card netns router
ip link set lan0 master br-lan
bridge vlan add dev lan0 vid 10
ip link set lan0 up
ip link set br-lan up
ip -n router link set card up
ip -n router link add card.10 link card type vlan id 10
ip -n router link set card.10 up
ip -n router addr add 192.168.7.1/24 dev card.10
ip -n router addr add 192.168.8.1/24 dev card";

pub(crate) fn a_trunk_of_others_is_left_as_it_is(w: &World) {
    let router = w.container("router");
    w.host().shell(TRUNK);
    let look = || {
        let all = "bridge -j vlan show dev br-lan; bridge -j vlan show dev lan0; ip -d -j link show br-lan";
        w.host().shell(&format!("({all}) | sed -E 's/\"[a-z_]+_timer\": *[0-9.]+//g'"))
    };
    let before = look();
    w.bowline("network create lan --parent br-lan --vlan 10 --subnet 192.168.7.0/24 --gateway 192.168.7.1");
    w.bowline("network create plain --parent br-lan --subnet 192.168.8.0/24");
    let web = w.attach("web", "lan", "");
    let db = w.attach("db", "plain", "");
    let red = w.attach("red", "lan:vlan=20", "");
    web.reaches("192.168.7.1");
    router.reaches("192.168.7.2");
    db.reaches("192.168.8.1");
    red.does_not_reach("192.168.7.1");
    red.does_not_reach("192.168.7.2");
    assert_eq!(vlans(w, &port(w, "web")), ["10 PVID Egress Untagged"]);
    assert_eq!(vlans(w, &port(w, "db")), ["1 PVID Egress Untagged"]);
    assert_eq!(vlans(w, &port(w, "red")), ["20 PVID Egress Untagged"]);
    w.restart();
    w.has_no_drift();
    web.reaches("192.168.7.1");
    eventually("the bridge is as it was", || only_if(look() == before, look()));
    w.removes_everything();
    w.host().run("ip link del br-lan");
    w.host().run("sysctl -qw net.ipv6.conf.default.addr_gen_mode=0");
}

fn join(w: &World) -> bowline_api::Result<()> {
    let networks = vec![Join { network: "front".into(), vlan: Some(20), ..Join::default() }];
    let netns = Netns { fd: None, path: Some("/run/netns/red".into()) };
    w.api().create_endpoint(&CreateEndpoint { networks, ..CreateEndpoint::named("red", netns) }).map(drop)
}

fn ports(w: &World) -> usize {
    w.host().run("ip -o link show master bl-front").lines().count()
}

fn joined(w: &World) -> Result<bool, String> {
    let red = w.inside("red");
    let cards = red.run("ip -o link show").lines().count() - 1;
    let known = w.api().endpoint("red").map_or(0, |e| e.interfaces.len());
    match (cards, known, ports(w)) {
        (0, 0, 1) => Ok(false),
        (1, 1, 2) if red.pings("10.9.0.9") && red.tries("ping -n -q -c 1 -W 0.2 10.9.0.1").code != 0 => {
            Ok(true)
        }
        seen => Err(format!("{seen:?}")),
    }
}

pub(crate) fn at_every_call_of_attach(w: &World) {
    w.bowline("network create front --vlan 10 --subnet 10.9.0.0/24");
    w.attach("rose", "front:vlan=20,ip=10.9.0.9", "");
    w.container("red");
    let undo = |w: &World| {
        w.api().remove_endpoint("red")?;
        eventually("the port is gone", || only_if(ports(w) == 1, ports(w)));
        Ok(())
    };
    let act = Act { act: join, settled: |_| true, done: joined, undo, traceless: false };
    let deaths = dies_everywhere(w, &act);
    assert!(deaths > 8, "only {deaths} deaths");
}
