//! What we read of the kernel's answers, and nothing more of them: a dump of a thousand links is walked in place.
//! Requests are built with the types of netlink-packet-route; decoding with those would parse all that we skip.

use std::net::IpAddr;

use bowline_core::mac::Mac;
use bowline_core::medium::{How, IpvlanFlag, IpvlanMode, MacvlanMode, VlanId};
use bowline_core::name::LinkName;
use bowline_core::state::{Terms, Vlan};
use ipnetwork::IpNetwork;
use netlink_packet_core::{DecodeError, NLA_HEADER_SIZE, NlasIterator};

/// The attributes of a message in order: number and value.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = Result<(u16, &[u8]), DecodeError>> {
    NlasIterator::new(bytes).map(|attribute| {
        attribute.map(|a| {
            let (kind, length) = (a.kind(), usize::from(a.length()));
            (kind, &a.into_inner()[NLA_HEADER_SIZE..length])
        })
    })
}

/// A string with or without its final NUL.
pub(crate) fn text(value: &[u8]) -> Option<String> {
    let bytes = value.split(|&b| b == 0).next()?;
    std::str::from_utf8(bytes).ok().map(str::to_string)
}

pub(crate) fn number(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|b| u32::from_ne_bytes(*b))
}

pub(crate) fn short(value: &[u8]) -> Option<u16> {
    value.first_chunk().map(|b| u16::from_ne_bytes(*b))
}

pub(crate) fn address(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => value.first_chunk::<4>().map(|b| IpAddr::from(*b)),
        16 => value.first_chunk::<16>().map(|b| IpAddr::from(*b)),
        _ => None,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum LinkKind {
    Bridge,
    Veth,
    Macvlan,
    Ipvlan,
    Vlan,
    #[default]
    Other,
}

/// A link as the kernel shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SeenLink {
    pub(crate) index: u32,
    /// None where the name is one that we would not give.
    pub(crate) name: Option<LinkName>,
    pub(crate) kind: LinkKind,
    pub(crate) up: bool,
    pub(crate) alias: Option<String>,
    pub(crate) group: u32,
    pub(crate) mtu: u32,
    pub(crate) mac: Option<Mac>,
    /// Indexes: of its bridge, and of its other end, which may be in another namespace.
    pub(crate) master: Option<u32>,
    pub(crate) peer: Option<u32>,
    pub(crate) isolated: bool,
    pub(crate) hairpin: bool,
    /// GSO, GRO and their IPv4 twins, where the kernel has them.
    pub(crate) offload: [Option<u32>; 4],
    pub(crate) tso_max_size: Option<u32>,
    pub(crate) loopback: bool,
    /// Whether its frames have MACs.
    pub(crate) ethernet: bool,
    pub(crate) carrier: bool,
    /// Of a macvlan or ipvlan card.
    pub(crate) how: Option<How>,
    /// Of a VLAN.
    pub(crate) vlan: Option<u16>,
    /// It is a bridge that filters by VLAN.
    pub(crate) filters_vlans: bool,
    /// Its other end is in another namespace, which the namespace that was asked knows by this number.
    pub(crate) peer_in: Option<i32>,
    /// True where its root queueing discipline is a token bucket, ours or not.
    pub(crate) shaped: bool,
}

