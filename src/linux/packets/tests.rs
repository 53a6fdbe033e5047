use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::*;
use crate::netns;

const FAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const NEAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// Two ends of a wire, each in a namespace of its own; the test runs at the near one, whose card has no address.
fn at_a_wire(test: impl FnOnce(&OwnedFd) + Send) {
    assert!(nix::unistd::geteuid().is_root(), "this test makes network namespaces: run it as root");
    let (near, far) = (netns::create().unwrap(), netns::create().unwrap());
    let path = format!("/proc/{}/fd/{}", std::process::id(), far.as_raw_fd());
    netns::run(&near, || {
        ip(&format!("link add eth0 type veth peer name eth0 netns {path}"));
        ip("link set eth0 up");
        netns::run(&far, || {
            ip("addr add 192.0.2.1/24 dev eth0");
            ip("link set eth0 up");
        })
        .unwrap();
        test(&far);
    })
    .expect("the test panicked");
}

fn ip(arguments: &str) {
    let done = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(done.success(), "ip {arguments}");
}

fn card() -> LinkName {
    "eth0".parse().unwrap()
}

/// What comes in before long.
fn hear(packets: &Packets) -> (Heard, Vec<u8>) {
    let mut ready = [PollFd::new(packets.as_fd(), PollFlags::POLLIN)];
    poll(&mut ready, PollTimeout::from(5000_u16)).unwrap();
    let mut bytes = Vec::new();
    let heard = packets.receive(&mut bytes).unwrap().expect("something comes within five seconds");
    (heard, bytes)
}

#[test]
fn what_is_sent_to_a_port_is_heard_before_the_card_has_an_address() {
    at_a_wire(|far| {
        let packets = Packets::open(&card(), 68).unwrap();
        let sender = netns::run(far, || UdpSocket::bind((FAR, 67)).unwrap()).unwrap();
        sender.set_broadcast(true).unwrap();
        // The first is for another port, and the second for us.
        for port in [69, 68] {
            sender.send_to(b"offer", (Ipv4Addr::BROADCAST, port)).unwrap();
        }
        let (heard, bytes) = hear(&packets);
        // No card has sent it, so its checksum is not filled in.
        assert_eq!(heard.sort, Sort::Ip { has_checksum: false });
        assert_eq!(&bytes[22..24], &68_u16.to_be_bytes());
        assert!(bytes.ends_with(b"offer"));
        assert_ne!(heard.from, None);
    });
}

#[test]
fn arp_is_heard_and_said() {
    at_a_wire(|far| {
        let packets = Packets::open(&card(), 68).unwrap();
        let theirs = netns::run(far, || Packets::open(&card(), 68).unwrap()).unwrap();
        let mut question = vec![0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        question.extend(FAR.octets());
        packets.send_arp(&question).unwrap();
        let (heard, bytes) = hear(&theirs);
        assert_eq!((heard.sort, &bytes[..28]), (Sort::Arp, &question[..]));
        // The far kernel has the address, and says so.
        let (heard, answer) = hear(&packets);
        assert_eq!((heard.sort, answer[7], &answer[14..18]), (Sort::Arp, 2, &FAR.octets()[..]));
    });
}

#[test]
fn who_has_an_address_reaches_a_server_by_the_kernels_ways() {
    at_a_wire(|far| {
        let server = netns::run(far, || UdpSocket::bind((FAR, 67)).unwrap()).unwrap();
        server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        ip("addr add 192.0.2.2/24 dev eth0");
        let packets = Packets::open(&card(), 68).unwrap();
        for word in [b"first", b"again"] {
            packets.send_udp(SocketAddrV4::new(NEAR, 68), SocketAddrV4::new(FAR, 67), word).unwrap();
            let mut bytes = [0; 16];
            let (size, from) = server.recv_from(&mut bytes).unwrap();
            assert_eq!((&bytes[..size], from), (&word[..], (NEAR, 68).into()));
        }
        server.send_to(b"ack", (NEAR, 68)).unwrap();
        loop {
            let (heard, bytes) = hear(&packets);
            if matches!(heard.sort, Sort::Ip { .. }) {
                assert!(bytes.ends_with(b"ack"));
                break;
            }
        }
        // Had nobody been there, the server would have been told by now: the kernel answers at once.
        server.set_nonblocking(true).unwrap();
        assert_eq!(server.recv_from(&mut [0; 16]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    });
}

#[test]
fn a_card_that_is_not_there_is_told_as_gone() {
    at_a_wire(|_| {
        let error = Packets::open(&"eth7".parse().unwrap(), 68).unwrap_err();
        assert_eq!(error.code, Code::NetnsGone);
    });
}
