//! Addresses: a [`Pool`] knows who holds each address of one subnet and which to give next.
//!
//! [`pools`] chooses the subnet itself, where the user named none.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;

use ipnetwork::IpNetwork;

use crate::Result;
use crate::network::{Subnet, is_pair};

mod bits;
mod holder;
#[cfg(test)]
mod model;
pub mod pools;
mod refusal;
mod runs;

pub use holder::Holder;

use bits::{Bits, Turn};
use runs::Runs;

/// The addresses of one subnet.
///
/// What is given next: addresses never used, in ascending order; then freed ones, the longest free first, so that
/// whatever still remembers the last holder (ARP, conntrack, a DNS cache) has the most time to forget.
///
/// Every call takes logarithmic time. Memory grows with the addresses held and the last [`REMEMBERED`] frees, never
/// with the subnet, nor with the number of addresses that came and went.
#[derive(Debug, Clone)]
pub struct Pool {
    net: IpNetwork,
    range: Option<crate::range::Range>,
    /// What [`Pool::take`] chooses from.
    choice: Range<u128>,
    /// The gateway and auxiliary addresses, sorted: these are never freed.
    reserved: Box<[(u128, Holder)]>,
    slots: BTreeMap<Bits, Slot>,
    /// Never used.
    fresh: Runs,
    /// Freed before any in `freed`, so long ago that the order is forgotten.
    stale: Runs,
    /// Freed, the longest ago first.
    freed: BTreeMap<Turn, Bits>,
    turn: u64,
    remembered: usize,
    used: u128,
    /// Of `used`, those kept for endpoints that are stopped.
    kept: u128,
}

/// How many frees a pool keeps in order: all that a /16 can have. Of older ones it knows no more than that they are
/// older, and gives these in ascending order.
pub const REMEMBERED: usize = 1 << 16;

#[derive(Debug, Clone)]
enum Slot {
    Held(Holder),
    Freed(Turn),
}

impl Pool {
    pub fn new(subnet: &Subnet) -> Pool {
        Pool::remembering(subnet, REMEMBERED)
    }

    fn remembering(subnet: &Subnet, remembered: usize) -> Pool {
        let net = subnet.net();
        let choice = choice(net, subnet.range());
        let mut reserved: BTreeMap<u128, Holder> =
            subnet.aux().iter().map(|(name, &at)| (Bits::of(at).0, Holder::Aux(name.clone()))).collect();
        reserved.extend(subnet.gateway().map(|at| (Bits::of(at).0, Holder::Gateway)));
        let mut fresh = Runs::of(choice.clone());
        let used = reserved.keys().filter(|&&at| fresh.remove(at)).count();
        Pool {
            net,
            range: subnet.range(),
            choice,
            reserved: reserved.into_iter().collect(),
            slots: BTreeMap::new(),
            fresh,
            stale: Runs::default(),
            freed: BTreeMap::new(),
            turn: 0,
            remembered,
            used: used as u128,
            kept: 0,
        }
    }

    /// Gives the next address to `holder`.
    pub fn take(&mut self, holder: Holder) -> Result<IpAddr> {
        let at = self.next().ok_or_else(|| self.full())?;
        self.hold(at, holder);
        Ok(at.address(self.net))
    }

    /// Gives a certain address, of the range or not, to `holder`. To give it to its holder again changes nothing, and
    /// an endpoint that stops or starts hands it over to or from what is kept under its name.
    pub fn take_this(&mut self, address: IpAddr, holder: Holder) -> Result<()> {
        let at = self.fits(address)?;
        if let Some(by) = self.holder_at(at) {
            if *by == holder {
                return Ok(());
            }
            if !holder.follows(by) {
                return Err(self.taken(address, by));
            }
        }
        self.hold(at, holder);
        Ok(())
    }

    /// Does nothing where nobody holds it, and never frees the gateway's or an auxiliary address.
    pub fn free(&mut self, address: IpAddr) {
        let at = Bits::of(address);
        if !self.net.contains(address) || !matches!(self.slots.get(&at), Some(Slot::Held(_))) {
            return;
        }
        if !self.choice.contains(&at.0) {
            self.slots.remove(&at);
            return;
        }
        let turn = Turn(self.turn);
        self.turn += 1;
        if let Some(Slot::Held(Holder::Fixed(_))) = self.slots.insert(at, Slot::Freed(turn)) {
            self.kept -= 1;
        }
        self.used -= 1;
        self.freed.insert(turn, at);
        if self.freed.len() > self.remembered
            && let Some((_, oldest)) = self.freed.pop_first()
        {
            self.slots.remove(&oldest);
            self.stale.insert(oldest.0);
        }
    }

