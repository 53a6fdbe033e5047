//! `bowline run`: commands in namespaces of their own, from their start to the last trace of them.

use crate::world::World;
use crate::world::daemon::BINARY;
use crate::world::said::{assert_same, eventually, only_if};

fn front(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24 --subnet fd00:9::/64");
}

/// Nothing runs, and nothing that ran is remembered.
fn nothing_is_left(w: &World) {
    eventually("nothing is left of what ran", || {
        let all = w.api().endpoints().unwrap();
        let names = w.host().run("ip netns list");
        let listed = w.bowline("ps -a -q").out;
        only_if(all.is_empty() && names.lines().count() == 1 && listed.is_empty(), (all, names, listed))
    });
}

pub(crate) fn the_exit_code_is_the_commands_own(w: &World) {
    front(w);
    let run = |command: &[&str]| w.calls(&[&["run", "--network", "front", "--"], command].concat());
    assert_eq!(run(&["true"]).code, 0);
    assert_eq!(run(&["sh", "-c", "exit 7"]).code, 7);
    assert_eq!(run(&["sh", "-c", "kill -9 $$"]).code, 137);
    assert_eq!(run(&["/no/such/command"]).code, 127);
    assert_eq!(run(&["/etc/passwd"]).code, 126);
    assert_eq!(w.calls(&["run", "--network", "nowhere", "--", "true"]).code, 125);
    let said = run(&["sh", "-c", "echo out; echo err >&2; ip -o -4 addr show dev eth0"]).well();
    assert!(said.out.starts_with("out\n") && said.out.contains("10.9.0."), "{said}");
    assert_eq!(said.err, "err\n");
    nothing_is_left(w);
}

pub(crate) fn a_life_in_the_background(w: &World) {
    front(w);
    let script = "echo hello; echo trouble >&2; exec sleep 1000";
    let said =
        w.calls(&["run", "-d", "--name", "web", "--network", "front:ip=10.9.0.50", "--", "sh", "-c", script]);
    assert_eq!(said.well().out, "web\n");
    let web = w.inside("web");
    assert_eq!(web.addresses("eth0")[0], "10.9.0.50/24");
    w.host().reaches("10.9.0.50");

    let row = w.bowline("ps --json").json();
    assert_eq!((row[0]["name"].as_str(), row[0]["state"].as_str()), (Some("web"), Some("running")), "{row}");
    eventually("its words are in the log", || {
        let log = w.bowline("logs web").out;
        only_if(log == "hello\ntrouble\n", log)
    });
    assert_eq!(w.bowline("exec web cat /sys/class/net/eth0/operstate").out, "up\n");
    assert_eq!(w.calls(&["exec", "web", "sh", "-c", "exit 9"]).code, 9);
    w.tries("run -d --name web --network front -- true").naming(&["BWL-1204"]);
    w.tries("rm web").refused("BWL-1305", 4);

    w.bowline("stop -t 5 web");
    assert_eq!(w.bowline("wait web").out.trim(), "143");
    let row = w.bowline("ps -a --json").json();
    assert_eq!(row[0]["state"], "exited", "{row}");
    assert!(w.bowline("logs web").out.contains("hello"), "the log outlives it");
    w.tries("exec web true").naming(&["BWL-1304"]);
    w.bowline("rm web");
    w.tries("logs web").refused("BWL-1202", 3);
    nothing_is_left(w);
}

pub(crate) fn signals_reach_the_command(w: &World) {
    front(w);
    let script =
        "trap 'echo caught; exit 3' TERM; trap 'echo more' HUP; echo up; while :; do sleep 0.05; done";
    let mut command = w.host().command(BINARY);
    command.args(["run", "--network", "front", "--", "sh", "-c", script]);
    let mut run = crate::world::background::Background::start("run".into(), &mut command);
    run.wait_for_line("up");
    run.signal("HUP");
    run.wait_for_line("more");
    run.signal("TERM");
    let said = run.ends();
    assert_eq!(said.code, 3, "{said}");
    assert!(said.out.contains("caught"), "{said}");

    w.calls(&["run", "-d", "--name", "web", "--network", "front", "--", "sh", "-c", script]).well();
    eventually("it is up", || only_if(w.bowline("logs web").out == "up\n", "silence"));
    w.bowline("kill -s HUP web");
    eventually("it heard", || {
        let log = w.bowline("logs web").out;
        only_if(log.contains("more"), log)
    });
    w.bowline("kill web");
    assert_eq!(w.bowline("wait web").out.trim(), "137");
    w.bowline("rm web");
    nothing_is_left(w);
}

