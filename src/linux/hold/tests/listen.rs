//! That a held socket hears nothing until it is told to, and then all.

use std::io::{ErrorKind, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use bowline_core::Code;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, SockaddrStorage,
    recvmsg, sendmsg, sockopt,
};

use super::space::{eventually, port, space};
use crate::hold::{Held, Socket, deaf};

/// A connection that is begun, and goes on by itself.
fn connecting(to: &str) -> OwnedFd {
    let to: SocketAddr = to.parse().unwrap();
    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = nix::sys::socket::socket(family, SockType::Stream, flags, None).unwrap();
    let begun = nix::sys::socket::connect(socket.as_raw_fd(), &SockaddrStorage::from(to));
    assert_eq!(begun, Err(Errno::EINPROGRESS), "neither refused nor answered");
    socket
}

fn is_settled(socket: &OwnedFd) -> bool {
    poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)], PollTimeout::ZERO).unwrap() > 0
}

fn hears_tcp_once_told(held_as: &str, asked: &str) {
    space(|| {
        let mut held = Held::default();
        held.hold(&[port(held_as)]).unwrap();
        let client = connecting(asked);
        let Some(Socket::Tcp(own)) = &held.sockets[&port(held_as)] else { panic!("it is not held") };
        assert_eq!(own.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(!is_settled(&client));

        let Some(Socket::Tcp(server)) = held.listen(&port(held_as)).unwrap() else {
            panic!("it does not listen")
        };
        // The client asks again after a second.
        eventually("the connection", || is_settled(&client));
        assert_eq!(nix::sys::socket::getsockopt(&client, sockopt::SocketError), Ok(0));
        // To the client it stands as soon as it is answered, to the server when that is acknowledged.
        let mut accepted = None;
        eventually("the connection, at the other end", || {
            accepted = server.accept().ok();
            accepted.is_some()
        });
        let (stream, _) = accepted.expect("it is there by now");
        let asked: SocketAddr = asked.parse().unwrap();
        assert_eq!(stream.local_addr().unwrap().ip().to_canonical(), asked.ip());
        assert!(held.listen(&port(held_as)).unwrap().is_some(), "a second time");
    });
}

#[test]
fn a_held_port_of_tcp_answers_nobody_until_it_is_listened_on() {
    hears_tcp_once_told("8080/tcp", "127.0.0.2:8080");
    hears_tcp_once_told("8080/tcp", "[::1]:8080");
    hears_tcp_once_told("127.0.0.1:8080/tcp", "127.0.0.1:8080");
}

/// Receives one packet, and answers it from the address that was asked, as a relay does.
fn answer(server: &UdpSocket) -> IpAddr {
    let mut room = [0; 16];
    let mut parts = [IoSliceMut::new(&mut room)];
    let mut notes = nix::cmsg_space!(libc::in6_pktinfo, libc::in_pktinfo);
    let heard =
        recvmsg::<SockaddrStorage>(server.as_raw_fd(), &mut parts, Some(&mut notes), MsgFlags::empty())
            .unwrap();
    let client = heard.address.unwrap();
    let note = heard.cmsgs().unwrap().next().expect("it tells which address was asked");
    let send = |note: ControlMessage<'_>| {
        let text = [std::io::IoSlice::new(b"pong")];
        sendmsg(server.as_raw_fd(), &text, &[note], MsgFlags::empty(), Some(&client)).unwrap();
    };
    match note {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            let from =
                libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: info.ipi_addr, ipi_addr: info.ipi_addr };
            send(ControlMessage::Ipv4PacketInfo(&from));
            IpAddr::V4(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)))
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            send(ControlMessage::Ipv6PacketInfo(&info));
            Ipv6Addr::from(info.ipi6_addr.s6_addr).to_canonical()
        }
        other => panic!("{other:?}"),
    }
}

fn hears_udp_once_told(held_as: &str, asked: &str) {
    space(|| {
        let mut held = Held::default();
        held.hold(&[port(held_as)]).unwrap();
        let asked: SocketAddr = asked.parse().unwrap();
        let any: IpAddr =
            if asked.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        // Being connected, it hears answers of that one address only.
        let client = UdpSocket::bind((any, 0)).unwrap();
        client.connect(asked).unwrap();
        client.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();

        let Some(Socket::Udp(own)) = &held.sockets[&port(held_as)] else { panic!("it is not held") };
        assert_eq!(client.send(b"ping").unwrap(), 4);
        assert_eq!(own.recv(&mut [0; 16]).unwrap_err().kind(), ErrorKind::WouldBlock);

        let Some(Socket::Udp(server)) = held.listen(&port(held_as)).unwrap() else {
            panic!("it hears nothing")
        };
        client.send(b"ping").unwrap();
        let mut ready = [PollFd::new(server.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut ready, 20_000_u16).unwrap(), 1, "{asked}");
        assert_eq!(answer(&server), asked.ip());
        let mut room = [0; 16];
        assert_eq!(client.recv(&mut room).unwrap(), 4);
        assert_eq!(&room[..4], b"pong");
    });
}

#[test]
fn a_held_port_of_udp_hears_once_told_and_answers_from_the_address_asked() {
    hears_udp_once_told("53/udp", "127.0.0.2:53");
    hears_udp_once_told("53/udp", "[::1]:53");
    hears_udp_once_told("0.0.0.0:53/udp", "127.0.0.2:53");
    hears_udp_once_told("[::]:53/udp", "[::1]:53");
    hears_udp_once_told("127.0.0.2:53/udp", "127.0.0.2:53");
}

#[test]
fn only_what_is_held_can_be_listened_on() {
    space(|| assert_eq!(Held::default().listen(&port("8080/tcp")).unwrap_err().code, Code::Internal));
}

/// Where no program can be loaded for all.
#[test]
fn a_filter_of_its_own_makes_a_socket_deaf_too() {
    space(|| {
        let server = UdpSocket::bind("127.0.0.1:53").unwrap();
        server.set_nonblocking(true).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        deaf::deafen_alone(&server).unwrap();
        client.send_to(b"ping", "127.0.0.1:53").unwrap();
        assert_eq!(server.recv(&mut [0; 16]).unwrap_err().kind(), ErrorKind::WouldBlock);
        deaf::undeafen(&server).unwrap();
        deaf::undeafen(&server).unwrap();
        client.send_to(b"ping", "127.0.0.1:53").unwrap();
        assert_eq!(server.recv(&mut [0; 16]).unwrap(), 4);
    });
}
