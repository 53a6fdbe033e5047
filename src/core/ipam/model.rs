//! The pool against a naive model, over random histories; and what it may cost.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::bits::counted::comparisons;
use super::{Holder, Pool};
use crate::name::Id;
use crate::network::{self, Subnet};
use crate::{Code, Error};

pub(super) fn subnet(net: &str, gateway: Option<&str>, range: Option<&str>, aux: &[(&str, &str)]) -> Subnet {
    let aux = aux.iter().map(|&(name, at)| (name.to_string(), address(at))).collect();
    let range = range.map(|range| range.parse().unwrap());
    Subnet::new(network::prefix(net).unwrap(), gateway.map(address), range, aux).unwrap()
}

pub(super) fn pool(net: &str) -> Pool {
    Pool::new(&subnet(net, None, None, &[]))
}

pub(super) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn endpoint(i: u32) -> Holder {
    Holder::endpoint(Id(i.into()), &format!("e{i}").parse().unwrap())
}

pub(super) fn fixed(i: u32) -> Holder {
    Holder::Fixed(format!("e{i}").parse().unwrap())
}

/// As a user sees it.
pub(super) fn told(error: &Error) -> String {
    let line = |label: &str, text: Option<String>| text.map_or(String::new(), |t| format!("{label}: {t}\n"));
    let (cause, fix) = (line("cause", error.cause()), line("fix", error.fix.clone()));
    format!("error[{}]: {}\n{cause}{fix}", error.code, error.what)
}

/// What a pool means, in the fewest words.
struct Model {
    subnet: Subnet,
    fresh: BTreeSet<IpAddr>,
    stale: BTreeSet<IpAddr>,
    freed: VecDeque<IpAddr>,
    held: BTreeMap<IpAddr, Holder>,
    candidates: BTreeSet<IpAddr>,
    remembered: usize,
}

impl Model {
    fn new(subnet: &Subnet, remembered: usize) -> Model {
        let mut held: BTreeMap<_, _> =
            subnet.aux().iter().map(|(name, &at)| (at, Holder::Aux(name.clone()))).collect();
        held.extend(subnet.gateway().map(|at| (at, Holder::Gateway)));
        let all = subnet.range().map_or(subnet.net(), |range| range.to_string().parse().unwrap());
        let candidates: BTreeSet<_> = all.iter().filter(|&at| subnet.holds(at)).collect();
        let fresh = candidates.iter().copied().filter(|at| !held.contains_key(at)).collect();
        let (stale, freed) = (BTreeSet::new(), VecDeque::new());
        Model { subnet: subnet.clone(), fresh, stale, freed, held, candidates, remembered }
    }

    fn next(&self) -> Option<IpAddr> {
        self.fresh.first().or(self.stale.first()).or(self.freed.front()).copied()
    }

    fn hold(&mut self, at: IpAddr, holder: Holder) {
        self.fresh.remove(&at);
        self.stale.remove(&at);
        self.freed.retain(|&other| other != at);
        self.held.insert(at, holder);
    }

    fn take(&mut self, holder: Holder) -> Result<IpAddr, Code> {
        let at = self.next().ok_or(Code::SubnetFull)?;
        self.hold(at, holder);
        Ok(at)
    }

    fn take_this(&mut self, at: IpAddr, holder: Holder) -> Result<(), Code> {
        if !self.subnet.holds(at) {
            return Err(Code::InvalidAddress);
        }
        let mine = match (self.held.get(&at), &holder) {
            (None, _) => true,
            (Some(Holder::Endpoint { id, .. }), Holder::Endpoint { id: new, .. }) => id == new,
            (Some(by), _) => by.name().is_some() && by.name() == holder.name(),
        };
        if !mine {
            return Err(Code::AddressTaken);
        }
        self.hold(at, holder);
        Ok(())
    }

    fn free(&mut self, at: IpAddr) {
        if self.held.get(&at).is_none_or(|by| by.name().is_none()) {
            return;
        }
        self.held.remove(&at);
        if self.candidates.contains(&at) {
            self.freed.push_back(at);
        }
        if self.freed.len() > self.remembered {
            self.stale.extend(self.freed.pop_front());
        }
    }

    fn used(&self) -> u128 {
        self.held.keys().filter(|at| self.candidates.contains(at)).count() as u128
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// So many, one after another.
    Take(u32),
    /// The address of that number, for an endpoint or a stopped one.
    TakeThis(u32, u32, bool),
    Free(u32),
    /// Every address from there in steps, so that large subnets fill and empty as well.
    FreeEvery(u32, u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1u32..4).prop_map(Step::Take),
        1 => (1u32..3000).prop_map(Step::Take),
        3 => (0u32..5000, 0u32..3, any::<bool>()).prop_map(|(at, who, kept)| Step::TakeThis(at, who, kept)),
        4 => (0u32..5000).prop_map(Step::Free),
        1 => (0u32..5000, 1u32..200).prop_map(|(from, by)| Step::FreeEvery(from, by)),
    ];
    prop::collection::vec(step, 0..60)
}

