//! A lease: what a DHCP server gave to a card, and until when. Times count from the boot of the host, since no clock that
//! somebody sets may end a lease.

use std::net::Ipv4Addr;
use std::time::Duration;

use ipnetwork::Ipv4Network;

use crate::mac::Mac;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The address, with the prefix length of its subnet.
    pub address: Ipv4Network,
    /// Who gave it.
    pub server: Ipv4Addr,
    /// The neighbour that its answer came by: the server itself, or whoever leads there.
    pub hop: Option<Mac>,
    /// The default route among them.
    pub routes: Vec<LeaseRoute>,
    pub dns: Vec<Ipv4Addr>,
    pub search: Vec<String>,
    pub mtu: Option<u32>,
    pub began: Duration,
    /// When that server is asked to go on (T1).
    pub renew: Duration,
    /// When any server is asked (T2).
    pub rebind: Duration,
    pub expires: Duration,
}

/// A destination, and the neighbour that leads there; none where it is on the link itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseRoute {
    pub to: Ipv4Network,
    pub via: Option<Ipv4Addr>,
}

impl Lease {
    /// The time at which a lease without an end ends.
    pub const NEVER: Duration = Duration::MAX;

    /// The neighbour that the default route leads to.
    pub fn gateway(&self) -> Option<Ipv4Addr> {
        self.routes.iter().find(|route| route.to.prefix() == 0).and_then(|route| route.via)
    }

    /// True where the other says the same of everything but its times.
    pub fn gives_as(&self, other: &Lease) -> bool {
        let timeless = |lease: &Lease| Lease {
            hop: None,
            began: Duration::ZERO,
            renew: Duration::ZERO,
            rebind: Duration::ZERO,
            expires: Duration::ZERO,
            ..lease.clone()
        };
        timeless(self) == timeless(other)
    }
}
