//! The administrator's own rules, in files that the daemon reads.

use crate::world::World;
use crate::world::said::{eventually, only_if};

/// Writes a file of rules and has it read.
fn rules(w: &World, name: &str, text: &str) {
    w.host()
        .shell(&format!("mkdir -p /etc/bowline/nft.d; cat > /etc/bowline/nft.d/{name} <<'END'\n{text}\nEND"));
    reload(w);
}

fn reload(w: &World) {
    let before = w.log().matches("looked at the kernel again").count();
    w.host().shell("kill -HUP $(cat /run/bowline/daemon.pid)");
    eventually("the files are read", || {
        let now = w.log().matches("looked at the kernel again").count();
        only_if(now > before, now)
    });
}

/// As if there had never been any.
fn forget(w: &World) {
    w.host().run("rm -r /etc/bowline");
    reload(w);
}

fn town(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24 --subnet fd00:9::/64");
    w.attach("web", "front", "-p 8080:80 -p 8443:443");
}

pub(crate) fn what_is_denied_to_some_stays_open_to_others(w: &World) {
    // What ufw and its like cannot do: their rules come after the translation, and are not asked for published ports.
    town(w);
    let web = w.inside("web");
    let _servers = (web.serves(80), web.serves(443));
    w.outside().fetches("192.0.2.1", 8080);
    rules(
        w,
        "10-deny.nft",
        "chain user-forward {\n  ip saddr 192.0.2.0/24 ct original proto-dst 8080 meta l4proto tcp drop\n}",
    );
    let said = w.log();
    assert!(said.contains("10-deny.nft:2"), "proto-dst wants a protocol before it: {said}");
    w.outside().fetches("192.0.2.1", 8080);
    rules(
        w,
        "10-deny.nft",
        "chain user-forward {\n  ip saddr 192.0.2.0/24 meta l4proto tcp ct original proto-dst 8080 drop\n}",
    );
    w.outside().does_not_fetch("192.0.2.1", 8080);
    w.outside().fetches("192.0.2.1", 8443);
    w.outside().fetches("2001:db8::1", 8080);
    w.host().fetches("127.0.0.1", 8080);
    let shown = w.bowline("system firewall").out;
    assert!(
        shown.contains("ip saddr 192.0.2.0/24 meta l4proto tcp ct original proto-dst 8080 drop"),
        "{shown}"
    );
    // They are in force after a restart, and gone with their file.
    w.restart();
    w.outside().does_not_fetch("192.0.2.1", 8080);
    w.host().run("rm /etc/bowline/nft.d/10-deny.nft");
    reload(w);
    w.outside().fetches("192.0.2.1", 8080);
    forget(w);
}

pub(crate) fn what_we_would_drop_may_be_let_in(w: &World) {
    town(w);
    let web = w.inside("web");
    let _server = web.serves(81);
    w.outside().run("ip route add 10.9.0.0/24 via 192.0.2.1");
    w.outside().does_not_fetch("10.9.0.2", 81);
    rules(
        w,
        "open.nft",
        "chain user-forward {\n  iifname \"uplink\" ip daddr 10.9.0.2 tcp dport 81 accept\n}",
    );
    w.outside().fetches("10.9.0.2", 81);
    forget(w);
}

pub(crate) fn a_port_is_closed_before_it_is_translated(w: &World) {
    town(w);
    let web = w.inside("web");
    let _server = web.serves(80);
    rules(
        w,
        "raw.nft",
        "chain user-prerouting {\n  iifname \"uplink\" tcp dport { 8080, 9000-9010 } drop\n}",
    );
    w.outside().does_not_fetch("192.0.2.1", 8080);
    w.host().fetches("192.0.2.1", 8080);
    forget(w);
}

pub(crate) fn what_is_wrong_changes_nothing_and_is_said(w: &World) {
    town(w);
    let web = w.inside("web");
    let _servers = (web.serves(80), web.serves(443));
    rules(w, "a.nft", "chain user-forward {\n  tcp dport 80 drop\n}");
    w.outside().does_not_fetch("192.0.2.1", 8080);
    let before = w.host().run("nft list ruleset");
    for text in [
        "chain user-forward {",
        "chain forward {\n accept\n}",
        "chain user-forward {\n jump forward\n}",
        "flush ruleset",
        "chain user-forward {\n iifname \"a b\" drop\n}",
        "include \"/etc/passwd\"",
        "chain user-forward {\n ip saddr 1.2.3.4.5 drop\n}",
    ] {
        rules(w, "b.nft", text);
        let shown = w.bowline("system firewall").out;
        assert!(shown.contains("b.nft"), "{text}: {shown}");
        assert_eq!(w.host().run("nft list ruleset"), before, "{text}");
    }
    // A start finds the files wrong: what was in force last stays so.
    w.restart();
    w.outside().does_not_fetch("192.0.2.1", 8080);
    w.outside().fetches("192.0.2.1", 8443);
    w.host().shell("rm /etc/bowline/nft.d/b.nft; chmod 666 /etc/bowline/nft.d/a.nft");
    reload(w);
    assert!(w.bowline("system firewall").out.contains("a.nft"));
    w.host().shell("chmod 644 /etc/bowline/nft.d/a.nft");
    reload(w);
    assert!(!w.bowline("system firewall").out.contains("a.nft"));
    forget(w);
}
