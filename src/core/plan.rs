//! The difference between two states, as steps in the one order that is safe.
//!
//! Filters come before what they guard and go after it; a link is complete before it is up.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::firewall::{Element, Slot};
use crate::place::Place;
use crate::port::{HostPort, Ports, Protocol, Published};
use crate::state::{Addr, Kind, Link, LinkKey, RESOLVER, Route, State, SysctlKey};

/// One step. Making it twice is the same as making it once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Puts our table there, in place of any table of ours, holding exactly these elements: one transaction.
    PutFrame {
        place: Place,
        elements: BTreeSet<Element>,
    },
    DelFrame {
        place: Place,
    },
    AddElement {
        place: Place,
        element: Element,
    },
    DelElement {
        place: Place,
        element: Element,
    },
    /// Binds a port of the host, so that nobody else can.
    HoldPort {
        place: Place,
        port: HostPort,
    },
    FreePort {
        place: Place,
        port: HostPort,
    },
    /// Makes connection tracking forget every flow that one of these addresses has part in, for whoever gets the address
    /// next must not inherit them, every flow towards these ports of the host, and every flow that was opened
    /// straight to one of these. No difference of states leads to it; it goes with the addresses' last link, with
    /// ports that are taken back, and with a firewall that was gone for a moment.
    ForgetFlows {
        place: Place,
        addresses: BTreeSet<IpAddr>,
        ports: Vec<Published>,
        straight: Vec<Straight>,
    },
    /// Adds a link as [`Link::born`]; with a port comes its card.
    AddLink {
        key: LinkKey,
        link: Link,
        card: Option<Link>,
    },
    /// Gives an existing link all its properties but its kind; `up` comes last.
    SetLink {
        key: LinkKey,
        link: Link,
    },
    DelLink {
        key: LinkKey,
    },
    SetSysctl {
        key: SysctlKey,
        value: String,
    },
    AddAddr(Addr),
    DelAddr(Addr),
    AddRoute(Route),
    DelRoute(Route),
    /// Makes the sockets that answer at 127.0.0.11, and leads its port 53 to them.
    AddResolver {
        place: Place,
    },
    DelResolver {
        place: Place,
    },
}

