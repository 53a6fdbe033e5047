use super::*;
use bowline_core::mac::Mac;

use crate::message::Kind;

fn ack(options: &[(u8, &[u8])]) -> Message {
    let mut message = Message::new(Kind::Ack, 7, Mac([2, 0, 0, 0, 0, 1]));
    message.is_reply = true;
    message.yiaddr = Ipv4Addr::new(192, 0, 2, 9);
    let usual: [(u8, &[u8]); 4] = [
        (option::SERVER, &[192, 0, 2, 1]),
        (option::MASK, &[255, 255, 255, 0]),
        (option::LEASE_TIME, &[0, 0, 0, 120]),
        (option::ROUTER, &[192, 0, 2, 254]),
    ];
    let all = usual.iter().chain(options);
    message.options.extend(all.map(|(code, value)| (*code, value.to_vec())));
    message
}

fn given(options: &[(u8, &[u8])]) -> Lease {
    lease(&ack(options), Duration::from_secs(1000)).unwrap()
}

fn seconds(lease: &Lease) -> [f64; 3] {
    [lease.renew, lease.rebind, lease.expires].map(|at| at.as_secs_f64() - 1000.0)
}

#[test]
fn what_a_server_says_is_what_a_lease_holds() {
    let lease = given(&[
        (option::DNS, &[192, 0, 2, 53, 127, 0, 0, 1, 198, 51, 100, 53]),
        (option::MTU, &[5, 120]),
        (option::DOMAIN, b"example.org"),
    ]);
    assert_eq!(lease.address.to_string(), "192.0.2.9/24");
    assert_eq!(lease.gateway(), Some(Ipv4Addr::new(192, 0, 2, 254)));
    assert_eq!(lease.dns, [Ipv4Addr::new(192, 0, 2, 53), Ipv4Addr::new(198, 51, 100, 53)]);
    assert_eq!((lease.mtu, lease.search.as_slice()), (Some(1400), &["example.org".to_string()][..]));
    assert_eq!(seconds(&lease), [60.0, 105.0, 120.0]);
}

#[test]
fn times_that_do_not_fit_are_chosen_anew() {
    let t = |seconds: u32| seconds.to_be_bytes();
    let of = |t1, t2| seconds(&given(&[(option::T1, &t(t1)), (option::T2, &t(t2))]));
    assert_eq!(of(2, 6), [2.0, 6.0, 120.0]);
    assert_eq!(of(0, 6), [6.0, 6.0, 120.0]);
    assert_eq!(of(200, 300), [60.0, 105.0, 120.0]);
    assert_eq!(of(50, 40), [40.0, 40.0, 120.0]);
}

#[test]
fn a_lease_without_an_end_has_no_times() {
    let lease = given(&[(option::LEASE_TIME, &[255; 4])]);
    assert_eq!([lease.renew, lease.rebind, lease.expires], [Lease::NEVER; 3]);
}

#[test]
fn what_is_no_lease() {
    let refused: [(u8, &[u8]); 7] = [
        (option::SERVER, &[0, 0, 0, 0]),
        (option::SERVER, &[192, 0, 2]),
        (option::MASK, &[255, 0, 255, 0]),
        (option::MASK, &[0, 0, 0, 0]),
        (option::MASK, &[255, 255, 255, 248 + 7 - 7]),
        (option::LEASE_TIME, &[0, 0, 0, 4]),
        (option::LEASE_TIME, &[1, 0]),
    ];
    for option in refused {
        // 192.0.2.8/29 is a network's own address; the others are no good for 192.0.2.9.
        let mut message = ack(&[option]);
        if option == (option::MASK, &[255, 255, 255, 248][..]) {
            message.yiaddr = Ipv4Addr::new(192, 0, 2, 8);
        }
        assert_eq!(lease(&message, Duration::ZERO), None, "{option:?}");
    }
    for address in [[0, 0, 0, 0], [127, 0, 0, 2], [224, 0, 0, 1], [192, 0, 2, 255], [192, 0, 2, 0], [255; 4]]
    {
        let mut message = ack(&[]);
        message.yiaddr = address.into();
        assert_eq!(lease(&message, Duration::ZERO), None, "{address:?}");
    }
}

#[test]
fn a_subnet_without_a_mask_is_that_of_its_class() {
    let mut message = ack(&[]);
    message.options.remove(&option::MASK);
    assert_eq!(lease(&message, Duration::ZERO).unwrap().address.prefix(), 24);
}

fn routes_of(value: &[u8]) -> Vec<String> {
    let via = |route: &LeaseRoute| route.via.map_or("link".into(), |via| via.to_string());
    given(&[(option::ROUTES, value)]).routes.iter().map(|r| format!("{} {}", r.to, via(r))).collect()
}

#[test]
fn routes_take_the_place_of_the_router() {
    let value = [0, 192, 0, 2, 1, 8, 10, 192, 0, 2, 2, 25, 198, 51, 100, 255, 0, 0, 0, 0];
    assert_eq!(routes_of(&value), ["0.0.0.0/0 192.0.2.1", "10.0.0.0/8 192.0.2.2", "198.51.100.128/25 link"]);
}

#[test]
fn routes_that_make_no_sense_are_left_out() {
    assert_eq!(routes_of(&[33, 1, 2, 3, 4, 5, 192, 0, 2, 1]), ["0.0.0.0/0 192.0.2.254"], "the router holds");
    assert_eq!(routes_of(&[8, 10, 192, 0, 2]), ["0.0.0.0/0 192.0.2.254"]);
    assert_eq!(
        routes_of(&[8, 10, 203, 0, 113, 1, 0, 0, 0, 0, 0]),
        [""; 0],
        "no neighbour, and all on the link"
    );
    assert_eq!(
        routes_of(&[8, 10, 192, 0, 2, 1, 8, 10, 192, 0, 2, 2]),
        ["10.0.0.0/8 192.0.2.1"],
        "one to each"
    );
    let many: Vec<u8> = (0..100).flat_map(|n| [16, 10, n, 192, 0, 2, 1]).collect();
    assert_eq!(routes_of(&many).len(), MOST);
}

fn search_of(value: &[u8]) -> Vec<String> {
    given(&[(option::SEARCH, value), (option::DOMAIN, b"own.example.")]).search
}

#[test]
fn domains_are_read_with_their_pointers() {
    assert_eq!(
        search_of(b"\x03eng\x05apple\x03com\0\x09marketing\xc0\x04"),
        ["eng.apple.com", "marketing.apple.com"]
    );
}

#[test]
fn domains_that_make_no_sense_are_left_out() {
    let own = ["own.example"];
    for value in [
        &b"\xc0\0"[..],
        b"\x03eng\xc0\x04",
        b"\x03eng\xc0\0",
        b"\x03en",
        b"\x05a b c\0",
        b"\0",
        b"\x80\0",
        b"\xc0",
        b"",
    ] {
        assert_eq!(search_of(value), own, "{value:?}");
    }
    let long: Vec<u8> = std::iter::repeat_n(*b"\x07example", 40).flatten().chain([0]).collect();
    assert_eq!(search_of(&long), own);
    assert_eq!(given(&[(option::DOMAIN, b"nasty\nname")]).search, [""; 0]);
}
