//! The daemon goes and comes back; the containers do not notice.

use crate::world::World;
use crate::world::background::Background;
use crate::world::place::Place;
use crate::world::said::{eventually, only_if};

/// Three members and all that is asked of them while the daemon is away.
fn unharmed(w: &World, away: impl FnOnce()) {
    w.bowline("network create front --subnet 10.9.0.0/24 --subnet fd00:9::/64");
    let (web, db) = (w.attach("web", "front", ""), w.attach("db", "front", "--ip 10.9.0.9"));
    let _db = db.echoes(80);
    let _outside = w.outside().echoes(80);
    let before = (w.api().endpoints().unwrap(), w.api().networks().unwrap());
    // The kernel takes a moment until it says of a new link that it carries.
    let links = eventually("all links carry", || {
        let links = w.host().run("ip -o link show");
        if links.contains("NO-CARRIER") || links.contains("DORMANT") { Err(links) } else { Ok(links) }
    });

    let member = web.talks_to("10.9.0.9", 80);
    let member6 = web.talks_to("fd00:9::3", 80);
    let world = web.talks_to("192.0.2.2", 80);
    let mut pings = [steady_ping(web, "10.9.0.9"), steady_ping(web, "192.0.2.2")];
    pings.iter_mut().for_each(|ping| drop(ping.wait_for_line("bytes from")));
    away();
    assert!(pings.iter_mut().all(Background::still_runs), "the pings were over before the daemon was back");

    for talk in [member, member6, world] {
        let said = talk.ends().well().out;
        let slowest: u64 =
            said.rsplit("slowest in ").next().unwrap().trim_end_matches(" ms\n").parse().unwrap();
        assert!(slowest < 1000, "a conversation stood still: {said}");
    }
    for ping in pings {
        let said = ping.ends();
        assert!(said.out.contains(" 0% packet loss"), "{said}");
    }
    w.has_no_drift();
    assert_eq!((w.api().endpoints().unwrap(), w.api().networks().unwrap()), before);
    assert_eq!(w.host().run("ip -o link show"), links, "no link was made anew");
}

/// Three seconds of a hundred a second.
fn steady_ping(from: Place<'_>, to: &str) -> Background {
    from.starts(&format!("ping -n -i 0.01 -c 300 -W 5 {to}"))
}

pub(crate) fn traffic_flows_through_a_restart(w: &World) {
    unharmed(w, || w.restart());
}

pub(crate) fn traffic_flows_through_a_crash(w: &World) {
    unharmed(w, || {
        w.kill();
        w.start();
    });
}

pub(crate) fn everything_works_after_a_crash(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    w.bowline("network create back --subnet 10.8.0.0/24");
    let web = w.attach("web", "front", "");
    w.kill();
    assert!(w.machine.path(crate::world::SOCKET).exists(), "a crash leaves its socket behind");
    w.start();
    w.bowline("network connect back web");
    web.reaches("10.8.0.1");
    let db = w.attach("db", "front", "");
    assert_eq!(db.addresses("eth0"), ["10.9.0.3/24"], "the address of web is known to be taken");
    web.reaches("10.9.0.3");
    w.bowline("network disconnect front web");
}

pub(crate) fn what_happened_while_away_is_put_right(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    w.bowline("network create back --subnet 10.8.0.0/24");
    let (web, db) = (w.attach("web", "front", ""), w.attach("db", "front", ""));
    w.attach("gone", "back", "");
    let port = w.api().endpoint("db").unwrap().interfaces[0].host_link.clone();
    w.kill();
    w.host().run("ip netns del gone");
    w.host().run("ip link del bl-front");
    w.host().run(&format!("ip link del {port}"));
    w.host().run("ip addr flush dev bl-back");
    drop(w.host().tries("nft delete table inet bowline"));
    w.start();
    w.has_no_drift();
    web.reaches("10.9.0.3");
    db.reaches("10.9.0.1");
    assert_eq!(w.host().addresses("bl-back"), ["10.8.0.1/24"]);
    assert!(w.host().table().unwrap().holds("networks", "bl-front"));
    // Its resolver's sockets were kept, and kept the namespace.
    eventually("who has gone is released", || {
        let names: Vec<_> = w.api().endpoints().unwrap().into_iter().map(|e| e.name).collect();
        only_if(!names.contains(&"gone".to_string()), names)
    });
}

pub(crate) fn a_daemon_is_started_where_none_runs(w: &World) {
    let said = w.bowline("network create front --subnet 10.9.0.0/24");
    assert!(said.err.contains("started the daemon"), "{said}");
    let web = w.attach("web", "front", "");
    web.reaches("10.9.0.1");
    let pid = w.host().run("cat /run/bowline/daemon.pid");
    w.bowline("endpoint rm web");
    w.bowline("network rm front");
    w.host().run(&format!("kill {}", pid.trim()));
    crate::world::said::eventually("the daemon ends", || {
        let left = w.machine.processes();
        crate::world::said::only_if(left.is_empty(), left)
    });
    w.host().run("rm -f /run/bowline/daemon.log");
}

pub(crate) fn told_to_stop_at_once_it_ends_well(w: &World) {
    for _ in 0..20 {
        w.restart();
    }
    w.stop();
    assert!(!w.machine.path(crate::world::SOCKET).exists(), "its socket goes with it");
    w.start();
}
