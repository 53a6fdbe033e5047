//! Starting again: what is remembered is loaded, what the kernel has is looked at, and the difference is made.
//!
//! There is no other recovery: what was half done when the daemon ended is either wanted, and completed, or not, and swept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard};

use bowline_core::endpoint::{Endpoint, Interface};
use bowline_core::kernel::Scope;
use bowline_core::name::{Id, Name};
use bowline_core::network::Network;
use bowline_core::place::Place;
use bowline_core::plan::{Change, diff};
use bowline_core::state::{LinkKey, State};
use bowline_core::{Code, Context, Error, Result, driver};

use super::Manager;
use super::attach::among;
use super::hosts::Side;
use super::keeper::{Keeper, Kept};
use super::reaper::Dead;
use super::relay::Beside;
use super::seat::{Seat, Seated, wanted};
use crate::kept;
use crate::store::{EndpointRecord, Life};
use bowline_api::v1::EventKind;

impl Manager {
    /// From the stores to memory.
    pub(super) fn load(&self) -> Result<()> {
        for record in self.store.networks()? {
            let name = record.name.clone();
            let host = match self.find_host(record.host.as_ref()) {
                Ok(host) => host,
                Err(error) => {
                    // Its bridge and all its ports died with the namespace.
                    tracing::warn!(network = %name, code = %error.code, "forgotten: {error}");
                    self.store.remove_network(record.id.parse()?)?;
                    continue;
                }
            };
            let kept = Kept::from_record(record, host).map_err(|e| damaged("network", &name, &e))?;
            let links = kept.links();
            self.index.add_network(Arc::new(Keeper::new(kept)), links);
        }
        let mut seats = Vec::new();
        for record in self.store.endpoints()? {
            seats.push(self.load_endpoint(&record).map_err(|e| damaged("endpoint", &record.name, &e))?);
        }
        seats.iter().for_each(|seat| self.retake_leaving(seat));
        for record in self.store.fixed()? {
            let (network, name): (Id, Name) = (record.network.parse()?, record.endpoint.parse()?);
            if let Some(keeper) = self.index.network_by_id(network) {
                keeper.lock().keep_fixed(&name, &record.addresses);
            }
        }
        self.seat_the_stopped();
        Ok(())
    }

    fn load_endpoint(&self, record: &EndpointRecord) -> Result<Arc<Seat>> {
        let mut seated = Seated::from_record(record)?;
        // A network that is not remembered any more takes its interfaces along.
        let known = |i: &Interface| self.index.network_by_id(i.network).is_some();
        let (staying, leaving): (Vec<_>, Vec<_>) = seated.endpoint.interfaces.drain(..).partition(known);
        seated.endpoint.interfaces = staying;
        seated.leaving.extend(leaving);
        let (id, name) = (seated.endpoint.id, &seated.endpoint.name);
        for interface in &seated.endpoint.interfaces {
            if let Some(keeper) = self.index.network_by_id(interface.network) {
                let mut kept = keeper.lock();
                kept.retake(id, name, &interface.addresses)?;
                kept.members.insert(id, (name.clone(), interface.clone()));
            }
        }
        let seat = Arc::new(Seat::new(seated));
        let seated = seat.lock();
        if seated.life != Life::Removed
            && let Some(there) = self.index.add_endpoint(seat.clone())
        {
            // A stopped one whose name was taken up again, and which was not forgotten in time.
            if seated.life == Life::Stopped {
                drop(seated);
                self.forget_stopped(&seat);
                return Ok(seat);
            }
            let stopped = there.lock().life == Life::Stopped;
            if !stopped || !self.index.replace_endpoint(&there, seat.clone()) {
                return Err(Error::new(
                    Code::StateCorrupt,
                    format!("two endpoints are called {}", seat.name),
                ));
            }
            self.forget_stopped(&there);
        }
        for (network, addresses) in &seated.reserved {
            if let Some(keeper) = self.index.network_by_id(*network) {
                keeper.lock().keep_fixed(&seat.name, addresses);
            }
        }
        for interface in &seated.endpoint.interfaces {
            self.index.add_port(self.port(interface), seat.clone());
        }
        if seated.life == Life::Removed && seated.leaving.is_empty() {
            self.store.put_endpoints(&[(seat.id, None)])?;
        }
        drop(seated);
        Ok(seat)
    }

