//! Notices of what moves in a host's namespace, from one thread that lives until its kernel is dropped.
//! Only our links are told of, so the thread remembers which indexes are ours: a notice of an address names no link.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bowline_core::kernel::{LinkNow, Moved, Tell};
use bowline_core::name::LinkName;
use bowline_core::place::Place;
use bowline_core::{Code, Error, Result};
use netlink_packet_core::NetlinkBuffer;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};

use super::host::Host;
use super::link;
use super::parents::ParentWatch;
use super::tables::{Heard, TableWatch};
use crate::netlink::wire::{self, SeenLink};
use crate::netlink::{Failure, filter};

/// What the names of all our links begin with.
const PREFIX: &str = "bl";

const RECEIVE_BUFFER: usize = 8 << 20;

const RTM_NEWLINK: u16 = libc::RTM_NEWLINK;
const RTM_DELLINK: u16 = libc::RTM_DELLINK;
const RTM_NEWADDR: u16 = libc::RTM_NEWADDR;
const RTM_DELADDR: u16 = libc::RTM_DELADDR;

/// Starts to tell. The thread ends when the other end of `leash` is closed.
pub(super) fn watch(host: &Host, leash: OwnedFd, tell: Tell) -> Result<()> {
    let failed = |e: std::io::Error| Failure::from(e).error("watch the links");
    let socket = host.enter(|| listen().map_err(failed))?;
    // The socket listens already, so nothing that moves from here on is missed.
    let ours = host.route(|route| link::all(route, |seen| ours_of(&seen).map(|name| (seen.index, name))))?;
    let tables = Arc::new(TableWatch::of(host)?);
    let parents = Arc::new(ParentWatch::of(host)?);
    host.watched_by(tables.clone(), parents.clone());
    let watch = Watch {
        place: host.place(),
        ours: ours.into_iter().collect(),
        tell,
        tables,
        parents,
        nft_port: host.nft_port(),
    };
    std::thread::Builder::new()
        .name("link-watch".into())
        .spawn(move || watch.live(&socket, &leash))
        .map_err(|e| Error::new(Code::Kernel, "start a thread").because(e))?;
    Ok(())
}

struct Watch {
    place: Place,
    ours: HashMap<u32, LinkName>,
    tell: Tell,
    tables: Arc<TableWatch>,
    parents: Arc<ParentWatch>,
    /// What our own changes to them come from.
    nft_port: Arc<AtomicU32>,
}

fn listen() -> std::io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    // A notice that does not fit is lost, so there is room for many; the kernel takes memory only for what waits.
    setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER)?;
    filter::only_what_is_amiss(&socket)?;
    socket.bind(&SocketAddr::new(0, 0))?;
    for group in [libc::RTNLGRP_LINK, libc::RTNLGRP_IPV4_IFADDR, libc::RTNLGRP_IPV6_IFADDR] {
        socket.add_membership(group)?;
    }
    socket.set_non_blocking(true)?;
    Ok(socket)
}

impl Watch {
    fn live(mut self, socket: &Socket, leash: &OwnedFd) {
        let mut inbox: Vec<u8> = Vec::with_capacity(64 * 1024);
        loop {
            let [parents, inside] = self.parents.fds();
            let mut ready = [
                PollFd::new(socket.as_fd(), PollFlags::POLLIN),
                PollFd::new(leash.as_fd(), PollFlags::empty()),
                PollFd::new(self.tables.fd(), PollFlags::POLLIN),
                PollFd::new(parents, PollFlags::POLLIN),
                PollFd::new(inside, PollFlags::POLLIN),
            ];
            match poll(&mut ready, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => (),
                Err(errno) => return self.give_up(errno),
            }
            if ready[1].any().unwrap_or(true) {
                return;
            }
            if self.tables.hear(self.nft_port.load(Ordering::Relaxed), &mut inbox) == Heard::Changed {
                (self.tell)(Moved::Tables { place: self.place });
            }
            self.parents.hear(&mut inbox).into_iter().for_each(|moved| (self.tell)(moved));
            loop {
                inbox.clear();
                match socket.recv_from(&mut inbox, 0) {
                    // Notices come from the kernel; whoever else can send to us does not speak for it.
                    Ok((_, sender)) if sender.port_number() != 0 => (),
                    Ok(_) => self.hear(&inbox),
                    Err(e) => match Errno::from_raw(e.raw_os_error().unwrap_or(0)) {
                        Errno::EAGAIN => break,
                        Errno::EINTR => (),
                        Errno::ENOBUFS => (self.tell)(Moved::Overrun { place: self.place }),
                        errno => return self.give_up(errno),
                    },
                }
            }
        }
    }

