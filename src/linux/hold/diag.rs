//! The sockets on a port, asked of the kernel by NETLINK_SOCK_DIAG (sock_diag(7)), which shows those of the calling
//! thread's namespace. What cannot be learnt is left out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bowline_core::family::Family;
use bowline_core::port::{At, HostPort};
use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer};
use netlink_sys::{Socket, SocketAddr as Port, protocols::NETLINK_SOCK_DIAG};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::netlink::wire;

/// A socket that keeps others from a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) at: SocketAddr,
    /// 0 where no process has it open any more.
    pub(super) inode: u32,
}

/// The states of a socket that waits for others: closed (as UDP says that it is not connected), listening, and bound
/// without either, which kernels show since 6.8.
const WAITING: u32 = 1 << 7 | 1 << 10 | 1 << 13;
/// A busy server's port has no end of connections, which say no more than a few of them do.
const DATAGRAMS: usize = 64;
const INBOX: usize = 64 * 1024;

/// Those in the way of holding the port: the ones that wait, or if there are none, those of connections.
pub(super) fn sockets(port: &HostPort) -> Vec<Seen> {
    let waiting = in_state(port, WAITING);
    if waiting.is_empty() { in_state(port, !WAITING) } else { waiting }
}

fn in_state(port: &HostPort, states: u32) -> Vec<Seen> {
    let mut all = Vec::new();
    for family in Family::BOTH {
        if let Err(error) = dump(port, family, states, &mut all) {
            tracing::debug!(%error, %port, "cannot tell which sockets are on the port");
        }
    }
    all
}

fn dump(port: &HostPort, family: Family, states: u32, all: &mut Vec<Seen>) -> std::io::Result<()> {
    let socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.connect(&Port::new(0, 0))?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(1))?;
    socket.send(&request(port, family, states), 0)?;
    let mut inbox = Vec::with_capacity(INBOX);
    for _ in 0..DATAGRAMS {
        inbox.clear();
        socket.recv(&mut inbox, 0)?;
        let mut rest = &inbox[..];
        while let Ok(answer) = NetlinkBuffer::new_checked(rest) {
            match answer.message_type() {
                // An error is that the kernel cannot show this protocol.
                NLMSG_DONE | NLMSG_ERROR => return Ok(()),
                _ => all.extend(parse(port, answer.payload())),
            }
            let size = (answer.length() as usize).next_multiple_of(4).min(rest.len());
            rest = &rest[size..];
        }
    }
    Ok(())
}

/// SOCK_DIAG_BY_FAMILY with an inet_diag_req_v2: of this family, protocol and local port.
fn request(port: &HostPort, family: Family, states: u32) -> Vec<u8> {
    const LENGTH: u32 = 16 + 56;
    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    let mut bytes = Vec::with_capacity(LENGTH as usize);
    bytes.extend(LENGTH.to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    bytes.extend([0; 8]);
    let family = match family {
        Family::V4 => libc::AF_INET,
        Family::V6 => libc::AF_INET6,
    };
    bytes.extend([family as u8, port.protocol.number(), 0, 0]);
    bytes.extend(states.to_ne_bytes());
    bytes.extend(port.port.to_be_bytes());
    bytes.resize(LENGTH as usize, 0);
    bytes
}

/// Reads an inet_diag_msg; None where it is damaged, or of no concern to the port.
fn parse(port: &HostPort, message: &[u8]) -> Option<Seen> {
    const HEADER: usize = 72;
    const INET_DIAG_SKV6ONLY: u16 = 11;
    let (header, attributes) = message.split_at_checked(HEADER)?;
    let number = u16::from_be_bytes(*header[4..].first_chunk()?);
    let ip: IpAddr = match i32::from(header[0]) {
        libc::AF_INET => Ipv4Addr::from(*header[8..].first_chunk::<4>()?).into(),
        libc::AF_INET6 => Ipv6Addr::from(*header[8..].first_chunk::<16>()?).to_canonical(),
        _ => return None,
    };
    let only = wire::attributes(attributes)
        .filter_map(Result::ok)
        .any(|(kind, value)| kind == INET_DIAG_SKV6ONLY && value == [1]);
    let at = match ip {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) if !only => At::Everywhere,
        ip => At::of(ip),
    };
    // A kernel that does not know how to choose by port shows them all.
    let concerns = number == port.port && at.meets(port.at);
    let inode = wire::number(&header[68..])?;
    concerns.then_some(Seen { at: SocketAddr::new(ip, number), inode })
}
