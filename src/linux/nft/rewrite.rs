//! The table `ip bowline` in a container: what goes to port 53 of the resolver's address gets the port that it listens
//! on, and what comes from there gets 53 again. Nothing is tracked, so the container pays for no connection of its own.
//!
//! ```text
//! output -- to 127.0.0.11 ---> queries: port 53 becomes the ear's
//!        -- from 127.0.0.11 -> answers: the ear's port becomes 53
//!        -- else: two comparisons, and on it goes
//! ```
//! The port is changed where a packet leaves its socket, before it is on the loopback; what is on its way through
//! the container never comes by here. Each rule ends the packet's way, so that one between two sockets of that address
//! is still looked at as an answer where it was no query.

use std::cell::RefCell;

use std::net::Ipv4Addr;

use bowline_core::firewall::TABLE;
use bowline_core::{Code, Error, Result};
use nix::errno::Errno;

use super::batch::{Batch, What};
use super::refusal::{self, Fault, Refusal};
use super::rule::TRANSPORT;
use super::rule::expression::{self, Load};
use super::seen;
use super::socket::Socket;
use super::wire::{self, Writer, family, flag, kind};

/// Where the resolver listens, as packets have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ports {
    pub(crate) udp: u16,
    pub(crate) tcp: u16,
}

/// Where a container asks.
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
const DNS: u16 = 53;

const QUERIES: &str = "queries";
const ANSWERS: &str = "answers";
const OUTPUT: &str = "output";
const CHAINS: [&str; 3] = [QUERIES, ANSWERS, OUTPUT];

/// Attributes of tables, chains and rules.
mod attr {
    pub(super) const TABLE: u16 = 1;
    pub(super) const TABLE_FLAGS: u16 = 2;
    pub(super) const TABLE_USE: u16 = 3;
    pub(super) const CHAIN_NAME: u16 = 3;
    pub(super) const CHAIN_HOOK: u16 = 4;
    pub(super) const CHAIN_POLICY: u16 = 5;
    pub(super) const CHAIN_TYPE: u16 = 7;
    pub(super) const HOOK_NUMBER: u16 = 1;
    pub(super) const HOOK_PRIORITY: u16 = 2;
    pub(super) const RULE_CHAIN: u16 = 2;
    pub(super) const RULE_EXPRESSIONS: u16 = 4;
}

/// How often it is begun anew because somebody in the container was at the table meanwhile.
const TRIES: usize = 8;

thread_local! {
    /// While anything is deleted from any table of the machine, the kernel takes 12 ms and more to close a socket. So those
    /// that are done with are closed by the visiting thread when it ends, which nobody waits for.
    static SPENT: RefCell<Vec<Socket>> = const { RefCell::new(Vec::new()) };
}

/// Does this by a socket of its own.
fn with_socket<T>(body: impl FnOnce(&mut Socket) -> Result<T>) -> Result<T> {
    let mut socket = Socket::open()?;
    let done = body(&mut socket);
    SPENT.with_borrow_mut(|spent| spent.push(socket));
    done
}

/// Puts the table there, in place of any of that name, in the calling thread's network namespace.
pub(crate) fn put(ports: Ports) -> Result<()> {
    with_socket(|socket| put_by(socket, ports))
}

fn put_by(socket: &mut Socket, ports: Ports) -> Result<()> {
    for _ in 0..TRIES {
        // Asked first: a transaction that is refused costs the kernel a hundred times as much.
        let there = table(socket)?.is_some();
        if there && look(socket).map_err(explain)? == Some(ports) {
            return Ok(());
        }
        let mut batch = Batch::new();
        if there {
            delete(&mut batch);
        }
        let only_new = flag::CREATE | flag::EXCLUSIVE;
        batch.op_family(
            family::IPV4,
            What::Rewrite("add table ip bowline"),
            kind::NEW_TABLE,
            only_new,
            |_| {},
        );
        fill(&mut batch, ports);
        match socket.transact(&mut batch) {
            Ok(()) => return Ok(()),
            Err(Fault::Refused(all)) if all.iter().any(|refusal| came_or_went(refusal, there)) => {}
            Err(fault) => return Err(refusal::explain_batch(&batch, fault)),
        }
    }
    Err(Error::new(Code::Busy, "replace the table ip bowline of a container")
        .because(format!("it came and went during {TRIES} attempts")))
}

