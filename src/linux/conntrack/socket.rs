//! The socket: asks for flows and removes them, many in one datagram. Whatever was left of an answer that was given up is
//! thrown away before the next request, so that a failure spoils nothing but itself.

use bowline_core::Result;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR, NLMSG_NOOP, NLMSG_OVERRUN, NetlinkBuffer,
};
use netlink_sys::SocketAddr;
use netlink_sys::protocols::NETLINK_NETFILTER;
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

use super::flows::Question;
use super::wire::{self, Flow, Removal};
use crate::fault::about_to_change;
use crate::netlink::Failure;

/// The kernel never fills more than this in one go.
const INBOX: usize = 64 << 10;
/// The kernel answers before `send` returns; waiting this long means that the answer was lost.
const PATIENCE_SECONDS: i64 = 10;
/// How often a request is made again whose answer was interrupted or did not fit.
const TRIES: u32 = 20;
/// How many flows a datagram removes. Should all of them be gone, as many refusals fit the usual receive buffer.
const AT_ONCE: usize = 128;

pub(super) struct Socket {
    netlink: netlink_sys::Socket,
    sequence: u32,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
}

/// What became of flows that were to be removed.
struct Removed {
    count: usize,
    /// The first refusal that does not say that the flow is gone.
    refused: Option<Failure>,
}

impl Socket {
    /// In the calling thread's network namespace.
    pub(super) fn open() -> Result<Socket> {
        Socket::make().map_err(|e| Failure::from(e).error("open a netfilter socket"))
    }

    fn make() -> std::io::Result<Socket> {
        let netlink = netlink_sys::Socket::new(NETLINK_NETFILTER)?;
        // Connected to the kernel: nobody else who is root in this namespace can forge its answers.
        netlink.connect(&SocketAddr::new(0, 0))?;
        netlink.set_ext_ack(true)?;
        netlink.set_cap_ack(true)?;
        setsockopt(&netlink, sockopt::ReceiveTimeout, &TimeVal::seconds(PATIENCE_SECONDS))?;
        Ok(Socket { netlink, sequence: 1, inbox: Vec::with_capacity(INBOX), outbox: Vec::new() })
    }

    /// So much for answers that nobody has read yet.
    #[cfg(test)]
    pub(super) fn make_room(&self, bytes: usize) {
        setsockopt(&self.netlink, sockopt::RcvBuf, &bytes).unwrap();
    }

    /// How many flows are tracked, about.
    pub(super) fn count(&mut self) -> Result<u32, Failure> {
        again(|| {
            let number = self.ask(wire::GET_STATS, 0, &wire::ANY)?;
            self.listen(|answer| match answer.message_type() {
                _ if answer.sequence_number() != number => Ok(None),
                NLMSG_ERROR => {
                    Err(Failure::parse(answer.flags(), answer.payload()).unwrap_or(Errno::EBADMSG.into()))
                }
                _ => Ok(Some(wire::count(answer.payload())?)),
            })
        })
    }

