//! CNI's clients at their worst: runtimes that lost what they knew, died on the way, or never were in their right mind.

use std::os::unix::process::ExitStatusExt;
use std::thread;

use serde_json::{Value, json};

use crate::world::cni::{Attachment, List, Runtime};
use crate::world::place::Place;
use crate::world::said::{Said, eventually, only_if};
use crate::world::{Snapshot, World};

/// One plugin does it all: the version that has every verb.
fn fused(subnet: &str) -> List {
    List::new("1.1.0", "apps", json!([fused_plugin(subnet)]))
}

fn fused_plugin(subnet: &str) -> Value {
    json!({"type": "bowline", "bridge": "br-apps", "capabilities": {"portMappings": true, "ips": true},
           "ipam": {"type": "host-local", "ranges": [[{"subnet": subnet}]]}})
}

#[track_caller]
fn well<T>(what: &str, answer: Result<T, impl std::fmt::Display>) -> T {
    answer.unwrap_or_else(|refusal| panic!("{what}: {refusal}"))
}

#[track_caller]
fn refused<T: std::fmt::Debug>(what: &str, code: u64, answer: Result<T, crate::world::cni::Refusal>) -> Said {
    let refusal = answer.expect_err(what);
    assert_eq!(refusal.code, code, "{what}: {refusal}");
    assert_eq!(refusal.said.code, 1, "{what}: {refusal}");
    refusal.said
}

/// Web's attachment, with a port.
fn web(w: &World) -> (Place<'_>, Attachment) {
    (w.container("web"), Attachment::of("web").publishes(&[(8080, 80, "tcp")]))
}

#[track_caller]
fn nobody_is_left(w: &World) {
    eventually("no endpoint is left", || {
        let left = w.api().endpoints().map_err(|e| e.to_string())?;
        only_if(left.is_empty(), left)
    });
    eventually("no port is left", || {
        let left = w.host().run("ip -o link show type veth");
        only_if(!left.contains("br-apps"), left)
    });
    w.has_no_drift();
}

pub(crate) fn blind_and_repeated_deletes_succeed(w: &World) {
    let (runtime, list) = (Runtime::ours(w), fused("10.40.0.0/24"));
    let (_web, at) = web(w);
    well("before any ADD", runtime.del(&list, &at));
    let db = w.container("db");
    let db_at = Attachment::of("db");
    well("add db", runtime.add(&list, &db_at));
    w.host().shell(
        "echo text > /mnt/file; mkdir -p /mnt/dir; sleep 0 & p=$!; wait; ln -s /proc/$p/ns/net /mnt/dead",
    );
    for path in
        ["", "/mnt/file", "/mnt/dir", "/mnt/dead", "/run/netns/never", "/run/netns/db", "/proc/1/ns/net"]
    {
        well("add", runtime.add(&list, &at));
        runtime.forgets();
        let mut blind = at.clone().netns(path);
        blind.capabilities = json!({});
        well(path, runtime.del(&list, &blind));
        well(path, runtime.del(&list, &blind));
        eventually("its end in the container is gone", || {
            only_if(w.inside("web").link("eth0").is_none(), path)
        });
        db.reaches("10.40.0.1");
    }
    well("del db", runtime.del(&list, &db_at));
    nobody_is_left(w);
}

pub(crate) fn nothing_of_an_earlier_boot_is_in_the_way(w: &World) {
    let (runtime, list) = (Runtime::ours(w), fused("10.41.0.0/24"));
    let (_web, at) = web(w);
    let at = at.has("ips", json!(["10.41.0.9/24"]));
    well("add", runtime.add(&list, &at));
    crate::scenarios::remember::reboots(w);
    w.start();
    // The runtime has a new container, and asks for what the old one had; of the old one it says so later, or never.
    w.host().run("ip netns add new");
    let new = Attachment { container: "id-new".into(), netns: "/run/netns/new".into(), ..at.clone() };
    let result = well("add after the boot", runtime.add(&list, &new));
    assert_eq!(result["ips"][0]["address"], "10.41.0.9/24");
    runtime.forgets();
    well("del of the old", runtime.del(&list, &at.netns("")));
    w.inside("new").reaches("10.41.0.1");
    well("del of the new", runtime.del(&list, &new));
    nobody_is_left(w);
    w.host().run("ip netns del new");
    // FIXME: what was written below /etc/netns for a namespace of an earlier boot stays, if no container has its name again.
    w.host().run("rm -r /etc/netns/web");
    crate::scenarios::remember::wakes_up(w);
}

