//! One rule at a time: what is understood, what is a doubt, and what a doubt does to a drop behind it.

use super::{check, host, load, name, obstacles, run, seen};
use crate::foreign::obstacle::{By, Certainty, Traffic};

/// A chain of a policy with these rules.
fn chain(policy: &str, rules: &str) -> String {
    format!(
        "table inet t {{ chain c {{ type filter hook forward priority 0; policy {policy}; {rules}\n}}; }}"
    )
}

const ALL: &str =
    "published ports of bl-a from eth0, direct connections to bl-a from eth0, connections from bl-a to eth0";
const IN: &str = "published ports of bl-a from eth0, direct connections to bl-a from eth0";
const OUT: &str = "connections from bl-a to eth0";

/// Under a policy of drop.
fn drops(rules: &str, what: &str) {
    check(&chain("drop", rules), &[&format!("inet t c {what}, by its policy")]);
}

fn passes(rules: &str) {
    check(&chain("drop", rules), &[]);
}

#[test]
fn a_policy_drops_what_no_rule_accepts() {
    drops("", &format!("drops {ALL}"));
    drops("ct state established,related accept", &format!("drops {ALL}"));
    drops("ct state { established, related } accept", &format!("drops {ALL}"));
    drops("ct state != new accept", &format!("drops {ALL}"));
    drops("ct state vmap { established : accept, invalid : accept }", &format!("drops {ALL}"));
    drops("iifname \"bl-a\" accept", &format!("drops {IN}"));
    drops("oifname \"bl-a\" accept", &format!("drops {OUT}"));
    drops("iifname \"bl-b\" accept; oifname { \"bl-b\", \"docker0\" } accept", &format!("drops {ALL}"));
    drops("iifname \"bl-abc*\" accept; iifname \"bl-\" accept", &format!("drops {ALL}"));
    drops("iifname \"bl-a\" oifname \"wg0\" accept", &format!("drops {ALL}"));
    drops(
        "ct status dnat accept",
        "drops direct connections to bl-a from eth0, connections from bl-a to eth0",
    );
    drops("iif lo accept; log; counter", &format!("drops {ALL}"));
}

#[test]
fn what_is_accepted_for_sure_is_not_in_the_way() {
    passes("accept");
    passes("counter log accept");
    passes("ct state new accept");
    passes("ct state vmap { new : accept, invalid : drop }");
    passes("iifname \"bl-a\" accept; oifname \"bl-a\" accept");
    passes("iifname { \"bl-a\", \"bl-b\" } accept; oifname { \"bl-a\", \"bl-b\" } accept");
    passes("iifname vmap { \"bl-a\" : accept, \"eth0\" : accept }");
    passes("iifname \"bl-*\" accept; oifname \"bl-*\" accept");
    passes("iif \"bl-a\" accept; oif \"bl-a\" accept");
    passes("iifname . oifname { \"bl-a\" . \"eth0\", \"eth0\" . \"bl-a\" } accept");
    passes("iifname != { \"wg0\", \"wg1\" } accept");
    passes("meta nfproto ipv4 accept; meta nfproto ipv6 accept");
}

#[test]
fn what_is_not_understood_before_a_drop_makes_it_uncertain() {
    drops("tcp dport 80 accept", &format!("may drop {ALL}"));
    drops("ct mark 7 accept; iifname \"wg0\" drop", &format!("may drop {ALL}"));
    drops("meta mark & 0xff == 7 accept", &format!("may drop {ALL}"));
    drops("iifname { \"a*\", \"bl-a\" } accept", &format!("may drop {ALL}"));
    drops("limit rate 1/second return", &format!("may drop {ALL}"));
}

#[test]
fn a_doubt_counts_only_for_what_it_can_save() {
    let rules = chain("drop", "oifname \"bl-a\" tcp dport { 80, 443 } accept");
    let drops = format!("inet t c drops {OUT}, by its policy");
    let may = format!("inet t c may drop {IN}, by its policy");
    check(&rules, &[&drops, &may]);
    // A drop that is not understood is skipped, and does not save anything.
    check(&chain("accept", "tcp dport 80 drop; ip saddr 10.0.0.0/8 reject"), &[]);
    check(&chain("drop", "tcp dport 80 drop"), &[&format!("inet t c drops {ALL}, by its policy")]);
}

#[test]
fn a_rule_that_drops_is_named_by_its_place() {
    let by = |what: &str| format!("inet t c {what}");
    check(&chain("accept", "counter; oifname \"bl-a\" drop"), &[&by(&format!("drops {IN}, by rule 2 of c"))]);
    check(&chain("accept", "iifname \"bl-a\" reject"), &[&by(&format!("rejects {OUT}, by rule 1 of c"))]);
    check(
        &chain("accept", "iifname != \"bl-a\" oifname \"bl-a\" drop"),
        &[&by(&format!("drops {IN}, by rule 1 of c"))],
    );
    check(&chain("accept", "iifname \"virbr0\" reject; oifname \"virbr0\" reject"), &[]);
    check(&chain("accept", "ct state invalid drop"), &[]);
    check(&chain("accept", "udp dport 53 accept; drop"), &[&by(&format!("may drop {ALL}, by rule 2 of c"))]);
}