/// A subnet of 2^`bits` addresses at a certain or at the first place, and one address each side of it.
fn some_subnet() -> impl Strategy<Value = (Subnet, Vec<IpAddr>)> {
    (any::<bool>(), 3u8..=12, 0u8..6, any::<u32>(), any::<u32>()).prop_map(
        |(v6, bits, narrower, gateway, seed)| {
            let base = if v6 { "fd00:9::5:0" } else { "10.9.16.0" };
            let at = |i: u32| match address(base) {
                IpAddr::V4(ip) => IpAddr::from(Ipv4Addr::from(u32::from(ip).wrapping_add(i))),
                IpAddr::V6(ip) => {
                    IpAddr::from(Ipv6Addr::from(u128::from(ip).wrapping_add_signed((i as i32).into())))
                }
            };
            let whole = if v6 { 128 } else { 32 };
            if bits < 4 {
                let net = network::prefix(&format!("{base}/{}", whole - 1)).unwrap();
                let subnet = Subnet::isolated(net, None, None, BTreeMap::new()).unwrap();
                return (subnet, (0..4u32).map(|i| at(i.wrapping_sub(1))).collect());
            }
            let size = 1 << bits;
            let net = format!("{base}/{}", whole - bits);
            let inside = |n: u32| at(1 + n % (size - 2)).to_string();
            let range = (narrower > 0).then(|| {
                let bits = bits.saturating_sub(narrower);
                format!("{}/{}", at((seed % size) >> bits << bits), whole - bits)
            });
            let aux = [("a", &*inside(seed)), ("b", &*inside(seed / 7))];
            // A subnet gives no address to two.
            let gate = inside(gateway);
            let mut aux = aux[..(seed % 3) as usize].to_vec();
            aux.retain(|(_, at)| address(at) != address(&gate));
            aux.dedup_by(|one, other| address(one.1) == address(other.1));
            let aux = aux.as_slice();
            let subnet = subnet(&net, Some(&gate), range.as_deref(), aux);
            (subnet, (0..size + 2).map(|i| at(i.wrapping_sub(1))).collect())
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_pool_does_what_the_model_does(
        (subnet, all) in some_subnet(),
        steps in steps(),
        remembered in prop_oneof![Just(0usize), 1usize..40, Just(super::REMEMBERED)],
    ) {
        let (mut pool, mut model) = (Pool::remembering(&subnet, remembered), Model::new(&subnet, remembered));
        let at = |i: u32| all[i as usize % all.len()];
        let mut born = 100;
        for step in steps {
            match step {
                Step::Take(n) => for _ in 0..n {
                    born += 1;
                    let got = pool.take(endpoint(born)).map_err(|error| error.code);
                    prop_assert_eq!(got, model.take(endpoint(born)));
                    if got.is_err() {
                        break;
                    }
                },
                Step::TakeThis(i, who, kept) => {
                    let holder = if kept { fixed(who) } else { endpoint(who) };
                    let got = pool.take_this(at(i), holder.clone()).map_err(|error| error.code);
                    prop_assert_eq!(got, model.take_this(at(i), holder));
                }
                Step::Free(i) => {
                    pool.free(at(i));
                    model.free(at(i));
                }
                Step::FreeEvery(from, by) => for i in (from % 5000..5000).step_by(by as usize) {
                    pool.free(at(i));
                    model.free(at(i));
                },
            }
            prop_assert_eq!(pool.next_free(), model.next());
            prop_assert_eq!((pool.used(), pool.size()), (model.used(), model.candidates.len() as u128));
            prop_assert_eq!(pool.next_free().is_none(), pool.used() == pool.size());
            let kept = model.held.iter().filter(|(at, by)| {
                model.candidates.contains(at) && matches!(by, Holder::Fixed(_))
            });
            prop_assert_eq!(pool.kept, kept.count() as u128);
        }
        for &at in &all {
            prop_assert_eq!(pool.holder(at), model.held.get(&at), "{}", at);
        }
    }
}

/// A tree of a million has at most 8 levels of at most 11 keys, and no call looks into more than five trees.
const MOST: u64 = 5 * 8 * 11;

#[test]
fn a_slash_16_at_99_percent_costs_no_more_comparisons_than_its_trees_are_deep() {
    let mut pool = pool("10.9.0.0/16");
    let mut most = 0;
    let mut given = VecDeque::new();
    for i in 0..65_000 {
        let (at, n) = comparisons(|| pool.take(endpoint(i)).unwrap());
        given.push_back(at);
        most = most.max(n);
    }
    assert!(pool.used() * 100 >= pool.size() * 99);
    for i in 0..65_000 {
        // 7919 is prime: they are freed from all over.
        let at = given.swap_remove_back((i as usize * 7919) % given.len()).unwrap();
        let ((), freeing) = comparisons(|| pool.free(at));
        let (at, taking) = comparisons(|| pool.take(endpoint(i)).unwrap());
        given.push_back(at);
        most = most.max(freeing).max(taking);
    }
    assert!(most <= MOST, "a call needed {most} comparisons");
}

#[test]
fn the_worst_pattern_of_fixed_addresses_costs_no_more() {
    let mut pool = pool("10.0.0.0/8");
    let odd = |i: u32| IpAddr::from(Ipv4Addr::from((10 << 24) + 2 * i + 1));
    let mut most = 0;
    for i in 1..100_000 {
        most = most.max(comparisons(|| pool.take_this(odd(i), endpoint(i)).unwrap()).1);
    }
    for i in 1..100_000 {
        let (at, n) = comparisons(|| pool.take(endpoint(i)).unwrap());
        assert_eq!(at, IpAddr::from(Ipv4Addr::from((10 << 24) + 2 * i)));
        most = most.max(n);
    }
    assert!(most <= MOST, "a call needed {most} comparisons");
}

#[test]
fn memory_does_not_grow_with_addresses_that_came_and_went() {
    let mut pool = Pool::remembering(&subnet("fd00::/64", None, None, &[]), 100);
    for i in 0..10_000 {
        let at = pool.take(endpoint(i)).unwrap();
        pool.free(at);
    }
    assert_eq!((pool.slots.len(), pool.freed.len()), (100, 100));
    assert_eq!((pool.stale.count(), pool.fresh.count()), (1, 1));
}
