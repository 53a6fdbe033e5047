//! The verbs of networks.

mod wish;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard};

use bowline_api::v1::{self, EventKind};
use bowline_core::kernel::Facts;
use bowline_core::medium::{Direct, Medium};
use bowline_core::name::{Id, Name};
use bowline_core::network::{Gateway, Gateways, Mtu, Network};
use bowline_core::place::Place;
use bowline_core::plan::{Change, diff};
use bowline_core::state::State;
use bowline_core::{Code, Context, Error, Result, driver};

pub(super) use self::wish::gateways;
use self::wish::{builtin, super_packets, trusted, updated, uplink_mtu};
use super::attach::among;
use super::direct::{self, Below};
use super::endpoints::{Caller, door};
use super::hosts::Side;
use super::keeper::{Keeper, Kept, isolation, neighbours, static_routes};
use super::relay::Beside;
use super::seat::{Seat, Seated, wanted};
use super::{Manager, known, lease, medium, now_unix_ms};
use crate::store::{EndpointRecord, Life};

/// BIG TCP, on both ends of every veth pair and on the bridge.
const BIG: u32 = 196_608;

/// An Ethernet's, for a host without an uplink.
const USUAL_MTU: u32 = 1500;

impl Manager {
    pub fn networks(&self) -> Vec<v1::Network> {
        let own = self.index.networks();
        let mut all: Vec<_> = own.iter().map(|keeper| keeper.lock().view()).collect();
        all.extend(["host", "none"].map(builtin));
        all
    }

    pub fn network(&self, name: &str) -> Result<v1::Network> {
        match name {
            "host" | "none" => Ok(builtin(name)),
            _ => Ok(self.index.network(name)?.lock().view()),
        }
    }

    pub fn create_network(&self, wish: &v1::CreateNetwork, caller: Caller) -> Result<v1::Network> {
        let mut sides = self.hosts.lock();
        let host = self.host_of(&mut sides, wish, caller)?;
        let made = self.make_network(&mut sides, host, wish);
        if made.is_err() {
            self.leave_host(&mut sides, host);
        }
        let view = made?;
        tracing::info!(network = %view.name, "created");
        self.tell(EventKind::NetworkCreated, Some(&view.name), None, None);
        Ok(view)
    }

    pub fn plan_network(&self, wish: &v1::CreateNetwork, caller: Caller) -> Result<v1::Plan> {
        let mut sides = self.hosts.lock();
        let host = self.host_of(&mut sides, wish, caller)?;
        let side = sides.get(&host).copied().unwrap_or_default();
        let steps = self.check_network(wish, host).map(|(kept, facts)| steps_to(side, &kept.network, &facts));
        self.leave_host(&mut sides, host);
        Ok(v1::Plan { steps: steps?.iter().map(Change::to_string).collect() })
    }

    fn host_of(
        &self,
        sides: &mut BTreeMap<Place, Side>,
        wish: &v1::CreateNetwork,
        caller: Caller,
    ) -> Result<Place> {
        let door = wish.host_netns.as_ref().map(|netns| door(netns, caller)).transpose()?;
        self.enter_host(sides, door.as_ref()).context(|| format!("create network {:.80}", wish.name))
    }

    fn make_network(
        &self,
        sides: &mut BTreeMap<Place, Side>,
        host: Place,
        wish: &v1::CreateNetwork,
    ) -> Result<v1::Network> {
        let (mut kept, facts) = self.check_network(wish, host)?;
        if host != self.host {
            let path = wish.host_netns.as_ref().and_then(|netns| netns.path.clone());
            kept.elsewhere = Some(v1::NetnsStatus { cookie: host.0, path });
        }
        let (id, name) = (kept.network.id, kept.network.name.clone());
        let side = sides.entry(host).or_default();
        self.store.put_network(id, &kept.record())?;
        if let Err(error) = self.kernel.apply(&steps_to(*side, &kept.network, &facts)) {
            self.take_back_network(&kept.network);
            return Err(error.context(format!("create network {name}")));
        }
        *side = side.with(&kept.network);
        let view = kept.view();
        let links = kept.links();
        self.welcome(&kept.network);
        let hangs = kept.network.medium.has_parent();
        self.index.add_network(Arc::new(Keeper::new(kept)), links);
        if hangs {
            self.follow_parents(host);
        }
        Ok(view)
    }