impl SeenLink {
    /// Reads the payload of an RTM_NEWLINK or RTM_DELLINK.
    pub(crate) fn parse(payload: &[u8]) -> Result<SeenLink, DecodeError> {
        const HEADER: usize = 16;
        const IFF_UP: u32 = 1;
        const IFF_LOOPBACK: u32 = 8;
        let (header, rest) = payload.split_at_checked(HEADER).ok_or_else(too_short)?;
        let flags = number(&header[8..]).unwrap_or_default();
        let mut link = SeenLink {
            index: number(&header[4..]).unwrap_or_default(),
            up: flags & IFF_UP != 0,
            loopback: flags & IFF_LOOPBACK != 0,
            ethernet: short(&header[2..]) == Some(libc::ARPHRD_ETHER),
            ..SeenLink::default()
        };
        for attribute in attributes(rest) {
            let (kind, value) = attribute?;
            match kind {
                libc::IFLA_ADDRESS => link.mac = value.try_into().ok().map(Mac),
                libc::IFLA_IFNAME => link.name = text(value).and_then(|name| name.parse().ok()),
                libc::IFLA_MTU => link.mtu = number(value).unwrap_or_default(),
                libc::IFLA_QDISC => link.shaped = value.strip_suffix(&[0]).unwrap_or(value) == b"tbf",
                libc::IFLA_LINK => link.peer = number(value),
                libc::IFLA_LINK_NETNSID => link.peer_in = number(value).map(u32::cast_signed),
                libc::IFLA_CARRIER => link.carrier = value == [1],
                libc::IFLA_MASTER => link.master = number(value),
                libc::IFLA_LINKINFO => link.read_info(value)?,
                libc::IFLA_IFALIAS => link.alias = text(value),
                libc::IFLA_GROUP => link.group = number(value).unwrap_or_default(),
                libc::IFLA_GSO_MAX_SIZE => link.offload[0] = number(value),
                IFLA_GRO_MAX_SIZE => link.offload[1] = number(value),
                IFLA_GSO_IPV4_MAX_SIZE => link.offload[2] = number(value),
                IFLA_GRO_IPV4_MAX_SIZE => link.offload[3] = number(value),
                IFLA_TSO_MAX_SIZE => link.tso_max_size = number(value),
                _ => (),
            }
        }
        Ok(link)
    }

    /// The one size of all four limits; None where they differ.
    pub(crate) fn gso(&self) -> Option<u32> {
        let mut sizes = self.offload.iter().flatten();
        let first = sizes.next().copied();
        first.filter(|size| sizes.all(|other| other == size))
    }

    fn read_info(&mut self, info: &[u8]) -> Result<(), DecodeError> {
        const IFLA_BRPORT_MODE: u16 = 4;
        const IFLA_BRPORT_ISOLATED: u16 = 33;
        for attribute in attributes(info) {
            let (kind, value) = attribute?;
            match kind {
                libc::IFLA_INFO_KIND if value.starts_with(b"bridge") => self.kind = LinkKind::Bridge,
                libc::IFLA_INFO_KIND if value.starts_with(b"veth") => self.kind = LinkKind::Veth,
                libc::IFLA_INFO_KIND if value.starts_with(b"macvlan") => self.kind = LinkKind::Macvlan,
                libc::IFLA_INFO_KIND if value.starts_with(b"ipvlan") => self.kind = LinkKind::Ipvlan,
                libc::IFLA_INFO_KIND if value.starts_with(b"vlan") => self.kind = LinkKind::Vlan,
                // The kernel says the kind first.
                libc::IFLA_INFO_DATA => match self.kind {
                    LinkKind::Macvlan => self.how = macvlan(value)?,
                    LinkKind::Ipvlan => self.how = ipvlan(value)?,
                    LinkKind::Vlan => self.vlan = first(value)?.and_then(short),
                    LinkKind::Bridge => self.filters_vlans = filters_vlans(value)?,
                    LinkKind::Veth | LinkKind::Other => (),
                },
                libc::IFLA_INFO_SLAVE_DATA => {
                    for port in attributes(value) {
                        let (kind, value) = port?;
                        match kind {
                            IFLA_BRPORT_ISOLATED => self.isolated = value == [1],
                            IFLA_BRPORT_MODE => self.hairpin = value == [1],
                            _ => (),
                        }
                    }
                }
                _ => (),
            }
        }
        Ok(())
    }
}

fn macvlan(data: &[u8]) -> Result<Option<How>, DecodeError> {
    Ok(first(data)?.and_then(number).and_then(|mode| {
        Some(How::Macvlan(match mode {
            1 => MacvlanMode::Private,
            2 => MacvlanMode::Vepa,
            4 => MacvlanMode::Bridge,
            8 => MacvlanMode::Passthru,
            _ => return None,
        }))
    }))
}

fn ipvlan(data: &[u8]) -> Result<Option<How>, DecodeError> {
    const FLAGS: u16 = 2;
    let mode = match first(data)?.and_then(short) {
        Some(0) => IpvlanMode::L2,
        Some(1) => IpvlanMode::L3,
        Some(2) => IpvlanMode::L3s,
        _ => return Ok(None),
    };
    let mut flag = IpvlanFlag::Bridge;
    for attribute in attributes(data) {
        flag = match attribute? {
            (FLAGS, value) => match short(value) {
                Some(1) => IpvlanFlag::Private,
                Some(2) => IpvlanFlag::Vepa,
                _ => IpvlanFlag::Bridge,
            },
            _ => flag,
        };
    }
    Ok(Some(How::Ipvlan(mode, flag)))
}

