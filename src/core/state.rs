//! [`State`]: kernel objects as plain values. The same type says what is wanted and what is seen.
//!
//! State is kept in fragments, each with one owner (the host, a network, an endpoint); the whole is their union.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use ipnetwork::IpNetwork;

use crate::firewall::Element;
use crate::mac::Mac;
use crate::medium::{How, VlanId, Whose};
use crate::name::{Id, LinkName};
use crate::place::Place;
use crate::port::HostPort;
use crate::rate::Rate;

/// Where every container's programs ask for names.
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    pub links: BTreeMap<LinkKey, Link>,
    pub addrs: BTreeSet<Addr>,
    pub routes: BTreeSet<Route>,
    /// Only ever set: a sysctl carries no mark, so it is never put back.
    pub sysctls: BTreeMap<SysctlKey, String>,
    /// The namespaces that hold our nftables table with its constant chains.
    pub frames: BTreeSet<Place>,
    pub elements: BTreeSet<(Place, Element)>,
    /// Ports of the host that are bound, so that nobody else can have them.
    pub held: BTreeSet<(Place, HostPort)>,
    /// The namespaces in which 127.0.0.11 is ours to answer at.
    pub resolvers: BTreeSet<Place>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkKey {
    pub place: Place,
    pub name: LinkName,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub kind: Kind,
    /// Who it belongs to: the network of a bridge, the endpoint of a port. Written to the link's alias.
    pub owner: Option<Id>,
    /// 0 where it is the bridge's, whatever that is: a port that asked for less would take it from a bridge of others.
    pub mtu: u32,
    pub up: bool,
    /// None where any address will do.
    pub mac: Option<Mac>,
    /// What this link is a port of.
    pub master: Option<Master>,
    pub vlan: Vlan,
    /// An isolated port reaches the bridge itself and no other isolated port.
    pub isolated: bool,
    /// A hairpin port gets back what it sent to itself by way of a translated address.
    pub hairpin: bool,
    /// Largest super-packet for segmentation and receive offload, both families; None leaves the kernel's choice.
    pub gso: Option<u32>,
    /// The most that leaves by it.
    pub rate: Option<Rate>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Master {
    pub name: LinkName,
    /// A stranger that has the name of ours gets no port of ours, nor the reverse.
    pub whose: Whose,
}

/// What a bridge or a port of one has to do with VLANs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Vlan {
    /// Of a bridge: it takes no notice of them. Of a port: whatever its bridge gives to ports.
    #[default]
    None,
    /// Of a bridge: it filters, and itself is in this one and no other, untagged. Of a port: the same.
    In(VlanId),
    /// Never wanted: several, or none, or tagged, as another hand has made it.
    Mixed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// `lo`: born with its namespace, never added or deleted.
    Loopback,
    Bridge,
    /// The host's end of a veth pair.
    Port {
        card: LinkKey,
    },
    /// A card that hangs on a link of the host's, as seen from there. The host has no link for it: this stands among the
    /// host's under the name of the interface's port, and says nothing but what the card hangs on and how.
    Stem {
        card: LinkKey,
        parent: LinkName,
        how: How,
    },
    /// The container's end. It is born and dies with its port or stem.
    Card {
        port: LinkKey,
    },
    /// A card of the host's own beside those of the members.
    Shim {
        parent: LinkName,
        how: How,
    },
    /// A VLAN of another link, for cards to hang on. It belongs to no single network.
    Vlan {
        of: LinkName,
        id: VlanId,
    },
    /// A link with a carrier that leads nowhere, for cards to hang on: a veth pair whose other end is here too, and deaf.
    Island {
        end: LinkName,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Addr {
    pub link: LinkKey,
    /// The address with its prefix length.
    pub net: IpNetwork,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    pub link: LinkKey,
    pub to: IpNetwork,
    pub via: Option<IpAddr>,
    pub terms: Terms,
}

/// What a route says besides where it leads. None is the kernel's own choice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Terms {
    /// Of several to one destination, the lowest goes first.
    pub metric: Option<u32>,
    pub mtu: Option<u32>,
    /// What is told to peers of TCP (RTAX_ADVMSS).
    pub advmss: Option<u32>,
    /// Another than the main one.
    pub table: Option<u32>,
    /// Of IPv4: another than the gateway gives it.
    pub scope: Option<u8>,
}

/// `net/ipv6/conf/eth0/accept_ra` under /proc/sys of one namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SysctlKey {
    pub place: Place,
    pub path: String,
}

