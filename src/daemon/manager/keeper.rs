//! A keeper holds the truth about one network: what it is, who has which of its addresses, who is on it.

mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use bowline_api::v1;
use bowline_core::endpoint::{Endpoint, Interface};
use bowline_core::family::Family;
use bowline_core::ipam::pools::Busy;
use bowline_core::ipam::{Holder, Pool};
use bowline_core::medium::{Bridge, Medium, Whose};
use bowline_core::name::{Id, Name};
use bowline_core::network::{Gateway, Gateways, Ipam, Mtu, Neighbours, Network, StaticRoute, Subnet, prefix};
use bowline_core::place::Place;
use bowline_core::state::LinkKey;
use bowline_core::{Code, Error, Result, driver};
use bowline_dns::zone::Zone;
use ipnetwork::IpNetwork;

pub(super) use self::words::{gateway, isolation, neighbours};
use self::words::{gateway_view, isolation_view, routes_view};
use super::direct::Below;
use super::lease::Asking;
use super::{held, medium};
use crate::store::{MediumRecord, NetworkRecord};

#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) id: Id,
    pub(super) name: Name,
    pub(super) host: Place,
    /// Whether its members find each other by name.
    pub(super) has_names: bool,
    /// Whether the host has a firewall for it, and forwards its packets.
    pub(super) passes_the_host: bool,
    /// How its members ask a DHCP server, if they do.
    pub(super) asking: Option<Asking>,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
pub(super) struct Kept {
    pub(super) network: Network,
    /// What its members are called on it.
    pub(super) zone: Arc<Zone>,
    pub(super) gso: v1::Gso,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) created_unix_ms: u64,
    /// The namespace that the network lives in, if that is not the daemon's own.
    pub(super) elsewhere: Option<v1::NetnsStatus>,
    /// In the order of the network's subnets.
    pools: Vec<Pool>,
    pub(super) members: BTreeMap<Id, (Name, Interface)>,
    /// How many ports of former members the kernel still has.
    pub(super) leaving: usize,
    /// Addresses kept for stopped endpoints, by name.
    fixed: BTreeMap<Name, Vec<IpAddr>>,
    /// Set when the network is gone, for those who found it just before.
    pub(super) removed: bool,
    /// Of a network that hangs on a link: that link.
    pub(super) below: Option<Below>,
    /// The size of packets that was asked for, where they could be smaller than their link's.
    pub(super) mtu_asked: Option<u32>,
}

