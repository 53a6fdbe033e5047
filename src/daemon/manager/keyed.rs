//! Endpoints under a caller's own key: made together with their network, looked at, and swept by those who know which
//! are still theirs. For callers that ask blindly, again, and sometimes twice.

use std::collections::HashSet;
use std::sync::Arc;

use bowline_api::v1;
use bowline_core::kernel::Scope;
use bowline_core::name::{Name, quoted};
use bowline_core::place::Place;
use bowline_core::plan::{Change, diff};
use bowline_core::state::{LinkKey, State};
use bowline_core::{Code, Error, Result};

use super::Manager;
use super::attach::among;
use super::endpoints::{Caller, door, live, no_way_in};
use super::keeper::{Keeper, Kept};
use super::seat::wanted;

/// The label of a network that was made for somebody's endpoints, and not by name.
const MADE_FOR: &str = "bowline.made-for";

/// How often a network that others make or remove at the same moment is looked for.
const TRIES: usize = 5;

const LONGEST: usize = 512;

impl Manager {
    /// Makes networks that are not there, and the endpoint on them. On failure those made are taken back.
    pub(super) fn make_and_create(&self, wish: &v1::CreateEndpoint, caller: Caller) -> Result<v1::Endpoint> {
        let mut tries = 1;
        loop {
            let mut on = wish.clone();
            let mut made = Vec::new();
            let created = wish
                .make
                .iter()
                .try_for_each(|make| {
                    let (keeper, new) = self.network_for(make, caller)?;
                    for join in on.networks.iter_mut().filter(|join| join.network == make.name) {
                        join.network = keeper.name.to_string();
                    }
                    made.extend(new.then_some(keeper));
                    Ok(())
                })
                .and_then(|()| self.create_on(&on, caller));
            if created.is_err() {
                for keeper in made {
                    // Somebody else may be on it by now, or on his way.
                    drop(self.remove_empty(&keeper));
                }
            }
            match created {
                // It was removed between the look and the join.
                Err(error) if error.code == Code::NetworkNotFound && tries < TRIES => tries += 1,
                done => return done,
            }
        }
    }

    /// The network that is there for a wish, or a new one; true where it is new.
    fn network_for(&self, wish: &v1::CreateNetwork, caller: Caller) -> Result<(Arc<Keeper>, bool)> {
        let host = match &wish.host_netns {
            Some(netns) => self.kernel.open_host(&door(netns, caller)?)?,
            None => self.host,
        };
        let wish = v1::CreateNetwork { name: self.name_on(host, &wish.name), ..wish.clone() };
        for _ in 0..TRIES {
            if let Ok(keeper) = self.index.network(&wish.name) {
                match self.as_wished(&keeper, &wish, host) {
                    None => return Ok((keeper, false)),
                    Some(error) => self.remove_to_make_anew(&keeper, error)?,
                }
            }
            match self.create_network(&wish, caller) {
                Ok(_) => return self.index.network(&wish.name).map(|keeper| (keeper, true)),
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

    /// Removes the endpoints whose key begins so, but for those that are named.
    pub fn sweep_endpoints(&self, sweep: &v1::Sweep) -> Result<v1::Pruned> {
        let keep: HashSet<&str> = sweep.keep.iter().map(String::as_str).collect();
        let mut pruned = v1::Pruned::default();
        if !sweep.prefix.ends_with('/') {
            return Err(Error::new(Code::InvalidRequest, "sweep endpoints")
                .because("a prefix of keys ends with /")
                .fix("end it with the / behind its last word"));
        }
        for seat in self.index.endpoints_keyed(&sweep.prefix) {
            if seat.key.as_deref().is_some_and(|key| keep.contains(key)) {
                continue;
            }
            match self.remove_seat(&seat) {
                Ok(()) => pruned.removed.push(seat.name.to_string()),
                Err(error) if error.code == Code::EndpointNotFound => (),
                Err(error) => return Err(error),
            }
        }
        Ok(pruned)
    }

    /// Takes away what was asked for while the daemon was away; what has the key only since then stays.
    pub fn remove_spooled(&self) {
        for (file, spooled) in bowline_api::spool::all(&self.paths.state_dir) {
            let seat = self.index.endpoint(&spooled.key).ok();
            let older = seat.filter(|seat| seat.lock().created_unix_ms <= spooled.unix_ms);
            if let Some(Err(error)) = older.map(|seat| self.remove_seat(&seat))
                && error.code != Code::EndpointNotFound
            {
                // It stays where it is, for the next start.
                tracing::warn!(key = spooled.key, code = %error.code, "remove what was spooled: {error}");
                continue;
            }
            bowline_api::spool::done(&file);
        }
    }

    /// Where the kernel's part of one endpoint is not as wanted: its cards with all that is on them, and their ports.
    /// Its own MAC is left out, which others may have changed for it.
    pub fn look_at_endpoint(&self, name: &str, look: &v1::Look, caller: Caller) -> Result<v1::Drift> {
        let seat = self.index.endpoint(name)?;
        let given = look.netns.as_ref().map(|netns| door(netns, caller)).transpose()?;
        let seated = seat.lock();
        live(&seat, &seated)?;
        let door = given.or_else(|| seated.door()).ok_or_else(|| no_way_in(&seat))?;
        let place = self.open_again(&door, &seated)?;
        let keepers = self.keepers_of(&seated.endpoint);
        let kept: Vec<_> = keepers.iter().map(|k| k.lock()).collect();
        let mut want = wanted(&seated.endpoint, among(&kept));
        drop(kept);
        let ports: Vec<LinkKey> = seated.endpoint.interfaces.iter().map(|i| self.port(i)).collect();
        let outside = ports.iter().map(|port| self.kernel.observe(&Scope::Port(port.clone())));
        let inside = self.seen_inside(&seated.endpoint, place);
        let seen: Result<State> = outside.chain([inside]).collect();
        self.kernel.close(place);
        let seen = seen?;
        // The firewall's part is the daemon's to watch: it is put back whole within moments.
        (want.elements, want.frames, want.held) = Default::default();
        want.sysctls.retain(|key, _| key.place == place);
        for (key, link) in want.links.iter_mut().filter(|(key, _)| !ports.contains(key)) {
            link.mac = seen.links.get(key).and_then(|there| there.mac);
        }
        Ok(v1::Drift { steps: diff(&seen, &want).iter().map(Change::to_string).collect() })
    }
}

/// A key as a caller may choose it.
pub(super) fn check(key: &str) -> Result<()> {
    if key.contains('/') && key.len() <= LONGEST && key.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(());
    }
    Err(Error::new(Code::InvalidName, format!("key {} is not usable", quoted(key)))
        .because(format!("it has no /, more than {LONGEST} bytes, or others than printable ones of ASCII"))
        .fix("write it as program/where/what"))
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
                && spec.gateway.is_none_or(|gateway| gateway == subnet.gateway())
                && spec.ip_range == subnet.range().map(|range| range.to_string())
        })
    };
    if wish.subnets.is_empty()
        || (wish.subnets.len() == network.subnets.len() && wish.subnets.iter().all(there))
    {
        return None;
    }
    let all: Vec<String> = network.subnets.iter().map(|s| s.net().to_string()).collect();
    Some(format!("its subnets are {}, or have other gateways or ranges than asked for", all.join(", ")))
}
