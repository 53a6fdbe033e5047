//! Who is who: networks and endpoints by name, by id, and by the name of their link. Never locked for long.

mod ports;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use bowline_core::name::{Id, Name, quoted};
use bowline_core::place::Place;
use bowline_core::state::LinkKey;
use bowline_core::{Code, Error, Result};

use super::keeper::Keeper;
use super::seat::Seat;

#[derive(Debug, Default)]
pub(super) struct Index {
    tables: RwLock<Tables>,
    last_chosen: ports::LastChosen,
}

#[derive(Debug, Default)]
struct Tables {
    networks: BTreeMap<Name, Arc<Keeper>>,
    networks_by_id: HashMap<Id, Arc<Keeper>>,
    endpoints: BTreeMap<Name, Arc<Seat>>,
    keys: HashMap<String, Arc<Seat>>,
    /// Those of one namespace.
    places: HashMap<Place, Vec<Arc<Seat>>>,
    links: HashMap<LinkKey, Owner>,
    ports: ports::Taken,
}

/// Whose a link is.
#[derive(Debug, Clone)]
pub(super) enum Owner {
    Bridge(Arc<Keeper>),
    Port(Arc<Seat>),
}

impl Index {
    pub(super) fn networks(&self) -> Vec<Arc<Keeper>> {
        self.read(|t| t.networks.values().cloned().collect())
    }

    pub(super) fn endpoints(&self) -> Vec<Arc<Seat>> {
        self.read(|t| t.endpoints.values().cloned().collect())
    }

    /// By name, by id, or by at least six first characters of one id only.
    pub(super) fn network(&self, text: &str) -> Result<Arc<Keeper>> {
        let found = self.read(|t| find(&t.networks, text, |keeper| keeper.id));
        found.ok_or_else(|| {
            Error::new(Code::NetworkNotFound, format!("there is no network {}", quoted(text)))
                .fix("see what there is: bowline network ls")
        })
    }

    pub(super) fn network_by_id(&self, id: Id) -> Option<Arc<Keeper>> {
        self.read(|t| t.networks_by_id.get(&id).cloned())
    }

    pub(super) fn endpoint(&self, text: &str) -> Result<Arc<Seat>> {
        // No name has a / in it, and every key has.
        let found = self.read(|t| match text.contains('/') {
            true => t.keys.get(text).cloned(),
            false => find(&t.endpoints, text, |seat| seat.id),
        });
        found.ok_or_else(|| {
            Error::new(Code::EndpointNotFound, format!("there is no endpoint {}", quoted(text)))
                .fix("see what there is: bowline endpoint ls")
        })
    }

    pub(super) fn endpoint_named(&self, name: &Name) -> Option<Arc<Seat>> {
        self.read(|t| t.endpoints.get(name).cloned())
    }

    pub(super) fn owner(&self, link: &LinkKey) -> Option<Owner> {
        self.read(|t| t.links.get(link).cloned())
    }

    /// With the links that are its own.
    pub(super) fn add_network(&self, keeper: Arc<Keeper>, links: Vec<LinkKey>) {
        self.write(|t| {
            t.links.extend(links.into_iter().map(|key| (key, Owner::Bridge(keeper.clone()))));
            t.networks_by_id.insert(keeper.id, keeper.clone());
            t.networks.insert(keeper.name.clone(), keeper);
        });
    }

    pub(super) fn remove_network(&self, keeper: &Keeper, links: &[LinkKey]) {
        self.write(|t| {
            links.iter().for_each(|key| drop(t.links.remove(key)));
            t.networks_by_id.remove(&keeper.id);
            t.networks.remove(&keeper.name);
        });
    }

    /// Those whose key begins so.
    pub(super) fn endpoints_keyed(&self, prefix: &str) -> Vec<Arc<Seat>> {
        self.read(|t| {
            t.keys.iter().filter(|(key, _)| key.starts_with(prefix)).map(|(_, seat)| seat.clone()).collect()
        })
    }

    pub(super) fn endpoints_in(&self, place: Place) -> Vec<Arc<Seat>> {
        self.read(|t| t.places.get(&place).cloned().unwrap_or_default())
    }

    /// Takes the name and the key, unless another has one of them: then that one is returned.
    pub(super) fn add_endpoint(&self, seat: Arc<Seat>) -> Option<Arc<Seat>> {
        self.write(|t| {
            let by_key = seat.key.as_ref().and_then(|key| t.keys.get(key));
            match by_key.or_else(|| t.endpoints.get(&seat.name)) {
                Some(there) => Some(there.clone()),
                None => {
                    t.put_endpoint(seat);
                    None
                }
            }
        })
    }

    /// Hands a name over. False where it is not the first one's any more.
    pub(super) fn replace_endpoint(&self, there: &Seat, by: Arc<Seat>) -> bool {
        self.write(|t| match t.endpoints.get(&there.name) {
            Some(seat) if seat.id == there.id && by.name == there.name => {
                t.drop_endpoint(there);
                t.put_endpoint(by);
                true
            }
            Some(_) | None => false,
        })
    }

    /// Gives up the name, if it is still this one's.
    pub(super) fn remove_endpoint(&self, seat: &Seat) {
        self.write(|t| {
            if t.endpoints.get(&seat.name).is_some_and(|there| there.id == seat.id) {
                t.drop_endpoint(seat);
            }
        });
    }

    pub(super) fn add_port(&self, port: LinkKey, seat: Arc<Seat>) {
        self.write(|t| t.links.insert(port, Owner::Port(seat)));
    }

    pub(super) fn remove_port(&self, port: &LinkKey) {
        self.write(|t| t.links.remove(port));
    }

    fn read<T>(&self, act: impl FnOnce(&Tables) -> T) -> T {
        act(&self.tables.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, act: impl FnOnce(&mut Tables) -> T) -> T {
        act(&mut self.tables.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Of endpoints that are remembered and have no namespace.
const NOWHERE: Place = Place(0);

impl Tables {
    fn put_endpoint(&mut self, seat: Arc<Seat>) {
        if let Some(key) = &seat.key {
            self.keys.insert(key.clone(), seat.clone());
        }
        if seat.place != NOWHERE {
            self.places.entry(seat.place).or_default().push(seat.clone());
        }
        self.endpoints.insert(seat.name.clone(), seat);
    }

    fn drop_endpoint(&mut self, seat: &Seat) {
        self.endpoints.remove(&seat.name);
        if let Some(key) = &seat.key {
            self.keys.remove(key);
        }
        if let Some(here) = self.places.get_mut(&seat.place) {
            here.retain(|there| there.id != seat.id);
            if here.is_empty() {
                self.places.remove(&seat.place);
            }
        }
    }
}

fn find<T>(table: &BTreeMap<Name, Arc<T>>, text: &str, id: impl Fn(&T) -> Id) -> Option<Arc<T>> {
    if let Some(found) = text.parse::<Name>().ok().and_then(|name| table.get(&name)) {
        return Some(found.clone());
    }
    if text.len() < 6 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut matching = table.values().filter(|item| id(item).to_string().starts_with(text));
    let first = matching.next()?;
    matching.next().is_none().then(|| first.clone())
}
