//! The constant part: put, shown, found whole or not.

use std::collections::BTreeSet;
use std::io::Write;

use bowline_core::Code;
use bowline_core::firewall::{Element, FRAME};

use super::{in_namespace, listing, many, net, network, put, run, seen};
use crate::nft::Nft;

const LISTED: &str = include_str!("listing.nft");

fn listed() -> String {
    LISTED.lines().map(|line| format!("{}\n", line.trim())).collect()
}

#[test]
fn nft_shows_every_set_chain_and_rule() {
    in_namespace(|| {
        let _nft = put(&[]);
        assert_eq!(listing(), listed());
    });
}

#[test]
fn nft_shows_each_rule_as_we_do() {
    in_namespace(|| {
        let _nft = put(&[]);
        let shown = listing();
        for chain in FRAME {
            let rules = chain.rules.iter().map(|rule| spelt(&rule.to_string()) + "\n").collect::<String>();
            let ours = match chain.base {
                Some(_) => format!("policy accept;\n{rules}}}\n"),
                None => format!("chain {} {{\n{rules}}}\n", chain.name),
            };
            assert!(shown.contains(&ours), "{}: {ours}", chain.name);
        }
    });
}

#[test]
fn nft_takes_what_it_shows() {
    // This `nft` shows the address in a neighbour's message, and which card a route leads to as one of a set, but reads
    // neither.
    let text = listed()
        .replace("@th,64,128", "ip6 daddr")
        .replace("fib saddr oifname @networks", "iifname @networks");
    in_namespace(move || {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        run("nft", &["-f", file.path().to_str().unwrap()]);
        assert_eq!(listing(), text);
    });
}

/// As `nft` 1.0.6 writes it, which has a word for some numbers, and none for the address in a neighbour's message. What a
/// frame is of we ask of the packet, for its header tells of a tag first.
fn spelt(rule: &str) -> String {
    let words = [
        ("icmpv6 type 134", "icmpv6 type nd-router-advert"),
        ("icmpv6 type 136", "icmpv6 type nd-neighbor-advert"),
        ("icmpv6 type 137", "icmpv6 type nd-redirect"),
        ("icmpv6 taddr", "@th,64,128"),
    ];
    words.iter().fold(rule.to_string(), |rule, (ours, theirs)| rule.replace(ours, theirs))
}

#[test]
fn putting_it_twice_replaces_elements_and_nothing_else() {
    in_namespace(|| {
        let mut nft = put(&[network("bl-a"), net("10.0.0.0/24")]);
        let second: BTreeSet<Element> = [network("bl-b"), net("10.0.0.0/23")].into();
        nft.put_frame(&second).unwrap();
        assert_eq!(seen(&mut nft), second);
        nft.put_frame(&BTreeSet::new()).unwrap();
        assert_eq!(listing(), listed());
    });
}

#[test]
fn a_table_by_somebody_else_is_replaced() {
    in_namespace(|| {
        run(
            "nft",
            &["add table inet bowline; add chain inet bowline theirs; add rule inet bowline theirs drop"],
        );
        assert_eq!(Nft::open().unwrap().elements().unwrap(), None);
        let _nft = put(&[]);
        assert_eq!(listing(), listed());
    });
}

#[test]
fn deleting_it_leaves_nothing_and_may_find_nothing() {
    in_namespace(|| {
        let mut nft = Nft::open().unwrap();
        nft.del_frame().unwrap();
        nft.put_frame(&[network("bl-a")].into()).unwrap();
        nft.del_frame().unwrap();
        nft.del_frame().unwrap();
        assert_eq!(run("nft", &["list", "ruleset"]), "");
        assert_eq!(nft.elements().unwrap(), None);
    });
}

