//! The hot path: an endpoint's interfaces come and go. An attach touches its own fragment of the state and nothing else.
//!
//! ```text
//! join:   allocate -> journal "joining" -> kernel -> journal "live" -> answer
//! leave:  journal "leaving" -> answer -> (reaper) kernel -> addresses free -> journal "gone"
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard};

use bowline_api::v1;
use bowline_core::endpoint::{Endpoint, Interface};
use bowline_core::firewall::Element;
use bowline_core::mac::Mac;
use bowline_core::name::{Id, Name};
use bowline_core::network::Network;
use bowline_core::plan::{Change, diff};
use bowline_core::port::Wish;
use bowline_core::state::{LinkKey, Route, State};
use bowline_core::{Code, Context, Error, Result};

use super::direct;
use super::endpoints::Ticket;
use super::keeper::{Keeper, Kept};
use super::leases::Goodbye;
use super::reaper::Dead;
use super::relay::Beside;
use super::seat::{More, Seat, Seated, wanted};
use super::{Manager, medium};
use crate::store::{EndpointRecord, FixedRecord, Life};

impl Manager {
    /// Adds interfaces to an endpoint whose namespace is open. On failure everything is as before. Networks whose server
    /// has yet to give an address are returned: [`Manager::await_leases`] waits for these.
    pub(super) fn join(
        &self,
        seat: &Arc<Seat>,
        seated: &mut Seated,
        tickets: &[Ticket],
        publish: &[Wish],
    ) -> Result<Vec<Id>> {
        let keepers = self.keepers_with(&seated.endpoint, tickets);
        let mut kept: Vec<_> = keepers.iter().map(|k| k.lock()).collect();

        let mut before = wanted(&seated.endpoint, among(&kept));
        let was = seated.endpoint.clone();
        self.allocate(seated, tickets, &mut kept)?;
        let beside = Beside::of(&was, among(&kept));
        let now_beside = match self.take_ports(seated, &beside, publish, &kept) {
            Ok(now) => now,
            Err(error) => {
                self.take_back(seat, seated, &was, &[], &mut kept);
                return Err(error);
            }
        };
        self.end_relays(&beside, &now_beside);
        let joining: Vec<Id> = tickets.iter().map(|t| t.keeper.id).collect();
        let waiting: Vec<Id> =
            tickets.iter().filter(|t| t.keeper.asking.is_some()).map(|t| t.keeper.id).collect();
        let mut after =
            if tickets.is_empty() { bare(&seated.endpoint) } else { wanted(&seated.endpoint, among(&kept)) };
        let _turn = self.resolver.turn(seated.endpoint.place);
        self.share_resolver(&mut before, &mut after, seated.endpoint.place);

        // A default route may move to the new interface; if this is cut short it must be found its way back.
        let others = EndpointRecord { unsettled: !was.interfaces.is_empty(), ..seated.record(&joining) };
        let done = self
            .store
            .put_endpoint(seat.id, &others)
            .and_then(|()| self.kernel.apply(&diff(&before, &after)))
            .and_then(|()| {
                let answered = seated.answered || waiting.is_empty();
                let live = EndpointRecord { answered, ..seated.record(&[]) };
                self.store.put_endpoint(seat.id, &live)
            })
            .and_then(|()| self.keep_fixed(seated, tickets, &mut kept));
        if let Err(error) = done {
            self.take_back(seat, seated, &was, &diff(&after, &before), &mut kept);
            self.give_up(seat.id, &now_beside, &beside);
            self.begin_relays(&beside);
            return Err(error);
        }
        seated.answered |= waiting.is_empty();
        self.give_up(seat.id, &beside, &now_beside);
        self.begin_relays(&now_beside);
        for interface in &seated.endpoint.interfaces {
            if joining.contains(&interface.network) {
                self.index.add_port(self.port(interface), seat.clone());
            }
        }
        self.know(seated, &kept);
        Ok(waiting)
    }

