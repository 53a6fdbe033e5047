//! The property walk: whatever the kernel holds, `diff` and `apply` lead to whatever is wanted, and a second run changes nothing.

use std::collections::BTreeMap;

use ipnetwork::IpNetwork;
use proptest::prelude::*;

use crate::driver;
use crate::endpoint::{Endpoint, Guard, Inside, Interface};
use crate::family::Family;
use crate::kernel::{Kernel as _, Scope};
use crate::mac::Mac;
use crate::medium::{
    Bridge, Direct, How, IpvlanFlag, IpvlanMode, MacvlanMode, Medium, Parent, Shim, VlanId, Whose,
};
use crate::memory::Kernel;
use crate::name::{Id, Name};
use crate::network::{Gateway, Gateways, Ipam, Isolation, Mtu, Neighbours, Network, Subnet, prefix};
use crate::place::Place;
use crate::plan::diff;
use crate::port::{At, Ports, Protocol, Published};
use crate::rate::Rate;
use crate::state::{State, Vlan};

/// What a host could be asked to hold: networks, and endpoints on some of them.
#[derive(Debug, Clone)]
struct World {
    networks: Vec<Network>,
    endpoints: Vec<Endpoint>,
}

impl World {
    fn state(&self) -> State {
        let find = |id: Id| self.networks.iter().find(|n| n.id == id);
        let mut all = driver::host(Kernel::HOST, true, true);
        all.extend(self.networks.iter().map(driver::network).collect());
        for endpoint in &self.endpoints {
            for interface in &endpoint.interfaces {
                let network = find(interface.network).expect("worlds are made whole");
                all.extend(driver::interface(network, endpoint, interface));
            }
            all.extend(driver::default_routes(endpoint, find));
            all.extend(driver::published::state(endpoint, find));
            all.extend(driver::resolver(endpoint, find));
        }
        all
    }
}

/// A bridge, or a link to hang on. What shares a parent goes together, as a host's networks do.
fn medium(n: u8, kind: u8, yes: [bool; 3], net: IpNetwork, vlan: Option<VlanId>) -> Medium {
    let id = Id(n.into());
    let parent = |link: &str, vlan| Some(Parent { link: link.parse().unwrap(), vlan });
    let modes = [MacvlanMode::Bridge, MacvlanMode::Private, MacvlanMode::Vepa];
    let macvlan = How::Macvlan(modes[usize::from(n % 3)]);
    let shim = Shim { link: Network::shim_name(id), addresses: vec![member(net, 200)] };
    let host_access = yes[0].then_some(shim);
    let (parent, how) = match kind {
        0..3 => return Medium::Bridge(Bridge { whose: Whose::Ours, vlan, vrf: None }),
        9..11 => return Medium::Bridge(Bridge { whose: Whose::Theirs, vlan, vrf: None }),
        11 => return Medium::Pair,
        3 => (parent("eth0", None), macvlan),
        4 => (parent("eth1", None), How::Ipvlan(IpvlanMode::L2, IpvlanFlag::Bridge)),
        5 => (parent("br0", None), How::Ipvlan(IpvlanMode::L3, IpvlanFlag::Bridge)),
        6 => (parent("eth0.10", Some(("eth0".parse().unwrap(), VlanId::new(10).unwrap()))), macvlan),
        // The same parent as that of others, as something else: what was there has to go first.
        7 => (
            parent("eth3", None),
            if yes[1] { macvlan } else { How::Ipvlan(IpvlanMode::L2, IpvlanFlag::Bridge) },
        ),
        _ => (None, macvlan),
    };
    let host_access = host_access.filter(|_| parent.is_some());
    Medium::Direct(Direct { parent, how, host_access })
}