pub(crate) fn the_daemons_crash_is_not_its_own(w: &World) {
    front(w);
    w.bowline("run -d --name web --network front -- sleep 1000");
    w.bowline("run -d --name db --network front -- sleep 1000");
    let web = w.inside("web");
    let before = (w.bowline("ps -q").out, web.run("ip -o addr"));
    w.kill();
    web.reaches("10.9.0.3");
    assert_eq!(w.bowline("exec web hostname").out, "web\n", "no daemon is needed for that");
    // One that ends while there is no daemon.
    w.bowline("kill db");
    w.start();
    eventually("the one that ended is released", || {
        let all = w.api().endpoints().unwrap();
        let connected: Vec<_> = all.iter().filter(|e| !e.interfaces.is_empty()).map(|e| &e.name).collect();
        let ports = w.host().run("ip -o link show master bl-front").lines().count();
        only_if(connected == ["web"] && ports == 1, (connected, ports))
    });
    assert_eq!(before.1, web.run("ip -o addr"));
    web.reaches("10.9.0.1");
    w.has_no_drift();
    w.bowline("rm -f web db");
    nothing_is_left(w);
}

pub(crate) fn ip_netns_exec_is_at_home_there(w: &World) {
    front(w);
    w.bowline("run -d --name web --network front --dns 10.9.0.1 --add-host db:10.9.0.7 -- sleep 1000");
    let exec = |line: &str| w.host().run(&format!("ip netns exec web {line}"));
    assert!(exec("ip -o addr").contains("10.9.0.2/24"));
    assert_eq!(exec("cat /etc/resolv.conf").lines().next(), Some("nameserver 127.0.0.11"));
    assert!(exec("getent hosts db").starts_with("10.9.0.7"));
    w.bowline("rm -f web");
    nothing_is_left(w);
}

pub(crate) fn it_has_a_name_and_files_of_its_own(w: &World) {
    front(w);
    let files = "cat /etc/hosts /etc/hostname /etc/resolv.conf; hostname";
    let before = w.host().shell(files);
    let script = "hostname; cat /etc/hostname; cat /etc/resolv.conf; getent ahosts web; getent hosts db; ip -o link show lo";
    let said = w.calls(&[
        "run",
        "--name",
        "web",
        "--hostname",
        "web.example",
        "--network",
        "front:ip=10.9.0.9,alias=api",
        "--dns",
        "10.9.0.1",
        "--add-host",
        "db:10.9.0.7",
        "--",
        "sh",
        "-c",
        script,
    ]);
    let said = said.well();
    for part in ["web.example\nweb.example\nnameserver 127.0.0.11", "10.9.0.9", "10.9.0.7", "LOOPBACK,UP"] {
        assert!(said.out.contains(part), "wanted {part:?} of {said}");
    }
    assert_same("the host's own files", &before, &w.host().shell(files));
    nothing_is_left(w);
}

pub(crate) fn none_and_host_are_networks_too(w: &World) {
    let links = |network: &str| w.bowline(&format!("run --network {network} -- ip -o link show")).out;
    let none = links("none");
    assert!(none.lines().count() == 1 && none.contains("lo:"), "{none}");
    assert!(links("host").contains("uplink"));
    assert_eq!(w.host().table(), None, "nothing is made of the host for either");
    nothing_is_left(w);
}

pub(crate) fn the_default_network_is_made_when_needed(w: &World) {
    let said = w.bowline("run -- ip -o -4 addr show dev eth0");
    assert!(said.out.contains("10.160.0.2/24"), "{said}");
    assert_eq!(w.api().network("lan").unwrap().subnets[0].cidr, "10.160.0.0/24");
    let _server = w.outside().serves(80);
    let own = std::env::current_exe().unwrap();
    let own = own.to_str().unwrap();
    let said = w.calls(&["run", "--", own, "witness", "fetch", "192.0.2.2", "80", "5000"]).well();
    assert_eq!(said.out.trim(), "192.0.2.1");
    nothing_is_left(w);
}

