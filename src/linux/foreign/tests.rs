//! Other firewalls in namespaces of their own, loaded by `nft` and `iptables`, which are the witnesses too.

mod bus;
mod direct;
mod docker;
mod forgets;
mod legacy;
mod others;
mod rules;
mod traffic;

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use bowline_core::Result;
use bowline_core::family::Family;
use bowline_core::firewall::Element;
use bowline_core::name::LinkName;

use super::Obstacle;
use crate::netns;

const BRIDGE: &str = "bl-a";

/// Runs a test in a namespace of its own, with a bridge and a default route by `eth0`.
fn host(test: impl FnOnce() + Send) {
    assert!(nix::unistd::geteuid().is_root(), "this test makes network namespaces: run it as root");
    let ns = netns::create().unwrap();
    netns::run(&ns, || {
        run("ip", &["link", "add", BRIDGE, "type", "bridge"]);
        run("ip", &["addr", "add", "10.9.0.1/24", "dev", BRIDGE]);
        run("ip", &["link", "add", "eth0", "type", "veth", "peer", "name", "far"]);
        run("ip", &["addr", "add", "192.0.2.2/24", "dev", "eth0"]);
        run("ip", &["link", "set", "far", "up"]);
        run("ip", &["link", "set", "eth0", "up"]);
        run("ip", &["route", "add", "default", "via", "192.0.2.1"]);
        test();
    })
    .expect("the test panicked");
}

/// Runs a program in this thread's namespace, which must succeed.
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}: {stderr}");
    stdout.into_owned()
}

/// Loads rules in the language of `nft`.
fn load(rules: &str) {
    let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    nft.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success(), "{rules}");
}

fn listing() -> String {
    run("nft", &["list", "ruleset"])
}

fn name(text: &str) -> LinkName {
    text.parse().unwrap()
}

/// What is in the way of networks that are open to all.
fn obstacles(bridges: &[LinkName]) -> Result<Vec<Obstacle>> {
    let open = |bridge: &LinkName| Family::BOTH.map(|family| Element::Open(family, bridge.clone()));
    super::obstacles(bridges, || Ok(bridges.iter().flat_map(open).collect()))
}

/// What is in the way of the bridge where our table holds these elements, a line each.
fn seen_with(ours: &[Element]) -> Vec<String> {
    let ours: BTreeSet<Element> = ours.iter().cloned().collect();
    super::obstacles(&[name(BRIDGE)], || Ok(ours)).unwrap().iter().map(ToString::to_string).collect()
}

/// What is in the way of the bridge, a line each.
fn seen() -> Vec<String> {
    obstacles(&[name(BRIDGE)]).unwrap().iter().map(ToString::to_string).collect()
}

/// Loads rules in an empty host, and checks what is said to be in the way.
fn check(rules: &str, expected: &[&str]) {
    host(|| {
        load(rules);
        assert_eq!(seen(), expected, "{rules}");
    });
}