    pub fn holder(&self, address: IpAddr) -> Option<&Holder> {
        if self.net.contains(address) { self.holder_at(Bits::of(address)) } else { None }
    }

    /// How many of [`Pool::size`] are held, by whomever.
    pub fn used(&self) -> u128 {
        self.used
    }

    /// How many addresses [`Pool::take`] chooses from: the range, or the whole subnet, less what no member can have.
    pub fn size(&self) -> u128 {
        self.choice.end - self.choice.start
    }

    /// What [`Pool::take`] would give.
    pub fn next_free(&self) -> Option<IpAddr> {
        self.next().map(|at| at.address(self.net))
    }

    fn next(&self) -> Option<Bits> {
        let oldest = || self.freed.first_key_value().map(|(_, &at)| at);
        self.fresh.first().or_else(|| self.stale.first()).or_else(oldest)
    }

    fn holder_at(&self, at: Bits) -> Option<&Holder> {
        if let Ok(i) = self.reserved.binary_search_by_key(&at.0, |&(at, _)| at) {
            return Some(&self.reserved[i].1);
        }
        match self.slots.get(&at) {
            Some(Slot::Held(holder)) => Some(holder),
            Some(Slot::Freed(_)) | None => None,
        }
    }

    /// From whatever state it is in; that this may be so was checked.
    fn hold(&mut self, at: Bits, holder: Holder) {
        let inside = self.choice.contains(&at.0);
        if inside && matches!(holder, Holder::Fixed(_)) {
            self.kept += 1;
        }
        let mut newly = inside;
        match self.slots.insert(at, Slot::Held(holder)) {
            Some(Slot::Freed(turn)) => {
                self.freed.remove(&turn);
            }
            Some(Slot::Held(before)) => {
                newly = false;
                if inside && matches!(before, Holder::Fixed(_)) {
                    self.kept -= 1;
                }
            }
            None => {
                if !self.fresh.remove(at.0) {
                    self.stale.remove(at.0);
                }
            }
        }
        if newly {
            self.used += 1;
        }
    }
}

/// The range, without the subnet's own address (in IPv6 the anycast address of its routers) and its broadcast address.
fn choice(net: IpNetwork, range: Option<crate::range::Range>) -> Range<u128> {
    let (lowest, highest) = bits::span(net);
    let (first, last) = range.map_or((lowest, highest), |r| (Bits::of(r.first()).0, Bits::of(r.last()).0));
    if is_pair(net) {
        return first..last + 1;
    }
    let first = first.max(lowest + 1);
    // A subnet is never multicast, so there is always a number after its last.
    let end = if net.is_ipv4() { last.min(highest - 1) + 1 } else { last + 1 };
    first..end.max(first)
}

#[cfg(test)]
mod tests {
    use super::model::{address, endpoint, fixed, pool, subnet};
    use super::*;
    use crate::Code;

    #[test]
    fn never_used_addresses_come_first_and_freed_ones_last_in_the_order_freed() {
        let mut pool = pool("10.9.0.0/29");
        let taken: Vec<_> = (0..4).map(|i| pool.take(endpoint(i)).unwrap().to_string()).collect();
        assert_eq!(taken, ["10.9.0.2", "10.9.0.3", "10.9.0.4", "10.9.0.5"]);
        pool.free(address("10.9.0.4"));
        pool.free(address("10.9.0.2"));
        let taken: Vec<_> = (4..7).map(|i| pool.take(endpoint(i)).unwrap().to_string()).collect();
        assert_eq!(taken, ["10.9.0.6", "10.9.0.4", "10.9.0.2"]);
        assert_eq!((pool.used(), pool.size(), pool.next_free()), (6, 6, None));
    }

    #[test]
    fn the_gateway_and_auxiliary_addresses_are_neither_given_nor_freed() {
        let mut pool = Pool::new(&subnet("10.9.0.0/29", Some("10.9.0.3"), None, &[("nas", "10.9.0.1")]));
        for text in ["10.9.0.1", "10.9.0.3"] {
            pool.free(address(text));
        }
        assert_eq!(pool.holder(address("10.9.0.3")), Some(&Holder::Gateway));
        assert_eq!(pool.holder(address("10.9.0.1")), Some(&Holder::Aux("nas".into())));
        let taken: Vec<_> = (0..4).map(|i| pool.take(endpoint(i)).unwrap().to_string()).collect();
        assert_eq!(taken, ["10.9.0.2", "10.9.0.4", "10.9.0.5", "10.9.0.6"]);
        assert_eq!(pool.take(endpoint(4)).unwrap_err().code, Code::SubnetFull);
    }

