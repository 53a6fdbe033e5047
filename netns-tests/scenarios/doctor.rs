//! What `bowline doctor` says of a host, beside what others find there.

use serde_json::Value;

use crate::world::World;
use crate::world::said::{Said, assert_same};

/// Features, and the commands that show each, in a namespace that is fresh.
const WITNESSES: &[(&str, &[&str])] = &[
    ("bridge", &["ip link add x type bridge"]),
    ("veth", &["ip link add x type veth peer name y"]),
    ("macvlan", &["ip link add p type bridge", "ip link add x link p type macvlan"]),
    ("ipvlan", &["ip link add p type bridge", "ip link add x link p type ipvlan"]),
    ("vlan", &["ip link add p type bridge", "ip link add x link p type vlan id 1"]),
    ("vlan-filtering", &["ip link add x type bridge", "ip link set x type bridge vlan_filtering 1"]),
    ("vrf", &["ip link add x type vrf table 1"]),
    ("dummy", &["ip link add x type dummy"]),
    ("vxlan", &["ip link add x type vxlan id 1 dstport 4789"]),
    ("wireguard", &["ip link add x type wireguard"]),
    (
        "nft-bridge",
        &["nft add table bridge x", "nft add chain bridge x y { type filter hook prerouting priority 0; }"],
    ),
    ("tbf", &["tc qdisc add dev lo root tbf rate 1mbit burst 10kb latency 100ms"]),
];

fn report(said: &Said) -> Value {
    said.json()
}

#[track_caller]
fn checks<'v>(report: &'v Value, about: &str) -> Vec<&'v Value> {
    let all = report["checks"].as_array().unwrap();
    all.iter().filter(|check| check["about"] == about).collect()
}

#[track_caller]
fn standing<'v>(report: &'v Value, about: &str) -> &'v str {
    let found = checks(report, about);
    assert!(!found.is_empty(), "nothing is said of {about}: {report}");
    // Of several, what is not well.
    let of = |check: &'v Value| check["standing"].as_str().unwrap();
    found.iter().copied().map(of).find(|standing| *standing != "well").unwrap_or("well")
}

/// What a story's machine is: no systemd, connections few, and neighbours that only another namespace sees.
const HEALTHY: &[&str] = &[
    "version",
    "daemon",
    "privilege",
    "kernel",
    "forwarding",
    "bridges",
    "uplink",
    "names",
    "firewall",
    "state",
    "drift",
];

pub(crate) fn a_healthy_host_is_well_and_stays_as_it_is(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24 --subnet fd00:9::/64");
    w.attach("web", "front", "-p 8080:80");
    let look = "ip -d link | sed -E 's/[a-z_]+_timer +[0-9.]+//g'; nft list ruleset; sysctl -a 2>/dev/null | grep -E 'forward|bridge-nf'";
    let before = w.host().shell(look);
    let said = w.bowline("doctor");
    assert!(said.err.contains("all is well"), "{said}");
    assert_same("the host", &before, &w.host().shell(look));
    let report = report(&w.bowline("doctor --json"));
    for about in HEALTHY {
        assert_eq!(standing(&report, about), "well", "{about}: {report}");
    }
    assert_eq!(report["well"], true);
}

pub(crate) fn what_the_kernel_has_is_what_others_find(w: &World) {
    let report = report(&w.bowline("doctor --json"));
    for (feature, commands) in WITNESSES {
        w.host().run("ip netns add fresh");
        let found = commands.iter().all(|command| w.inside("fresh").tries(command).code == 0);
        w.host().run("ip netns del fresh");
        let all = report["features"].as_array().unwrap();
        let ours = all.iter().find(|one| one["feature"] == *feature).unwrap();
        assert_eq!(ours["has"], if found { "yes" } else { "no" }, "{ours}, and {commands:?}");
        assert_eq!(ours["fix"].is_string(), !found, "{ours}");
    }
}

