//! The socket: sends a transaction or a question, and gathers the answers, none of which it waits for long.

use std::io;
use std::time::Duration;

use bowline_core::firewall::Table;
use bowline_core::{Code, Error, Result};
use netlink_sys::Socket as Netlink;
use netlink_sys::protocols::NETLINK_NETFILTER;
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;

use super::batch::Batch;
use super::refusal::{self, Fault, Refusal};
use super::wire::{self, Writer, kind};
use crate::fault::about_to_change;

/// The kernel queues its answer before a request's sending returns, so this long a wait means that there is none.
const PATIENCE: Duration = Duration::from_secs(10);
/// No datagram of a dump is longer.
const DATAGRAM: usize = 64 << 10;
/// Room for the refusals of a large transaction.
const RECEIVE_BUFFER: usize = 1 << 20;
/// How often a transaction is sent again whose outcome got lost.
const TRIES: u32 = 3;

pub(super) struct Socket {
    netlink: Netlink,
    port: u32,
    sequence: u32,
    /// The largest transaction that the socket takes so far.
    room: usize,
    received: Vec<u8>,
}

impl Socket {
    /// In the calling thread's network namespace.
    pub(super) fn open() -> Result<Socket> {
        let failed = |error: io::Error| broken("open a netfilter socket", &error);
        let mut netlink = Netlink::new(NETLINK_NETFILTER).map_err(failed)?;
        let port = netlink.bind_auto().map_err(failed)?.port_number();
        netlink.set_cap_ack(true).map_err(failed)?;
        netlink.set_ext_ack(true).map_err(failed)?;
        let patience = TimeVal::new(PATIENCE.as_secs().cast_signed(), 0);
        setsockopt(&netlink, sockopt::ReceiveTimeout, &patience).map_err(|errno| failed(errno.into()))?;
        // Without the privilege the usual size has to do, and the first change will say what is missing.
        if let Err(errno) = setsockopt(&netlink, sockopt::RcvBufForce, &RECEIVE_BUFFER) {
            tracing::debug!(%errno, "the netfilter socket keeps its receive buffer");
        }
        Ok(Socket { netlink, port, sequence: 1, room: 32 << 10, received: Vec::with_capacity(DATAGRAM) })
    }

    /// What the kernel knows this socket by.
    pub(super) fn port(&self) -> u32 {
        self.port
    }

    /// Leaves next to no room for answers.
    #[cfg(test)]
    pub(super) fn shrink(&self) {
        setsockopt(&self.netlink, sockopt::RcvBufForce, &1).unwrap();
    }

    /// Does all of the batch, or nothing of it.
    pub(super) fn transact(&mut self, batch: &mut Batch<'_>) -> std::result::Result<(), Fault> {
        if batch.is_empty() {
            return Ok(());
        }
        for _ in 0..TRIES {
            let first = self.sequence;
            let ops = batch.ops();
            self.sequence = first.wrapping_add(ops).wrapping_add(2);
            let bytes = batch.seal(first);
            self.make_room(bytes.len());
            about_to_change();
            self.send(bytes)?;
            match self.outcome(first, ops) {
                // The answers did not fit. As every transaction may be made twice, the way to learn is to make it again.
                Err(Fault::Interrupted) => self.drain()?,
                other => return other,
            }
        }
        Err(Fault::Interrupted)
    }

    /// Gathers the answers to a transaction whose beginning has the number `first`. The last operation is always
    /// answered; the end is not, by old kernels.
    fn outcome(&mut self, first: u32, ops: u32) -> std::result::Result<(), Fault> {
        let mut refused: Vec<Refusal> = Vec::new();
        loop {
            self.receive()?;
            for message in wire::messages(&self.received) {
                // Answers to an earlier request have a number that is not among ours.
                let number = message.sequence.wrapping_sub(first);
                if message.kind != kind::ERROR || number > ops {
                    continue;
                }
                let refusal = refusal::read(&message);
                // The beginning stands for the whole, and where that is refused nothing else need follow.
                if number == 0 && refusal.is_some() {
                    return Err(Fault::Refused(refusal.into_iter().collect()));
                }
                let op = number.checked_sub(1).map(|op| op as usize);
                refused.extend(refusal.map(|refusal| Refusal { op, ..refusal }));
                if number == ops {
                    return if refused.is_empty() { Ok(()) } else { Err(Fault::Refused(refused)) };
                }
            }
        }
    }