    /// What `choose` makes of each flow of the answer, which comes whole or not at all.
    pub(super) fn dump<T>(
        &mut self,
        question: &Question,
        mut choose: impl FnMut(&Flow<'_>) -> Option<T>,
    ) -> Result<Vec<T>, Failure> {
        again(|| {
            let mut chosen = Vec::new();
            self.dump_once(question, &mut |flow| chosen.extend(choose(flow)))?;
            Ok(chosen)
        })
    }

    fn dump_once(&mut self, question: &Question, each: &mut dyn FnMut(&Flow<'_>)) -> Result<(), Failure> {
        let number = self.ask(wire::GET, NLM_F_DUMP, &question.body())?;
        let mut whole = true;
        self.listen(|answer| {
            if answer.sequence_number() != number {
                return Ok(None);
            }
            whole &= answer.flags() & NLM_F_DUMP_INTR == 0;
            match answer.message_type() {
                NLMSG_ERROR | NLMSG_DONE => {
                    Failure::parse(answer.flags(), answer.payload()).map_or(Ok(Some(())), Err)
                }
                NLMSG_NOOP => Ok(None),
                NLMSG_OVERRUN => Err(Errno::ENOBUFS.into()),
                _ => {
                    each(&Flow::parse(answer.payload())?);
                    Ok(None)
                }
            }
        })?;
        if whole { Ok(()) } else { Err(Errno::EINTR.into()) }
    }

    /// Removes flows, and returns how many were there. One that cannot be removed does not keep the others.
    /// Where answers get lost the same is sent again, and what was removed by the first is not counted.
    pub(super) fn remove(&mut self, removals: &[Removal]) -> Result<usize, Failure> {
        let mut count = 0;
        let mut refused = None;
        for some in removals.chunks(AT_ONCE) {
            let removed = again(|| self.remove_once(some))?;
            count += removed.count;
            refused = refused.or(removed.refused);
        }
        refused.map_or(Ok(count), Err)
    }

    /// Only the last is acknowledged: it is answered after all the others, of which only those are that are refused.
    fn remove_once(&mut self, removals: &[Removal]) -> Result<Removed, Failure> {
        let last = removals.len() as u32 - 1;
        let first = self.numbers(last + 1);
        self.outbox.clear();
        for (i, removal) in (0..).zip(removals) {
            let flags = if i == last { NLM_F_ACK } else { 0 };
            wire::message(&mut self.outbox, wire::DELETE, flags, first.wrapping_add(i), &removal.0);
        }
        about_to_change();
        self.send()?;
        let mut removed = Removed { count: removals.len(), refused: None };
        self.listen(|answer| {
            let number = answer.sequence_number().wrapping_sub(first);
            if answer.message_type() != NLMSG_ERROR || number > last {
                return Ok(None);
            }
            if let Some(failure) = Failure::parse(answer.flags(), answer.payload()) {
                removed.count -= 1;
                if failure.errno != Errno::ENOENT {
                    removed.refused.get_or_insert(failure);
                }
            }
            Ok((number == last).then_some(()))
        })?;
        Ok(removed)
    }

    /// Sends one message, and returns its number.
    fn ask(&mut self, kind: u16, flags: u16, body: &[u8]) -> Result<u32, Failure> {
        let number = self.numbers(1);
        self.outbox.clear();
        wire::message(&mut self.outbox, kind, flags, number, body);
        self.send()?;
        Ok(number)
    }

    /// The first of as many numbers that no request had yet.
    fn numbers(&mut self, count: u32) -> u32 {
        let first = self.sequence;
        self.sequence = first.wrapping_add(count);
        first
    }

    fn send(&mut self) -> Result<(), Failure> {
        self.drain()?;
        loop {
            match self.netlink.send(&self.outbox, 0) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => (),
                sent => return sent.map(drop).map_err(Failure::from),
            }
        }
    }

    /// Throws away what is queued, and what would be.
    fn drain(&mut self) -> Result<(), Failure> {
        loop {
            match self.receive(libc::MSG_DONTWAIT) {
                Ok(()) | Err(Errno::ENOBUFS | Errno::EMSGSIZE) => (),
                Err(Errno::ETIMEDOUT) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Hands on what comes until something is made of it.
    fn listen<T>(
        &mut self,
        mut each: impl FnMut(&NetlinkBuffer<&[u8]>) -> Result<Option<T>, Failure>,
    ) -> Result<T, Failure> {
        loop {
            self.receive(0)?;
            let mut rest = &self.inbox[..];
            while !rest.is_empty() {
                let answer = NetlinkBuffer::new_checked(rest)?;
                if let Some(made) = each(&answer)? {
                    return Ok(made);
                }
                let size = (answer.length() as usize).next_multiple_of(4).min(rest.len());
                rest = &rest[size..];
            }
        }
    }

    /// The next datagram.
    fn receive(&mut self, flags: i32) -> Result<(), Errno> {
        loop {
            self.inbox.clear();
            match self.netlink.recv(&mut self.inbox, flags | libc::MSG_TRUNC) {
                Ok(length) if length > self.inbox.len() => return Err(Errno::EMSGSIZE),
                Ok(_) => return Ok(()),
                Err(e) => match Errno::from_raw(e.raw_os_error().unwrap_or(0)) {
                    Errno::EINTR => (),
                    // What a receive timeout is called.
                    Errno::EAGAIN => return Err(Errno::ETIMEDOUT),
                    errno => return Err(errno),
                },
            }
        }
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

/// Asks again for as long as the answer was not of one moment, or parts of it are lost.
fn again<T>(mut request: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    for _ in 0..TRIES {
        match request() {
            Err(failure) if matches!(failure.errno, Errno::EINTR | Errno::ENOBUFS) => (),
            outcome => return outcome,
        }
    }
    Err(Failure { errno: Errno::EBUSY, text: Some("the answer was interrupted again and again".into()) })
}

#[cfg(test)]
mod unit {
    use super::*;

    fn tried(outcome: impl Fn(u32) -> Result<&'static str, Errno>) -> (Result<&'static str, Errno>, u32) {
        let mut times = 0;
        let outcome = again(|| {
            times += 1;
            Ok(outcome(times)?)
        });
        (outcome.map_err(|failure| failure.errno), times)
    }

    #[test]
    fn what_was_interrupted_is_asked_again_but_not_for_ever() {
        assert_eq!(tried(|_| Ok("whole")), (Ok("whole"), 1));
        let twice = [Errno::EINTR, Errno::ENOBUFS];
        let outcome = |time| twice.get(time as usize - 1).map_or(Ok("whole"), |&errno| Err(errno));
        assert_eq!(tried(outcome), (Ok("whole"), 3));
        assert_eq!(tried(|_| Err(Errno::EINTR)), (Err(Errno::EBUSY), TRIES));
        assert_eq!(tried(|_| Err(Errno::EPERM)), (Err(Errno::EPERM), 1));
    }
}
