//! Cards that share their parent's MAC. They are not in every kernel.

use super::direct::{card, no_second_lan, second_lan};
use crate::world::World;
use crate::world::said::{eventually, only_if};

fn lan(mode: &str, more: &str) -> String {
    format!("network create lan -d ipvlan --parent lan0 --mode {mode} --subnet 198.51.100.0/24 {more}")
}

pub(crate) fn l2_is_on_the_lan(w: &World) {
    second_lan(w);
    w.bowline(&lan("l2", "--subnet 2001:db8:1::/64 --gateway 198.51.100.2"));
    let a = w.attach("a", "lan", "--ip 198.51.100.11");
    let b = w.attach("b", "lan", "--ip 198.51.100.12");
    assert_eq!(card(a, "eth0"), ("ipvlan".into(), "l2".into()));
    let parents = w.host().link("lan0").unwrap()["address"].clone();
    assert_eq!(a.link("eth0").unwrap()["address"], parents);
    assert_eq!(w.api().endpoint("a").unwrap().interfaces[0].mac, parents);
    assert_eq!(a.default_route("-4").as_deref(), Some("198.51.100.2 dev eth0"));
    a.reaches("198.51.100.2");
    a.reaches("2001:db8:1::2");
    b.reaches("198.51.100.11");
    w.outside().reaches("198.51.100.12");
    assert_eq!(b.digs("-q a").found(), ["198.51.100.11"]);
    w.container("c");
    w.tries("endpoint create c --netns c --network lan --mac 02:00:00:00:00:01")
        .refused("BWL-1108", 2)
        .naming(&["MAC of lan0"]);
    w.restart();
    w.has_no_drift();
    b.reaches("198.51.100.11");
    no_second_lan(w);
}

pub(crate) fn l2_private_keeps_members_apart(w: &World) {
    second_lan(w);
    w.bowline(&lan("l2", "--flag private"));
    let a = w.attach("a", "lan", "--ip 198.51.100.11");
    let b = w.attach("b", "lan", "--ip 198.51.100.12");
    a.reaches("198.51.100.2");
    b.does_not_reach("198.51.100.11");
    no_second_lan(w);
}

/// The parent routes: nothing is resolved, so the neighbour needs a route to the members.
pub(crate) fn l3_is_routed_by_the_parent(w: &World) {
    for mode in ["l3", "l3s"] {
        second_lan(w);
        w.host().run("ip addr add 198.51.100.1/24 dev lan0");
        w.bowline(&format!(
            "network create lan -d ipvlan --parent lan0 --mode {mode} --subnet 203.0.113.0/24 --subnet fd00:7::/64"
        ));
        w.tries(&format!(
            "network create x -d ipvlan --parent lan0 --mode {mode} --subnet 10.7.0.0/24 --gateway 10.7.0.1"
        ))
        .refused("BWL-1104", 2);
        let (one, two) = (format!("{mode}-1"), format!("{mode}-2"));
        let a = w.attach(&one, "lan", "--ip 203.0.113.11");
        let b = w.attach(&two, "lan", "--ip 203.0.113.12");
        assert_eq!(card(a, "eth0").1, mode);
        assert_eq!(a.default_route("-4").as_deref(), Some("? dev eth0"));
        b.reaches("203.0.113.11");
        w.outside().run("ip route replace 203.0.113.0/24 via 198.51.100.1");
        a.reaches("198.51.100.2");
        w.outside().reaches("203.0.113.12");
        w.outside().run("ip route del 203.0.113.0/24");
        no_second_lan(w);
    }
}

pub(crate) fn the_host_reaches_members_where_it_is_let(w: &World) {
    second_lan(w);
    w.bowline(&lan("l2", "--host-access"));
    let a = w.attach("a", "lan", "--ip 198.51.100.11");
    w.host().reaches("198.51.100.11");
    let own = w.api().network("lan").unwrap().host_addresses[0].trim_end_matches("/24").to_string();
    a.reaches(&own);
    no_second_lan(w);
}

/// A parent has one sort of cards, and all of ipvlan's in one mode.
pub(crate) fn who_has_the_parent_is_named(w: &World) {
    second_lan(w);
    w.bowline(&lan("l2", ""));
    for options in ["-d macvlan", "-d ipvlan --mode l3", "-d ipvlan --flag private"] {
        w.tries(&format!("network create other {options} --parent lan0 --subnet 203.0.113.0/24"))
            .refused("BWL-1217", 4)
            .naming(&["network lan", "ipvlan mode l2"]);
    }
    w.bowline("network create more -d ipvlan --parent lan0 --subnet 203.0.113.0/24");
    w.bowline("network rm lan");
    w.bowline("network rm more");

    // A stranger's card on it is known when the kernel refuses.
    w.host().run("ip link add theirs link lan0 type macvlan mode bridge");
    w.bowline(&lan("l2", ""));
    w.container("a");
    w.tries("endpoint create a --netns a --network lan").refused("BWL-1217", 4).naming(&["lan0"]);
    assert!(w.inside("a").link("eth0").is_none());
    w.host().run("ip link del theirs");
    w.bowline("endpoint create a --netns a --network lan");
    no_second_lan(w);
}

pub(crate) fn its_parent_comes_back(w: &World) {
    second_lan(w);
    w.bowline(&lan("l2", ""));
    let a = w.attach("a", "lan", "--ip 198.51.100.11");
    w.host().run("ip link del lan0");
    eventually("its card went with it", || only_if(a.link("eth0").is_none(), "eth0"));
    second_lan(w);
    eventually("it is back", || only_if(a.link("eth0").is_some(), "no eth0"));
    a.reaches("198.51.100.2");
    no_second_lan(w);
}
