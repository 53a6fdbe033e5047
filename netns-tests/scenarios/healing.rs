//! Another hand changes what is ours, and it is put right.

use crate::world::World;
use crate::world::place::Place;
use crate::world::said::{eventually, only_if};

fn pair<'w>(w: &'w World) -> (Place<'w>, Place<'w>, String) {
    w.bowline("network create front --subnet 10.9.0.0/24 --subnet fd00:9::/64");
    let (web, db) = (w.attach("web", "front", ""), w.attach("db", "front", ""));
    let port = w.api().endpoint("web").unwrap().interfaces[0].host_link.clone();
    web.reaches("10.9.0.3");
    (web, db, port)
}

/// Everything is as wanted again, and both members talk, in both families.
fn healed(w: &World, web: Place<'_>) {
    w.has_no_drift();
    for peer in ["10.9.0.3", "10.9.0.1", "fd00:9::3", "fd00:9::1"] {
        eventually(&format!("{peer} is reached again"), || only_if(web.pings(peer), "silence"));
    }
}

pub(crate) fn a_bridge_that_was_deleted(w: &World) {
    let (web, db, port) = pair(w);
    let addresses = (web.addresses("eth0"), db.addresses("eth0"));
    w.host().run("ip link del bl-front");
    healed(w, web);
    assert_eq!((web.addresses("eth0"), db.addresses("eth0")), addresses);
    assert_eq!(w.host().link(&port).unwrap()["master"], "bl-front");
    assert_eq!(w.host().addresses("bl-front"), ["10.9.0.1/24", "fd00:9::1/64"]);
    let _server = w.outside().serves(80);
    web.fetches("192.0.2.2", 80);
}

pub(crate) fn a_port_that_was_deleted(w: &World) {
    let (web, _db, port) = pair(w);
    let mac = web.link("eth0").unwrap()["address"].clone();
    w.host().run(&format!("ip link del {port}"));
    eventually("the card is back", || only_if(web.link("eth0").is_some(), "none"));
    healed(w, web);
    assert_eq!(web.addresses("eth0"), ["10.9.0.2/24", "fd00:9::2/64"]);
    assert_eq!(web.link("eth0").unwrap()["address"], mac);
    assert_eq!(web.default_route("-4").as_deref(), Some("10.9.0.1 dev eth0"));
    assert_eq!(web.default_route("-6").as_deref(), Some("fd00:9::1 dev eth0"));
}

pub(crate) fn an_address_of_the_bridge_that_was_removed(w: &World) {
    let (web, _db, _) = pair(w);
    w.host().run("ip addr del 10.9.0.1/24 dev bl-front");
    healed(w, web);
    w.host().run("ip addr flush dev bl-front");
    healed(w, web);
    assert_eq!(w.host().addresses("bl-front"), ["10.9.0.1/24", "fd00:9::1/64"]);
}

pub(crate) fn links_that_were_set_down(w: &World) {
    let (web, _db, port) = pair(w);
    w.host().run(&format!("ip link set {port} down"));
    healed(w, web);
    w.host().run("ip link set bl-front down");
    healed(w, web);
}

pub(crate) fn a_port_that_was_taken_off_its_bridge(w: &World) {
    let (web, _db, port) = pair(w);
    w.host().run(&format!("ip link set {port} nomaster"));
    eventually("it is a port again", || {
        let master = w.host().link(&port).unwrap()["master"].clone();
        only_if(master == "bl-front", master)
    });
    healed(w, web);
}

pub(crate) fn a_firewall_that_was_flushed(w: &World) {
    let (web, _db, _) = pair(w);
    let before = w.host().table();
    drop(w.host().tries("nft flush ruleset"));
    drop(w.host().tries("nft delete table inet bowline"));
    drop(w.host().tries("nft flush set inet bowline networks"));
    eventually("the table is whole", || only_if(w.host().table() == before, w.host().table()));
    healed(w, web);
    let _server = w.outside().serves(80);
    assert_eq!(web.seen_by("192.0.2.2", 80), "192.0.2.1");
}

