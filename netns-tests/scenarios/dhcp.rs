//! Addresses of a DHCP server. The LAN is a second one behind the machine, and the server is the neighbour on it.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use bowline_api::v1::{CreateEndpoint, Endpoint, Join, Netns};
use bowline_api::{Client, Code};

use super::direct::{no_second_lan, second_lan};
use crate::scenarios::crash::{Act, dies_everywhere};
use crate::world::World;
use crate::world::place::Place;
use crate::world::said::{eventually, only_if};

const MACVLAN: &str = "network create lan -d macvlan --parent lan0 --ipam dhcp";

/// How long an attach waits for a server, and what a loaded machine adds.
const BOUND: Duration = Duration::from_secs(14);

fn endpoint(w: &World, name: &str) -> Endpoint {
    w.api().endpoint(name).unwrap()
}

/// Its one address, as the API and `ip` say alike.
#[track_caller]
fn address(w: &World, place: Place<'_>, name: &str) -> String {
    let said = endpoint(w, name).interfaces[0].addresses.clone();
    assert_eq!(place.addresses("eth0"), said);
    let [address] = said.as_slice() else { panic!("{said:?}") };
    address.split('/').next().unwrap().to_string()
}

fn attach(api: &Client, name: &str) -> bowline_api::Result<Endpoint> {
    let join = Join { network: "lan".into(), ..Join::default() };
    let netns = Netns { fd: None, path: Some(format!("/run/netns/{name}")) };
    api.create_endpoint(&CreateEndpoint { networks: vec![join], ..CreateEndpoint::named(name, netns) })
}

/// Everything that a lease can say, by dnsmasq.
pub(super) fn a_member_has_what_a_server_gave(w: &World, network: &str) {
    let server = w.dnsmasq(
        "--domain=example.org --address=/nas.example.org/198.51.100.9 --dhcp-option=26,1400 \
         --dhcp-option=121,0.0.0.0/0,198.51.100.2,203.0.113.0/24,198.51.100.3",
    );
    w.bowline(network);
    let web = w.attach("web", "lan", "--hostname shop");
    let db = w.attach("db", "lan", "");

    let at = address(w, web, "web");
    assert!(at.starts_with("198.51.100.1"), "{at}");
    assert_eq!(web.default_route("-4").as_deref(), Some("198.51.100.2 dev eth0"));
    assert!(web.run("ip route show 203.0.113.0/24").contains("via 198.51.100.3 dev eth0"));
    assert_eq!(web.link("eth0").unwrap()["mtu"], 1400);
    web.reaches("198.51.100.2");
    db.reaches(&at);

    // Each finds the other, and both what the server's own names are.
    assert_eq!(db.digs("web").found(), [at.as_str()]);
    assert_eq!(db.digs("shop").found(), [at.as_str()]);
    assert_eq!(web.digs("nas.example.org").found(), ["198.51.100.9"]);
    assert!(w.host().run("cat /etc/netns/web/resolv.conf").contains("search example.org"));

    let shown = endpoint(w, "web").interfaces[0].lease.clone().unwrap();
    assert_eq!((shown.server.to_string().as_str(), shown.dns.len()), ("198.51.100.2", 1));
    assert!(shown.renews_unix_ms < shown.rebinds_unix_ms && shown.rebinds_unix_ms < shown.expires_unix_ms);
    assert!(w.bowline("endpoint show web").out.contains("lease       eth0: of 198.51.100.2, until "));
    assert!(w.bowline("network show lan").out.contains("dhcp"));

    let given = server.leases();
    let names: BTreeSet<&str> = given.iter().map(|lease| lease[3].as_str()).collect();
    assert_eq!(names, BTreeSet::from(["db", "shop"]), "{given:?}");

    // What is given back is told.
    w.bowline("endpoint rm web");
    eventually("the lease was given back", || only_if(server.count("DHCPRELEASE", &at) == 1, server.log()));
    assert!(!server.leases().iter().any(|lease| lease[2] == at));
    eventually("the card is gone", || only_if(web.link("eth0").is_none(), "eth0"));
    w.bowline("network disconnect lan db");
    eventually("the other too", || only_if(server.count("DHCPRELEASE", "") == 2, server.log()));
    server.stops();
}

pub(crate) fn a_macvlan_member_has_what_a_server_gave(w: &World) {
    second_lan(w);
    a_member_has_what_a_server_gave(w, MACVLAN);
    no_second_lan(w);
}

