//! What is wrong with a host, and the line to paste: what `bowline doctor` asks, with the daemon's knowledge or without.
//! Each check is a function from what was seen to what is to be said of it.

use std::net::IpAddr;

use crate::feature::{Feature, Need};
use crate::kernel::{Facts, Gauge, Kernel, Obstacle, Sights};
use crate::name::{LinkName, Name};
use crate::place::Place;
use crate::{Code, Error, Result};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at, in one word.
    pub about: &'static str,
    pub standing: Standing,
    pub what: String,
    /// A command, or else what to do.
    pub fix: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Well,
    /// It works, and may not for long, or not for all.
    Doubtful,
    Wrong,
    /// It could not be looked at.
    Unknown,
}

/// What matters here of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    pub name: Name,
    pub bridge: LinkName,
    pub mtu: u32,
    /// Whether its members reach what is not on this host.
    pub leaves: bool,
}

impl Check {
    pub fn well(about: &'static str, what: impl Into<String>) -> Check {
        Check { about, standing: Standing::Well, what: what.into(), fix: None }
    }

    pub fn doubtful(about: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Check {
        Check { about, standing: Standing::Doubtful, what: what.into(), fix: Some(fix.into()) }
    }

    pub fn wrong(about: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Check {
        Check { about, standing: Standing::Wrong, what: what.into(), fix: Some(fix.into()) }
    }

    pub fn unknown(about: &'static str, why: &Error) -> Check {
        Check { about, standing: Standing::Unknown, what: why.to_string(), fix: why.fix.clone() }
    }
}

/// What the kernel has, and what it has not.
pub fn features(kernel: &dyn Kernel) -> Vec<(Feature, Result<()>)> {
    Feature::ALL.iter().map(|&feature| (feature, kernel.can(feature))).collect()
}

/// All that can be said of a host with these networks. What fails is said as well, and keeps nothing else from being.
pub fn host(
    kernel: &dyn Kernel,
    place: Place,
    networks: &[Served],
    has: &[(Feature, Result<()>)],
) -> Vec<Check> {
    let mut checks = needed(has);
    match kernel.sights(place) {
        Ok(sights) => checks.extend(settings(&sights, networks)),
        Err(error) => checks.push(Check::unknown("settings", &error)),
    }
    match kernel.facts(place) {
        Ok(facts) => checks.extend(uplinks(&facts, networks)),
        Err(error) => checks.push(Check::unknown("uplink", &error)),
    }
    let bridges: Vec<LinkName> = networks.iter().map(|network| network.bridge.clone()).collect();
    checks.extend(firewall(kernel, place, &bridges));
    checks
}

/// What is in the way of networks with these bridges. Where there is none, nothing is in its way.
pub fn firewall(kernel: &dyn Kernel, place: Place, bridges: &[LinkName]) -> Vec<Check> {
    if bridges.is_empty() {
        return Vec::new();
    }
    match kernel.obstacles(place, bridges) {
        Ok(found) => firewalls(&found),
        Err(error) => vec![Check::unknown("firewall", &error)],
    }
}

/// What is missing of that which bowline cannot do without.
fn needed(has: &[(Feature, Result<()>)]) -> Vec<Check> {
    const ABOUT: &str = "kernel";
    let mut needed = has.iter().filter(|(feature, _)| feature.need() == Need::Always);
    let wanting: Vec<Check> = needed
        .clone()
        .filter_map(|(feature, outcome)| match outcome {
            Err(no) if no.code == Code::Unsupported => {
                Some(Check::wrong(ABOUT, no.what.clone(), feature.fix()))
            }
            Err(_) | Ok(()) => None,
        })
        .collect();
    // One of them says why as well as all.
    let untried =
        needed.find_map(|(_, outcome)| outcome.as_ref().err().filter(|e| e.code != Code::Unsupported));
    match untried {
        Some(why) => [wanting, vec![Check::unknown(ABOUT, why)]].concat(),
        None if wanting.is_empty() => vec![Check::well(ABOUT, "it has all that bowline needs")],
        None => wanting,
    }
}

fn settings(sights: &Sights, networks: &[Served]) -> Vec<Check> {
    let [four, six] = sights.neighbours;
    [
        forwarding(sights.forwards, networks),
        sights.bridged_are_filtered.map(bridges),
        four.map(|gauge| neighbours("ipv4", gauge)),
        six.map(|gauge| neighbours("ipv6", gauge)),
        sights.flows.map(flows),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn forwarding(on: Option<bool>, networks: &[Served]) -> Option<Check> {
    const ABOUT: &str = "forwarding";
    Some(match on? {
        true => Check::well(ABOUT, "net.ipv4.ip_forward is on"),
        false if !networks.iter().any(|network| network.leaves) => {
            Check::well(ABOUT, "net.ipv4.ip_forward is off; the first network switches it on")
        }
        false => Check::wrong(
            ABOUT,
            "net.ipv4.ip_forward is off: members reach nothing outside, and nobody reaches their ports",
            "sysctl -w net.ipv4.ip_forward=1",
        ),
    })
}

/// Docker has it on, and wants it so; our own tables let pass what is within a network.
fn bridges(filtered: bool) -> Check {
    Check::well(
        "bridges",
        match filtered {
            true => {
                "br_netfilter is on: what members of a network send each other passes the host's firewalls"
            }
            false => "br_netfilter is off: no firewall but bowline's is between members of a network",
        },
    )
}

/// Of four entries three: beyond that the kernel throws some away, or refuses new ones before long.
fn is_nearly_full(gauge: Gauge) -> bool {
    gauge.used.saturating_mul(4) >= gauge.limit.saturating_mul(3)
}

/// A kernel's own limit is the least that anybody should have.
const LEAST_NEIGHBOURS: u64 = 1024;
/// A quarter of what a kernel allows itself with 1 GiB of memory.
const LEAST_FLOWS: u64 = 16_384;

fn neighbours(family: &str, gauge: Gauge) -> Check {
    let name = |n: u8| format!("net.{family}.neigh.default.gc_thresh{n}");
    let more = |to: u64| format!("sysctl -w {}={} {}={} {}={to}", name(1), to / 4, name(2), to / 2, name(3));
    let limit = Limit { about: "neighbours", name: name(3), least: LEAST_NEIGHBOURS, ample: 4096 };
    limit.judge(gauge, "new neighbours are soon not found", more)
}

fn flows(gauge: Gauge) -> Check {
    let name = "net.netfilter.nf_conntrack_max";
    let more = |to: u64| format!("sysctl -w {name}={to}");
    let limit = Limit { about: "connections", name: name.to_string(), least: LEAST_FLOWS, ample: 65_536 };
    limit.judge(gauge, "new connections are soon dropped", more)
}

struct Limit {
    about: &'static str,
    /// The sysctl that sets it.
    name: String,
    /// Fewer are doubtful even while there is room.
    least: u64,
    /// What to set where it was too low.
    ample: u64,
}

impl Limit {
    fn judge(&self, gauge: Gauge, what_follows: &str, more: impl Fn(u64) -> String) -> Check {
        let Limit { about, name, .. } = self;
        let Gauge { used, limit } = gauge;
        if is_nearly_full(gauge) {
            let what = format!("{used} of {limit} are used ({name}): {what_follows}");
            return Check::wrong(about, what, more(limit.saturating_mul(4).max(self.ample)));
        }
        match limit < self.least {
            true => Check::doubtful(about, format!("{name} is {limit}, which is few"), more(self.ample)),
            false => Check::well(about, format!("{used} of {limit} are used ({name})")),
        }
    }
}

fn uplinks(facts: &Facts, networks: &[Served]) -> Vec<Check> {
    const ABOUT: &str = "uplink";
    if facts.uplinks.is_empty() {
        let what = "there is no default route: members reach what this host has routes to, and nothing else";
        return vec![Check::doubtful(ABOUT, what, "ip route add default via ROUTER")];
    }
    let shown = |uplink: &crate::kernel::Uplink| format!("{}, MTU {}", uplink.name, uplink.mtu);
    let mut checks = vec![Check::well(ABOUT, facts.uplinks.iter().map(shown).collect::<Vec<_>>().join("; "))];
    let Some(narrowest) = facts.uplinks.iter().min_by_key(|uplink| uplink.mtu) else { return checks };
    for network in networks.iter().filter(|network| network.leaves && network.mtu > narrowest.mtu) {
        let Served { name, mtu, .. } = network;
        let what = format!("network {name} has MTU {mtu}, and {} only {}", narrowest.name, narrowest.mtu);
        checks.push(Check::doubtful(
            "mtu",
            what,
            format!("bowline network update {name} --mtu {}", narrowest.mtu),
        ));
    }
    checks
}

/// Whom this host's own programs ask for names.
pub fn resolvers(servers: &[IpAddr]) -> Check {
    const ABOUT: &str = "names";
    if servers.is_empty() {
        let what = "/etc/resolv.conf names no server: names outside of networks are not found";
        return Check::doubtful(ABOUT, what, "echo nameserver ADDRESS >> /etc/resolv.conf");
    }
    let servers: Vec<String> = servers.iter().map(IpAddr::to_string).collect();
    Check::well(ABOUT, format!("other names are asked of {}", servers.join(", ")))
}

fn firewalls(found: &[Obstacle]) -> Vec<Check> {
    const ABOUT: &str = "firewall";
    if found.is_empty() {
        return vec![Check::well(ABOUT, "no other firewall drops what networks let pass")];
    }
    let check = |obstacle: &Obstacle| {
        let Obstacle { table, chain, tool, how, fix } = obstacle;
        let tool = tool.as_ref().map(|tool| format!(" ({tool})")).unwrap_or_default();
        Check::wrong(ABOUT, format!("{table} {chain}{tool}: {how}"), fix.clone())
    };
    found.iter().map(check).collect()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use expect_test::{Expect, expect};

    use super::*;
    use crate::kernel::Uplink;
    use crate::memory;

    fn check(checks: impl IntoIterator<Item = Check>, wanted: &Expect) {
        let mut text = String::new();
        for Check { about, standing, what, fix } in checks {
            writeln!(text, "{standing:?} {about}: {what}").unwrap();
            fix.iter().for_each(|fix| writeln!(text, "  {fix}").unwrap());
        }
        wanted.assert_eq(&text);
    }

    fn front() -> Served {
        Served {
            name: "front".parse().unwrap(),
            bridge: "bl-front".parse().unwrap(),
            mtu: 1500,
            leaves: true,
        }
    }

    fn gauge(used: u64, limit: u64) -> Gauge {
        Gauge { used, limit }
    }

    #[test]
    fn tables_that_fill_up_or_are_small() {
        check(
            [(767, 1024), (768, 1024), (3, 512), (0, 0)]
                .map(|(used, limit)| neighbours("ipv6", gauge(used, limit))),
            &expect![[r#"
                Well neighbours: 767 of 1024 are used (net.ipv6.neigh.default.gc_thresh3)
                Wrong neighbours: 768 of 1024 are used (net.ipv6.neigh.default.gc_thresh3): new neighbours are soon not found
                  sysctl -w net.ipv6.neigh.default.gc_thresh1=1024 net.ipv6.neigh.default.gc_thresh2=2048 net.ipv6.neigh.default.gc_thresh3=4096
                Doubtful neighbours: net.ipv6.neigh.default.gc_thresh3 is 512, which is few
                  sysctl -w net.ipv6.neigh.default.gc_thresh1=1024 net.ipv6.neigh.default.gc_thresh2=2048 net.ipv6.neigh.default.gc_thresh3=4096
                Wrong neighbours: 0 of 0 are used (net.ipv6.neigh.default.gc_thresh3): new neighbours are soon not found
                  sysctl -w net.ipv6.neigh.default.gc_thresh1=1024 net.ipv6.neigh.default.gc_thresh2=2048 net.ipv6.neigh.default.gc_thresh3=4096
            "#]],
        );
        check(
            [(1, 65_536), (60_000, 65_536), (1, 8192)].map(|(used, limit)| flows(gauge(used, limit))),
            &expect![[r#"
                Well connections: 1 of 65536 are used (net.netfilter.nf_conntrack_max)
                Wrong connections: 60000 of 65536 are used (net.netfilter.nf_conntrack_max): new connections are soon dropped
                  sysctl -w net.netfilter.nf_conntrack_max=262144
                Doubtful connections: net.netfilter.nf_conntrack_max is 8192, which is few
                  sysctl -w net.netfilter.nf_conntrack_max=65536
            "#]],
        );
    }

    #[test]
    fn what_cannot_be_seen_is_not_judged() {
        check(settings(&Sights::default(), &[]), &expect![[""]]);
    }

    #[test]
    fn forwarding_matters_once_there_is_a_network() {
        check(
            [(true, 1), (false, 0), (false, 1)]
                .into_iter()
                .filter_map(|(on, networks)| forwarding(Some(on), &vec![front(); networks])),
            &expect![[r#"
                Well forwarding: net.ipv4.ip_forward is on
                Well forwarding: net.ipv4.ip_forward is off; the first network switches it on
                Wrong forwarding: net.ipv4.ip_forward is off: members reach nothing outside, and nobody reaches their ports
                  sysctl -w net.ipv4.ip_forward=1
            "#]],
        );
    }

    #[test]
    fn uplinks_and_networks_that_are_too_wide_for_them() {
        let uplink = |name: &str, mtu| Uplink {
            name: name.parse().unwrap(),
            mtu,
            tso_max_size: 65_536,
            stops_learning: false,
        };
        let facts = Facts { uplinks: vec![uplink("eth0", 1500), uplink("wg0", 1420)], ..Facts::default() };
        let inner = Served { leaves: false, ..front() };
        check(
            uplinks(&facts, &[front(), inner]),
            &expect![[r#"
            Well uplink: eth0, MTU 1500; wg0, MTU 1420
            Doubtful mtu: network front has MTU 1500, and wg0 only 1420
              bowline network update front --mtu 1420
        "#]],
        );
        check(
            uplinks(&Facts::default(), &[]),
            &expect![[r#"
            Doubtful uplink: there is no default route: members reach what this host has routes to, and nothing else
              ip route add default via ROUTER
        "#]],
        );
    }

    #[test]
    fn name_servers() {
        check(
            [resolvers(&[]), resolvers(&["10.0.0.1".parse().unwrap(), "::1".parse().unwrap()])],
            &expect![[r#"
                Doubtful names: /etc/resolv.conf names no server: names outside of networks are not found
                  echo nameserver ADDRESS >> /etc/resolv.conf
                Well names: other names are asked of 10.0.0.1, ::1
            "#]],
        );
    }

    #[test]
    fn firewalls_of_others() {
        let obstacle = Obstacle {
            table: "ip filter".into(),
            chain: "FORWARD".into(),
            tool: Some("docker".into()),
            how: "policy drop".into(),
            fix: "iptables -I DOCKER-USER -o bl-front -j ACCEPT".into(),
        };
        check(
            firewalls(&[obstacle.clone(), Obstacle { tool: None, ..obstacle }]),
            &expect![[r#"
            Wrong firewall: ip filter FORWARD (docker): policy drop
              iptables -I DOCKER-USER -o bl-front -j ACCEPT
            Wrong firewall: ip filter FORWARD: policy drop
              iptables -I DOCKER-USER -o bl-front -j ACCEPT
        "#]],
        );
        check(
            firewalls(&[]),
            &expect![[r#"
            Well firewall: no other firewall drops what networks let pass
        "#]],
        );
    }

    #[test]
    fn a_kernel_is_judged_by_what_is_always_needed() {
        let kernel = memory::Kernel::new();
        let needed = || needed(&features(&kernel));
        kernel.take_away(Feature::Ipvlan);
        check(
            needed(),
            &expect![[r#"
            Well kernel: it has all that bowline needs
        "#]],
        );
        kernel.take_away(Feature::Veth);
        kernel.take_away(Feature::Nat);
        check(
            needed(),
            &expect![[r#"
            Wrong kernel: this kernel has no veth
              modprobe veth
            Wrong kernel: this kernel has no address translation by nftables
              modprobe nft_chain_nat
        "#]],
        );
    }

    #[test]
    fn a_kernel_that_could_not_be_asked_is_not_judged() {
        let denied =
            Error::new(Code::Denied, "create a network namespace").because("EPERM").fix("run it as root");
        let has = |feature: Feature| (feature, Err(feature.untried(denied.clone())));
        check(
            needed(&[has(Feature::Bridge), has(Feature::Veth), has(Feature::Ipvlan)]),
            &expect![[r#"
            Unknown kernel: find out whether this kernel has bridge: create a network namespace: EPERM
              run it as root
        "#]],
        );
    }

    #[test]
    fn a_healthy_host() {
        let kernel = memory::Kernel::new();
        let has = features(&kernel);
        check(
            host(&kernel, memory::Kernel::HOST, &[], &has),
            &expect![[r#"
            Well kernel: it has all that bowline needs
            Well forwarding: net.ipv4.ip_forward is off; the first network switches it on
            Well bridges: br_netfilter is off: no firewall but bowline's is between members of a network
            Doubtful uplink: there is no default route: members reach what this host has routes to, and nothing else
              ip route add default via ROUTER
        "#]],
        );
    }
}
