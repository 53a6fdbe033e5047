//! p2p: two members, and a wire between them that nobody else is on.

use bowline_api::v1::{CreateEndpoint, Join, Netns};

use super::crash::{Act, dies_everywhere};
use crate::world::World;
use crate::world::place::Place;
use crate::world::said::{eventually, only_if};

fn wire<'w>(w: &'w World, options: &str) -> (Place<'w>, Place<'w>) {
    w.bowline(&format!("network create wire -d p2p {options}"));
    (w.attach("a", "wire", ""), w.attach("b", "wire", ""))
}

pub(crate) fn two_members_reach_each_other_and_nobody_else(w: &World) {
    let (a, b) = wire(w, "--subnet 10.9.0.0/31 --subnet fd00:9::/127");
    assert_eq!(a.addresses("eth0"), ["10.9.0.0/31", "fd00:9::/127"]);
    assert_eq!(b.addresses("eth0"), ["10.9.0.1/31", "fd00:9::1/127"]);
    for (place, to) in [(a, "10.9.0.1"), (a, "fd00:9::1"), (b, "10.9.0.0"), (b, "fd00:9::")] {
        place.reaches(to);
        assert_eq!((place.default_route("-4"), place.default_route("-6")), (None, None));
    }
    assert_eq!(a.asker().finds("b"), ["10.9.0.1"]);
    assert_eq!(b.asker().finds("a"), ["10.9.0.0"]);
    assert_eq!(a.asker().finds("example.org"), ["NXDOMAIN"], "nothing leads to other servers");
    // What nobody is there to hear.
    a.run("ip route add default via 10.9.0.1");
    for to in ["192.0.2.1", "192.0.2.2"] {
        a.does_not_reach(to);
    }
    let shown = w.api_json("/v1/networks/wire");
    assert_eq!(shown["driver"], "p2p");
    assert!(shown["subnets"][0]["gateway"].is_null());
}

pub(crate) fn nothing_of_the_host_is_on_the_wire(w: &World) {
    let (a, _b) = wire(w, "--subnet 10.9.0.0/24");
    let link = w.host().run("ip -o addr show dev bl-wire");
    assert!(!link.contains("inet"), "{link}");
    assert_eq!(w.host().run("sysctl -n net.ipv4.ip_forward").trim(), "0");
    // With its MAC and an address of the host's own, which the host would answer for elsewhere.
    let mac = w.host().link("bl-wire").unwrap()["address"].as_str().unwrap().to_string();
    let _server = w.host().serves(80);
    a.run("ip route add 192.0.2.0/24 dev eth0");
    a.does_not_fetch("192.0.2.1", 80);
    a.run(&format!("ip neigh replace 192.0.2.1 lladdr {mac} dev eth0"));
    a.does_not_fetch("192.0.2.1", 80);
    a.does_not_reach("192.0.2.2");
    w.tries("port publish a 8080:80").refused("BWL-1111", 2);
}

pub(crate) fn a_third_is_refused_and_one_that_leaves_makes_room(w: &World) {
    let (a, _b) = wire(w, "--subnet 10.9.0.0/31");
    let c = w.container("c");
    w.tries("endpoint create c --netns c --network wire").refused("BWL-1211", 1).naming(&["a and b"]);
    assert_eq!(c.ip("link show").len(), 1, "nothing was changed");
    w.bowline("endpoint rm b");
    eventually("the other end is gone", || only_if(!a.pings("10.9.0.1"), "it still answers"));
    w.bowline("endpoint create c --netns c --network wire");
    a.reaches("10.9.0.1");
    assert_eq!(a.asker().finds("c"), ["10.9.0.1"]);
    w.bowline("network disconnect wire a");
    w.container("d");
    w.bowline("endpoint create d --netns d --network wire");
    c.reaches("10.9.0.0");
    w.restart();
    c.reaches("10.9.0.0");
    w.tries("network connect wire a").refused("BWL-1211", 1).naming(&["c and d"]);
}

