//! The host's firewall table, `inet bowline`, spoken to the kernel over one kept netlink socket.
//! Every change is one transaction that may be made twice; no other table is ever changed or dumped.

mod batch;
mod element;
mod frame;
mod refusal;
mod rule;
mod seen;
mod socket;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::BTreeSet;

use bowline_core::firewall::{Element, Set};
use bowline_core::{Code, Error, Result};
use nix::errno::Errno;

use batch::{Batch, Verb};
use frame::Tenure;
use refusal::{Fault, Refusal};
use socket::Socket;

/// How often a step is begun anew because somebody else was at the tables meanwhile.
const TRIES: u32 = 16;

/// The table of one host namespace, and the socket that owns it. Closing that socket is slow (it waits until what was
/// deleted is let go of), so it is kept.
#[derive(Debug)]
pub struct Nft {
    socket: Socket,
    /// Whether the kernel lets a socket own a table that outlives it. Taken for true until it refuses.
    owns: bool,
    /// Whether the kernel can delete what may not be there. Taken for true until it refuses.
    destroys: bool,
    /// Whether this socket has put the table, or made sure that no other owns it.
    settled: bool,
}

impl Nft {
    /// Opens a socket in the calling thread's network namespace.
    pub fn open() -> Result<Nft> {
        Ok(Nft { socket: Socket::open()?, owns: true, destroys: true, settled: false })
    }

    /// Puts our table there, in place of any table of that name, holding exactly these elements.
    pub fn put_frame(&mut self, elements: &BTreeSet<Element>) -> Result<()> {
        loop {
            let mut batch = Batch::new();
            frame::replace(&mut batch, if self.owns { Tenure::Owned } else { Tenure::Plain });
            batch.elements(Verb::Add, elements);
            match self.socket.transact(&mut batch) {
                Ok(()) => break,
                Err(Fault::Refused(all)) if self.owns && all.iter().any(|r| refuses_owner(&batch, r)) => {
                    self.owns = false;
                }
                Err(fault) => return Err(self.explain(&batch, fault)),
            }
        }
        self.settled = true;
        Ok(())
    }

    /// Deletes our table. Succeeds where there is none.
    pub fn del_frame(&mut self) -> Result<()> {
        let mut batch = Batch::new();
        frame::delete(&mut batch);
        match self.socket.transact(&mut batch) {
            Ok(()) => {}
            Err(Fault::Refused(all)) if all.iter().all(is_absence) => {}
            Err(fault) => return Err(self.explain(&batch, fault)),
        }
        self.settled = false;
        Ok(())
    }

    /// Takes over a table that an ended process left behind, so that no foreign `nft flush ruleset` deletes it.
    /// [`Nft::put_frame`] and [`Nft::change`] do so by themselves. Succeeds where there is no table.
    pub fn claim(&mut self) -> Result<()> {
        if self.settled {
            return Ok(());
        }
        let Some(table) = self.table()? else { return Ok(()) };
        if table.owner.is_some_and(|owner| owner != self.socket.port()) {
            return Err(owned_by_another(table.owner));
        }
        if table.is_orphan() {
            let mut batch = Batch::new();
            frame::claim(&mut batch);
            self.socket.transact(&mut batch).map_err(|fault| self.explain(&batch, fault))?;
        }
        self.settled = true;
        Ok(())
    }

    /// Deletes and adds elements in one transaction. What is there is not added again, what is not there need not
    /// be deleted, and what both lists name is there afterwards.
    pub fn change(&mut self, add: &[Element], del: &[Element]) -> Result<()> {
        if add.is_empty() && del.is_empty() {
            return Ok(());
        }
        self.claim()?;
        let blind = |e: &Element| self.destroys && !element::is_without_end(e);
        if !del.iter().all(blind) {
            return self.change_by_looking(add, del);
        }
        // A prefix is two entries, and one of them may belong to another prefix: so that is deleted whole or not at all.
        let (prefixes, links): (Vec<_>, Vec<_>) = del.iter().partition(|e| element::is_prefix(e));
        let mut batch = Batch::new();
        batch.elements(Verb::Destroy, links);
        batch.elements(Verb::Delete, prefixes);
        batch.elements(Verb::Add, add);
        match self.socket.transact(&mut batch) {
            Ok(()) => Ok(()),
            Err(Fault::Refused(all)) if all.iter().any(|r| refuses_destroy(&batch, r)) => {
                self.destroys = false;
                self.change_by_looking(add, del)
            }
            Err(Fault::Refused(all)) if !del.is_empty() && all.iter().all(is_absence) => {
                self.change_by_looking(add, del)
            }
            Err(fault) => Err(self.explain(&batch, fault)),
        }
    }

