//! A network: a name, its subnets, and who may reach its members. It is valid, or it does not exist.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnetwork::IpNetwork;

use crate::family::Family;
use crate::mac::Mac;
use crate::medium::Medium;
use crate::name::{Id, LinkName, Name, quoted};
use crate::place::Place;
use crate::range::Range;
use crate::{Code, Error, Result};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    pub id: Id,
    pub name: Name,
    /// The namespace that its bridge or parent lives in.
    pub host: Place,
    pub medium: Medium,
    /// The link that its members hang on: the bridge's name, or the parent's.
    pub bridge: LinkName,
    /// Who chooses its members' addresses.
    pub ipam: Ipam,
    pub subnets: Vec<Subnet>,
    /// Destinations that members reach by a router on the network, other than their default route.
    pub routes: Vec<StaticRoute>,
    pub mtu: Mtu,
    /// BIG TCP: the super-packet size in force, or None for the kernel's own.
    pub gso: Option<u32>,
    pub internal: bool,
    /// Whether its members find each other by name.
    pub dns: bool,
    pub isolation: Isolation,
    pub neighbours: Neighbours,
    pub masquerade: bool,
    pub gateways: Gateways,
    /// Cards of the host: what comes by them may open connections to all ports of members.
    pub trusted: Vec<LinkName>,
}

/// Who chooses the addresses of a network's members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ipam {
    /// We do, from its subnets.
    #[default]
    Pools,
    /// A DHCP server on the medium does.
    Dhcp,
    /// Nobody: members have none of ours.
    None,
}

/// How members are reached from outside, and reach it, by each family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gateways {
    pub v4: Gateway,
    pub v6: Gateway,
}

impl Gateways {
    pub fn of(self, family: Family) -> Gateway {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Gateway {
    /// By published ports of the host; outside, they appear under the host's address.
    #[default]
    Nat,
    /// As with `Nat`, and everybody with a route reaches every port.
    Unprotected,
    /// By their own addresses, as far as their ports are published; no address is translated.
    Routed,
    /// Not at all, nor does the host have an address on the bridge.
    Isolated,
}

/// A destination, and the member or router of the network that leads there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StaticRoute {
    pub to: IpNetwork,
    pub via: IpAddr,
}

/// Who may open connections to members from outside the network. What is published is always so to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// Anybody with a route.
    Open,
    /// Anybody, to published ports only.
    #[default]
    Published,
    /// Published ports, but none of our other networks.
    Strict,
}

/// Whether members reach each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Neighbours {
    #[default]
    Open,
    /// Members reach the gateway and what is behind it, never one another.
    Isolated,
}

/// Largest IP packet: at least what IPv6 asks for (RFC 8200 section 5), at most what IP can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mtu(u32);

impl Mtu {
    pub fn new(bytes: u32, ipv6: bool) -> Result<Mtu> {
        let least = if ipv6 { 1280 } else { 576 };
        if (least..=65535).contains(&bytes) {
            return Ok(Mtu(bytes));
        }
        let family = if ipv6 { "a network with IPv6" } else { "a network" };
        Err(Error::new(Code::InvalidMtu, format!("MTU {bytes} is not usable"))
            .because(format!("{family} takes {least} to 65535 bytes"))
            .fix("leave the MTU out to follow the uplink"))
    }

    pub fn bytes(self) -> u32 {
        self.0
    }
}

/// A prefix, its gateway inside it where it has one, and what the user said about its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    net: IpNetwork,
    gateway: Option<IpAddr>,
    range: Option<Range>,
    aux: BTreeMap<String, IpAddr>,
}

impl Subnet {
    /// `gateway` is the first address where none is given.
    pub fn new(
        net: IpNetwork,
        gateway: Option<IpAddr>,
        range: Option<Range>,
        aux: BTreeMap<String, IpAddr>,
    ) -> Result<Subnet> {
        usable(net)?;
        Subnet { net, gateway: Some(gateway.unwrap_or_else(|| first(net))), range, aux }.checked()
    }