/// On a bridge of the administrator's, which has the link for a port.
pub(crate) fn a_member_of_their_bridge_has_what_a_server_gave(w: &World) {
    second_lan(w);
    w.host().run("ip link add br-lan type bridge forward_delay 0");
    w.host().run("ip link set lan0 master br-lan");
    w.host().run("ip link set br-lan up");
    a_member_has_what_a_server_gave(w, "network create lan --parent br-lan --ipam dhcp");

    // Its senders are checked by its port there, the one address that it was given among them.
    let server = w.dnsmasq("--dhcp-option=58,3 --dhcp-option=59,100");
    let one = w.attach("one", "lan", "");
    let at = address(w, one, "one");
    assert_eq!(one.run("sysctl -n net.ipv6.conf.eth0.disable_ipv6").trim(), "1");
    eventually("it is renewed", || only_if(server.count("DHCPACK", &at) > 1, server.log()));
    one.run("ip addr add 198.51.100.77/24 dev eth0");
    let stolen = one.tries("ping -n -q -c 1 -W 0.4 -I 198.51.100.77 198.51.100.2");
    assert_ne!(stolen.code, 0, "{stolen}");
    one.run("ip addr del 198.51.100.77/24 dev eth0");
    one.reaches("198.51.100.2");
    server.stops();
    w.removes_everything();
    w.host().run("ip link del br-lan");
    no_second_lan(w);
}

/// Members make themselves addresses of what the link's router advertises.
pub(crate) fn ipv6_comes_by_advertisements(w: &World) {
    second_lan(w);
    let server = w.dnsmasq("--enable-ra --dhcp-range=2001:db8:1::,ra-only,64,10m --ra-param=lan1,4,60");
    w.bowline(MACVLAN);
    let web = w.attach("web", "lan", "");
    eventually("it has made itself an address", || {
        let all = web.addresses("eth0");
        only_if(all.iter().any(|address| address.starts_with("2001:db8:1:")), all)
    });
    web.reaches("2001:db8:1::2");
    w.has_no_drift();
    server.stops();
    no_second_lan(w);
}

pub(crate) fn leases_are_renewed_also_by_the_next_daemon(w: &World) {
    second_lan(w);
    let server = w.dnsmasq("--dhcp-option=58,3 --dhcp-option=59,100");
    w.bowline(MACVLAN);
    let web = w.attach("web", "lan", "");
    let at = address(w, web, "web");
    let renewed = |times: usize| {
        let asked = server.count("DHCPACK", &at);
        eventually("it is renewed", || only_if(server.count("DHCPACK", &at) >= asked + times, server.log()));
    };
    renewed(2);
    let discovered = server.count("DHCPDISCOVER", "");
    w.restart();
    renewed(2);
    w.kill();
    w.start();
    renewed(2);
    assert_eq!(server.count("DHCPDISCOVER", ""), discovered, "nobody began anew");
    assert_eq!(address(w, web, "web"), at);
    w.has_no_drift();
    // Between two renewals nothing of ours keeps the namespace: its end is noticed. Nobody could give the lease back, and
    // the next of that name has it again, whatever card it comes with.
    w.host().run("ip netns del web");
    eventually("the endpoint is gone", || only_if(w.api().endpoint("web").is_err(), w.api().endpoints()));
    assert_eq!(server.count("DHCPRELEASE", ""), 0);
    w.host().run("ip netns add web");
    w.bowline("endpoint create web --netns web --network lan");
    assert_eq!(address(w, web, "web"), at);
    server.stops();
    no_second_lan(w);
}

/// T1, T2 and the end, the end of its address, and another one from a server that comes back.
pub(crate) fn a_lease_that_nobody_prolongs_ends(w: &World) {
    second_lan(w);
    let mut server = w.scripted_dhcp();
    order(&mut server, "give 198.51.100.50 6 2 4");
    w.bowline(MACVLAN);
    let web = w.attach("web", "lan", "");
    assert_eq!(address(w, web, "web"), "198.51.100.50");
    order(&mut server, "silence");
    server.wait_for_line("REQUEST of 198.51.100.50 by 198.51.100.50 wishing -");
    server.wait_for_line("REQUEST of 198.51.100.50 by 198.51.100.50 wishing -");
    server.wait_for_line("DISCOVER of 0.0.0.0 by 0.0.0.0 wishing 198.51.100.50");
    eventually("the address is gone", || only_if(web.addresses("eth0").is_empty(), web.addresses("eth0")));
    let ended = endpoint(w, "web").interfaces[0].clone();
    assert_eq!((ended.addresses.len(), ended.lease), (0, None));
    assert_eq!(web.default_route("-4"), None);
    assert!(w.log().contains("has lost 198.51.100.50/24: nobody prolonged it"));
    w.has_no_drift();

    order(&mut server, "give 198.51.100.51 600 300 500");
    eventually("another is there", || {
        only_if(web.addresses("eth0") == ["198.51.100.51/24"], web.addresses("eth0"))
    });
    assert_eq!(address(w, web, "web"), "198.51.100.51");
    assert_eq!(web.digs("web").found(), ["198.51.100.51"]);
    web.reaches("198.51.100.2");
    drop(server);
    no_second_lan(w);
}

