//! The host's two firewall tables, `inet bowline` and `bridge bowline`, spoken to the kernel over one kept netlink socket.
//! Every change is one transaction that may be made twice; no other table is ever changed or dumped.

mod attempt;
mod batch;
mod element;
mod frame;
mod hooks;
mod refusal;
pub(crate) mod rewrite;
mod rule;
mod seen;
mod socket;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::BTreeSet;

use bowline_core::firewall::hooks::Hooks;
use bowline_core::firewall::{Element, Set, Table};
use bowline_core::{Code, Error, Result};
use nix::errno::Errno;

pub(crate) use attempt::{Part, attempt};
use batch::{Batch, Verb};
use frame::Tenure;
use refusal::{Fault, Refusal};
use socket::Socket;

/// How often a step is begun anew because somebody else was at the tables meanwhile.
const TRIES: u32 = 16;

/// The tables of one host namespace, and the socket that owns them. Closing that socket is slow (it waits until what was
/// deleted is let go of), so it is kept.
#[derive(Debug)]
pub struct Nft {
    socket: Socket,
    /// Whether tables are put to be owned by the socket and to outlive it. True until the kernel refuses, or somebody
    /// else is to have them.
    owns: bool,
    /// Whether the kernel can delete what may not be there. Taken for true until it refuses.
    destroys: bool,
    /// Whether this socket has put the tables, or made sure that no other owns them.
    settled: bool,
    /// Whether the tables are this socket's now.
    owner: bool,
    /// The administrator's rules, which the tables are put with.
    hooks: Hooks,
}

impl Nft {
    /// Opens a socket in the calling thread's network namespace.
    pub fn open() -> Result<Nft> {
        Ok(Nft {
            socket: Socket::open()?,
            owns: true,
            destroys: true,
            settled: false,
            owner: false,
            hooks: Hooks::default(),
        })
    }

    /// Puts our tables there, in place of any of that name, holding exactly these elements.
    pub fn put_frame(&mut self, elements: &BTreeSet<Element>) -> Result<()> {
        loop {
            let mut batch = Batch::new();
            frame::replace(&mut batch, if self.owns { Tenure::Owned } else { Tenure::Plain });
            hooks::fill(&mut batch, &self.hooks);
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
        self.owner = self.owns;
        Ok(())
    }

    /// From the next [`Nft::put_frame`] on the tables are put with these rules of the administrator's.
    pub fn keep_hooks(&mut self, hooks: Hooks) {
        self.hooks = hooks;
    }

    /// Puts these rules of the administrator's in place of those in the tables, all of them or none; where there are no
    /// tables yet, they are put with them.
    pub fn put_hooks(&mut self, hooks: Hooks) -> Result<()> {
        self.claim()?;
        if !self.are_absent()? {
            let mut batch = Batch::new();
            hooks::replace(&mut batch, &hooks);
            self.socket.transact(&mut batch).map_err(|fault| self.explain(&batch, fault))?;
        }
        self.hooks = hooks;
        Ok(())
    }

    /// From the next [`Nft::put_frame`] on the tables are nobody's: they stay when bowline goes, and anybody may change
    /// or delete them.
    pub fn disown(&mut self) {
        self.owns = false;
    }

    /// Whether nobody else can change the tables, as far as this socket has put or claimed them.
    /// What the kernel knows our socket by: notices of our own changes come from there.
    pub fn port(&self) -> u32 {
        self.socket.port()
    }

    pub fn is_owner(&self) -> bool {
        self.owner
    }

    /// Deletes our tables. Succeeds where there are none.
    pub fn del_frame(&mut self) -> Result<()> {
        let mut batch = Batch::new();
        frame::remove(&mut batch);
        self.socket.transact(&mut batch).map_err(|fault| self.explain(&batch, fault))?;
        self.settled = false;
        self.owner = false;
        Ok(())
    }

    /// Takes over tables that an ended process left behind, so that no foreign `nft flush ruleset` deletes them.
    /// [`Nft::put_frame`] and [`Nft::change`] do so by themselves. Succeeds where there are no tables.
    pub fn claim(&mut self) -> Result<()> {
        if self.settled {
            return Ok(());
        }
        let mut batch = Batch::new();
        let (mut all_there, mut all_ours) = (true, true);
        for &of in Table::ALL {
            let Some(table) = self.table(of)? else {
                all_there = false;
                continue;
            };
            if table.owner.is_some_and(|owner| owner != self.socket.port()) {
                return Err(owned_by_another(of, table.owner));
            }
            if table.is_orphan() {
                frame::claim(&mut batch, of);
            }
            all_ours &= table.is_orphan() || table.owner.is_some();
        }
        self.socket.transact(&mut batch).map_err(|fault| self.explain(&batch, fault))?;
        self.settled = all_there;
        self.owner = all_there && all_ours;
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
        // What is deleted by its place alone is exactly that. A prefix is two entries, one of which may belong to another
        // prefix; and in the place of what leads somewhere may be something that leads elsewhere, or a span around it.
        let (prefixes, rest): (Vec<_>, Vec<_>) = del.iter().partition(|e| element::is_prefix(e));
        let (leading, rest): (Vec<_>, Vec<_>) = rest.into_iter().partition(|e| e.slot().is_some());
        let leading = self.of_these_are_there(leading)?;
        let mut batch = Batch::new();
        batch.elements(Verb::Destroy, rest);
        batch.elements(Verb::Delete, prefixes.into_iter().chain(leading));
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

    /// Looks at the place of each, and at nothing else.
    fn of_these_are_there<'a>(&mut self, elements: Vec<&'a Element>) -> Result<Vec<&'a Element>> {
        let mut there = Vec::new();
        for element in elements {
            let is_there = seen::is_there(&mut self.socket, element);
            let what = || format!("look for element {element}");
            if is_there.map_err(|fault| refusal::explain(fault, what))? {
                there.push(element);
            }
        }
        Ok(there)
    }