    #[test]
    fn only_the_range_is_chosen_from_but_the_whole_subnet_can_be_asked_for() {
        let mut pool = Pool::new(&subnet("10.9.0.0/24", None, Some("10.9.0.252/30"), &[]));
        assert_eq!((pool.size(), pool.used()), (3, 0));
        pool.take_this(address("10.9.0.7"), endpoint(9)).unwrap();
        let taken: Vec<_> = (0..3).map(|i| pool.take(endpoint(i)).unwrap().to_string()).collect();
        assert_eq!(taken, ["10.9.0.252", "10.9.0.253", "10.9.0.254"]);
        pool.free(address("10.9.0.7"));
        assert_eq!(pool.holder(address("10.9.0.7")), None);
        assert_eq!(pool.take(endpoint(4)).unwrap_err().code, Code::SubnetFull);
    }

    #[test]
    fn a_range_that_is_no_prefix_gives_both_its_ends() {
        let mut pool = Pool::new(&subnet("10.9.0.0/24", None, Some("10.9.0.10-10.9.0.12"), &[]));
        let taken: Vec<_> = (0..3).map(|i| pool.take(endpoint(i)).unwrap().to_string()).collect();
        assert_eq!(taken, ["10.9.0.10", "10.9.0.11", "10.9.0.12"]);
        assert_eq!(pool.take(endpoint(3)).unwrap_err().code, Code::SubnetFull);
    }

    #[test]
    fn a_range_in_ipv6_gives_its_last_address() {
        let mut pool =
            Pool::new(&subnet("fd00::/56", None, Some("fd00:0:0:ff:ffff:ffff:ffff:fffe/127"), &[]));
        let taken: Vec<_> = (0..2).map(|i| pool.take(endpoint(i)).unwrap().to_string()).collect();
        assert_eq!(taken, ["fd00::ff:ffff:ffff:ffff:fffe", "fd00::ff:ffff:ffff:ffff:ffff"]);
        assert_eq!(pool.next_free(), None);
    }

    #[test]
    fn a_large_ipv6_subnet_works_like_a_small_one() {
        let mut pool = pool("fd00::/64");
        assert_eq!((pool.size(), pool.used()), ((1 << 64) - 1, 1));
        assert_eq!(pool.take(endpoint(0)).unwrap(), address("fd00::2"));
        pool.take_this(address("fd00::3"), endpoint(1)).unwrap();
        pool.take_this(address("fd00::ffff:ffff:ffff:ffff"), endpoint(2)).unwrap();
        pool.free(address("fd00::2"));
        assert_eq!(pool.take(endpoint(3)).unwrap(), address("fd00::4"));
    }

    #[test]
    fn an_address_that_is_kept_goes_to_an_endpoint_of_that_name_only_and_back() {
        let mut pool = pool("10.9.0.0/24");
        let at = address("10.9.0.5");
        pool.take_this(at, fixed(1)).unwrap();
        assert_eq!(pool.take_this(at, endpoint(2)).unwrap_err().code, Code::AddressTaken);
        assert_eq!(pool.take_this(at, fixed(2)).unwrap_err().code, Code::AddressTaken);
        pool.take_this(at, endpoint(1)).unwrap();
        assert_eq!(pool.holder(at), Some(&endpoint(1)));
        pool.take_this(at, endpoint(1)).unwrap();
        pool.take_this(at, fixed(1)).unwrap();
        assert_eq!((pool.holder(at), pool.used()), (Some(&fixed(1)), 2));
    }

    #[test]
    fn a_new_endpoint_does_not_take_from_an_older_one_of_its_name() {
        let mut pool = pool("10.9.0.0/24");
        let name = "web".parse().unwrap();
        let (old, new) = (crate::name::Id(1), crate::name::Id(2));
        let at = pool.take(Holder::endpoint(old, &name)).unwrap();
        let error = pool.take_this(at, Holder::endpoint(new, &name)).unwrap_err();
        assert_eq!(error.code, Code::AddressTaken);
    }

    #[test]
    fn the_gateway_keeps_its_address() {
        let mut pool = pool("10.9.0.0/24");
        let gateway = address("10.9.0.1");
        assert_eq!(pool.take_this(gateway, fixed(0)).unwrap_err().code, Code::AddressTaken);
        assert_eq!(pool.take_this(gateway, Holder::Gateway), Ok(()));
        pool.free(gateway);
        assert_eq!(pool.holder(gateway), Some(&Holder::Gateway));
    }

    #[test]
    fn addresses_of_other_subnets_and_families_have_no_holder() {
        let mut pool = pool("10.9.0.0/24");
        let held = pool.take(endpoint(1)).unwrap();
        // The first is the same number as 10.9.0.2.
        for text in ["::a09:2", "10.8.0.2"] {
            pool.free(address(text));
            assert_eq!(pool.holder(address(text)), None, "{text}");
        }
        assert_eq!(pool.holder(held), Some(&endpoint(1)));
    }
}
