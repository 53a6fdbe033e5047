//! The older iptables, and iptables-nft: each writes the rules, and shows ours as its own.

use super::{BRIDGE, host, name, obstacles, run, seen};
use crate::foreign::{unwelcome, welcome};

const ALL: &str =
    "published ports of bl-a from eth0, direct connections to bl-a from eth0, connections from bl-a to eth0";
const OUT: &str = "connections from bl-a to eth0";

fn iptables(program: &str, rules: &[&str]) {
    for rule in rules {
        let mut arguments = vec!["-w"];
        arguments.extend(rule.split_ascii_whitespace());
        run(program, &arguments);
    }
}

/// A host as Docker leaves it, with conditions of every kind before the policy.
const DOCKER: &[&str] = &[
    "-P FORWARD DROP",
    "-N DOCKER-USER",
    "-N DOCKER",
    "-A FORWARD -j DOCKER-USER",
    "-A FORWARD -i docker0 -j LOG",
    "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment answers -j ACCEPT",
    "-A FORWARD -m conntrack ! --ctstate NEW -j ACCEPT",
    "-A FORWARD -o docker0 -j DOCKER",
    "-A FORWARD -i docker0 ! -o docker0 -j ACCEPT",
    "-A FORWARD -i virbr+ -j ACCEPT",
    "-A FORWARD",
    "-A DOCKER -d 172.17.0.2/32 -p tcp --dport 80 -j ACCEPT",
    "-A DOCKER-USER -i wg0 -g DOCKER",
    "-A DOCKER-USER -j RETURN",
];

#[test]
fn the_same_is_seen_of_both_kinds_of_iptables() {
    for (program, table) in [("iptables-nft", "ip filter"), ("iptables-legacy", "ip filter (legacy)")] {
        host(|| {
            iptables(program, DOCKER);
            assert_eq!(seen(), [format!("{table} FORWARD (Docker) drops {ALL}, by its policy")]);
            let fix = obstacles(&[name(BRIDGE)]).unwrap().remove(0).fix.replace("iptables ", "iptables-nft ");
            run("sh", &["-c", &fix]);
            assert_eq!(seen(), [""; 0], "after {fix}");
            iptables(program, &["-A DOCKER-USER -j DROP", "-I DOCKER-USER -i bl-a -p tcp -j RETURN"]);
            assert_eq!(seen(), [""; 0]);
            iptables(program, &["-I DOCKER-USER ! -o bl-a -i bl-a -j REJECT"]);
            assert_eq!(seen(), [format!("{table} FORWARD (Docker) rejects {OUT}, by rule 1 of DOCKER-USER")]);
        });
    }
}

#[test]
fn what_the_older_iptables_asks_for_beyond_cards_is_a_doubt() {
    for (condition, doubts) in [
        ("-s 10.0.0.0/8", true),
        ("-p udp", true),
        ("-m conntrack --ctstate DNAT --ctproto 6", true),
        ("-m addrtype --dst-type LOCAL", true),
        ("-m conntrack --ctstate ESTABLISHED", false),
        ("-i virbr+", false),
        ("! -p tcp", true),
        ("-f", true),
    ] {
        for program in ["iptables-legacy", "iptables-nft"] {
            host(|| {
                let rule = format!("-A FORWARD {condition} -j ACCEPT");
                iptables(program, &["-P FORWARD DROP", &rule]);
                let verb = if doubts { "may drop" } else { "drops" };
                let seen = seen();
                assert!(seen.len() == 1 && seen[0].contains(verb), "{program} {rule}: {seen:?}");
            });
        }
    }
}

#[test]
fn the_older_ip6tables_is_read_too() {
    host(|| {
        iptables(
            "ip6tables-legacy",
            &["-P FORWARD DROP", "-N X", "-A FORWARD -i bl-a -j X", "-A X -o eth+ -j ACCEPT"],
        );
        let into = ALL.strip_suffix(&format!(", {OUT}")).unwrap();
        assert_eq!(seen(), [format!("ip6 filter (legacy) FORWARD drops {into}, by its policy")]);
        iptables("ip6tables-legacy", &["-I FORWARD -s fd00::/8 -j ACCEPT"]);
        let ways = format!("ip6 filter (legacy) FORWARD may drop {into}, by its policy");
        assert_eq!(seen(), [ways]);
    });
}

#[test]
fn a_table_of_the_older_iptables_that_is_not_in_use_is_not_made() {
    host(|| {
        assert_eq!(seen(), [""; 0]);
        let names = std::fs::read_to_string("/proc/thread-self/net/ip_tables_names").unwrap_or_default();
        assert_eq!(names, "");
    });
}

#[test]
fn iptables_shows_saves_and_restores_our_rules_and_they_stay_ours() {
    host(|| {
        iptables(
            "iptables-nft",
            &["-N DOCKER-USER", "-A FORWARD -j DOCKER-USER", "-A DOCKER-USER -j RETURN"],
        );
        let before = run("iptables-nft", &["-S"]);
        assert!(welcome(&name(BRIDGE)).unwrap());
        let shown = run("iptables-nft", &["-S", "DOCKER-USER"]);
        let expected = "-N DOCKER-USER\n\
            -A DOCKER-USER -i bl-a -m comment --comment bowline -j ACCEPT\n\
            -A DOCKER-USER -o bl-a -m comment --comment bowline -j ACCEPT\n\
            -A DOCKER-USER -j RETURN\n";
        assert_eq!(shown, expected);

        run("sh", &["-c", "iptables-nft-save > /dev/null && iptables-nft-save | iptables-nft-restore"]);
        assert_eq!(run("iptables-nft", &["-S", "DOCKER-USER"]), expected);
        assert!(!welcome(&name(BRIDGE)).unwrap(), "they are known after they were restored");
        unwelcome(&name(BRIDGE)).unwrap();
        assert_eq!(run("iptables-nft", &["-S"]), before);

        welcome(&name(BRIDGE)).unwrap();
        iptables("iptables-nft", &["-D DOCKER-USER -i bl-a -m comment --comment bowline -j ACCEPT"]);
        assert!(welcome(&name(BRIDGE)).unwrap());
        assert_eq!(run("iptables-nft", &["-S", "DOCKER-USER"]), expected);
    });
}