    /// What was on its way out when the daemon ended still is. Its addresses may be somebody else's by now, who took them
    /// when the kernel had let go of them: then they are not its own to give back.
    fn retake_leaving(&self, seat: &Arc<Seat>) {
        let mut guard = seat.lock();
        let seated = &mut *guard;
        for interface in &mut seated.leaving {
            if let Some(keeper) = self.index.network_by_id(interface.network) {
                let mut kept = keeper.lock();
                kept.leaving += 1;
                let id = seated.endpoint.id;
                interface.addresses.retain(|a| kept.retake(id, &seated.endpoint.name, &[*a]).is_ok());
            }
            let host = self.port(interface).place;
            // What the firewall had about it is not wanted any more, and goes with the first look.
            let (elements, routes) = (Vec::new(), Vec::new());
            let (seat, interface) = (seat.clone(), interface.clone());
            self.reaper.bury(Dead { seat, interface, host, elements, routes, goodbye: None });
        }
    }

    /// A name that addresses are kept for is a stopped endpoint, also after a reboot.
    fn seat_the_stopped(&self) {
        for keeper in self.index.networks() {
            let names: Vec<Name> = keeper.lock().fixed_names().cloned().collect();
            for name in names {
                if self.index.endpoint_named(&name).is_none() {
                    let seated = Seated::stopped(self.fresh_id(), name);
                    self.index.add_endpoint(Arc::new(Seat::new(seated)));
                }
            }
        }
    }

    /// From memory to the kernel. Whatever fails is logged and left to the next repair: a daemon that is there and says
    /// what is wrong is worth more than one that is not.
    pub fn recover(&self, kept_sockets: kept::Kept) -> Result<()> {
        // Whoever asked while the daemon was away still waits.
        self.resume_names(kept_sockets);
        // What is held and not wanted is let go of with all else that the kernel has and should not.
        self.sockets.take_up_ports();
        self.first_hooks();
        self.find_renamed_parents();
        let missing = self.put_right(true).context(|| "put the kernel right".into())?.missing;
        for (seat, interface) in missing {
            self.heal_port(&seat, &interface);
        }
        for seat in self.index.endpoints() {
            self.settle(&seat);
            let seated = seat.lock();
            let keepers = self.keepers_of(&seated.endpoint);
            let kept: Vec<_> = keepers.iter().map(|k| k.lock()).collect();
            let beside = Beside::of(&seated.endpoint, among(&kept));
            if let Err(error) = self.reserve(&seated.endpoint, &Beside::default(), &beside) {
                tracing::error!(endpoint = %seat.name, code = %error.code, "its ports: {error}");
            }
            self.begin_relays(&beside);
        }
        self.sweep_resolvers();
        self.make_lost_resolvers();
        self.index.endpoints().iter().for_each(|seat| self.keep_leases_of(&seat.lock()));
        let places: BTreeSet<Place> = self.index.endpoints().iter().map(|seat| seat.place).collect();
        places.into_iter().for_each(|place| self.meet(place));
        for keeper in self.index.networks() {
            let network = keeper.lock().network.clone();
            self.welcome(&network);
        }
        self.look_at_all_parents();
        Ok(())
    }

    /// Finishes inside a namespace what was being done there when the daemon ended.
    fn settle(&self, seat: &Seat) {
        let mut seated = seat.lock();
        if !seated.unsettled || seated.life != Life::Live {
            return;
        }
        match self.inside(&seated, Inside::PutRight) {
            Ok(_) => {
                seated.unsettled = false;
                tracing::info!(endpoint = %seat.name, "settled");
                if let Err(error) = self.store.put_endpoint(seat.id, &seated.record(&[])) {
                    tracing::warn!(endpoint = %seat.name, code = %error.code, "journal: {error}");
                }
            }
            Err(error) => tracing::error!(endpoint = %seat.name, code = %error.code, "settle: {error}"),
        }
    }

    /// How an endpoint's namespace differs from what is wanted there. One that cannot be entered differs in nothing that
    /// we could know of.
    pub(super) fn inside(&self, seated: &Seated, then: Inside) -> Result<Vec<Change>> {
        let keepers = self.keepers_of(&seated.endpoint);
        let kept: Vec<_> = keepers.iter().map(|k| k.lock()).collect();
        let inside = seated.endpoint.place;
        let mut want = wanted(&seated.endpoint, among(&kept)).within(inside);
        if self.resolver.is_wanted(inside) {
            // By another endpoint of the namespace, if not by this one.
            want.resolvers.insert(inside);
        }
        let Some(door) = seated.door().filter(|_| seated.life == Life::Live) else { return Ok(Vec::new()) };
        let place = self.kernel.open(&door)?;
        let steps = if place == inside {
            self.seen_inside(&seated.endpoint, place).and_then(|seen| {
                let steps = diff(&seen, &want);
                match then {
                    Inside::Look => Ok(steps),
                    Inside::PutRight => self.kernel.apply(&steps).map(|()| {
                        // Sockets that were made again are others.
                        self.hear_again(seated, &kept);
                        steps
                    }),
                }
            })
        } else {
            Err(Error::new(Code::NetnsGone, format!("{door} leads to another namespace now")))
        };
        self.kernel.close(place);
        steps
    }