    /// Of a network on which the host has no address, or whose router is a stranger's: only a gateway that is given keeps its
    /// address from members.
    pub fn isolated(
        net: IpNetwork,
        gateway: Option<IpAddr>,
        range: Option<Range>,
        aux: BTreeMap<String, IpAddr>,
    ) -> Result<Subnet> {
        usable(net)?;
        Subnet { net, gateway, range, aux }.checked()
    }

    fn checked(self) -> Result<Subnet> {
        let (net, subnet) = (self.net, self);
        if let Some(gateway) = subnet.gateway.filter(|gateway| !subnet.holds(*gateway)) {
            return Err(Error::new(
                Code::InvalidGateway,
                format!("gateway {gateway} does not fit subnet {net}"),
            )
            .because(subnet.why_not(gateway))
            .fix(format!("use an address in it, such as --gateway {}", first(net))));
        }
        if let Some(range) = subnet.range {
            let inside = range.is_inside(net);
            if !inside || matches!(range, Range::Prefix(prefix) if prefix.ip() != prefix.network()) {
                let why = if inside {
                    "it has host bits set".to_string()
                } else {
                    format!("it is not inside {net}")
                };
                return Err(Error::new(
                    Code::InvalidRange,
                    format!("address range {range} does not fit subnet {net}"),
                )
                .because(why)
                .fix("give a prefix inside the subnet to --ip-range, or FIRST-LAST"));
            }
        }
        for (name, &address) in &subnet.aux {
            if !subnet.holds(address) {
                return Err(Error::new(
                    Code::InvalidAddress,
                    format!("auxiliary address {name}={address} does not fit subnet {net}"),
                )
                .because(subnet.why_not(address)));
            }
            let other = subnet.aux.iter().find(|(other, at)| **at == address && *other != name);
            if Some(address) == subnet.gateway || other.is_some() {
                let holder =
                    other.map_or_else(|| "the gateway".to_string(), |(other, _)| format!("{other:.80?}"));
                let what = format!("auxiliary address {name:.80?} = {address} is taken");
                return Err(Error::new(Code::InvalidAddress, what)
                    .because(format!("it is {holder} as well"))
                    .fix("give each its own address"));
            }
        }
        Ok(subnet)
    }

    pub fn net(&self) -> IpNetwork {
        self.net
    }

    pub fn family(&self) -> Family {
        Family::of(self.net.ip())
    }

    /// Where members send what is for elsewhere.
    pub fn gateway(&self) -> Option<IpAddr> {
        self.gateway
    }

    /// Where addresses are chosen from; the whole subnet if None.
    pub fn range(&self) -> Option<Range> {
        self.range
    }

    /// Addresses that belong to something else.
    pub fn aux(&self) -> &BTreeMap<String, IpAddr> {
        &self.aux
    }

    /// True for an address that a member could have: inside, and neither the network's nor the broadcast address, which a
    /// subnet of two has not.
    pub fn holds(&self, address: IpAddr) -> bool {
        self.net.contains(address)
            && (is_pair(self.net)
                || address != self.net.network() && !(self.net.is_ipv4() && address == self.net.broadcast()))
    }

    fn why_not(&self, address: IpAddr) -> &'static str {
        match self.net.contains(address) {
            true => "it is the network's own or its broadcast address",
            false if address.is_ipv4() != self.net.is_ipv4() => "it is of the other address family",
            false => "it is outside",
        }
    }
}

/// Reads `10.9.0.0/24`.
pub fn prefix(text: &str) -> Result<IpNetwork> {
    let (Some((_, bits)), Ok(net)) = (text.split_once('/'), IpNetwork::from_str(text)) else {
        return Err(Error::new(Code::InvalidSubnet, format!("subnet {} is not usable", quoted(text)))
            .because("it is not an address with a prefix length")
            .fix("write it as 10.9.0.0/24 or fd00:9::/64"));
    };
    if !bits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Error::new(Code::InvalidSubnet, format!("subnet {} is not usable", quoted(text)))
            .because("its prefix length is not a number")
            .fix(format!("write it as {net}")));
    }
    Ok(net)
}

