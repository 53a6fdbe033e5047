//! Networks on a bridge that somebody else made: it gets ports of ours and nothing else.

use bowline_api::v1::{CreateEndpoint, Join, Netns};

use super::crash::{Act, dies_everywhere};
use crate::world::World;
use crate::world::place::Place;
use crate::world::said::{eventually, only_if};

/// A LAN: the host's bridge with its address, and behind it a router that leads on.
const LAN: &str = "
sysctl -qw net.ipv6.conf.default.addr_gen_mode=1
ip link add br-lan type bridge forward_delay 0
ip link add lan0 type veth peer name card netns router
ip link set lan0 master br-lan
ip addr add 192.168.7.10/24 dev br-lan
ip addr add fd00:7::10/64 dev br-lan nodad
ip link set lan0 up
ip link set br-lan up
ip -n router addr add 192.168.7.1/24 dev card
ip -n router addr add fd00:7::1/64 dev card nodad
ip -n router addr add 198.51.100.1/32 dev lo
ip -n router link set lo up
ip -n router link set card up";

/// All that others could have set on it, and on its other port.
const LOOK: &str = r#"
for link in br-lan lan0; do
    ip -d -j link show $link
    ip -j addr show $link
    for file in /proc/sys/net/ipv[46]/*/$link/*; do echo "$file $(cat $file 2>&-)"; done
done | sed -E 's/"[a-z_]+_timer": *[0-9.]+//g'
bridge -d -j link show dev lan0
bridge -j vlan show dev lan0
bridge -j fdb show dev br-lan
ip -j route show table all dev br-lan
sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding
"#;

fn lan(w: &World) -> Place<'_> {
    let router = w.container("router");
    w.host().shell(LAN);
    router.reaches("192.168.7.10");
    router
}

/// The story is over, and what it made itself goes after what hangs on it.
fn ends(w: &World) {
    w.has_no_drift();
    w.removes_everything();
    eventually("no port of ours is left", || {
        let left = w.host().run("ip -o link show type veth");
        only_if(!left.contains(": bl"), left)
    });
    w.host().run("ip link del br-lan");
    w.host().run("sysctl -qw net.ipv6.conf.default.addr_gen_mode=0");
}

fn network(w: &World, options: &str) {
    w.bowline(&format!(
        "network create lan --parent br-lan --subnet 192.168.7.0/24 --ip-range 192.168.7.128/25 \
         --subnet fd00:7::/64 {options}"
    ));
}

pub(crate) fn members_are_on_the_lan(w: &World) {
    let router = lan(w);
    network(w, "--gateway 192.168.7.1 --gateway fd00:7::1");
    let (web, db) = (w.attach("web", "lan", ""), w.attach("db", "lan", "--ip 192.168.7.200"));
    assert_eq!(web.addresses("eth0"), ["192.168.7.128/24", "fd00:7::2/64"]);
    assert_eq!(web.default_route("-4").as_deref(), Some("192.168.7.1 dev eth0"));
    assert_eq!(web.default_route("-6").as_deref(), Some("fd00:7::1 dev eth0"));
    for to in ["192.168.7.1", "192.168.7.10", "192.168.7.200", "198.51.100.1", "fd00:7::1", "fd00:7::10"] {
        web.reaches(to);
    }
    for from in [router, w.host(), db] {
        from.reaches("192.168.7.128");
        from.reaches("fd00:7::2");
    }
    assert_eq!(web.asker().finds("db"), ["192.168.7.200"]);
    // Who comes from there is seen as he is.
    let _server = router.serves(80);
    assert_eq!(web.seen_by("198.51.100.1", 80), "192.168.7.128");

    let shown = w.api_json("/v1/networks/lan");
    assert_eq!((&shown["parent"], &shown["bridge"]), (&"br-lan".into(), &"br-lan".into()));
    assert_eq!(shown["subnets"][0]["gateway"], "192.168.7.1");
    w.container("late");
    w.tries("endpoint create late --netns late --network lan --ip 192.168.7.10").refused("BWL-1206", 4);
    ends(w);
}

pub(crate) fn without_a_gateway_nothing_leads_on(w: &World) {
    lan(w);
    network(w, "");
    let web = w.attach("web", "lan", "");
    assert_eq!((web.default_route("-4"), web.default_route("-6")), (None, None));
    web.reaches("192.168.7.1");
    assert!(web.tries("ping -n -q -c 1 -W 1 198.51.100.1").err.contains("unreachable"));
    assert!(w.api_json("/v1/networks/lan")["subnets"][0]["gateway"].is_null());
    ends(w);
}

pub(crate) fn the_bridge_stays_as_it_is(w: &World) {
    lan(w);
    // Were one of ours to count, the bridge would take over its MTU, and the lowest MAC.
    w.host().run("ip link set lan0 mtu 1400");
    w.host().run("ip link set lan0 address fe:ff:ff:ff:ff:ff");
    eventually("the bridge follows its port", || {
        let link = w.host().link("br-lan").unwrap();
        only_if(link["mtu"] == 1400 && link["address"] == "fe:ff:ff:ff:ff:ff", link)
    });
    let before = w.host().shell(LOOK);
    let is_the_same = |when: &str| {
        eventually(when, || {
            let now = w.host().shell(LOOK);
            let new: Vec<&str> = now.lines().filter(|line| !before.lines().any(|old| old == *line)).collect();
            only_if(now == before, new.join("\n"))
        });
    };
    network(w, "--gateway 192.168.7.1 --no-icc");
    is_the_same("a network changes nothing");
    for round in 0..3 {
        w.attach("web", "lan", "-p 8080:80");
        w.attach("db", "lan", "--rate-in 9mbit");
        assert_eq!(w.inside("web").link("eth0").unwrap()["mtu"], 1400);
        w.inside("web").reaches("192.168.7.1");
        is_the_same("members change nothing");
        if round == 1 {
            w.restart();
            w.kill();
            w.start();
            w.bowline("system repair");
        }
        for name in ["web", "db"] {
            w.bowline(&format!("endpoint rm {name}"));
            w.host().run(&format!("ip netns del {name}"));
        }
        is_the_same("members that leave change nothing");
    }
    w.bowline("network rm lan");
    is_the_same("nothing of it is left");
    w.host().run("ip link set lan0 mtu 1500");
    ends(w);
}

pub(crate) fn forged_senders_do_not_get_there(w: &World) {
    let router = lan(w);
    network(w, "--gateway 192.168.7.1");
    let (web, app) = (w.attach("web", "lan", ""), w.attach("app", "lan", ""));
    let mallory = w.attach("mallory", "lan", "");
    mallory.reaches("192.168.7.1");
    mallory.shell("ip addr add 192.168.7.129/24 dev eth0; ip addr add 192.168.7.1/32 dev eth0");
    for own in ["192.168.7.129", "192.168.7.1"] {
        let said = mallory.tries(&format!("ping -n -q -c 1 -W 0.4 -I {own} 192.168.7.10"));
        assert!(said.code != 0, "wanted silence from {said}");
    }
    // What is tagged would go on as it is where the bridge leads to a trunk.
    router.shell("nft add table netdev seen; nft add chain netdev seen in '{ type filter hook ingress device card priority 0; }'
                  nft add rule netdev seen in ether type { 8021q, 8021ad } counter");
    let tagged = "import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(('eth0', 0))
mine = s.getsockname()[4]
ip = bytes.fromhex('4500001c00000000401100000000000000000000000000000000')
s.send(b'\\xff' * 6 + mine + b'\\x81\\x00\\x00\\x05\\x08\\x00' + ip + bytes(40))
s.send(b'\\xff' * 6 + mine + b'\\x88\\xa8\\x00\\x05\\x08\\x00' + ip + bytes(40))";
    mallory.run_python(tagged);
    mallory.reaches("192.168.7.10");
    let seen = router.run("nft list table netdev seen");
    assert!(seen.contains("packets 0"), "{seen}");
    // The others are not harmed, and who is trusted may.
    app.reaches("192.168.7.128");
    web.reaches("192.168.7.1");
    let trusted = w.attach("trusted", "lan", "--no-antispoof");
    trusted.reaches("192.168.7.1");
    trusted.run_python(tagged);
    eventually("who is trusted may send what is tagged", || {
        let seen = router.run("nft list table netdev seen");
        only_if(!seen.contains("packets 0"), seen)
    });
    ends(w);
}

pub(crate) fn members_kept_apart_reach_the_lan_only(w: &World) {
    let router = lan(w);
    network(w, "--gateway 192.168.7.1 --no-icc");
    let (web, _db) = (w.attach("web", "lan", ""), w.attach("db", "lan", ""));
    for to in ["192.168.7.1", "192.168.7.10", "198.51.100.1"] {
        web.reaches(to);
    }
    web.does_not_reach("192.168.7.129");
    web.does_not_reach("fd00:7::3");
    router.reaches("192.168.7.128");
    ends(w);
}

pub(crate) fn ports_lead_there_where_the_host_does(w: &World) {
    let router = lan(w);
    network(w, "--gateway 192.168.7.1");
    let web = w.attach("web", "lan", "-p 8080:80");
    let _server = web.serves(80);
    for (who, address) in [(w.outside(), "192.0.2.1"), (router, "192.168.7.10"), (w.host(), "127.0.0.1")] {
        assert_eq!(who.seen_by(address, 8080), "192.168.7.10");
    }
    w.outside().fetches("2001:db8::1", 8080);
    assert_eq!(w.host().run("sysctl -n net.ipv4.ip_forward").trim(), "0", "nothing is forwarded");
    w.restart();
    w.outside().fetches("192.0.2.1", 8080);
    w.bowline("port unpublish web --all");
    w.outside().does_not_fetch("192.0.2.1", 8080);
    w.tries("port publish web 8081:81/sctp").refused("BWL-1111", 2).naming(&["SCTP"]);

    w.host().run("ip addr del 192.168.7.10/24 dev br-lan");
    w.tries("port publish web 8080:80").refused("BWL-1111", 2).naming(&["192.168.7.128", "not by br-lan"]);
    w.host().run("ip addr add 192.168.7.10/24 dev br-lan");
    w.bowline("port publish web 8080:80");
    w.outside().fetches("192.0.2.1", 8080);
    ends(w);
}

pub(crate) fn a_member_of_both_kinds_is_reached_by_both(w: &World) {
    let router = lan(w);
    network(w, "--gateway 192.168.7.1");
    w.bowline("network create front --subnet 10.9.0.0/24");
    w.container("web");
    w.bowline("endpoint create web --netns web --network front:gw-priority=1 --network lan -p 8080:80");
    let web = w.inside("web");
    let _server = web.serves(80);
    assert_eq!(web.default_route("-4").as_deref(), Some("10.9.0.1 dev eth0"));
    assert_eq!(w.outside().seen_by("192.0.2.1", 8080), "192.0.2.2", "it is translated, not relayed");
    router.fetches("192.168.7.128", 80);
    w.bowline("network disconnect front web");
    assert_eq!(web.default_route("-4").as_deref(), Some("192.168.7.1 dev eth1"));
    assert_eq!(w.outside().seen_by("192.0.2.1", 8080), "192.168.7.10", "it is relayed");
    ends(w);
}

pub(crate) fn what_cannot_be_there_is_refused(w: &World) {
    lan(w);
    w.bowline("network create front --subnet 10.9.0.0/24");
    let before = w.host().shell(LOOK);
    let refused = |options: &str, code: &str, naming: &[&str]| {
        w.tries(&format!("network create lan {options}")).refused(code, 2).naming(naming);
    };
    let net = "--subnet 192.168.7.0/24";
    refused(&format!("--parent br-wan {net}"), "BWL-1115", &["br-wan", "br-lan"]);
    refused(&format!("--parent uplink {net}"), "BWL-1115", &["no bridge", "macvlan"]);
    refused(&format!("--parent bl-front {net}"), "BWL-1115", &["made by bowline"]);
    refused("--parent br-lan", "BWL-1111", &["--subnet", "--ipam none"]);
    refused(&format!("--parent br-lan {net} --mtu 9000"), "BWL-1109", &["1500"]);
    refused(&format!("--parent br-lan {net} --vlan 10"), "BWL-1116", &["vlan_filtering"]);
    for option in ["--internal", "--isolate", "--gateway-mode routed", "--no-masquerade", "--vrf blue"] {
        refused(&format!("--parent br-lan {net} {option}"), "BWL-1111", &["bridge of others"]);
    }
    refused(&format!("--parent br-lan {net} --ipam none"), "BWL-1111", &["--ipam none"]);
    w.tries("network create lan --parent br-lan --subnet 192.0.2.0/25").refused("BWL-1107", 4);
    w.tries("network create lan --parent br-lan --subnet 10.9.0.0/25").refused("BWL-1107", 4);
    w.bowline(&format!("network create lan --parent br-lan {net}"));
    w.tries(&format!("network create lan2 --parent br-lan {net}")).refused("BWL-1107", 4).naming(&["lan"]);
    w.container("web");
    w.tries("endpoint create web --netns web --network lan:vlan=10")
        .refused("BWL-1116", 2)
        .naming(&["br-lan"]);
    w.bowline("network rm front");
    assert_eq!(w.host().shell(LOOK), before.replace("net.ipv4.ip_forward = 0", "net.ipv4.ip_forward = 1"));
    ends(w);
    w.host().run("sysctl -qw net.ipv4.ip_forward=0");
}

pub(crate) fn members_without_addresses_of_ours(w: &World) {
    let router = lan(w);
    w.bowline("network create lan --parent br-lan --ipam none");
    let web = w.attach("web", "lan", "");
    assert_eq!(web.addresses("eth0"), [""; 0]);
    assert_eq!(w.api_json("/v1/networks/lan")["subnets"].as_array().map(Vec::len), Some(0));
    assert!(web.link("eth0").unwrap()["flags"].to_string().contains("UP"));
    // Whoever gives it addresses, it may use them.
    web.run("ip addr add 192.168.7.50/24 dev eth0");
    web.reaches("192.168.7.1");
    router.reaches("192.168.7.50");
    w.restart();
    web.reaches("192.168.7.1");
    w.container("db");
    w.tries("endpoint create db --netns db --network lan --ip 192.168.7.51").refused("BWL-1106", 2);
    ends(w);
}

fn join(w: &World) -> bowline_api::Result<()> {
    let networks = vec![Join { network: "lan".into(), ..Join::default() }];
    let netns = Netns { fd: None, path: Some("/run/netns/web".into()) };
    w.api().create_endpoint(&CreateEndpoint { networks, ..CreateEndpoint::named("web", netns) }).map(drop)
}

fn ports(w: &World) -> usize {
    w.host().run("ip -o link show master br-lan").lines().filter(|line| line.contains(": bl")).count()
}

fn leave(w: &World) -> bowline_api::Result<()> {
    w.api().remove_endpoint("web")?;
    eventually("the port is gone", || only_if(ports(w) == 0, ports(w)));
    Ok(())
}

fn joined(w: &World) -> Result<bool, String> {
    let web = w.inside("web");
    let cards = web.run("ip -o link show").lines().count() - 1;
    let known = w.api().endpoint("web").map_or(0, |e| e.interfaces.len());
    let left = w.host().run("ip -o link show type veth").lines().filter(|line| line.contains(": bl")).count();
    match (cards, known, ports(w), left) {
        (0, 0, 0, 0) => Ok(false),
        (1, 1, 1, 1) if web.pings("192.168.7.1") && web.pings("fd00:7::10") => Ok(true),
        seen => Err(format!("{seen:?}")),
    }
}

fn crashing(w: &World) {
    lan(w);
    network(w, "--gateway 192.168.7.1 --no-icc");
    w.container("web");
}

pub(crate) fn at_every_call_of_attach(w: &World) {
    crashing(w);
    let act = Act { act: join, settled: |_| true, done: joined, undo: leave, traceless: true };
    let deaths = dies_everywhere(w, &act);
    assert!(deaths > 8, "only {deaths} deaths");
    ends(w);
}

pub(crate) fn at_every_call_of_detach(w: &World) {
    crashing(w);
    join(w).unwrap();
    let act = Act {
        act: |w| w.api().remove_endpoint("web"),
        settled: |w| ports(w) == 0,
        done: |w| joined(w).map(|there| !there),
        undo: join,
        traceless: false,
    };
    let deaths = dies_everywhere(w, &act);
    assert!(deaths >= 2, "only {deaths} deaths");
    ends(w);
}

fn state(w: &World) -> String {
    w.api_json("/v1/networks/lan")["parent_state"].as_str().unwrap_or("none").to_string()
}

fn becomes(w: &World, wanted: &str) {
    eventually(&format!("the bridge is {wanted}"), || only_if(state(w) == wanted, state(w)));
}

pub(crate) fn a_bridge_that_goes_is_named_and_one_that_comes_back_is_used(w: &World) {
    let router = lan(w);
    network(w, "--gateway 192.168.7.1 --no-icc");
    let web = w.attach("web", "lan", "");
    web.reaches("192.168.7.1");
    becomes(w, "up");
    w.host().run("ip link set br-lan down");
    becomes(w, "down");
    w.host().run("ip link set br-lan up");
    becomes(w, "up");

    w.host().run("ip link del br-lan");
    becomes(w, "missing");
    assert!(w.bowline("network ls").out.contains("parent-missing"));
    w.container("late");
    w.tries("endpoint create late --netns late --network lan").refused("BWL-1115", 2).naming(&["br-lan"]);
    w.restart();
    assert_eq!(state(w), "missing");
    w.host().shell("ip link add br-lan type bridge forward_delay 0; ip link set lan0 master br-lan; ip link set br-lan up");
    w.host().run("ip addr add 192.168.7.10/24 dev br-lan");
    becomes(w, "up");
    web.reaches("192.168.7.1");
    w.has_no_drift();
    w.bowline("endpoint create late --netns late --network lan");
    w.inside("late").reaches("192.168.7.1");
    w.inside("late").does_not_reach("192.168.7.128");

    w.host().run("ip link set br-lan down");
    w.host().run("ip link set br-lan name br-wan");
    w.host().run("ip link set br-wan up");
    eventually("the network goes with it", || {
        let parent = w.api_json("/v1/networks/lan")["parent"].clone();
        only_if(parent == "br-wan", parent)
    });
    becomes(w, "up");
    router.reaches("192.168.7.128");
    w.restart();
    router.reaches("192.168.7.128");
    w.bowline("endpoint rm late");
    w.host().run("ip link set br-wan down");
    w.host().run("ip link set br-wan name br-lan");
    w.host().run("ip link set br-lan up");
    becomes(w, "up");
    ends(w);
}

pub(crate) fn a_namespace_that_goes_leaves_nothing(w: &World) {
    lan(w);
    network(w, "");
    let web = w.attach("web", "lan", "");
    web.reaches("192.168.7.1");
    w.host().run("ip netns del web");
    eventually("it is let go of", || only_if(w.api().endpoint("web").is_err() && ports(w) == 0, ports(w)));
    w.attach("db", "lan", "--ip 192.168.7.128").reaches("192.168.7.1");
    ends(w);
}