/// The attribute of number 1: the mode of a macvlan or ipvlan, the tag of a VLAN.
fn first(data: &[u8]) -> Result<Option<&[u8]>, DecodeError> {
    for attribute in attributes(data) {
        if let (1, value) = attribute? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

fn filters_vlans(data: &[u8]) -> Result<bool, DecodeError> {
    const IFLA_BR_VLAN_FILTERING: u16 = 7;
    let mut filters = false;
    for attribute in attributes(data) {
        if let (IFLA_BR_VLAN_FILTERING, value) = attribute? {
            filters = value == [1];
        }
    }
    Ok(filters)
}

/// The VLANs of a bridge or of a port, from the bridge's own list of links.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SeenVlans {
    pub(crate) index: u32,
    pub(crate) vlan: Vlan,
}

impl SeenVlans {
    /// Reads the payload of an RTM_NEWLINK of family AF_BRIDGE, where ranges of VLANs are not told one by one.
    pub(crate) fn parse(payload: &[u8]) -> Result<SeenVlans, DecodeError> {
        const HEADER: usize = 16;
        const IFLA_BRIDGE_VLAN_INFO: u16 = 2;
        const PVID_AND_UNTAGGED: u16 = 2 | 4;
        let (header, rest) = payload.split_at_checked(HEADER).ok_or_else(too_short)?;
        let mut found: Option<Vlan> = None;
        for attribute in attributes(rest) {
            let (libc::IFLA_AF_SPEC, value) = attribute? else { continue };
            for info in attributes(value) {
                let (IFLA_BRIDGE_VLAN_INFO, &[f0, f1, v0, v1]) = info? else { continue };
                let (flags, id) = (u16::from_ne_bytes([f0, f1]), u16::from_ne_bytes([v0, v1]));
                let alone = found.is_none() && flags & PVID_AND_UNTAGGED == PVID_AND_UNTAGGED;
                let vlan = VlanId::new(id).ok().filter(|_| alone);
                found = Some(vlan.map_or(Vlan::Mixed, Vlan::In));
            }
        }
        let index = number(&header[4..]).unwrap_or_default();
        Ok(SeenVlans { index, vlan: found.unwrap_or(Vlan::Mixed) })
    }
}

const IFLA_GRO_MAX_SIZE: u16 = 58;
const IFLA_TSO_MAX_SIZE: u16 = 59;
const IFLA_GSO_IPV4_MAX_SIZE: u16 = 63;
const IFLA_GRO_IPV4_MAX_SIZE: u16 = 64;

/// The number by which a namespace knows another: of an RTM_NEWNSID or RTM_DELNSID; negative where it has none.
pub(crate) fn nsid(payload: &[u8]) -> Result<Option<i32>, DecodeError> {
    const HEADER: usize = 4;
    const NETNSA_NSID: u16 = 1;
    let (_, rest) = payload.split_at_checked(HEADER).ok_or_else(too_short)?;
    for attribute in attributes(rest) {
        if let (NETNSA_NSID, value) = attribute? {
            return Ok(number(value).map(u32::cast_signed));
        }
    }
    Ok(None)
}

/// An address as the kernel shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeenAddress {
    /// Of its link.
    pub(crate) index: u32,
    pub(crate) net: IpNetwork,
    /// Who set it. None on kernels before 5.18, and where nobody said.
    pub(crate) protocol: Option<u8>,
}

impl SeenAddress {
    /// Reads the payload of an RTM_NEWADDR; None for a family that is not IP.
    pub(crate) fn parse(payload: &[u8]) -> Result<Option<SeenAddress>, DecodeError> {
        const HEADER: usize = 8;
        const IFA_PROTO: u16 = 11;
        let (header, rest) = payload.split_at_checked(HEADER).ok_or_else(too_short)?;
        let (mut address_, mut local, mut protocol) = (None, None, None);
        for attribute in attributes(rest) {
            match attribute? {
                (libc::IFA_ADDRESS, value) => address_ = address(value),
                (libc::IFA_LOCAL, value) => local = address(value),
                (IFA_PROTO, value) => protocol = value.first().copied(),
                _ => (),
            }
        }
        // Where the two differ, IFA_ADDRESS is the far end of a point-to-point link.
        let net = local.or(address_).and_then(|ip| IpNetwork::new(ip, header[1]).ok());
        let index = number(&header[4..]).unwrap_or_default();
        Ok(net.map(|net| SeenAddress { index, net, protocol }))
    }
}