    /// Deleting what is not there fails the whole transaction, for prefixes and, before kernel 6.3, for all. So look
    /// first, and look again if it went in between.
    fn change_by_looking(&mut self, add: &[Element], del: &[Element]) -> Result<()> {
        for _ in 0..TRIES {
            let there = match self.elements()? {
                Some(there) => there,
                None if self.table()?.is_none() => BTreeSet::new(),
                None => return Err(altered()),
            };
            let del: Vec<&Element> = del.iter().filter(|e| there.contains(&element::canonical(e))).collect();
            let mut batch = Batch::new();
            batch.elements(Verb::Delete, del.iter().copied());
            batch.elements(Verb::Add, add);
            match self.socket.transact(&mut batch) {
                Ok(()) => return Ok(()),
                Err(Fault::Refused(all)) if !del.is_empty() && all.iter().all(is_absence) => {}
                Err(fault) => return Err(self.explain(&batch, fault)),
            }
        }
        Err(busy())
    }

    /// What our table holds, all of one moment. None where the table is not there, or is not as
    /// [`Nft::put_frame`] makes it: one of another version, or one that somebody else has changed.
    pub fn elements(&mut self) -> Result<Option<BTreeSet<Element>>> {
        for _ in 0..TRIES {
            match self.look() {
                Ok(elements) => return Ok(elements),
                Err(Fault::Interrupted) => {}
                Err(fault) => return Err(refusal::explain(fault, || "read the firewall table".into())),
            }
        }
        Err(busy())
    }

    fn look(&mut self) -> std::result::Result<Option<BTreeSet<Element>>, Fault> {
        let generation = seen::generation(&mut self.socket)?;
        let mut elements = Some(BTreeSet::new());
        if !seen::frame_is_whole(&mut self.socket)? {
            elements = None;
        }
        for &set in Set::ALL {
            let Some(all) = &mut elements else { break };
            match seen::elements(&mut self.socket, set)? {
                Some(some) => all.extend(some),
                None => elements = None,
            }
        }
        if seen::generation(&mut self.socket)? != generation {
            return Err(Fault::Interrupted);
        }
        Ok(elements)
    }

    fn table(&mut self) -> Result<Option<seen::Table>> {
        seen::table(&mut self.socket)
            .map_err(|fault| refusal::explain(fault, || "look for the firewall table".into()))
    }

    /// The error of a refused transaction. Being refused an operation, and not all of them, means that the table is
    /// another's.
    fn explain(&mut self, batch: &Batch<'_>, fault: Fault) -> Error {
        let denied = |all: &[Refusal]| all.iter().any(|r| r.op.is_some() && r.errno == Errno::EPERM);
        if matches!(&fault, Fault::Refused(all) if denied(all))
            && let Ok(Some(table)) = self.table()
            && table.owner.is_some_and(|owner| owner != self.socket.port())
        {
            return owned_by_another(table.owner);
        }
        refusal::explain_batch(batch, fault)
    }
}

/// An operation did not find its object, or what that is in.
fn is_absence(refusal: &Refusal) -> bool {
    refusal.op.is_some() && refusal.errno == Errno::ENOENT
}

fn refuses_owner(batch: &Batch<'_>, refusal: &Refusal) -> bool {
    batch.what(refusal).is_some_and(batch::What::is_ownership)
        && matches!(refusal.errno, Errno::EOPNOTSUPP | Errno::EINVAL)
}

fn refuses_destroy(batch: &Batch<'_>, refusal: &Refusal) -> bool {
    batch.what(refusal).is_some_and(batch::What::is_destruction) && refusal.errno == Errno::EINVAL
}

fn owned_by_another(owner: Option<u32>) -> Error {
    let error = Error::new(Code::DaemonRunning, "another process owns the firewall table inet bowline");
    let error = match owner {
        Some(port) => error.because(format!("its netlink port, usually its pid, is {port}")),
        None => error,
    };
    error.fix("stop the other bowline daemon of this network namespace")
}

fn altered() -> Error {
    Error::new(Code::Kernel, "the firewall table inet bowline is not as bowline made it")
        .because("another program has changed it")
        .fix("restart the bowline daemon, which puts it anew")
}

fn busy() -> Error {
    Error::new(Code::Busy, "the firewall tables keep changing while they are read")
        .because(format!("{TRIES} attempts were interrupted by other programs"))
        .fix("try again when the other program has finished")
}
