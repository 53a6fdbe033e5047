//! Networks that are made with their first endpoint, by whoever brings their description with each: taken where they are
//! as described, made anew where they are not and nobody is on them.

use std::sync::Arc;

use bowline_api::v1;
use bowline_core::kernel::Facts;
use bowline_core::name::{Id, LinkName, Name};
use bowline_core::network::Network;
use bowline_core::place::Place;
use bowline_core::plan::diff;
use bowline_core::state::LinkKey;
use bowline_core::{Code, Context, Error, Result, driver};

use super::Manager;
use super::endpoints::{Caller, door};
use super::keeper::{Keeper, Kept};
use super::keyed::{self, TRIES};
use super::seat::{Seat, Seated};

/// The label of a network that was made for somebody's endpoints, and not by name.
const MADE_FOR: &str = "bowline.made-for";

impl Manager {
    /// The network that is there for a wish, or a new one; true where it is new.
    pub(super) fn network_for(
        &self,
        wish: &v1::CreateNetwork,
        caller: Caller,
    ) -> Result<(Arc<Keeper>, bool)> {
        let host = match &wish.host_netns {
            Some(netns) => self.kernel.open_host(&door(netns, caller)?)?,
            None => self.host,
        };
        let wish = v1::CreateNetwork { name: self.name_on(host, &wish.name), ..wish.clone() };
        for _ in 0..TRIES {
            if let Ok(keeper) = self.index.network(&wish.name) {
                match self.as_wished(&keeper, &wish, host) {
                    None => return Ok((keeper, false)),
                    Some(error) if wish.grows && error.code == Code::NetworkInUse => {
                        return self.grow(&keeper, &wish).map(|()| (keeper, false));
                    }
                    Some(error) => self.remove_to_make_anew(&keeper, error)?,
                }
            }
            match self.create_network(&wish, caller) {
                Ok(_) => {
                    let keeper = self.index.network(&wish.name)?;
                    self.reserve_for_others(&keeper, &wish.reserved)?;
                    return Ok((keeper, true));
                }
                // Somebody was faster.
                Err(error) if error.code == Code::NetworkExists => (),
                Err(error) => return Err(error),
            }
        }
        Err(Error::new(Code::Busy, format!("network {:.80} is made and removed all the time", wish.name))
            .fix("try again in a moment"))
    }

    /// Two hosts may have a network of one name; ours have the names as they are.
    fn name_on(&self, host: Place, name: &str) -> String {
        if host == self.host {
            return name.to_string();
        }
        let tail = format!("-{:x}", host.0);
        let head: String = name.chars().take(Name::MAX.saturating_sub(tail.len())).collect();
        head + &tail
    }

    /// What is in the way of taking it for the wish.
    fn as_wished(&self, keeper: &Keeper, wish: &v1::CreateNetwork, host: Place) -> Option<Error> {
        let kept = keeper.lock();
        let purpose = wish.labels.get(MADE_FOR);
        if purpose.is_none() || kept.labels.get(MADE_FOR) != purpose || keeper.host != host {
            return Some(
                Error::new(
                    Code::NetworkExists,
                    format!("network {} was made for something else", keeper.name),
                )
                .because("it does not belong to the configuration that asks for it")
                .fix("give the configuration another name, or have it join the network by name"),
            );
        }
        let why = differs(&kept, wish)?;
        Some(
            Error::new(Code::NetworkInUse, format!("network {} is otherwise than asked for", keeper.name))
                .because(why)
                .fix("take its endpoints off first: it is made anew when nobody is on it"),
        )
    }

    /// A network whose configuration was changed is made anew, where nobody is on it.
    fn remove_to_make_anew(&self, keeper: &Arc<Keeper>, error: Error) -> Result<()> {
        if error.code != Code::NetworkInUse {
            return Err(error);
        }
        match self.remove_network(keeper.name.as_str()) {
            Err(in_use) if in_use.code == Code::NetworkInUse => Err(error),
            Err(gone) if gone.code == Code::NetworkNotFound => Ok(()),
            done => done,
        }
    }

    /// The one that was asked for, or one made of the network's name that nobody has.
    pub(super) fn name_of_bridge(
        &self,
        wish: &v1::CreateNetwork,
        host: Place,
        facts: &Facts,
        (name, id): (&Name, Id),
    ) -> Result<LinkName> {
        let taken = |bridge: &LinkName| {
            let owner = self.index.owner(&LinkKey::new(host, bridge.clone()));
            facts.links.contains(bridge) || owner.is_some()
        };
        let Some(text) = &wish.bridge else {
            let usual = Some(Network::bridge_name(name, id)).filter(|bridge| !taken(bridge));
            return Ok(usual.unwrap_or_else(|| Network::bridge_name_by_id(name, id)));
        };
        let bridge = text.parse()?;
        if taken(&bridge) { Err(link_exists(&bridge)) } else { Ok(bridge) }
    }

