//! The constant part: put, shown, found whole or not.

use std::collections::BTreeSet;

use bowline_core::Code;
use bowline_core::firewall::{Element, FRAME};

use super::{in_namespace, listing, many, net, network, put, run, seen};
use crate::nft::Nft;

const LISTED: &str = "\
table inet bowline {
    set networks {
        type ifname
    }
    set within {
        type ifname . ifname
    }
    set apart {
        type ifname . ifname
    }
    set internal {
        type ifname
    }
    set open {
        type ifname
    }
    set strict {
        type ifname
    }
    set masquerade4 {
        type ipv4_addr
        flags interval
    }
    set masquerade6 {
        type ipv6_addr
        flags interval
    }
    chain forward {
        type filter hook forward priority filter; policy accept;
        iifname . oifname @within accept
        iifname . oifname @apart drop
        iifname @internal drop
        oifname @internal drop
        ct state established,related accept
        iifname @networks oifname @strict drop
        oifname @networks ct status dnat accept
        oifname @open accept
        oifname @networks drop
    }
    chain input {
        type filter hook input priority filter; policy accept;
        iifname @internal ct state established,related accept
        iifname @internal icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
        iifname @internal drop
    }
    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr @masquerade4 oifname != @networks masquerade
        ip6 saddr @masquerade6 oifname != @networks masquerade
    }
}
";

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
        for chain in FRAME {
            let text = run("nft", &["list", "chain", "inet", "bowline", chain.name]);
            let shown: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
            let ours: Vec<String> = chain.rules.iter().map(ToString::to_string).collect();
            // Before the rules: the table, the chain, its hook. After them: two braces.
            let start = shown.iter().position(|line| line.starts_with("type ")).unwrap() + 1;
            assert_eq!(shown[start..shown.len() - 2], ours, "{}", chain.name);
        }
    });
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
    check("add element inet bowline within { bl-0 . bl-1 }");
    check("add element inet bowline masquerade4 { 192.0.2.1-192.0.2.4 }");
    check("add set inet bowline more { type ifname; }");
    check("delete table inet bowline");
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
