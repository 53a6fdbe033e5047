//! Many at once, and more than one daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::thread;

use bowline_api::v1::{CreateEndpoint, Join, Netns};

use crate::world::World;
use crate::world::daemon::BINARY;
use crate::world::said::{Said, eventually, only_if};

const MANY: usize = 200;
const CLIENTS: usize = 16;

/// Every number up to [`MANY`], shared out among clients that all work at the same time.
fn at_once(work: impl Fn(usize) + Sync) {
    thread::scope(|scope| {
        let work = &work;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| scope.spawn(move || (client..MANY).step_by(CLIENTS).for_each(work)))
            .collect();
        let failed = clients.into_iter().filter_map(|client| client.join().err()).count();
        assert_eq!(failed, 0, "clients failed");
    });
}

pub(crate) fn two_hundred_attach_and_detach_at_once(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/16 --subnet fd00:9::/64");
    w.host().shell(&format!("for n in $(seq 0 {}); do ip netns add c$n; done", MANY - 1));
    let api = w.api();
    at_once(|n| {
        let netns = Netns { fd: None, path: Some(format!("/run/netns/c{n}")) };
        let join = Join { network: "front".into(), ..Join::default() };
        let wish = CreateEndpoint { networks: vec![join], ..CreateEndpoint::named(format!("c{n}"), netns) };
        api.create_endpoint(&wish).unwrap_or_else(|e| panic!("attach c{n}: {e}"));
    });
    let all = api.endpoints().unwrap();
    let addresses: BTreeSet<&String> = all.iter().flat_map(|e| &e.interfaces[0].addresses).collect();
    assert_eq!((all.len(), addresses.len()), (MANY, 2 * MANY));
    for n in [0, MANY / 2, MANY - 1] {
        w.inside(&format!("c{n}")).reaches("10.9.0.1");
    }
    assert_eq!(w.host().run("ip -o link show master bl-front").lines().count(), MANY);
    w.has_no_drift();

    at_once(|n| api.remove_endpoint(&format!("c{n}")).unwrap_or_else(|e| panic!("detach c{n}: {e}")));
    eventually("every port is gone", || {
        let left = w.host().run("ip -o link show master bl-front").lines().count();
        only_if(left == 0, left)
    });
    eventually("every address is free", || {
        let used: Vec<u64> = api.network("front").unwrap().subnets.iter().map(|s| s.used).collect();
        only_if(used == [1, 1], used)
    });
    w.host().shell(&format!("for n in $(seq 0 {}); do ip netns del c$n; done", MANY - 1));
}

pub(crate) fn networks_come_and_go_at_once(w: &World) {
    let api = w.api();
    thread::scope(|scope| {
        for client in 0..8 {
            let api = &api;
            scope.spawn(move || {
                for round in 0..3 {
                    let name = format!("n{client}-{round}");
                    let wish = bowline_api::v1::CreateNetwork::named(&name);
                    api.create_network(&wish).unwrap_or_else(|e| panic!("create {name}: {e}"));
                    api.remove_network(&name).unwrap_or_else(|e| panic!("remove {name}: {e}"));
                }
            });
        }
    });
    assert_eq!(w.host().table(), None);
}

/// A second daemon in the same machine, run to its end.
fn another(w: &World, args: &str) -> Said {
    let line = format!("timeout 20 {BINARY} daemon {args}");
    w.host().tries(&line)
}

pub(crate) fn a_second_daemon_is_refused(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    let web = w.attach("web", "front", "");
    let before = (w.host().run("ip -o addr"), w.host().run("nft list ruleset"));
    another(w, "").refused("BWL-3003", 4);
    another(w, "--run-dir /run/two --state-dir /run/two").refused("BWL-3003", 4);
    another(w, "--socket /run/two.sock").refused("BWL-3003", 4);
    assert_eq!((w.host().run("ip -o addr"), w.host().run("nft list ruleset")), before);
    web.reaches("10.9.0.1");
    w.bowline("network ls");
    w.host().run("rm -rf /run/two");
}

/// Its own socket and directories, but the same namespace: two hands on one table.
pub(crate) fn a_second_daemon_of_the_same_namespace_changes_nothing(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    let web = w.attach("web", "front", "");
    let before = (w.host().run("ip -o addr"), w.host().run("nft list ruleset"));
    let said = another(w, "--socket /run/two/bowline.sock --run-dir /run/two --state-dir /run/two");
    assert_eq!((w.host().run("ip -o addr"), w.host().run("nft list ruleset")), before);
    said.refused("BWL-3003", 4);
    web.reaches("10.9.0.1");
    w.has_no_drift();
    w.host().run("rm -rf /run/two");
}

pub(crate) fn two_daemons_in_two_namespaces(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    let web = w.attach("web", "front", "");
    let two = w.container("two");
    two.run("ip link set lo up");
    let own = "--socket /run/two/s --run-dir /run/two --state-dir /run/two";
    let mut second = two.starts(&format!("{BINARY} daemon {own} --log error"));
    let at = "--socket /run/two/s";
    eventually("the second answers", || {
        let said = w.machine.path("/run/two/s").exists();
        only_if(said, "no socket")
    });
    w.bowline(&format!("{at} network create front --subnet 10.9.0.0/24"));
    w.container("db");
    w.bowline(&format!("{at} endpoint create db --netns db --network front"));
    assert_eq!(w.inside("db").addresses("eth0"), ["10.9.0.2/24"], "each counts for itself");
    w.inside("db").reaches("10.9.0.1");
    web.reaches("10.9.0.1");
    assert!(two.link("bl-front").is_some());
    w.has_no_drift();
    w.bowline(&format!("{at} system drift"));

    w.bowline(&format!("{at} endpoint rm db"));
    w.bowline(&format!("{at} network rm front"));
    assert!(second.still_runs());
    second.signal("TERM");
    second.ends().well();
    assert_eq!(two.table(), None);
    web.reaches("10.9.0.1");
    w.host().run("rm -rf /run/two");
}

