//! Our sockets are in a namespace that is somebody else's: they never keep it from going, and never go before it.

use crate::world::World;
use crate::world::place::Place;
use crate::world::said::{eventually, only_if};

fn front(w: &World) -> Place<'_> {
    w.bowline("network create front --internal --subnet 10.9.0.0/16");
    w.attach("db", "front", "");
    w.attach("web", "front", "")
}

/// A pair of links of nobody's, one end inside: it goes when the kernel takes the namespace apart, and not before.
fn probe(w: &World, netns: &str) {
    w.host().run(&format!("ip link add probe type veth peer name inner netns {netns}"));
}

#[track_caller]
fn is_taken_apart(w: &World) {
    eventually("the kernel takes the namespace apart", || {
        let left = (w.host().link("probe").is_some(), w.host().run("ip -o link show master bl-front"));
        only_if(!left.0 && left.1.lines().count() == 1, left)
    });
}

pub(crate) fn a_namespace_that_goes_is_not_held(w: &World) {
    let web = front(w);
    assert_eq!(web.asker().finds("db"), ["10.9.0.2"]);
    probe(w, "web");
    w.host().run("ip netns del web");
    is_taken_apart(w);
    assert_eq!(w.inside("db").asker().finds("web"), ["NXDOMAIN"]);
    assert!(!w.machine.path("/etc/netns/web").exists(), "its file stays behind");
}

pub(crate) fn a_namespace_that_goes_while_the_daemon_is_away_is_not_held(w: &World) {
    front(w);
    probe(w, "web");
    w.kill();
    w.host().run("ip netns del web");
    w.start();
    is_taken_apart(w);
    assert_eq!(w.inside("db").asker().finds("web"), ["NXDOMAIN"]);
}

/// `ip netns del` takes the name; as long as somebody is in there, all works for him.
pub(crate) fn who_is_left_in_a_namespace_without_a_name_still_asks(w: &World) {
    let web = front(w);
    let mut asker = web.asker();
    probe(w, "web");
    w.host().run("ip netns del web");
    for _ in 0..200 {
        assert_eq!(asker.finds("db"), ["10.9.0.2"]);
    }
    w.attach("later", "front", "");
    assert_eq!(asker.finds("later"), ["10.9.0.4"], "what changes is seen");
    assert_eq!(w.inside("db").asker().finds("web"), ["10.9.0.3"], "it is still there for others");
    w.kill();
    w.start();
    assert_eq!(asker.finds("later"), ["10.9.0.4"], "a restart makes no difference");
    w.bowline("endpoint rm later");
    assert!(w.host().link("probe").is_some());
    drop(asker);
    is_taken_apart(w);
}

/// One that never had a name.
pub(crate) fn a_namespace_of_a_process_goes_with_it(w: &World) {
    w.bowline("network create front --internal --subnet 10.9.0.0/16");
    w.attach("db", "front", "");
    let process = w.host().starts("unshare -n sleep 12345");
    let pid = eventually("it is in a namespace of its own", || {
        let all = w.machine.processes();
        let found = all.iter().find(|line| line.ends_with(") sleep 12345"));
        found.and_then(|line| line.split(' ').next()).map(str::to_string).ok_or(format!("{all:?}"))
    });
    w.bowline(&format!("endpoint create web --netns /proc/{pid}/ns/net --network front"));
    w.host().run(&format!("ip link add probe type veth peer name inner netns {pid}"));
    let ask = |what: &str| {
        w.host().tries(&format!("nsenter -t {pid} -n dig +short +tries=1 @127.0.0.11 {what}")).out
    };
    assert_eq!(ask("db"), "10.9.0.2\n");
    w.restart();
    assert_eq!(ask("web"), "10.9.0.3\n");
    process.signal("KILL");
    is_taken_apart(w);
    assert_eq!(w.inside("db").asker().finds("web"), ["NXDOMAIN"]);
}

/// As Docker keeps them.
pub(crate) fn a_namespace_that_is_mounted_elsewhere_goes_with_that(w: &World) {
    w.bowline("network create front --internal --subnet 10.9.0.0/16");
    let db = w.attach("db", "front", "");
    let web = w.container("web");
    w.host().shell("mkdir /run/other; touch /run/other/it; mount --bind /run/netns/web /run/other/it");
    w.bowline("endpoint create web --netns /run/other/it --network front");
    probe(w, "web");
    assert_eq!(web.digs("db").found(), ["10.9.0.2"]);
    w.host().run("ip netns del web");
    let mut asker = db.asker();
    for _ in 0..100 {
        assert_eq!(asker.finds("web"), ["10.9.0.3"]);
    }
    assert!(w.host().link("probe").is_some());
    w.host().shell("umount /run/other/it; rm -r /run/other");
    is_taken_apart(w);
    assert_eq!(asker.finds("web"), ["NXDOMAIN"]);
}