impl State {
    pub fn is_empty(&self) -> bool {
        *self == State::default()
    }

    /// Adds the fragment of another owner.
    pub fn extend(&mut self, other: State) {
        self.links.extend(other.links);
        self.addrs.extend(other.addrs);
        self.routes.extend(other.routes);
        self.sysctls.extend(other.sysctls);
        self.frames.extend(other.frames);
        self.elements.extend(other.elements);
        self.held.extend(other.held);
        self.resolvers.extend(other.resolvers);
    }

    pub fn set_sysctl(&mut self, place: Place, path: impl Into<String>, value: impl Into<String>) {
        self.sysctls.insert(SysctlKey { place, path: path.into() }, value.into());
    }

    /// What lies in one namespace.
    pub fn within(&self, place: Place) -> State {
        State {
            links: self
                .links
                .iter()
                .filter(|(k, _)| k.place == place)
                .map(|(k, l)| (k.clone(), l.clone()))
                .collect(),
            addrs: self.addrs.iter().filter(|a| a.link.place == place).cloned().collect(),
            routes: self.routes.iter().filter(|r| r.link.place == place).cloned().collect(),
            sysctls: self
                .sysctls
                .iter()
                .filter(|(k, _)| k.place == place)
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect(),
            frames: self.frames.iter().filter(|&&p| p == place).copied().collect(),
            elements: self.elements.iter().filter(|(p, _)| *p == place).cloned().collect(),
            held: self.held.iter().filter(|(p, _)| *p == place).copied().collect(),
            resolvers: self.resolvers.iter().filter(|&&p| p == place).copied().collect(),
        }
    }
}

impl Kind {
    /// The link of the same namespace without which it cannot be.
    pub fn parent(&self) -> Option<&LinkName> {
        match self {
            Kind::Stem { parent, .. } | Kind::Shim { parent, .. } | Kind::Vlan { of: parent, .. } => {
                Some(parent)
            }
            Kind::Loopback | Kind::Bridge | Kind::Port { .. } | Kind::Card { .. } | Kind::Island { .. } => {
                None
            }
        }
    }
}

impl FromIterator<State> for State {
    fn from_iter<I: IntoIterator<Item = State>>(fragments: I) -> State {
        fragments.into_iter().fold(State::default(), |mut all, fragment| {
            all.extend(fragment);
            all
        })
    }
}

impl LinkKey {
    pub fn new(place: Place, name: LinkName) -> LinkKey {
        LinkKey { place, name }
    }

    pub fn loopback(place: Place) -> LinkKey {
        LinkKey { place, name: "lo".parse().expect("lo is a link name") }
    }
}

impl Link {
    /// Of a link whose MTU is the business of another: it is neither set nor compared.
    pub const ANY_MTU: u32 = 0;

    pub fn new(kind: Kind, mtu: u32) -> Link {
        Link {
            kind,
            owner: None,
            mtu,
            up: false,
            mac: None,
            master: None,
            vlan: Vlan::None,
            isolated: false,
            hairpin: false,
            gso: None,
            rate: None,
        }
    }

    pub fn loopback() -> Link {
        Link { up: true, ..Link::new(Kind::Loopback, 65536) }
    }

    /// The link as adding it leaves it. A port may be up at once, for nothing passes before its card is up;
    /// one that is isolated, shaped or in a VLAN may not, for that can only be asked of a port that exists.
    pub fn born(&self) -> Link {
        let (up, vlan) = match self.kind {
            Kind::Port { .. } => {
                let plain = !self.isolated && self.rate.is_none() && self.vlan == Vlan::None;
                (self.up && plain, Vlan::None)
            }
            Kind::Stem { .. } => (self.up, self.vlan),
            Kind::Loopback
            | Kind::Bridge
            | Kind::Card { .. }
            | Kind::Shim { .. }
            | Kind::Vlan { .. }
            | Kind::Island { .. } => (false, self.vlan),
        };
        Link { up, vlan, isolated: false, hairpin: false, rate: None, ..self.clone() }
    }

    /// True where this link, as seen, is as wanted. What is wanted as None is not compared.
    pub fn satisfies(&self, wanted: &Link) -> bool {
        if wanted.kind == Kind::Loopback {
            return self.kind == Kind::Loopback && self.up == wanted.up;
        }
        self.kind == wanted.kind
            && self.owner == wanted.owner
            && (wanted.mtu == Link::ANY_MTU || self.mtu == wanted.mtu)
            && self.up == wanted.up
            && self.master == wanted.master
            && (self.vlan == wanted.vlan || (wanted.master.is_some() && wanted.vlan == Vlan::None))
            && self.isolated == wanted.isolated
            && self.hairpin == wanted.hairpin
            && self.rate == wanted.rate
            && (wanted.mac.is_none() || self.mac == wanted.mac)
            && (wanted.gso.is_none() || self.gso == wanted.gso)
    }
}