pub(crate) fn a_firewall_that_drops_is_named_with_what_helps(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    w.host().shell(
        "nft 'add table ip mine; add chain ip mine f { type filter hook forward priority 0; policy drop; }'",
    );
    let said = w.tries("doctor");
    assert!(said.code == 7 && said.out.contains("ip mine f: drops "), "{said}");
    let report = report(&w.tries("doctor --json"));
    let found = checks(&report, "firewall");
    assert_eq!((standing(&report, "firewall"), &report["well"]), ("wrong", &Value::Bool(false)));
    for check in found {
        w.host().shell(check["fix"].as_str().unwrap());
    }
    w.bowline("doctor");
    w.host().run("nft delete table ip mine");
}

pub(crate) fn drift_and_forwarding_are_named_with_what_helps(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    let web = w.attach("web", "front", "");
    // Inside a container the daemon mends nothing by itself.
    web.run("ip link set eth0 mtu 1400");
    w.host().run("sysctl -qw net.ipv4.ip_forward=0");
    let said = w.tries("doctor --json");
    assert_eq!(said.code, 7, "{said}");
    let report = report(&said);
    assert_eq!((standing(&report, "drift"), standing(&report, "forwarding")), ("wrong", "wrong"));
    for check in [checks(&report, "forwarding"), checks(&report, "drift")].concat() {
        let fix = check["fix"].as_str().unwrap();
        match fix.strip_prefix("bowline ") {
            Some(verb) => drop(w.bowline(verb)),
            None => drop(w.host().run(fix)),
        }
    }
    let said = w.bowline("doctor");
    assert!(said.err.contains("all is well"), "{said}");
    assert_eq!(web.link("eth0").unwrap()["mtu"], w.host().link("uplink").unwrap()["mtu"]);
}

pub(crate) fn a_network_that_is_wider_than_the_uplink(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    w.host().run("ip link set uplink mtu 1400");
    let report = report(&w.bowline("doctor --json"));
    let [check] = checks(&report, "mtu")[..] else { panic!("{report}") };
    assert_eq!((check["standing"].as_str(), &report["well"]), (Some("doubtful"), &Value::Bool(true)));
    w.bowline(check["fix"].as_str().unwrap().strip_prefix("bowline ").unwrap());
    let said = w.bowline("doctor");
    assert!(said.err.contains("all is well"), "{said}");
    w.host().run("ip link set uplink mtu 1500");
}

/// Nor is one started by it.
pub(crate) fn without_a_daemon_it_looks_itself(w: &World) {
    let report = report(&w.bowline("doctor --json"));
    assert!(checks(&report, "daemon")[0]["what"].as_str().unwrap().starts_with("none runs at"), "{report}");
    for about in ["daemon", "privilege", "kernel", "uplink"] {
        assert_eq!(standing(&report, about), "well", "{about}: {report}");
    }
    assert!(checks(&report, "drift").is_empty(), "{report}");
    assert!(!w.machine.path(crate::world::SOCKET).exists());
    let has = |report: &Value| -> Vec<Value> {
        report["features"].as_array().unwrap().iter().map(|feature| feature["has"].clone()).collect()
    };
    let ours = has(&report);
    w.start();
    assert_eq!(has(&w.bowline("doctor --json").json()), ours, "the daemon finds something else");
}

/// It says what it could not see, and takes nothing of that for a no.
pub(crate) fn nobody_sees_what_nobody_may(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    let binary = crate::world::daemon::BINARY;
    let said =
        w.host().tries(&format!("setpriv --reuid 65534 --regid 65534 --clear-groups {binary} doctor --json"));
    assert_eq!(said.code, 0, "{said}");
    let report = report(&said);
    for about in ["daemon", "privilege", "kernel"] {
        assert_eq!(standing(&report, about), "unknown", "{about}: {report}");
    }
    let all = report["features"].as_array().unwrap();
    assert!(all.iter().all(|feature| feature["has"] == "unknown"), "{report}");
    assert_eq!(standing(&report, "uplink"), "well");
}
