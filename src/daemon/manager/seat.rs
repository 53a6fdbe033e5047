//! A seat holds the truth about one endpoint: its namespace and the interfaces it has, or is losing.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bowline_api::v1;
use bowline_core::endpoint::{Endpoint, Guard, Interface};
use bowline_core::lease::Lease;
use bowline_core::medium::VlanId;
use bowline_core::name::{Id, Name};
use bowline_core::network::Network;
use bowline_core::place::{Door, Place};
use bowline_core::port::{Published, Wish};
use bowline_core::rate::Rate;
use bowline_core::state::State;
use bowline_core::{Result, driver};

use super::{held, inside, lease, ports};
use crate::store::{EndpointRecord, InterfaceRecord, Life, Phase};

/// How long after a refusal its caller cleans up after himself.
const REGRET: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Seat {
    pub(super) id: Id,
    pub(super) name: Name,
    /// Its caller's own word for it.
    pub(super) key: Option<String>,
    /// Its namespace.
    pub(super) place: Place,
    seated: Mutex<Seated>,
    /// When somebody was last refused its key.
    refused: Mutex<Option<Instant>>,
}

#[derive(Debug)]
pub(super) struct Seated {
    pub(super) endpoint: Endpoint,
    pub(super) key: Option<String>,
    /// Addresses on networks that it is not on: what somebody gave before us.
    pub(super) reserved: Vec<(Id, Vec<IpAddr>)>,
    pub(super) hostname: Name,
    /// What its programs serve, by what it says.
    pub(super) exposed: Vec<v1::Expose>,
    /// What it asked of its resolver.
    pub(super) dns: v1::DnsWishes,
    pub(super) labels: BTreeMap<String, String>,
    /// Where the namespace is found again.
    pub(super) path: Option<String>,
    /// Whether the path led there when somebody looked, as far as we know.
    pub(super) path_seen: bool,
    pub(super) created_unix_ms: u64,
    pub(super) life: Life,
    /// What the kernel need not know of each interface, by network.
    pub(super) more: BTreeMap<Id, More>,
    /// Interfaces that were answered for as gone, and that the kernel still has.
    pub(super) leaving: Vec<Interface>,
    /// True once it was answered for.
    pub(super) answered: bool,
    /// True while, or until after a crash, what is inside its namespace is not known to be as wanted.
    pub(super) unsettled: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct More {
    pub(super) aliases: Vec<Name>,
    pub(super) fixed: bool,
    /// True until it has its first lease: it was not answered for before.
    pub(super) waits: bool,
}

impl Seat {
    pub(super) fn new(seated: Seated) -> Seat {
        Seat {
            id: seated.endpoint.id,
            name: seated.endpoint.name.clone(),
            key: seated.key.clone(),
            place: seated.endpoint.place,
            seated: Mutex::new(seated),
            refused: Mutex::default(),
        }
    }

    /// Another asked for the same key, and will soon ask for it to be taken away.
    pub(super) fn refuse(&self) {
        *held(&self.refused) = Some(Instant::now());
    }

    /// Whether whoever asks for it to be taken away is one who was refused it: once, and for a while.
    pub(super) fn was_refused(&self) -> bool {
        held(&self.refused).take().is_some_and(|at| at.elapsed() < REGRET)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Seated> {
        held(&self.seated)
    }
}

impl Seated {
    /// Nothing but a name that addresses are kept for.
    pub(super) fn stopped(id: Id, name: Name) -> Seated {
        Seated {
            hostname: name.clone(),
            key: None,
            reserved: Vec::new(),
            endpoint: Endpoint {
                id,
                name,
                place: Place(0),
                interfaces: Vec::new(),
                published: Vec::new(),
                guard: Guard::On,
            },
            exposed: Vec::new(),
            dns: v1::DnsWishes::default(),
            labels: BTreeMap::new(),
            path: None,
            path_seen: false,
            created_unix_ms: 0,
            life: Life::Stopped,
            more: BTreeMap::new(),
            leaving: Vec::new(),
            answered: true,
            unsettled: false,
        }
    }

    pub(super) fn door(&self) -> Option<Door> {
        self.path.clone().map(Door::Path)
    }

