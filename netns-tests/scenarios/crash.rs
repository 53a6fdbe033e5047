//! The daemon dies just before each of its kernel calls in turn, those of its own start among them.
//! After every death: all done or all undone, and the same thing then works.

use bowline_api::Code;
use bowline_api::v1::{
    CreateEndpoint, CreateNetwork, Join, Netns, Publish, PublishSpec, SubnetSpec, UpdateNetwork,
};

use crate::world::place::Place;
use crate::world::said::{eventually, only_if};
use crate::world::{Snapshot, World};

/// More calls than any of these operations makes.
const MOST: u64 = 200;

/// One operation, its opposite, and how to see whether it was done.
pub(super) struct Act {
    pub(super) act: fn(&World) -> bowline_api::Result<()>,
    /// The kernel has nothing left to do after the answer.
    pub(super) settled: fn(&World) -> bool,
    /// Wholly so, or not at all, as others see it; else what is there.
    pub(super) done: fn(&World) -> Result<bool, String>,
    pub(super) undo: fn(&World) -> bowline_api::Result<()>,
    /// Undone, nothing of it is left, so the machine can be laid beside what it was.
    pub(super) traceless: bool,
}

/// Kills at call 1, 2, 3… until the operation gets by, and returns how many deaths there were.
pub(super) fn dies_everywhere(w: &World, act: &Act) -> u64 {
    w.stop();
    let before = Snapshot::of(w);
    for call in 1..MOST {
        let survived = match w.start_with(&["--kill-at-call", &call.to_string()]) {
            Err(said) => {
                assert_eq!(said.code, 137, "it ended by itself: {said}");
                false
            }
            Ok(()) => {
                let answer = (act.act)(w);
                eventually("it is done, or dead", || {
                    only_if(!w.daemon_runs() || answer.is_ok() && (act.settled)(w), &answer)
                });
                let alive = w.daemon_runs();
                assert!(alive || answer.is_ok() || answer.is_err_and(|e| e.code == Code::Unreachable));
                alive
            }
        };
        if survived {
            is_done(w, act, call);
            w.kill();
            w.start();
            is_done(w, act, call);
            return call - 1;
        }
        w.bury_daemon();
        w.start();
        w.has_no_drift();
        let done = eventually(&format!("after a death at call {call}, all or nothing"), || (act.done)(w));
        if !done {
            (act.act)(w).unwrap_or_else(|e| panic!("after a death at call {call}, again: {e}"));
        }
        is_done(w, act, call);
        (act.undo)(w).unwrap_or_else(|e| panic!("after a death at call {call}, undo: {e}"));
        w.has_no_drift();
        w.stop();
        if act.traceless {
            eventually(&format!("after a death at call {call}, nothing is left over"), || {
                let changes = before.changes(&Snapshot::of(w));
                only_if(changes.is_empty(), changes)
            });
        }
    }
    panic!("it dies at every one of {MOST} calls");
}

fn is_done(w: &World, act: &Act, call: u64) {
    eventually(&format!("at call {call}, it is done"), || match (act.done)(w) {
        Ok(true) => Ok(()),
        Ok(false) => Err("nothing of it".to_string()),
        Err(between) => Err(between),
    });
}

fn attach(w: &World) -> bowline_api::Result<()> {
    let join = |network: &str| Join { network: network.into(), ..Join::default() };
    let netns = Netns { fd: None, path: Some("/run/netns/web".into()) };
    let networks = vec![join("front"), join("back")];
    let wish = CreateEndpoint { networks, ..CreateEndpoint::named("web", netns) };
    w.api().create_endpoint(&wish).map(drop)
}

fn detach(w: &World) -> bowline_api::Result<()> {
    w.api().remove_endpoint("web")?;
    eventually("the ports are gone", || {
        let left = ports(w);
        only_if(left.is_empty(), left)
    });
    Ok(())
}

/// The ports of ours on the host.
fn ports(w: &World) -> Vec<String> {
    let all = w.host().run("ip -o link show type veth");
    all.lines().filter(|line| !line.contains(" uplink")).map(str::to_string).collect()
}

