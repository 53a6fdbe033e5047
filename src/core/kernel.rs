//! The seam: what a kernel must do for us. `linux::Kernel` does it for real, [`crate::memory::Kernel`] in memory.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::Result;
use crate::feature::Feature;
use crate::firewall::Element;
use crate::firewall::hooks::Hooks;
use crate::mac::Mac;
use crate::medium::VlanId;
use crate::name::LinkName;
use crate::place::{Door, Place};
use crate::plan::Change;
use crate::port::{HostPort, Ports};
use crate::state::{LinkKey, State};

pub trait Kernel: Send + Sync {
    /// Enters a namespace and keeps it at hand until [`Kernel::close`]. Fails where the door leads to something else.
    fn open(&self, door: &Door) -> Result<Place>;

    /// Lets go of a container's namespace, so that it can die with its last process.
    fn close(&self, place: Place);

    /// Makes a namespace one that networks live in. It is kept, and kept alive, until [`Kernel::close_host`].
    /// The daemon's own is one from the start.
    fn open_host(&self, door: &Door) -> Result<Place>;

    /// Makes sure that what bears our mark in a host's namespace is ours to change. Fails with
    /// [`crate::Code::DaemonRunning`] where another daemon that lives works there.
    fn claim(&self, place: Place) -> Result<()>;

    /// Lets go of a host namespace other than the daemon's own.
    fn close_host(&self, place: Place);

    /// What a host namespace offers and already uses.
    fn facts(&self, place: Place) -> Result<Facts>;

    /// Settings of a host's that decide whether networks work there.
    fn sights(&self, place: Place) -> Result<Sights>;

    /// All links of a host, as whoever would hang cards on one needs to know them.
    fn links(&self, place: Place) -> Result<Vec<HostLink>>;

    /// From now on what becomes of these links, there or not yet, is told as [`Moved::Parent`] to who watches the host.
    fn follow(&self, place: Place, links: &BTreeSet<LinkName>) -> Result<()>;

    /// Whether this kernel has something that not every kernel has. [`crate::Code::Unsupported`] is its no; any other
    /// failure means that it could not be asked. Nothing that is there is touched.
    fn can(&self, feature: Feature) -> Result<()>;

    /// The link that a host sends by to an address. None where it has no way there.
    fn way_to(&self, place: Place, address: IpAddr) -> Result<Option<LinkName>>;

    /// Everything in scope that bears our mark.
    fn observe(&self, scope: &Scope) -> Result<State>;

    /// Makes the changes in order and stops at the first that fails. Every change may be made twice.
    /// Consecutive deletions are one step, and so are consecutive changes of elements.
    fn apply(&self, changes: &[Change]) -> Result<()>;

    /// The ports that a host gives to programs that ask for any, in ascending order.
    fn ephemeral(&self, place: Place) -> Result<Vec<Ports>>;

    /// Whether nobody has the port just now.
    fn is_free(&self, place: Place, port: &HostPort) -> Result<bool>;

    /// The programs that have a port, such as `nginx (pid 812) at 0.0.0.0:8080`, as far as they can be seen.
    fn holders(&self, place: Place, port: &HostPort) -> Vec<String>;

    /// Puts the administrator's rules into our tables, in every host's namespace, and keeps them for those that come.
    fn set_hooks(&self, hooks: &Hooks) -> Result<()>;

    /// Whether others are kept from changing our tables there.
    fn owns_tables(&self, place: Place) -> bool;

    /// Hands our tables back, holding these elements: from now on, until the process ends, others may change them.
    fn release_tables(&self, place: Place, elements: &BTreeSet<Element>) -> Result<()>;

    /// Chains of other programs' that drop what passes between these bridges and the world.
    fn obstacles(&self, place: Place, bridges: &[LinkName]) -> Result<Vec<Obstacle>>;

    /// Asks the firewalls that offer it to let a bridge's traffic pass. What was done, in words.
    fn welcome(&self, place: Place, bridge: &LinkName) -> Result<Vec<String>>;