pub(crate) fn a_refused_duplicate_and_its_cleanup_spare_the_first(w: &World) {
    let (runtime, list) = (Runtime::ours(w), fused("10.42.0.0/24"));
    let (web, at) = web(w);
    let first = well("add", runtime.add(&list, &at));
    let _server = web.serves(80);
    w.outside().fetches("192.0.2.1", 8080);
    let before = Snapshot::of(w);
    refused("the same again", 106, runtime.add(&list, &at));
    well("its cleanup", runtime.del(&list, &at));
    w.is_still(&before);
    w.outside().fetches("192.0.2.1", 8080);
    assert_eq!(w.api().endpoints().unwrap().len(), 1);
    well("the real one", runtime.del(&list, &at));
    nobody_is_left(w);
    let again = well("add", runtime.add(&list, &at));
    assert_eq!(again["interfaces"][2]["name"], first["interfaces"][2]["name"]);
    well("del", runtime.del(&list, &at));
    nobody_is_left(w);
}

pub(crate) fn two_attachments_of_a_container_are_independent(w: &World) {
    let (runtime, list) = (Runtime::ours(w), fused("10.43.0.0/24"));
    let (web, one) = web(w);
    let two = Attachment::of("web").ifname("eth1").publishes(&[(8081, 81, "tcp")]);
    well("eth0", runtime.add(&list, &one));
    well("eth1", runtime.add(&list, &two));
    let (_one, _two) = (web.serves(80), web.serves(81));
    w.outside().fetches("192.0.2.1", 8080);
    w.outside().fetches("192.0.2.1", 8081);
    well("check eth0", runtime.check(&list, &one));
    well("check eth1", runtime.check(&list, &two));
    well("del eth1", runtime.del(&list, &two));
    eventually("eth1 is gone", || only_if(web.link("eth1").is_none(), "it is there"));
    w.outside().does_not_fetch("192.0.2.1", 8081);
    w.outside().fetches("192.0.2.1", 8080);
    well("check eth0", runtime.check(&list, &one));
    web.reaches("192.0.2.2");
    well("del eth0", runtime.del(&list, &one));
    nobody_is_left(w);
}

/// The daemon is held at the moment of the death, so that the answer finds nobody.
pub(crate) fn a_caller_that_dies_before_the_answer_leaves_nothing(w: &World) {
    let (runtime, list) = (Runtime::ours(w), fused("10.44.0.0/24"));
    let (_web, at) = web(w);
    let config = list.plain(&list.plugins()[0]).to_string();
    w.frozen(|| {
        let mut caller = runtime.call("ADD", "bowline", &at).starts(&config);
        let pid = eventually("it is connected", || {
            let all = w.machine.processes();
            let pid = all
                .iter()
                .find_map(|line| line.split_once(" (bowline) /mnt/cni/bowline")?.0.parse::<u32>().ok());
            let pid = pid.ok_or_else(|| format!("{all:?}"))?;
            let files = w.host().tries(&format!("ls -l /proc/{pid}/fd")).out;
            only_if(files.contains("socket:"), files).map(|()| pid)
        });
        w.host().run(&format!("kill -KILL {pid}"));
        let end = caller.wait().expect("wait for the caller");
        assert!(!end.success() || end.signal().is_some(), "it answered: {end}");
    });
    // What comes after it in the daemon's queue is answered when it is known of.
    w.has_no_drift();
    nobody_is_left(w);
    assert_eq!(w.inside("web").link("eth0"), None);
    well("the container is as good as new", runtime.add(&list, &at));
    well("del", runtime.del(&list, &at));
    nobody_is_left(w);
}