    /// What of an endpoint is seen in its open namespace.
    pub(super) fn seen_inside(&self, endpoint: &Endpoint, place: Place) -> Result<State> {
        let cards = endpoint.interfaces.iter().map(|i| Scope::Card(place, i.card.clone()));
        let settings = endpoint.interfaces.iter().flat_map(|i| i.inside.sysctls.keys());
        let settings: Vec<String> = settings.cloned().collect();
        let settings = (!settings.is_empty()).then_some(Scope::Sysctls(place, settings));
        cards.chain(settings).map(|scope| self.kernel.observe(&scope)).collect()
    }

    /// Compares every host with what is wanted, and makes the difference. Ports whose pair is gone are returned, for
    /// only with their container's namespace can they be made again.
    pub(super) fn put_right(&self, starting: bool) -> Result<Put> {
        let mut sides = self.hosts.lock();
        sides.entry(self.host).or_default();
        loop {
            let mut seats = self.index.endpoints();
            seats.sort_by_key(|seat| seat.id);
            let seated: Vec<_> = seats.iter().map(|s| s.lock()).collect();
            let mut keepers = self.index.networks();
            keepers.sort_by_key(|keeper| keeper.id);
            let kept: Vec<_> = keepers.iter().map(|k| k.lock()).collect();
            // Somebody may have joined between the look at the index and the locks: then it is looked at again.
            let known: BTreeSet<Id> = seats.iter().map(|seat| seat.id).collect();
            if kept.iter().all(|k| k.members.keys().all(|id| known.contains(id))) {
                return self.put_right_locked(&mut sides, &seats, &seated, &kept, starting);
            }
        }
    }

