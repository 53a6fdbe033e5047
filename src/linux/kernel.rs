//! [`Kernel`]: the real one, behind the seam that the core defines.
//! It keeps what is slow to make (sockets of the host, the socket of our table) and lets go of what must not be kept.

mod address;
mod apply;
mod bury;
mod direct;
mod ears;
mod facts;
mod guest;
mod host;
pub(crate) mod link;
mod mark;
mod observe;
mod parents;
mod port;
pub(crate) mod rate;
mod sights;
mod stems;
mod tables;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bowline_core::feature::Feature;
use bowline_core::firewall::Element;
use bowline_core::firewall::hooks::Hooks;
use bowline_core::kernel::{Facts, HostLink, Obstacle, Scope, Sights, Tell};
use bowline_core::name::LinkName;
use bowline_core::place::{Door, Found, Place};
use bowline_core::plan::Change;
use bowline_core::port::{HostPort, Ports, Protocol};
use bowline_core::state::State;
use bowline_core::{Code, Error, Result};
use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use crate::anchor::Anchors;
use crate::foreign::firewalld::Bridges;
use crate::nft::Nft;
use crate::packets::Packets;
use crate::resolver::Ears;
use crate::{anchor, dial, fault, foreign, hold, keeper, netns, probe};
use ears::Resolvers;
use guest::Guest;
use host::Host;

const SYSTEM_BUS: &str = "/run/dbus/system_bus_socket";

#[derive(Debug)]
pub struct Kernel {
    own: Arc<Host>,
    /// The administrator's rules, for every host's tables.
    hooks: Arc<Mutex<Hooks>>,
    /// Who keeps ports over a restart.
    keeping: hold::Keeping,
    /// Ports that were kept when the daemon began, until its hosts are known.
    kept_ports: Mutex<keeper::Kept>,
    /// Host namespaces other than our own.
    others: Mutex<HashMap<Place, Arc<Host>>>,
    guests: Mutex<HashMap<Place, Opened>>,
    /// Closed when the kernel is dropped: the watching threads end by it.
    leashes: Mutex<Vec<(Place, OwnedFd)>>,
    resolvers: Arc<Resolvers>,
    anchors: OnceLock<Anchors>,
    /// Those of our own namespace that firewalld, where it runs, has in a zone.
    bridges: Bridges,
    /// What the kernel is known to have. What it lacks is asked for anew, as a module may be loaded any time.
    can: Mutex<BTreeSet<Feature>>,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// For crash tests: this process kills itself just before its so many-eth change to the kernel, counted from 1.
    pub kill_at_call: Option<u64>,
}

/// A container's namespace, and how many callers have it open.
#[derive(Debug)]
struct Opened {
    guest: Arc<Guest>,
    callers: usize,
}

impl Kernel {
    /// The kernel as seen from the calling thread's namespace, which becomes the host's.
    pub fn new(options: Options) -> Result<Kernel> {
        if let Some(call) = options.kill_at_call {
            fault::kill_at(call);
        }
        let (hooks, keeping) = (Arc::<Mutex<Hooks>>::default(), hold::Keeping::default());
        Ok(Kernel {
            own: Arc::new(Host::own(hooks.clone(), keeping.clone())?),
            hooks,
            keeping,
            kept_ports: Mutex::default(),
            others: Mutex::new(HashMap::new()),
            guests: Mutex::new(HashMap::new()),
            leashes: Mutex::new(Vec::new()),
            resolvers: Arc::default(),
            anchors: OnceLock::new(),
            bridges: Bridges::at(Path::new(SYSTEM_BUS)),
            can: Mutex::default(),
        })
    }

    /// The namespace behind [`Door::Own`].
    pub fn host(&self) -> Place {
        self.own.place()
    }

    /// How many changes to the kernel this process has made.
    pub fn calls_made() -> u64 {
        fault::calls_made()
    }

    /// Who keeps the ports of hosts over a restart from now on, and what was kept.
    pub fn keep_ports_with(&self, keeper: Arc<keeper::Keeper>, kept: keeper::Kept) {
        // It is called once, at the start.
        drop(self.keeping.set(keeper));
        *self.kept_ports.lock().unwrap_or_else(PoisonError::into_inner) = kept;
    }