fn usable(net: IpNetwork) -> Result<()> {
    let bad = |why: &str, fix: String| {
        Err(Error::new(Code::InvalidSubnet, format!("subnet {net} is not usable")).because(why).fix(fix))
    };
    if net.ip() != net.network() {
        return bad("it has host bits set", format!("did you mean {}/{}?", net.network(), net.prefix()));
    }
    let (shortest, longest) = match net {
        IpNetwork::V4(_) => (8, 31),
        IpNetwork::V6(_) => (16, 127),
    };
    if net.prefix() < shortest || net.prefix() > longest {
        return bad(
            &format!("its prefix length is not between /{shortest} and /{longest}"),
            format!("use a prefix such as {}/{}", net.network(), if net.is_ipv4() { 24 } else { 64 }),
        );
    }
    let special = match net.ip() {
        IpAddr::V4(ip) if ip.is_multicast() => Some("it is multicast"),
        IpAddr::V4(ip) if ip.octets()[0] >= 240 => Some("it is reserved (240.0.0.0/4)"),
        IpAddr::V4(ip) if ip.is_loopback() => Some("it is loopback"),
        IpAddr::V4(ip) if ip.octets()[0] == 0 => Some("it is the unspecified network"),
        IpAddr::V4(ip) if ip.is_link_local() => Some("it is link-local"),
        IpAddr::V6(ip) if ip.is_multicast() => Some("it is multicast"),
        IpAddr::V6(ip) if ip.segments()[0] & 0xffc0 == 0xfe80 => Some("it is link-local"),
        IpAddr::V6(ip) if ip.segments()[..5] == [0; 5] => Some("it is loopback, unspecified or mapped"),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    };
    match special {
        Some(why) => bad(why, "use a private range, such as 10.9.0.0/24 or fd00:9::/64".into()),
        None => Ok(()),
    }
}

/// Two addresses, and both are members' (RFC 3021, RFC 6164).
pub fn is_pair(net: IpNetwork) -> bool {
    match net {
        IpNetwork::V4(net) => net.prefix() == 31,
        IpNetwork::V6(net) => net.prefix() == 127,
    }
}

fn first(net: IpNetwork) -> IpAddr {
    match net {
        pair if is_pair(pair) => pair.network(),
        IpNetwork::V4(net) => IpAddr::V4(Ipv4Addr::from(u32::from(net.network()) + 1)),
        IpNetwork::V6(net) => IpAddr::V6(Ipv6Addr::from(u128::from(net.network()) + 1)),
    }
}

impl Network {
    pub fn has(&self, family: Family) -> bool {
        self.subnets.iter().any(|s| s.family() == family)
    }

    pub fn has_ipv6(&self) -> bool {
        self.subnets.iter().any(|s| s.net.is_ipv6())
    }

    pub fn has_ipv4(&self) -> bool {
        self.subnets.iter().any(|s| s.net.is_ipv4())
    }

    pub fn subnet_of(&self, address: IpAddr) -> Option<&Subnet> {
        self.subnets.iter().find(|s| s.net.contains(address))
    }

    /// Its bridge's.
    pub fn mac(&self) -> Mac {
        // Truncation is meant: 46 of the random bits.
        Mac::local(self.id.0 as u64)
    }

    /// `bl-front`; for a name that does not fit, a part of it and a part of the id.
    pub fn bridge_name(name: &Name, id: Id) -> LinkName {
        let whole = format!("bl-{name}");
        whole.parse().unwrap_or_else(|_| Network::bridge_name_by_id(name, id))
    }

    /// The other end of a link that leads nowhere.
    pub fn far_end(&self) -> LinkName {
        format!("ble{}", self.id.short()).parse().expect("14 letters and digits are a link name")
    }

    /// The card of the host's own beside those of the members.
    pub fn shim_name(id: Id) -> LinkName {
        format!("blh{}", id.short()).parse().expect("14 letters and digits are a link name")
    }

    /// The name to take where `bl-front` is somebody else's.
    pub fn bridge_name_by_id(name: &Name, id: Id) -> LinkName {
        let start: String = name.as_str().chars().take(6).collect();
        let text = format!("bl-{start}-{}", &id.short()[..5]);
        text.parse().expect("15 bytes of a name's characters are a link name")
    }
}

impl fmt::Display for Mtu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests;
