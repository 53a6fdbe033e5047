//! Notices of what others do to our firewall tables. Asked for only where the kernel does not keep others from them: our
//! own changes would be told of too.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use bowline_core::Result;
use bowline_core::firewall::TABLE;
use netlink_packet_core::NetlinkBuffer;
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};

use super::host::Host;
use crate::netlink::{Failure, filter};

/// NFNLGRP_NFTABLES
const GROUP: u32 = 7;
/// The subsystem of nf_tables, the high byte of its messages' types.
const NFTABLES: u16 = 10;
/// Room for a flush of a large ruleset.
const RECEIVE_BUFFER: usize = 8 << 20;

#[derive(Debug)]
pub(crate) struct TableWatch {
    socket: Socket,
    asked: AtomicBool,
}

/// What the notices that wait say of our tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    Nothing,
    /// Somebody changed them, or notices were lost.
    Changed,
}

impl TableWatch {
    pub(super) fn of(host: &Host) -> Result<TableWatch> {
        let failed = |e: std::io::Error| Failure::from(e).error("watch the firewall");
        let socket = host.enter(|| open().map_err(failed))?;
        Ok(TableWatch { socket, asked: AtomicBool::new(false) })
    }

    /// From now on there are notices.
    pub(crate) fn ask(&self) {
        if self.asked.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Err(errno) = filter::join_group(&self.socket, GROUP) {
            tracing::error!(%errno, "the firewall is not watched");
        }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Reads all that waits. What came from `own`, the port of our own socket, is no news.
    pub(super) fn hear(&self, own: u32, inbox: &mut Vec<u8>) -> Heard {
        let mut heard = Heard::Nothing;
        loop {
            inbox.clear();
            match self.socket.recv_from(inbox, 0) {
                Ok((_, sender)) if sender.port_number() != 0 => (),
                Ok(_) if is_about_ours(inbox, own) => heard = Heard::Changed,
                Ok(_) => (),
                Err(e) => match Errno::from_raw(e.raw_os_error().unwrap_or(0)) {
                    Errno::EINTR => (),
                    Errno::ENOBUFS => heard = Heard::Changed,
                    _ => return heard,
                },
            }
        }
    }
}

fn open() -> std::io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER)?;
    socket.bind(&SocketAddr::new(0, 0))?;
    socket.set_non_blocking(true)?;
    Ok(socket)
}

fn is_about_ours(mut notices: &[u8], own: u32) -> bool {
    while !notices.is_empty() {
        let Ok(notice) = NetlinkBuffer::new_checked(notices) else { return true };
        let size = (notice.length() as usize).next_multiple_of(4).min(notices.len());
        if notice.message_type() >> 8 == NFTABLES
            && notice.port_number() != own
            && names_ours(notice.payload())
        {
            return true;
        }
        notices = &notices[size..];
    }
    false
}

/// The first attribute of every object's notice is the table's name.
fn names_ours(payload: &[u8]) -> bool {
    const HEADERS: usize = 4 + 4;
    payload
        .get(HEADERS..)
        .is_some_and(|name| name.starts_with(TABLE.as_bytes()) && name.get(TABLE.len()) == Some(&0))
}
