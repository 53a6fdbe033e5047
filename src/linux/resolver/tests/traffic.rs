//! What arrives where, and from where it seems to come.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::Instant;

use super::{PATIENCE, answer, client, container, ears, hear, inside, output};
use crate::resolver::{Ears, unmake};

const ASKED: &str = "127.0.0.11:53";

fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(false).unwrap();
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn dial(ns: &OwnedFd, to: &str) -> TcpStream {
    let stream = inside(ns, || TcpStream::connect(to)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn exchange_by_udp(ears: &Ears, client: &UdpSocket, size: usize) {
    let query = vec![b'q'; size];
    client.send(&query).unwrap();
    let (heard, from) = hear(&ears.udp);
    assert!(heard == query, "{} of {size} bytes", heard.len());
    let reply: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
    ears.udp.send_to(&reply, from).unwrap();
    assert!(answer(client) == reply, "of {size} bytes");
}

#[test]
fn a_query_by_udp_is_heard_and_answered_from_where_it_was_asked() {
    let ns = container();
    let ears = ears(&ns);
    // The client is connected, so that it hears what comes from there only.
    let client = client(&ns, "0.0.0.0:0", ASKED);
    for size in [1, 12, 512, 1232, 4096, 65_000] {
        exchange_by_udp(&ears, &client, size);
    }
}

#[test]
fn a_client_at_the_address_of_the_resolver_is_answered_too() {
    let ns = container();
    let ears = ears(&ns);
    exchange_by_udp(&ears, &client(&ns, "127.0.0.11:0", ASKED), 12);
}

#[test]
fn the_checksum_holds_where_the_sender_sums_up() {
    let ns = container();
    let ears = ears(&ns);
    // The loopback leaves sums out, but not where a datagram is sent in parts: then the table has to mend what is there.
    inside(&ns, || super::run("ip", &["link", "set", "lo", "mtu", "1500"]));
    let client = client(&ns, "0.0.0.0:0", ASKED);
    for size in [1473, 4096, 65_000] {
        exchange_by_udp(&ears, &client, size);
    }
}

#[test]
fn a_query_by_tcp_is_heard_and_answered() {
    let ns = container();
    exchange_by_tcp(&ns, &ears(&ns));
}

fn exchange_by_tcp(ns: &OwnedFd, ears: &Ears) {
    let mut near = dial(ns, ASKED);
    let mut far = accept(&ears.tcp);
    assert_eq!(near.peer_addr().unwrap().to_string(), ASKED);
    let long: Vec<u8> = (0..1 << 20).map(|i| (i % 251) as u8).collect();
    carry(&mut near, &mut far, &long);
    carry(&mut far, &mut near, &long);
}

fn carry(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) {
    std::thread::scope(|scope| {
        scope.spawn(|| from.write_all(bytes).unwrap());
        let mut heard = vec![0; bytes.len()];
        to.read_exact(&mut heard).unwrap();
        assert!(heard == bytes);
    });
}

#[test]
fn a_name_server_of_the_container_has_port_53_before_and_after() {
    for before in [true, false] {
        let ns = container();
        let bind = || (UdpSocket::bind("0.0.0.0:53").unwrap(), TcpListener::bind("0.0.0.0:53").unwrap());
        let (ears, (udp, tcp)) = if before {
            let own = inside(&ns, bind);
            (ears(&ns), own)
        } else {
            let ears = ears(&ns);
            (ears, inside(&ns, bind))
        };
        let asks_own = client(&ns, "0.0.0.0:0", "127.0.0.1:53");
        asks_own.send(b"own").unwrap();
        let (heard, from) = hear(&udp);
        assert_eq!(heard, b"own");
        udp.send_to(b"its answer", from).unwrap();
        assert_eq!(answer(&asks_own), b"its answer");
        exchange_by_udp(&ears, &client(&ns, "0.0.0.0:0", ASKED), 12);

        let _near = dial(&ns, "127.0.0.1:53");
        let _far = accept(&tcp);
        exchange_by_tcp(&ns, &ears);
    }
}

#[test]
fn a_port_that_the_container_has_is_left_to_it() {
    let ns = container();
    let _taken =
        inside(&ns, || (UdpSocket::bind("0.0.0.0:11").unwrap(), TcpListener::bind("0.0.0.0:4").unwrap()));
    let ears = ears(&ns);
    assert_eq!(ears.udp.local_addr().unwrap().to_string(), "127.0.0.11:4");
    assert_eq!(ears.tcp.local_addr().unwrap().to_string(), "127.0.0.11:11");
    exchange_by_udp(&ears, &client(&ns, "0.0.0.0:0", ASKED), 12);
    exchange_by_tcp(&ns, &ears);
}

#[test]
fn ears_are_made_again_where_connections_of_earlier_ones_linger() {
    let ns = container();
    let first = ears(&ns);
    let mut near = dial(&ns, ASKED);
    // Closed by the server first, whose end then lingers.
    drop(accept(&first.tcp));
    assert_eq!(near.read(&mut [0]).unwrap(), 0);
    drop(near);
    let port = first.tcp.local_addr().unwrap();
    drop(first);
    // A program that another test starts has copies of our files for a moment. What lingers does so for a minute.
    let deadline = Instant::now() + PATIENCE;
    let second = loop {
        let second = ears(&ns);
        if second.tcp.local_addr().unwrap() == port {
            break second;
        }
        assert!(Instant::now() < deadline, "the port stays taken");
    };
    exchange_by_tcp(&ns, &second);
}

#[test]
fn other_ports_of_the_address_and_other_protocols_are_let_be() {
    let ns = container();
    let ears = ears(&ns);
    let own = inside(&ns, || UdpSocket::bind("127.0.0.11:5353").unwrap());
    let asks = client(&ns, "0.0.0.0:0", "127.0.0.11:5353");
    asks.send(b"own").unwrap();
    let (heard, from) = hear(&own);
    assert_eq!(heard, b"own");
    own.send_to(b"its answer", from).unwrap();
    assert_eq!(answer(&asks), b"its answer");
    let refused = inside(&ns, || TcpStream::connect("127.0.0.11:5353")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    drop(ears);
}

#[test]
fn nothing_is_tracked() {
    let ns = container();
    let ears = ears(&ns);
    exchange_by_udp(&ears, &client(&ns, "0.0.0.0:0", ASKED), 12);
    exchange_by_tcp(&ns, &ears);
    let tracked = inside(&ns, || std::fs::read_to_string("/proc/thread-self/net/stat/nf_conntrack"));
    let count = match tracked {
        // Where nothing tracks on this machine there is no such file. The first number is how many there are.
        Err(e) => {
            assert_eq!(e.kind(), ErrorKind::NotFound);
            return;
        }
        Ok(text) => text.lines().nth(1).unwrap().split_whitespace().next().unwrap().to_string(),
    };
    assert_eq!(u32::from_str_radix(&count, 16).unwrap(), 0);
}

#[test]
fn without_the_table_port_53_is_nobodys() {
    let ns = container();
    let _ears = ears(&ns);
    inside(&ns, unmake).unwrap();
    let refused = inside(&ns, || TcpStream::connect(ASKED)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(inside(&ns, || output("nft", &["list", "tables"])).stdout, b"");
    inside(&ns, unmake).expect("where there is none that is fine");
}
