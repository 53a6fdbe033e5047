//! Default subnets: the first block of a pool that overlaps nothing on this host.
//!
//! The caller lists what is busy; here is decided what that leaves, and said what is in the way.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

use super::bits::{Bits, span};
use crate::name::{LinkName, Name};
use crate::network::Subnet;
use crate::{Code, Error, Result};

/// Where default subnets come from: a prefix, and how long the prefix of each block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolSpec {
    base: IpNetwork,
    size: u8,
}

/// Whose the addresses are. In order of how well a user can tell which one is meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Busy {
    Network(Name),
    /// An address of this link.
    Address(LinkName),
    Route,
    Nameserver,
}

/// The first block that overlaps nothing busy, of the first pool that has one.
pub fn choose(pools: &[PoolSpec], busy: &[(IpNetwork, Busy)]) -> Result<IpNetwork> {
    pools.iter().find_map(|pool| pool.first_free(busy)).ok_or_else(|| exhausted(pools, busy))
}

/// What `net` overlaps; of several, what tells the user most.
pub fn overlap(net: IpNetwork, busy: &[(IpNetwork, Busy)]) -> Option<(IpNetwork, &Busy)> {
    busy.iter()
        .filter(|(other, by)| claims(*other, by) && overlaps(net, *other))
        .map(|(other, by)| (*other, by))
        .min_by_key(|&(other, by)| (by, other))
}

/// `found` is what [`overlap`] said, `next_free` what [`choose`] would take.
pub fn overlap_error(net: IpNetwork, found: (IpNetwork, &Busy), next_free: Option<IpNetwork>) -> Error {
    let what = format!("subnet {net} overlaps {}", described(found));
    let fix = match next_free {
        Some(free) => create(free),
        None => "choose a subnet that nothing on this host uses".to_string(),
    };
    Error::new(Code::SubnetOverlap, what).fix(fix)
}

impl PoolSpec {
    /// `size` is the prefix length of the blocks.
    pub fn new(base: IpNetwork, size: u8) -> Result<PoolSpec> {
        let pool = PoolSpec { base, size };
        let bad = || Error::new(Code::InvalidConfig, format!("pool {pool} is not usable"));
        if let Err(error) = Subnet::new(base, None, None, BTreeMap::new()) {
            let fix = error.fix.clone().unwrap_or_else(|| format!("use {}", PoolSpec::default_v4()));
            return Err(bad().because(error).fix(fix));
        }
        if base.prefix() > longest(base) {
            let fix = format!("use {}", PoolSpec::default_v4());
            return Err(bad().because("the pool has no room for a network").fix(fix));
        }
        let why = if size < base.prefix() {
            format!("a /{size} is larger than the pool")
        } else if size > longest(base) {
            format!("a /{size} has no room for a gateway and a member")
        } else {
            return Ok(pool);
        };
        Err(bad().because(why).fix(format!("use a size between {} and {}", base.prefix(), longest(base))))
    }

    /// 4096 networks of 254 addresses, in a part of 10.0.0.0/8 that few others use.
    pub fn default_v4() -> PoolSpec {
        PoolSpec { base: block(Ipv4Addr::new(10, 160, 0, 0).into(), 12), size: 24 }
    }

    /// A host's own unique local prefix (RFC 4193 section 3.1): 65536 networks.
    pub fn ula(global_id: [u8; 5]) -> PoolSpec {
        let mut octets = [0; 16];
        octets[0] = 0xfd;
        octets[1..6].copy_from_slice(&global_id);
        PoolSpec { base: block(Ipv6Addr::from(octets).into(), 48), size: 64 }
    }

    pub fn base(self) -> IpNetwork {
        self.base
    }

    pub fn size(self) -> u8 {
        self.size
    }

    /// Walks what is busy, never the blocks: a pool may have 2^48 of these.
    fn first_free(self, busy: &[(IpNetwork, Busy)]) -> Option<IpNetwork> {
        let (start, end) = span(self.base);
        let length = 1u128 << (longest(self.base) + 2 - self.size);
        let mut taken: Vec<(Bits, Bits)> = self
            .in_the_way(busy)
            .map(|(net, _)| span(net))
            // What goes beyond the pool does not matter, and ::/0 would have no number after its last.
            .map(|(first, last)| (Bits(first.max(start)), Bits(last.min(end))))
            .collect();
        taken.sort_unstable();
        let mut free = start;
        for (Bits(first), Bits(last)) in taken {
            if free + (length - 1) < first {
                break;
            }
            // Blocks are aligned, because the pool is.
            free = free.max((last | (length - 1)) + 1);
        }
        (free <= end).then(|| block(Bits(free).address(self.base), self.size))
    }

