//! Somebody else changed what is ours: notices from the kernel, and once in a while a look at everything.

use std::collections::BTreeSet;
use std::sync::Weak;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use bowline_api::v1::{self, EventKind};
use bowline_core::firewall::Element;
use bowline_core::kernel::{LinkNow, Moved, Scope};
use bowline_core::place::Place;
use bowline_core::plan::{Change, diff};
use bowline_core::state::LinkKey;
use bowline_core::{Code, Result, driver};

use super::Manager;
use super::attach::among;
use super::index::Owner;
use super::keeper::Keeper;
use super::recover::Inside;
use super::relay::Beside;

/// A notice may be lost in ways that nobody is told of.
const AUDIT: Duration = Duration::from_secs(600);

/// One hand's changes come in bursts; they are looked at together.
const BURST: Duration = Duration::from_millis(5);

/// How long whoever destroys a resolver's sockets again and again does without in between, and we without his work.
const DEAF: Duration = Duration::from_secs(1);

impl Manager {
    /// Asks the kernel for notices. They are handled by [`Manager::heal`].
    pub fn watch(&self) -> Result<Receiver<Moved>> {
        let (told, notices) = std::sync::mpsc::channel();
        self.listen(told)?;
        Ok(notices)
    }

    /// Runs on a thread of its own until the kernel's watch ends, or the manager does: it does not keep that alive, for
    /// with the manager the stores are closed.
    pub fn heal(manager: &Weak<Manager>, notices: &Receiver<Moved>) {
        loop {
            let first = match notices.recv_timeout(AUDIT) {
                Ok(first) => Some(first),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let Some(manager) = manager.upgrade() else { return };
            manager.look_again(first, notices);
        }
    }

    /// Asks to be told of resolvers' sockets that broke. That is handled by [`Manager::heal_resolvers`].
    pub fn watch_resolvers(&self) -> Receiver<Place> {
        let (told, broken) = std::sync::mpsc::channel();
        self.resolver.service().when_broken(told);
        broken
    }

    /// Runs on a thread of its own until the manager ends, which it does not keep alive.
    pub fn heal_resolvers(manager: &Weak<Manager>, broken: &Receiver<Place>) {
        while let Ok(first) = broken.recv() {
            let Some(manager) = manager.upgrade() else { return };
            let places: BTreeSet<Place> = std::iter::once(first).chain(broken.try_iter()).collect();
            places.into_iter().for_each(|place| manager.resolver.lose(place));
            manager.make_lost_resolvers();
            drop(manager);
            std::thread::sleep(DEAF);
        }
    }

    /// After a notice and those that come with it; without any, at everything.
    fn look_again(&self, first: Option<Moved>, notices: &Receiver<Moved>) {
        let mut bridges: BTreeSet<LinkKey> = BTreeSet::new();
        let mut parents: BTreeSet<LinkKey> = BTreeSet::new();
        let audit = first.is_none();
        let mut everything = audit;
        let mut next = first;
        while let Some(moved) = next {
            everything |= self.notice(&moved, &mut bridges, &mut parents);
            next = notices.recv_timeout(BURST).ok();
        }
        // Of what is followed all is known again after a look at everything, but not before.
        let back = match everything {
            true => self.look_at_all_parents(),
            false => {
                let back = |key: &&LinkKey| self.look_at_parents(key.place, Some(&key.name));
                parents.iter().filter(back).count() > 0
            }
        };
        if back || everything || bridges.iter().any(|bridge| self.differs(bridge)) {
            self.heal_everything();
        }
        if audit {
            self.welcome_again();
            self.make_lost_resolvers();
        }
    }

    /// True where only a look at everything will do.
    fn notice(
        &self,
        moved: &Moved,
        bridges: &mut BTreeSet<LinkKey>,
        parents: &mut BTreeSet<LinkKey>,
    ) -> bool {
        let (place, name, gone) = match moved {
            Moved::Parent { place, name } => {
                parents.insert(LinkKey::new(*place, name.clone()));
                return false;
            }
            Moved::Renamed { place, name, now } => {
                self.parent_renamed(*place, name, now);
                parents.insert(LinkKey::new(*place, now.clone()));
                return false;
            }
            Moved::Overrun { .. } | Moved::Tables { .. } => return true,
            Moved::Address { place, name } | Moved::Link { place, name, now: LinkNow::Down } => {
                (place, name, false)
            }
            Moved::Link { place, name, now: LinkNow::Gone } => (place, name, true),
        };
        let key = LinkKey::new(*place, name.clone());
        match self.index.owner(&key) {
            None => false,
            Some(Owner::Bridge(_)) => {
                bridges.insert(key);
                false
            }
            Some(Owner::Port(seat)) => {
                let interface = seat.lock().endpoint.interfaces.iter().find(|i| i.port == *name).cloned();
                match interface {
                    Some(interface) if gone => self.heal_port(&seat, &interface),
                    Some(_) => return true,
                    None => (),
                }
                false
            }
        }
    }

    /// Whether a network's own fragment is not as wanted. Our own changes come back as notices too, and are as wanted.
    fn differs(&self, bridge: &LinkKey) -> bool {
        let Some(Owner::Bridge(keeper)) = self.index.owner(bridge) else { return false };
        match self.drift_of(&keeper) {
            Ok(steps) => !steps.is_empty(),
            Err(error) => {
                tracing::warn!(network = %keeper.name, code = %error.code, "look at the kernel: {error}");
                false
            }
        }
    }

    fn drift_of(&self, keeper: &Keeper) -> Result<Vec<Change>> {
        let _still = self.hosts.lock();
        let kept = keeper.lock();
        if kept.removed {
            return Ok(Vec::new());
        }
        let want = driver::network(&kept.network);
        let mut seen = self.kernel.observe(&Scope::Host(keeper.host))?;
        seen.links.retain(|key, _| want.links.contains_key(key));
        seen.addrs.retain(|addr| want.links.contains_key(&addr.link));
        seen.elements.retain(|element| want.elements.contains(element));
        seen.routes.clear();
        seen.frames.clear();
        seen.held.clear();
        Ok(diff(&seen, &want))
    }

    fn heal_everything(&self) {
        match self.repair_hosts() {
            Ok(steps) if steps.is_empty() => (),
            Ok(steps) => self.tell(EventKind::Healed, None, None, Some(steps.join("; "))),
            Err(error) => tracing::error!(code = %error.code, "heal: {error}"),
        }
    }

    /// Puts the kernel right, inside containers too, and says what was done. By itself the daemon leaves alone what a
    /// container did to its own cards; here somebody asks for it.
    pub fn repair(&self) -> Result<v1::Drift> {
        let mut steps = self.repair_hosts()?;
        self.welcome_and_warn();
        steps.extend(self.everywhere_inside(Inside::PutRight));
        Ok(v1::Drift { steps })
    }

    pub(super) fn repair_hosts(&self) -> Result<Vec<String>> {
        let put = self.put_right(false)?;
        let mut steps: Vec<String> = put.steps.iter().map(Change::to_string).collect();
        // A port that could be held at last is relayed as well.
        for seat in self.index.endpoints() {
            let seated = seat.lock();
            let keepers = self.keepers_of(&seated.endpoint);
            let kept: Vec<_> = keepers.iter().map(|k| k.lock()).collect();
            self.begin_relays(&Beside::of(&seated.endpoint, among(&kept)));
        }
        for (seat, interface) in put.missing {
            steps.push(format!("+ {} for {}", interface.port, seat.name));
            self.heal_port(&seat, &interface);
        }
        Ok(steps)
    }

    fn everywhere_inside(&self, then: Inside) -> Vec<String> {
        let mut steps = Vec::new();
        for seat in self.index.endpoints() {
            let found = self.inside(&seat.lock(), then);
            match found {
                Ok(found) => steps.extend(found.iter().map(|step| format!("{step} ({})", seat.name))),
                Err(error) if matches!(error.code, Code::NetnsGone | Code::InvalidNetns) => (),
                Err(error) => {
                    tracing::warn!(endpoint = %seat.name, code = %error.code, "look inside: {error}")
                }
            }
        }
        steps
    }

    /// Where the kernel differs from what is wanted.
    pub fn drift(&self) -> Result<v1::Drift> {
        let seats = self.index.endpoints();
        let leaving: BTreeSet<LinkKey> = seats
            .iter()
            .flat_map(|s| s.lock().leaving.iter().map(|i| self.port(i)).collect::<Vec<_>>())
            .collect();
        let places: BTreeSet<Place> = self.hosts.lock().keys().copied().chain([self.host]).collect();
        let mut steps = Vec::new();
        for place in places {
            let mut seen = self.kernel.observe(&Scope::Host(place))?;
            seen.links.retain(|key, _| !leaving.contains(key));
            // What the firewall has about them goes right after them.
            seen.elements.retain(|(_, element)| {
                let (Element::Guarded(port) | Element::Source { port, .. }) = element else { return true };
                !leaving.contains(&LinkKey::new(place, port.clone()))
            });
            steps.extend(diff(&seen, &self.wanted_of_host(place)).iter().map(Change::to_string));
        }
        steps.extend(self.everywhere_inside(Inside::Look));
        Ok(v1::Drift { steps })
    }
}