/// A route as the kernel shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeenRoute {
    pub(crate) to: IpNetwork,
    pub(crate) via: Option<IpAddr>,
    /// The links that it leaves by.
    pub(crate) links: Vec<u32>,
    pub(crate) table: u32,
    pub(crate) protocol: u8,
    /// RTN_UNICAST, RTN_BLACKHOLE, …
    pub(crate) kind: u8,
    /// Without what the kernel chooses where nothing is said.
    pub(crate) terms: Terms,
}

impl SeenRoute {
    /// Reads the payload of an RTM_NEWROUTE; None for a family that is not IP.
    pub(crate) fn parse(payload: &[u8]) -> Result<Option<SeenRoute>, DecodeError> {
        const HEADER: usize = 12;
        let (header, rest) = payload.split_at_checked(HEADER).ok_or_else(too_short)?;
        let any: IpAddr = match i32::from(header[0]) {
            libc::AF_INET => std::net::Ipv4Addr::UNSPECIFIED.into(),
            libc::AF_INET6 => std::net::Ipv6Addr::UNSPECIFIED.into(),
            _ => return Ok(None),
        };
        let (mut to, mut via, mut links, mut table) = (any, None, Vec::new(), u32::from(header[4]));
        let mut terms = Terms::default();
        for attribute in attributes(rest) {
            match attribute? {
                (libc::RTA_DST, value) => to = address(value).unwrap_or(any),
                (libc::RTA_GATEWAY, value) => via = address(value),
                // A family in two bytes, then the address: a gateway of the other family.
                (libc::RTA_VIA, value) => via = value.get(2..).and_then(address),
                (libc::RTA_OIF, value) => links.extend(number(value)),
                (libc::RTA_MULTIPATH, value) => links.extend(hops(value)),
                (libc::RTA_TABLE, value) => table = number(value).unwrap_or(table),
                (libc::RTA_PRIORITY, value) => terms.metric = number(value),
                (libc::RTA_METRICS, value) => {
                    for metric in attributes(value) {
                        match metric? {
                            (RTAX_MTU, value) => terms.mtu = number(value),
                            (RTAX_ADVMSS, value) => terms.advmss = number(value),
                            _ => (),
                        }
                    }
                }
                _ => (),
            }
        }
        let usual_metric = if any.is_ipv6() { IP6_RT_PRIO_USER } else { 0 };
        let usual_scope =
            if via.is_none() && any.is_ipv4() { libc::RT_SCOPE_LINK } else { libc::RT_SCOPE_UNIVERSE };
        terms.metric = terms.metric.filter(|metric| *metric != usual_metric);
        terms.table = Some(table).filter(|table| *table != u32::from(libc::RT_TABLE_MAIN));
        terms.scope = Some(header[6]).filter(|scope| *scope != usual_scope);
        let to = IpNetwork::new(to, header[1]).ok();
        Ok(to.map(|to| SeenRoute { to, via, links, table, protocol: header[5], kind: header[7], terms }))
    }
}

/// linux/rtnetlink.h
const RTAX_MTU: u16 = 2;
const RTAX_ADVMSS: u16 = 8;

/// The metric of a route of IPv6 that names none (net/ip6_route.h).
const IP6_RT_PRIO_USER: u32 = 1024;

/// The links of a route with several hops: each is a length, flags, hops and an index, then attributes of its own.
fn hops(mut bytes: &[u8]) -> Vec<u32> {
    let mut links = Vec::new();
    while let Some(header) = bytes.first_chunk::<8>() {
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        links.extend(number(&header[4..]));
        match bytes.get(length.max(header.len()).next_multiple_of(4)..) {
            Some(rest) => bytes = rest,
            None => break,
        }
    }
    links
}

fn too_short() -> DecodeError {
    DecodeError::from("the kernel's message is shorter than its header")
}

#[cfg(test)]
mod tests;
