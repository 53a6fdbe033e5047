//! Maps: what a port or a span leads to, and that there is one such thing at a time.

use bowline_core::Code;
use bowline_core::firewall::Element;
use bowline_core::port::Protocol::{Tcp, Udp};

use super::{in_namespace, network, port, put, seen, span};
use crate::nft::Nft;

const HERE: &str = "192.0.2.1";
const ANY: &str = "0.0.0.0";
const A: &str = "10.9.0.2";
const B: &str = "10.9.0.3";

/// The same places, leading to one endpoint and to another.
fn of_one_and_another() -> [Vec<Element>; 2] {
    let all = |to: &str, to6: &str| {
        vec![
            port(ANY, Tcp, 80, to, 80),
            port(HERE, Tcp, 81, to, 80),
            port("::", Tcp, 80, to6, 80),
            port("2001:db8::1", Tcp, 81, to6, 80),
            span(ANY, Tcp, 9000, 9100, to),
            span(HERE, Tcp, 9200, 9300, to),
            span("::", Tcp, 9000, 9100, to6),
        ]
    };
    [all(A, "fd00::2"), all(B, "fd00::3")]
}

fn both_ways(check: fn(&mut Nft)) {
    for destroys in [true, false] {
        in_namespace(move || check(&mut Nft { destroys, ..put(&[]) }));
    }
}

#[test]
fn places_move_from_one_endpoint_to_another_in_one_step() {
    both_ways(|nft| {
        let [one, another] = of_one_and_another();
        nft.change(&one, &[]).unwrap();
        for _ in 0..2 {
            nft.change(&another, &one).unwrap();
            assert_eq!(seen(nft), another.iter().cloned().collect());
        }
        nft.change(&one, &another).unwrap();
        assert_eq!(seen(nft), one.iter().cloned().collect());
    });
}

#[test]
fn a_place_that_is_taken_is_refused_and_named() {
    both_ways(|nft| {
        let [one, another] = of_one_and_another();
        nft.change(&one, &[]).unwrap();
        for other in &another {
            let error = nft.change(&[network("bl-a"), other.clone()], &[]).unwrap_err();
            assert_eq!(error.code, Code::Kernel, "{error}");
            assert_eq!(error.to_string(), format!("add element {other}: EEXIST"));
        }
        assert_eq!(seen(nft), one.iter().cloned().collect());
    });
}

#[test]
fn two_of_one_place_are_refused() {
    in_namespace(|| {
        let [one, another] = of_one_and_another();
        let mut nft = put(&[]);
        for (one, another) in one.into_iter().zip(another) {
            assert!(nft.change(&[one.clone(), another.clone()], &[]).is_err(), "{one} {another}");
            assert!(nft.put_frame(&[one, another].into()).is_err());
        }
        assert_eq!(seen(&mut nft), [].into());
    });
}

#[test]
fn deleting_what_is_gone_spares_what_has_come_in_its_place() {
    both_ways(|nft| {
        let [one, another] = of_one_and_another();
        nft.change(&another, &[]).unwrap();
        nft.change(&[], &one).unwrap();
        assert_eq!(seen(nft), another.iter().cloned().collect());
    });
}

#[test]
fn deleting_a_span_spares_one_around_it_or_beside_it() {
    both_ways(|nft| {
        let there = [span(ANY, Tcp, 9000, 9100, A), span(HERE, Udp, 9000, 9100, A)];
        nft.change(&there, &[]).unwrap();
        for absent in [
            span(ANY, Tcp, 9000, 9000, A),
            span(ANY, Tcp, 9000, 9099, A),
            span(ANY, Tcp, 9050, 9100, A),
            span(ANY, Tcp, 8000, 9200, A),
            span(HERE, Tcp, 9000, 9100, A),
            span(ANY, Udp, 9000, 9100, A),
        ] {
            nft.change(&[], &[absent.clone(), network("bl-a")]).unwrap();
            assert_eq!(seen(nft), there.iter().cloned().collect(), "{absent}");
        }
    });
}

#[test]
fn a_span_is_exchanged_for_a_wider_one_in_one_step() {
    both_ways(|nft| {
        let (narrow, wide) = (span(ANY, Tcp, 9000, 9100, A), span(ANY, Tcp, 8900, 9200, A));
        nft.change(std::slice::from_ref(&narrow), &[]).unwrap();
        nft.change(std::slice::from_ref(&wide), &[narrow]).unwrap();
        assert_eq!(seen(nft), [wide].into());
    });
}

#[test]
fn a_span_that_ends_within_another_is_refused() {
    in_namespace(|| {
        let there = span(ANY, Tcp, 9000, 9100, A);
        let mut nft = put(std::slice::from_ref(&there));
        for overlapping in [
            span(ANY, Tcp, 9000, 9060, B),
            span(ANY, Tcp, 9050, 9060, B),
            span(ANY, Tcp, 9050, 9160, B),
            span(ANY, Tcp, 8000, 9100, B),
            span(HERE, Tcp, 9050, 9060, B),
        ] {
            let error = nft.change(std::slice::from_ref(&overlapping), &[]).unwrap_err();
            assert_eq!(error.code, Code::Kernel, "{error}");
        }
        nft.change(&[span(HERE, Udp, 9050, 9060, B)], &[]).unwrap();
        assert_eq!(seen(&mut nft), [there, span(HERE, Udp, 9050, 9060, B)].into());
    });
}