/// Addresses are free again when nothing of their interface is left.
fn given_back(w: &World) -> bool {
    w.api().network("front").is_ok_and(|front| front.subnets.iter().all(|subnet| subnet.used == 1))
}

/// Both cards with all that belongs to them, and the daemon says so too; or nothing of either, in the firewall inside neither.
fn attached(w: &World) -> Result<bool, String> {
    let web = w.inside("web");
    let cards = web.run("ip -o link show").lines().count() - 1;
    let known = w.api().endpoint("web").map_or(0, |e| e.interfaces.len());
    let members = w.api().network("front").map_or(0, |n| n.endpoints.len());
    let ports = ports(w);
    let tables = web.run("nft list tables");
    if (cards, known, members, ports.len()) == (0, 0, 0, 0) {
        return only_if(tables.is_empty(), tables).map(|()| false);
    }
    let route = web.default_route("-4");
    let silent: Vec<_> =
        ["10.9.0.1", "fd00:9::1", "10.8.0.1"].into_iter().filter(|to| !web.pings(to)).collect();
    let whole = (cards, known, members, ports.len()) == (2, 2, 1, 2)
        && route.as_deref() == Some("10.9.0.1 dev eth0")
        && silent.is_empty()
        && tables == "table ip bowline\n";
    if whole {
        return Ok(true);
    }
    Err(format!(
        "{cards} cards, {known} known, {members} members, ports {ports:?}, {route:?}, silent: {silent:?}, {tables}"
    ))
}

fn two_networks(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24 --subnet fd00:9::/64 --no-icc");
    w.bowline("network create back --subnet 10.8.0.0/24");
    w.container("web");
}

pub(crate) fn at_every_call_of_attach(w: &World) {
    two_networks(w);
    let act = Act { act: attach, settled: |_| true, done: attached, undo: detach, traceless: true };
    let deaths = dies_everywhere(w, &act);
    assert!(deaths > 8, "only {deaths} deaths");
}

pub(crate) fn at_every_call_of_detach(w: &World) {
    two_networks(w);
    attach(w).unwrap();
    let act = Act {
        act: |w| w.api().remove_endpoint("web"),
        settled: |w| ports(w).is_empty() && given_back(w),
        done: |w| attached(w).map(|there| !there),
        undo: attach,
        traceless: false,
    };
    let deaths = dies_everywhere(w, &act);
    assert!(deaths >= 3, "only {deaths} deaths");
}

/// Takes the default route from the other network, and gives it back.
pub(crate) fn at_every_call_of_connect(w: &World) {
    two_networks(w);
    w.bowline("endpoint create web --netns web --network back");
    let act = Act {
        act: connect,
        settled: |_| true,
        done: connected,
        undo: |w| {
            w.api().disconnect("web", "front")?;
            eventually("the port is gone", || only_if(ports(w).len() == 1, ports(w)));
            Ok(())
        },
        traceless: false,
    };
    let deaths = dies_everywhere(w, &act);
    assert!(deaths > 5, "only {deaths} deaths");
}

pub(crate) fn at_every_call_of_disconnect(w: &World) {
    two_networks(w);
    w.bowline("endpoint create web --netns web --network back --network front:gw-priority=5");
    let act = Act {
        act: |w| w.api().disconnect("web", "front").map(drop),
        settled: |w| ports(w).len() == 1 && given_back(w),
        done: |w| connected(w).map(|there| !there),
        undo: connect,
        traceless: false,
    };
    let deaths = dies_everywhere(w, &act);
    assert!(deaths >= 3, "only {deaths} deaths");
}

