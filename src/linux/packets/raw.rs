//! A packet socket (packet(7)) without link headers, and the filter in front of it.

use std::io::{self, IoSliceMut};
use std::mem::zeroed;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use bowline_core::mac::Mac;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, recvmsg};

use super::ALL;
use crate::netlink::filter;

/// What was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    pub sort: Sort,
    /// The neighbour that it came by.
    pub from: Option<Mac>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    Arp,
    /// IPv4. A packet that no card has sent may have no checksum yet.
    Ip {
        has_checksum: bool,
    },
}

/// An Ethernet's longest, and then some.
const LARGEST: usize = 4096;

pub(super) fn open(card: u32, port: u16) -> nix::Result<OwnedFd> {
    // Of no protocol until the filter is there, so that nothing unfiltered comes in.
    let socket = make()?;
    filter::attach(&socket, &program(port))?;
    set(&socket, libc::PACKET_AUXDATA)?;
    set(&socket, libc::PACKET_IGNORE_OUTGOING)?;
    bind(&socket, card)?;
    Ok(socket)
}

/// Drops all that comes in.
pub(super) fn deafen(socket: &OwnedFd) -> nix::Result<()> {
    filter::attach(socket, &[step(libc::BPF_RET | libc::BPF_K, 0, 0, 0)])
}

pub(super) fn send(
    socket: &OwnedFd,
    card: u32,
    protocol: i32,
    to: Option<Mac>,
    packet: &[u8],
) -> io::Result<()> {
    let sent = send_to(socket, &address(card, protocol, to.unwrap_or(ALL)), packet)?;
    if sent == packet.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

pub(super) fn receive(socket: &OwnedFd, into: &mut Vec<u8>) -> io::Result<Option<Heard>> {
    loop {
        into.resize(LARGEST, 0);
        let mut space = nix::cmsg_space!(libc::tpacket_auxdata);
        let mut slices = [IoSliceMut::new(into)];
        let flags = MsgFlags::MSG_DONTWAIT;
        let got = match recvmsg::<LinkAddr>(socket.as_raw_fd(), &mut slices, Some(&mut space), flags) {
            Ok(got) => got,
            Err(Errno::EAGAIN) => return Ok(None),
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno.into()),
        };
        let status = got.cmsgs().ok().and_then(|mut all| all.find_map(|message| status(&message)));
        let (size, from) = (got.bytes, got.address);
        let cut = got.flags.contains(MsgFlags::MSG_TRUNC);
        let Some(from) = from.filter(|_| !cut) else { continue };
        let sort = match i32::from(u16::from_be(from.protocol())) {
            libc::ETH_P_ARP => Sort::Arp,
            libc::ETH_P_IP => {
                let has_checksum = status.is_none_or(|status| status & libc::TP_STATUS_CSUMNOTREADY == 0);
                Sort::Ip { has_checksum }
            }
            _ => continue,
        };
        into.truncate(size);
        return Ok(Some(Heard { sort, from: from.addr().map(Mac) }));
    }
}

/// The first field of struct tpacket_auxdata.
fn status(message: &ControlMessageOwned) -> Option<u32> {
    let ControlMessageOwned::Unknown(told) = message else { return None };
    let is_ours =
        told.cmsg_header.cmsg_level == libc::SOL_PACKET && told.cmsg_header.cmsg_type == libc::PACKET_AUXDATA;
    let bytes: [u8; 4] = told.data_bytes.get(..4).filter(|_| is_ours)?.try_into().ok()?;
    Some(u32::from_ne_bytes(bytes))
}

/// ARP, and UDP to a port where it comes in one part.
fn program(port: u16) -> [libc::sock_filter; 12] {
    const PROTOCOL: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_PROTOCOL) as u32;
    let (load, jump) = (libc::BPF_LD | libc::BPF_ABS, libc::BPF_JMP | libc::BPF_K);
    [
        step(load | libc::BPF_H, 0, 0, PROTOCOL),
        step(jump | libc::BPF_JEQ, 8, 0, libc::ETH_P_ARP as u32),
        step(jump | libc::BPF_JEQ, 0, 8, libc::ETH_P_IP as u32),
        step(load | libc::BPF_B, 0, 0, 9),
        step(jump | libc::BPF_JEQ, 0, 6, libc::IPPROTO_UDP as u32),
        step(load | libc::BPF_H, 0, 0, 6),
        step(jump | libc::BPF_JSET, 4, 0, 0x3fff),
        step(libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH, 0, 0, 0),
        step(libc::BPF_LD | libc::BPF_H | libc::BPF_IND, 0, 0, 2),
        step(jump | libc::BPF_JEQ, 0, 1, u32::from(port)),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
    ]
}

fn step(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

#[allow(unsafe_code)]
fn make() -> nix::Result<OwnedFd> {
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: it takes numbers only.
    let fd = Errno::result(unsafe { libc::socket(libc::AF_PACKET, kind, 0) })?;
    // SAFETY: the kernel has just made it for us, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[allow(unsafe_code)]
fn address(card: u32, protocol: i32, to: Mac) -> libc::sockaddr_ll {
    // SAFETY: the structure is of numbers, for which zero is a value.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (protocol as u16).to_be();
    address.sll_ifindex = card as i32;
    address.sll_halen = 6;
    address.sll_addr[..6].copy_from_slice(&to.0);
    address
}

#[allow(unsafe_code)]
fn bind(socket: &OwnedFd, card: u32) -> nix::Result<()> {
    let at = address(card, libc::ETH_P_ALL, ALL);
    let size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the kernel reads the address, which lives through the call and is as long as it is said to be.
    Errno::result(unsafe { libc::bind(socket.as_raw_fd(), (&raw const at).cast(), size) }).map(drop)
}

#[allow(unsafe_code)]
fn send_to(socket: &OwnedFd, to: &libc::sockaddr_ll, packet: &[u8]) -> nix::Result<usize> {
    let size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the kernel reads the packet and the address, which live through the call and are as long as they are said to be.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            packet.as_ptr().cast(),
            packet.len(),
            libc::MSG_DONTWAIT,
            (&raw const *to).cast(),
            size,
        )
    };
    Errno::result(sent).map(|sent| sent as usize)
}

#[allow(unsafe_code)]
fn set(socket: &impl AsFd, option: libc::c_int) -> nix::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the kernel reads the number, which lives through the call, and writes to nothing of ours.
    let done = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_PACKET,
            option,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    Errno::result(done).map(drop)
}