    /// Deleting what is not there fails the whole transaction, for prefixes and, before kernel 6.3, for all. So look
    /// first, and look again if it went in between.
    fn change_by_looking(&mut self, add: &[Element], del: &[Element]) -> Result<()> {
        for _ in 0..TRIES {
            let there = match self.elements()? {
                Some(there) => there,
                None if self.are_absent()? => BTreeSet::new(),
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

    /// What our tables hold, all of one moment. None where one of them is not there, or is not as
    /// [`Nft::put_frame`] makes it: one of another version, or one that somebody else has changed.
    pub fn elements(&mut self) -> Result<Option<BTreeSet<Element>>> {
        for _ in 0..TRIES {
            match self.look() {
                Ok(elements) => return Ok(elements),
                Err(Fault::Interrupted) => {}
                Err(fault) => return Err(refusal::explain(fault, || "read the firewall tables".into())),
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

    fn are_absent(&mut self) -> Result<bool> {
        for &of in Table::ALL {
            if self.table(of)?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn table(&mut self, of: Table) -> Result<Option<seen::Properties>> {
        seen::table(&mut self.socket, of)
            .map_err(|fault| refusal::explain(fault, || "look for the firewall tables".into()))
    }

    /// The error of a refused transaction. Being refused an operation, and not all of them, means that the table is
    /// another's.
    fn explain(&mut self, batch: &Batch<'_>, fault: Fault) -> Error {
        let denied = |all: &[Refusal]| all.iter().any(|r| r.op.is_some() && r.errno == Errno::EPERM);
        if matches!(&fault, Fault::Refused(all) if denied(all)) {
            for &of in Table::ALL {
                let owner = self.table(of).ok().flatten().and_then(|table| table.owner);
                if owner.is_some_and(|owner| owner != self.socket.port()) {
                    return owned_by_another(of, owner);
                }
            }
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

fn owned_by_another(table: Table, owner: Option<u32>) -> Error {
    let what = format!("another process owns the firewall table {}", batch::shown(table));
    let error = Error::new(Code::DaemonRunning, what);
    let error = match owner {
        Some(port) => error.because(format!("its netlink port, usually its pid, is {port}")),
        None => error,
    };
    error.fix("stop the other bowline daemon of this network namespace")
}

fn altered() -> Error {
    Error::new(Code::Kernel, "the firewall tables are not as bowline made them")
        .because("another program has changed them")
        .fix("restart the bowline daemon, which puts them anew")
}

fn busy() -> Error {
    Error::new(Code::Busy, "the firewall tables keep changing while they are read")
        .because(format!("{TRIES} attempts were interrupted by other programs"))
        .fix("try again when the other program has finished")
}