pub(crate) fn a_command_dies_with_its_minder(w: &World) {
    front(w);
    w.bowline("run -d --name web --network front -- sleep 12345");
    let minders =
        || w.machine.processes().into_iter().filter(|p| p.contains(" minder web")).collect::<Vec<_>>();
    let pid = minders()[0].split(' ').next().unwrap().to_string();
    w.host().run(&format!("kill -9 {pid}"));
    eventually("the command is gone", || {
        let left: Vec<_> = w.machine.processes().into_iter().filter(|p| p.contains("12345")).collect();
        only_if(left.is_empty(), left)
    });
    let row = w.bowline("ps -a --json").json();
    assert_eq!(row[0]["state"], "dead", "{row}");
    w.bowline("rm web");
    nothing_is_left(w);
}

pub(crate) fn what_is_forgotten_leaves_nothing(w: &World) {
    front(w);
    let has_netns_etc = || w.machine.path("/etc/netns").exists();
    assert!(!has_netns_etc());
    w.bowline("run -d --rm --name web --network front -- sleep 1000");
    w.bowline("stop -t 5 web");
    nothing_is_left(w);
    // One that cannot even start.
    let said = w.calls(&["run", "-d", "--name", "web", "--network", "front", "--", "/no/such/command"]);
    assert_eq!(said.code, 127, "{said}");
    nothing_is_left(w);
    assert!(!has_netns_etc(), "an empty /etc/netns stays");
}

pub(crate) fn twenty_at_once(w: &World) {
    front(w);
    let lines: Vec<_> = (0..20)
        .map(|_| w.host().starts(&format!("{BINARY} run --network front -- ip -o -4 addr show dev eth0")))
        .collect();
    let mut addresses = std::collections::BTreeSet::new();
    for run in lines {
        let said = run.ends().well();
        let address =
            said.out.split_whitespace().find(|word| word.starts_with("10.9.0.")).map(str::to_string);
        addresses.insert(address.unwrap_or_else(|| panic!("no address in {said}")));
    }
    assert!(!addresses.is_empty());
    nothing_is_left(w);
}

pub(crate) fn the_command_inherits_nothing_but_its_streams(w: &World) {
    front(w);
    let script = "ls /proc/$$/fd; grep -E '^(SigBlk|SigIgn)' /proc/$$/status";
    let said = w.calls(&["run", "--network", "front", "--", "bash", "-c", script]).well();
    let open: Vec<&str> = said.out.lines().take_while(|line| !line.starts_with("Sig")).collect();
    assert!(open.iter().all(|fd| ["0", "1", "2", "255"].contains(fd)), "{said}");
    assert!(said.out.contains("SigBlk:\t0000000000000000"), "{said}");
    nothing_is_left(w);
}

/// A command without privilege may lay out any file tree in a namespace of its own; root does not run what is in it.
pub(crate) fn root_is_not_led_into_a_namespace_of_the_commands_making(w: &World) {
    w.calls(&[
        "run",
        "-d",
        "--name",
        "web",
        "--network",
        "none",
        "-u",
        "nobody",
        "--",
        "unshare",
        "-Urm",
        "sleep",
        "12345",
    ])
    .well();
    eventually("it has its own namespaces", || {
        let said = w.tries("exec -u root web true");
        only_if(said.err.contains("BWL-3001"), said.to_string())
    });
    w.bowline("rm -f web");
}

/// Another's namespace that took the name meanwhile is not taken away with the command.
pub(crate) fn a_strangers_namespace_of_the_same_name_is_spared(w: &World) {
    w.bowline("run -d --name web --network none -- sleep 12345");
    w.host().run("ip netns del web");
    w.host().run("ip netns add web");
    let stranger = w.host().run("stat -c %i /run/netns/web");
    w.bowline("rm -f web");
    assert_eq!(w.host().run("stat -c %i /run/netns/web"), stranger);
    w.host().run("ip netns del web");
}