    /// Every host is known now: their ports that were kept are held as before, and all others are let go of.
    pub fn take_up_ports(&self) {
        let Some(keeper) = self.keeping.get() else { return };
        for (name, sockets) in
            std::mem::take(&mut *self.kept_ports.lock().unwrap_or_else(PoisonError::into_inner))
        {
            let place = sockets.first().map(netns::cookie_of).unwrap_or_else(|| Err(apply::closed(Place(0))));
            let adopted = place.and_then(|place| self.host_or_closed(place)?.adopt_ports(&name, sockets));
            let Err(error) = adopted else { continue };
            tracing::warn!(name, code = %error.code, "kept ports are let go of: {error}");
            if let Err(error) = keeper.forget(&name) {
                tracing::warn!(name, code = %error.code, "{error}");
            }
        }
    }

    /// The socket that holds a port, made to hear.
    pub fn listen(&self, place: Place, port: &HostPort) -> Result<Option<hold::Socket>> {
        self.host_or_closed(place)?.listen(port)
    }

    /// A socket in a host's namespace, or in a container's that is anchored, on its way to an endpoint or a server.
    pub fn dial(&self, place: Place, protocol: Protocol, to: SocketAddr) -> io::Result<OwnedFd> {
        if let Some(dialled) = self.resolvers.dial(place, protocol, to) {
            return dialled;
        }
        let host = self.host_or_closed(place).map_err(io::Error::other)?;
        host.enter(|| Ok(dial::dial(protocol, to))).map_err(io::Error::other)?
    }

    /// The packets of a card in an open container namespace: ARP, and UDP to this port.
    pub fn packets(&self, place: Place, card: &LinkName, port: u16) -> Result<Packets> {
        let card = card.clone();
        self.guest_at(place)?.run(move |_| Packets::open(&card, port))
    }

    /// A container's namespace itself, where a resolver of ours is in it. Whoever holds it keeps it.
    pub fn way_in(&self, place: Place) -> Option<OwnedFd> {
        self.resolvers.way_in(place)
    }

    /// The sockets of the resolver that was made in a container's namespace, once for each time that they were made.
    pub fn ears(&self, place: Place) -> Option<Ears> {
        self.resolvers.take(place)
    }

    /// Takes up a resolver's sockets that another process kept.
    pub fn adopt(&self, sockets: Vec<OwnedFd>) -> Result<(Place, Ears)> {
        self.resolvers.adopt(sockets)
    }

    /// Watches who else keeps the namespace that a socket of ours is in, and keeps. Whether its path leads there.
    pub fn anchor(&self, place: Place, socket: BorrowedFd<'_>, found: Found<'_>) -> Result<bool> {
        let failed = |e| Error::new(Code::Kernel, "know the namespace of a socket").because(e);
        self.resolvers.lead_in(place, socket)?;
        match self.anchors.get() {
            Some(anchors) => anchors.hold(place, dial::namespace_of(socket).map_err(failed)?.as_fd(), found),
            None => Ok(false),
        }
    }

    /// Whom to tell when nobody else seems to keep an anchored namespace.
    pub fn when_left_alone(&self, tell: anchor::Tell) -> Result<()> {
        // It is asked for once, at the start.
        drop(self.anchors.set(Anchors::new(tell)?));
        Ok(())
    }

    /// What takes a resolver's rewriting out of its namespace, to be called when its sockets are closed. The namespace is kept
    /// until then.
    pub fn leave_resolver(&self, place: Place) -> Option<impl FnOnce() -> Result<()> + Send + use<>> {
        self.resolvers.leave(place)
    }

    /// The resolver's sockets there are good for nothing any more, so that others are to be made.
    pub fn lose_ears(&self, place: Place) {
        self.resolvers.lose(place);
    }

    /// The resolver's sockets there are closed, or about to be.
    pub fn forget_resolver(&self, place: Place) {
        if let Some(anchors) = self.anchors.get() {
            anchors.forget(place);
        }
        self.resolvers.forget(place);
    }

    /// What firewalld is told of. It knows the daemon's own namespace only.
    fn bridges_of_firewalld(&self, place: Place) -> Option<&Bridges> {
        (place == self.host()).then_some(&self.bridges)
    }

