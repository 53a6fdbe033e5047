//! Questions to nf_tables about tables of all families, and transactions that hold only if nothing changed meanwhile.
//! The socket of `nft` speaks of our own table alone, so this is another one, opened anew for each errand.

use std::io;

use bowline_core::{Code, Error, Result};
use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkBuffer};
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::fault::about_to_change;
use crate::netlink::{Failure, wire};

/// The subsystem number of nf_tables.
const NFTABLES: u16 = 10;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
/// The header of what begins and ends a transaction.
const BRACKET: [u8; 4] = [0, 0, NFTABLES.to_be_bytes()[0], NFTABLES.to_be_bytes()[1]];
const GET_GENERATION: u16 = 16;
const GENERATION: u16 = 1;
const NESTED: u16 = 0x8000;
/// The header of netlink, and the one that all messages of netfilter have after it.
const HEADER: usize = 16;
const HEADERS: usize = HEADER + 4;

const INBOX: usize = 64 << 10;
/// The kernel answers before `send` returns; waiting this long means that there is no answer.
const PATIENCE_SECONDS: i64 = 10;
/// How often an errand is begun anew because another program changed its tables meanwhile.
const TRIES: u32 = 32;

pub(super) struct Talk {
    socket: Socket,
    sequence: u32,
}

/// One object of a dump.
pub(super) struct Answer {
    pub(super) family: u8,
    pub(super) attributes: Vec<u8>,
}

/// One operation of a transaction.
pub(super) struct Operation {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) family: u8,
    pub(super) attributes: Vec<u8>,
}

/// Runs an errand in the calling thread's namespace until nobody interferes. `what` is being done.
pub(super) fn undisturbed<T>(
    what: &str,
    mut errand: impl FnMut(&mut Talk) -> Result<T, Failure>,
) -> Result<T> {
    for _ in 0..TRIES {
        let mut talk = Talk::open().map_err(|failure| failure.error("open a netfilter socket"))?;
        match errand(&mut talk) {
            Ok(done) => return Ok(done),
            Err(failure) if is_interference(failure.errno) => {}
            // What a receive timeout is called.
            Err(failure) if failure.errno == Errno::EAGAIN => return Err(failure.coded(Code::Timeout, what)),
            Err(failure) => return Err(failure.error(what)),
        }
    }
    Err(Error::new(Code::Busy, what)
        .because(format!("other programs changed the firewall during each of {TRIES} attempts"))
        .fix("try again when the other program has finished"))
}

/// A dump that is not of one moment, answers that did not fit, or a generation that has passed.
fn is_interference(errno: Errno) -> bool {
    matches!(errno, Errno::EINTR | Errno::ENOBUFS | Errno::ERESTART)
}