    fn in_the_way(self, busy: &[(IpNetwork, Busy)]) -> impl Iterator<Item = (IpNetwork, &Busy)> {
        busy.iter()
            .filter(move |(net, by)| claims(*net, by) && overlaps(self.base, *net))
            .map(|(net, by)| (*net, by))
    }

    fn why_not(self, busy: &[(IpNetwork, Busy)]) -> String {
        const SHOWN: usize = 3;
        let mut blockers: Vec<_> = self.in_the_way(busy).collect();
        blockers.sort_unstable_by_key(|&(net, by)| (net.prefix(), net, by));
        blockers.dedup();
        // One that covers the pool is the whole answer.
        let whole = blockers.first().is_some_and(|(net, _)| net.prefix() <= self.base.prefix());
        let shown = if whole { 1 } else { SHOWN };
        let mut names: Vec<String> = blockers.iter().take(shown).copied().map(described).collect();
        if whole {
            return format!("{} covers all of {}", names.remove(0), self.base);
        }
        if blockers.len() > shown {
            names.push(format!("{} more", blockers.len() - shown));
        }
        format!("every /{} of {} overlaps one of {}", self.size, self.base, names.join(", "))
    }
}

fn exhausted(pools: &[PoolSpec], busy: &[(IpNetwork, Busy)]) -> Error {
    let error = Error::new(Code::PoolsExhausted, "the default pools have no free subnet");
    let Some(first) = pools.first() else {
        return error.because("no pool is set").fix("bowline network create NAME --subnet PREFIX");
    };
    let why: Vec<String> = pools.iter().map(|pool| pool.why_not(busy)).collect();
    let fix = match elsewhere(first.size, first.base, busy) {
        Some(free) => create(free),
        None => "remove networks that are not in use, or add a pool to the configuration".to_string(),
    };
    error.because(why.join("; ")).fix(fix)
}

/// A free block of the private ranges (RFC 1918) outside the pools. There are no such ranges in IPv6.
fn elsewhere(size: u8, like: IpNetwork, busy: &[(IpNetwork, Busy)]) -> Option<IpNetwork> {
    let ranges = [([172, 16, 0, 0], 12), ([192, 168, 0, 0], 16), ([10, 0, 0, 0], 8)];
    ranges
        .into_iter()
        .filter(|&(_, prefix)| like.is_ipv4() && prefix <= size)
        .find_map(|(base, prefix)| PoolSpec { base: block(base.into(), prefix), size }.first_free(busy))
}

/// False for the pieces of a default route: VPN clients add 0.0.0.0/1 and 128.0.0.0/1 to win over 0.0.0.0/0. What is
/// shorter than any subnet says which way the rest of the world is, not that there is a network.
fn claims(net: IpNetwork, by: &Busy) -> bool {
    match by {
        Busy::Route => net.prefix() >= if net.is_ipv4() { 8 } else { 16 },
        Busy::Network(_) | Busy::Address(_) | Busy::Nameserver => true,
    }
}

fn overlaps(a: IpNetwork, b: IpNetwork) -> bool {
    let ((a_first, a_last), (b_first, b_last)) = (span(a), span(b));
    a.is_ipv4() == b.is_ipv4() && a_first <= b_last && b_first <= a_last
}

/// The longest prefix of a subnet.
fn longest(net: IpNetwork) -> u8 {
    if net.is_ipv4() { 30 } else { 126 }
}

fn block(first: IpAddr, prefix: u8) -> IpNetwork {
    IpNetwork::new(first, prefix).expect("the prefix length was checked against the family")
}

fn create(free: IpNetwork) -> String {
    format!("bowline network create NAME --subnet {free}")
}

fn described((net, by): (IpNetwork, &Busy)) -> String {
    let alone = net.prefix() == longest(net) + 2;
    if alone { format!("{by} ({})", net.ip()) } else { format!("{by} ({net})") }
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Busy::Network(name) => write!(f, "network {name}"),
            Busy::Address(link) => write!(f, "the address of link {link}"),
            Busy::Route => write!(f, "a route of this host"),
            Busy::Nameserver => write!(f, "a nameserver of this host"),
        }
    }
}