pub(crate) fn a_server_that_says_no_takes_the_address(w: &World) {
    second_lan(w);
    let mut server = w.scripted_dhcp();
    order(&mut server, "give 198.51.100.50 600 2 500");
    w.bowline(MACVLAN);
    let web = w.attach("web", "lan", "");
    order(&mut server, "refuse");
    server.wait_for_line("DISCOVER of 0.0.0.0 by 0.0.0.0 wishing -");
    eventually("the address is gone", || only_if(web.addresses("eth0").is_empty(), web.addresses("eth0")));
    assert!(w.log().contains("a DHCP server refused to go on"));
    // With a renewal comes another address at once.
    order(&mut server, "give 198.51.100.52 600 2 500");
    eventually("another is there", || {
        only_if(web.addresses("eth0") == ["198.51.100.52/24"], web.addresses("eth0"))
    });
    order(&mut server, "give 198.51.100.53 600 300 500");
    eventually("and one more", || {
        only_if(web.addresses("eth0") == ["198.51.100.53/24"], web.addresses("eth0"))
    });
    assert_eq!(web.digs("web").found(), ["198.51.100.53"]);
    w.has_no_drift();
    drop(server);
    no_second_lan(w);
}

/// Numbers of others, cards of others, nonsense, pieces: none is believed, and none keeps the answer from being heard.
pub(crate) fn what_is_no_answer_is_not_believed(w: &World) {
    second_lan(w);
    let mut server = w.scripted_dhcp();
    order(&mut server, "lie");
    order(&mut server, "give 198.51.100.50 600 2 500");
    w.bowline(MACVLAN);
    let web = w.attach("web", "lan", "");
    assert_eq!(address(w, web, "web"), "198.51.100.50");
    // Also when it is renewed.
    for _ in 0..2 {
        server.wait_for_line("REQUEST of 198.51.100.50");
    }
    assert_eq!(address(w, web, "web"), "198.51.100.50");
    assert!(!w.log().contains("has lost"));
    drop(server);
    no_second_lan(w);
}

pub(crate) fn an_address_that_a_neighbour_has_is_declined(w: &World) {
    second_lan(w);
    let mut server = w.scripted_dhcp();
    // The server's own, which its kernel answers for.
    order(&mut server, "give 198.51.100.2 600 300 500");
    w.bowline(MACVLAN);
    w.container("web");
    let api = w.api();
    thread::scope(|scope| {
        let attached = scope.spawn(|| attach(&api, "web"));
        server.wait_for_line("heard DECLINE of 0.0.0.0 by 0.0.0.0 wishing 198.51.100.2");
        order(&mut server, "give 198.51.100.50 600 300 500");
        attached.join().unwrap().unwrap();
    });
    assert_eq!(address(w, w.inside("web"), "web"), "198.51.100.50");
    drop(server);
    no_second_lan(w);
}

/// Nobody answers: it fails in time, holds up nobody meanwhile, and leaves nothing.
pub(crate) fn without_a_server_an_attach_fails_and_leaves_nothing(w: &World) {
    second_lan(w);
    w.bowline(MACVLAN);
    w.bowline("network create front --subnet 10.9.0.0/24");
    let web = w.container("web");
    let began = Instant::now();
    let api = w.api();
    thread::scope(|scope| {
        let waits = scope.spawn(|| attach(&api, "web"));
        eventually("it waits", || only_if(web.link("eth0").is_some(), "no card"));
        let asked = Instant::now();
        let other = w.attach("other", "front", "");
        other.reaches("10.9.0.1");
        w.bowline("network create more --subnet 10.8.0.0/24");
        w.bowline("endpoint ls");
        w.bowline("network inspect lan");
        w.bowline("system repair");
        assert!(!waits.is_finished(), "the others took {:?}, and it did not wait", asked.elapsed());
        assert_eq!(waits.join().unwrap().unwrap_err().code, Code::NoLease);
    });
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
    assert!(web.link("eth0").is_none());
    assert_eq!(w.api().network("lan").unwrap().endpoints, []);
    w.tries("endpoint show web").refused("BWL-1202", 3);

    // One that is there stays as it is.
    w.tries("network connect lan other").refused("BWL-1219", 124).naming(&["no DHCP server", "lan"]);
    assert_eq!(endpoint(w, "other").interfaces.len(), 1);
    w.inside("other").reaches("10.9.0.1");
    no_second_lan(w);
}

