//! Whose the firewall's tables are, and what becomes of them in other hands.

use crate::world::World;
use crate::world::said::{eventually, only_if};

fn town(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24 --subnet fd00:9::/64");
    w.outside().run("ip route add 10.9.0.0/24 via 192.0.2.1");
    w.attach("web", "front", "-p 8080:80");
}

pub(crate) fn a_strangers_flush_takes_nothing(w: &World) {
    town(w);
    let web = w.inside("web");
    let (_published, _hidden) = (web.serves(80), web.serves(81));
    let before = w.host().run("nft list ruleset");
    for _ in 0..50 {
        w.host().run("nft flush ruleset");
        w.outside().fetches("192.0.2.1", 8080);
    }
    w.outside().does_not_fetch("10.9.0.2", 81);
    assert_eq!(w.host().run("nft list ruleset"), before);
    // Nor after the daemon has gone without a word.
    w.kill();
    w.outside().fetches("192.0.2.1", 8080);
    w.start();
    assert_eq!(w.host().run("nft list ruleset").lines().count(), before.lines().count());
    assert!(w.bowline("system firewall").out.contains("owned"));
}

pub(crate) fn released_tables_are_put_back_when_they_are_flushed(w: &World) {
    town(w);
    let web = w.inside("web");
    let (_published, _hidden) = (web.serves(80), web.serves(81));
    assert!(w.host().tries("nft flush table inet bowline").code != 0);
    w.bowline("system release");
    w.outside().fetches("192.0.2.1", 8080);
    let whole = w.host().run("nft list ruleset");
    for _ in 0..20 {
        w.host().run("nft flush ruleset");
        eventually("the tables are there again", || {
            let now = w.host().run("nft list ruleset");
            only_if(now == whole, now)
        });
        w.outside().does_not_fetch("10.9.0.2", 81);
        w.outside().fetches("192.0.2.1", 8080);
    }
    // The next start takes them back.
    w.restart();
    assert!(w.host().tries("nft flush table inet bowline").code != 0);
}

/// What no process owns any more, anybody may flush.
pub(crate) fn a_connection_made_while_tables_and_daemon_were_gone_does_not_last(w: &World) {
    town(w);
    let web = w.inside("web");
    let _hidden = web.echoes(81);
    w.outside().does_not_fetch("10.9.0.2", 81);
    w.kill();
    // Somebody else has flows tracked, also while there are no tables of ours.
    w.host().run("nft flush ruleset; add table ip other; add chain ip other f { type filter hook forward priority 0; }; add rule ip other f ct state established accept");
    let mut caller = w.outside().keeps_calling("10.9.0.2", 81);
    eventually("somebody came in", || {
        let there = w.outside().run("ss -Htn state established dst 10.9.0.2");
        only_if(!there.is_empty(), "nobody")
    });
    w.start();
    let said = caller.wait_for_line("tried, and");
    assert!(said.contains("was cut"), "{said}");
    w.host().run("nft delete table ip other");
}

pub(crate) fn a_connection_made_in_the_gap_of_a_flush_does_not_last(w: &World) {
    town(w);
    let web = w.inside("web");
    let _hidden = web.echoes(81);
    w.bowline("system release");
    w.outside().does_not_fetch("10.9.0.2", 81);
    // A caller that never stops trying. After each flush it is heard out: what came in is to be cut.
    let mut caller = w.outside().keeps_calling("10.9.0.2", 81);
    let whole = w.host().run("nft list ruleset");
    for _ in 0..5 {
        for _ in 0..3 {
            caller.wait_for_line("tried");
        }
        w.host().run("nft flush ruleset");
        eventually("the tables are there again", || {
            let now = w.host().run("nft list ruleset");
            only_if(now == whole, now)
        });
    }
    for _ in 0..3 {
        caller.wait_for_line("tried");
    }
    let said = caller.ends().well();
    assert!(!said.out.contains("it lasted"), "{said}");
}
