//! An endpoint: a container's namespace with a name, and its interfaces, one on each network that it is on.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::family::Family;
use crate::lease::Lease;
use crate::mac::Mac;
use crate::medium::VlanId;
use crate::name::{Id, LinkName, Name};
use crate::place::Place;
use crate::port::Published;
use crate::rate::Rate;
use crate::state::Terms;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub id: Id,
    pub name: Name,
    pub place: Place,
    pub interfaces: Vec<Interface>,
    /// Its ports that are the host's too.
    pub published: Vec<Published>,
    /// Whether what it sends is checked to be its own: MAC and IP addresses, ARP, neighbour discovery.
    pub guard: Guard,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Guard {
    #[default]
    On,
    /// For what routes for others, bridges, or serves DHCP.
    Off,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// The network that it is on.
    pub network: Id,
    /// `eth0`, inside.
    pub card: LinkName,
    /// The other end, on the bridge.
    pub port: LinkName,
    pub mac: Mac,
    /// Its own VLAN, where that is not left to the network.
    pub vlan: Option<VlanId>,
    /// Each with the prefix length of its subnet.
    pub addresses: Vec<IpNetwork>,
    /// What a DHCP server gave, its address among them.
    pub lease: Option<Lease>,
    /// The default route goes by the interface with the highest.
    pub gw_priority: i32,
    /// The most that reaches it.
    pub rate_in: Option<Rate>,
    /// The most that it sends.
    pub rate_out: Option<Rate>,
    pub inside: Inside,
}

/// What is set within its namespace besides its addresses: for whoever brings routes and settings of his own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inside {
    pub default_route: DefaultRoute,
    pub routes: Vec<OwnRoute>,
    /// Of other endpoints of its namespace on the same network: what is sent from these leaves by whichever of their
    /// interfaces the kernel likes, so they are no forgeries here.
    pub shared: Vec<IpAddr>,
    /// Files below /proc/sys, such as `net/ipv4/conf/eth0/arp_notify`, and their values.
    pub sysctls: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DefaultRoute {
    /// By this interface, where it leads out of the endpoint's networks.
    #[default]
    Given,
    /// The same, but another endpoint of the namespace with a lower metric goes before it.
    After(u32),
    /// None but what is among its own routes.
    Withheld,
}

/// A route of the interface's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnRoute {
    pub to: IpNetwork,
    pub via: Option<IpAddr>,
    pub terms: Terms,
}

impl Endpoint {
    pub fn on(&self, network: Id) -> Option<&Interface> {
        self.interfaces.iter().find(|i| i.network == network)
    }

    /// The first of eth0, eth1, … that is not in use.
    pub fn free_card(&self) -> LinkName {
        (0..)
            .map(|n| format!("eth{n}").parse::<LinkName>().expect("ethN is a link name"))
            .find(|name| self.interfaces.iter().all(|i| i.card != *name))
            .expect("some number is free")
    }
}

impl Interface {
    pub fn address(&self, family: Family) -> Option<IpAddr> {
        self.addresses.iter().map(IpNetwork::ip).find(|ip| Family::of(*ip) == family)
    }

    /// `bl` and eleven characters: never matched by the globs other tools use (veth*, br*).
    pub fn port_name(id: Id) -> LinkName {
        format!("bl{}", id.short()).parse().expect("13 letters and digits are a link name")
    }
}
