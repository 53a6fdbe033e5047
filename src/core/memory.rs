//! A kernel in memory: the other permanent implementation of the seam, for tests without privilege and for rehearsals.
//! It is as strict as the real one: what depends on something fails without it, and goes when that goes.

mod rules;

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard};

use crate::feature::Feature;
use crate::firewall::Element;
use crate::firewall::hooks::Hooks;
use crate::kernel::{Facts, HostLink, Kernel as Seam, Moved, Obstacle, Scope, Sights, Sort, Tell};
use crate::mac::Mac;
use crate::name::LinkName;
use crate::place::{Door, Place};
use crate::plan::Change;
use crate::port::{HostPort, Ports};
use crate::state::{Kind, State, SysctlKey, Vlan};
use crate::{Code, Error, Result};

#[derive(Default)]
pub struct Kernel {
    inner: Mutex<Inner>,
    doors: Option<Doors>,
}

/// Which namespace a door leads to, where somebody knows: the same number for the same one.
pub type Doors = fn(&Door) -> Option<u64>;

struct Inner {
    state: State,
    facts: Facts,
    /// What is in every host's namespace besides ours.
    links: Vec<HostLink>,
    open: BTreeMap<Place, usize>,
    watchers: Vec<(Place, Tell)>,
    applied: u64,
    lacks: BTreeSet<Feature>,
}

impl Default for Inner {
    fn default() -> Inner {
        let plain = |name: &str, mac: u64| HostLink {
            name: name.parse().expect("a link name"),
            mtu: 1500,
            mac: Some(Mac::local(mac)),
            up: true,
            sort: Sort::Other,
            master: None,
            ours: false,
        };
        let named = |name: &str| name.parse::<LinkName>().expect("a link name");
        let bridge = |filters_vlans| Sort::Bridge { filters_vlans };
        let links = vec![
            HostLink { sort: Sort::Loopback, mtu: 65536, ..plain("lo", 0) },
            plain("eth0", 0xe0),
            HostLink { mtu: 9000, ..plain("eth1", 0xe1) },
            HostLink { master: Some(named("br0")), ..plain("eth2", 0xe2) },
            HostLink { up: false, ..plain("eth3", 0xe3) },
            HostLink { sort: bridge(false), ..plain("br0", 0xb0) },
            HostLink { sort: bridge(true), ..plain("br-tag", 0xb1) },
            HostLink { sort: Sort::Wireless, ..plain("wlan0", 0xa0) },
        ];
        Inner {
            state: State::default(),
            facts: Facts::default(),
            links,
            open: BTreeMap::new(),
            watchers: Vec::new(),
            applied: 0,
            lacks: BTreeSet::new(),
        }
    }
}

impl Kernel {
    /// The namespace that [`Door::Own`] leads to.
    pub const HOST: Place = Place(1);

    pub fn new() -> Kernel {
        Kernel::default()
    }

    pub fn holding(state: State) -> Kernel {
        Kernel { inner: Mutex::new(Inner { state, ..Inner::default() }), doors: None }
    }

    pub fn with_facts(facts: Facts) -> Kernel {
        Kernel { inner: Mutex::new(Inner { facts, ..Inner::default() }), doors: None }
    }

    /// For rehearsals among real namespaces: an open file and a path may lead to the same one.
    pub fn with_doors(doors: Doors) -> Kernel {
        Kernel { inner: Mutex::default(), doors: Some(doors) }
    }

    /// From now on it is a kernel that has no such thing.
    pub fn take_away(&self, feature: Feature) {
        self.lock().lacks.insert(feature);
    }

    pub fn state(&self) -> State {
        self.lock().state.clone()
    }

    /// How many changes were made so far.
    pub fn applied(&self) -> u64 {
        self.lock().applied
    }

    /// Somebody else's hand: changes the state behind our back, and tells the watchers that something moved.
    pub fn tamper(&self, with: impl FnOnce(&mut State)) {
        let mut inner = self.lock();
        with(&mut inner.state);
        inner.watchers.iter().for_each(|(place, tell)| tell(Moved::Overrun { place: *place }));
    }

    /// The same, with links that are not ours.
    pub fn tamper_links(&self, with: impl FnOnce(&mut Vec<HostLink>)) {
        let mut inner = self.lock();
        with(&mut inner.links);
        inner.watchers.iter().for_each(|(place, tell)| tell(Moved::Overrun { place: *place }));
    }

    fn place_of(&self, door: &Door) -> Result<Place> {
        let number = self.doors.and_then(|known| known(door));
        Ok(match door {
            Door::Own => Kernel::HOST,
            Door::Path(path) if path.is_empty() => {
                return Err(Error::new(Code::InvalidNetns, "open a namespace").because("the path is empty"));
            }
            Door::Fd { .. } | Door::Path(_) => {
                let mut hasher = DefaultHasher::new();
                match number {
                    Some(number) => number.hash(&mut hasher),
                    None => door.hash(&mut hasher),
                }
                Place(hasher.finish() | 1 << 63)
            }
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no change panics while the state is held")
    }
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.lock().state)
    }
}

impl Seam for Kernel {
    fn open(&self, door: &Door) -> Result<Place> {
        // Whoever rehearses has but one namespace, and may use it as a container's.
        let place = self.place_of(door)?;
        *self.lock().open.entry(place).or_default() += 1;
        Ok(place)
    }

    fn close(&self, place: Place) {
        let mut inner = self.lock();
        if let Some(count) = inner.open.get_mut(&place) {
            *count -= 1;
            if *count == 0 {
                inner.open.remove(&place);
            }
        }
    }