    /// Takes that back.
    fn unwelcome(&self, place: Place, bridge: &LinkName) -> Result<()>;

    /// Calls back, from a thread of the kernel's own, when a marked object of a host place moved, by whomever.
    fn watch(&self, place: Place, tell: Tell) -> Result<()>;
}

/// Whom a watch calls.
pub type Tell = Box<dyn Fn(Moved) + Send>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All that is marked in a host's namespace.
    Host(Place),
    /// One card of an open container namespace, with its addresses and our routes over it.
    Card(Place, LinkName),
    /// These settings of an open container namespace, as far as there are such.
    Sysctls(Place, Vec<String>),
    /// One port of a host's, if it bears our mark.
    Port(LinkKey),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moved {
    /// A link is not as it should be.
    Link { place: Place, name: LinkName, now: LinkNow },
    /// An address came or went.
    Address { place: Place, name: LinkName },
    /// Something became of a link that is followed: it came or went, or is up, down, or of another size.
    Parent { place: Place, name: LinkName },
    /// A link that is followed has another name, under which it is followed now.
    Renamed { place: Place, name: LinkName, now: LinkName },
    /// Another hand was at our firewall tables.
    Tables { place: Place },
    /// Notices were lost: look at everything.
    Overrun { place: Place },
}

/// What is amiss with a link. Of one that is well, nobody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkNow {
    /// Administratively down (IFF_UP is not set), or off its bridge.
    Down,
    Gone,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// With the link that has it, and the prefix length.
    pub addresses: Vec<(LinkName, IpNetwork)>,
    /// Destinations of all routes in all tables, without default routes and the local table, and the link of each that
    /// leaves by one only.
    pub routes: Vec<(Option<LinkName>, IpNetwork)>,
    /// Addresses that routes lead to their destinations by.
    pub routers: Vec<IpAddr>,
    pub links: Vec<LinkName>,
    /// The links that default routes leave by.
    pub uplinks: Vec<Uplink>,
}

/// A link of a host's, whosever it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostLink {
    pub name: LinkName,
    pub mtu: u32,
    pub mac: Option<Mac>,
    /// Set up, and with a carrier.
    pub up: bool,
    pub sort: Sort,
    /// The bridge, bond or routing domain that it belongs to.
    pub master: Option<LinkName>,
    /// It bears our mark.
    pub ours: bool,
}

/// What a link is to who would hang cards on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sort {
    Loopback,
    Wireless,
    /// A macvlan or ipvlan card itself, of this link.
    Card(LinkName),
    Vlan(LinkName, VlanId),
    Bridge {
        filters_vlans: bool,
    },
    /// A routing domain, with its table.
    Vrf(u32),
    /// It carries no Ethernet frames.
    NoFrames,
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uplink {
    pub name: LinkName,
    pub mtu: u32,
    /// Largest super-packet that the hardware segments itself.
    pub tso_max_size: u32,
    /// It learns routes from router advertisements, and would stop once this host forwards IPv6.
    pub stops_learning: bool,
}

/// None of what cannot be seen from there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sights {
    /// IPv4 between cards.
    pub forwards: Option<bool>,
    /// Frames between members of one network pass the forward chains too (`br_netfilter`).
    pub bridged_are_filtered: Option<bool>,
    /// The neighbours of all namespaces of the machine, by IPv4 and by IPv6. Only the first namespace sees them.
    pub neighbours: [Option<Gauge>; 2],
    /// Connections that are tracked.
    pub flows: Option<Gauge>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gauge {
    pub used: u64,
    pub limit: u64,
}

/// A chain of another program's that drops what is ours to pass. An accept of ours does not help: every table on the
/// way is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// Such as `ip filter`
    pub table: String,
    pub chain: String,
    /// Whose it is, as far as its name tells.
    pub tool: Option<String>,
    /// What drops: its policy, or a rule.
    pub how: String,
    /// A command that lets our traffic pass.
    pub fix: String,
}
