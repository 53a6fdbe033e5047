//! Elements: put, changed, and read back as they were.

use std::collections::BTreeSet;

use bowline_core::Code;
use bowline_core::firewall::Element;

use super::{every_kind, in_namespace, many, net, network, put, run, seen};
use crate::nft::Nft;

fn survives(elements: BTreeSet<Element>) {
    in_namespace(move || {
        let mut nft = Nft::open().unwrap();
        nft.put_frame(&elements).unwrap();
        assert_eq!(seen(&mut nft), elements);
        nft.put_frame(&BTreeSet::new()).unwrap();
        assert_eq!(seen(&mut nft), BTreeSet::new());
        let list: Vec<Element> = elements.iter().cloned().collect();
        nft.change(&list, &[]).unwrap();
        assert_eq!(seen(&mut nft), elements);
        nft.change(&[], &list).unwrap();
        assert_eq!(seen(&mut nft), BTreeSet::new());
    });
}

#[test]
fn one_network_reads_back() {
    survives(many(1));
}

#[test]
fn three_networks_read_back() {
    survives(many(3));
}

#[test]
fn two_thousand_networks_read_back() {
    survives(many(2000));
}

#[test]
fn every_kind_of_element_reads_back() {
    survives(every_kind());
}

#[test]
fn prefixes_at_the_edges_read_back() {
    for prefixes in [
        &["0.0.0.0/0", "::/0"][..],
        &["0.0.0.0/8", "255.0.0.0/8", "::/16", "ffff::/16"],
        &["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"],
        &["255.255.254.0/24", "255.255.255.0/24", "fffe::/16", "ffff::/16"],
        &["255.255.255.255/32", "255.255.255.254/32", "10.0.0.0/32", "10.0.0.1/32", "10.0.0.2/31"],
    ] {
        survives(prefixes.iter().map(|text| net(text)).collect());
    }
}

#[test]
fn nft_shows_the_elements_as_we_do() {
    in_namespace(|| {
        let mut nft = put(&[]);
        for element in every_kind() {
            nft.put_frame(&[element.clone()].into()).unwrap();
            let ours = element.to_string();
            let (_, ours) = ours.split_once(' ').unwrap();
            let shown = run("nft", &["list", "ruleset"]);
            assert!(shown.replace('"', "").contains(&format!("elements = {ours}")), "{element}: {shown}");
        }
    });
}

#[test]
fn touching_prefixes_are_two_to_nft_and_go_one_by_one() {
    in_namespace(|| {
        let (low, high) = (net("10.0.0.0/24"), net("10.0.1.0/24"));
        let mut nft = put(std::slice::from_ref(&low));
        nft.change(std::slice::from_ref(&high), &[]).unwrap();
        let shown = run("nft", &["list", "set", "inet", "bowline", "masquerade4"]);
        assert!(shown.contains("10.0.0.0/24, 10.0.1.0/24"), "{shown}");
        nft.change(&[], std::slice::from_ref(&low)).unwrap();
        assert_eq!(seen(&mut nft), [high.clone()].into());
        nft.change(std::slice::from_ref(&low), &[]).unwrap();
        nft.change(&[], &[high]).unwrap();
        assert_eq!(seen(&mut nft), [low].into());
    });
}

#[test]
fn changes_may_be_made_twice() {
    changes_twice(Nft::open);
}

#[test]
fn changes_may_be_made_twice_where_the_kernel_cannot_destroy() {
    changes_twice(|| Ok(Nft { destroys: false, ..Nft::open()? }));
}

fn changes_twice(open: fn() -> bowline_core::Result<Nft>) {
    in_namespace(move || {
        let mut nft = open().unwrap();
        let all: BTreeSet<Element> = many(3).into_iter().chain(every_kind()).collect();
        let expected = all.clone();
        let all: Vec<Element> = all.into_iter().collect();
        nft.change(&[], &all).unwrap();
        nft.put_frame(&BTreeSet::new()).unwrap();
        for _ in 0..2 {
            nft.change(&all, &[]).unwrap();
            assert_eq!(seen(&mut nft), expected);
        }
        nft.change(&all, &all).unwrap();
        assert_eq!(seen(&mut nft), expected, "deleted and added at once");
        for _ in 0..2 {
            nft.change(&[], &all[..4]).unwrap();
            assert_eq!(seen(&mut nft), all[4..].iter().cloned().collect());
        }
        for _ in 0..2 {
            nft.change(&[], &all).unwrap();
            assert_eq!(seen(&mut nft), BTreeSet::new());
        }
        nft.change(&[], &[]).unwrap();
    });
}