impl fmt::Display for PoolSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in /{}s", self.base, self.size)
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;
    use crate::ipam::bits::counted::comparisons;
    use crate::ipam::model::told;

    fn net(text: &str) -> IpNetwork {
        text.parse().unwrap()
    }

    fn network(name: &str, text: &str) -> (IpNetwork, Busy) {
        (net(text), Busy::Network(name.parse().unwrap()))
    }

    fn route(text: &str) -> (IpNetwork, Busy) {
        (net(text), Busy::Route)
    }

    fn spec(base: &str, size: u8) -> PoolSpec {
        PoolSpec::new(net(base), size).unwrap()
    }

    fn chosen(pools: &[PoolSpec], busy: &[(IpNetwork, Busy)]) -> String {
        choose(pools, busy).unwrap().to_string()
    }

    #[test]
    fn the_first_block_that_overlaps_nothing_is_chosen() {
        let default = [PoolSpec::default_v4()];
        let check = |busy: &[(IpNetwork, Busy)], expected| assert_eq!(chosen(&default, busy), expected);
        check(&[], "10.160.0.0/24");
        check(&[network("a", "10.160.0.0/24")], "10.160.1.0/24");
        check(&[network("b", "10.160.1.0/24"), network("a", "10.160.0.0/24")], "10.160.2.0/24");
        check(&[network("a", "10.160.1.0/24")], "10.160.0.0/24");
        check(&[route("10.160.0.0/13")], "10.168.0.0/24");
        check(&[route("10.160.0.0/13"), route("10.160.7.0/24"), route("10.160.0.9/32")], "10.168.0.0/24");
        check(&[(net("10.160.0.200/26"), Busy::Address("eth0".parse().unwrap()))], "10.160.1.0/24");
        check(&[(net("10.160.0.255/32"), Busy::Nameserver)], "10.160.1.0/24");
        check(&[route("10.159.0.0/16"), route("10.176.0.0/16"), route("fd00::/16")], "10.160.0.0/24");
    }

    #[test]
    fn the_last_block_is_chosen_when_all_others_are_busy_and_then_none() {
        let pools = [spec("10.9.0.0/22", 24)];
        let mut busy = vec![route("10.9.0.0/23"), route("10.9.2.0/24")];
        assert_eq!(chosen(&pools, &busy), "10.9.3.0/24");
        busy.push(route("10.9.3.128/25"));
        assert_eq!(choose(&pools, &busy).unwrap_err().code, Code::PoolsExhausted);
    }

    #[test]
    fn the_next_pool_is_used_when_the_first_is_exhausted() {
        let pools = [spec("10.9.0.0/24", 24), spec("10.8.0.0/16", 20)];
        assert_eq!(chosen(&pools, &[route("10.9.0.0/16"), route("10.8.0.0/24")]), "10.8.16.0/20");
    }

    #[test]
    fn a_pool_of_a_host_is_made_from_its_global_id() {
        let pool = PoolSpec::ula([0x12, 0x34, 0x56, 0x78, 0x9a]);
        assert_eq!(pool.to_string(), "fd12:3456:789a::/48 in /64s");
        let busy = [network("a", "fd12:3456:789a::/64"), route("fc00::/7"), route("::/0")];
        assert_eq!(chosen(&[pool], &busy), "fd12:3456:789a:1::/64");
    }

    #[test]
    fn the_defaults_are_pools_that_a_user_could_write() {
        for pool in [PoolSpec::default_v4(), PoolSpec::ula([0; 5]), PoolSpec::ula([0xff; 5])] {
            assert_eq!(PoolSpec::new(pool.base(), pool.size()).unwrap(), pool);
        }
    }

    #[test]
    fn pieces_of_a_default_route_are_in_nobodys_way() {
        let busy = [route("0.0.0.0/0"), route("0.0.0.0/1"), route("128.0.0.0/1"), route("8.0.0.0/5")];
        assert_eq!(chosen(&[PoolSpec::default_v4()], &busy), "10.160.0.0/24");
        assert_eq!(overlap(net("10.160.0.0/24"), &busy), None);
    }

    #[test]
    fn a_pool_of_2_to_the_112_blocks_is_not_walked() {
        let busy = [network("a", "fd00::/17"), network("b", "fd00:8000::/18")];
        assert_eq!(chosen(&[spec("fd00::/16", 126)], &busy), "fd00:c000::/126");
        assert_eq!(chosen(&[spec("fd00::/16", 16)], &[]), "fd00::/16");
        let all = [(net("::/0"), Busy::Nameserver)];
        assert_eq!(choose(&[spec("fd00::/16", 126)], &all).unwrap_err().code, Code::PoolsExhausted);
    }

    #[test]
    fn choosing_among_thousands_of_networks_costs_a_sort() {
        const NETWORKS: u32 = 50_000;
        // 7919 is prime and shuffles them.
        let busy: Vec<_> = (0..NETWORKS)
            .map(|i| (i * 7919) % NETWORKS)
            .map(|i| (IpNetwork::new(Ipv4Addr::from((10 << 24) + (i << 8)).into(), 24).unwrap(), Busy::Route))
            .collect();
        let (free, comparisons) = comparisons(|| chosen(&[spec("10.0.0.0/8", 24)], &busy));
        assert_eq!(free, "10.195.80.0/24");
        let bound = u64::from(2 * NETWORKS * NETWORKS.ilog2());
        assert!(comparisons < bound, "{comparisons} comparisons, at most {bound} expected");
    }

    #[test]
    fn the_overlap_that_tells_most_is_reported() {
        let busy = [
            route("10.9.0.0/16"),
            (net("10.9.0.1/24"), Busy::Address("bl-front".parse().unwrap())),
            network("front", "10.9.0.0/24"),
            (net("fd00::/64"), Busy::Route),
        ];
        let found = |text| overlap(net(text), &busy).map(|(net, by)| format!("{by} {net}"));
        assert_eq!(found("10.9.0.128/25").as_deref(), Some("network front 10.9.0.0/24"));
        assert_eq!(found("10.0.0.0/8").as_deref(), Some("network front 10.9.0.0/24"));
        assert_eq!(found("10.9.1.0/24").as_deref(), Some("a route of this host 10.9.0.0/16"));
        assert_eq!(found("fd00::/80").as_deref(), Some("a route of this host fd00::/64"));
        assert_eq!(found("10.10.0.0/24"), None);
        assert_eq!(found("fd00:0:0:1::/64"), None);
        // As numbers, the one is inside the other.
        assert_eq!(overlap(net("10.9.0.0/24"), &[(net("::/64"), Busy::Nameserver)]), None);
    }

    #[test]
    fn what_an_overlap_says() {
        let check = |busy: (IpNetwork, Busy), free: Option<&str>, expected: Expect| {
            let error = overlap_error(net("10.10.1.0/24"), (busy.0, &busy.1), free.map(net));
            expected.assert_eq(&told(&error));
        };
        check(
            network("front", "10.10.1.0/24"),
            Some("10.160.3.0/24"),
            expect![[r#"
                error[BWL-1107]: subnet 10.10.1.0/24 overlaps network front (10.10.1.0/24)
                fix: bowline network create NAME --subnet 10.160.3.0/24
            "#]],
        );
        check(
            (net("10.10.1.7/24"), Busy::Address("eth0".parse().unwrap())),
            None,
            expect![[r#"
                error[BWL-1107]: subnet 10.10.1.0/24 overlaps the address of link eth0 (10.10.1.7/24)
                fix: choose a subnet that nothing on this host uses
            "#]],
        );
        check(
            route("10.0.0.0/8"),
            Some("10.160.3.0/24"),
            expect![[r#"
                error[BWL-1107]: subnet 10.10.1.0/24 overlaps a route of this host (10.0.0.0/8)
                fix: bowline network create NAME --subnet 10.160.3.0/24
            "#]],
        );
        check(
            (net("10.10.1.53/32"), Busy::Nameserver),
            Some("10.160.3.0/24"),
            expect![[r#"
                error[BWL-1107]: subnet 10.10.1.0/24 overlaps a nameserver of this host (10.10.1.53)
                fix: bowline network create NAME --subnet 10.160.3.0/24
            "#]],
        );
    }

    #[test]
    fn what_exhausted_pools_say() {
        let check = |pools: &[PoolSpec], busy: &[(IpNetwork, Busy)], expected: Expect| {
            expected.assert_eq(&told(&choose(pools, busy).unwrap_err()));
        };
        check(
            &[PoolSpec::default_v4()],
            &[route("10.0.0.0/8"), network("front", "10.160.0.0/24"), route("172.16.0.0/24")],
            expect![[r#"
                error[BWL-1208]: the default pools have no free subnet
                cause: a route of this host (10.0.0.0/8) covers all of 10.160.0.0/12
                fix: bowline network create NAME --subnet 172.16.1.0/24
            "#]],
        );
        let many: Vec<_> = (0..5).map(|i| network(&format!("n{i}"), &format!("10.9.{i}.0/24"))).collect();
        check(
            &[spec("10.9.0.0/23", 24), spec("10.9.2.0/23", 23)],
            &many,
            expect![[r#"
                error[BWL-1208]: the default pools have no free subnet
                cause: every /24 of 10.9.0.0/23 overlaps one of network n0 (10.9.0.0/24), network n1 (10.9.1.0/24); every /23 of 10.9.2.0/23 overlaps one of network n2 (10.9.2.0/24), network n3 (10.9.3.0/24)
                fix: bowline network create NAME --subnet 172.16.0.0/24
            "#]],
        );
        check(
            &[spec("10.9.0.0/22", 24)],
            &many,
            expect![[r#"
                error[BWL-1208]: the default pools have no free subnet
                cause: every /24 of 10.9.0.0/22 overlaps one of network n0 (10.9.0.0/24), network n1 (10.9.1.0/24), network n2 (10.9.2.0/24), 1 more
                fix: bowline network create NAME --subnet 172.16.0.0/24
            "#]],
        );
        check(
            &[PoolSpec::ula([0; 5])],
            &[route("fd00::/16")],
            expect![[r#"
                error[BWL-1208]: the default pools have no free subnet
                cause: a route of this host (fd00::/16) covers all of fd00::/48
                fix: remove networks that are not in use, or add a pool to the configuration
            "#]],
        );
        check(
            &[],
            &[],
            expect![[r#"
                error[BWL-1208]: the default pools have no free subnet
                cause: no pool is set
                fix: bowline network create NAME --subnet PREFIX
            "#]],
        );
    }

    #[test]
    fn what_an_unusable_pool_says() {
        let check = |base, size, expected: Expect| {
            expected.assert_eq(&told(&PoolSpec::new(net(base), size).unwrap_err()));
        };
        check(
            "10.160.0.1/12",
            24,
            expect![[r#"
                error[BWL-3008]: pool 10.160.0.1/12 in /24s is not usable
                cause: subnet 10.160.0.1/12 is not usable: it has host bits set
                fix: did you mean 10.160.0.0/12?
            "#]],
        );
        check(
            "10.160.0.0/12",
            8,
            expect![[r#"
                error[BWL-3008]: pool 10.160.0.0/12 in /8s is not usable
                cause: a /8 is larger than the pool
                fix: use a size between 12 and 30
            "#]],
        );
        check(
            "fd00::/48",
            128,
            expect![[r#"
                error[BWL-3008]: pool fd00::/48 in /128s is not usable
                cause: a /128 has no room for a gateway and a member
                fix: use a size between 48 and 126
            "#]],
        );
    }

    fn some_busy() -> impl Strategy<Value = Vec<(IpNetwork, Busy)>> {
        let one = (any::<u16>(), 20u8..=32).prop_map(|(low, prefix)| {
            let address = Ipv4Addr::from((10 << 24) + (9 << 16) + u32::from(low));
            (IpNetwork::new(address.into(), prefix).unwrap(), Busy::Route)
        });
        prop::collection::vec(one, 0..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_chosen_is_the_first_of_all_blocks_that_overlaps_nothing(
            busy in some_busy(),
            base in 16u8..=22,
            longer in 0u8..=6,
        ) {
            let pool = PoolSpec { base: block(Ipv4Addr::new(10, 9, 0, 0).into(), base), size: base + longer };
            let first = (0..1u32 << longer)
                .map(|i| Ipv4Addr::from((10 << 24) + (9 << 16) + (i << (32 - pool.size))))
                .map(|address| block(address.into(), pool.size))
                .find(|&net| busy.iter().all(|&(other, _)| {
                    !net.contains(other.network()) && !other.contains(net.network())
                }));
            prop_assert_eq!(choose(&[pool], &busy).ok(), first);
            if let Some(net) = first {
                prop_assert_eq!(overlap(net, &busy), None);
            }
        }
    }
}