    fn hosts(&self) -> Vec<Arc<Host>> {
        std::iter::once(self.own.clone()).chain(self.others().values().cloned()).collect()
    }

    fn host_at(&self, place: Place) -> Option<Arc<Host>> {
        if self.own.place() == place { Some(self.own.clone()) } else { self.others().get(&place).cloned() }
    }

    fn others(&self) -> MutexGuard<'_, HashMap<Place, Arc<Host>>> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn guest_at(&self, place: Place) -> Result<Arc<Guest>> {
        let guests = self.guests();
        guests.get(&place).map(|opened| opened.guest.clone()).ok_or_else(|| apply::closed(place))
    }

    fn guests(&self) -> MutexGuard<'_, HashMap<Place, Opened>> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn host_or_closed(&self, place: Place) -> Result<Arc<Host>> {
        self.host_at(place).ok_or_else(|| apply::closed(place))
    }
}

impl bowline_core::kernel::Kernel for Kernel {
    fn open(&self, door: &Door) -> Result<Place> {
        if *door == Door::Own {
            return Ok(self.host());
        }
        let guest = Guest::enter(netns::open(door)?)?;
        let place = guest.place();
        if self.host_at(place).is_some() {
            return Err(Error::new(Code::NetnsIsHost, format!("{door} is the host's own network namespace"))
                .fix("give the namespace of a container; what runs in the host's needs no network"));
        }
        // Where it is open already, the guest just made is let go of, and the first one serves both.
        self.guests()
            .entry(place)
            .and_modify(|opened| opened.callers += 1)
            .or_insert_with(|| Opened { guest: Arc::new(guest), callers: 1 });
        Ok(place)
    }

    fn close(&self, place: Place) {
        let mut guests = self.guests();
        let last = match guests.get_mut(&place) {
            Some(opened) => {
                opened.callers -= 1;
                opened.callers == 0
            }
            None => false,
        };
        let gone = if last { guests.remove(&place) } else { None };
        drop(guests);
        drop(gone);
    }

    fn open_host(&self, door: &Door) -> Result<Place> {
        if *door == Door::Own {
            return Ok(self.host());
        }
        let ns = netns::open(door)?;
        // Two open files of one namespace are one file. Of the usual host that is told without a visit to it.
        if let Some(host) = self.hosts().into_iter().find(|host| netns::same(host.ns(), ns.as_fd())) {
            return Ok(host.place());
        }
        let host = Host::of(ns, self.hooks.clone(), self.keeping.clone())?;
        let place = host.place();
        if self.guests().contains_key(&place) {
            return Err(Error::new(
                Code::Busy,
                format!("{door} is a container's network namespace just now"),
            )
            .because("an attach has it open")
            .fix("a namespace is either a host's or a container's: choose another"));
        }
        if place != self.host() {
            self.others().entry(place).or_insert_with(|| Arc::new(host));
        }
        Ok(place)
    }

    fn claim(&self, place: Place) -> Result<()> {
        self.host_or_closed(place)?.nft(Nft::claim)
    }

    fn close_host(&self, place: Place) {
        let gone = self.others().remove(&place);
        if gone.is_some() {
            self.leashes.lock().unwrap_or_else(PoisonError::into_inner).retain(|(at, _)| *at != place);
        }
    }

    fn facts(&self, place: Place) -> Result<Facts> {
        facts::facts(&*self.host_or_closed(place)?)
    }

    fn sights(&self, place: Place) -> Result<Sights> {
        self.host_or_closed(place)?.enter(sights::sights)
    }

    fn can(&self, feature: Feature) -> Result<()> {
        let known = || self.can.lock().unwrap_or_else(PoisonError::into_inner);
        if known().contains(&feature) {
            return Ok(());
        }
        // Without the lock, so that one that is loaded slowly keeps nobody from asking for another.
        probe::can(feature)?;
        known().insert(feature);
        Ok(())
    }

    fn links(&self, place: Place) -> Result<Vec<HostLink>> {
        facts::links(&*self.host_or_closed(place)?)
    }