impl Keeper {
    pub(super) fn new(kept: Kept) -> Keeper {
        let Network { id, ref name, host, dns, .. } = kept.network;
        let passes_the_host = driver::passes_the_host(&kept.network);
        let asking = Asking::on(&kept.network);
        let (name, has_names) = (name.clone(), dns);
        Keeper { id, name, host, has_names, passes_the_host, asking, kept: Mutex::new(kept) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Kept> {
        held(&self.kept)
    }
}

impl Kept {
    pub(super) fn new(
        network: Network,
        gso: v1::Gso,
        labels: BTreeMap<String, String>,
        created_unix_ms: u64,
    ) -> Kept {
        let pools = network.subnets.iter().map(Pool::new).collect();
        let subnets = network.subnets.iter().map(Subnet::net).collect();
        let zone = Arc::new(Zone::new(network.name.clone(), subnets));
        let (members, fixed) = (BTreeMap::new(), BTreeMap::new());
        Kept {
            network,
            zone,
            gso,
            labels,
            created_unix_ms,
            elsewhere: None,
            pools,
            members,
            leaving: 0,
            fixed,
            removed: false,
            below: None,
            mtu_asked: None,
        }
    }

    /// The network with more subnets than before, behind those that it has.
    pub(super) fn grow(&mut self, network: Network) {
        let fresh = network.subnets.iter().skip(self.pools.len());
        self.pools.extend(fresh.map(Pool::new));
        self.network = network;
    }

    /// The links of the host's that are this network's alone.
    pub(super) fn links(&self) -> Vec<LinkKey> {
        let owned = driver::network(&self.network).links.into_iter().filter(|(_, link)| link.owner.is_some());
        owned.map(|(key, _)| key).collect()
    }

    /// Keeps an address from being given out, for it is somebody else's.
    pub(super) fn reserve(&mut self, address: IpAddr, whose: &str) {
        let name = self.network.name.clone();
        let Some(pool) = self.pool_of(address) else { return };
        match pool.holder(address) {
            None => {
                let reserved = pool.take_this(address, Holder::Host(whose.to_string()));
                reserved.unwrap_or_else(|e| tracing::debug!(network = %name, %address, "not reserved: {e}"));
            }
            Some(holder @ (Holder::Endpoint { .. } | Holder::Fixed(_))) => {
                tracing::warn!(network = %name, %address, %holder, "an address is {whose} too");
            }
            Some(Holder::Gateway | Holder::Aux(_) | Holder::Host(_)) => (),
        }
    }

    /// One of each family, for a card of the host's.
    pub(super) fn take_for_host(&mut self) -> Result<Vec<IpNetwork>> {
        let families: BTreeSet<bool> = self.network.subnets.iter().map(|s| s.net().is_ipv6()).collect();
        let holder = Holder::Host("the host itself, by --host-access".to_string());
        families.into_iter().map(|ipv6| self.take_next(ipv6, &holder)).collect()
    }

    /// Adds its subnets to what is busy.
    pub(super) fn claim(&self, busy: &mut Vec<(IpNetwork, Busy)>) {
        let name = &self.network.name;
        busy.extend(self.network.subnets.iter().map(|s| (s.net(), Busy::Network(name.clone()))));
    }

    pub(super) fn still_there(&self) -> Result<()> {
        if self.removed {
            return Err(Error::new(
                Code::NetworkNotFound,
                format!("network {} was just removed", self.network.name),
            ));
        }
        Ok(())
    }

    /// An endpoint on two networks of one subnet would not know which way an address is. They may be of two hosts.
    pub(super) fn apart_from(&self, endpoint: &Endpoint) -> Result<()> {
        let mut theirs =
            endpoint.interfaces.iter().flat_map(|i| i.addresses.iter().map(move |a| (&i.card, a)));
        let clash = theirs.find(|(_, a)| self.network.subnets.iter().any(|s| s.net().contains(a.ip())));
        let Some((card, address)) = clash else { return Ok(()) };
        Err(Error::new(
            Code::InvalidOption,
            format!("endpoint {} cannot be on network {} as well", endpoint.name, self.network.name),
        )
        .because(format!("its {card} has {address}, which is in a subnet of that network"))
        .fix("make one of the networks with another --subnet"))
    }

    /// One address of each family that the network has: the one asked for, the one kept for the name, or the next.
    pub(super) fn allocate(&mut self, id: Id, name: &Name, asked: &[IpAddr]) -> Result<Vec<IpNetwork>> {
        let families: BTreeSet<bool> = self.network.subnets.iter().map(|s| s.net().is_ipv6()).collect();
        if let Some(stray) = asked.iter().find(|ip| !families.contains(&ip.is_ipv6())) {
            let family = if stray.is_ipv6() { "IPv6" } else { "IPv4" };
            return Err(Error::new(
                Code::InvalidAddress,
                format!("address {stray} does not fit network {}", self.network.name),
            )
            .because(format!("the network has no {family} subnet"))
            .fix("leave it out, or make the network with a subnet of that family"));
        }
        let mut taken = Vec::new();
        for ipv6 in families {
            let kept = self.fixed.get(name).into_iter().flatten().copied().find(|ip| ip.is_ipv6() == ipv6);
            let wished = asked.iter().copied().find(|ip| ip.is_ipv6() == ipv6).or(kept);
            let address = match wished {
                Some(address) => self.take_this(address, Holder::endpoint(id, name)),
                None => self.take_next(ipv6, &Holder::endpoint(id, name)),
            };
            match address {
                Ok(address) => taken.push(address),
                Err(error) => {
                    self.release(name, &taken);
                    return Err(error);
                }
            }
        }
        Ok(taken)
    }

    /// Takes what an interface already has: at the start, from the journal.
    pub(super) fn retake(&mut self, id: Id, name: &Name, addresses: &[IpNetwork]) -> Result<()> {
        // Those of a DHCP server are not ours to give or to take.
        if self.network.ipam == Ipam::Dhcp {
            return Ok(());
        }
        addresses.iter().try_for_each(|a| self.take_this(a.ip(), Holder::endpoint(id, name)).map(drop))
    }

    /// Gives addresses back: to the pool, or to what is kept for the name.
    pub(super) fn release(&mut self, name: &Name, addresses: &[IpNetwork]) {
        for address in addresses {
            let kept = self.fixed.get(name).is_some_and(|kept| kept.contains(&address.ip()));
            let Some(pool) = self.pool_of(address.ip()) else { continue };
            if kept && pool.take_this(address.ip(), Holder::Fixed(name.clone())).is_ok() {
                continue;
            }
            pool.free(address.ip());
        }
    }

    /// Keeps addresses for a name from now on; those that nobody holds are held for it at once.
    pub(super) fn keep_fixed(&mut self, name: &Name, addresses: &[IpAddr]) {
        self.fixed.insert(name.clone(), addresses.to_vec());
        for &address in addresses {
            let Some(pool) = self.pool_of(address) else { continue };
            if pool.holder(address).is_none() {
                let kept = pool.take_this(address, Holder::Fixed(name.clone()));
                kept.unwrap_or_else(
                    |e| tracing::warn!(%address, endpoint = %name, "an address could not be kept: {e}"),
                );
            }
        }
    }

    pub(super) fn give_up_fixed(&mut self, name: &Name) {
        for address in self.fixed.remove(name).unwrap_or_default() {
            let Some(pool) = self.pool_of(address) else { continue };
            if matches!(pool.holder(address), Some(Holder::Fixed(_))) {
                pool.free(address);
            }
        }
    }

    pub(super) fn fixed_for(&self, name: &Name) -> Option<&[IpAddr]> {
        self.fixed.get(name).map(Vec::as_slice)
    }

    pub(super) fn fixed_names(&self) -> impl Iterator<Item = &Name> {
        self.fixed.keys()
    }

    pub(super) fn pools(&self) -> Vec<Pool> {
        self.pools.clone()
    }

    pub(super) fn put_back(&mut self, pools: Vec<Pool>) {
        self.pools = pools;
    }

    pub(super) fn addresses_used(&self) -> u128 {
        self.pools.iter().map(Pool::used).sum()
    }

    fn take_this(&mut self, address: IpAddr, holder: Holder) -> Result<IpNetwork> {
        let found = self.network.subnets.iter().zip(&mut self.pools).find(|(s, _)| s.net().contains(address));
        let Some((subnet, pool)) = found else {
            let all: Vec<String> = self.network.subnets.iter().map(|s| s.net().to_string()).collect();
            return Err(Error::new(
                Code::InvalidAddress,
                format!("address {address} does not fit network {}", self.network.name),
            )
            .because(format!("it is in none of its subnets: {}", all.join(", ")))
            .fix("choose an address inside, or leave it out"));
        };
        pool.take_this(address, holder)?;
        Ok(with_prefix(address, subnet))
    }

    fn take_next(&mut self, ipv6: bool, holder: &Holder) -> Result<IpNetwork> {
        let mut full = None;
        for (subnet, pool) in self.network.subnets.iter().zip(&mut self.pools) {
            if subnet.net().is_ipv6() != ipv6 {
                continue;
            }
            match pool.take(holder.clone()) {
                Ok(address) => return Ok(with_prefix(address, subnet)),
                Err(error) => full = full.or(Some(error)),
            }
        }
        Err(full.expect("only families that the network has are asked for"))
    }

    fn pool_of(&mut self, address: IpAddr) -> Option<&mut Pool> {
        let at = self.network.subnets.iter().position(|s| s.net().contains(address))?;
        self.pools.get_mut(at)
    }

    pub(super) fn view(&self) -> v1::Network {
        let network = &self.network;
        let subnets = network.subnets.iter().zip(&self.pools).map(|(subnet, pool)| v1::SubnetStatus {
            cidr: subnet.net().to_string(),
            gateway: subnet.gateway(),
            ip_range: subnet.range().map(|r| r.to_string()),
            aux_addresses: subnet.aux().clone(),
            used: exact(pool.used()),
            size: exact(pool.size()),
        });
        let members = self.members.iter().map(|(id, (name, interface))| v1::Member {
            id: id.to_string(),
            name: name.to_string(),
            interface: interface.card.to_string(),
            addresses: interface.addresses.iter().map(ToString::to_string).collect(),
            mac: interface.mac.to_string(),
        });
        let mut endpoints: Vec<_> = members.collect();
        endpoints.sort_by(|a, b| a.name.cmp(&b.name));
        let its = medium::record(network);
        let host_access = !its.host_addresses.is_empty();
        v1::Network {
            id: network.id.to_string(),
            name: network.name.to_string(),
            driver: medium::driver(&network.medium),
            parent: its.parent,
            mode: its.mode,
            flag: its.flag,
            host_access,
            host_addresses: its.host_addresses,
            parent_state: self.below.map(|below| below.state),
            vlan: its.vlan,
            vrf: its.vrf,
            ipam: medium::ipam_view(network.ipam),
            subnets: subnets.collect(),
            routes: routes_view(&network.routes),
            mtu_bytes: network.mtu.bytes(),
            internal: network.internal,
            dns: network.dns,
            isolation: isolation_view(network.isolation),
            icc: network.neighbours == Neighbours::Open,
            masquerade: network.masquerade,
            gateway_mode_ipv4: gateway_view(network.gateways.v4),
            gateway_mode_ipv6: gateway_view(network.gateways.v6),
            trusted_interfaces: network.trusted.iter().map(ToString::to_string).collect(),
            gso: self.gso,
            gso_max_bytes: network.gso,
            bridge: matches!(network.medium, Medium::Bridge(_)).then(|| network.bridge.to_string()),
            labels: self.labels.clone(),
            created_unix_ms: self.created_unix_ms,
            host_netns: self.elsewhere.clone(),
            endpoints,
        }
    }

    pub(super) fn record(&self) -> NetworkRecord {
        let network = &self.network;
        let spec = |s: &Subnet| v1::SubnetSpec {
            cidr: s.net().to_string(),
            gateway: s.gateway(),
            ip_range: s.range().map(|r| r.to_string()),
            aux_addresses: s.aux().clone(),
        };
        NetworkRecord {
            id: network.id.to_string(),
            name: network.name.to_string(),
            driver: medium::driver(&network.medium),
            medium: MediumRecord { mtu_asked: self.mtu_asked, ..medium::record(network) },
            ipam: medium::ipam_view(network.ipam),
            subnets: network.subnets.iter().map(spec).collect(),
            routes: routes_view(&network.routes),
            mtu_bytes: network.mtu.bytes(),
            gso: self.gso,
            gso_max_bytes: network.gso,
            internal: network.internal,
            dns: network.dns,
            isolation: isolation_view(network.isolation),
            icc: network.neighbours == Neighbours::Open,
            masquerade: network.masquerade,
            gateway_mode_ipv4: gateway_view(network.gateways.v4),
            gateway_mode_ipv6: gateway_view(network.gateways.v6),
            trusted_interfaces: network.trusted.iter().map(ToString::to_string).collect(),
            bridge: network.bridge.to_string(),
            labels: self.labels.clone(),
            created_unix_ms: self.created_unix_ms,
            host: self.elsewhere.clone(),
        }
    }

    pub(super) fn from_record(record: NetworkRecord, host: Place) -> Result<Kept> {
        let id = record.id.parse()?;
        let medium = medium::from_record(id, record.driver, &record.medium)?;
        let gateways =
            Gateways { v4: gateway(record.gateway_mode_ipv4), v6: gateway(record.gateway_mode_ipv6) };
        let subnets: Vec<Subnet> =
            record.subnets.iter().map(|spec| subnet(spec, &medium, gateways)).collect::<Result<_>>()?;
        let ipv6 = subnets.iter().any(|s| s.net().is_ipv6());
        let network = Network {
            id,
            name: record.name.parse()?,
            host,
            medium,
            bridge: record.bridge.parse()?,
            ipam: medium::ipam(record.ipam),
            routes: static_routes(&record.routes, &subnets)?,
            subnets,
            mtu: Mtu::new(record.mtu_bytes, ipv6)?,
            gso: record.gso_max_bytes,
            internal: record.internal,
            dns: record.dns,
            isolation: isolation(record.isolation),
            neighbours: neighbours(record.icc),
            masquerade: record.masquerade,
            gateways,
            trusted: record.trusted_interfaces.iter().map(|t| t.parse()).collect::<Result<_>>()?,
        };
        let kept = Kept::new(network, record.gso, record.labels, record.created_unix_ms);
        let mut kept = Kept { elsewhere: record.host, mtu_asked: record.medium.mtu_asked, ..kept };
        let shim = kept.network.medium.direct().and_then(|direct| direct.host_access.clone());
        for address in shim.iter().flat_map(|shim| &shim.addresses) {
            kept.reserve(address.ip(), "the host itself, by --host-access");
        }
        Ok(kept)
    }
}

/// A subnet as it is asked for on the wire.
pub(super) fn subnet(spec: &v1::SubnetSpec, medium: &Medium, gateways: Gateways) -> Result<Subnet> {
    let range = spec.ip_range.as_deref().map(str::parse).transpose()?;
    let (net, aux) = (prefix(&spec.cidr)?, spec.aux_addresses.clone());
    let by_us = |bridge: &Bridge| {
        bridge.whose == Whose::Ours && gateways.of(Family::of(net.ip())) != Gateway::Isolated
    };
    match medium {
        Medium::Bridge(bridge) if by_us(bridge) => Subnet::new(net, spec.gateway, range, aux),
        Medium::Direct(direct) if direct.how.is_routed() && spec.gateway.is_some() => {
            Err(Error::new(Code::InvalidGateway, format!("subnet {net} has no gateway"))
                .because(format!("with {} the parent itself routes", direct.how))
                .fix("leave --gateway out"))
        }
        // A stranger leads out of it, whom we do not guess, or nobody does.
        Medium::Bridge(_) | Medium::Direct(_) | Medium::Pair => {
            Subnet::isolated(net, spec.gateway, range, aux)
        }
    }
}

pub(super) fn static_routes(wishes: &[v1::StaticRoute], subnets: &[Subnet]) -> Result<Vec<StaticRoute>> {
    let check = |wish: &v1::StaticRoute| {
        let to = prefix(&wish.to)?;
        let bad = |why: String| {
            Error::new(Code::InvalidOption, format!("route {to} via {} is not usable", wish.via))
                .because(why)
                .fix("name a destination and a router on the network: --route 192.0.2.0/24,10.9.0.254")
        };
        if to.ip() != to.network() || to.prefix() == 0 {
            return Err(bad("its destination has host bits set, or is everything".into()));
        }
        if to.is_ipv4() != wish.via.is_ipv4() {
            return Err(bad("its destination and its router are of different families".into()));
        }
        if !subnets.iter().any(|s| s.holds(wish.via)) {
            return Err(bad("the router is in none of the network's subnets".into()));
        }
        Ok(StaticRoute { to, via: wish.via })
    };
    wishes.iter().map(check).collect()
}

fn with_prefix(address: IpAddr, subnet: &Subnet) -> IpNetwork {
    IpNetwork::new(address, subnet.net().prefix()).expect("the prefix length of a subnet")
}

/// JSON readers carry whole numbers up to 2^53 exactly (RFC 8259 section 6).
fn exact(count: u128) -> u64 {
    const MOST: u64 = (1 << 53) - 1;
    u64::try_from(count).unwrap_or(MOST).min(MOST)
}