    /// Asks about something in one of the host's tables, and returns the attributes of each message that answers.
    pub(super) fn ask(
        &mut self,
        table: Table,
        kind: u16,
        flags: u16,
        body: impl FnOnce(&mut Writer),
    ) -> std::result::Result<Vec<Vec<u8>>, Fault> {
        self.ask_family(wire::family_of(table), kind, flags, body)
    }

    /// The same about a table of that family.
    pub(super) fn ask_family(
        &mut self,
        family: u8,
        kind: u16,
        flags: u16,
        body: impl FnOnce(&mut Writer),
    ) -> std::result::Result<Vec<Vec<u8>>, Fault> {
        let mut question = Writer::default();
        question.nftables(family, kind, flags, body);
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        question.number(0, sequence);
        self.send(&question.bytes)?;
        match self.answer(sequence) {
            Err(Fault::Interrupted) => {
                self.drain()?;
                Err(Fault::Interrupted)
            }
            other => other,
        }
    }

    fn answer(&mut self, sequence: u32) -> std::result::Result<Vec<Vec<u8>>, Fault> {
        let mut answers = Vec::new();
        let mut interrupted = false;
        loop {
            self.receive()?;
            for message in wire::messages(&self.received).filter(|m| m.sequence == sequence) {
                interrupted |= message.flags & wire::flag::DUMP_INTERRUPTED != 0;
                match message.kind {
                    // The end of a dump, or the acknowledgement of a question; either may bring bad news instead.
                    kind::DONE | kind::ERROR => {
                        return match refusal::read(&message) {
                            Some(refusal) if refusal.errno == Errno::EINTR => Err(Fault::Interrupted),
                            Some(refusal) => Err(Fault::Refused(vec![refusal])),
                            None if interrupted => Err(Fault::Interrupted),
                            None => Ok(answers),
                        };
                    }
                    _ => answers.push(message.attrs().to_vec()),
                }
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> std::result::Result<(), Fault> {
        loop {
            match self.netlink.send(bytes, 0) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Fault::Broken(broken("send to nf_tables", &error))),
            }
        }
    }

    /// The next datagram.
    fn receive(&mut self) -> std::result::Result<(), Fault> {
        loop {
            self.received.clear();
            let error = match self.netlink.recv(&mut self.received, libc::MSG_TRUNC) {
                Ok(len) if len <= self.received.len() => return Ok(()),
                Ok(_) => return Err(Fault::Interrupted),
                Err(error) => error,
            };
            match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::EINTR) => {}
                Some(Errno::ENOBUFS) => return Err(Fault::Interrupted),
                Some(Errno::EAGAIN) => {
                    let error = Error::new(Code::Timeout, "nf_tables does not answer")
                        .because(format!("waited for {PATIENCE:?}"));
                    return Err(Fault::Broken(error));
                }
                _ => return Err(Fault::Broken(broken("hear from nf_tables", &error))),
            }
        }
    }

    /// Throws away what is queued.
    fn drain(&mut self) -> std::result::Result<(), Fault> {
        loop {
            self.received.clear();
            let Err(error) = self.netlink.recv(&mut self.received, libc::MSG_DONTWAIT) else { continue };
            match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::EAGAIN) => return Ok(()),
                Some(Errno::EINTR | Errno::ENOBUFS) => {}
                _ => return Err(Fault::Broken(broken("hear from nf_tables", &error))),
            }
        }
    }

    /// A transaction is one datagram, which must fit the send buffer.
    fn make_room(&mut self, len: usize) {
        if len <= self.room {
            return;
        }
        self.room = len.next_power_of_two();
        // Where it may not be enlarged it may still do; and if not, the sending says so.
        if let Err(errno) = setsockopt(&self.netlink, sockopt::SndBufForce, &self.room) {
            tracing::debug!(%errno, "the netfilter socket keeps its send buffer");
        }
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket")
            .field("port", &self.port)
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

fn broken(what: &str, error: &io::Error) -> Error {
    let Some(errno) = error.raw_os_error().map(Errno::from_raw) else {
        return Error::new(Code::Kernel, what).because(error);
    };
    match errno {
        Errno::EPROTONOSUPPORT | Errno::EAFNOSUPPORT | Errno::ECONNREFUSED => {
            Error::new(Code::Unsupported, what)
                .because(format!("{errno:?}"))
                .fix("load the nf_tables module: modprobe nf_tables")
        }
        Errno::EPERM | Errno::EACCES => Error::new(Code::Denied, what)
            .because(format!("{errno:?}"))
            .fix("run as root, or with CAP_NET_ADMIN"),
        errno => Error::new(Code::Kernel, what).because(format!("{errno:?}")),
    }
}