/// The kernel numbers a bridge's ports with ten bits.
pub(crate) fn a_full_bridge_is_named(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/16");
    w.container("one");
    w.container("two");
    w.host().shell(
        "for n in $(seq 1022); do
             echo link add f$n group 77 type veth peer name g$n group 77
             echo link set f$n master bl-front
         done | ip -batch -",
    );
    w.bowline("endpoint create one --netns one --network front");
    w.inside("one").reaches("10.9.0.1");
    w.tries("endpoint create two --netns two --network front").refused("BWL-1211", 1).naming(&["front"]);
    assert!(w.inside("two").link("eth0").is_none());
    assert_eq!(w.api().network("front").unwrap().subnets[0].used, 2);
    w.host().run("ip link del group 77");
    w.bowline("endpoint create two --netns two --network front");
    w.inside("two").reaches("10.9.0.1");
}

pub(crate) fn only_its_socket_is_open_to_others(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    w.attach("web", "front", "");
    let all = w.host().run("ss -lntuxwH");
    // The keeper is the daemon's own affair: whoever is not root cannot call it.
    let known = ["/run/bowline/bowline", "/run/bowline/keeper"];
    let listening: Vec<&str> =
        all.lines().filter(|line| !known.iter().any(|path| line.contains(path))).collect();
    assert_eq!(listening, [""; 0]);
    let files = "/run/bowline/bowline.sock /run/bowline/keeper.sock /run/bowline/run.redb /run/bowline/asked /var/lib/bowline /var/lib/bowline/state.redb";
    let modes = w.host().run(&format!("stat -c %a:%U {files}"));
    let modes: Vec<_> = modes.lines().collect();
    assert_eq!(modes, ["660:root", "600:root", "600:root", "600:root", "700:root", "600:root"]);
}

/// The first address inside each of the containers c0, c1…; empty where there is none.
fn cards(w: &World, many: usize) -> BTreeMap<String, String> {
    let look = format!(
        "for n in $(seq 0 {}); do echo c$n $(ip -n c$n -o -4 addr show dev eth0 2>/dev/null | awk '{{print $4}}'); done",
        many - 1
    );
    let pair =
        |line: &str| line.split_once(' ').map_or((line.into(), String::new()), |(n, a)| (n.into(), a.into()));
    w.host().shell(&look).lines().map(|line| pair(line.trim())).collect()
}

pub(crate) fn a_crash_in_the_middle_of_many(w: &World) {
    const MANY: usize = 64;
    w.bowline("network create front --subnet 10.9.0.0/24");
    w.host().shell(&format!("for n in $(seq 0 {}); do ip netns add c$n; done", MANY - 1));
    let api = w.api();
    let answered = Mutex::new(BTreeMap::new());
    let until_half = |act: &(dyn Fn(usize) -> bool + Sync)| {
        thread::scope(|scope| {
            for client in 0..8 {
                scope.spawn(move || (client..MANY).step_by(8).take_while(|&n| act(n)).count());
            }
            eventually("a third of it is done", || {
                let done = answered.lock().unwrap().len();
                only_if(done > MANY / 3, done)
            });
            w.kill();
        });
        w.start();
        w.has_no_drift();
    };

    until_half(&|n| {
        let netns = Netns { fd: None, path: Some(format!("/run/netns/c{n}")) };
        let networks = vec![Join { network: "front".into(), ..Join::default() }];
        let name = format!("c{n}");
        let wish = CreateEndpoint { networks, ..CreateEndpoint::named(name, netns) };
        let made = api.create_endpoint(&wish);
        made.map(|e| answered.lock().unwrap().insert(e.name, e.interfaces[0].addresses[0].clone())).is_ok()
    });
    let promised = std::mem::take(&mut *answered.lock().unwrap());
    let known: BTreeMap<String, String> = api
        .endpoints()
        .unwrap()
        .into_iter()
        .map(|e| (e.name, e.interfaces[0].addresses[0].clone()))
        .collect();
    for (name, address) in &promised {
        assert_eq!(known.get(name), Some(address), "{name} was answered for");
    }
    eventually("inside is what the daemon says", || {
        let seen: BTreeMap<_, _> =
            cards(w, MANY).into_iter().filter(|(_, address)| !address.is_empty()).collect();
        only_if(seen == known, (&seen, &known))
    });

    until_half(&|n| {
        let name = format!("c{n}");
        let gone = !known.contains_key(&name) || api.remove_endpoint(&name).is_ok();
        gone && answered.lock().unwrap().insert(name, String::new()).is_none()
    });
    let left: Vec<String> = api.endpoints().unwrap().into_iter().map(|e| e.name).collect();
    for name in answered.lock().unwrap().keys() {
        assert!(!left.contains(name), "{name} was answered for as gone");
    }
    eventually("inside is what the daemon says", || {
        let cards = cards(w, MANY);
        let seen: Vec<_> =
            cards.iter().filter(|(_, address)| !address.is_empty()).map(|(name, _)| name).collect();
        only_if(seen.len() == left.len() && seen.iter().all(|name| left.contains(name)), (&seen, &left))
    });
    w.removes_everything();
    w.host().shell(&format!("for n in $(seq 0 {}); do ip netns del c$n; done", MANY - 1));
}