    /// Adds the subnets that it does not have: those of an address that somebody else gave.
    fn grow(&self, keeper: &Keeper, wish: &v1::CreateNetwork) -> Result<()> {
        let mut sides = self.hosts.lock();
        let facts = self.kernel.facts(keeper.host)?;
        let kept = keeper.lock();
        kept.still_there()?;
        let known =
            |spec: &v1::SubnetSpec| kept.network.subnets.iter().any(|s| s.net().to_string() == spec.cidr);
        let subnets = wish.subnets.iter().filter(|spec| !known(spec)).cloned().collect();
        let more = v1::CreateNetwork { subnets, ipv4: false, ipv6: false, ..wish.clone() };
        let old = kept.network.clone();
        drop(kept);
        if more.subnets.is_empty() {
            return Err(Error::new(
                Code::InvalidOption,
                format!("network {} is otherwise than asked for", keeper.name),
            )
            .because("its bridge, a gateway or a range is another")
            .fix("take its endpoints off first: it is made anew when nobody is on it"));
        }
        // Without the lock of the network, whose own subnets are looked at as well; none is added while the hosts are locked.
        let fresh = self.choose_subnets(&more, keeper.host, &old.medium, &facts)?;
        let mut kept = keeper.lock();
        let mut new = old.clone();
        new.subnets.extend(fresh);
        let side = sides.entry(keeper.host).or_default();
        let after = side.with(&new);
        let begins = after.ipv6 && !side.ipv6;
        let learn = if begins { driver::keep_learning(keeper.host, &facts.uplinks) } else { Vec::new() };
        let whole = |side: super::hosts::Side, network| {
            [side.state(keeper.host), driver::network(network)].into_iter().collect()
        };
        let steps = [learn, diff(&whole(*side, &old), &whole(after, &new))].concat();
        kept.grow(new);
        self.store
            .put_network(keeper.id, &kept.record())
            .and_then(|()| self.kernel.apply(&steps))
            .context(|| format!("add subnets to network {}", keeper.name))?;
        *side = after;
        Ok(())
    }

    /// Addresses that others have already, each kept under a key until that is removed.
    fn reserve_for_others(&self, keeper: &Keeper, reserved: &[v1::Reservation]) -> Result<()> {
        let mut records = Vec::new();
        for wish in reserved {
            keyed::check(&wish.key)?;
            let name = Name::for_new(&wish.name)?;
            let mut seated = Seated::stopped(self.fresh_id(), name.clone());
            seated.key = Some(wish.key.clone());
            seated.created_unix_ms = super::now_unix_ms();
            seated.reserved = vec![(keeper.id, wish.addresses.clone())];
            let record = seated.record(&[]);
            let seat = Arc::new(Seat::new(seated));
            if self.index.add_endpoint(seat.clone()).is_none() {
                keeper.lock().keep_fixed(&name, &wish.addresses);
                records.push((seat.id, Some(record)));
            }
        }
        if records.is_empty() {
            return Ok(());
        }
        tracing::info!(network = %keeper.name, endpoints = records.len(), "took over addresses that others have");
        self.store.put_endpoints(&records)
    }
}

/// What of the wish is said, and is otherwise.
fn differs(kept: &Kept, wish: &v1::CreateNetwork) -> Option<String> {
    let network = &kept.network;
    if let Some(bridge) = wish.bridge.as_ref().filter(|bridge| **bridge != network.bridge.as_str()) {
        return Some(format!("its bridge is {}, and not {bridge}", network.bridge));
    }
    let there = |spec: &v1::SubnetSpec| {
        network.subnets.iter().any(|subnet| {
            subnet.net().to_string() == spec.cidr
                && spec.gateway.is_none_or(|gateway| Some(gateway) == subnet.gateway())
                && spec.ip_range == subnet.range().map(|range| range.to_string())
        })
    };
    let complete = wish.grows || wish.subnets.is_empty() || wish.subnets.len() == network.subnets.len();
    if complete && wish.subnets.iter().all(there) {
        return None;
    }
    let all: Vec<String> = network.subnets.iter().map(|s| s.net().to_string()).collect();
    Some(format!("its subnets are {}, or have other gateways or ranges than asked for", all.join(", ")))
}

/// A link that was there before is nobody's that we know of, and is not taken over.
fn link_exists(bridge: &LinkName) -> Error {
    Error::new(Code::LinkExists, format!("link {bridge} is there already"))
        .because("it is not this network's bridge, and what is not ours is left alone")
        .fix(format!("choose another name, or remove it when nobody needs it: ip link del {bridge}"))
}
