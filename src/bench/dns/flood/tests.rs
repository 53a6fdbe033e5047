use std::net::IpAddr;

use bowline_linux::process::raise_loopback;

use super::*;

fn space() -> OwnedFd {
    let inside = netns::create().unwrap();
    raise_loopback(&inside).unwrap();
    inside
}

fn wait_until(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "it does not come to that");
        thread::yield_now();
    }
}

/// A server in a namespace that hears and never answers.
fn deaf(inside: &OwnedFd) -> UdpSocket {
    let socket = netns::run(inside, || UdpSocket::bind((RESOLVER, wire::PORT))).unwrap().unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket
}

#[test]
fn no_name_is_asked_twice() {
    let inside = space();
    let socket = deaf(&inside);
    let flood = Flood::start(&inside, Kind::Names, 3).unwrap();
    let mut names = std::collections::BTreeSet::new();
    let mut buffer = [0; 512];
    for _ in 0..100 {
        let length = socket.recv(&mut buffer).unwrap();
        assert!(names.insert(buffer[12..length].to_vec()), "{:?}", &buffer[..length]);
    }
    assert!(flood.finish().unwrap() > 0.0);
}

#[test]
fn junk_is_of_every_kind_and_goes_at_the_pace_that_is_told() {
    let inside = space();
    let socket = deaf(&inside);
    let flood = Flood::start(&inside, Kind::Junk, 0).unwrap();
    let (mut short, mut pointers, mut replies) = (0, 0, 0);
    let mut buffer = [0; 512];
    wait_until(|| {
        let length = socket.recv(&mut buffer).unwrap();
        let packet = &buffer[..length];
        short += u32::from(length < 12);
        pointers += u32::from(packet.get(12) == Some(&0xc0));
        replies += u32::from(packet.get(2).is_some_and(|flags| flags & 0x80 != 0));
        short > 0 && pointers > 0 && replies > 0
    });
    let rate = flood.finish().unwrap();
    assert!(rate > 0.0 && rate < f64::from(JUNK) * 1.1, "{rate} a second");
}

#[test]
fn nobody_there_is_no_error_but_no_flood_either() {
    let inside = space();
    let socket: UdpSocket = wire::socket(&inside, RESOLVER).unwrap();
    let told = AtomicBool::new(false);
    let mut tried = 0;
    let sent = pour(&socket, 100_000, &told, |n, packet| {
        tried = n + 1;
        packet.clear();
        told.store(n >= 1000, Ordering::Relaxed);
    });
    assert!(sent.unwrap() < tried, "what was refused counts as sent");
}

#[test]
fn connections_that_are_taken_are_held_and_counted() {
    let inside = space();
    let address: (IpAddr, u16) = (RESOLVER, wire::PORT);
    let listener = netns::run(&inside, move || std::net::TcpListener::bind(address)).unwrap().unwrap();
    let flood = Flood::start(&inside, Kind::Connections, 0).unwrap();
    let held: Vec<_> = (0..20).map(|_| listener.accept().unwrap().0).collect();
    for stream in &held {
        stream.set_nonblocking(true).unwrap();
        assert_eq!(stream.peek(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    assert!(flood.finish().unwrap() >= 20.0);
}
