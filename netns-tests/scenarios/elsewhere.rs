//! Networks in a host namespace that the caller brings: nested engines and rootless ones get theirs where they run.

use crate::world::World;
use crate::world::said::{eventually, only_if};

/// A network in `inner`, and a member of it.
fn inner(w: &World) {
    w.container("inner");
    w.bowline("network create far --subnet 10.9.0.0/24 --host-netns inner");
    w.attach("web", "far", "");
}

pub(crate) fn a_network_lives_where_the_caller_says(w: &World) {
    inner(w);
    let (inner, web) = (w.inside("inner"), w.inside("web"));
    assert!(inner.link("bl-far").is_some() && w.host().link("bl-far").is_none());
    web.reaches("10.9.0.1");
    inner.reaches("10.9.0.2");
    assert!(inner.run("nft list table inet bowline").contains("bl-far"));
    assert!(!w.host().tries("nft list table inet bowline").out.contains("bl-far"));
    let shown = w.api().network("far").unwrap().host_netns.unwrap();
    assert!(shown.path.is_some_and(|path| path.ends_with("/inner")));

    // The daemon's own namespace has networks of the same names of links and even of the same addresses.
    w.bowline("network create near --subnet 10.9.0.0/24");
    w.attach("db", "near", "").reaches("10.9.0.1");
    assert!(!w.inside("db").pings("10.9.0.3"));
    w.bowline("endpoint rm db");
    w.bowline("network rm near");
}

pub(crate) fn it_survives_a_crash_and_is_healed_there(w: &World) {
    inner(w);
    let (inner, web) = (w.inside("inner"), w.inside("web"));
    w.kill();
    inner.run("ip link del bl-far");
    w.start();
    w.has_no_drift();
    web.reaches("10.9.0.1");
    inner.run("ip link del bl-far");
    eventually("it is there again", || only_if(inner.link("bl-far").is_some(), "none"));
    w.has_no_drift();
    web.reaches("10.9.0.1");
}

pub(crate) fn its_members_find_each_other_by_name(w: &World) {
    inner(w);
    let web = w.inside("web");
    w.container("db");
    w.bowline("endpoint create db --netns db --network far");
    for _ in 0..2 {
        let found = web.digs("db");
        let own = w.api().endpoint("db").unwrap().interfaces[0].addresses[0].clone();
        assert_eq!(found.found(), [own.split('/').next().unwrap()], "{}", found.text);
        w.kill();
        w.start();
    }
    w.bowline("endpoint rm db");
    assert_eq!(web.digs("db").found(), [""; 0]);
}

pub(crate) fn it_goes_with_its_namespace(w: &World) {
    inner(w);
    w.kill();
    w.host().run("ip netns del inner");
    w.start();
    assert_eq!(w.api().network("far").unwrap_err().code.to_string(), "BWL-1201");
    // Its member's own namespace is still there: an endpoint on no network.
    assert_eq!(w.api().endpoint("web").unwrap().interfaces, []);
}

pub(crate) fn a_namespace_is_a_hosts_or_a_containers(w: &World) {
    inner(w);
    let said = w.tries("endpoint create again --netns inner --network far");
    assert!(said.err.contains("BWL-1303"), "{said}");
}
