//! Who lives in the town: networks of every kind, a member or more in each, and neighbours on the uplink.
//! All addresses are given by number, so that the model knows them without asking.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::model::{At, HOST, Member, Net, Openness, Publish, Standing, Town, WORLD};

const FRONT: Net = net("front", 9, Openness::Published);
const BACK: Net = net("back", 8, Openness::Published);
const INNER: Net = net("inner", 7, Openness::Internal);
const APART: Net = Net { icc: false, ..net("apart", 6, Openness::Published) };
const STRICT: Net = net("strict", 5, Openness::Strict);
const OPEN: Net = net("open", 4, Openness::Open);
const FOUR: Net = Net { ipv6: false, ..net("four", 3, Openness::Published) };
const STRICT_FOUR: Net = Net { ipv6: false, ..net("strict-four", 2, Openness::Strict) };
const EXTRA: Net = net("extra", 1, Openness::Published);

const OF_WEB: &[Publish] = &[
    everywhere(8080),
    Publish { at: At::One(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))), port: 8081 },
    Publish { at: At::One(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))), port: 8081 },
    Publish { at: At::One(IpAddr::V4(Ipv4Addr::LOCALHOST)), port: 8082 },
    Publish { at: At::One(IpAddr::V6(Ipv6Addr::LOCALHOST)), port: 8083 },
];

pub(crate) const MEMBERS: &[Member] = &[
    member("web", FRONT, 2, OF_WEB),
    member("app", FRONT, 3, &[]),
    member("imp", FRONT, 4, &[]),
    member("db", BACK, 2, &[everywhere(8084)]),
    member("vault", INNER, 2, &[]),
    member("safe", INNER, 3, &[]),
    member("mole", INNER, 4, &[]),
    member("one", APART, 2, &[everywhere(8085)]),
    member("two", APART, 3, &[]),
    member("three", APART, 4, &[]),
    member("keep", STRICT, 2, &[everywhere(8086)]),
    member("guard", STRICT, 3, &[]),
    member("plaza", OPEN, 2, &[everywhere(8087)]),
    member("old", FOUR, 2, &[everywhere(8088)]),
    member("elder", STRICT_FOUR, 2, &[everywhere(8089)]),
];

/// It comes later, and goes.
pub(crate) const LATE: Member = member("late", EXTRA, 2, &[everywhere(8090)]);

/// These have sent their loopback addresses away, to call those of the host.
pub(crate) const REROUTING: &[&str] = &["imp", "mole", "routed"];

/// One that calls, and from where.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) name: &'static str,
    pub(crate) standing: Standing,
    /// The first address of each family that it calls from.
    pub(crate) own: Vec<IpAddr>,
    /// Addresses of others that it calls from too.
    pub(crate) claims: Vec<IpAddr>,
}

pub(crate) fn callers(town: &Town) -> Vec<Caller> {
    let host = Caller { name: HOST, standing: Standing::Host, own: uplink(1).to_vec(), claims: Vec::new() };
    let members = town.members.iter().map(|member| Caller {
        name: member.name,
        standing: Standing::Member(member.net),
        own: both(|ipv6| member.address(ipv6)),
        claims: if member.name == "imp" { claims(&[BACK]) } else { Vec::new() },
    });
    let spoofed = [claims(&[FRONT, STRICT, INNER]), vec![Ipv6Addr::LOCALHOST.into()]].concat();
    let outside = [(WORLD, 2, Vec::new()), ("routed", 3, Vec::new()), ("spoofer", 4, spoofed)];
    let outside = outside.map(|(name, host, claims)| Caller {
        name,
        standing: Standing::Outside,
        own: uplink(host).to_vec(),
        claims,
    });
    [host].into_iter().chain(members).chain(outside).collect()
}

/// The third address of each of these networks, and a loopback address.
fn claims(nets: &[Net]) -> Vec<IpAddr> {
    let members = nets.iter().flat_map(|net| both(|ipv6| net.address(ipv6, 3)));
    members.chain([Ipv4Addr::new(127, 0, 0, 9).into()]).collect()
}

impl Caller {
    /// Whether it would send this to the host, and not keep it or have no way for it.
    pub(crate) fn has_a_way_to(&self, address: IpAddr) -> bool {
        let family = self.own.iter().any(|own| own.is_ipv4() == address.is_ipv4());
        family && (self.standing == Standing::Host || !self.own.contains(&address) && self.sends(address))
    }

    fn sends(&self, address: IpAddr) -> bool {
        if address.is_loopback() {
            return REROUTING.contains(&self.name);
        }
        self.name != WORLD || uplink(1).contains(&address) || uplink(7).contains(&address)
    }
}

/// Who is called at its own address.
pub(crate) fn called() -> impl Iterator<Item = &'static Member> {
    everybody().filter(|member| !member.publishes.is_empty() || member.name == "vault")
}

/// Every port of the host that leads somewhere, once there is all that there will be.
pub(crate) fn published() -> BTreeSet<u16> {
    everybody().flat_map(|member| member.publishes).map(|publish| publish.port).collect()
}

fn everybody() -> impl Iterator<Item = &'static Member> {
    MEMBERS.iter().chain([&LATE])
}

/// The host's addresses that somebody calls: loopback, uplink, gateways of some kinds of network.
pub(crate) fn addresses_of_host() -> Vec<IpAddr> {
    let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
    let gateways = [FRONT, BACK, INNER].into_iter().flat_map(|net| both(|ipv6| net.gateway(ipv6)));
    [loopback, uplink(1), uplink(7)].concat().into_iter().chain(gateways).collect()
}

/// An address of each family on the uplink.
pub(crate) fn uplink(host: u8) -> [IpAddr; 2] {
    [IpAddr::from([192, 0, 2, host]), IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, host.into()])]
}

/// IPv4 and IPv6, as far as there is one.
pub(crate) fn both(address: impl Fn(bool) -> Option<IpAddr>) -> Vec<IpAddr> {
    [false, true].into_iter().filter_map(address).collect()
}

const fn net(name: &'static str, number: u8, openness: Openness) -> Net {
    Net { name, number, openness, icc: true, ipv6: true }
}

const fn member(name: &'static str, net: Net, host: u8, publishes: &'static [Publish]) -> Member {
    Member { name, net, host, publishes }
}

const fn everywhere(port: u16) -> Publish {
    Publish { at: At::Everywhere, port }
}
