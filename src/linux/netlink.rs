//! A blocking conversation with route netlink: one request, its answer, no thread of its own.
//! Built on netlink-sys and the message types of netlink-packet-route; it adds what those leave out, such as dumps
//! that are asked again when they were interrupted, and an end to waiting.

mod failure;
pub(crate) mod filter;
pub(crate) mod wire;

use bowline_core::Result;
use bowline_core::place::Place;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NLMSG_NOOP,
    NLMSG_OVERRUN, NetlinkBuffer, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

pub(crate) use self::failure::Failure;
use crate::{fault, netns};

/// A socket of the namespace that it was made in, wherever it is used.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    /// Set where an answer may still be on its way, so that the socket is not used again.
    confused: bool,
}

/// What ends an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Acknowledgement,
    FirstReply,
    DumpDone,
}

/// The kernel never fills more than this in one go.
const INBOX: usize = 64 * 1024;
/// The kernel answers before `send` returns; waiting this long means that the answer was lost.
const PATIENCE_SECONDS: i64 = 10;
/// How often a dump is asked again after the kernel said that it is not of one moment, or lost part of it.
const TRIES: u32 = 20;

impl Netlink {
    /// A socket in the calling thread's namespace.
    pub(crate) fn open() -> Result<Netlink> {
        Netlink::make().map_err(|e| Failure::from(e).error("open a route netlink socket"))
    }

    /// The namespace that this socket is of.
    pub(crate) fn place(&self) -> Result<Place> {
        netns::cookie_of(&self.socket)
    }

    /// Makes a change and waits for its acknowledgement.
    pub(crate) fn change(&mut self, message: RouteNetlinkMessage, flags: u16) -> Result<(), Failure> {
        fault::about_to_change();
        self.exchange(message, flags | NLM_F_ACK, End::Acknowledgement, &mut |_| Ok(())).map(|_| ())
    }

    /// Asks for one object.
    pub(crate) fn get<T>(
        &mut self,
        message: RouteNetlinkMessage,
        mut parse: impl FnMut(&[u8]) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut found = None;
        self.exchange(message, 0, End::FirstReply, &mut |payload| {
            found = Some(parse(payload)?);
            Ok(())
        })?;
        found.ok_or(Failure::from(Errno::EBADMSG))
    }

    /// Asks for all objects. What is returned is of one moment, or it is an error.
    pub(crate) fn dump<T>(
        &mut self,
        message: &RouteNetlinkMessage,
        mut parse: impl FnMut(&[u8]) -> Result<Option<T>, Failure>,
    ) -> Result<Vec<T>, Failure> {
        let mut all = Vec::new();
        for _ in 0..TRIES {
            all.clear();
            let outcome = self.exchange(message.clone(), NLM_F_DUMP, End::DumpDone, &mut |payload| {
                all.extend(parse(payload)?);
                Ok(())
            });
            match outcome {
                Ok(Moment::One) => return Ok(all),
                Ok(Moment::Several) => (),
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure { errno: Errno::EBUSY, text: Some("the dump was interrupted again and again".into()) })
    }

    /// False where an answer may still come, so that the next request could be mistaken about its own.
    pub(crate) fn is_usable(&self) -> bool {
        !self.confused
    }

    fn make() -> std::io::Result<Netlink> {
        let socket = Socket::new(NETLINK_ROUTE)?;
        // Connected to the kernel: root of a container shares a namespace with our socket, and could else forge answers.
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(PATIENCE_SECONDS))?;
        Ok(Netlink {
            socket,
            sequence: 0,
            inbox: Vec::with_capacity(INBOX),
            outbox: Vec::new(),
            confused: false,
        })
    }

    fn exchange(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
        end: End,
        each: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<Moment, Failure> {
        self.send(message, flags)?;
        self.confused = true;
        let outcome = self.listen(end, each);
        // A refusal ends the answer as well as success does; what fails on our side may leave some of it behind.
        self.confused = matches!(&outcome, Err(Heard::Lost(_)));
        outcome.map_err(|heard| match heard {
            Heard::Refused(failure) | Heard::Lost(failure) => failure,
        })
    }

    fn send(&mut self, message: RouteNetlinkMessage, flags: u16) -> Result<(), Failure> {
        let mut message = NetlinkMessage::new(Default::default(), NetlinkPayload::InnerMessage(message));
        self.sequence = self.sequence.wrapping_add(1);
        message.header.sequence_number = self.sequence;
        message.header.flags = NLM_F_REQUEST | flags;
        message.finalize();
        self.outbox.clear();
        self.outbox.resize(message.buffer_len(), 0);
        message.serialize(&mut self.outbox);
        again(|| self.socket.send(&self.outbox, 0))?;
        Ok(())
    }

    fn listen(
        &mut self,
        end: End,
        each: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<Moment, Heard> {
        let lost = |errno: Errno| Heard::Lost(errno.into());
        let mut moment = Moment::One;
        loop {
            self.inbox.clear();
            let length = match again(|| self.socket.recv(&mut self.inbox, libc::MSG_TRUNC)) {
                Ok(length) => length,
                // Part of the dump was lost. It is read to its end all the same, for the kernel runs one at a time.
                Err(Errno::ENOBUFS) if end == End::DumpDone => {
                    moment = Moment::Several;
                    continue;
                }
                // What a receive timeout is called.
                Err(Errno::EAGAIN) => return Err(lost(Errno::ETIMEDOUT)),
                Err(errno) => return Err(lost(errno)),
            };
            if length > self.inbox.len() {
                return Err(lost(Errno::EMSGSIZE));
            }
            let mut rest = &self.inbox[..];
            while !rest.is_empty() {
                let answer = NetlinkBuffer::new_checked(rest).map_err(|e| Heard::Lost(Failure::from(e)))?;
                let size = (answer.length() as usize).next_multiple_of(4).min(rest.len());
                rest = &rest[size..];
                // An answer to an earlier request, given up.
                if answer.sequence_number() != self.sequence {
                    continue;
                }
                if answer.flags() & NLM_F_DUMP_INTR != 0 {
                    moment = Moment::Several;
                }
                match answer.message_type() {
                    NLMSG_ERROR | NLMSG_DONE => {
                        return match Failure::parse(answer.flags(), answer.payload()) {
                            Some(failure) => Err(Heard::Refused(failure)),
                            None => Ok(moment),
                        };
                    }
                    NLMSG_NOOP => (),
                    NLMSG_OVERRUN => return Err(lost(Errno::ENOBUFS)),
                    _ => {
                        each(answer.payload()).map_err(Heard::Lost)?;
                        if end == End::FirstReply {
                            return Ok(moment);
                        }
                    }
                }
            }
        }
    }
}

/// Whether a dump shows the world as it was at one moment.
enum Moment {
    One,
    Several,
}

enum Heard {
    /// The kernel's own no.
    Refused(Failure),
    /// We do not know what the kernel said.
    Lost(Failure),
}

/// Calls again for as long as a signal gets in the way.
fn again<T>(mut call: impl FnMut() -> std::io::Result<T>) -> Result<T, Errno> {
    loop {
        match call() {
            Ok(value) => return Ok(value),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => (),
            Err(e) => return Err(Errno::from_raw(e.raw_os_error().unwrap_or(0))),
        }
    }
}