    fn open_host(&self, door: &Door) -> Result<Place> {
        let number = |door: &Door| self.doors.and_then(|known| known(door));
        // Where somebody knows, the host's own may be met by another door.
        if number(door).is_some_and(|other| Some(other) == number(&Door::Own)) {
            return Ok(Kernel::HOST);
        }
        self.place_of(door)
    }

    fn claim(&self, _: Place) -> Result<()> {
        Ok(())
    }

    fn close_host(&self, place: Place) {
        self.lock().watchers.retain(|(watched, _)| *watched != place || place == Kernel::HOST);
    }

    fn facts(&self, _: Place) -> Result<Facts> {
        Ok(self.lock().facts.clone())
    }

    fn sights(&self, place: Place) -> Result<Sights> {
        let key = SysctlKey { place, path: "net/ipv4/ip_forward".to_string() };
        let forwards = self.lock().state.sysctls.get(&key).is_some_and(|value| value == "1");
        Ok(Sights { forwards: Some(forwards), bridged_are_filtered: Some(false), ..Sights::default() })
    }

    fn links(&self, place: Place) -> Result<Vec<HostLink>> {
        let inner = self.lock();
        let ours = inner.state.links.iter().filter(|(key, _)| key.place == place);
        let ours = ours.filter_map(|(key, link)| {
            let sort = match &link.kind {
                Kind::Stem { .. } | Kind::Card { .. } | Kind::Loopback => return None,
                Kind::Shim { parent, .. } => Sort::Card(parent.clone()),
                Kind::Vlan { of, id } => Sort::Vlan(of.clone(), *id),
                Kind::Bridge => Sort::Bridge { filters_vlans: link.vlan != Vlan::None },
                Kind::Port { .. } | Kind::Island { .. } => Sort::Other,
            };
            let (name, up, mtu) = (key.name.clone(), link.up, link.mtu);
            let master = link.master.as_ref().map(|master| master.name.clone());
            Some(HostLink { name, mtu, mac: link.mac, up, sort, master, ours: true })
        });
        Ok(inner.links.iter().cloned().chain(ours).collect())
    }

    fn follow(&self, _: Place, _: &BTreeSet<LinkName>) -> Result<()> {
        Ok(())
    }

    fn can(&self, feature: Feature) -> Result<()> {
        match self.lock().lacks.contains(&feature) {
            true => Err(feature.missing("it was taken away")),
            false => Ok(()),
        }
    }

    fn way_to(&self, _: Place, address: IpAddr) -> Result<Option<LinkName>> {
        let facts = &self.lock().facts;
        let own = facts.addresses.iter().map(|(link, net)| (net, Some(link)));
        let all = own.chain(facts.routes.iter().map(|(link, net)| (net, link.as_ref())));
        let best = all.filter(|(net, _)| net.contains(address)).max_by_key(|(net, _)| net.prefix());
        Ok(best.and_then(|(_, link)| link.cloned()))
    }

    fn observe(&self, scope: &Scope) -> Result<State> {
        let inner = self.lock();
        Ok(match scope {
            Scope::Host(place) => inner.state.within(*place),
            Scope::Card(place, card) => {
                let mut state = inner.state.within(*place);
                state.links.retain(|key, _| key.name == *card || key.name.as_str() == "lo");
                state.addrs.retain(|addr| addr.link.name == *card);
                state.routes.retain(|route| route.link.name == *card);
                state
            }
            Scope::Sysctls(place, paths) => {
                let mut state = State::default();
                let all = inner.state.sysctls.iter();
                let asked = all.filter(|(key, _)| key.place == *place && paths.contains(&key.path));
                state.sysctls.extend(asked.map(|(key, value)| (key.clone(), value.clone())));
                state
            }
            Scope::Port(key) => {
                let mut state = State::default();
                state.links.extend(inner.state.links.get(key).map(|link| (key.clone(), link.clone())));
                state
            }
        })
    }

    fn apply(&self, changes: &[Change]) -> Result<()> {
        let mut inner = self.lock();
        for change in changes {
            let Inner { state, links, .. } = &mut *inner;
            rules::apply(state, links, change).map_err(|error| error.context(change.to_string()))?;
            inner.applied += 1;
        }
        Ok(())
    }

    fn ephemeral(&self, _: Place) -> Result<Vec<Ports>> {
        Ok(vec![Ports::new(32_768, 60_999)?])
    }

    fn is_free(&self, place: Place, port: &HostPort) -> Result<bool> {
        Ok(!self.lock().state.held.iter().any(|(at, held)| *at == place && held.clashes_with(port)))
    }

    fn holders(&self, _: Place, _: &HostPort) -> Vec<String> {
        Vec::new()
    }

    fn set_hooks(&self, _: &Hooks) -> Result<()> {
        Ok(())
    }

    fn owns_tables(&self, place: Place) -> bool {
        self.lock().state.frames.contains(&place)
    }

    fn release_tables(&self, _: Place, _: &BTreeSet<Element>) -> Result<()> {
        Ok(())
    }

    fn obstacles(&self, _: Place, _: &[LinkName]) -> Result<Vec<Obstacle>> {
        Ok(Vec::new())
    }

    fn welcome(&self, _: Place, _: &LinkName) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn unwelcome(&self, _: Place, _: &LinkName) -> Result<()> {
        Ok(())
    }

    fn watch(&self, place: Place, tell: Tell) -> Result<()> {
        self.lock().watchers.push((place, tell));
        Ok(())
    }
}