/// Deletes the table. Succeeds where there is none.
pub(crate) fn remove() -> Result<()> {
    with_socket(remove_by)
}

fn remove_by(socket: &mut Socket) -> Result<()> {
    if table(socket)?.is_none() {
        return Ok(());
    }
    let mut batch = Batch::new();
    delete(&mut batch);
    match socket.transact(&mut batch) {
        Ok(()) => Ok(()),
        Err(Fault::Refused(all)) if all.iter().all(|refusal| refusal.errno == Errno::ENOENT) => Ok(()),
        Err(fault) => Err(refusal::explain_batch(&batch, fault)),
    }
}

/// The ports that the table leads to, where it is exactly as [`put`] makes it.
pub(crate) fn seen() -> Result<Option<Ports>> {
    with_socket(|socket| look(socket).map_err(explain))
}

fn look(socket: &mut Socket) -> std::result::Result<Option<Ports>, Fault> {
    const DORMANT: u32 = 0x1;
    let Some(table) = find_table(socket)? else { return Ok(None) };
    let number = |kind| wire::find_be32(&table, kind).unwrap_or(0);
    if number(attr::TABLE_FLAGS) & DORMANT != 0 || number(attr::TABLE_USE) as usize != CHAINS.len() {
        return Ok(None);
    }
    let mut chains = Vec::new();
    let mut rules = Vec::new();
    for chain in CHAINS {
        let found = seen::absent_is_none(socket.ask_family(family::IPV4, kind::GET_CHAIN, flag::ACK, |w| {
            w.text(attr::TABLE, TABLE);
            w.text(attr::CHAIN_NAME, chain);
        }))?;
        chains.extend(found.unwrap_or_default());
        let found = seen::absent_is_none(socket.ask_family(family::IPV4, kind::GET_RULE, flag::DUMP, |w| {
            w.text(attr::TABLE, TABLE);
            w.text(attr::RULE_CHAIN, chain);
        }))?;
        rules.extend(found.unwrap_or_default());
    }
    let port = |at: usize| rules.get(at).and_then(|rule| written(rule));
    let (Some(udp), Some(tcp)) = (port(0), port(1)) else { return Ok(None) };
    let ports = Ports { udp, tcp };
    let mut wanted = Batch::new();
    fill(&mut wanted, ports);
    let seen: Vec<Vec<u8>> = chains.into_iter().chain(rules).collect();
    let wanted: Vec<&[u8]> = wanted.bodies().map(|(_, body)| body).collect();
    let same = seen.len() == wanted.len()
        && seen.iter().zip(&wanted).all(|(seen, wanted)| seen::shows(seen, wanted));
    Ok(same.then_some(ports))
}

/// The number that a rule of ours writes.
fn written(rule: &[u8]) -> Option<u16> {
    const NAME: u16 = 1;
    const CONTENT: u16 = 2;
    const DATA: u16 = 2;
    let mut all = wire::attrs(wire::find(rule, attr::RULE_EXPRESSIONS)?);
    let value = all.find(|one| wire::find(one.value, NAME) == Some(b"immediate\0"))?.value;
    let data = wire::find(wire::find(value, CONTENT)?, DATA)?;
    wire::find(data, expression::DATA_VALUE)?.try_into().ok().map(u16::from_be_bytes)
}

fn table(socket: &mut Socket) -> Result<Option<Vec<u8>>> {
    find_table(socket).map_err(explain)
}

fn find_table(socket: &mut Socket) -> std::result::Result<Option<Vec<u8>>, Fault> {
    let found = socket.ask_family(family::IPV4, kind::GET_TABLE, flag::ACK, |w| w.text(attr::TABLE, TABLE));
    Ok(seen::absent_is_none(found)?.and_then(|found| found.into_iter().next()))
}

fn explain(fault: Fault) -> Error {
    refusal::explain(fault, || "look for the table ip bowline of a container".into())
}

/// The table was there and should not have been, or the reverse. Of what is in it, such an answer means that the kernel
/// has no part for it.
fn came_or_went(refusal: &Refusal, deleted: bool) -> bool {
    let of_the_table = if deleted { 2 } else { 1 };
    refusal.op.is_some_and(|op| op < of_the_table) && matches!(refusal.errno, Errno::EEXIST | Errno::ENOENT)
}

