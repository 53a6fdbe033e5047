//! The names of one network, as its members see them. Changed while it is asked; a change is seen by the next query.

mod tables;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bowline_core::name::{Id, Name};
use bowline_core::port::Protocol;
use ipnetwork::IpNetwork;

use crate::message::WireName;
pub(crate) use tables::{Held, Tables};

/// One network's names.
#[derive(Debug)]
pub struct Zone {
    name: Name,
    subnets: Vec<IpNetwork>,
    /// The network's name as the end of others; empty where DNS cannot hold it.
    suffix: Box<[u8]>,
    tables: RwLock<Tables>,
}

/// What one endpoint is called on one network, and where it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its name first, which is also what its addresses are called; then host name, short id and aliases. Any case.
    pub names: Vec<String>,
    pub addresses: Vec<IpAddr>,
    /// The ports that it says it serves, for `_80._tcp.web`.
    pub services: Vec<(Protocol, u16)>,
}

/// Whether DNS can hold a name and the name of any network after it; what is wrong where it cannot.
pub fn fits(name: &str) -> Result<(), String> {
    const MOST: usize = 253 - 1 - Name::MAX;
    WireName::from_text(name)?;
    if name.len() > MOST {
        return Err(format!(
            "it has {} bytes, and with a network's name after it there is room for {MOST}",
            name.len()
        ));
    }
    Ok(())
}

impl Zone {
    /// Reverse names within the subnets are answered for, whether somebody has the address or not.
    pub fn new(name: Name, subnets: Vec<IpNetwork>) -> Zone {
        let suffix = WireName::from_text(name.as_str()).map_or(Box::default(), |name| Box::from(&*name));
        Zone { name, subnets, suffix, tables: RwLock::default() }
    }

    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Puts an endpoint's names in place of those it had. Costs the same however many others there are, but for those that
    /// it shares a name with. A name that does not [`fits`] is not answered for; who lets it in says so.
    pub fn put(&self, owner: Id, entry: Entry) {
        let known = tables::Known::new(entry);
        let mut tables = self.write();
        tables.remove(owner);
        tables.insert(owner, known);
    }

    /// Forgets an endpoint's names: the next query does not find them.
    pub fn remove(&self, owner: Id) {
        self.write().remove(owner);
    }

    /// Every endpoint's entry, for a listing; in no order.
    pub fn entries(&self) -> Vec<(Id, Entry)> {
        self.read().entries()
    }

    pub(crate) fn suffix(&self) -> &[u8] {
        &self.suffix
    }

    /// Calls with what is known of a name, if somebody has it. Nothing may be put or removed meanwhile, so it is brief.
    pub(crate) fn under(&self, name: &[u8], call: impl FnOnce(&Tables, &Held)) -> bool {
        let tables = self.read();
        tables.held(name).map(|held| call(&tables, held)).is_some()
    }

    /// What the endpoint with this address is called: its first name, and the network's after it.
    pub(crate) fn called(&self, address: IpAddr) -> Option<WireName> {
        WireName::joined(self.read().holder(address)?, &self.suffix)
    }

    /// Whether all addresses that begin so are in one of its subnets.
    pub(crate) fn covers(&self, address: IpAddr, bits: u8) -> bool {
        self.subnets.iter().any(|subnet| subnet.prefix() <= bits && subnet.contains(address))
    }

    /// Whether one of its subnets is within all addresses that begin so, and is not all of them.
    pub(crate) fn is_within(&self, address: IpAddr, bits: u8) -> bool {
        let within = |subnet: &IpNetwork| {
            bits < subnet.prefix()
                && IpNetwork::new(address, bits).is_ok_and(|all| all.contains(subnet.network()))
        };
        self.subnets.iter().any(within)
    }

    /// Whether somebody's name, without the network's, ends in this one and is longer.
    pub(crate) fn has_below(&self, name: &[u8]) -> bool {
        self.read().has_below(name)
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }
}
