//! Which subnets a network gets: those asked for, checked against the host, or free ones from the pools.

use bowline_api::v1;
use bowline_core::ipam::pools::{self, Busy, PoolSpec};
use bowline_core::kernel::Facts;
use bowline_core::medium::Medium;
use bowline_core::name::LinkName;
use bowline_core::network::Subnet;
use bowline_core::place::Place;
use bowline_core::{Code, Error, Result};
use ipnetwork::IpNetwork;

use super::Manager;
use super::keeper::subnet;
use super::networks::gateways;
use crate::config::Ipv6Pool;

type BusyNets = Vec<(IpNetwork, Busy)>;

impl Manager {
    /// The subnets of a network to be made. Nothing of this host's is overlapped.
    pub(super) fn choose_subnets(
        &self,
        wish: &v1::CreateNetwork,
        host: Place,
        medium: &Medium,
        facts: &Facts,
    ) -> Result<Vec<Subnet>> {
        if wish.ipam == v1::Ipam::None {
            return no_subnets(wish);
        }
        if medium.bridge_of_others().is_some() && wish.subnets.is_empty() {
            return Err(no_subnet(&wish.name)
                .because("members of a bridge of others have addresses of its subnet, which is not ours to guess")
                .fix("give it with --subnet, and a part that no DHCP server uses with --ip-range; or say --ipam none"));
        }
        let gateways = gateways(wish)?;
        let parent = parent_of(medium, wish)?;
        let mut busy = self.busy(host, parent.as_ref(), facts);
        let mut chosen = Vec::new();
        for spec in &wish.subnets {
            let subnet = subnet(spec, medium, gateways)?;
            self.must_be_free(subnet.net(), &busy, &wish.name)?;
            busy.push((subnet.net(), Busy::Network(wish.name.parse()?)));
            chosen.push(subnet);
        }
        let has = |chosen: &[Subnet], ipv6: bool| chosen.iter().any(|s| s.net().is_ipv6() == ipv6);
        for (ipv6, wanted) in [(false, wish.ipv4 && chosen.is_empty()), (true, wish.ipv6)] {
            if wanted && !has(&chosen, ipv6) {
                // Not even of another host's networks, for an endpoint may be on both.
                let everywhere = [busy.as_slice(), &self.networks_elsewhere(host)].concat();
                let net = pools::choose(&self.pools(ipv6), &everywhere)?;
                busy.push((net, Busy::Network(wish.name.parse()?)));
                chosen.push(subnet(&v1::SubnetSpec::new(net.to_string()), medium, gateways)?);
            }
        }
        if chosen.is_empty() {
            return Err(no_subnet(&wish.name)
                .because("neither IPv4 nor IPv6 is wanted")
                .fix("ask for --ipv6, or give a --subnet"));
        }
        Ok(chosen)
    }

    fn must_be_free(&self, net: IpNetwork, busy: &BusyNets, name: &str) -> Result<()> {
        let Some(found) = pools::overlap(net, busy) else { return Ok(()) };
        let next = pools::choose(&self.pools(net.is_ipv6()), busy).ok();
        let error = pools::overlap_error(net, found, next);
        let fix = error.fix.map(|fix| fix.replace("NAME", name));
        Err(Error { fix, ..error })
    }

    fn pools(&self, ipv6: bool) -> Vec<PoolSpec> {
        let config = self.config();
        match (ipv6, config.ipv6) {
            (false, _) => config.pools.clone(),
            (true, Ipv6Pool::Random) => vec![PoolSpec::ula(self.ula)],
            (true, Ipv6Pool::Prefix(base)) => PoolSpec::new(base, 64).into_iter().collect(),
        }
    }

    fn networks_elsewhere(&self, host: Place) -> BusyNets {
        let mut busy = BusyNets::new();
        self.index
            .networks()
            .iter()
            .filter(|keeper| keeper.host != host)
            .for_each(|keeper| keeper.lock().claim(&mut busy));
        busy
    }

    /// What the host uses, our own networks by their names. A network that hangs on a link may be the LAN behind it: what
    /// the host has there is not in its way.
    fn busy(&self, host: Place, parent: Option<&LinkName>, facts: &Facts) -> BusyNets {
        let mut busy = BusyNets::new();
        self.index
            .networks()
            .iter()
            .filter(|keeper| keeper.host == host)
            .for_each(|keeper| keeper.lock().claim(&mut busy));
        let prefix =
            |net: &IpNetwork| IpNetwork::new(net.network(), net.prefix()).expect("a prefix of itself");
        let addresses = facts.addresses.iter().filter(|(link, _)| Some(link) != parent);
        busy.extend(addresses.map(|(link, net)| (prefix(net), Busy::Address(link.clone()))));
        let routes = facts.routes.iter().filter(|(by, _)| by.is_none() || by.as_ref() != parent);
        busy.extend(routes.map(|(_, net)| (*net, Busy::Route)));
        if parent.is_none() {
            busy.extend(self.resolver.nameservers().map(|ip| (IpNetwork::from(ip), Busy::Nameserver)));
        }
        busy
    }
}

/// The link whose own addresses and routes are in nobody's way.
fn parent_of(medium: &Medium, wish: &v1::CreateNetwork) -> Result<Option<LinkName>> {
    if medium.bridge_of_others().is_some() {
        return wish.parent.as_deref().map(str::parse).transpose();
    }
    Ok(medium.direct().and_then(|direct| direct.parent.as_ref()).map(|parent| parent.link.clone()))
}

/// Nobody gives addresses, so there are none to give them from.
fn no_subnets(wish: &v1::CreateNetwork) -> Result<Vec<Subnet>> {
    if wish.subnets.is_empty() && !wish.ipv6 && wish.routes.is_empty() {
        return Ok(Vec::new());
    }
    Err(Error::new(Code::InvalidOption, format!("create network {:.80}", wish.name))
        .because("with --ipam none nobody gives addresses: a subnet, a route or --ipv6 means nothing")
        .fix("leave those out, or leave --ipam out"))
}

fn no_subnet(name: &str) -> Error {
    Error::new(Code::InvalidOption, format!("network {name:.80} would have no subnet"))
}
