//! Frames as bytes, and a socket that puts them on a wire and takes them off it, whatever they claim.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::net::if_::if_nametoindex;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, setsockopt, socket, sockopt};
use nix::sys::time::TimeVal;

use super::space::Space;

/// All that passes the card eth0 of the space.
pub(super) fn wire(space: &Space) -> File {
    space.run(|| {
        let (family, kind) = (AddressFamily::Packet, SockType::Raw);
        let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll).unwrap();
        bind(&socket, if_nametoindex("eth0").unwrap());
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(10, 0)).unwrap();
        File::from(socket)
    })
}

#[allow(unsafe_code)]
fn bind(socket: &OwnedFd, card: u32) {
    let address = libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).unwrap(),
        sll_protocol: u16::try_from(libc::ETH_P_ALL).unwrap().to_be(),
        sll_ifindex: card.cast_signed(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let len = libc::socklen_t::try_from(size_of_val(&address)).unwrap();
    // SAFETY: the address is a whole sockaddr_ll of that length, and is only read during the call.
    let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// Sends each of the frames, which end with their names, and returns the names of those that arrive. The last must.
pub(super) fn arrive(
    from: &mut File,
    to: &mut File,
    frames: &[(&'static str, Vec<u8>)],
) -> Vec<&'static str> {
    for (name, frame) in frames {
        from.write_all(&[frame.as_slice(), b"<", name.as_bytes(), b">"].concat()).unwrap();
    }
    let mut arrived = Vec::new();
    let mut buffer = [0; 2048];
    while arrived.last() != frames.last().map(|(name, _)| name) {
        let len = to.read(&mut buffer).unwrap_or_else(|e| panic!("{e}; only {arrived:?}"));
        let text = String::from_utf8_lossy(&buffer[..len]);
        arrived
            .extend(frames.iter().map(|(name, _)| *name).filter(|name| text.contains(&format!("<{name}>"))));
    }
    arrived
}

pub(super) const IPV4: u16 = 0x0800;
pub(super) const ARP: u16 = 0x0806;
pub(super) const IPV6: u16 = 0x86dd;
const VLAN: u16 = 0x8100;

pub(super) const UDP: u8 = 17;
pub(super) const ICMPV6: u8 = 58;

pub(super) fn mac(text: &str) -> [u8; 6] {
    text.parse::<bowline_core::mac::Mac>().unwrap().0
}

pub(super) fn ether(to: [u8; 6], from: &str, kind: u16, content: &[u8]) -> Vec<u8> {
    [&to[..], &mac(from), &kind.to_be_bytes(), content].concat()
}

/// A tag of that number goes before what is in the frame.
pub(super) fn tagged(frame: &[u8], number: u16) -> Vec<u8> {
    let (addresses, rest) = frame.split_at(12);
    [addresses, &VLAN.to_be_bytes(), &number.to_be_bytes(), rest].concat()
}

/// Ports of the sender and the target, and a length and a checksum that nobody looks at.
pub(super) fn udp(from: u16, to: u16) -> Vec<u8> {
    [from, to, 0, 0].map(u16::to_be_bytes).concat()
}

/// With its header alone summed up.
pub(super) fn ipv4(from: &str, to: &str, protocol: u8, content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(20 + content.len()).unwrap();
    let mut header = [&[0x45, 0][..], &len.to_be_bytes(), &[0, 0, 0, 0, 64, protocol, 0, 0]].concat();
    for address in [from, to] {
        header.extend(address.parse::<std::net::Ipv4Addr>().unwrap().octets());
    }
    let sum: u32 = header.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let folded = u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    header[10..12].copy_from_slice(&(!folded).to_be_bytes());
    [&header, content].concat()
}

pub(super) fn ipv6(from: &str, to: &str, next: u8, content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(content.len()).unwrap();
    let mut packet = [&[0x60, 0, 0, 0][..], &len.to_be_bytes(), &[next, 255]].concat();
    for address in [from, to] {
        packet.extend(address.parse::<std::net::Ipv6Addr>().unwrap().octets());
    }
    [&packet, content].concat()
}

/// A message of four bytes and an address.
pub(super) fn icmpv6(kind: u8, target: &str) -> Vec<u8> {
    let target = target.parse::<std::net::Ipv6Addr>().unwrap().octets();
    [&[kind, 0, 0, 0, 0, 0, 0, 0][..], &target].concat()
}

/// Who has the address, asked by that sender.
pub(super) fn arp(sender: &str, sender_ip: &str, target_ip: &str) -> Vec<u8> {
    let ip = |text: &str| text.parse::<std::net::Ipv4Addr>().unwrap().octets();
    [&[0, 1, 8, 0, 6, 4, 0, 1][..], &mac(sender), &ip(sender_ip), &[0; 6], &ip(target_ip)].concat()
}
