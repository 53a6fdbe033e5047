//! The packets of one card, past the kernel's own IP: a DHCP client has to speak before its card has an address, and hears
//! what is sent to an address that it does not have yet.
//!
//! They are sockets, which keep their namespace: open for as long as an answer may come, and no longer.

mod raw;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use bowline_core::mac::Mac;
use bowline_core::name::LinkName;
use bowline_core::{Code, Error, Result};
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrIn, bind, sendto, setsockopt, socket, sockopt,
};

pub use raw::{Heard, Sort};

#[derive(Debug)]
pub struct Packets {
    raw: OwnedFd,
    /// For one who has an address: the kernel finds the way to a server. It hears nothing, but where it is bound, the kernel
    /// does not tell the server that nobody is there.
    udp: OwnedFd,
    card: u32,
}

impl Packets {
    /// In the calling thread's namespace. Heard are ARP, and UDP to this port.
    pub(crate) fn open(card: &LinkName, port: u16) -> Result<Packets> {
        let failed = |errno: Errno| {
            let code = if errno == Errno::ENODEV { Code::NetnsGone } else { Code::Kernel };
            Error::new(code, format!("hear the packets of {card}")).because(errno.desc())
        };
        let index = if_nametoindex(card.as_str()).map_err(failed)?;
        Packets::make(card, index, port).map_err(failed)
    }

    fn make(card: &LinkName, index: u32, port: u16) -> nix::Result<Packets> {
        let raw = raw::open(index, port)?;
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let udp = socket(AddressFamily::Inet, SockType::Datagram, flags, None)?;
        // A client of the container's own may be there as well.
        setsockopt(&udp, sockopt::ReuseAddr, &true)?;
        setsockopt(&udp, sockopt::BindToDevice, &card.as_str().into())?;
        raw::deafen(&udp)?;
        Ok(Packets { raw, udp, card: index })
    }

    /// An IP packet to all, or to the one neighbour with this MAC address.
    pub fn send_ip(&self, packet: &[u8], to: Option<Mac>) -> io::Result<()> {
        raw::send(&self.raw, self.card, libc::ETH_P_IP, to, packet)
    }

    /// An ARP packet to all.
    pub fn send_arp(&self, packet: &[u8]) -> io::Result<()> {
        raw::send(&self.raw, self.card, libc::ETH_P_ARP, None, packet)
    }

    /// As the card's own address, the way that the kernel finds.
    pub fn send_udp(&self, from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> io::Result<()> {
        match bind(self.udp.as_raw_fd(), &SockaddrIn::from(from)) {
            // The second time it is bound already.
            Ok(()) | Err(Errno::EINVAL) => (),
            Err(errno) => return Err(errno.into()),
        }
        let sent = sendto(self.udp.as_raw_fd(), payload, &SockaddrIn::from(to), MsgFlags::MSG_DONTWAIT)?;
        if sent == payload.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// What came in since; None where there is nothing more. It does not wait.
    pub fn receive(&self, into: &mut Vec<u8>) -> io::Result<Option<Heard>> {
        raw::receive(&self.raw, into)
    }
}

impl AsFd for Packets {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.raw.as_fd()
    }
}

/// The address of everybody on the link.
const ALL: Mac = Mac([0xff; 6]);
