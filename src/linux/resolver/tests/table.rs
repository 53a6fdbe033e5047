//! The table itself, with `nft` as the witness.

use bowline_core::Code;

use super::{container, ears, inside, run};
use crate::resolver::{is_leading_to, is_rewriting, lead_to, make};

const SHOWN: &str = "table ip bowline {
	chain queries {
		udp dport 53 udp dport set 11 accept
		tcp dport 53 tcp dport set 11 accept
	}

	chain answers {
		udp sport 11 udp sport set 53 accept
		tcp sport 11 tcp sport set 53 accept
	}

	chain output {
		type filter hook output priority raw; policy accept;
		ip daddr 127.0.0.11 jump queries
		ip saddr 127.0.0.11 jump answers
	}
}
";

#[test]
fn nft_reads_what_was_meant() {
    let ns = container();
    let _ears = ears(&ns);
    assert_eq!(inside(&ns, || run("nft", &["list", "ruleset"])), SHOWN);
}

#[test]
fn twice_is_once() {
    let ns = container();
    let ears = ears(&ns);
    inside(&ns, || lead_to(&ears)).unwrap();
    assert_eq!(inside(&ns, || run("nft", &["list", "ruleset"])), SHOWN);
    assert!(inside(&ns, || is_leading_to(&ears)).unwrap());
}

#[test]
fn newer_ears_are_the_ones_that_are_led_to() {
    let ns = container();
    let older = ears(&ns);
    let newer = ears(&ns);
    assert!(inside(&ns, || is_leading_to(&newer)).unwrap());
    assert!(!inside(&ns, || is_leading_to(&older)).unwrap());
}

#[test]
fn other_tables_are_let_be() {
    let ns = container();
    let other = ["add", "table", "ip", "other"];
    inside(&ns, || run("nft", &other));
    let _ears = ears(&ns);
    inside(&ns, crate::resolver::unmake).unwrap();
    assert_eq!(inside(&ns, || run("nft", &["list", "tables"])), "table ip other\n");
}

#[test]
fn what_somebody_else_changed_is_seen_and_put_right() {
    let changes = [
        "flush ruleset",
        "delete table ip bowline",
        "flush chain ip bowline output",
        "flush chain ip bowline queries",
        "add rule ip bowline output drop",
        "insert rule ip bowline answers accept",
        "add chain ip bowline more",
        "add table ip bowline { flags dormant; }",
        "add chain ip bowline output { policy drop; }",
        "flush chain ip bowline answers; add rule ip bowline answers udp sport 12 udp sport set 53 accept; add rule ip bowline answers tcp sport 11 tcp sport set 53 accept",
    ];
    let ns = container();
    let ears = ears(&ns);
    for change in changes {
        assert!(inside(&ns, is_rewriting).unwrap(), "before: {change}");
        inside(&ns, || run("nft", &[change]));
        assert!(!inside(&ns, is_rewriting).unwrap(), "after: {change}");
        inside(&ns, || lead_to(&ears)).unwrap();
    }
    assert_eq!(inside(&ns, || run("nft", &["list", "ruleset"])), SHOWN);
}

#[test]
fn without_the_loopbacks_address_it_says_so() {
    let ns = container();
    inside(&ns, || run("ip", &["addr", "del", "127.0.0.1/8", "dev", "lo"]));
    let error = inside(&ns, make).unwrap_err();
    assert_eq!(error.code, Code::Kernel);
    assert_eq!(
        error.fix.as_deref(),
        Some("give the container its loopback back: ip addr add 127.0.0.1/8 dev lo"),
        "{error}"
    );
    assert_eq!(inside(&ns, || run("nft", &["list", "ruleset"])), "");
}

#[test]
fn a_table_that_is_anothers_is_refused_in_words() {
    let ns = container();
    // Held by a process that owns it, as `nft -i` does for as long as it runs.
    let mut owner = inside(&ns, || {
        let mut nft = std::process::Command::new("nft");
        nft.arg("-i").stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
        nft.spawn().unwrap()
    });
    let mut words = owner.stdin.take().unwrap();
    std::io::Write::write_all(&mut words, b"add table ip bowline { flags owner; }\n").unwrap();
    let deadline = std::time::Instant::now() + super::PATIENCE;
    while !inside(&ns, || run("nft", &["list", "tables"])).contains("bowline") {
        assert!(std::time::Instant::now() < deadline, "nft does not make its table");
        std::thread::yield_now();
    }
    let error = inside(&ns, make).unwrap_err();
    drop(words);
    owner.wait().unwrap();
    assert_eq!(error.code, Code::Denied, "{error}");
    assert!(error.to_string().contains("table ip bowline"), "{error}");
}