pub(crate) fn sizes_rates_and_subnets_are_as_asked(w: &World) {
    w.bowline("network create wire -d p2p --mtu 1300");
    let a = w.attach("a", "wire", "--rate-out 8mbit");
    let b = w.attach("b", "wire", "--rate-in 8mbit");
    assert_eq!(a.link("eth0").unwrap()["mtu"], 1300);
    assert_eq!(b.link("eth0").unwrap()["mtu"], 1300);
    let subnet = w.api().network("wire").unwrap().subnets[0].clone();
    assert_eq!(subnet.used, 2, "no address is the gateway's");
    a.reaches(b.addresses("eth0")[0].split('/').next().unwrap());
    assert!(a.run("tc qdisc show dev eth0").contains("rate 8Mbit"));
    w.bowline("network create bare -d p2p --ipam none");
    w.bowline("network connect bare a");
    assert_eq!(a.addresses("eth1"), [""; 0]);
    w.bowline("network connect bare b");
    a.run("ip addr add 10.77.0.1/30 dev eth1");
    b.run("ip addr add 10.77.0.2/30 dev eth1");
    a.reaches("10.77.0.2");
}

pub(crate) fn what_means_nothing_to_a_wire_is_refused(w: &World) {
    for option in [
        "--parent uplink",
        "--vlan 10",
        "--subnet 10.9.0.0/24 --gateway 10.9.0.1",
        "--no-icc",
        "--isolate",
        "--no-masquerade",
        "--gateway-mode routed",
        "--trusted-interface uplink",
    ] {
        w.tries(&format!("network create wire -d p2p {option}")).refused("BWL-1111", 2);
    }
    w.tries("network create wire -d p2p --subnet 10.9.0.0/32").refused("BWL-1103", 2);
    w.bowline("network create wire -d p2p");
    w.tries("network update wire --isolation open").refused("BWL-1111", 2);
}

pub(crate) fn an_end_that_goes_leaves_the_other_waiting(w: &World) {
    let (a, _b) = wire(w, "--subnet 10.9.0.0/31");
    w.host().run("ip netns del b");
    eventually("it is let go of", || only_if(w.api().endpoint("b").is_err(), "it is still there"));
    assert_eq!(a.addresses("eth0"), ["10.9.0.0/31"]);
    w.attach("c", "wire", "");
    a.reaches("10.9.0.1");
    w.kill();
    w.host().run("ip netns del c");
    w.start();
    eventually("it is let go of", || only_if(w.api().endpoint("c").is_err(), "it is still there"));
    w.attach("d", "wire", "");
    a.reaches("10.9.0.1");
}

fn join(w: &World) -> bowline_api::Result<()> {
    let networks = vec![Join { network: "wire".into(), ..Join::default() }];
    let netns = Netns { fd: None, path: Some("/run/netns/web".into()) };
    w.api().create_endpoint(&CreateEndpoint { networks, ..CreateEndpoint::named("web", netns) }).map(drop)
}

fn ports(w: &World) -> usize {
    w.host().run("ip -o link show master bl-wire").lines().count()
}

fn joined(w: &World) -> Result<bool, String> {
    let web = w.inside("web");
    let cards = web.run("ip -o link show").lines().count() - 1;
    let known = w.api().endpoint("web").map_or(0, |e| e.interfaces.len());
    match (cards, known, ports(w)) {
        (0, 0, 1) => Ok(false),
        (1, 1, 2) if web.pings("10.9.0.0") => Ok(true),
        seen => Err(format!("{seen:?}")),
    }
}

fn leave(w: &World) -> bowline_api::Result<()> {
    w.api().remove_endpoint("web")?;
    eventually("the port is gone", || only_if(ports(w) == 1, ports(w)));
    Ok(())
}

fn crashing(w: &World) {
    w.bowline("network create wire -d p2p --subnet 10.9.0.0/31");
    w.attach("db", "wire", "");
    w.container("web");
}

pub(crate) fn at_every_call_of_attach(w: &World) {
    crashing(w);
    let act = Act { act: join, settled: |_| true, done: joined, undo: leave, traceless: true };
    let deaths = dies_everywhere(w, &act);
    assert!(deaths > 6, "only {deaths} deaths");
}

pub(crate) fn at_every_call_of_detach(w: &World) {
    crashing(w);
    join(w).unwrap();
    let act = Act {
        act: |w| w.api().remove_endpoint("web"),
        settled: |w| ports(w) == 1,
        done: |w| joined(w).map(|there| !there),
        undo: join,
        traceless: false,
    };
    let deaths = dies_everywhere(w, &act);
    assert!(deaths >= 2, "only {deaths} deaths");
}