    fn follow(&self, place: Place, links: &BTreeSet<LinkName>) -> Result<()> {
        let host = self.host_or_closed(place)?;
        host.parents().map_or(Ok(()), |parents| parents.follow(&host, links))
    }

    fn way_to(&self, place: Place, address: IpAddr) -> Result<Option<LinkName>> {
        self.host_or_closed(place)?.route(|route| facts::way_to(route, address))
    }

    fn observe(&self, scope: &Scope) -> Result<State> {
        observe::observe(self, scope)
    }

    fn apply(&self, changes: &[Change]) -> Result<()> {
        apply::apply(self, changes)
    }

    fn ephemeral(&self, place: Place) -> Result<Vec<Ports>> {
        self.host_or_closed(place)?.enter(hold::ephemeral)
    }

    fn is_free(&self, place: Place, port: &HostPort) -> Result<bool> {
        self.host_or_closed(place)?.enter(|| hold::is_free(port))
    }

    fn holders(&self, place: Place, port: &HostPort) -> Vec<String> {
        let holders = |host: Arc<Host>| host.enter(|| Ok(hold::holders(port)));
        let found = self.host_or_closed(place).and_then(holders).unwrap_or_default();
        found.iter().map(|h| format!("{} (pid {}) at {}", h.command, h.pid, h.at)).collect()
    }

    fn set_hooks(&self, hooks: &Hooks) -> Result<()> {
        // Kept first, so that a host that is opened meanwhile has them too.
        *self.hooks.lock().unwrap_or_else(PoisonError::into_inner) = hooks.clone();
        self.hosts().iter().try_for_each(|host| host.nft(|nft| nft.put_hooks(hooks.clone())))
    }

    fn owns_tables(&self, place: Place) -> bool {
        let owns = |host: Arc<Host>| host.nft(|nft| Ok(nft.is_owner()));
        self.host_or_closed(place).and_then(owns).unwrap_or(false)
    }

    fn release_tables(&self, place: Place, elements: &BTreeSet<Element>) -> Result<()> {
        let host = self.host_or_closed(place)?;
        // Before they are anybody's, so that nothing is missed.
        host.watch_tables();
        host.nft(|nft| {
            nft.disown();
            nft.put_frame(elements)
        })
    }

    fn obstacles(&self, place: Place, bridges: &[LinkName]) -> Result<Vec<Obstacle>> {
        let host = self.host_or_closed(place)?;
        let ours = || Ok(host.nft(Nft::elements)?.unwrap_or_default());
        let found = host.enter(|| foreign::obstacles(bridges, ours))?;
        Ok(found.into_iter().map(obstacle).collect())
    }

    fn welcome(&self, place: Place, bridge: &LinkName) -> Result<Vec<String>> {
        let mut done = Vec::new();
        if self.host_or_closed(place)?.enter(|| foreign::welcome(bridge))? {
            done.push(format!("Docker's chain DOCKER-USER accepts {bridge}"));
        }
        if let Some(bridges) = self.bridges_of_firewalld(place)
            && let Some(zone) = bridges.join(bridge)?
        {
            done.push(format!("firewalld has {bridge} in its zone {zone}"));
        }
        Ok(done)
    }

    fn unwelcome(&self, place: Place, bridge: &LinkName) -> Result<()> {
        let left = self.bridges_of_firewalld(place).map_or(Ok(()), |bridges| bridges.leave(bridge));
        self.host_or_closed(place)?.enter(|| foreign::unwelcome(bridge))?;
        left
    }

    fn watch(&self, place: Place, tell: Tell) -> Result<()> {
        let host = self.host_or_closed(place)?;
        let (far, near) = pipe2(OFlag::O_CLOEXEC)
            .map_err(|e| Error::new(Code::Kernel, "make a pipe to end a thread by").because(e))?;
        watch::watch(&host, far, tell)?;
        self.leashes.lock().unwrap_or_else(PoisonError::into_inner).push((place, near));
        Ok(())
    }
}

fn obstacle(found: foreign::Obstacle) -> Obstacle {
    let how = found.how();
    let foreign::Obstacle { table, chain, tool, fix, .. } = found;
    Obstacle { table, chain, tool, how, fix }
}