fn network(n: u8) -> impl Strategy<Value = Network> {
    let isolation = prop_oneof![Just(Isolation::Open), Just(Isolation::Published), Just(Isolation::Strict)];
    let neighbours = prop_oneof![Just(Neighbours::Open), Just(Neighbours::Isolated)];
    let vlan = prop_oneof![2 => Just(None), 1 => (10u16..12).prop_map(|n| VlanId::new(n).ok())];
    (isolation, neighbours, any::<[bool; 3]>(), 1300u32..1500, (0u8..12, vlan)).prop_map(
        move |(isolation, neighbours, yes, mtu, (kind, vlan))| {
            let name: Name = format!("net{n}").parse().unwrap();
            let subnet =
                |text: String| Subnet::new(prefix(&text).unwrap(), None, None, BTreeMap::new()).unwrap();
            let mut subnets = vec![subnet(format!("10.{n}.0.0/24"))];
            if yes[0] {
                subnets.push(subnet(format!("fd00:{n:x}::/64")));
            }
            let medium = medium(n, kind, yes, subnets[0].net(), vlan);
            Network {
                id: Id(n.into()),
                bridge: match &medium {
                    Medium::Direct(Direct { parent: Some(parent), .. }) => parent.link.clone(),
                    // One of those that every kernel in memory has from the start.
                    Medium::Bridge(Bridge { whose: Whose::Theirs, .. }) => "br-tag".parse().unwrap(),
                    Medium::Bridge(_) | Medium::Direct(_) | Medium::Pair => {
                        Network::bridge_name(&name, Id(n.into()))
                    }
                },
                name,
                host: Kernel::HOST,
                medium,
                ipam: Ipam::Pools,
                subnets,
                routes: Vec::new(),
                mtu: Mtu::new(mtu, true).unwrap(),
                gso: yes[1].then_some(196_608),
                internal: yes[2] || kind == 8,
                dns: !yes[1] || yes[2],
                isolation,
                neighbours,
                masquerade: yes[0] != yes[1],
                gateways: Gateways {
                    v4: if yes[1] { Gateway::Nat } else { Gateway::Routed },
                    v6: if yes[2] { Gateway::Nat } else { Gateway::Unprotected },
                },
                trusted: Vec::new(),
            }
        },
    )
}

fn endpoint(n: u8, networks: &[Network], joined: &[bool], priority: i32, published: &[u16]) -> Endpoint {
    let on = networks.iter().zip(joined).filter(|(_, joined)| **joined).map(|(network, _)| network);
    let interfaces = on.enumerate().map(|(i, network)| Interface {
        network: network.id,
        card: format!("eth{i}").parse().unwrap(),
        port: Interface::port_name(Id(u128::from(n) << 120 | network.id.0 << 112)),
        mac: Mac::local((u64::from(n) << 16) + (1 << 8) + i as u64),
        vlan: None,
        addresses: network.subnets.iter().map(|s| member(s.net(), n)).collect(),
        lease: None,
        gw_priority: priority * i as i32,
        rate_in: (priority == 0).then(|| Rate::new(1_000_000).unwrap()),
        rate_out: None,
        inside: Inside::default(),
    });
    Endpoint {
        id: Id(0x100 + u128::from(n)),
        name: format!("ep{n}").parse().unwrap(),
        place: Place(100 + u64::from(n)),
        interfaces: interfaces.collect(),
        published: published.iter().map(|&port| published_port(n, port)).collect(),
        guard: if published.len() == 1 { Guard::Off } else { Guard::On },
    }
}

/// Of those that would share a parent and cannot, the first.
fn together(all: Vec<Network>) -> Vec<Network> {
    let mut kept: Vec<Network> = Vec::new();
    for network in all {
        let clashes = |other: &Network| match (other.medium.direct(), network.medium.direct()) {
            (Some(a), Some(b)) => other.bridge == network.bridge && !a.how.goes_with(b.how),
            (None, _) | (_, None) => false,
        };
        if !kept.iter().any(clashes) {
            kept.push(network);
        }
    }
    kept
}

/// The ports of one endpoint are nobody else's: otherwise they would clash, which is a refusal and not a world.
fn published_port(n: u8, port: u16) -> Published {
    let host = u16::from(n) * 1000 + port * 8 + 1;
    let (last, first) = match port % 3 {
        0 => (host, 80),
        1 => (host + 3, host),
        _ => (host + 3, 9000),
    };
    let at = match port % 4 {
        0 => At::Everywhere,
        1 => At::All(Family::V4),
        2 => At::All(Family::V6),
        _ => At::One([127, 0, 0, 1].into()),
    };
    Published { at, protocol: Protocol::Tcp, host: Ports::new(host, last).unwrap(), first }
}

fn member(net: IpNetwork, n: u8) -> IpNetwork {
    let host = u32::from(n) + 2;
    let address = match net {
        IpNetwork::V4(net) => (u32::from(net.ip()) + host).to_be_bytes().into(),
        IpNetwork::V6(net) => (u128::from(net.ip()) + u128::from(host)).to_be_bytes().into(),
    };
    IpNetwork::new(address, net.prefix()).unwrap()
}

