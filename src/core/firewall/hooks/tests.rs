//! What is understood, what is refused and where, and that what is shown can be read again.

mod refusals;
mod strategy;

use expect_test::expect;
use proptest::prelude::*;

use super::*;

/// The only rule of a chain, as nft shows it.
fn shown(rule: &str) -> String {
    let text = format!("chain user-forward {{\n{rule}\n}}");
    match Hooks::parse("a.nft", &text) {
        Ok(hooks) => hooks.forward.iter().map(Rule::to_string).collect::<Vec<_>>().join("; "),
        Err(error) => panic!("{rule}: {error}"),
    }
}

#[test]
fn rules_are_shown_as_they_were_written() {
    for rule in [
        r#"iifname "eth0" accept"#,
        r#"iifname "eth*" accept"#,
        r#"iifname != "eth*" accept"#,
        r#"oifname { "a", "b" } accept"#,
        r#"oifname != { "a", "b" } accept"#,
        "ip saddr 192.0.2.0/24 tcp dport 22 drop",
        "ip saddr != 192.0.2.1-192.0.2.9 drop",
        "ip saddr { 10.0.0.0/8, 192.0.2.1, 198.51.100.3-198.51.100.9 } drop",
        "ip daddr 0.0.0.0/0 return",
        "ip6 daddr != { ::1, fd00::/8, fe80::/10 } reject",
        "ip protocol { tcp, udp } th dport 53 accept",
        "meta l4proto != { icmp, ipv6-icmp, 253 } drop",
        "tcp dport { 80, 443, 8000-8100 } accept",
        "udp sport != 0-1023 drop",
        "sctp dport 36412 accept",
        "icmp type { echo-reply, echo-request } accept",
        "icmpv6 type != echo-request drop",
        "icmp type 77 drop",
        "ct state invalid,established,related,new,untracked accept",
        "ct status dnat return",
        "ct original ip daddr 192.0.2.1 drop",
        "ct original ip6 saddr 2001:db8::/32 drop",
        "meta l4proto tcp ct original proto-dst { 8080, 9000-9010 } drop",
        "tcp dport 80 ct original proto-dst != 8080 drop",
        "meta mark 0x00000001 accept",
        "meta mark & 0x000000ff != 0x00000010 accept",
        "fib daddr type != local accept",
        r#"ct state new limit rate over 10/minute burst 7 packets counter log prefix "many: " level info drop"#,
        "limit rate 10/second accept",
        "counter",
        "log",
        "drop",
    ] {
        assert_eq!(shown(rule), rule);
    }
}

