//! What becomes of a parent: it is told, followed, and put right as far as that goes.

use super::direct::{LAN, no_second_lan, second_lan};
use crate::world::World;
use crate::world::daemon::BINARY;
use crate::world::said::{eventually, only_if};

const ON_LAN0: &str = "network create lan -d macvlan --parent lan0 --subnet 198.51.100.0/24 \
                       --ip-range 198.51.100.64/26";

fn state(w: &World) -> String {
    w.api_json("/v1/networks/lan")["parent_state"].as_str().unwrap_or("none").to_string()
}

fn becomes(w: &World, wanted: &str) {
    eventually(&format!("its parent is {wanted}"), || only_if(state(w) == wanted, state(w)));
}

pub(crate) fn the_size_of_packets_follows(w: &World) {
    w.bowline(&format!("{LAN} --host-access"));
    let web = w.attach("web", "lan", "");
    w.bowline("network create small -d macvlan --parent uplink --subnet 203.0.113.0/24 --mtu 1300");
    let db = w.attach("db", "small", "");
    let sizes = || {
        let of =
            |place: crate::world::place::Place<'_>| place.link("eth0").and_then(|link| link["mtu"].as_u64());
        (of(web), of(db), w.api().network("lan").unwrap().mtu_bytes)
    };
    assert_eq!(sizes(), (Some(1500), Some(1300), 1500));
    for (bytes, small) in [(1400, 1300), (1280, 1280), (1450, 1300)] {
        w.host().run(&format!("ip link set uplink mtu {bytes}"));
        let wanted = (Some(bytes), Some(small), u32::try_from(bytes).unwrap());
        eventually("cards are as large as their parent", || only_if(sizes() == wanted, sizes()));
        w.has_no_drift();
    }
    w.tries("network create x -d macvlan --parent uplink --subnet 10.7.0.0/24 --mtu 1451")
        .refused("BWL-1109", 2);
    w.tries("network update lan --mtu 1451").refused("BWL-1109", 2).naming(&["uplink", "1450"]);
    w.host().run("ip link set uplink mtu 1500");
    eventually("they are back", || only_if(sizes() == (Some(1500), Some(1300), 1500), sizes()));
}

pub(crate) fn it_goes_down_and_comes_back_up(w: &World) {
    second_lan(w);
    w.bowline(ON_LAN0);
    let web = w.attach("web", "lan", "");
    let mut events = w.host().starts(&format!("{BINARY} events --json"));
    eventually("somebody listens", || {
        let said = w.host().run("ss -xH state connected");
        only_if(said.contains("/run/bowline/"), said)
    });
    w.host().run("ip link set lan0 down");
    becomes(w, "down");
    let told = events.wait_for_line("parent-changed");
    assert!(told.contains("lan0 is down"), "{told}");
    let shown = w.bowline("network show lan").out;
    assert!(shown.contains("lan0, mode bridge, down"), "{shown}");
    assert!(w.bowline("network ls").out.contains("parent-down"));
    // Who comes now waits for it, as those who are there.
    w.attach("late", "lan", "");
    w.host().run("ip link set lan0 up");
    becomes(w, "up");
    web.reaches("198.51.100.2");
    w.inside("late").reaches("198.51.100.2");
    w.outside().run("ip link set lan1 down");
    becomes(w, "down");
    w.outside().run("ip link set lan1 up");
    becomes(w, "up");
    events.signal("TERM");
    w.has_no_drift();
    no_second_lan(w);
}

pub(crate) fn it_is_deleted_and_made_again(w: &World) {
    second_lan(w);
    w.bowline(&format!("{ON_LAN0} --host-access"));
    let web = w.attach("web", "lan", "");
    let before = (web.link("eth0").unwrap()["address"].clone(), web.addresses("eth0"));
    w.host().run("ip link del lan0");
    becomes(w, "missing");
    assert!(web.link("eth0").is_none(), "its cards go with it");
    assert!(w.bowline("network ls").out.contains("parent-missing"));
    assert_eq!(w.api().network("lan").unwrap().endpoints.len(), 1, "its members stay members");
    w.container("db");
    w.tries("endpoint create db --netns db --network lan")
        .refused("BWL-1115", 2)
        .naming(&["lan0", "missing"]);

    second_lan(w);
    becomes(w, "up");
    eventually("the card is back as it was", || {
        let after = (web.link("eth0").map(|link| link["address"].clone()), web.addresses("eth0"));
        only_if(after == (Some(before.0.clone()), before.1.clone()), after)
    });
    web.reaches("198.51.100.2");
    w.host().reaches("198.51.100.65");
    w.has_no_drift();

    // The same while nobody looks.
    w.stop();
    w.host().run("ip link del lan0");
    w.start();
    becomes(w, "missing");
    w.stop();
    second_lan(w);
    w.start();
    web.reaches("198.51.100.2");
    w.bowline("endpoint create db --netns db --network lan");
    w.inside("db").reaches("198.51.100.2");
    no_second_lan(w);
}

pub(crate) fn it_is_renamed(w: &World) {
    second_lan(w);
    w.bowline(ON_LAN0);
    let web = w.attach("web", "lan", "");
    let index = || web.link("eth0").map(|link| link["ifindex"].clone());
    let first = index();
    let rename = |from: &str, to: &str| w.host().run(&format!("ip link set {from} name {to}"));
    let called = |name: &str| {
        eventually("it is followed", || {
            let parent = w.api().network("lan").unwrap().parent;
            only_if(parent.as_deref() == Some(name), parent)
        });
    };
    rename("lan0", "wan0");
    called("wan0");
    web.reaches("198.51.100.2");
    w.attach("db", "lan", "").reaches("198.51.100.2");
    w.has_no_drift();
    // What is called so now is another.
    w.host().run("ip link add lan0 type veth peer name lan2");
    called("wan0");
    w.host().run("ip link del lan0");

    // While nobody looks, its cards tell.
    w.stop();
    rename("wan0", "dmz0");
    w.start();
    called("dmz0");
    w.has_no_drift();
    assert_eq!(index(), first, "it is another card");
    w.kill();
    w.start();
    called("dmz0");

    // Without cards nobody knows it: it is missing.
    w.bowline("endpoint rm web");
    w.bowline("endpoint rm db");
    w.stop();
    rename("dmz0", "lan0");
    w.start();
    becomes(w, "missing");
    rename("lan0", "dmz0");
    becomes(w, "up");
    w.inside("web").run("ip link");
    w.bowline("endpoint create web --netns web --network lan");
    web.reaches("198.51.100.2");
    w.removes_everything();
    rename("dmz0", "lan0");
    no_second_lan(w);
}

/// In another namespace it is gone from here; its cards stay where they are, and on it.
pub(crate) fn it_is_moved_away_and_comes_back(w: &World) {
    second_lan(w);
    w.bowline(ON_LAN0);
    let web = w.attach("web", "lan", "");
    w.host().run("ip netns add depot");
    w.host().run("ip link set lan0 netns depot");
    becomes(w, "missing");
    w.inside("depot").run("ip link set lan0 netns 1");
    w.host().run("ip link set lan0 up");
    becomes(w, "up");
    web.reaches("198.51.100.2");
    w.host().run("ip netns del depot");
    no_second_lan(w);
}
