//! Published ports: connections to the host end up with the member that the maps name.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use bowline_core::family::Family;
use bowline_core::firewall::Element;
use bowline_core::port::At;
use bowline_core::port::Protocol::{Tcp, Udp};

use super::space::Space;
use super::world::{
    HOST_OUTSIDE, HOST_OUTSIDE6, OUTSIDE, OUTSIDE6, PORT, World, ip, listen, next, send, two_networks, was,
};
use super::{link, port, span};

const PATIENCE: Duration = Duration::from_secs(10);

fn serve(space: &Space, port: u16) -> TcpListener {
    space.run(move || TcpListener::bind(("::", port)).unwrap())
}

/// Who connects to the server next, by its address; it is greeted.
fn greet(server: &TcpListener, greeting: &str) -> String {
    server.set_nonblocking(true).unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        match server.accept() {
            Ok((mut stream, from)) => {
                stream.write_all(greeting.as_bytes()).unwrap();
                return from.ip().to_canonical().to_string();
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock && Instant::now() < deadline => {
                std::thread::yield_now()
            }
            Err(e) => panic!("nobody came for {greeting}: {e}"),
        }
    }
}

fn connect(from: &Space, to: &str) -> std::io::Result<TcpStream> {
    let to: SocketAddr = to.parse().unwrap();
    from.run(move || TcpStream::connect_timeout(&to, PATIENCE))
}

/// Connects to the address, and expects to be at that server, seen as `seen`.
fn reaches(from: &Space, to: &str, server: &TcpListener, seen: &str) {
    let mut stream = connect(from, to).unwrap_or_else(|e| panic!("{to}: {e}"));
    assert_eq!(greet(server, to), seen, "{to}");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut greeting = String::new();
    stream.read_to_string(&mut greeting).unwrap();
    assert_eq!(greeting, to);
}

fn is_refused(from: &Space, to: &str) {
    assert_eq!(connect(from, to).unwrap_err().kind(), ErrorKind::ConnectionRefused, "{to}");
}

fn with(elements: impl IntoIterator<Item = Element>) -> World {
    World::new(two_networks().into_iter().chain(elements).collect())
}

#[test]
fn a_port_of_all_addresses_leads_the_outside_to_the_member() {
    let world = with([port("0.0.0.0", Tcp, 8080, "10.1.0.2", 80), port("::", Tcp, 8080, "fd01::2", 80)]);
    let member = serve(&world.a[0], 80);
    reaches(&world.outside, "192.0.2.1:8080", &member, OUTSIDE);
    reaches(&world.outside, "[2001:db8::1]:8080", &member, OUTSIDE6);
    is_refused(&world.outside, "192.0.2.1:8081");
    is_refused(&world.outside, "[2001:db8::1]:8081");
}

#[test]
fn the_host_itself_reaches_a_published_port_by_any_of_its_addresses() {
    let world = with([port("0.0.0.0", Tcp, 8080, "10.1.0.2", 80), port("::", Tcp, 8080, "fd01::2", 80)]);
    let member = serve(&world.a[0], 80);
    reaches(&world.host, "127.0.0.1:8080", &member, "10.1.0.1");
    reaches(&world.host, "127.9.9.9:8080", &member, "10.1.0.1");
    reaches(&world.host, "10.2.0.1:8080", &member, "10.2.0.1");
    reaches(&world.host, "192.0.2.1:8080", &member, HOST_OUTSIDE);
    reaches(&world.host, "[2001:db8::1]:8080", &member, HOST_OUTSIDE6);
    // From ::1 nothing leaves the host; bowline relays it.
    is_refused(&world.host, "[::1]:8080");
}

#[test]
fn a_port_of_one_address_comes_before_one_of_all() {
    let world = with([
        port("0.0.0.0", Tcp, 8080, "10.1.0.2", 80),
        port(HOST_OUTSIDE, Tcp, 8080, "10.1.0.3", 81),
        port("::", Tcp, 8080, "fd01::2", 80),
        port(HOST_OUTSIDE6, Tcp, 8080, "fd01::3", 81),
    ]);
    let (all, one) = (serve(&world.a[0], 80), serve(&world.a[1], 81));
    reaches(&world.outside, "192.0.2.1:8080", &one, OUTSIDE);
    reaches(&world.outside, "[2001:db8::1]:8080", &one, OUTSIDE6);
    reaches(&world.host, "127.0.0.1:8080", &all, "10.1.0.1");
    reaches(&world.host, "[fd01::1]:8080", &all, "fd01::1");
}

#[test]
fn a_span_leads_each_port_to_the_same_port_of_the_member() {
    let world = with([
        span("0.0.0.0", Tcp, 9000, 9100, "10.1.0.2"),
        span(HOST_OUTSIDE, Tcp, 9200, 9300, "10.1.0.3"),
        span("::", Tcp, 9000, 9100, "fd01::2"),
        port("0.0.0.0", Tcp, 9050, "10.1.0.3", 80),
    ]);
    for number in [9000, 9007, 9100] {
        let member = serve(&world.a[0], number);
        reaches(&world.outside, &format!("192.0.2.1:{number}"), &member, OUTSIDE);
        reaches(&world.outside, &format!("[2001:db8::1]:{number}"), &member, OUTSIDE6);
        reaches(&world.host, &format!("127.0.0.1:{number}"), &member, "10.1.0.1");
    }
    let (one, within) = (serve(&world.a[1], 9200), serve(&world.a[1], 80));
    reaches(&world.outside, "192.0.2.1:9200", &one, OUTSIDE);
    reaches(&world.outside, "192.0.2.1:9050", &within, OUTSIDE);
    for to in ["192.0.2.1:8999", "192.0.2.1:9101", "192.0.2.1:9199", "192.0.2.1:9301"] {
        is_refused(&world.outside, to);
    }
    is_refused(&world.host, "10.2.0.1:9200");
}