impl Talk {
    fn open() -> Result<Talk, Failure> {
        let socket = Socket::new(NETLINK_NETFILTER)?;
        // Connected to the kernel, so that nobody else who shares the namespace can answer in its place.
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_cap_ack(true)?;
        socket.set_ext_ack(true)?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(PATIENCE_SECONDS))?;
        Ok(Talk { socket, sequence: 1 })
    }

    /// Rises with every transaction on any table of the namespace.
    pub(super) fn generation(&mut self) -> Result<u32, Failure> {
        let answers = self.ask(GET_GENERATION, NLM_F_ACK, 0, &[])?;
        let number = answers.first().and_then(|answer| find_be32(&answer.attributes, GENERATION));
        number.ok_or(Errno::EBADMSG.into())
    }

    /// All objects that the question means. A family of 0 means all families.
    pub(super) fn dump(
        &mut self,
        kind: u16,
        family: u8,
        attributes: &[Vec<u8>],
    ) -> Result<Vec<Answer>, Failure> {
        self.ask(kind, NLM_F_DUMP, family, attributes)
    }

    /// One object by its names.
    pub(super) fn one(
        &mut self,
        kind: u16,
        family: u8,
        attributes: &[Vec<u8>],
    ) -> Result<Option<Answer>, Failure> {
        match self.ask(kind, NLM_F_ACK, family, attributes) {
            Ok(answers) => Ok(answers.into_iter().next()),
            Err(failure) if failure.errno == Errno::ENOENT => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Does all of it, or nothing where a transaction was made since `generation`.
    pub(super) fn transact(&mut self, generation: u32, operations: &[Operation]) -> Result<(), Failure> {
        let begin = self.sequence;
        let mut bytes = self.message(BATCH_BEGIN, 0, BRACKET, &attr(GENERATION, &generation.to_be_bytes()));
        for one in operations {
            let kind = NFTABLES << 8 | one.kind;
            bytes.extend(self.message(kind, one.flags | NLM_F_ACK, [one.family, 0, 0, 0], &one.attributes));
        }
        let end = self.sequence;
        bytes.extend(self.message(BATCH_END, 0, BRACKET, &[]));
        about_to_change();
        self.send(&bytes)?;
        self.outcome(begin, end)
    }

    /// Each operation is answered. The beginning is only if the whole is refused, and then nothing else need be.
    fn outcome(&mut self, begin: u32, end: u32) -> Result<(), Failure> {
        let mut open = end - begin - 1;
        let mut refused = None;
        while open > 0 {
            let datagram = self.receive()?;
            for message in messages(&datagram) {
                let number = message.sequence_number();
                if message.message_type() != ERROR || !(begin..end).contains(&number) {
                    continue;
                }
                let failure = Failure::parse(message.flags(), message.payload());
                if number == begin {
                    failure.map_or(Ok(()), Err)?;
                    continue;
                }
                refused = refused.or(failure);
                open = open.saturating_sub(1);
            }
        }
        refused.map_or(Ok(()), Err)
    }

    fn ask(
        &mut self,
        kind: u16,
        flags: u16,
        family: u8,
        attributes: &[Vec<u8>],
    ) -> Result<Vec<Answer>, Failure> {
        let sequence = self.sequence;
        let question = self.message(NFTABLES << 8 | kind, flags, [family, 0, 0, 0], &attributes.concat());
        self.send(&question)?;
        let mut answers = Vec::new();
        let mut interrupted = false;
        loop {
            let datagram = self.receive()?;
            for message in messages(&datagram).filter(|message| message.sequence_number() == sequence) {
                interrupted |= message.flags() & NLM_F_DUMP_INTR != 0;
                match message.message_type() {
                    // The end of a dump, or the acknowledgement of a question; either may bring bad news instead.
                    ERROR | DONE => {
                        return match Failure::parse(message.flags(), message.payload()) {
                            Some(failure) => Err(failure),
                            None if interrupted => Err(Errno::EINTR.into()),
                            None => Ok(answers),
                        };
                    }
                    _ => answers.extend(Answer::read(message.payload())),
                }
            }
        }
    }

    fn message(&mut self, kind: u16, flags: u16, netfilter: [u8; 4], body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADERS + body.len()).expect("requests are short");
        let mut bytes = Vec::with_capacity(HEADERS + body.len());
        bytes.extend(length.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((flags | NLM_F_REQUEST).to_ne_bytes());
        bytes.extend(self.sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(netfilter);
        bytes.extend(body);
        self.sequence += 1;
        bytes
    }

    fn send(&self, bytes: &[u8]) -> Result<(), Failure> {
        again(|| self.socket.send(bytes, 0)).map(drop)
    }

    /// The next datagram.
    fn receive(&self) -> Result<Vec<u8>, Failure> {
        let mut datagram = Vec::with_capacity(INBOX);
        let length = again(|| {
            datagram.clear();
            self.socket.recv(&mut datagram, libc::MSG_TRUNC)
        })?;
        if length > datagram.len() { Err(Errno::ENOBUFS.into()) } else { Ok(datagram) }
    }
}

impl Answer {
    fn read(payload: &[u8]) -> Option<Answer> {
        let (header, attributes) = payload.split_at_checked(HEADERS - HEADER)?;
        Some(Answer { family: header[0], attributes: attributes.to_vec() })
    }
}

/// Calls again what a signal interrupted.
fn again<T>(mut call: impl FnMut() -> io::Result<T>) -> Result<T, Failure> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return Ok(other?),
        }
    }
}

/// The messages of a datagram, up to the first that is cut short.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = NetlinkBuffer<&[u8]>> {
    std::iter::from_fn(move || {
        let message = NetlinkBuffer::new_checked(bytes).ok()?;
        let length = (message.length() as usize).next_multiple_of(4);
        bytes = bytes.get(length..).unwrap_or_default();
        Some(message)
    })
}

pub(super) fn attr(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).expect("what is sent is short");
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

pub(super) fn text(kind: u16, value: &str) -> Vec<u8> {
    attr(kind, &[value.as_bytes(), &[0]].concat())
}

pub(super) fn nest(kind: u16, parts: &[Vec<u8>]) -> Vec<u8> {
    attr(kind | NESTED, &parts.concat())
}

/// The value of the first attribute of that type.
pub(super) fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    wire::attributes(bytes).map_while(Result::ok).find(|(k, _)| *k == kind).map(|(_, value)| value)
}

pub(super) fn find_be32(bytes: &[u8], kind: u16) -> Option<u32> {
    find(bytes, kind)?.try_into().ok().map(u32::from_be_bytes)
}

pub(super) fn find_text(bytes: &[u8], kind: u16) -> Option<String> {
    find(bytes, kind).and_then(wire::text)
}