/// From a network to none, with the namespace and the endpoint staying.
pub(crate) fn at_every_call_of_the_last_disconnect(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24 --subnet fd00:9::/64");
    w.container("web");
    w.bowline("endpoint create web --netns web --network front");
    let act = Act {
        act: |w| w.api().disconnect("web", "front").map(drop),
        settled: |w| ports(w).is_empty() && given_back(w),
        done: |w| {
            let web = w.inside("web");
            let known = w.api().endpoint("web").map_or(0, |e| e.interfaces.len());
            let seen = (known, ports(w).len(), web.run("nft list tables"));
            match (seen.0, seen.1, seen.2.as_str()) {
                (0, 0, "") => Ok(true),
                (1, 1, "table ip bowline\n") if web.pings("10.9.0.1") => Ok(false),
                _ => Err(format!("{seen:?}")),
            }
        },
        undo: connect,
        traceless: false,
    };
    let deaths = dies_everywhere(w, &act);
    assert!(deaths >= 2, "only {deaths} deaths");
}

fn connect(w: &World) -> bowline_api::Result<()> {
    let join = Join { network: "front".into(), gw_priority: 5, ..Join::default() };
    w.api().connect("web", &join).map(drop)
}

/// On `front` as well as on `back`, with the default route; or on `back` alone, and that carries it.
fn connected(w: &World) -> Result<bool, String> {
    let web = w.inside("web");
    let cards = web.run("ip -o link show").lines().count() - 1;
    let known = w.api().endpoint("web").map_or(0, |e| e.interfaces.len());
    let (ports, route) = (ports(w).len(), web.default_route("-4").unwrap_or_default());
    let seen = (cards, known, ports, route.as_str());
    match seen {
        (1, 1, 1, "10.8.0.1 dev eth0") if web.pings("10.8.0.1") => Ok(false),
        (2, 2, 2, "10.9.0.1 dev eth1") if web.pings("10.9.0.1") && web.pings("fd00:9::1") => Ok(true),
        _ => Err(format!("{seen:?}")),
    }
}

/// What a member can tell a change of its network by: how large packets are, and whether there is a way out.
pub(crate) fn at_every_call_of_update(w: &World) {
    two_networks(w);
    w.bowline("endpoint create web --netns web --network front");
    let act = Act {
        act: |w| update(w, 1300, true),
        settled: |_| true,
        done: updated,
        undo: |w| update(w, 1500, false),
        traceless: false,
    };
    let deaths = dies_everywhere(w, &act);
    assert!(deaths > 5, "only {deaths} deaths");
}

fn update(w: &World, mtu: u32, internal: bool) -> bowline_api::Result<()> {
    let wish = UpdateNetwork { mtu_bytes: Some(mtu), internal: Some(internal), ..UpdateNetwork::default() };
    w.api().update_network("front", &wish).map(drop)
}

fn updated(w: &World) -> Result<bool, String> {
    let web = w.inside("web");
    let mtu = |place: Place<'_>, link: &str| place.link(link).and_then(|l| l["mtu"].as_u64());
    let known = w.api().network("front").map(|n| (n.mtu_bytes, n.internal)).map_err(|e| e.to_string())?;
    let internal = w.host().table().is_some_and(|t| t.holds("internal", "bl-front"));
    let seen = (mtu(w.host(), "bl-front"), mtu(web, "eth0"), web.default_route("-4").is_some(), internal);
    match (known, seen) {
        ((1500, false), (Some(1500), Some(1500), true, false)) => Ok(false),
        ((1300, true), (Some(1300), Some(1300), false, true)) => Ok(true),
        _ => Err(format!("{known:?} is {seen:?}")),
    }
}

fn create(w: &World) -> bowline_api::Result<()> {
    let subnets = vec![SubnetSpec::new("10.9.0.0/24"), SubnetSpec::new("fd00:9::/64")];
    w.api().create_network(&CreateNetwork { subnets, ..CreateNetwork::named("front") }).map(drop)
}

fn created(w: &World) -> Result<bool, String> {
    let known = w.api().network("front").is_ok();
    let link = w.host().link("bl-front");
    let table = w.host().table();
    let Some(link) = link else {
        return only_if(!known && table.is_none(), (known, table)).map(|()| false);
    };
    let addresses = w.host().addresses("bl-front");
    let holds = |set, element| table.as_ref().is_some_and(|t| t.holds(set, element));
    let whole = known
        && link["flags"].as_array().is_some_and(|flags| flags.contains(&"UP".into()))
        && addresses == ["10.9.0.1/24", "fd00:9::1/64"]
        && holds("networks", "bl-front")
        && holds("masquerade4", "10.9.0.0/24")
        && holds("masquerade6", "fd00:9::/64");
    only_if(whole, (known, addresses, table)).map(|()| true)
}