    /// As the journal holds it, the interfaces on `joining` networks marked as not yet answered for.
    pub(super) fn record(&self, joining: &[Id]) -> EndpointRecord {
        let waits = |i: &Interface| self.more.get(&i.network).is_some_and(|more| more.waits);
        let phase = |i: &Interface| {
            if joining.contains(&i.network) || waits(i) { Phase::Joining } else { Phase::Live }
        };
        let staying = self.endpoint.interfaces.iter().map(|i| self.interface_record(i, phase(i)));
        let leaving = self.leaving.iter().map(|i| self.interface_record(i, Phase::Leaving));
        EndpointRecord {
            id: self.endpoint.id.to_string(),
            name: self.endpoint.name.to_string(),
            hostname: self.hostname.to_string(),
            labels: self.labels.clone(),
            cookie: self.endpoint.place.0,
            path: self.path.clone(),
            path_seen: self.path_seen,
            created_unix_ms: self.created_unix_ms,
            life: self.life,
            answered: self.answered,
            unsettled: self.unsettled,
            published: self.endpoint.published.iter().map(ToString::to_string).collect(),
            antispoof: self.endpoint.guard == Guard::On,
            exposed: self.exposed.clone(),
            dns: self.dns.clone(),
            key: self.key.clone(),
            reserved: self.reserved.iter().map(|(network, ips)| (network.to_string(), ips.clone())).collect(),
            interfaces: staying.chain(leaving).collect(),
        }
    }

    fn interface_record(&self, interface: &Interface, phase: Phase) -> InterfaceRecord {
        let more = self.more.get(&interface.network).cloned().unwrap_or_default();
        InterfaceRecord {
            network: interface.network.to_string(),
            card: interface.card.to_string(),
            port: interface.port.to_string(),
            mac: interface.mac.to_string(),
            vlan: interface.vlan.map(VlanId::number),
            addresses: interface.addresses.iter().map(ToString::to_string).collect(),
            lease: interface.lease.as_ref().map(lease::record),
            gw_priority: interface.gw_priority,
            rate_in_bits_per_s: interface.rate_in.map(Rate::bits_per_second),
            rate_out_bits_per_s: interface.rate_out.map(Rate::bits_per_second),
            aliases: more.aliases.iter().map(ToString::to_string).collect(),
            fixed: more.fixed,
            inside: inside::record(&interface.inside),
            phase,
        }
    }

    /// From the journal: what was joining or leaving when the daemon ended is leaving now.
    pub(super) fn from_record(record: &EndpointRecord) -> Result<Seated> {
        let mut seated = Seated {
            endpoint: Endpoint {
                id: record.id.parse()?,
                name: record.name.parse()?,
                place: Place(record.cookie),
                interfaces: Vec::new(),
                published: record.published.iter().map(|text| published(text)).collect::<Result<_>>()?,
                guard: guard(record.antispoof),
            },
            key: record.key.clone(),
            reserved: record
                .reserved
                .iter()
                .map(|(network, ips)| Ok((network.parse()?, ips.clone())))
                .collect::<Result<_>>()?,
            hostname: record.hostname.parse()?,
            exposed: record.exposed.clone(),
            dns: record.dns.clone(),
            labels: record.labels.clone(),
            path: record.path.clone(),
            path_seen: record.path_seen,
            created_unix_ms: record.created_unix_ms,
            life: record.life,
            more: BTreeMap::new(),
            leaving: Vec::new(),
            answered: true,
            unsettled: record.unsettled,
        };
        for known in &record.interfaces {
            let interface = Interface {
                network: known.network.parse()?,
                card: known.card.parse()?,
                port: known.port.parse()?,
                mac: known.mac.parse()?,
                vlan: known.vlan.map(VlanId::new).transpose()?,
                addresses: known.addresses.iter().map(|a| address(a)).collect::<Result<_>>()?,
                lease: known.lease.as_ref().map(lease::from_record).transpose()?,
                gw_priority: known.gw_priority,
                rate_in: known.rate_in_bits_per_s.map(Rate::new).transpose()?,
                rate_out: known.rate_out_bits_per_s.map(Rate::new).transpose()?,
                inside: inside::inside(&known.inside)?,
            };
            match known.phase {
                Phase::Joining | Phase::Leaving => seated.leaving.push(interface),
                Phase::Live => {
                    let aliases = known.aliases.iter().map(|a| a.parse()).collect::<Result<_>>()?;
                    seated.more.insert(interface.network, More { aliases, fixed: known.fixed, waits: false });
                    seated.endpoint.interfaces.push(interface);
                }
            }
        }
        if !record.answered {
            seated.life = Life::Removed;
            seated.endpoint.published.clear();
            seated.leaving.append(&mut seated.endpoint.interfaces);
        }
        Ok(seated)
    }