pub(crate) fn a_namespace_that_went_without_a_word(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    w.attach("web", "front", "");
    w.attach("fix", "front", "--ip 10.9.0.9");
    let mut events = w.host().starts(&format!("{} events --json", crate::world::daemon::BINARY));
    eventually("somebody listens", || {
        let said = w.host().run("ss -xH state connected");
        only_if(said.contains("/run/bowline/"), said)
    });
    w.host().run("ip netns del web");
    w.host().run("ip netns del fix");
    eventually("both are released", || {
        let network = w.api().network("front").unwrap();
        let all = w.api().endpoints().unwrap();
        let kept = all.len() == 1 && all[0].name == "fix" && all[0].interfaces.is_empty();
        only_if(network.endpoints.is_empty() && network.subnets[0].used == 2 && kept, (network, all))
    });
    let removed = events.wait_for_line("\"web\"");
    assert!(removed.contains("endpoint-removed"), "{removed}");
    events.signal("TERM");
    w.tries("endpoint rm web").refused("BWL-1202", 3);
    let again = w.container("again");
    w.bowline("endpoint create again --netns again --network front");
    again.reaches("10.9.0.1");
}

pub(crate) fn a_path_that_leads_to_another_namespace_now(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    w.bowline("network create back --subnet 10.8.0.0/24");
    w.attach("web", "front", "");
    // Its namespace lives on under another name, and a stranger has taken its path.
    w.host().shell("ip netns add other; touch /run/netns/kept; mount --bind /run/netns/web /run/netns/kept");
    w.host().run("umount /run/netns/web");
    w.host().run("mount --bind /run/netns/other /run/netns/web");
    w.tries("network connect back web").refused("BWL-1302", 3);
    assert_eq!(w.inside("other").ip("link show").len(), 1, "the stranger is left alone");
    w.bowline("endpoint rm web");
    eventually("the pair is gone", || {
        let links = w.inside("kept").ip("link show").len();
        only_if(links == 1, links)
    });
    assert_eq!(w.inside("other").ip("link show").len(), 1);
    w.host().run("ip netns del other");
    w.host().run("ip netns del kept");
}

/// The bridge has one hardware address for good: were it that of a port, the gateway would be lost with the port.
pub(crate) fn a_member_that_leaves_takes_nothing_from_the_others(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24 --subnet fd00:9::/64");
    let web = w.attach("web", "front", "");
    let mac = || w.host().link("bl-front").unwrap()["address"].clone();
    let first = mac();
    let names = ["a", "b", "c", "d", "e", "f"];
    for name in names {
        w.attach(name, "front", "");
    }
    web.reaches("10.9.0.1");
    let mut pings = ["10.9.0.1", "192.0.2.2", "fd00:9::1"]
        .map(|to| web.starts(&format!("ping -n -i 0.01 -c 200 -W 5 {to}")));
    pings.iter_mut().for_each(|ping| drop(ping.wait_for_line("bytes from")));
    for name in names {
        w.bowline(&format!("endpoint rm {name}"));
    }
    eventually("they are gone", || {
        let left = w.host().run("ip -o link show master bl-front").lines().count();
        only_if(left == 1, left)
    });
    for ping in pings {
        let said = ping.ends();
        assert!(said.out.contains(" 0% packet loss"), "{said}");
    }
    assert_eq!(mac(), first);
}

/// The daemon does not fight a container over the container's own card, but it says what differs, and mends it when asked.
pub(crate) fn what_a_container_did_to_its_own_card(w: &World) {
    let (web, _db, _) = pair(w);
    web.run("ip addr del 10.9.0.2/24 dev eth0");
    web.run("ip link set eth0 down");
    let drift = w.api().drift().unwrap().steps;
    assert!(drift.iter().any(|step| step.contains("10.9.0.2/24") && step.contains("(web)")), "{drift:?}");
    assert_eq!(web.addresses("eth0").first().map(String::as_str), None, "it is not put right unasked");
    w.bowline("system repair");
    healed(w, web);
    assert_eq!(web.addresses("eth0"), ["10.9.0.2/24", "fd00:9::2/64"]);
    assert_eq!(web.default_route("-4").as_deref(), Some("10.9.0.1 dev eth0"));
}