/// Whenever it is killed: its runtime's DEL, or before that the daemon, takes away what there is.
pub(crate) fn a_caller_that_is_killed_at_any_time_leaves_nothing(w: &World) {
    let (runtime, list) = (Runtime::ours(w), fused("10.45.0.0/24"));
    let (_web, at) = web(w);
    let config = list.plain(&list.plugins()[0]).to_string();
    let mut killed = 0;
    for ms in [1, 2, 3, 4, 6, 8, 10, 13, 16, 20, 25, 32, 40, 60, 90] {
        let said = runtime.cut_short(ms, "ADD", "bowline", &at).with(&config);
        killed += u32::from(said.code == 137);
        assert!(matches!(said.code, 0 | 137), "after {ms} ms: {said}");
        well("del", runtime.del(&list, &at));
        nobody_is_left(w);
        assert_eq!(w.inside("web").link("eth0"), None, "after {ms} ms");
    }
    assert!(killed > 0, "none of them was killed in time");
}

pub(crate) fn without_a_daemon(w: &World) {
    let (runtime, list) = (Runtime::ours(w), fused("10.46.0.0/24"));
    let (_web, at) = web(w);
    well("add", runtime.add(&list, &at));
    well("status", runtime.status(&list));
    w.stop();
    let db = Attachment::of("db");
    w.container("db");
    refused("ADD may be tried again", 11, runtime.add(&list, &db));
    refused("STATUS", 50, runtime.status(&list));
    runtime.validates(&list);
    well("DEL is remembered", runtime.del(&list, &at));
    well("and again", runtime.del(&list, &at));
    assert!(w.inside("web").link("eth0").is_some(), "nobody is there to take it away");
    w.start();
    nobody_is_left(w);
    assert_eq!(w.host().shell("ls /var/lib/bowline/spool 2>/dev/null || true").trim(), "");
    // What has the same key since then is another, and stays.
    well("add", runtime.add(&list, &at));
    w.restart();
    well("check", runtime.check(&list, &at));
    well("del", runtime.del(&list, &at));
    nobody_is_left(w);
    w.host().shell("rmdir /var/lib/bowline/spool 2>/dev/null || true");
}

pub(crate) fn a_daemon_that_dies_at_every_call_of_add(w: &World) {
    let (runtime, list) = (Runtime::ours(w), fused("10.47.0.0/24"));
    let (_web, at) = web(w);
    // The network stays, and its making is another story.
    well("add", runtime.add(&list, &at));
    well("del", runtime.del(&list, &at));
    nobody_is_left(w);
    w.stop();
    let mut deaths = 0;
    for call in 1..100 {
        let starts = w.start_with(&["--kill-at-call", &call.to_string()]);
        let answer = starts.is_ok().then(|| runtime.add(&list, &at));
        let survived = w.daemon_runs();
        if survived {
            w.kill();
        } else {
            deaths += 1;
            w.bury_daemon();
        }
        w.start();
        let answered = matches!(answer, Some(Ok(_)));
        match answer {
            Some(Ok(_)) => well("what was answered holds", runtime.check(&list, &at)),
            Some(Err(refusal)) => assert_eq!(refusal.code, 11, "at call {call}: {refusal}"),
            None => (),
        }
        well("del", runtime.del(&list, &at.clone().netns("")));
        nobody_is_left(w);
        assert_eq!(w.inside("web").link("eth0"), None, "after a death at call {call}");
        w.stop();
        if survived && answered {
            break;
        }
    }
    assert!(deaths > 5, "{deaths} deaths are too few to be all calls of an ADD");
    w.start();
}