#[test]
fn order_repetition_and_host_bits_do_not_matter() {
    in_namespace(|| {
        let mut nft = put(&[net("10.7.0.0/16")]);
        let add = [
            net("255.255.255.0/24"),
            network("bl-b"),
            net("10.0.1.9/24"),
            net("fd00::7/64"),
            net("10.0.0.0/24"),
            network("bl-a"),
            net("10.0.1.0/24"),
            network("bl-b"),
        ];
        nft.change(&add, &[net("10.7.3.3/16"), net("10.7.0.0/16"), network("bl-none")]).unwrap();
        let expected = ["255.255.255.0/24", "10.0.0.0/24", "10.0.1.0/24", "fd00::/64"].map(net);
        let expected: BTreeSet<_> = expected.into_iter().chain([network("bl-a"), network("bl-b")]).collect();
        assert_eq!(seen(&mut nft), expected);
    });
}

#[test]
fn a_prefix_is_exchanged_for_a_wider_one_in_one_step() {
    in_namespace(|| {
        let mut nft = put(&[net("10.0.0.0/24"), network("bl-a")]);
        nft.change(&[net("10.0.0.0/16"), network("bl-a")], &[net("10.0.0.0/24"), network("bl-a")]).unwrap();
        assert_eq!(seen(&mut nft), [net("10.0.0.0/16"), network("bl-a")].into());
    });
}

#[test]
fn deleting_a_prefix_spares_one_that_shares_an_end_with_it() {
    in_namespace(|| {
        let there: BTreeSet<_> = ["10.0.0.0/16", "192.168.0.0/23", "255.0.0.0/16"].map(net).into();
        let mut nft = Nft::open().unwrap();
        nft.put_frame(&there).unwrap();
        for absent in
            ["10.0.0.0/24", "10.0.255.0/24", "192.168.1.0/24", "0.0.0.0/0", "255.0.0.0/8", "10.0.0.0/8"]
        {
            nft.change(&[], &[network("bl-a"), net(absent)]).unwrap();
            assert_eq!(seen(&mut nft), there, "{absent}");
        }
    });
}

#[test]
fn a_prefix_that_overlaps_another_is_refused() {
    in_namespace(|| {
        let there: BTreeSet<_> = [net("10.0.0.0/16")].into();
        let mut nft = Nft::open().unwrap();
        nft.put_frame(&there).unwrap();
        for overlapping in ["10.0.0.0/24", "10.0.7.0/24", "10.0.255.0/24", "10.0.0.0/15", "10.0.0.0/8"] {
            let error = nft.change(&[net(overlapping)], &[]).unwrap_err();
            assert_eq!(error.code, Code::Kernel, "{error}");
            assert_eq!(seen(&mut nft), there, "{overlapping}");
        }
    });
}

#[test]
fn deleting_from_a_table_that_somebody_changed_is_not_taken_for_done() {
    in_namespace(|| {
        let mut nft = Nft { owns: false, destroys: false, ..Nft::open().unwrap() };
        nft.put_frame(&many(1)).unwrap();
        run("nft", &["add rule inet bowline forward accept"]);
        assert_eq!(nft.change(&[], &[network("bl-0")]).unwrap_err().code, Code::Kernel);
        run("nft", &["delete table inet bowline"]);
        assert_eq!(nft.change(&[], &[network("bl-0")]).unwrap_err().code, Code::Kernel);
        run("nft", &["delete table bridge bowline"]);
        nft.change(&[], &[network("bl-0")]).unwrap();
    });
}

#[test]
fn a_refused_change_is_none_at_all() {
    in_namespace(|| {
        let mut nft = put(&[net("10.0.0.0/16")]);
        assert!(nft.change(&[network("bl-a"), net("10.0.9.0/24")], &[]).is_err());
        assert_eq!(seen(&mut nft), [net("10.0.0.0/16")].into());
        nft.change(&[network("bl-a")], &[]).unwrap();
        assert_eq!(seen(&mut nft).len(), 2, "answers to the refused one are not taken for this one's");
    });
}

#[test]
fn answers_that_do_not_fit_the_socket_are_not_waited_for() {
    in_namespace(|| {
        let mut nft = put(&[net("10.0.0.0/8")]);
        nft.socket.shrink();
        let overlapping: Vec<Element> =
            (0..20_000_u32).map(|i| net(&format!("10.{}.{}.0/24", i >> 8, i & 255))).collect();
        let error = nft.change(&overlapping, &[]).unwrap_err();
        assert_eq!(error.code, Code::Busy, "{error}");
        nft.change(&[network("bl-a")], &[net("10.0.0.0/8")]).unwrap();
        nft.change(&overlapping, &[]).unwrap();
        assert_eq!(seen(&mut nft).len(), 20_001);
    });
}