/// The steps that turn `seen` into `wanted`. Nothing where they agree.
pub fn diff(seen: &State, wanted: &State) -> Vec<Change> {
    let mut plan = Vec::new();

    // What a link takes with it when it goes.
    let leaving: BTreeSet<&LinkKey> = seen.links.keys().filter(|key| leaves(key, seen, wanted)).collect();

    let stale_routes = seen.routes.difference(&wanted.routes).filter(|r| !leaving.contains(&r.link));
    plan.extend(stale_routes.cloned().map(Change::DelRoute));
    plan.extend(seen.resolvers.difference(&wanted.resolvers).map(|&place| Change::DelResolver { place }));
    let stale_addrs = seen.addrs.difference(&wanted.addrs).filter(|a| !leaving.contains(&a.link));
    plan.extend(stale_addrs.cloned().map(Change::DelAddr));
    plan.extend(leaving.iter().filter_map(|key| deletion(key, seen, &leaving)));

    // A port is ours before anything is sent its way.
    for &(place, port) in wanted.held.difference(&seen.held) {
        plan.push(Change::HoldPort { place, port });
    }
    for &place in wanted.frames.difference(&seen.frames) {
        let elements = elements_of(wanted, place).cloned().collect();
        plan.push(Change::PutFrame { place, elements });
    }
    let stale_elements = stale_elements(seen, wanted);
    let mut replaced = BTreeSet::new();
    for (place, element) in wanted.elements.difference(&seen.elements) {
        if seen.frames.contains(place) || !wanted.frames.contains(place) {
            // What is in its place goes in the same transaction.
            let old = element.slot().and_then(|slot| stale_elements.get(&(*place, slot)));
            if let Some(&old) = old {
                plan.push(Change::DelElement { place: *place, element: old.clone() });
                replaced.insert((*place, old.clone()));
            }
            plan.push(Change::AddElement { place: *place, element: element.clone() });
        }
    }

    // What others hang on before what hangs on it.
    let stays = |key: &LinkKey| seen.links.contains_key(key) && !leaving.contains(key);
    let rank = |link: &Link| match link.kind {
        Kind::Loopback | Kind::Bridge | Kind::Vlan { .. } | Kind::Island { .. } => 0,
        Kind::Shim { .. } => 1,
        Kind::Port { .. } | Kind::Stem { .. } | Kind::Card { .. } => 2,
    };
    // A bridge filters by VLAN before a port comes that is to be in one.
    let refiltered = |key: &LinkKey, link: &Link| {
        let now = seen.links.get(key).filter(|_| stays(key));
        link.kind == Kind::Bridge && now.is_some_and(|now| now.vlan != link.vlan)
    };
    let bridges = wanted.links.iter().filter(|(key, link)| refiltered(key, link));
    plan.extend(bridges.map(|(key, link)| Change::SetLink { key: key.clone(), link: link.clone() }));
    let mut fresh: Vec<_> = wanted.links.iter().filter(|(key, _)| !stays(key)).collect();
    fresh.sort_by_key(|(_, link)| rank(link));
    for (key, link) in fresh {
        match &link.kind {
            Kind::Loopback | Kind::Card { .. } => (),
            Kind::Bridge | Kind::Shim { .. } | Kind::Vlan { .. } | Kind::Island { .. } => {
                plan.push(Change::AddLink { key: key.clone(), link: link.clone(), card: None });
            }
            Kind::Port { card } | Kind::Stem { card, .. } => plan.push(Change::AddLink {
                key: key.clone(),
                link: link.clone(),
                card: wanted.links.get(card).cloned(),
            }),
        }
    }

    for (key, value) in &wanted.sysctls {
        if seen.sysctls.get(key) != Some(value) {
            plan.push(Change::SetSysctl { key: key.clone(), value: value.clone() });
        }
    }
    let lost = |link: &LinkKey| leaving.contains(link);
    plan.extend(
        wanted
            .addrs
            .iter()
            .filter(|a| lost(&a.link) || !seen.addrs.contains(a))
            .cloned()
            .map(Change::AddAddr),
    );

    for (key, link) in &wanted.links {
        let settled = match seen.links.get(key) {
            Some(now) if stays(key) => now.satisfies(link),
            _ => link.kind != Kind::Loopback && link.born().satisfies(link),
        };
        if !settled && !refiltered(key, link) {
            plan.push(Change::SetLink { key: key.clone(), link: link.clone() });
        }
    }
    plan.extend(
        wanted
            .routes
            .iter()
            .filter(|r| lost(&r.link) || !seen.routes.contains(r))
            .cloned()
            .map(Change::AddRoute),
    );

    // It is heard by way of the loopback, which is up by now.
    plan.extend(wanted.resolvers.difference(&seen.resolvers).map(|&place| Change::AddResolver { place }));

    for gone in seen.elements.difference(&wanted.elements).filter(|e| !replaced.contains(*e)) {
        let (place, element) = gone;
        if wanted.frames.contains(place) || !seen.frames.contains(place) {
            plan.push(Change::DelElement { place: *place, element: element.clone() });
        }
    }
    plan.extend(seen.frames.difference(&wanted.frames).map(|&place| Change::DelFrame { place }));
    for &(place, port) in seen.held.difference(&wanted.held) {
        plan.push(Change::FreePort { place, port });
    }
    plan
}

/// What is in the way of others in their sets, and not wanted any more.
fn stale_elements<'a>(seen: &'a State, wanted: &'a State) -> BTreeMap<(Place, Slot), &'a Element> {
    let stale = seen.elements.difference(&wanted.elements);
    stale.filter_map(|(place, element)| Some(((*place, element.slot()?), element))).collect()
}

/// True for a link that is not wanted any more, or is wanted as something else.
fn leaves(key: &LinkKey, seen: &State, wanted: &State) -> bool {
    let now = &seen.links[key];
    let unwanted = || wanted.links.get(key).is_none_or(|link| link.kind != now.kind);
    match &now.kind {
        Kind::Loopback => false,
        Kind::Bridge | Kind::Port { .. } | Kind::Vlan { .. } | Kind::Island { .. } => unwanted(),
        Kind::Card { port } => unwanted() || (seen.links.contains_key(port) && leaves(port, seen, wanted)),
        Kind::Stem { parent, .. } | Kind::Shim { parent, .. } => {
            let parent = LinkKey::new(key.place, parent.clone());
            unwanted() || (seen.links.contains_key(&parent) && leaves(&parent, seen, wanted))
        }
    }
}

fn deletion(key: &LinkKey, seen: &State, leaving: &BTreeSet<&LinkKey>) -> Option<Change> {
    match &seen.links[key].kind {
        Kind::Loopback => None,
        Kind::Card { port } if leaving.contains(port) => None,
        Kind::Bridge
        | Kind::Port { .. }
        | Kind::Card { .. }
        | Kind::Stem { .. }
        | Kind::Shim { .. }
        | Kind::Vlan { .. }
        | Kind::Island { .. } => Some(Change::DelLink { key: key.clone() }),
    }
}

