//! Notices that matter only where cards hang on links of a host: what becomes of those links, of the cards, and of the
//! namespaces that the cards are in. Asked for when the first such link is to be followed.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bowline_core::Result;
use bowline_core::kernel::{LinkNow, Moved};
use bowline_core::name::LinkName;
use bowline_core::place::Place;
use netlink_packet_core::NetlinkBuffer;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};

use super::host::Host;
use super::link;
use super::mark::Mark;
use super::stems::Stems;
use crate::netlink::wire::{self, SeenLink};
use crate::netlink::{Failure, filter};

const RTNLGRP_LINK: u32 = libc::RTNLGRP_LINK;
const RTNLGRP_NSID: u32 = libc::RTNLGRP_NSID;
const RECEIVE_BUFFER: usize = 8 << 20;

#[derive(Debug)]
pub(crate) struct ParentWatch {
    place: Place,
    stems: Arc<Stems>,
    /// Of the host's own links.
    links: Socket,
    /// Of cards in all namespaces that the host has a number for, and of those numbers.
    inside: Socket,
    asked: AtomicBool,
    /// With its index, while it is there.
    followed: Mutex<BTreeMap<LinkName, Option<u32>>>,
}

impl ParentWatch {
    pub(super) fn of(host: &Host) -> Result<ParentWatch> {
        let failed = |e: std::io::Error| Failure::from(e).error("watch the links that cards hang on");
        let (links, inside) = host.enter(|| Ok((open().map_err(failed)?, open().map_err(failed)?)))?;
        Ok(ParentWatch {
            place: host.place(),
            stems: host.stems().clone(),
            links,
            inside,
            asked: AtomicBool::new(false),
            followed: Mutex::default(),
        })
    }

    /// From now on these are followed, and no others.
    pub(super) fn follow(&self, host: &Host, names: &BTreeSet<LinkName>) -> Result<()> {
        if names.is_empty() && !self.asked.load(Ordering::Relaxed) {
            return Ok(());
        }
        // Everything is heard until it is known what to listen for, so nothing is missed in between.
        let failed = |e: Errno| Failure::from(e).error("watch the links that cards hang on");
        filter::any_link(&self.links).map_err(failed)?;
        if !self.asked.swap(true, Ordering::Relaxed) {
            self.ask().map_err(failed)?;
        }
        let found = host.route(|route| {
            let index = |name: &LinkName| Ok(link::find(route, name)?.map(|seen| seen.index));
            names.iter().map(index).collect::<Result<Vec<_>>>()
        })?;
        *self.followed() = names.iter().cloned().zip(found).collect();
        self.listen_for().map_err(failed)
    }

    fn ask(&self) -> Result<(), Errno> {
        filter::join_group(&self.links, RTNLGRP_LINK)?;
        filter::only_what_goes(&self.inside)?;
        match filter::listen_everywhere(&self.inside) {
            Ok(()) => filter::join_group(&self.inside, RTNLGRP_LINK)?,
            Err(errno) => {
                tracing::warn!(%errno, "cards that containers delete are missed until the next audit")
            }
        }
        filter::join_group(&self.inside, RTNLGRP_NSID)
    }

    /// While one of them is not there, any link may become it.
    fn listen_for(&self) -> Result<(), Errno> {
        let indexes: Option<Vec<u32>> = self.followed().values().copied().collect();
        match indexes {
            Some(indexes) => filter::only_these_links(&self.links, &indexes),
            None => filter::any_link(&self.links),
        }
    }

    pub(super) fn fds(&self) -> [BorrowedFd<'_>; 2] {
        [self.links.as_fd(), self.inside.as_fd()]
    }

    /// Reads all that waits.
    pub(super) fn hear(&self, inbox: &mut Vec<u8>) -> Vec<Moved> {
        let mut moved = Vec::new();
        self.read(&self.links, inbox, &mut moved, ParentWatch::link_moved);
        self.read(&self.inside, inbox, &mut moved, ParentWatch::gone_inside);
        moved
    }

    fn read(
        &self,
        socket: &Socket,
        inbox: &mut Vec<u8>,
        moved: &mut Vec<Moved>,
        hear: fn(&ParentWatch, u16, &[u8]) -> Vec<Moved>,
    ) {
        loop {
            inbox.clear();
            match socket.recv_from(inbox, 0) {
                Ok((_, sender)) if sender.port_number() != 0 => (),
                Ok(_) => {
                    let mut notices = &inbox[..];
                    while let Ok(notice) = NetlinkBuffer::new_checked(notices) {
                        moved.extend(hear(self, notice.message_type(), notice.payload()));
                        let size = (notice.length() as usize).next_multiple_of(4).min(notices.len());
                        notices = &notices[size..];
                        if notices.is_empty() {
                            break;
                        }
                    }
                }
                Err(e) => match Errno::from_raw(e.raw_os_error().unwrap_or(0)) {
                    Errno::EINTR => (),
                    Errno::ENOBUFS => moved.push(Moved::Overrun { place: self.place }),
                    _ => return,
                },
            }
        }
    }

    fn link_moved(&self, kind: u16, payload: &[u8]) -> Vec<Moved> {
        let place = self.place;
        let Ok(seen) = SeenLink::parse(payload) else { return vec![Moved::Overrun { place }] };
        let gone = match kind {
            libc::RTM_NEWLINK => false,
            // It left a bridge, and is there all the same.
            libc::RTM_DELLINK if payload.first().is_some_and(|&f| i32::from(f) == libc::AF_BRIDGE) => false,
            libc::RTM_DELLINK => true,
            _ => return Vec::new(),
        };
        let mut followed = self.followed();
        let known =
            followed.iter().find(|(_, index)| **index == Some(seen.index)).map(|(name, _)| name.clone());
        let told = match (known, seen.name.filter(|_| !gone)) {
            (Some(name), Some(now)) if name != now => {
                followed.remove(&name);
                followed.insert(now.clone(), Some(seen.index));
                vec![Moved::Renamed { place, name, now }]
            }
            (Some(name), Some(_)) => return vec![Moved::Parent { place, name }],
            (Some(name), None) => {
                followed.insert(name.clone(), None);
                vec![Moved::Parent { place, name }]
            }
            (None, Some(name)) if followed.contains_key(&name) => {
                followed.insert(name.clone(), Some(seen.index));
                vec![Moved::Parent { place, name }]
            }
            (None, _) => return Vec::new(),
        };
        drop(followed);
        if let Err(errno) = self.listen_for() {
            tracing::warn!(%errno, "could not change what is listened for");
        }
        told
    }

    fn gone_inside(&self, kind: u16, payload: &[u8]) -> Vec<Moved> {
        let place = self.place;
        let gone = |name| Moved::Link { place, name, now: LinkNow::Gone };
        match kind {
            libc::RTM_DELLINK => match SeenLink::parse(payload).map(|seen| seen.mark()) {
                Ok(Some(Mark::Stem { key, .. })) if key.place == place => vec![gone(key.name)],
                Ok(_) => Vec::new(),
                Err(_) => vec![Moved::Overrun { place }],
            },
            libc::RTM_DELNSID => match wire::nsid(payload) {
                Ok(Some(nsid)) => self.stems.lost(nsid).into_iter().map(gone).collect(),
                Ok(None) | Err(_) => vec![Moved::Overrun { place }],
            },
            _ => Vec::new(),
        }
    }

    fn followed(&self) -> MutexGuard<'_, BTreeMap<LinkName, Option<u32>>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open() -> std::io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER)?;
    socket.bind(&SocketAddr::new(0, 0))?;
    socket.set_non_blocking(true)?;
    Ok(socket)
}
