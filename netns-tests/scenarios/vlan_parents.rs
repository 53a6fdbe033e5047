//! A parent that is a VLAN of another link: made when missing, shared, and gone with its last network.

use super::direct::{no_second_lan, second_lan};
use crate::world::World;
use crate::world::said::{eventually, only_if};

/// The neighbour has the same tag, as 203.0.113.2.
fn tagged(w: &World) {
    second_lan(w);
    w.outside().run("ip link add lan1.10 link lan1 type vlan id 10");
    w.outside().run("ip addr add 203.0.113.2/24 dev lan1.10");
    w.outside().run("ip link set lan1.10 up");
}

pub(crate) fn it_is_made_shared_and_removed(w: &World) {
    tagged(w);
    w.bowline("network create red -d macvlan --parent lan0.10 --subnet 203.0.113.0/25");
    let vlan = w.host().link("lan0.10").unwrap();
    assert_eq!(
        (vlan["linkinfo"]["info_data"]["id"].as_u64(), vlan["link"].as_str()),
        (Some(10), Some("lan0"))
    );
    w.bowline("network create blue -d macvlan --parent lan0.10 --subnet 203.0.113.128/25");
    let a = w.attach("a", "red", "--ip 203.0.113.11");
    a.reaches("203.0.113.2");
    // Not on the LAN without the tag.
    a.run("ip addr add 198.51.100.9/24 dev eth0");
    a.does_not_reach("198.51.100.2");
    a.run("ip addr del 198.51.100.9/24 dev eth0");

    w.restart();
    w.has_no_drift();
    w.bowline("endpoint rm a");
    w.bowline("network rm red");
    assert!(w.host().link("lan0.10").is_some(), "another network has it");
    w.bowline("network rm blue");
    assert!(w.host().link("lan0.10").is_none());
    no_second_lan(w);
}

pub(crate) fn one_that_is_there_stays(w: &World) {
    tagged(w);
    w.host().run("ip link add lan0.10 link lan0 type vlan id 10");
    w.host().run("ip link set lan0.10 up");
    w.bowline("network create red -d macvlan --parent lan0.10 --subnet 203.0.113.0/24");
    w.attach("a", "red", "--ip 203.0.113.11").reaches("203.0.113.2");
    w.bowline("endpoint rm a");
    w.bowline("network rm red");
    assert!(w.host().link("lan0.10").is_some(), "it is not ours");
    w.host().run("ip link set lan0.10 down");
    w.host().run("ip link set lan0.10 name dmz");
    w.tries("network create red -d macvlan --parent lan0.10 --subnet 203.0.113.0/24")
        .refused("BWL-1115", 2)
        .naming(&["--parent dmz"]);
    w.host().run("ip link del dmz");
    no_second_lan(w);
}

pub(crate) fn it_is_healed(w: &World) {
    tagged(w);
    w.bowline("network create red -d macvlan --parent lan0.10 --subnet 203.0.113.0/24");
    let a = w.attach("a", "red", "--ip 203.0.113.11");
    w.host().run("ip link del lan0.10");
    eventually("it is made again, and the card on it", || {
        only_if(w.host().link("lan0.10").is_some() && a.link("eth0").is_some(), "one is missing")
    });
    a.reaches("203.0.113.2");
    w.host().run("ip link set lan0.10 down");
    eventually("it is up again", || {
        let state = w.host().link("lan0.10").map(|link| link["operstate"].clone());
        only_if(state.as_ref().is_some_and(|state| state == "UP"), state)
    });
    // What it is of goes, and comes back.
    w.host().run("ip link del lan0");
    eventually("all is gone", || only_if(a.link("eth0").is_none(), "eth0"));
    tagged(w);
    a.reaches("203.0.113.2");
    w.has_no_drift();
    no_second_lan(w);
}