#[test]
fn neighbours_reach_a_published_port_and_so_does_its_own_member() {
    let world = with([port("0.0.0.0", Tcp, 8080, "10.1.0.2", 80), port("::", Tcp, 8080, "fd01::2", 80)]);
    world.bridges_by_themselves();
    ip(&world.host, "link set a0 type bridge_slave hairpin on".into());
    let member = serve(&world.a[0], 80);
    // Within its network by way of the host, which must see the answers.
    for space in &world.a {
        reaches(space, "192.0.2.1:8080", &member, "10.1.0.1");
        reaches(space, "10.1.0.1:8080", &member, "10.1.0.1");
        reaches(space, "[fd01::1]:8080", &member, "fd01::1");
    }
    reaches(&world.b, "192.0.2.1:8080", &member, "10.2.0.2");
}

#[test]
fn members_that_must_not_reach_each_other_do_not_by_what_is_published_either() {
    let world = with([port("0.0.0.0", Tcp, 8080, "10.1.0.2", 80)]);
    world.bridges_by_themselves();
    ip(
        &world.host,
        "link set a0 type bridge_slave isolated on\nlink set a1 type bridge_slave isolated on".into(),
    );
    world.change(vec![Element::Apart(link("bl-a"))], vec![Element::Within(link("bl-a"))]);
    let member = serve(&world.a[0], 80);
    reaches(&world.outside, "192.0.2.1:8080", &member, OUTSIDE);
    connect(&world.a[1], "192.0.2.1:8080").unwrap_err();
}

#[test]
fn by_way_of_br_netfilter_a_neighbour_is_seen_as_the_host() {
    let world = with([port("0.0.0.0", Tcp, 8080, "10.1.0.2", 80)]);
    if !world.bridges_call_iptables() {
        return;
    }
    let member = serve(&world.a[0], 80);
    reaches(&world.a[1], "192.0.2.1:8080", &member, "10.1.0.1");
}

#[test]
fn a_published_port_moves_with_the_next_connection() {
    let (to_first, to_second) =
        (port("0.0.0.0", Tcp, 8080, "10.1.0.2", 80), port("0.0.0.0", Tcp, 8080, "10.1.0.3", 80));
    let world = with([to_first.clone()]);
    let (first, second) = (serve(&world.a[0], 80), serve(&world.a[1], 80));
    reaches(&world.outside, "192.0.2.1:8080", &first, OUTSIDE);
    world.change(vec![to_second.clone()], vec![to_first]);
    reaches(&world.outside, "192.0.2.1:8080", &second, OUTSIDE);
    world.change(vec![], vec![to_second]);
    is_refused(&world.outside, "192.0.2.1:8080");
}

#[test]
fn datagrams_are_translated_by_their_own_protocol() {
    let world =
        with([port("0.0.0.0", Udp, PORT, "10.1.0.2", PORT), port("0.0.0.0", Tcp, PORT, "10.1.0.3", PORT)]);
    let hears = listen(&world.a[0]);
    send(&world.outside, HOST_OUTSIDE, "datagram");
    assert_eq!(next(&hears), was("datagram", OUTSIDE));
}

#[test]
fn a_port_of_a_strict_network_is_not_for_other_networks_of_ours() {
    let world = with([port("0.0.0.0", Udp, PORT, "10.1.0.2", PORT), Element::Strict(link("bl-a"))]);
    let hears = listen(&world.a[0]);
    send(&world.b, HOST_OUTSIDE, "strict");
    world.change(vec![], vec![Element::Strict(link("bl-a"))]);
    send(&world.b, HOST_OUTSIDE, "not strict");
    assert_eq!(next(&hears), was("not strict", "10.2.0.2"));
}

#[test]
fn a_trusted_card_reaches_members_and_an_untrusted_one_does_not() {
    let world = with([]);
    let trusted = Element::Trusted { from: link("bl-b"), to: link("bl-a") };
    let hears = listen(&world.a[0]);
    send(&world.b, "10.1.0.2", "untrusted");
    world.change(vec![trusted], vec![]);
    send(&world.b, "10.1.0.2", "trusted");
    assert_eq!(next(&hears), was("trusted", "10.2.0.2"));
}

#[test]
fn a_shut_port_of_the_host_is_not_for_members() {
    let shut = Element::Shut { at: At::All(Family::V4), protocol: Udp, port: PORT };
    let world = with([shut.clone()]);
    let hears = listen(&world.host);
    send(&world.a[0], HOST_OUTSIDE, "shut");
    send(&world.outside, HOST_OUTSIDE, "outside");
    assert_eq!(next(&hears), was("outside", OUTSIDE));
    world.change(vec![], vec![shut]);
    send(&world.a[0], HOST_OUTSIDE, "open");
    assert_eq!(next(&hears), was("open", "10.1.0.2"));
}

#[test]
fn a_reachable_port_of_a_member_is_for_everybody() {
    let world = with([]);
    ip(
        &world.outside,
        format!("route add 10.1.0.0/24 via {HOST_OUTSIDE}\nroute add fd01::/64 via {HOST_OUTSIDE6}"),
    );
    for (to, from) in [("10.1.0.2", OUTSIDE), ("fd01::2", OUTSIDE6)] {
        let reachable = |port| Element::Reachable { address: to.parse().unwrap(), protocol: Udp, port };
        let hears = listen(&world.a[0]);
        world.change(vec![reachable(PORT + 1)], vec![]);
        send(&world.outside, to, "closed");
        world.change(vec![reachable(PORT)], vec![]);
        send(&world.outside, to, "reachable");
        assert_eq!(next(&hears), was("reachable", from));
    }
}