    /// Takes interfaces away. The kernel follows, behind the answer; until then their addresses stay taken.
    pub(super) fn leave(
        &self,
        seat: &Arc<Seat>,
        seated: &mut Seated,
        networks: &[Id],
        life: Life,
    ) -> Result<()> {
        let keepers = self.keepers_of(&seated.endpoint);
        let mut kept: Vec<_> = keepers.iter().map(|k| k.lock()).collect();

        let was = seated.endpoint.clone();
        let (going, staying): (Vec<_>, Vec<_>) =
            was.interfaces.iter().cloned().partition(|i| networks.contains(&i.network));
        let before = wanted(&was, among(&kept));
        let beside = Beside::of(&was, among(&kept));
        seated.endpoint.interfaces = staying;
        match life {
            Life::Live => self.drop_what_cannot_move(seated, &beside, &kept),
            Life::Stopped | Life::Removed => seated.endpoint.published.clear(),
        }
        let now_beside = Beside::of(&seated.endpoint, among(&kept));
        let (was_life, leaving) = (seated.life, seated.leaving.len());
        seated.leaving.extend(going.iter().cloned());
        seated.life = life;

        let gone = life == Life::Removed && seated.leaving.is_empty();
        // While its default route moves, what is inside is not as wanted.
        let moving = life == Life::Live && !seated.endpoint.interfaces.is_empty();
        let record =
            if gone { None } else { Some(EndpointRecord { unsettled: moving, ..seated.record(&[]) }) };
        if let Err(error) = self.store.put_endpoints(&[(seat.id, record)]) {
            self.give_up(seat.id, &now_beside, &beside);
            seated.endpoint = was;
            seated.leaving.truncate(leaving);
            seated.life = was_life;
            return Err(error);
        }
        // It is journalled: from here on everything is done, whatever fails on the way.
        let goodbyes = going.iter().filter_map(|i| Some((i.network, self.end_lease(seated, i)?)));
        let mut goodbyes: BTreeMap<Id, Arc<Goodbye>> = goodbyes.collect();
        let mut done = Ok(());
        let leave = self.forget_names(seated, &going, &kept);
        self.end_relays(&beside, &now_beside);
        self.follow_ports(&was, &seated.endpoint, &kept);
        self.give_up(seat.id, &beside, &now_beside);
        self.begin_relays(&now_beside);
        if life == Life::Live {
            self.move_default_route(seated, &before, &wanted(&seated.endpoint, among(&kept)));
            if moving {
                // Where this fails it stays unsettled, and is looked into by the next start.
                done = self.store.put_endpoint(seat.id, &seated.record(&[]));
            }
        }
        for interface in &going {
            self.index.remove_port(&self.port(interface));
            if let Some(kept) = keeper_of(&mut kept, interface.network) {
                kept.members.remove(&seat.id);
                kept.leaving += 1;
            }
        }
        drop(kept);
        match (life, leave) {
            (Life::Live | Life::Removed, Some(leave)) => self.unmake_resolver(seated, leave),
            // With the namespace it goes by itself.
            (Life::Stopped, _) | (Life::Live | Life::Removed, None) => (),
        }
        for interface in going {
            let more = seated.more.remove(&interface.network);
            if life == Life::Live && more.is_some_and(|m| m.fixed) {
                done = done.and(self.give_up_fixed_on(&seat.name, interface.network));
            }
            let port = self.port(&interface);
            let (elements, routes) = (filters(&before, &interface), host_routes(&before, &port, &interface));
            let (seat, host) = (seat.clone(), port.place);
            let goodbye = goodbyes.remove(&interface.network);
            self.reaper.bury(Dead { seat, interface, host, elements, routes, goodbye });
        }
        if life == Life::Removed {
            // The name is given up last, so that what is kept under it is not the next one's. What was never answered for has
            // nothing under its name; an earlier one may.
            if seated.answered {
                done = done.and(self.give_up_fixed(&seat.name));
            }
            self.index.remove_endpoint(seat);
        }
        done
    }

