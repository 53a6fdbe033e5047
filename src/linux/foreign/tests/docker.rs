//! Docker's chains as iptables-nft writes them, and our two rules in them.

use super::{BRIDGE, host, listing, load, name, obstacles, run, seen};
use crate::foreign::{unwelcome, welcome};

/// Docker 28, in one family.
fn docker(family: &str) -> String {
    format!(
        "table {family} filter {{
    chain DOCKER {{ iifname != \"docker0\" oifname \"docker0\" counter drop; }}
    chain DOCKER-BRIDGE {{ oifname \"docker0\" counter jump DOCKER; }}
    chain DOCKER-CT {{ oifname \"docker0\" ct state related,established counter accept; }}
    chain DOCKER-ISOLATION-STAGE-2 {{ oifname \"docker0\" counter drop; }}
    chain DOCKER-ISOLATION-STAGE-1 {{ iifname \"docker0\" oifname != \"docker0\" counter jump DOCKER-ISOLATION-STAGE-2; }}
    chain DOCKER-FORWARD {{
        counter jump DOCKER-CT
        counter jump DOCKER-ISOLATION-STAGE-1
        counter jump DOCKER-BRIDGE
        iifname \"docker0\" counter accept
    }}
    chain DOCKER-USER {{ iifname \"wg0\" counter accept; counter return; }}
    chain FORWARD {{
        type filter hook forward priority filter; policy drop;
        counter jump DOCKER-USER
        counter jump DOCKER-FORWARD
    }}
}}
"
    )
}

fn both() -> String {
    docker("ip") + &docker("ip6")
}

#[test]
fn dockers_policy_is_in_the_way_until_we_are_welcome() {
    host(|| {
        load(&both());
        let ways = "published ports of bl-a from eth0, direct connections to bl-a from eth0, connections from bl-a to eth0";
        let expected = ["ip", "ip6"]
            .map(|family| format!("{family} filter FORWARD (Docker) drops {ways}, by its policy"));
        assert_eq!(seen(), expected);

        assert!(welcome(&name(BRIDGE)).unwrap());
        assert_eq!(seen(), [""; 0]);
        run("ip", &["link", "add", "bl-b", "type", "bridge"]);
        run("ip", &["addr", "add", "10.8.0.1/24", "dev", "bl-b"]);
        let other = obstacles(&[name("bl-b")]).unwrap();
        assert_eq!(other.len(), 2, "only one bridge is welcome: {other:#?}");

        unwelcome(&name(BRIDGE)).unwrap();
        assert_eq!(seen(), expected);
    });
}

#[test]
fn a_bridge_without_ipv6_has_nothing_to_do_with_ip6tables() {
    host(|| {
        load(&both());
        assert_eq!(seen().len(), 2);
        run("sh", &["-c", "echo 1 > /proc/sys/net/ipv6/conf/bl-a/disable_ipv6"]);
        let seen = seen();
        assert!(seen.len() == 1 && seen[0].starts_with("ip filter FORWARD"), "{seen:?}");
    });
}

#[test]
fn a_second_welcome_changes_nothing() {
    host(|| {
        load(&both());
        assert!(welcome(&name(BRIDGE)).unwrap());
        let once = listing();
        assert!(!welcome(&name(BRIDGE)).unwrap());
        assert_eq!(listing(), once);
        let rules = run("nft", &["list", "chain", "ip6", "filter", "DOCKER-USER"]);
        let ours: Vec<&str> = rules.lines().map(str::trim).filter(|line| line.contains("bl-a")).collect();
        let rule = |way: &str| format!("{way} \"bl-a\" counter packets 0 bytes 0 accept comment \"bowline\"");
        assert_eq!(ours, [rule("iifname"), rule("oifname")]);
        assert!(rules.find("bl-a") < rules.find("wg0"), "ours come first: {rules}");
    });
}

#[test]
fn half_a_welcome_is_made_whole() {
    host(|| {
        load(&both());
        welcome(&name(BRIDGE)).unwrap();
        let whole = listing();
        let rules = run("nft", &["-a", "list", "chain", "ip", "filter", "DOCKER-USER"]);
        let first = rules.lines().find(|line| line.contains("iifname \"bl-a\"")).unwrap();
        let handle = first.rsplit(' ').next().unwrap();
        run("nft", &["delete", "rule", "ip", "filter", "DOCKER-USER", "handle", handle]);
        assert!(welcome(&name(BRIDGE)).unwrap());
        assert_eq!(listing(), whole);
    });
}

#[test]
fn what_others_have_is_the_same_after_a_thousand_welcomes() {
    host(|| {
        load(&both());
        load(
            "table inet mine { chain c { type filter hook forward priority 0; iifname \"bl-a\" counter accept; }; }",
        );
        let before = listing();
        for round in 0..1000 {
            assert!(welcome(&name(BRIDGE)).unwrap(), "{round}");
            unwelcome(&name(BRIDGE)).unwrap();
        }
        assert_eq!(listing(), before);
        unwelcome(&name(BRIDGE)).unwrap();
        assert_eq!(listing(), before);
    });
}

#[test]
fn only_what_is_wholly_ours_is_taken_away() {
    host(|| {
        load(&both());
        load(
            "add rule ip filter DOCKER-USER iifname \"bl-a\" counter accept
            add rule ip filter DOCKER-USER iifname \"bl-a\" counter accept comment \"mine\"
            add rule ip filter DOCKER-USER iifname \"bl-a*\" counter accept comment \"bowline\"
            add rule ip filter DOCKER-USER iifname \"bl-ab\" counter accept comment \"bowline\"
            add rule ip filter DOCKER-USER iifname \"bl-a\" tcp dport 80 counter accept comment \"bowline\"
            add rule ip filter DOCKER-USER iifname \"bl-a\" counter drop comment \"bowline\"
            add rule ip filter DOCKER-USER iifname != \"bl-a\" counter accept comment \"bowline\"",
        );
        let before = listing();
        unwelcome(&name(BRIDGE)).unwrap();
        assert_eq!(listing(), before);
        assert!(welcome(&name(BRIDGE)).unwrap());
        unwelcome(&name(BRIDGE)).unwrap();
        assert_eq!(listing(), before);
    });
}

#[test]
fn where_docker_is_not_nothing_is_touched() {
    let without = [
        String::new(),
        "table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; }; }"
            .to_string(),
        "table inet filter { chain DOCKER-USER { }; }".to_string(),
        "table ip other { chain DOCKER-USER { }; }".to_string(),
        "table ip filter { chain DOCKER-USER { type filter hook forward priority 0; }; }".to_string(),
    ];
    for rules in without {
        host(|| {
            load(&rules);
            let before = listing();
            assert!(!welcome(&name(BRIDGE)).unwrap(), "{rules}");
            unwelcome(&name(BRIDGE)).unwrap();
            assert_eq!(listing(), before);
        });
    }
}

#[test]
fn only_the_family_that_docker_has_is_touched() {
    host(|| {
        load(&docker("ip"));
        assert!(welcome(&name(BRIDGE)).unwrap());
        assert_eq!(run("nft", &["list", "tables"]), "table ip filter\n");
        assert_eq!(seen(), [""; 0]);
    });
}

#[test]
fn a_welcome_holds_while_others_change_their_rules() {
    host(|| {
        load(&both());
        let before = listing();
        run("nft", &["add table inet other; add set inet other s { type mark; }"]);
        let script = "i=0; while [ $i -lt 100 ]; do nft add element inet other s { $i }; i=$((i+1)); done";
        let mut other = std::process::Command::new("sh").args(["-c", script]).spawn().unwrap();
        let mut rounds = 0;
        while other.try_wait().unwrap().is_none() || rounds == 0 {
            assert!(welcome(&name(BRIDGE)).unwrap());
            assert_eq!(seen(), [""; 0]);
            unwelcome(&name(BRIDGE)).unwrap();
            rounds += 1;
        }
        run("nft", &["delete table inet other"]);
        assert_eq!(listing(), before);
    });
}