fn delete(batch: &mut Batch<'_>) {
    let what = What::Rewrite("delete table ip bowline");
    batch.op_family(family::IPV4, what, kind::DEL_TABLE, 0, |_| {});
}

/// All that is in the table. The chains come first, as rules lead to them.
fn fill(batch: &mut Batch<'_>, ports: Ports) {
    const TARGET: Load = Load::network_header(16, 4);
    const SOURCE: Load = Load::network_header(12, 4);
    const SOURCE_PORT: u32 = 0;
    const TARGET_PORT: u32 = 2;
    for chain in CHAINS {
        put_chain(batch, chain);
    }
    let both = [(Transport::UDP, ports.udp), (Transport::TCP, ports.tcp)];
    for (transport, port) in &both {
        put_rule(batch, QUERIES, |w| transport.rewrite(w, TARGET_PORT, DNS, *port));
    }
    for (transport, port) in &both {
        put_rule(batch, ANSWERS, |w| transport.rewrite(w, SOURCE_PORT, *port, DNS));
    }
    for (end, chain) in [(TARGET, QUERIES), (SOURCE, ANSWERS)] {
        put_rule(batch, OUTPUT, |w| {
            expression::load(w, &[end]);
            expression::equals(w, &ADDRESS.octets());
            expression::jump(w, chain);
        });
    }
}

struct Transport {
    number: u8,
    checksum_at: u32,
}

impl Transport {
    const UDP: Transport = Transport { number: 17, checksum_at: 6 };
    const TCP: Transport = Transport { number: 6, checksum_at: 16 };

    fn rewrite(&self, w: &mut Writer, offset: u32, from: u16, to: u16) {
        expression::load(w, &[TRANSPORT]);
        expression::equals(w, &[self.number]);
        expression::load(w, &[Load::transport_header(offset, 2)]);
        expression::equals(w, &from.to_be_bytes());
        expression::value(w, &to.to_be_bytes());
        expression::write_transport(w, offset, self.checksum_at);
        expression::accept(w);
    }
}

fn put_chain(batch: &mut Batch<'_>, name: &str) {
    const AT_OUTPUT: u32 = 3;
    const BEFORE_TRACKING: i32 = -300;
    const POLICY_ACCEPT: u32 = 1;
    let what = What::Rewrite("add a chain to table ip bowline");
    batch.op_family(family::IPV4, what, kind::NEW_CHAIN, flag::CREATE, |w| {
        w.text(attr::CHAIN_NAME, name);
        if name != OUTPUT {
            return;
        }
        w.nest(attr::CHAIN_HOOK, |w| {
            w.be32(attr::HOOK_NUMBER, AT_OUTPUT);
            w.attr(attr::HOOK_PRIORITY, &BEFORE_TRACKING.to_be_bytes());
        });
        w.be32(attr::CHAIN_POLICY, POLICY_ACCEPT);
        w.text(attr::CHAIN_TYPE, "filter");
    });
}

fn put_rule(batch: &mut Batch<'_>, chain: &str, expressions: impl FnOnce(&mut Writer)) {
    let what = What::Rewrite("add a rule to table ip bowline");
    batch.op_family(family::IPV4, what, kind::NEW_RULE, flag::CREATE | flag::APPEND, |w| {
        w.text(attr::RULE_CHAIN, chain);
        w.nest(attr::RULE_EXPRESSIONS, expressions);
    });
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn a_part_that_the_kernel_lacks_is_no_table_that_went() {
        let refusal = |op, errno| Refusal { op: Some(op), errno, text: None, offset: None };
        assert!(came_or_went(&refusal(0, Errno::EEXIST), false));
        assert!(came_or_went(&refusal(0, Errno::ENOENT), true));
        assert!(came_or_went(&refusal(1, Errno::EEXIST), true));
        assert!(!came_or_went(&refusal(1, Errno::ENOENT), false), "a chain");
        assert!(!came_or_went(&refusal(4, Errno::ENOENT), true), "a rule");
        assert!(!came_or_went(&refusal(0, Errno::EPERM), true));
        assert!(!came_or_went(&Refusal { op: None, ..refusal(0, Errno::ENOENT) }, true));
    }
}
