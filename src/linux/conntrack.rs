//! Makes the kernel forget flows that it tracks, so that the next packet of each is looked at anew: a flow keeps the way
//! that was chosen for its first packet, and would lead past a port just published, or to a container that is gone.

mod flows;
mod socket;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::BTreeSet;
use std::net::IpAddr;

use bowline_core::{Code, Result};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use nix::errno::Errno;

pub(crate) use self::flows::{Flows, Towards};
use self::flows::{Question, Verdict};
use self::socket::Socket;
use self::wire::{Flow, Removal};
use crate::netlink::Netlink;
use crate::netlink::wire::SeenAddress;

/// Reading so many flows takes about as long as the kernel needs to walk its whole table once more.
const MANY: u32 = 4096;

/// The flows of one namespace.
#[derive(Debug)]
pub(crate) struct Conntrack {
    socket: Socket,
    /// Tells which addresses are the host's.
    route: Netlink,
    /// From how many flows on it is worth a second walk that the kernel picks out those of one port, which it does for
    /// one family at a time. None where it cannot.
    filter_from: Option<u32>,
}

impl Conntrack {
    /// Of the calling thread's namespace, wherever it is used. After an error it is better opened anew.
    pub(crate) fn open() -> Result<Conntrack> {
        Ok(Conntrack { socket: Socket::open()?, route: Netlink::open()?, filter_from: Some(MANY) })
    }

    /// Whether the kernel tells of the flows that it tracks. Fails with [`Code::Unsupported`] where it does not.
    pub(crate) fn attempt(&mut self) -> Result<()> {
        self.socket.count().map(drop).map_err(|e| match e.errno {
            errno if tracks_nothing(errno) => e.coded(Code::Unsupported, "count the tracked flows"),
            _ => e.error("count the tracked flows"),
        })
    }

    /// Makes the kernel forget these flows, and returns how many there were. A kernel that tracks nothing has none.
    pub(crate) fn forget(&mut self, flows: &Flows) -> Result<usize> {
        let tracked = self.count()?;
        if tracked == 0 {
            return Ok(0);
        }
        let walks = match self.filter_from {
            None => 0,
            Some(many) if tracked < many => 1,
            Some(_) => 2,
        };
        let mut sure = Vec::new();
        let mut unsure = Vec::new();
        for question in flows.questions(walks) {
            for (verdict, removal) in self.ask(question, flows)? {
                match verdict {
                    Verdict::Forget => sure.push(removal),
                    Verdict::ForgetIfOurs(address) => unsure.push((address, removal)),
                }
            }
        }
        if !unsure.is_empty() {
            let ours = self.addresses()?;
            sure.extend(unsure.into_iter().filter(|(to, _)| is_ours(&ours, *to)).map(|(_, removal)| removal));
        }
        self.socket.remove(&sure).map_err(|e| e.error("forget tracked flows"))
    }

    fn count(&mut self) -> Result<u32> {
        match self.socket.count() {
            Ok(count) => Ok(count),
            Err(e) if tracks_nothing(e.errno) => {
                tracing::debug!(errno = %e.errno, "the kernel does not track flows");
                Ok(0)
            }
            Err(e) => Err(e.error("count the tracked flows")),
        }
    }

    /// The flows of an answer that are not to be kept.
    fn ask(&mut self, question: Question, flows: &Flows) -> Result<Vec<(Verdict, Removal)>> {
        let choose = |flow: &Flow<'_>| flows.verdict(flow).map(|verdict| (verdict, flow.removal()));
        let outcome = match self.socket.dump(&question, choose) {
            Err(e) if question.port.is_some() && lacks_filter(e.errno) => {
                tracing::debug!(errno = %e.errno, "the kernel cannot pick out the flows of one port");
                self.filter_from = None;
                self.socket.dump(&Question { port: None, ..question }, choose)
            }
            outcome => outcome,
        };
        outcome.map_err(|e| e.error("list the tracked flows"))
    }

    fn addresses(&mut self) -> Result<BTreeSet<IpAddr>> {
        let message = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let seen = self
            .route
            .dump(&message, |payload| Ok(SeenAddress::parse(payload)?))
            .map_err(|e| e.error("list the addresses of the host"))?;
        Ok(seen.into_iter().map(|seen| seen.net.ip()).collect())
    }
}

/// All of 127.0.0.0/8 is the host's, though one address of it is listed.
fn is_ours(ours: &BTreeSet<IpAddr>, address: IpAddr) -> bool {
    address.is_loopback() || ours.contains(&address)
}

/// A kernel that has no filter, before 5.8, passes over it or refuses it.
fn lacks_filter(errno: Errno) -> bool {
    matches!(errno, Errno::EINVAL | Errno::EOPNOTSUPP)
}

/// What netfilter says of a part of it that is not there.
fn tracks_nothing(errno: Errno) -> bool {
    matches!(errno, Errno::EINVAL | Errno::EPROTONOSUPPORT | Errno::ENOENT)
}
