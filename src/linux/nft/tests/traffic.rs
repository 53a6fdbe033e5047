//! What the frame does to packets: who reaches whom.
//!
//! That something does not arrive is seen without waiting: after it, something is sent the same way that does.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use bowline_core::family::Family;
use bowline_core::firewall::Element;

use super::net;
use super::world::{HOST_OUTSIDE, OUTSIDE, PORT, World, ip, listen, next, send, two_networks, was};

fn internal(link: &str) -> Element {
    Element::Internal(link.parse().unwrap())
}

fn open(link: &str) -> Element {
    Element::Open(Family::V4, link.parse().unwrap())
}

#[test]
fn members_of_one_network_reach_each_other() {
    let world = World::new([two_networks(), vec![internal("bl-a")]].concat());
    let hears = listen(&world.a[1]);
    send(&world.a[0], "10.1.0.3", "hello");
    assert_eq!(next(&hears), was("hello", "10.1.0.2"));
}

#[test]
fn members_of_two_networks_do_not_reach_each_other_unless_open() {
    let world = World::new(two_networks());
    let hears = listen(&world.b);
    send(&world.a[0], "10.2.0.2", "closed");
    world.change(vec![open("bl-b")], vec![]);
    send(&world.a[0], "10.2.0.2", "open");
    assert_eq!(next(&hears), was("open", "10.1.0.2"));
    world.change(vec![Element::Strict("bl-b".parse().unwrap())], vec![]);
    send(&world.a[0], "10.2.0.2", "strict");
    world.change(vec![], vec![Element::Strict("bl-b".parse().unwrap())]);
    send(&world.a[0], "10.2.0.2", "open again");
    assert_eq!(next(&hears), was("open again", "10.1.0.2"));
}

#[test]
fn the_outside_does_not_reach_a_member_but_answers_it() {
    let world = World::new(two_networks());
    ip(&world.outside, format!("route add 10.1.0.0/24 via {HOST_OUTSIDE}"));
    let (inside, outside) = (listen(&world.a[0]), listen(&world.outside));
    send(&world.outside, "10.1.0.2", "closed");
    let to = SocketAddr::new(OUTSIDE.parse().unwrap(), PORT);
    let asks = inside.try_clone().unwrap();
    world.a[0].run(move || asks.send_to(b"question", to).unwrap());
    let mut buffer = [0; 64];
    let (_, from) = outside.recv_from(&mut buffer).unwrap();
    outside.send_to(b"answer", from).unwrap();
    assert_eq!(next(&inside), was("answer", OUTSIDE));
}

#[test]
fn a_member_appears_outside_under_the_address_of_the_host() {
    let world = World::new(two_networks());
    let (outside, b) = (listen(&world.outside), listen(&world.b));
    send(&world.a[0], OUTSIDE, "masked");
    assert_eq!(next(&outside), was("masked", HOST_OUTSIDE));

    world.change(vec![open("bl-b")], vec![]);
    send(&world.a[0], "10.2.0.2", "bare");
    assert_eq!(next(&b), was("bare", "10.1.0.2"), "not towards a network of ours");

    world.change(vec![], vec![net("10.1.0.0/24")]);
    send(&world.a[0], OUTSIDE, "bare");
    assert_eq!(next(&outside), was("bare", "10.1.0.2"));
}

#[test]
fn a_member_of_an_internal_network_reaches_neither_the_host_nor_the_outside() {
    let world = World::new([two_networks(), vec![internal("bl-a"), open("bl-b")]].concat());
    let (host, outside, b) = (listen(&world.host), listen(&world.outside), listen(&world.b));
    let targets = ["10.1.0.1", "10.2.0.1", HOST_OUTSIDE, OUTSIDE, "10.2.0.2", "fd01::1"];
    for target in targets {
        send(&world.a[0], target, "closed");
    }
    world.change(vec![], vec![internal("bl-a")]);
    for target in targets {
        send(&world.a[0], target, "open");
    }
    for _ in ["10.1.0.1", "10.2.0.1", HOST_OUTSIDE] {
        assert_eq!(next(&host), was("open", "10.1.0.2"));
    }
    assert_eq!(next(&host), was("open", "fd01::2"));
    assert_eq!(next(&outside), was("open", HOST_OUTSIDE));
    assert_eq!(next(&b), was("open", "10.1.0.2"));
}

#[test]
fn the_host_reaches_members_of_an_internal_network_and_hears_their_answers() {
    let world = World::new([two_networks(), vec![internal("bl-a")]].concat());
    for (mine, theirs) in [("10.1.0.1", "10.1.0.2"), ("fd01::1", "fd01::2")] {
        let member = listen(&world.a[0]);
        let mine: SocketAddr = SocketAddr::new(mine.parse().unwrap(), 0);
        let asks = world.host.run(move || {
            let socket = UdpSocket::bind(mine).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            socket
        });
        asks.send_to(b"question", (theirs, PORT)).unwrap();
        let mut buffer = [0; 64];
        let (_, from) = member.recv_from(&mut buffer).unwrap();
        member.send_to(b"answer", from).unwrap();
        assert_eq!(next(&asks), was("answer", theirs));
    }
}