    pub(super) fn view<'a>(&self, network: impl Fn(Id) -> Option<&'a Network> + Copy) -> v1::Endpoint {
        let routes = driver::default_routes(&self.endpoint, network);
        let interface = |interface: &Interface| {
            let network = network(interface.network);
            let more = self.more.get(&interface.network);
            let gateway = |a: &ipnetwork::IpNetwork| Some(network?.subnet_of(a.ip())?.gateway()?.to_string());
            let internal = network.is_some_and(|n| n.internal);
            let given = interface.lease.as_ref().and_then(Lease::gateway).map(|gateway| gateway.to_string());
            v1::Interface {
                name: interface.card.to_string(),
                network: network.map_or_else(String::new, |n| n.name.to_string()),
                network_id: interface.network.to_string(),
                mac: interface.mac.to_string(),
                vlan: network.and_then(|n| driver::vlan(n, interface)).map(VlanId::number),
                addresses: interface.addresses.iter().map(ToString::to_string).collect(),
                gateways: interface
                    .addresses
                    .iter()
                    .filter_map(gateway)
                    .chain(given)
                    .filter(|_| !internal)
                    .collect(),
                default_route: routes.routes.iter().any(|r| r.link.name == interface.card),
                gw_priority: interface.gw_priority,
                rate_in_bits_per_s: interface.rate_in.map(Rate::bits_per_second),
                rate_out_bits_per_s: interface.rate_out.map(Rate::bits_per_second),
                mtu_bytes: network.map_or(0, |n| n.mtu.bytes()),
                aliases: more
                    .map(|m| m.aliases.iter().map(ToString::to_string).collect())
                    .unwrap_or_default(),
                lease: interface.lease.as_ref().map(lease::view),
                host_link: match network.filter(|n| n.medium.direct().is_some()) {
                    Some(network) => network.bridge.to_string(),
                    None => interface.port.to_string(),
                },
                bridge: network.map(|n| n.bridge.to_string()),
                bridge_mac: network.map(|n| n.mac().to_string()),
                routes: interface.inside.routes.iter().map(inside::view).collect(),
                sysctls: interface.inside.sysctls.clone(),
            }
        };
        v1::Endpoint {
            id: self.endpoint.id.to_string(),
            name: self.endpoint.name.to_string(),
            hostname: self.hostname.to_string(),
            state: match self.life {
                Life::Live => v1::EndpointState::Live,
                Life::Stopped | Life::Removed => v1::EndpointState::Stopped,
            },
            netns: v1::NetnsStatus { cookie: self.endpoint.place.0, path: self.path.clone() },
            interfaces: self.endpoint.interfaces.iter().map(interface).collect(),
            ports: self.endpoint.published.iter().map(|p| ports::view(&self.endpoint, network, p)).collect(),
            antispoof: self.endpoint.guard == Guard::On,
            exposed: self.exposed.clone(),
            dns: None,
            labels: self.labels.clone(),
            key: self.key.clone(),
            created_unix_ms: self.created_unix_ms,
        }
    }
}

/// Everything that the kernel should hold for an endpoint, on both sides.
pub(super) fn wanted<'a>(endpoint: &Endpoint, network: impl Fn(Id) -> Option<&'a Network> + Copy) -> State {
    let on = endpoint.interfaces.iter().filter_map(|i| network(i.network).map(|n| (n, i)));
    let mut state: State = on.map(|(n, i)| driver::interface(n, endpoint, i)).collect();
    state.extend(driver::default_routes(endpoint, network));
    state.extend(driver::published::state(endpoint, network));
    state.extend(driver::resolver(endpoint, network));
    state
}

pub(super) fn guard(antispoof: bool) -> Guard {
    if antispoof { Guard::On } else { Guard::Off }
}

/// As the journal holds it: both sides' ports are named.
fn published(text: &str) -> Result<Published> {
    let wish: Wish = text.parse()?;
    let host = wish.host.unwrap_or(wish.ports);
    Ok(Published { at: wish.at, protocol: wish.protocol, host, first: wish.ports.first() })
}

fn address(text: &str) -> Result<ipnetwork::IpNetwork> {
    bowline_core::network::prefix(text)
}