#[test]
fn other_tables_stay_as_they_are() {
    in_namespace(|| {
        run(
            "nft",
            &["table ip bowline { map m { type ipv4_addr : verdict; elements = { 10.0.0.1 : drop }; }; }
               table inet other { set networks { type ifname; elements = { eth0 }; }; chain forward {
               type filter hook forward priority 0; policy drop; ct count over 3 drop; }; }"],
        );
        let others = || {
            let list = |family, name| run("nft", &["-a", "list", "table", family, name]);
            list("ip", "bowline") + &list("inet", "other")
        };
        let before = others();
        let mut nft = put(&[network("bl-a")]);
        nft.change(&[network("bl-b")], &[network("bl-a")]).unwrap();
        assert_eq!(seen(&mut nft), [network("bl-b")].into());
        nft.put_frame(&BTreeSet::new()).unwrap();
        nft.del_frame().unwrap();
        assert_eq!(others(), before);
    });
}

#[test]
fn a_frame_that_somebody_changed_counts_as_not_there() {
    let check = |meddling: &'static str| {
        in_namespace(move || {
            let mut nft = Nft::open().unwrap();
            // As on a kernel where anybody may change it.
            nft.owns = false;
            nft.put_frame(&many(2)).unwrap();
            assert_eq!(seen(&mut nft), many(2), "before: {meddling}");
            run("nft", &[meddling]);
            assert_eq!(nft.elements().unwrap(), None, "{meddling}");
            nft.put_frame(&many(2)).unwrap();
            assert_eq!(seen(&mut nft), many(2), "after: {meddling}");
        });
    };
    check("flush table inet bowline");
    check("add chain inet bowline more");
    check("add rule inet bowline input accept");
    check("insert rule inet bowline forward accept");
    check(
        "flush chain inet bowline input; add rule inet bowline input accept; add rule inet bowline input accept; add rule inet bowline input accept",
    );
    check("chain inet bowline forward { policy drop; }");
    check("add table inet bowline { flags dormant; }");
    check("add element inet bowline within { bl-0 . bl-1 }");
    check("add element inet bowline here4 { 192.0.2.1 . icmp . 1 : 10.0.0.1 . 1 }");
    check("add element inet bowline spans4 { 192.0.2.0/24 . tcp . 1-9 : 10.0.0.1 }");
    check("add element inet bowline shut { ipv4 . 99 . 1 }");
    check("flush chain inet bowline publish");
    check("add rule bridge bowline prerouting accept");
    check("add chain bridge bowline more");
    check("delete table bridge bowline");
    check("add element inet bowline masquerade4 { 192.0.2.1-192.0.2.4 }");
    check("add set inet bowline more { type ifname; }");
    check("delete table inet bowline");
}

#[test]
fn the_administrators_own_rules_are_none_of_the_frame() {
    in_namespace(|| {
        let mut nft = Nft { owns: false, ..Nft::open().unwrap() };
        nft.put_frame(&many(2)).unwrap();
        run("nft", &["add rule inet bowline user-forward tcp dport { 25, 465 } drop"]);
        run("nft", &["add rule inet bowline user-prerouting counter accept"]);
        assert_eq!(seen(&mut nft), many(2));
        run("nft", &["flush chain inet bowline forward; delete chain inet bowline user-forward"]);
        assert_eq!(nft.elements().unwrap(), None, "but their chains are");
    });
}

#[test]
fn what_a_user_may_not_do_is_denied() {
    in_namespace(|| {
        let mut nft = put(&[]);
        become_nobody();
        let error = nft.put_frame(&BTreeSet::new()).unwrap_err();
        assert_eq!(error.code, Code::Denied, "{error}");
        assert_eq!(error.to_string(), "change the firewall: EPERM");
    });
}

/// Only the calling thread.
#[allow(unsafe_code)]
fn become_nobody() {
    const NOBODY: libc::uid_t = 65534;
    // SAFETY: the call takes three numbers and touches no memory. The C library's wrapper would change all threads.
    let result = unsafe { libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) };
    assert_eq!(result, 0);
}

#[test]
fn a_refusal_names_what_was_sent_and_why() {
    in_namespace(|| {
        let error = Nft::open().unwrap().change(&[network("bl-front")], &[]).unwrap_err();
        assert_eq!(
            (error.code, error.to_string().as_str()),
            (Code::Kernel, "add element networks { bl-front }: ENOENT")
        );

        let mut nft = put(&[net("10.0.0.0/16")]);
        let error = nft.change(&[net("10.9.0.0/24"), net("10.0.5.0/24")], &[]).unwrap_err();
        assert_eq!(error.code, Code::Kernel);
        assert!(error.to_string().starts_with("add element masquerade4 { 10.0.5.0/24 }: "), "{error}");
        assert_eq!(seen(&mut nft), [net("10.0.0.0/16")].into(), "nothing of it was done");
    });
}