pub(crate) fn only_a_list_says_who_is_valid(w: &World) {
    let (runtime, list) = (Runtime::ours(w), fused("10.48.0.0/24"));
    for name in ["a", "b", "c"] {
        w.container(name);
        well("add", runtime.add(&list, &Attachment::of(name)));
    }
    // Somebody else's, on the same network and on another.
    w.attach("other", "apps", "");
    w.bowline("network create front --subnet 10.9.0.0/24");
    w.attach("docker", "front", "");
    runtime.forgets();
    let names = || w.api().endpoints().unwrap().len();
    assert!(runtime.tells_valid(&list, None).is_empty());
    assert_eq!(names(), 5, "no list says nothing");
    assert!(runtime.gc(&list, &[&Attachment::of("a"), &Attachment::of("b")]).is_empty());
    eventually("one is gone", || only_if(names() == 4, names()));
    assert_eq!(w.inside("c").link("eth0"), None);
    w.inside("a").reaches("10.48.0.1");
    assert!(runtime.gc(&list, &[]).is_empty());
    eventually("an empty list leaves others' only", || only_if(names() == 2, names()));
    w.inside("other").reaches("10.48.0.1");
    w.inside("docker").reaches("10.9.0.1");
}

pub(crate) fn a_full_pool_is_no_fault_of_the_network(w: &World) {
    let (runtime, list) = (Runtime::ours(w), fused("10.49.0.0/30"));
    let [_one, _two] = ["one", "two"].map(|name| w.container(name));
    well("add", runtime.add(&list, &Attachment::of("one")));
    let said = refused("there is no second address", 101, runtime.add(&list, &Attachment::of("two")));
    assert!(said.out.contains("10.49.0.0/30"), "{said}");
    well("status", runtime.status(&list));
    well("its cleanup", runtime.del(&list, &Attachment::of("two")));
    w.inside("one").reaches("10.49.0.1");
    // A port that another has is said too, and nothing is kept of the attempt.
    let list = List::new(
        "1.1.0",
        "more",
        json!([{"type": "bowline", "bridge": "br-more", "capabilities": {"portMappings": true},
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.49.1.0/24"}]]}}]),
    );
    let [_three, _four] = ["three", "four"].map(|name| w.container(name));
    let with_port = |name: &str| Attachment::of(name).publishes(&[(8080, 80, "tcp")]);
    well("add", runtime.add(&list, &with_port("three")));
    refused("the port is taken", 103, runtime.add(&list, &with_port("four")));
    assert_eq!(w.inside("four").link("eth0"), None);
    for (list, name) in [(fused("10.49.0.0/30"), "one"), (list, "three")] {
        well("del", runtime.del(&list, &Attachment::of(name)));
    }
    nobody_is_left(w);
}

pub(crate) fn a_hundred_add_at_once(w: &World) {
    const MANY: u16 = 100;
    let list = fused("10.50.0.0/24");
    Runtime::ours(w);
    let names: Vec<String> = (0..MANY).map(|n| format!("c{n}")).collect();
    for name in &names {
        w.host().run(&format!("ip netns add {name}"));
    }
    let at = |n: u16| Attachment::of(&names[usize::from(n)]).publishes(&[(9000 + n, 80, "tcp")]);
    let config = list.plain(&list.plugins()[0]);
    let calls = |verb: &'static str| -> Vec<Said> {
        let start = |n: u16| {
            let mut config = config.clone();
            config["runtimeConfig"] = at(n).capabilities;
            (Runtime::ours(w).call(verb, "bowline", &at(n)), config.to_string())
        };
        let all: Vec<_> = (0..MANY).map(start).collect();
        thread::scope(|scope| {
            let all: Vec<_> =
                all.into_iter().map(|(call, config)| scope.spawn(move || call.with(config))).collect();
            all.into_iter().map(|call| call.join().expect("a call does not panic").well()).collect()
        })
    };
    let mut addresses: Vec<String> =
        calls("ADD").iter().map(|said| said.json()["ips"][0]["address"].to_string()).collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), usize::from(MANY), "everybody has an address of his own");
    w.inside("c7").reaches("10.50.0.1");
    w.has_no_drift();
    calls("DEL");
    nobody_is_left(w);
    for name in &names {
        w.host().run(&format!("ip netns del {name}"));
    }
}

