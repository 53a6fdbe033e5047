//! Leases as the journal, the core and the wire have them, and who asks for one.

use std::time::Duration;

use bowline_api::v1;
use bowline_core::endpoint::Interface;
use bowline_core::lease::{Lease, LeaseRoute};
use bowline_core::medium::{Direct, How, Medium};
use bowline_core::network::{Ipam, Network};
use bowline_core::{Code, Error, Result};
use ipnetwork::{IpNetwork, Ipv4Network};

use super::endpoints::Ticket;
use crate::leases::unix_ms;
use crate::store::LeaseRecord;

/// How members of a network get their leases. None where no DHCP server gives their addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asking {
    /// Cards that share a MAC hear what is sent to an address once they have that, and not before.
    pub(super) answers_to_all: bool,
}

impl Asking {
    pub(super) fn on(network: &Network) -> Option<Asking> {
        let answers_to_all = match &network.medium {
            Medium::Direct(Direct { how: How::Ipvlan(..), .. }) => true,
            Medium::Direct(Direct { how: How::Macvlan(_), .. }) | Medium::Bridge(_) | Medium::Pair => false,
        };
        match network.ipam {
            Ipam::Dhcp => Some(Asking { answers_to_all }),
            Ipam::Pools | Ipam::None => None,
        }
    }
}

/// Refuses what cannot be, and what means nothing, where a DHCP server chooses the addresses.
pub(super) fn check(wish: &v1::CreateNetwork, medium: &Medium) -> Result<()> {
    use bowline_core::medium::{Bridge, IpvlanMode, Whose};
    let bad = |why: &str, fix: &str| {
        Err(Error::new(
            Code::InvalidOption,
            format!("create network {:.80} with addresses by DHCP", wish.name),
        )
        .because(why)
        .fix(fix))
    };
    if wish.ipam != v1::Ipam::Dhcp {
        return Ok(());
    }
    let on_a_link = "name the link that a server is on: -d macvlan --parent eth0 --ipam dhcp";
    match medium {
        Medium::Bridge(Bridge { whose: Whose::Ours, .. }) => {
            return bad("no server is on a bridge of ours", on_a_link);
        }
        Medium::Pair => return bad("no server is at the other end of a pair", on_a_link),
        Medium::Direct(Direct { parent: None, .. }) => {
            return bad("no server is on a network without a parent", on_a_link);
        }
        Medium::Direct(Direct { how: How::Ipvlan(IpvlanMode::L3 | IpvlanMode::L3s, _), .. }) => {
            return bad("in this mode no member hears what is sent to all", "use --mode l2");
        }
        Medium::Direct(Direct { how: How::Ipvlan(IpvlanMode::L2, _) | How::Macvlan(_), .. })
        | Medium::Bridge(Bridge { whose: Whose::Theirs, .. }) => (),
    }
    if wish.host_access {
        return bad("the host's own card on the link would need an address too", "leave out --host-access");
    }
    if !wish.subnets.is_empty() {
        return bad(
            "the server has the subnet, its gateway and its ranges",
            "leave out --subnet and what belongs to it",
        );
    }
    if !wish.ipv4 {
        return bad("DHCP is of IPv4", "leave out --ipv4=false, or choose --ipam none");
    }
    if wish.ipv6 {
        return bad(
            "IPv6 comes by the link's router advertisements, and needs no address of ours",
            "leave out --ipv6",
        );
    }
    Ok(())
}

/// A lease has to be renewed, for which there must be a way back in: a path, or the sockets of a resolver.
pub(super) fn must_lead_back(tickets: &[Ticket], has_path: bool, has_names: bool) -> Result<()> {
    let asks = tickets.iter().find(|ticket| ticket.keeper.asking.is_some());
    let named = has_names || tickets.iter().any(|ticket| ticket.keeper.has_names);
    match asks {
        Some(ticket) if !has_path && !named => Err(Error::new(
            Code::InvalidNetns,
            format!("the namespace is handed over to network {} without a path", ticket.keeper.name),
        )
        .because("its lease could not be renewed later, for there would be no way back in")
        .fix("give netns.path as well, or make the network without --no-dns")),
        Some(_) | None => Ok(()),
    }
}

/// What an interface holds of a lease, or of none.
pub(super) fn give(interface: &mut Interface, lease: Option<Lease>) {
    interface.addresses = lease.iter().map(|lease| IpNetwork::V4(lease.address)).collect();
    interface.lease = lease;
}