fn world() -> impl Strategy<Value = World> {
    let networks = (network(1), network(2), network(3), any::<[bool; 3]>());
    let ports = proptest::collection::btree_set(0u16..60, 0..4);
    let ports = ports.prop_map(|ports| ports.into_iter().collect::<Vec<_>>());
    (networks, any::<[[bool; 3]; 4]>(), -1i32..2, ports).prop_map(
        |((a, b, c, kept), joined, priority, ports)| {
            let networks: Vec<_> =
                [a, b, c].into_iter().zip(kept).filter(|(_, kept)| *kept).map(|(n, _)| n).collect();
            let networks = together(networks);
            let endpoints = (0..)
                .zip(joined)
                .map(|(n, joined)| endpoint(n, &networks, &joined, priority, &ports))
                .collect();
            World { networks, endpoints }
        },
    )
}

/// Another hand takes away every n-th object.
fn sabotage(state: &mut State, seed: usize) {
    let every = seed % 5 + 2;
    let mut n = seed;
    let mut stays = || {
        n += 1;
        !n.is_multiple_of(every)
    };
    state.addrs.retain(|_| stays());
    state.routes.retain(|_| stays());
    state.elements.retain(|_| stays());
    state.held.retain(|_| stays());
    state.resolvers.retain(|_| stays());
    state.sysctls.retain(|_, _| stays());
    state.links.values_mut().for_each(|link| link.up = stays());
}

fn reaches(machine: &Kernel, wanted: &State) {
    let plan = diff(&machine.state(), wanted);
    machine.apply(&plan).unwrap_or_else(|e| panic!("{e}\nplan: {plan:#?}"));
    let left = diff(&machine.state(), wanted);
    assert!(left.is_empty(), "a second run would still change: {left:#?}");
    // Sysctls are never put back, a loopback stays up, and an offload size of None is no wish: all else is exactly as wanted.
    let (mut now, mut wanted) = (machine.state(), wanted.clone());
    now.sysctls.clear();
    wanted.sysctls.clear();
    now.links.retain(|key, _| key.name.as_str() != "lo");
    wanted.links.retain(|key, _| key.name.as_str() != "lo");
    for (key, link) in &mut now.links {
        let wish = wanted.links.get(key);
        link.gso = link.gso.filter(|_| wish.is_some_and(|w| w.gso.is_some()));
        // A port that is in no VLAN of ours has whatever its bridge gives it.
        if wish.is_some_and(|w| w.master.is_some() && w.vlan == Vlan::None) {
            link.vlan = Vlan::None;
        }
    }
    assert_eq!(now, wanted);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_world_reaches_any_other(a in world(), b in world(), c in world()) {
        let machine = Kernel::new();
        for world in [&a, &b, &c, &a] {
            reaches(&machine, &world.state());
        }
        reaches(&machine, &State::default());
    }

    #[test]
    fn a_sabotaged_world_is_healed(a in world(), b in world(), seed in 0usize..100) {
        let machine = Kernel::holding(a.state());
        machine.tamper(|state| sabotage(state, seed));
        reaches(&machine, &b.state());
    }

    #[test]
    fn every_change_may_be_made_twice(a in world(), b in world()) {
        let machine = Kernel::holding(a.state());
        for change in diff(&a.state(), &b.state()) {
            machine.apply(std::slice::from_ref(&change)).unwrap();
            machine.apply(&[change]).unwrap();
        }
        prop_assert!(diff(&machine.state(), &b.state()).is_empty());
    }

    #[test]
    fn a_plan_cut_short_anywhere_is_finished_by_the_next(a in world(), b in world(), cut in 0usize..200) {
        let machine = Kernel::holding(a.state());
        let plan = diff(&a.state(), &b.state());
        machine.apply(&plan[..cut.min(plan.len())]).unwrap();
        reaches(&machine, &b.state());
    }

    #[test]
    fn the_fragments_make_the_whole(a in world()) {
        let machine = Kernel::holding(a.state());
        let seen = machine.observe(&Scope::Host(Kernel::HOST)).unwrap();
        prop_assert!(diff(&seen, &a.state().within(Kernel::HOST)).is_empty());
    }
}