/// The right number, one document, and the host as it was.
pub(crate) fn nonsense_is_refused_and_changes_nothing(w: &World) {
    let (runtime, list) = (Runtime::ours(w), fused("10.51.0.0/24"));
    let (_web, at) = web(w);
    well("add", runtime.add(&list, &at));
    well("del", runtime.del(&list, &at));
    nobody_is_left(w);
    // FIXME: with a configuration that describes another network, and is refused, one that is there and empty goes away.
    w.bowline("network rm apps");
    w.host().shell("echo text > /mnt/file; mkdir -p /mnt/dir; mkfifo /mnt/fifo");
    let before = Snapshot::of(w);
    let plain = list.plain(&list.plugins()[0]);
    let whole = plain.to_string();
    let with = |key: &str, value: Value| {
        let mut config = plain.clone();
        config[key] = value;
        config.to_string()
    };
    let check = |what: &str, codes: &[u64], said: Said| {
        let error: Value = serde_json::from_str(&said.out)
            .unwrap_or_else(|e| panic!("{what}: no one document ({e}): {:.300}", said.out));
        let code = error["code"].as_u64().unwrap_or_default();
        assert!(
            said.code == 1 && codes.contains(&code),
            "{what}: wanted {codes:?} of {:.600}",
            said.to_string()
        );
        assert!(
            error["msg"].as_str().is_some_and(|msg| !msg.is_empty() && msg.len() < 1000),
            "{what}: {:.600}",
            said.out
        );
        assert!(!said.err.contains("panicked"), "{what}: {:.600}", said.err);
    };
    let reads = |what: &str, codes: &[u64], config: &[u8]| {
        check(what, codes, runtime.call("ADD", "bowline", &at).with(config));
    };
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    reads("nothing", &[6], b"");
    reads("no JSON", &[6], b"{\"name\": ");
    reads("no object", &[6], b"[]");
    reads("two documents", &[6], format!("{whole}{whole}").as_bytes());
    reads("NUL", &[6], &[whole.as_bytes(), b"\0"].concat());
    reads("no UTF-8", &[6], b"{\"name\": \"\xff\xfe\"}");
    reads("10 MiB", &[6], with("more", "x".repeat(10 << 20).into()).as_bytes());
    reads("deep", &[6], with("more", json!("DEEP")).replace("\"DEEP\"", &deep).as_bytes());
    let twice = with("sysctl", json!({"net.ipv4.conf.eth0.arp_filter": "1", "SECOND": "0"}));
    reads("a setting twice", &[6, 7], twice.replace("SECOND", "net.ipv4.conf.eth0.arp_filter").as_bytes());
    for name in [json!("../b"), json!("a/b"), json!(""), json!("a\nb"), json!("a\u{0}b"), Value::Null] {
        reads(&format!("name {name}"), &[7], with("name", name).as_bytes());
    }
    for wrong in [json!(1), json!([]), json!({})] {
        reads(&format!("name {wrong}"), &[6], with("name", wrong.clone()).as_bytes());
        reads(&format!("bridge {wrong}"), &[6], with("bridge", wrong.clone()).as_bytes());
    }
    for (key, value) in [
        ("ipam", json!(1)),
        ("mtu", json!({})),
        ("runtimeConfig", json!([])),
        ("dns", json!("x")),
        ("isGateway", json!("yes")),
    ] {
        reads(&format!("{key} {value}"), &[6], with(key, value).as_bytes());
    }
    for version in ["2.0.0", "1.0", "x", "99999999999999999999.0.0"] {
        reads(version, &[1], with("cniVersion", version.into()).as_bytes());
    }
    for bridge in ["../../etc", "sixteen-bytes-xx", "a b", "br\n", ".."] {
        reads(&format!("bridge {bridge:?}"), &[7, 4], with("bridge", bridge.into()).as_bytes());
    }
    for kind in ["../bowline", "/bin/sh", "no-such-plugin", "host-local\n", ""] {
        let ipam = json!({"type": kind, "ranges": [[{"subnet": "10.51.0.0/24"}]]});
        reads(&format!("ipam {kind:?}"), &[7, 2], with("ipam", ipam).as_bytes());
    }
    for subnet in ["10.51.0.0/33", "10.51.0.5/24", "x", "", "10.51.0.0", "::/0/0"] {
        let ipam = json!({"type": "host-local", "ranges": [[{"subnet": subnet}]]});
        reads(&format!("subnet {subnet:?}"), &[7], with("ipam", ipam).as_bytes());
    }
    for port in [
        json!({"hostPort": 0, "containerPort": 80}),
        json!({"hostPort": 70000, "containerPort": 80}),
        json!({"hostPort": -1, "containerPort": 80}),
        json!({"hostPort": 80, "containerPort": 80, "hostIP": "junk"}),
        json!({"hostPort": 80, "containerPort": 80, "protocol": "tcp; drop"}),
        json!(7),
    ] {
        let runtime = json!({"portMappings": [port]});
        reads(&format!("port {runtime}"), &[6, 7], with("runtimeConfig", runtime).as_bytes());
    }
    for sysctl in ["kernel.hostname", "net/../kernel/hostname", "net.ipv4.conf.eth0.arp_filter\n"] {
        reads(sysctl, &[7], with("sysctl", json!({sysctl: "1"})).as_bytes());
    }

    for (path, what) in [
        ("/mnt/file", "a file"),
        ("/mnt/dir", "a directory"),
        ("/mnt/fifo", "a pipe"),
        ("/dev/null", "a device"),
        ("/proc/self/ns/mnt", "of another kind"),
        ("/proc/1/ns/net", "the host's own"),
        ("/run/netns/never", "nothing"),
        ("relative", "relative"),
        ("/run/netns/../../etc/passwd", "roundabout"),
    ] {
        check(what, &[8], runtime.call("ADD", "bowline", &at.clone().netns(path)).with(&whole));
    }
    let own = at.clone().netns("/proc/1/ns/net");
    check(
        "whatever is overridden",
        &[8],
        runtime.call("ADD", "bowline", &own).env("CNI_NETNS_OVERRIDE", "1").with(&whole),
    );
    let long = "x".repeat(100_000);
    for (name, value) in [
        ("CNI_COMMAND", "add"),
        ("CNI_CONTAINERID", "../x"),
        ("CNI_CONTAINERID", ""),
        ("CNI_CONTAINERID", long.as_str()),
        ("CNI_IFNAME", "a/b"),
        ("CNI_IFNAME", "."),
        ("CNI_IFNAME", "sixteen-bytes-xx"),
        ("CNI_IFNAME", "a b"),
        ("CNI_NETNS", ""),
    ] {
        check(name, &[4], runtime.call("ADD", "bowline", &at).env(name, value).with(&whole));
    }
    for verb in ["ADD", "CHECK"] {
        let call = runtime
            .call(verb, "bowline", &at)
            .without("CNI_CONTAINERID")
            .without("CNI_NETNS")
            .without("CNI_IFNAME");
        let said = call.with(&whole);
        assert!(said.out.contains("CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME"), "{said}");
        check(verb, &[4], said);
    }
    w.is_still(&before);
    let about = runtime.call("ADD", "firewall", &at).without("CNI_COMMAND").with("").well();
    assert!(about.out.is_empty() && about.err.starts_with("CNI firewall plugin v"), "{about}");
    assert_eq!(w.api().endpoints().unwrap(), []);
}