    fn put_right_locked(
        &self,
        sides: &mut BTreeMap<Place, Side>,
        seats: &[Arc<Seat>],
        seated: &[MutexGuard<'_, Seated>],
        kept: &[MutexGuard<'_, Kept>],
        starting: bool,
    ) -> Result<Put> {
        let mut put = Put::default();
        for (&place, side) in sides.iter_mut() {
            let here: Vec<&Network> = kept.iter().map(|k| &k.network).filter(|n| n.host == place).collect();
            *side = Side::of(here.iter().copied());
            self.kernel.claim(place)?;
            let mut seen = self.kernel.observe(&Scope::Host(place))?;
            let orphans = self.orphans(place, &here)?;
            let mut want = side.state(place);
            let there = here.into_iter().filter(|network| !orphans.contains(&network.id));
            want.extend(there.map(driver::network).collect());
            for (seat, seated) in seats.iter().zip(seated) {
                let mut ports = wanted(&seated.endpoint, among(kept)).within(place);
                for interface in &seated.endpoint.interfaces {
                    let port = LinkKey::new(place, interface.port.clone());
                    let Some(wished) = ports.links.get(&port) else { continue };
                    // What is there as something else goes first.
                    if seen.links.get(&port).is_none_or(|link| link.kind != wished.kind) {
                        ports.links.remove(&port);
                        if !orphans.contains(&interface.network) {
                            put.missing.push((seat.clone(), interface.clone()));
                        }
                    }
                }
                ports.routes.retain(|route| want.links.contains_key(&route.link));
                want.extend(ports);
            }
            // By others, or there is a table of another version's, or there has not been one yet.
            let was_gone = side.framed && seen.frames.is_empty();
            if starting && side.framed {
                // The table may be an older version's, and must be claimed anew: it is put there whole.
                seen.frames.clear();
                seen.elements.clear();
            }
            let steps = diff(&seen, &want);
            self.apply_what_goes(&steps);
            let put_back = steps.iter().any(|step| matches!(step, Change::PutFrame { .. }));
            if put_back && (was_gone || !self.kernel.owns_tables(place)) {
                // While they were not there somebody may have come in.
                let here = kept.iter().filter(|k| k.network.host == place);
                self.apply_what_goes(&[Change::ForgetFlows {
                    place,
                    addresses: BTreeSet::new(),
                    ports: Vec::new(),
                    straight: here.flat_map(|k| k.network.subnets.iter().map(|s| s.net().into())).collect(),
                }]);
            }
            put.steps.extend(steps);
        }
        if !put.steps.is_empty() {
            tracing::info!(changes = put.steps.len(), "put the kernel right");
        }
        Ok(put)
    }

    /// All at once; if that fails, each step by itself, so that one that fails does not keep the others. What builds on a
    /// link that could not be made is left out: a stranger may be there under its name.
    pub(super) fn apply_what_goes(&self, steps: &[Change]) {
        if self.kernel.apply(steps).is_ok() {
            return;
        }
        let mut unmade: BTreeSet<LinkKey> = BTreeSet::new();
        for step in steps {
            if unmade.iter().any(|link| step.builds_on(link)) {
                continue;
            }
            if let Err(error) = self.kernel.apply(std::slice::from_ref(step)) {
                tracing::error!(code = %error.code, "put right: {step}: {error}");
                if let Change::AddLink { key, .. } = step {
                    unmade.insert(key.clone());
                }
            }
        }
    }

    /// A port is gone. Where its container's namespace is still there, the pair is made again; else the endpoint stops.
    pub(super) fn heal_port(&self, seat: &Arc<Seat>, interface: &Interface) {
        let mut seated = seat.lock();
        if seated.endpoint.on(interface.network).is_none_or(|i| i.port != interface.port) {
            return;
        }
        if self.is_orphan(interface.network) {
            // Its card died with what it hung on, and is made again with that.
            return;
        }
        let inside = seated.endpoint.place;
        let place = match seated.door().map(|door| self.kernel.open(&door)) {
            Some(Ok(place)) => Some(place),
            Some(Err(error)) if !matches!(error.code, Code::NetnsGone | Code::InvalidNetns) => {
                // It may be there still; the next look will tell.
                tracing::error!(endpoint = %seat.name, code = %error.code, "heal: {error}");
                return;
            }
            Some(Err(_)) | None => None,
        };
        match place {
            Some(place) if place == inside => {
                let healed = self.make_again(seat, &mut seated, interface);
                self.kernel.close(place);
                match healed {
                    Ok(()) => {
                        tracing::info!(endpoint = %seat.name, link = %interface.port, "healed");
                        let detail = format!("{} was made again", interface.port);
                        self.tell(EventKind::Healed, None, Some(seat.name.as_str()), Some(detail));
                    }
                    Err(error) => tracing::error!(endpoint = %seat.name, code = %error.code, "heal: {error}"),
                }
            }
            other => {
                if let Some(place) = other {
                    self.kernel.close(place);
                }
                self.vanished(seat, &mut seated);
            }
        }
    }

    fn make_again(&self, seat: &Seat, seated: &mut Seated, interface: &Interface) -> Result<()> {
        seated.unsettled = true;
        self.store.put_endpoint(seat.id, &seated.record(&[]))?;
        let keepers = self.keepers_of(&seated.endpoint);
        let kept: Vec<_> = keepers.iter().map(|k| k.lock()).collect();
        let find = among(&kept);
        let Some(network) = find(interface.network) else { return Ok(()) };
        let mut fragment = driver::interface(network, &seated.endpoint, interface);
        fragment.extend(driver::default_routes(&seated.endpoint, find));
        fragment.routes.retain(|route| route.link.name == interface.card);
        self.kernel.apply(&diff(&State::default(), &fragment))?;
        seated.unsettled = false;
        self.confirm_lease(seated, interface);
        self.store.put_endpoint(seat.id, &seated.record(&[]))
    }

    /// The namespace is gone, without a word: everything of the endpoint's is released, but for fixed addresses.
    fn vanished(&self, seat: &Arc<Seat>, seated: &mut Seated) {
        let all: Vec<Id> = seated.endpoint.interfaces.iter().map(|i| i.network).collect();
        let kept = self.index.networks().iter().any(|k| k.lock().fixed_for(&seat.name).is_some());
        let life = if kept { Life::Stopped } else { Life::Removed };
        match self.leave(seat, seated, &all, life) {
            Ok(()) => {
                tracing::info!(endpoint = %seat.name, "its namespace is gone");
                let kind = if life == Life::Stopped {
                    EventKind::EndpointStopped
                } else {
                    EventKind::EndpointRemoved
                };
                self.tell(kind, None, Some(seat.name.as_str()), Some("its namespace is gone".into()));
            }
            Err(error) => tracing::error!(endpoint = %seat.name, code = %error.code, "release: {error}"),
        }
    }
}

/// What to do about what differs inside a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inside {
    Look,
    PutRight,
}

/// What was put right, and what could not be from here.
#[derive(Default)]
pub(super) struct Put {
    pub(super) steps: Vec<Change>,
    pub(super) missing: Vec<(Arc<Seat>, Interface)>,
}

fn damaged(what: &str, name: &str, error: &Error) -> Error {
    Error::new(Code::StateCorrupt, format!("load {what} {name}"))
        .because(error)
        .fix("move the state directory away, or restore it from a backup; containers keep running")
}