pub(super) fn view(lease: &Lease) -> v1::Lease {
    v1::Lease {
        server: lease.server,
        renews_unix_ms: unix_ms(lease.renew),
        rebinds_unix_ms: unix_ms(lease.rebind),
        expires_unix_ms: unix_ms(lease.expires),
        dns: lease.dns.clone(),
        search: lease.search.clone(),
    }
}

pub(super) fn record(lease: &Lease) -> LeaseRecord {
    let ms = |at: Duration| (at != Lease::NEVER).then(|| u64::try_from(at.as_millis()).unwrap_or(u64::MAX));
    LeaseRecord {
        address: lease.address.to_string(),
        server: lease.server,
        hop: lease.hop.map(|mac| mac.to_string()),
        routes: lease.routes.iter().map(|route| (route.to.to_string(), route.via)).collect(),
        dns: lease.dns.clone(),
        search: lease.search.clone(),
        mtu_bytes: lease.mtu,
        began_ms: ms(lease.began),
        renew_ms: ms(lease.renew),
        rebind_ms: ms(lease.rebind),
        expires_ms: ms(lease.expires),
    }
}

pub(super) fn from_record(record: &LeaseRecord) -> Result<Lease> {
    let net = |text: &str| {
        text.parse::<Ipv4Network>().map_err(|e| Error::new(Code::StateCorrupt, "read a lease").because(e))
    };
    let at = |ms: Option<u64>| ms.map_or(Lease::NEVER, Duration::from_millis);
    let route = |(to, via): &(String, _)| Ok(LeaseRoute { to: net(to)?, via: *via });
    Ok(Lease {
        address: net(&record.address)?,
        server: record.server,
        hop: record.hop.as_deref().map(str::parse).transpose()?,
        routes: record.routes.iter().map(route).collect::<Result<_>>()?,
        dns: record.dns.clone(),
        search: record.search.clone(),
        mtu: record.mtu_bytes,
        began: at(record.began_ms),
        renew: at(record.renew_ms),
        rebind: at(record.rebind_ms),
        expires: at(record.expires_ms),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_survives_the_journal() {
        let lease = Lease {
            address: "192.0.2.9/24".parse().unwrap(),
            server: "192.0.2.1".parse().unwrap(),
            hop: Some("02:00:00:00:00:01".parse().unwrap()),
            routes: vec![LeaseRoute {
                to: "0.0.0.0/0".parse().unwrap(),
                via: Some("192.0.2.1".parse().unwrap()),
            }],
            dns: vec!["192.0.2.53".parse().unwrap()],
            search: vec!["example.org".into()],
            mtu: Some(1400),
            began: Duration::from_millis(1),
            renew: Duration::from_millis(2),
            rebind: Duration::from_millis(3),
            expires: Lease::NEVER,
        };
        let text = serde_json::to_string(&record(&lease)).unwrap();
        assert_eq!(from_record(&serde_json::from_str(&text).unwrap()).unwrap(), lease);
    }

    #[test]
    fn what_means_nothing_where_a_server_chooses_is_refused() {
        let direct = |how| Medium::Direct(Direct { parent: Some(parent()), how, host_access: None });
        let macvlan = direct(How::Macvlan(Default::default()));
        let wish = v1::CreateNetwork { ipam: v1::Ipam::Dhcp, ..v1::CreateNetwork::named("lan") };
        assert_eq!(check(&wish, &macvlan), Ok(()));
        let l3 = direct(How::Ipvlan(bowline_core::medium::IpvlanMode::L3, Default::default()));
        for medium in [Medium::default(), Medium::Pair, l3] {
            assert_eq!(check(&wish, &medium).unwrap_err().code, Code::InvalidOption, "{medium:?}");
        }
        let subnet = v1::SubnetSpec {
            cidr: "10.9.0.0/24".into(),
            gateway: None,
            ip_range: None,
            aux_addresses: Default::default(),
        };
        for wrong in [
            v1::CreateNetwork { subnets: vec![subnet], ..wish.clone() },
            v1::CreateNetwork { host_access: true, ..wish.clone() },
            v1::CreateNetwork { ipv4: false, ..wish.clone() },
            v1::CreateNetwork { ipv6: true, ..wish.clone() },
        ] {
            assert_eq!(check(&wrong, &macvlan).unwrap_err().code, Code::InvalidOption, "{wrong:?}");
        }
    }

    fn parent() -> bowline_core::medium::Parent {
        bowline_core::medium::Parent { link: "eth0".parse().unwrap(), vlan: None }
    }
}