#[test]
fn jumps_are_followed_and_returns_come_back() {
    let table = |base: &str, rest: &str| {
        let chains =
            "chain a { }; chain b { }; chain c { type filter hook forward priority 0; policy drop; };";
        format!("table ip t {{ {chains} }}\n{rest}{base}")
    };
    let add = |chain: &str, rule: &str| format!("add rule ip t {chain} {rule}\n");
    let all = |what: &str, by: &str| format!("ip t c {what} {ALL}, by {by}");

    check(&table(&add("c", "jump a"), &add("a", "accept")), &[]);
    check(&table(&(add("c", "jump a") + &add("c", "accept")), &add("a", "return")), &[]);
    check(
        &table(&(add("c", "goto a") + &add("c", "accept")), &add("a", "return")),
        &[&all("drops", "its policy")],
    );
    check(&table(&(add("c", "jump a") + &add("c", "accept")), &add("a", "jump b")), &[]);
    let deep = add("a", "jump b") + &add("b", "counter") + &add("b", "drop");
    check(&table(&add("c", "jump a"), &deep), &[&all("drops", "rule 2 of b")]);
    // The jump itself is a doubt: what it leads to may save, and does not drop for sure.
    check(&table(&add("c", "tcp dport 80 jump a"), &add("a", "accept")), &[&all("may drop", "its policy")]);
    check(&table(&(add("c", "tcp dport 80 jump a") + &add("c", "accept")), &add("a", "drop")), &[]);
    check(&table(&add("c", "tcp dport 80 jump a"), &add("a", "return")), &[&all("drops", "its policy")]);
    // A return that is a doubt may escape a drop behind it.
    let escapes = add("a", "tcp dport 80 return") + &add("a", "drop");
    check(&table(&(add("c", "jump a") + &add("c", "accept")), &escapes), &[&all("may drop", "rule 2 of a")]);
}

#[test]
fn chains_that_see_no_forwarded_packet_are_not_in_the_way() {
    check("table inet t { chain c { type filter hook input priority 0; policy drop; }; }", &[]);
    check("table bridge t { chain c { type filter hook forward priority 0; policy drop; }; }", &[]);
    check("table inet bowline { chain c { type filter hook forward priority 0; policy drop; }; }", &[]);
    check(
        "table inet t { flags dormant; chain c { type filter hook forward priority 0; policy drop; }; }",
        &[],
    );
}

#[test]
fn a_set_is_looked_into_for_its_elements_of_this_moment() {
    let filled = |elements: &str| {
        format!(
            "table inet t {{
                set in {{ type ifname; }}
                map to {{ type ifname : verdict; }}
                chain yes {{ accept; }}
                chain c {{ type filter hook forward priority 0; policy drop;
                    iifname @in accept; oifname vmap @to; }}
            }}
            {elements}"
        )
    };
    let all = format!("inet t c drops {ALL}, by its policy");
    check(&filled(""), &[&all]);
    check(&filled("add element inet t in { docker0, bl-b }"), &[&all]);
    check(
        &filled("add element inet t in { docker0, bl-a }"),
        &[&format!("inet t c drops {IN}, by its policy")],
    );
    check(
        &filled("add element inet t to { bl-a : jump yes }"),
        &[&format!("inet t c drops {OUT}, by its policy")],
    );
    check(
        &filled("add element inet t to { bl-a : drop, eth0 : accept }"),
        &[&format!("inet t c drops {IN}, by rule 2 of c")],
    );
    check(
        &filled("add element inet t to { bl-a : goto yes, eth0 : continue }"),
        &[&format!("inet t c drops {OUT}, by its policy")],
    );
    // A set that is too large to be read could hold anything.
    let many: Vec<String> = (0..5000).map(|i| format!("c{i}")).collect();
    let large = filled(&format!("add element inet t in {{ {} }}", many.join(", ")));
    check(&large, &[&format!("inet t c may drop {ALL}, by its policy")]);
}

#[test]
fn each_uplink_and_each_bridge_is_asked_about() {
    host(|| {
        run("ip", &["link", "add", "wan", "type", "veth", "peer", "name", "wan-far"]);
        run("ip", &["link", "set", "wan", "up"]);
        run("ip", &["link", "set", "wan-far", "up"]);
        run("ip", &["route", "add", "default", "dev", "wan", "table", "7"]);
        load(&chain("drop", "iifname \"eth0\" accept; oifname \"eth0\" accept; iifname \"bl-b\" accept"));
        let found = obstacles(&[name("bl-a"), name("bl-b")]).unwrap();
        let [one] = &found[..] else { panic!("{found:#?}") };
        assert_eq!((one.table.as_str(), one.chain.as_str(), &one.tool), ("inet t", "c", &None));
        assert_eq!((&one.by, one.certainty), (&By::Policy, Certainty::Drops));
        let ways: Vec<_> =
            one.ways.iter().map(|w| (w.bridge.as_str(), w.traffic, w.uplink.clone().unwrap())).collect();
        let expected = [
            ("bl-a", Traffic::Published, name("wan")),
            ("bl-a", Traffic::Direct, name("wan")),
            ("bl-a", Traffic::Outgoing, name("wan")),
            ("bl-b", Traffic::Published, name("wan")),
            ("bl-b", Traffic::Direct, name("wan")),
        ];
        assert_eq!(ways, expected);
        assert_eq!(obstacles(&[]).unwrap(), []);
    });
}

#[test]
fn the_fix_of_an_unknown_firewall_is_a_rule_in_its_chain() {
    host(|| {
        load(&chain("drop", ""));
        for obstacle in obstacles(&[name("bl-a")]).unwrap() {
            run("sh", &["-c", &obstacle.fix]);
        }
        assert_eq!(seen(), [""; 0]);
    });
}

#[test]
fn without_a_default_route_the_outside_is_a_card_that_no_rule_names() {
    host(|| {
        run("ip", &["route", "del", "default"]);
        load(&chain("drop", "iifname \"eth0\" accept; iifname \"e*\" accept; oifname != \"docker0\" accept"));
        assert_eq!(seen(), [""; 0]);
        run("nft", &["flush", "chain", "inet", "t", "c"]);
        let all = ALL.replace("eth0", "outside");
        assert_eq!(seen(), [format!("inet t c drops {all}, by its policy")]);
    });
}