#[test]
fn what_may_be_written_otherwise_becomes_the_same() {
    let check = |written: &str, same: &str| assert_eq!(shown(written), same);
    check("iifname eth0 accept", r#"iifname "eth0" accept"#);
    check("meta iifname == { b, a, b } accept", r#"iifname { "a", "b" } accept"#);
    check("tcp dport == 22 drop", "tcp dport 22 drop");
    check("tcp dport {22} drop", "tcp dport 22 drop");
    check("tcp dport { 443, 80-90, 85-95, 80, } drop", "tcp dport { 80-95, 443 } drop");
    check("tcp dport {\n 80, # web\n\n 443\n}\ndrop", "tcp dport { 80, 443 }; drop");
    check("tcp dport 22 \\\n  drop", "tcp dport 22 drop");
    check("tcp dport 22 drop; udp dport 53 drop", "tcp dport 22 drop; udp dport 53 drop");
    check("ip saddr 10.1.2.3/8 drop", "ip saddr 10.0.0.0/8 drop");
    check("ip saddr 10.0.0.0-10.0.0.255 drop", "ip saddr 10.0.0.0/24 drop");
    check("ip saddr 10.0.0.1/32 drop", "ip saddr 10.0.0.1 drop");
    check("ip6 saddr FD00:0::/8 drop", "ip6 saddr fd00::/8 drop");
    check("meta l4proto icmpv6 drop", "meta l4proto ipv6-icmp drop");
    check("meta l4proto 6 drop", "meta l4proto tcp drop");
    check("icmpv6 type 135 accept", "icmpv6 type nd-neighbor-solicit accept");
    check("ct state { related, established } accept", "ct state established,related accept");
    check("ct state new, new accept", "ct state new accept");
    check("meta mark 16 accept", "meta mark 0x00000010 accept");
    check("meta mark and 0xf == 1 accept", "meta mark & 0x0000000f == 0x00000001 accept");
    check("counter packets 5 bytes 300 accept", "counter accept");
    check("log level warn accept", "log accept");
    check("limit rate 1/second burst 5 packets accept", "limit rate 1/second accept");
}

#[test]
fn a_file_fills_both_chains_in_any_order_and_more_than_once() {
    let text = "# comment\n\nchain user-prerouting { tcp dport 23 drop }\n\
        chain user-forward {\r\n\tip saddr 192.0.2.0/24 drop # why\r\n}\n\
        chain user-forward { accept; }; chain user-prerouting {}";
    expect![[r#"
        chain user-forward {
            ip saddr 192.0.2.0/24 drop
            accept
        }
        chain user-prerouting {
            tcp dport 23 drop
        }
    "#]]
    .assert_eq(&Hooks::parse("a.nft", text).unwrap().to_string());
    assert!(Hooks::parse("empty.nft", "").unwrap().is_empty());
}

#[test]
fn files_follow_each_other_and_one_that_is_wrong_spoils_all() {
    let file = |verdict: &str| format!("chain user-forward {{ {verdict} }}");
    let (first, second) = (file("drop"), file("accept"));
    let both = Hooks::of_files([("a", &*first), ("b", &*second)]).unwrap();
    assert_eq!(
        both.to_string(),
        "chain user-forward {\n    drop\n    accept\n}\nchain user-prerouting {\n}\n"
    );
    let error = Hooks::of_files([("a", &*first), ("b", "chain"), ("c", &*second)]).unwrap_err();
    assert!(error.to_string().starts_with("b:1 is not understood: "), "{error}");
    let many = file(&"drop\n".repeat(600));
    let error = Hooks::of_files([("a", &*many), ("b", &*many)]).unwrap_err();
    assert_eq!(error.to_string(), "b is one too many: with it there are 1200 rules, and 1000 are the most");
}

#[test]
fn ranges_and_prefixes_hold_to_the_ends_of_the_numbers() {
    for rule in [
        "ip saddr 0.0.0.0/0 drop",
        "ip saddr 255.255.255.255 drop",
        "ip saddr 255.0.0.0/8 drop",
        "ip6 saddr ::/0 drop",
        "ip6 saddr 8000::/1 drop",
        "ip6 saddr ::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff drop",
        "tcp dport 0-65535 drop",
    ] {
        assert_eq!(shown(rule), rule);
    }
}

#[test]
fn what_the_documentation_shows_is_understood() {
    let example = include_str!("../../../../docs/install/nft.d/example.nft");
    let hooks = Hooks::parse("example.nft", example).unwrap();
    assert_eq!((hooks.prerouting.len(), hooks.forward.len()), (1, 5));

    let page = include_str!("../../../../docs/ports.md");
    let begin = page.find("chain user-prerouting {").expect("the page has an example");
    let end = begin + page[begin..].find("```").expect("the example has an end");
    let hooks = Hooks::parse("ports.md", &page[begin..end]).unwrap();
    assert_eq!((hooks.prerouting.len(), hooks.forward.len()), (1, 2));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_shown_reads_back_as_the_same(hooks in strategy::hooks()) {
        prop_assert_eq!(Hooks::parse("a.nft", &hooks.to_string()), Ok(hooks));
    }

    #[test]
    fn any_text_is_refused_at_one_of_its_lines_or_reads_back(text in strategy::text()) {
        match Hooks::parse("a.nft", &text) {
            Ok(hooks) => prop_assert_eq!(Hooks::parse("a.nft", &hooks.to_string()), Ok(hooks)),
            Err(error) => {
                prop_assert_eq!(error.code, Code::InvalidRules);
                let line = error.what.strip_prefix("a.nft:").and_then(|rest| rest.split(' ').next());
                let line: usize = line.unwrap().parse().unwrap();
                prop_assert!((1..=text.split('\n').count()).contains(&line), "{}", error);
                prop_assert!(!error.causes.is_empty() && error.fix.is_some(), "{:?}", error);
            }
        }
    }

    #[test]
    fn the_line_of_a_mistake_is_named(hooks in strategy::hooks(), at in any::<prop::sample::Index>()) {
        let text = hooks.to_string();
        let mut lines: Vec<&str> = text.lines().collect();
        let at = at.index(lines.len() + 1);
        lines.insert(at, "tcp dport 22 nonsense");
        let error = Hooks::parse("a.nft", &lines.join("\n")).unwrap_err();
        prop_assert_eq!(error.what, format!("a.nft:{} is not understood", at + 1));
    }
}
