//! Whose the table is: ours while we live, and the next one's after.

use std::collections::BTreeSet;

use bowline_core::Code;
use bowline_core::firewall::Element;

use super::{abandon, in_namespace, many, network, output, put, run, seen};
use crate::nft::Nft;

#[test]
fn a_flush_of_the_whole_ruleset_spares_our_table() {
    in_namespace(|| {
        let mut nft = put(&[network("bl-a")]);
        run("nft", &["add table inet other"]);
        run("nft", &["flush ruleset"]);
        assert!(!run("nft", &["list tables"]).contains("other"));
        assert_eq!(seen(&mut nft), [network("bl-a")].into());
        assert!(!output("nft", &["delete table inet bowline"]).status.success());
        assert!(!output("nft", &["delete table bridge bowline"]).status.success());
    });
}

#[test]
fn a_second_process_is_told_who_owns_the_table() {
    in_namespace(|| {
        let mut first = put(&[network("bl-a")]);
        let mut second = Nft::open().unwrap();
        assert_eq!(seen(&mut second), [network("bl-a")].into(), "anybody may look");
        let attempts = [
            second.put_frame(&BTreeSet::new()),
            second.change(&[network("bl-b")], &[]),
            second.change(&[], &[network("bl-a")]),
            second.del_frame(),
            second.claim(),
        ];
        for error in attempts.map(Result::unwrap_err) {
            assert_eq!(error.code, Code::DaemonRunning, "{error}");
            assert!(error.to_string().contains(&first.socket.port().to_string()), "{error}");
        }
        first.change(&[network("bl-b")], &[]).unwrap();
        assert_eq!(seen(&mut first), [network("bl-a"), network("bl-b")].into());
    });
}

#[test]
fn a_table_outlives_its_owner_and_is_put_anew_by_the_next() {
    in_namespace(|| {
        let mut next = abandon(put(&[network("bl-a")]));
        assert_eq!(seen(&mut next), [network("bl-a")].into());
        next.put_frame(&many(2)).unwrap();
        assert_eq!(seen(&mut next), many(2));
        run("nft", &["flush ruleset"]);
        assert_eq!(seen(&mut next), many(2));
    });
}

#[test]
fn a_table_left_behind_is_claimed_by_a_claim_or_the_first_change() {
    in_namespace(|| {
        let mut first = Nft::open().unwrap();
        first.claim().unwrap();
        first.put_frame(&[network("bl-a")].into()).unwrap();
        let mut next = abandon(first);
        next.claim().unwrap();
        next.claim().unwrap();
        assert!(next.is_owner());
        run("nft", &["flush ruleset"]);
        assert_eq!(seen(&mut next), [network("bl-a")].into());

        let mut next = abandon(next);
        next.change(&[network("bl-b")], &[]).unwrap();
        run("nft", &["flush ruleset"]);
        assert_eq!(seen(&mut next), [network("bl-a"), network("bl-b")].into());
    });
}

#[test]
fn a_plain_table_becomes_an_owned_one_when_put() {
    in_namespace(|| {
        let mut old = Nft { owns: false, ..Nft::open().unwrap() };
        old.put_frame(&many(1)).unwrap();
        let mut new = Nft::open().unwrap();
        new.change(&[network("bl-b")], &[]).unwrap();
        new.put_frame(&many(2)).unwrap();
        run("nft", &["flush ruleset"]);
        assert_eq!(seen(&mut new), many(2));
    });
}

#[test]
fn a_table_left_behind_can_be_deleted_by_anybody() {
    in_namespace(|| {
        abandon(put(&[])).del_frame().unwrap();
        assert_eq!(run("nft", &["list ruleset"]), "");
    });
}

#[test]
fn reading_goes_on_while_others_change_their_tables() {
    in_namespace(|| {
        let mut nft = put(&[]);
        nft.put_frame(&many(500)).unwrap();
        run("nft", &["add table ip other; add set ip other s { type mark; }"]);
        let mut script = String::from("i=0; while [ $i -lt 20 ]; do nft add element ip other s { $i }; ");
        script.push_str("i=$((i+1)); done");
        let mut other = std::process::Command::new("sh").args(["-c", &script]).spawn().unwrap();
        let mut looks = 0;
        while other.try_wait().unwrap().is_none() || looks == 0 {
            assert_eq!(seen(&mut nft), many(500));
            looks += 1;
        }
    });
}

#[test]
fn released_tables_stay_as_they_are_and_are_anybodys() {
    in_namespace(|| {
        let mut nft = put(&many(2).into_iter().collect::<Vec<_>>());
        assert!(nft.is_owner());
        nft.disown();
        nft.put_frame(&many(1)).unwrap();
        assert!(!nft.is_owner());
        drop(nft);
        let mut next = Nft::open().unwrap();
        assert_eq!(seen(&mut next), many(1));
        next.claim().unwrap();
        assert!(!next.is_owner(), "what is nobody's is no more claimed than what is another's");
        assert!(!run("nft", &["list ruleset"]).contains("owner"));
        run("nft", &["flush ruleset"]);
        assert_eq!(run("nft", &["list ruleset"]), "");
    });
}

#[test]
fn a_table_that_is_left_of_two_is_claimed_and_replaced() {
    let check = |family: &'static str| {
        in_namespace(move || {
            let mut next = abandon(put(&[network("bl-a")]));
            run("nft", &[&format!("delete table {family} bowline")]);
            assert_eq!(next.elements().unwrap(), None);
            next.claim().unwrap();
            assert!(!next.is_owner());
            next.put_frame(&many(1)).unwrap();
            assert!(next.is_owner());
            assert_eq!(seen(&mut next), many(1));
        });
    };
    check("inet");
    check("bridge");
}

#[test]
fn either_table_of_another_process_is_left_alone() {
    in_namespace(|| {
        let _first = put(&[network("bl-a")]);
        let mut second = Nft::open().unwrap();
        let guarded = Element::Guarded("a".parse().unwrap());
        for element in [network("bl-b"), guarded] {
            let mut blind = Nft { settled: true, ..Nft::open().unwrap() };
            assert_eq!(blind.change(&[element], &[]).unwrap_err().code, Code::DaemonRunning);
        }
        assert!(second.claim().is_err());
        assert!(!second.is_owner());
    });
}