    /// What joining would do, without doing it.
    pub(super) fn plan_join(
        &self,
        seated: &Seated,
        tickets: &[Ticket],
        publish: &[Wish],
    ) -> Result<v1::Plan> {
        let keepers = self.keepers_with(&seated.endpoint, tickets);
        let mut kept: Vec<_> = keepers.iter().map(|k| k.lock()).collect();
        let mut endpoint = seated.endpoint.clone();
        // Whatever comes of it, the pools end as they began: a plan must not move on to other addresses.
        let untouched: Vec<_> = kept.iter().map(|k| k.pools()).collect();
        let planned: Result<()> = tickets.iter().try_for_each(|ticket| {
            let interface = self.interface(&endpoint, ticket, &mut kept)?;
            endpoint.interfaces.push(interface);
            Ok(())
        });
        kept.iter_mut().zip(untouched).for_each(|(kept, pools)| kept.put_back(pools));
        planned?;
        let chosen = self.choose_ports(&endpoint, publish, &kept)?;
        self.let_go(&endpoint, &chosen, &kept);
        endpoint.published = chosen;
        let after = if tickets.is_empty() { bare(&endpoint) } else { wanted(&endpoint, among(&kept)) };
        Ok(v1::Plan { steps: diff(&State::default(), &after).iter().map(Change::to_string).collect() })
    }

