//! Who answers whom: what is promised about networks, told a second time in as few words as can be.
//! It shares nothing with the product, so that a mistake there is not repeated here.

use std::net::IpAddr;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Openness {
    /// Others reach what is published.
    Published,
    /// The world reaches what is published, our other networks nothing.
    Strict,
    /// Others reach everything.
    Open,
    /// Members have each other, and nobody but the host has them.
    Internal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Net {
    pub(crate) name: &'static str,
    /// It is 10.N.0.0/24 and fd00:N::/64, and its gateway is the first address of either.
    pub(crate) number: u8,
    pub(crate) openness: Openness,
    /// Whether members reach each other.
    pub(crate) icc: bool,
    pub(crate) ipv6: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Member {
    pub(crate) name: &'static str,
    pub(crate) net: Net,
    /// The last part of its addresses.
    pub(crate) host: u8,
    pub(crate) publishes: &'static [Publish],
}

/// A port of the host's that leads to a member's `SERVED`, by TCP and by UDP.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Publish {
    pub(crate) at: At,
    pub(crate) port: u16,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum At {
    Everywhere,
    One(IpAddr),
}

/// What is published of a member, if anything is.
pub(crate) const SERVED: u16 = 80;
/// What a member serves and never publishes.
pub(crate) const HIDDEN: u16 = 81;
/// What the host serves at each of its addresses.
pub(crate) const OF_HOST: u16 = 9000;

pub(crate) const HOST: &str = "host";
/// A host behind the uplink that serves like a member.
pub(crate) const WORLD: &str = "plain";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Host,
    Member(Net),
    /// A neighbour on the uplink.
    Outside,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
    Icmp,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Dial {
    pub(crate) protocol: Protocol,
    pub(crate) address: IpAddr,
    /// 0 for ICMP.
    pub(crate) port: u16,
}

/// The one who is right to answer, at which of its own ports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Answer {
    pub(crate) who: String,
    pub(crate) port: u16,
}

/// All that there is at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Town {
    pub(crate) members: Vec<Member>,
    /// Addresses of the host, its gateways and loopback ones set aside.
    pub(crate) host: Vec<IpAddr>,
    pub(crate) world: Vec<IpAddr>,
}

impl Net {
    pub(crate) fn address(&self, ipv6: bool, host: u8) -> Option<IpAddr> {
        let n = self.number;
        match ipv6 {
            false => Some(IpAddr::from([10, n, 0, host])),
            true if self.ipv6 => Some(IpAddr::from([0xfd00, n.into(), 0, 0, 0, 0, 0, host.into()])),
            true => None,
        }
    }

    pub(crate) fn gateway(&self, ipv6: bool) -> Option<IpAddr> {
        self.address(ipv6, 1)
    }
}

impl Member {
    pub(crate) fn address(&self, ipv6: bool) -> Option<IpAddr> {
        self.net.address(ipv6, self.host)
    }
}

impl Publish {
    fn is_at(&self, address: IpAddr, port: u16) -> bool {
        let here = match self.at {
            At::Everywhere => true,
            At::One(one) => one == address,
        };
        here && self.port == port
    }
}

impl Town {
    /// Who answers a call under the caller's own address; nobody answers others, and hears of them neither.
    pub(crate) fn answer(&self, caller: Standing, dial: &Dial) -> Option<Answer> {
        if let Some(member) =
            self.members.iter().find(|m| m.address(dial.address.is_ipv6()) == Some(dial.address))
        {
            return reaches_member(caller, member).then(|| answer(member.name, dial.port));
        }
        if self.world.contains(&dial.address) {
            return reaches_world(caller).then(|| answer(WORLD, dial.port));
        }
        if dial.address.is_loopback() && caller != Standing::Host || !self.is_hosts(dial.address) {
            return None;
        }
        if dial.protocol == Protocol::Icmp || dial.port == OF_HOST {
            return reaches_host(caller).then(|| answer(HOST, dial.port));
        }
        let member =
            self.members.iter().find(|m| m.publishes.iter().any(|p| p.is_at(dial.address, dial.port)))?;
        reaches_published(caller, member).then(|| answer(member.name, SERVED))
    }

    fn is_hosts(&self, address: IpAddr) -> bool {
        let mut gateways = self.members.iter().filter_map(|m| m.net.gateway(address.is_ipv6()));
        address.is_loopback() || self.host.contains(&address) || gateways.any(|gateway| gateway == address)
    }
}

fn reaches_member(caller: Standing, member: &Member) -> bool {
    match caller {
        Standing::Host => true,
        Standing::Member(net) if net == member.net => net.icc,
        Standing::Member(net) if net.openness == Openness::Internal => false,
        Standing::Member(_) | Standing::Outside => member.net.openness == Openness::Open,
    }
}

fn reaches_published(caller: Standing, member: &Member) -> bool {
    match caller {
        Standing::Host => true,
        Standing::Outside => member.net.openness != Openness::Internal,
        Standing::Member(net) if net.openness == Openness::Internal => false,
        // Kept apart, members do not meet at a port of the host's either.
        Standing::Member(net) if net == member.net => net.icc,
        Standing::Member(_) => !matches!(member.net.openness, Openness::Strict | Openness::Internal),
    }
}

fn reaches_host(caller: Standing) -> bool {
    match caller {
        Standing::Host | Standing::Outside => true,
        Standing::Member(net) => net.openness != Openness::Internal,
    }
}

fn reaches_world(caller: Standing) -> bool {
    reaches_host(caller)
}

fn answer(who: &str, port: u16) -> Answer {
    Answer { who: who.to_string(), port }
}