/// Taken away by somebody else before the server has answered.
pub(crate) fn who_waits_can_be_taken_away(w: &World) {
    second_lan(w);
    let mut server = w.scripted_dhcp();
    w.bowline(MACVLAN);
    let web = w.container("web");
    let api = w.api();
    thread::scope(|scope| {
        let waits = scope.spawn(|| attach(&api, "web"));
        server.wait_for_line("heard DISCOVER");
        w.bowline("endpoint rm web");
        order(&mut server, "give 198.51.100.50 600 300 500");
        assert!(waits.join().unwrap().is_err());
    });
    eventually("the card is gone", || only_if(web.link("eth0").is_none(), "eth0"));
    drop(server);
    no_second_lan(w);
}

/// A card that was deleted is made again, and its lease is asked about.
pub(crate) fn a_card_made_again_keeps_its_lease(w: &World) {
    second_lan(w);
    let server = w.dnsmasq("");
    w.bowline(MACVLAN);
    let web = w.attach("web", "lan", "");
    let at = address(w, web, "web");
    let confirmed = server.count("DHCPACK", &at);
    web.run("ip link del eth0");
    eventually("it is made again", || only_if(web.link("eth0").is_some(), "eth0"));
    eventually("it is there again", || {
        only_if(web.addresses("eth0") == [format!("{at}/24")], web.addresses("eth0"))
    });
    eventually("and confirmed", || only_if(server.count("DHCPACK", &at) > confirmed, server.log()));
    assert_eq!(server.count("DHCPDISCOVER", ""), 1);
    server.stops();
    no_second_lan(w);
}

pub(crate) fn twenty_at_once(w: &World) {
    second_lan(w);
    let server = w.dnsmasq("--dhcp-option=58,3 --dhcp-option=59,100");
    w.bowline(MACVLAN);
    let names: Vec<String> = (0..20).map(|n| format!("c{n}")).collect();
    for name in &names {
        w.container(name);
    }
    let api = w.api();
    thread::scope(|scope| {
        let all: Vec<_> = names.iter().map(|name| scope.spawn(|| attach(&api, name))).collect();
        for one in all {
            one.join().unwrap().unwrap();
        }
    });
    let given: BTreeSet<String> = names.iter().map(|name| address(w, w.inside(name), name)).collect();
    assert_eq!(given.len(), 20);
    let asked = server.count("DHCPACK", "");
    eventually("all are renewed", || only_if(server.count("DHCPACK", "") >= asked + 20, server.log()));
    w.removes_everything();
    eventually("all are given back", || only_if(server.leases().is_empty(), server.leases()));
    server.stops();
    no_second_lan(w);
}

pub(crate) fn what_cannot_be_is_refused(w: &World) {
    second_lan(w);
    for (wish, exit) in [
        ("network create x --ipam dhcp", 2),
        ("network create x -d macvlan --parent lan0 --ipam dhcp --subnet 198.51.100.0/24", 2),
        ("network create x -d macvlan --parent lan0 --ipam dhcp --ipv6", 2),
        ("network create x -d macvlan --parent lan0 --ipam dhcp --host-access", 2),
        ("network create x -d macvlan --internal --ipam dhcp", 2),
        ("network create x -d ipvlan --mode l3 --parent lan0 --ipam dhcp", 2),
    ] {
        w.tries(wish).refused("BWL-1111", exit);
    }
    w.bowline(MACVLAN);
    w.container("web");
    w.tries("endpoint create web --netns web --network lan --ip 198.51.100.50").refused("BWL-1106", 2);
    no_second_lan(w);
}

fn cards(w: &World) -> Vec<String> {
    let all = w.inside("web").run("ip -o link show");
    all.lines().filter(|line| !line.contains(": lo:")).map(str::to_string).collect()
}

fn attached(w: &World) -> Result<bool, String> {
    let web = w.inside("web");
    let known = w.api().endpoint("web").map_or(0, |e| e.interfaces.len());
    match (cards(w).len(), known, web.default_route("-4").as_deref()) {
        (0, 0, None) => Ok(false),
        (1, 1, Some("198.51.100.2 dev eth0")) if web.pings("198.51.100.2") => Ok(true),
        seen => Err(format!("{seen:?}")),
    }
}

pub(crate) fn at_every_call_of_attach(w: &World) {
    second_lan(w);
    let server = w.dnsmasq("");
    w.bowline(MACVLAN);
    w.container("web");
    let act = Act {
        act: |w| attach(&w.api(), "web").map(drop),
        settled: |_| true,
        done: attached,
        undo: |w| {
            w.api().remove_endpoint("web")?;
            eventually("the card is gone", || only_if(cards(w).is_empty(), cards(w)));
            Ok(())
        },
        traceless: true,
    };
    let deaths = dies_everywhere(w, &act);
    assert!(deaths >= 8, "only {deaths} deaths");
    server.stops();
    no_second_lan(w);
}

#[track_caller]
fn order(server: &mut crate::world::background::Background, order: &str) {
    server.tell(order);
    server.wait_for_line(&format!("ordered {order}"));
}