impl Master {
    pub fn ours(name: LinkName) -> Master {
        Master { name, whose: Whose::Ours }
    }
}

impl From<Option<VlanId>> for Vlan {
    fn from(vlan: Option<VlanId>) -> Vlan {
        vlan.map_or(Vlan::None, Vlan::In)
    }
}

impl fmt::Display for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.place, self.name)
    }
}

/// As `ip` would print it, one object a line.
impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Loopback => write!(f, "loopback")?,
            Kind::Bridge => write!(f, "bridge")?,
            Kind::Port { card } => write!(f, "veth peer {card}")?,
            Kind::Stem { card, parent, how } => write!(f, "{how} link {parent} card {card}")?,
            Kind::Card { port } => write!(f, "card of {port}")?,
            Kind::Shim { parent, how } => write!(f, "{how} link {parent}")?,
            Kind::Vlan { of, id } => write!(f, "vlan id {id} link {of}")?,
            Kind::Island { end } => write!(f, "veth peer {end}")?,
        }
        if self.mtu != Link::ANY_MTU {
            write!(f, " mtu {}", self.mtu)?;
        }
        write!(f, " {}", if self.up { "up" } else { "down" })?;
        if let Some(mac) = self.mac {
            write!(f, " address {mac}")?;
        }
        if let Some(master) = &self.master {
            write!(f, " master {}", master.name)?;
        }
        match self.vlan {
            Vlan::None => (),
            Vlan::In(vlan) => write!(f, " vlan {vlan}")?,
            Vlan::Mixed => write!(f, " vlans of another hand")?,
        }
        if self.isolated {
            write!(f, " isolated on")?;
        }
        if self.hairpin {
            write!(f, " hairpin on")?;
        }
        if let Some(gso) = self.gso {
            write!(f, " gso_max_size {gso}")?;
        }
        if let Some(rate) = self.rate {
            write!(f, " rate {rate}")?;
        }
        match self.owner {
            Some(owner) => write!(f, " owner {owner}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.to.prefix(), self.to) {
            (0, IpNetwork::V4(_)) => write!(f, "default")?,
            (0, IpNetwork::V6(_)) => write!(f, "default inet6")?,
            _ => write!(f, "{}", self.to)?,
        }
        if let Some(via) = self.via {
            write!(f, " via {via}")?;
        }
        write!(f, " dev {}", self.link)?;
        let Terms { metric, mtu, advmss, table, scope } = self.terms;
        let scope = scope.map(u32::from);
        let words =
            [("metric", metric), ("mtu", mtu), ("advmss", advmss), ("table", table), ("scope", scope)];
        words
            .into_iter()
            .filter_map(|(word, value)| Some((word, value?)))
            .try_for_each(|(word, value)| write!(f, " {word} {value}"))
    }
}

impl Route {
    pub fn new(link: LinkKey, to: IpNetwork, via: Option<IpAddr>) -> Route {
        Route { link, to, via, terms: Terms::default() }
    }

    /// Whether one of the two takes the other's place: a namespace has one route to a destination for each metric.
    pub fn displaces(&self, other: &Route) -> bool {
        let slot = |r: &Route| (r.link.place, r.to, r.terms.table, r.terms.metric);
        slot(self) == slot(other)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.frames.iter().try_for_each(|place| writeln!(f, "{place} tables bowline"))?;
        self.elements.iter().try_for_each(|(place, element)| writeln!(f, "{place} element {element}"))?;
        self.held.iter().try_for_each(|(place, port)| writeln!(f, "{place} hold {port}"))?;
        self.links.iter().try_for_each(|(key, link)| writeln!(f, "{key} {link}"))?;
        self.sysctls
            .iter()
            .try_for_each(|(key, value)| writeln!(f, "{} {} = {value}", key.place, key.path))?;
        self.addrs.iter().try_for_each(|addr| writeln!(f, "{} addr {}", addr.link, addr.net))?;
        self.routes.iter().try_for_each(|route| writeln!(f, "route {route}"))?;
        self.resolvers.iter().try_for_each(|place| writeln!(f, "{place} resolver {RESOLVER}"))
    }
}