    pub fn remove_network(&self, name: &str) -> Result<()> {
        if matches!(name, "host" | "none") {
            return Err(
                Error::new(Code::ReservedName, format!("network {name} is always there")).fix("leave it")
            );
        }
        let keeper = self.index.network(name)?;
        // Interfaces on their way out hold ports of the bridge; they are gone in a moment, but others may follow them.
        for _ in 0..20 {
            self.reaper.wait_until_idle();
            match self.remove_empty(&keeper) {
                Err(error) if error.code == Code::Busy => (),
                done => return done,
            }
        }
        self.remove_empty(&keeper)
    }

    /// Networks without endpoints.
    pub fn prune_networks(&self) -> Result<v1::Pruned> {
        self.reaper.wait_until_idle();
        let mut pruned = v1::Pruned::default();
        for keeper in self.index.networks() {
            let removed = self.remove_empty(&keeper);
            // One that somebody is on, or is leaving, or has just removed, is not to be pruned.
            let spared = |code| matches!(code, Code::NetworkInUse | Code::NetworkNotFound | Code::Busy);
            match removed {
                Ok(()) => pruned.removed.push(keeper.name.to_string()),
                Err(error) if spared(error.code) => (),
                Err(error) => return Err(error),
            }
        }
        Ok(pruned)
    }

    pub fn update_network(&self, name: &str, wish: &v1::UpdateNetwork) -> Result<v1::Network> {
        let keeper = self.index.network(name)?;
        if let Some(labels) = &wish.labels {
            crate::labels::check(labels)?;
        }
        medium::fit_update(&keeper.lock().network, wish)?;
        let before = keeper.lock().mtu_asked;
        if let Some(bytes) = wish.mtu_bytes {
            self.fits_its_parent(&keeper, bytes)?;
            keeper.lock().mtu_asked = Some(bytes);
        }
        let view = self.change_network(name, wish).inspect_err(|_| keeper.lock().mtu_asked = before)?;
        tracing::info!(network = %view.name, "updated");
        self.tell(EventKind::NetworkUpdated, Some(&view.name), None, None);
        Ok(view)
    }

    /// Makes an update that is known to be sound.
    pub(super) fn change_network(&self, name: &str, wish: &v1::UpdateNetwork) -> Result<v1::Network> {
        let keeper = self.index.network(name)?;
        loop {
            // Seats come before keepers, so the members are looked up first, and once more when all is locked.
            let members: BTreeSet<Id> = keeper.lock().members.keys().copied().collect();
            let seats: Vec<Arc<Seat>> =
                self.index.endpoints().into_iter().filter(|seat| members.contains(&seat.id)).collect();
            let mut seats: Vec<_> = seats.iter().map(|seat| (seat.id, seat)).collect();
            seats.sort_by_key(|(id, _)| *id);
            let seated: Vec<_> = seats.iter().map(|(_, seat)| seat.lock()).collect();
            let networks: BTreeSet<Id> = seated
                .iter()
                .flat_map(|s| s.endpoint.interfaces.iter().map(|i| i.network))
                .chain([keeper.id])
                .collect();
            let keepers: Vec<_> =
                networks.into_iter().filter_map(|id| self.index.network_by_id(id)).collect();
            let mut kept: Vec<_> = keepers.iter().map(|k| k.lock()).collect();
            let Some(at) = kept.iter().position(|k| k.network.id == keeper.id) else {
                return Err(Error::new(Code::NetworkNotFound, format!("network {name} was just removed")));
            };
            if kept[at].members.keys().all(|id| seated.iter().any(|s| s.endpoint.id == *id)) {
                return self.update_locked(&mut kept, at, &seated, wish);
            }
        }
    }