    fn hear(&mut self, mut notices: &[u8]) {
        while !notices.is_empty() {
            let Ok(notice) = NetlinkBuffer::new_checked(notices) else {
                return (self.tell)(Moved::Overrun { place: self.place });
            };
            let size = (notice.length() as usize).next_multiple_of(4).min(notices.len());
            notices = &notices[size..];
            match notice.message_type() {
                RTM_NEWLINK => self.link_moved(notice.payload()),
                RTM_DELLINK => self.link_went(notice.payload()),
                RTM_NEWADDR | RTM_DELADDR => self.address_moved(notice.payload()),
                _ => (),
            }
        }
    }

    /// A link that is there and down: the filter keeps those that are up.
    fn link_moved(&mut self, payload: &[u8]) {
        let Ok(seen) = SeenLink::parse(payload) else {
            return (self.tell)(Moved::Overrun { place: self.place });
        };
        let now = ours_of(&seen);
        let before = match &now {
            Some(name) => self.ours.insert(seen.index, name.clone()),
            None => self.ours.remove(&seen.index),
        };
        // A link that was renamed, or lost our mark, is missed under its old name.
        if let Some(before) = before.filter(|before| Some(before) != now.as_ref()) {
            self.tell_link(before, LinkNow::Gone);
        }
        if let Some(name) = now {
            self.tell_link(name, LinkNow::Down);
        }
    }

    fn link_went(&mut self, payload: &[u8]) {
        let Ok(seen) = SeenLink::parse(payload) else {
            return (self.tell)(Moved::Overrun { place: self.place });
        };
        // A port that left its bridge is not gone, but it is of no use. Such a notice bears no mark, only the name.
        if is_of_bridge(payload) {
            let ours = |name: &LinkName| name.as_str().starts_with(PREFIX);
            return seen.name.filter(ours).into_iter().for_each(|name| self.tell_link(name, LinkNow::Down));
        }
        let known = self.ours.remove(&seen.index);
        if let Some(name) = ours_of(&seen).or(known) {
            self.tell_link(name, LinkNow::Gone);
        }
    }

    fn address_moved(&self, payload: &[u8]) {
        if let Some(name) = index(payload).and_then(|index| self.ours.get(&index)) {
            (self.tell)(Moved::Address { place: self.place, name: name.clone() });
        }
    }

    fn tell_link(&self, name: LinkName, now: LinkNow) {
        (self.tell)(Moved::Link { place: self.place, name, now });
    }

    fn give_up(&self, errno: Errno) {
        tracing::error!(place = %self.place, %errno, "no longer watching the links");
        (self.tell)(Moved::Overrun { place: self.place });
    }
}

/// The name of a link of ours that is told of.
fn ours_of(seen: &SeenLink) -> Option<LinkName> {
    seen.our_kind(|_| None).and(seen.name.clone())
}

/// The same place in a link's header and in an address's.
fn index(payload: &[u8]) -> Option<u32> {
    payload.get(4..).and_then(wire::number)
}

fn is_of_bridge(payload: &[u8]) -> bool {
    payload.first().is_some_and(|&family| i32::from(family) == libc::AF_BRIDGE)
}