fn elements_of(state: &State, place: Place) -> impl Iterator<Item = &Element> {
    state.elements.iter().filter(move |(p, _)| *p == place).map(|(_, element)| element)
}

/// Addresses of members, as whoever opened a flow towards them saw them: nothing was translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Straight {
    pub net: IpNetwork,
    /// None for all that they have.
    pub ports: Option<(Protocol, Ports)>,
}

impl From<IpNetwork> for Straight {
    fn from(net: IpNetwork) -> Straight {
        Straight { net, ports: None }
    }
}

impl fmt::Display for Straight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ports {
            Some((protocol, ports)) => write!(f, "{} {ports}/{protocol}", self.net.ip()),
            None => self.net.fmt(f),
        }
    }
}

impl Change {
    /// The namespace that the change is made in.
    pub fn place(&self) -> Place {
        match self {
            Change::PutFrame { place, .. }
            | Change::DelFrame { place }
            | Change::AddElement { place, .. }
            | Change::DelElement { place, .. }
            | Change::HoldPort { place, .. }
            | Change::FreePort { place, .. }
            | Change::ForgetFlows { place, .. }
            | Change::AddResolver { place }
            | Change::DelResolver { place } => *place,
            Change::AddLink { key, .. } | Change::SetLink { key, .. } | Change::DelLink { key } => key.place,
            Change::SetSysctl { key, .. } => key.place,
            Change::AddAddr(addr) | Change::DelAddr(addr) => addr.link.place,
            Change::AddRoute(route) | Change::DelRoute(route) => route.link.place,
        }
    }
}

impl Change {
    /// True for a step that is about a link, or makes another a port of it, or hang on it.
    pub fn builds_on(&self, link: &LinkKey) -> bool {
        let port_of = |port: &LinkKey, of: &Link| {
            let master = of.master.as_ref().map(|master| &master.name);
            let hangs_on = of.kind.parent() == Some(&link.name) || master == Some(&link.name);
            port.place == link.place && hangs_on
        };
        match self {
            Change::PutFrame { .. }
            | Change::DelFrame { .. }
            | Change::AddElement { .. }
            | Change::DelElement { .. }
            | Change::HoldPort { .. }
            | Change::FreePort { .. }
            | Change::ForgetFlows { .. }
            | Change::AddResolver { .. }
            | Change::DelResolver { .. } => false,
            Change::AddLink { key, link: made, .. } | Change::SetLink { key, link: made } => {
                key == link || port_of(key, made)
            }
            Change::DelLink { key } => key == link,
            Change::SetSysctl { key, .. } => {
                key.place == link.place && key.path.contains(&format!("/conf/{}/", link.name))
            }
            Change::AddAddr(addr) | Change::DelAddr(addr) => addr.link == *link,
            Change::AddRoute(route) | Change::DelRoute(route) => route.link == *link,
        }
    }
}

/// As a person would type it, for `--dry-run` and `drift`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::PutFrame { place, elements } => {
                write!(f, "+ {place} tables bowline ({} elements)", elements.len())
            }
            Change::DelFrame { place } => write!(f, "- {place} tables bowline"),
            Change::AddElement { place, element } => write!(f, "+ {place} element {element}"),
            Change::DelElement { place, element } => write!(f, "- {place} element {element}"),
            Change::HoldPort { place, port } => write!(f, "+ {place} hold {port}"),
            Change::FreePort { place, port } => write!(f, "- {place} hold {port}"),
            Change::ForgetFlows { place, addresses, ports, straight } => {
                let of = addresses.iter().map(ToString::to_string);
                let of = of.chain(ports.iter().map(ToString::to_string));
                let all: Vec<String> = of.chain(straight.iter().map(ToString::to_string)).collect();
                write!(f, "- {place} flows of {}", all.join(", "))
            }
            Change::AddLink { key, link, .. } => write!(f, "+ {key} {link}"),
            Change::SetLink { key, link } => write!(f, "~ {key} {link}"),
            Change::DelLink { key } => write!(f, "- {key}"),
            Change::SetSysctl { key, value } => write!(f, "~ {} sysctl {} = {value}", key.place, key.path),
            Change::AddAddr(addr) => write!(f, "+ {} addr {}", addr.link, addr.net),
            Change::DelAddr(addr) => write!(f, "- {} addr {}", addr.link, addr.net),
            Change::AddRoute(route) => write!(f, "+ route {route}"),
            Change::DelRoute(route) => write!(f, "- route {route}"),
            Change::AddResolver { place } => write!(f, "+ {place} resolver {RESOLVER}"),
            Change::DelResolver { place } => write!(f, "- {place} resolver {RESOLVER}"),
        }
    }
}