    fn update_locked(
        &self,
        kept: &mut [MutexGuard<'_, Kept>],
        at: usize,
        seated: &[MutexGuard<'_, Seated>],
        wish: &v1::UpdateNetwork,
    ) -> Result<v1::Network> {
        kept[at].still_there()?;
        let old = kept[at].network.clone();
        let new = updated(&old, wish)?;
        let whole = |kept: &[MutexGuard<'_, Kept>], network: &Network| -> State {
            let find = |id: Id| if id == network.id { Some(network) } else { among(kept)(id) };
            let members = seated.iter().filter(|s| s.life == Life::Live).map(|s| wanted(&s.endpoint, find));
            members.chain([driver::network(network)]).collect()
        };
        let (before, after) = (whole(kept, &old), whole(kept, &new));
        let beside = |kept: &[MutexGuard<'_, Kept>], network: &Network| -> Vec<Beside> {
            let find = |id: Id| if id == network.id { Some(network) } else { among(kept)(id) };
            seated.iter().map(|s| Beside::of(&s.endpoint, find)).collect()
        };
        let (was_beside, now_beside) = (beside(kept, &old), beside(kept, &new));
        self.move_ports(seated, &was_beside, &now_beside)
            .context(|| format!("update network {}", new.name))?;
        let old_labels = kept[at].labels.clone();
        kept[at].network = new.clone();
        if let Some(labels) = &wish.labels {
            kept[at].labels = labels.clone();
        }
        let steps = diff(&before, &after);
        let done = self
            .store
            .put_endpoints(&records(seated, &steps, true))
            .and_then(|()| self.store.put_network(new.id, &kept[at].record()))
            .and_then(|()| self.apply_everywhere(&steps, seated));
        if let Err(error) = done {
            kept[at].network = old;
            kept[at].labels = old_labels;
            seated.iter().zip(now_beside.iter().zip(&was_beside)).for_each(|(s, (now, was))| {
                self.give_up(s.endpoint.id, now, was);
            });
            let undone = self
                .store
                .put_network(new.id, &kept[at].record())
                .and_then(|()| self.apply_everywhere(&diff(&after, &before), seated));
            undone.unwrap_or_else(
                |e| tracing::warn!(network = %new.name, code = %e.code, "undo an update: {e}"),
            );
            was_beside.iter().for_each(|was| self.begin_relays(was));
            return Err(error.context(format!("update network {}", new.name)));
        }
        for (s, (was, now)) in seated.iter().zip(was_beside.iter().zip(&now_beside)) {
            self.give_up(s.endpoint.id, was, now);
            self.begin_relays(now);
            self.know(s, kept);
        }
        self.store.put_endpoints(&records(seated, &steps, false))?;
        Ok(kept[at].view())
    }

    /// Before the kernel hears of it: what members will hold is reserved, all of it or nothing, and what is relayed
    /// otherwise from now on, or not at all, ends.
    fn move_ports(&self, seated: &[MutexGuard<'_, Seated>], was: &[Beside], now: &[Beside]) -> Result<()> {
        let members = || seated.iter().zip(was.iter().zip(now));
        for (at, (s, (was, now))) in members().enumerate() {
            if let Err(error) = self.reserve(&s.endpoint, was, now) {
                members().take(at).for_each(|(s, (was, now))| self.give_up(s.endpoint.id, now, was));
                return Err(error);
            }
        }
        members().for_each(|(_, (was, now))| self.end_relays(was, now));
        Ok(())
    }

    /// Steps of the host's and of many containers', each container entered for its own.
    fn apply_everywhere(&self, steps: &[Change], seated: &[MutexGuard<'_, Seated>]) -> Result<()> {
        let containers: BTreeSet<Place> = seated.iter().map(|s| s.endpoint.place).collect();
        let (inside, here): (Vec<_>, Vec<_>) =
            steps.iter().cloned().partition(|c| containers.contains(&c.place()));
        self.kernel.apply(&here)?;
        let places: BTreeSet<Place> = inside.iter().map(Change::place).collect();
        for place in places {
            let steps: Vec<Change> = inside.iter().filter(|c| c.place() == place).cloned().collect();
            let owner = seated.iter().find(|s| s.endpoint.place == place);
            let Some(door) = owner.and_then(|s| s.door()) else {
                tracing::warn!(%place, "a container cannot be entered and keeps what it has");
                continue;
            };
            let opened = match self.kernel.open(&door) {
                Ok(opened) => opened,
                // It is gone, or going: there is nothing left to change.
                Err(error) if matches!(error.code, Code::NetnsGone | Code::InvalidNetns) => continue,
                Err(error) => return Err(error),
            };
            let applied = if opened == place { self.kernel.apply(&steps) } else { Ok(()) };
            self.kernel.close(opened);
            applied?;
        }
        Ok(())
    }

    /// Everything about the wish that can be wrong, before anything is done.
    fn check_network(&self, wish: &v1::CreateNetwork, host: Place) -> Result<(Kept, Facts)> {
        let name = Name::for_new(&wish.name)?;
        let medium = medium::asked(wish)?;
        lease::check(wish, &medium)?;
        if let Ok(there) = self.index.network(name.as_str()) {
            return Err(Error::new(Code::NetworkExists, format!("network {} exists already", there.name))
                .fix(format!("choose another name, or remove it first: bowline network rm {}", there.name)));
        }
        crate::labels::check(&wish.labels)?;
        if wish.dns {
            known::check(&name)?;
        }
        let facts = self.kernel.facts(host).context(|| "look at the host's addresses and routes".into())?;
        let (medium, parent) = match medium {
            Medium::Direct(direct) => {
                let (direct, parent) = self.settle_on(wish, host, direct)?;
                (Medium::Direct(direct), parent)
            }
            Medium::Bridge(bridge) => {
                let parent = self.bridge_of_others(wish, &bridge, host)?;
                (Medium::Bridge(bridge), parent)
            }
            Medium::Pair => (medium, None),
        };
        let subnets = match wish.ipam {
            v1::Ipam::Pools | v1::Ipam::None => self.choose_subnets(wish, host, &medium, &facts)?,
            v1::Ipam::Dhcp => Vec::new(),
        };
        let ipv6 = subnets.iter().any(|s| s.net().is_ipv6());
        let mtu = match &parent {
            Some(parent) => direct::fitting(wish.mtu_bytes, parent)?,
            None => wish.mtu_bytes.or(self.config().mtu).unwrap_or_else(|| uplink_mtu(&facts)),
        };
        let gso = if wish.gso == v1::Gso::Auto { self.config().gso } else { wish.gso };
        let id = self.fresh_id();
        let hangs = medium.has_parent();
        let is_wire = medium == Medium::Pair;
        let network = Network {
            id,
            bridge: match (&medium, &parent) {
                (Medium::Direct(Direct { parent: Some(parent), .. }), _) => parent.link.clone(),
                (Medium::Bridge(_), Some(theirs)) => theirs.name.clone(),
                (Medium::Bridge(_) | Medium::Direct(_) | Medium::Pair, _) => {
                    self.name_of_bridge(wish, host, &facts, (&name, id))?
                }
            },
            name,
            host,
            medium,
            ipam: medium::ipam(wish.ipam),
            routes: static_routes(&wish.routes, &subnets)?,
            subnets,
            mtu: Mtu::new(mtu, ipv6)?,
            // Cards have what their parent has.
            gso: (!hangs && super_packets(gso, wish.internal, &facts)).then_some(BIG),
            internal: wish.internal || is_wire,
            dns: wish.dns,
            isolation: isolation(wish.isolation),
            neighbours: neighbours(wish.icc),
            masquerade: wish.masquerade,
            gateways: if is_wire {
                Gateways { v4: Gateway::Isolated, v6: Gateway::Isolated }
            } else {
                gateways(wish)?
            },
            trusted: trusted(&wish.trusted_interfaces)?,
        };
        let mut kept = Kept::new(network, wish.gso, wish.labels.clone(), now_unix_ms());
        if hangs {
            kept.mtu_asked = wish.mtu_bytes;
            kept.below = parent.as_ref().map(Below::of);
            self.reserve_lan(&mut kept, &facts);
            if wish.host_access {
                Manager::give_access(&mut kept)?;
            }
        }
        Ok((kept, facts))
    }

    pub(super) fn remove_empty(&self, keeper: &Keeper) -> Result<()> {
        let mut sides = self.hosts.lock();
        let shared = self.shared_links(keeper.host, keeper.id);
        let mut kept = keeper.lock();
        kept.still_there()?;
        if !kept.members.is_empty() {
            let names: Vec<&str> = kept.members.values().take(5).map(|(name, _)| name.as_str()).collect();
            let more = kept.members.len() - names.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            return Err(Error::new(Code::NetworkInUse, format!("network {} has endpoints", keeper.name))
                .because(format!("{}{more}", names.join(", ")))
                .fix(format!(
                    "take them off first: bowline network disconnect {} {}",
                    keeper.name, names[0]
                )));
        }
        if kept.leaving > 0 {
            return Err(Error::new(Code::Busy, format!("network {} is still being left", keeper.name))
                .because(format!("the kernel has not let go of {} ports", kept.leaving))
                .fix("try again in a moment"));
        }
        // Before it is forgotten: whoever recovers it welcomes it again.
        self.unwelcome(&kept.network);
        self.store.remove_network(keeper.id)?;
        kept.removed = true;
        self.index.remove_network(keeper, &kept.links());
        let mut seen = driver::network(&kept.network);
        seen.links.retain(|key, _| !shared.contains(key));
        let hangs = kept.network.medium.direct().is_some();
        let last =
            !self.index.networks().iter().any(|other| other.host == keeper.host && other.passes_the_host);
        let side = sides.entry(keeper.host).or_default();
        if last && side.framed {
            seen.frames.insert(keeper.host);
            side.framed = false;
        }
        let done = self.kernel.apply(&diff(&seen, &State::default()));
        drop(kept);
        if hangs {
            self.follow_parents(keeper.host);
        }
        self.leave_host(&mut sides, keeper.host);
        self.tell(EventKind::NetworkRemoved, Some(keeper.name.as_str()), None, None);
        tracing::info!(network = %keeper.name, "removed");
        // It is forgotten; what the kernel kept of it is swept with the next repair.
        done.context(|| format!("remove network {}", keeper.name))
    }

    fn take_back_network(&self, network: &Network) {
        let mut made = driver::network(network);
        let shared = self.shared_links(network.host, network.id);
        made.links.retain(|key, _| !shared.contains(key));
        let undo = diff(&made, &State::default());
        for step in &undo {
            if let Err(error) = self.kernel.apply(std::slice::from_ref(step)) {
                tracing::warn!(network = %network.name, code = %error.code, "undo: {step}: {error}");
            }
        }
        if let Err(error) = self.store.remove_network(network.id) {
            tracing::warn!(network = %network.name, code = %error.code, "journal a failed network: {error}");
        }
    }
}

/// From a host as it is to one that holds the network too.
fn steps_to(side: Side, network: &Network, facts: &Facts) -> Vec<Change> {
    let after = side.with(network);
    let wanted = [after.state(network.host), driver::network(network)].into_iter().collect();
    let begins = after.ipv6 && !side.ipv6;
    let learn = if begins { driver::keep_learning(network.host, &facts.uplinks) } else { Vec::new() };
    [learn, diff(&side.state(network.host), &wanted)].concat()
}

/// The journal's view of those who have steps inside their namespaces: unsettled while these are made, for after a crash
/// they are looked into.
fn records(
    seated: &[MutexGuard<'_, Seated>],
    steps: &[Change],
    unsettled: bool,
) -> Vec<(Id, Option<EndpointRecord>)> {
    let places: BTreeSet<Place> = steps.iter().map(Change::place).collect();
    let changed = seated.iter().filter(|s| places.contains(&s.endpoint.place));
    changed.map(|s| (s.endpoint.id, Some(EndpointRecord { unsettled, ..s.record(&[]) }))).collect()
}