pub(crate) fn at_every_call_of_network_create(w: &World) {
    let act = Act {
        act: create,
        settled: |_| true,
        done: created,
        undo: |w| w.api().remove_network("front"),
        traceless: true,
    };
    let deaths = dies_everywhere(w, &act);
    assert!(deaths >= 3, "only {deaths} deaths");
}

pub(crate) fn at_every_call_of_network_rm(w: &World) {
    create(w).unwrap();
    let act = Act {
        act: |w| w.api().remove_network("front"),
        settled: |_| true,
        done: |w| created(w).map(|there| !there),
        undo: create,
        traceless: false,
    };
    let deaths = dies_everywhere(w, &act);
    assert!(deaths >= 3, "only {deaths} deaths");
}

/// Recovery with real work to do, killed at every call of it, each time from where the last one left it.
pub(crate) fn at_every_call_of_recovery(w: &World) {
    two_networks(w);
    attach(w).unwrap();
    w.kill();
    w.host().run("ip link del bl-front");
    w.host().run("ip link del bl-back");
    w.host().shell("for link in $(ls /sys/class/net); do case $link in bl*) ip link del $link;; esac; done");
    drop(w.host().tries("nft delete table inet bowline"));
    let mut deaths = 0;
    for call in 1..MOST {
        match w.start_with(&["--kill-at-call", &call.to_string()]) {
            Err(said) => assert_eq!(said.code, 137, "it ended by itself: {said}"),
            Ok(()) => break,
        }
        deaths += 1;
    }
    assert!(deaths > 4, "only {deaths} deaths");
    w.kill();
    w.start();
    w.has_no_drift();
    eventually("all is whole", || attached(w).and_then(|there| only_if(there, "nothing")));
}

fn publish(w: &World) -> bowline_api::Result<()> {
    let port = |host_port, port| PublishSpec { host_port: Some(host_port), port, ..PublishSpec::default() };
    let wish = Publish { ports: vec![port(8080, 80), port(8081, 81)] };
    w.api().publish("web", &wish).map(drop)
}

fn unpublish(w: &World) -> bowline_api::Result<()> {
    w.api().unpublish("web", &Publish::default()).map(drop)
}

/// Both ports in the maps of both families, held, and known to the daemon; or nothing of either.
fn published(w: &World) -> Result<bool, String> {
    let maps = ["anywhere4", "anywhere6"].map(|map| {
        let listed = w.host().run(&format!("nft list map inet bowline {map}"));
        ["8080", "8081"].iter().filter(|port| listed.contains(&format!("tcp . {port} :"))).count()
    });
    let free = ["8080", "8081"].map(|port| w.host().binds("tcp", &format!("0.0.0.0:{port}")).code == 0);
    let known = w.api().ports().map_or(0, |ports| ports.len());
    match (maps, free, known) {
        ([2, 2], [false, false], 2) => Ok(true),
        ([0, 0], [true, true], 0) => Ok(false),
        seen => Err(format!("{seen:?}")),
    }
}

pub(crate) fn at_every_call_of_publish(w: &World) {
    two_networks(w);
    w.bowline("endpoint create web --netns web --network front");
    let act = Act { act: publish, settled: |_| true, done: published, undo: unpublish, traceless: false };
    let deaths = dies_everywhere(w, &act);
    assert!(deaths >= 2, "only {deaths} deaths");
}

pub(crate) fn at_every_call_of_unpublish(w: &World) {
    two_networks(w);
    w.bowline("endpoint create web --netns web --network front");
    publish(w).unwrap();
    let act = Act {
        act: unpublish,
        settled: |_| true,
        done: |w| published(w).map(|there| !there),
        undo: publish,
        traceless: false,
    };
    let deaths = dies_everywhere(w, &act);
    assert!(deaths >= 2, "only {deaths} deaths");
}