    fn allocate(
        &self,
        seated: &mut Seated,
        tickets: &[Ticket],
        kept: &mut [MutexGuard<'_, Kept>],
    ) -> Result<()> {
        let had = seated.endpoint.interfaces.len();
        for ticket in tickets {
            let interface = match self.interface(&seated.endpoint, ticket, kept) {
                Ok(interface) => interface,
                Err(error) => {
                    for interface in seated.endpoint.interfaces.split_off(had) {
                        seated.more.remove(&interface.network);
                        give_back(kept, &seated.endpoint, &interface);
                    }
                    return Err(error);
                }
            };
            let of = keeper_of(kept, interface.network).expect(LOCKED);
            // Asked for now, or once before under this name.
            let asked = !ticket.addresses.is_empty() || of.fixed_for(&seated.endpoint.name).is_some();
            // Under a key that is somebody else's word, nothing is kept: who has it will not start it again.
            let fixed = asked && seated.key.is_none();
            let more = More { aliases: ticket.aliases.clone(), fixed, waits: ticket.keeper.asking.is_some() };
            seated.more.insert(interface.network, more);
            of.members.insert(seated.endpoint.id, (seated.endpoint.name.clone(), interface.clone()));
            seated.endpoint.interfaces.push(interface);
        }
        Ok(())
    }

    fn interface(
        &self,
        endpoint: &Endpoint,
        ticket: &Ticket,
        kept: &mut [MutexGuard<'_, Kept>],
    ) -> Result<Interface> {
        let of = keeper_of(kept, ticket.keeper.id).expect(LOCKED);
        of.still_there()?;
        let network = of.network.id;
        if endpoint.on(network).is_some() {
            return Err(Error::new(
                Code::AlreadyConnected,
                format!("endpoint {} is on network {} already", endpoint.name, ticket.keeper.name),
            )
            .fix(format!(
                "take it off first: bowline network disconnect {} {}",
                ticket.keeper.name, endpoint.name
            )));
        }
        let card = ticket.card.clone().unwrap_or_else(|| endpoint.free_card());
        if endpoint.interfaces.iter().any(|i| i.card == card) {
            return Err(Error::new(
                Code::InterfaceTaken,
                format!("endpoint {} has an interface {card}", endpoint.name),
            )
            .fix("leave the name out, or choose another"));
        }
        medium::check_vlan(&of.network, ticket.vlan)?;
        medium::has_an_end_free(of, endpoint.id)?;
        of.apart_from(endpoint)?;
        direct::alone(of, endpoint.id)?;
        direct::shapes(of, ticket.rate_in.is_some())?;
        let addresses = of.allocate(endpoint.id, &endpoint.name, &ticket.addresses)?;
        let random = self.fresh_id();
        Ok(Interface {
            network,
            card,
            port: Interface::port_name(random),
            // Truncation is meant: 46 of the random bits.
            mac: direct::shared_mac(of)
                .or(ticket.mac)
                .or_else(|| medium::mac_of_end(&of.network, &addresses))
                .unwrap_or_else(|| Mac::local(random.0 as u64)),
            vlan: ticket.vlan,
            addresses,
            lease: None,
            gw_priority: ticket.gw_priority,
            rate_in: ticket.rate_in,
            rate_out: ticket.rate_out,
            inside: ticket.inside.clone(),
        })
    }

    /// Remembers, beyond this boot, addresses that were asked for by number.
    fn keep_fixed(
        &self,
        seated: &Seated,
        tickets: &[Ticket],
        kept: &mut [MutexGuard<'_, Kept>],
    ) -> Result<()> {
        let kept_tickets = tickets.iter().filter(|t| !t.addresses.is_empty() && seated.key.is_none());
        for ticket in kept_tickets {
            let name = &seated.endpoint.name;
            self.store.put_fixed(&FixedRecord {
                network: ticket.keeper.id.to_string(),
                endpoint: name.to_string(),
                addresses: ticket.addresses.clone(),
            })?;
            let of = keeper_of(kept, ticket.keeper.id).expect(LOCKED);
            of.keep_fixed(name, &ticket.addresses);
        }
        Ok(())
    }

    /// After a failure: drops the intent, and lets the kernel follow. What it does not give up now is left to the reaper.
    fn take_back(
        &self,
        seat: &Arc<Seat>,
        seated: &mut Seated,
        was: &Endpoint,
        undo: &[Change],
        kept: &mut [MutexGuard<'_, Kept>],
    ) {
        let now = std::mem::replace(&mut seated.endpoint, was.clone());
        let added: Vec<Interface> =
            now.interfaces.iter().filter(|i| was.on(i.network).is_none()).cloned().collect();
        added.iter().for_each(|i| drop(seated.more.remove(&i.network)));
        // Each step by itself: one that finds nothing to undo must not keep the next from being made.
        let failed = undo.iter().filter_map(|step| self.kernel.apply(std::slice::from_ref(step)).err());
        let stuck = failed.filter(|e| e.code != Code::NetnsGone).inspect(|error| {
            tracing::warn!(endpoint = %seat.name, code = %error.code, "undo a failed join: {error}");
        });
        if stuck.count() > 0 {
            seated.leaving.extend(added.iter().cloned());
            for interface in added {
                if let Some(of) = keeper_of(kept, interface.network) {
                    of.members.remove(&seat.id);
                    of.leaving += 1;
                }
                let port = self.port(&interface);
                let its = wanted(&now, among(kept));
                let (elements, routes) = (filters(&its, &interface), host_routes(&its, &port, &interface));
                let (seat, host) = (seat.clone(), port.place);
                self.reaper.bury(Dead { seat, interface, host, elements, routes, goodbye: None });
            }
        } else {
            added.iter().for_each(|interface| give_back(kept, was, interface));
        }
        if !seated.answered {
            seated.life = Life::Removed;
        }
        let gone = !seated.answered && seated.leaving.is_empty();
        let record = if gone { None } else { Some(seated.record(&[])) };
        if let Err(error) = self.store.put_endpoints(&[(seat.id, record)]) {
            tracing::warn!(endpoint = %seat.name, code = %error.code, "journal a failed join: {error}");
        }
    }

    /// An interface that carried the default route leaves: another takes over, inside. A namespace that is gone, or that
    /// cannot be entered, keeps what it has.
    fn move_default_route(&self, seated: &Seated, before: &State, after: &State) {
        let inside = seated.endpoint.place;
        let only_routes = |c: &Change| matches!(c, Change::AddRoute(_)) && c.place() == inside;
        let steps: Vec<Change> = diff(before, after).into_iter().filter(only_routes).collect();
        let Some(door) = seated.door().filter(|_| !steps.is_empty()) else { return };
        let moved = self.kernel.open(&door).and_then(|place| {
            let applied = if place == inside { self.kernel.apply(&steps) } else { Ok(()) };
            self.kernel.close(place);
            applied
        });
        if let Err(error) = moved {
            tracing::warn!(endpoint = %seated.endpoint.name, code = %error.code, "move the default route: {error}");
        }
    }

    /// An interface's end on the bridge. A network that is not known any more was in our own namespace, or is gone with it.
    pub(super) fn port(&self, interface: &Interface) -> LinkKey {
        let host = self.index.network_by_id(interface.network).map_or(self.host, |keeper| keeper.host);
        LinkKey::new(host, interface.port.clone())
    }

    /// The networks that an endpoint is on, in the order in which they are locked.
    pub(super) fn keepers_of(&self, endpoint: &Endpoint) -> Vec<Arc<Keeper>> {
        let ids: BTreeSet<Id> = endpoint.interfaces.iter().map(|i| i.network).collect();
        ids.into_iter().filter_map(|id| self.index.network_by_id(id)).collect()
    }

    fn keepers_with(&self, endpoint: &Endpoint, tickets: &[Ticket]) -> Vec<Arc<Keeper>> {
        let mut all: BTreeMap<Id, Arc<Keeper>> =
            self.keepers_of(endpoint).into_iter().map(|k| (k.id, k)).collect();
        all.extend(tickets.iter().map(|t| (t.keeper.id, t.keeper.clone())));
        all.into_values().collect()
    }

    /// The name gives up its fixed addresses on every network.
    pub(super) fn give_up_fixed(&self, name: &Name) -> Result<()> {
        self.index.networks().iter().try_for_each(|keeper| {
            let holds = keeper.lock().fixed_for(name).is_some();
            if holds { self.give_up_fixed_on(name, keeper.id) } else { Ok(()) }
        })
    }

    fn give_up_fixed_on(&self, name: &Name, network: Id) -> Result<()> {
        self.store
            .remove_fixed(&network.to_string(), name.as_str())
            .context(|| format!("give up the fixed addresses of {name}"))?;
        if let Some(keeper) = self.index.network_by_id(network) {
            keeper.lock().give_up_fixed(name);
        }
        Ok(())
    }
}

/// The elements that are about one port, or lead to its addresses: the kernel lets go of them before anybody else can
/// have these.
fn filters(state: &State, interface: &Interface) -> Vec<Element> {
    let own = |ip: &std::net::IpAddr| interface.addresses.iter().any(|a| a.ip() == *ip);
    let about = |element: &&Element| match element {
        Element::Guarded(port) | Element::Source { port, .. } => *port == interface.port,
        Element::Port { to, .. } | Element::Span { to, .. } => own(to),
        Element::Reachable { address, .. } => own(address),
        Element::Network(_)
        | Element::Within(_)
        | Element::Apart(_)
        | Element::Internal(_)
        | Element::Strict(_)
        | Element::Open(..)
        | Element::Routed(..)
        | Element::Trusted { .. }
        | Element::Masquerade(_)
        | Element::Shut { .. } => false,
    };
    state.elements.iter().map(|(_, element)| element).filter(about).cloned().collect()
}

/// The host's own routes to an interface's addresses.
fn host_routes(state: &State, port: &LinkKey, interface: &Interface) -> Vec<Route> {
    let own = |route: &&Route| {
        route.link.place == port.place && interface.addresses.iter().any(|a| a.ip() == route.to.ip())
    };
    state.routes.iter().filter(own).cloned().collect()
}

/// The networks whose keepers are locked.
pub(super) fn among<'a>(kept: &'a [MutexGuard<'_, Kept>]) -> impl Fn(Id) -> Option<&'a Network> + Copy {
    move |id| kept.iter().map(|k| &k.network).find(|network| network.id == id)
}

/// The one of the locked keepers that keeps this network.
fn keeper_of<'a>(kept: &'a mut [MutexGuard<'_, Kept>], network: Id) -> Option<&'a mut Kept> {
    kept.iter_mut().map(|k| &mut **k).find(|k| k.network.id == network)
}

/// Why [`keeper_of`] cannot fail for a ticket's network.
const LOCKED: &str = "every ticket's keeper is locked";

fn give_back(kept: &mut [MutexGuard<'_, Kept>], endpoint: &Endpoint, interface: &Interface) {
    if let Some(of) = keeper_of(kept, interface.network) {
        of.members.remove(&endpoint.id);
        of.release(&endpoint.name, &interface.addresses);
    }
}

/// On no network: a loopback, up.
fn bare(endpoint: &Endpoint) -> State {
    let mut state = State::default();
    let key = LinkKey::loopback(endpoint.place);
    state.links.insert(key, bowline_core::state::Link::loopback());
    state
}
