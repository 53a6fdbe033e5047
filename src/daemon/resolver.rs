//! Who asks at 127.0.0.11 in which namespace, and what it sees. The threads that answer are `bowline_dns`'s; the sockets are
//! the kernel's, and outlive the daemon at the keeper's.
//!
//! ```text
//! join:   kernel (sockets, rewriting) -> names -> hear -> answer
//! leave:  names gone -> answer;  the last to leave a namespace closes its sockets
//! ```

mod files;
mod follow;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bowline_core::Result;
use bowline_core::name::Id;
use bowline_core::place::{Found, Place};
use bowline_core::port::Protocol;
use bowline_dns::asker::{Asker, Elsewhere, View};
use bowline_dns::resolv::{self, ResolvConf, Wishes};
use bowline_dns::serve::{Dial, Ears, Options, Service};
use bowline_dns::zone::Zone;

use crate::config::Config;
use crate::kept::{self, Keeper, Kept};
use crate::sockets::{Leave, Sockets};
use files::Files;

/// What one endpoint of a namespace brings.
#[derive(Debug, Clone, Default)]
pub(crate) struct Part {
    pub(crate) endpoint: String,
    /// The networks with names that it is on, the one that its default route leaves by first.
    pub(crate) zones: Vec<Arc<Zone>>,
    pub(crate) links: Vec<(String, String)>,
    pub(crate) elsewhere: Elsewhere,
}

/// What the administrator says.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// None for those of this host's resolv.conf.
    pub(crate) servers: Option<Vec<IpAddr>>,
    pub(crate) ttl: u32,
}

impl Settings {
    pub(crate) fn of(config: &Config) -> Settings {
        Settings { servers: config.dns_servers.clone(), ttl: config.dns_ttl }
    }
}

pub(crate) struct Resolver {
    service: Service,
    keeper: Box<dyn Keeper>,
    sockets: Arc<dyn Sockets>,
    asking: Mutex<HashMap<Place, Asking>>,
    settings: RwLock<Settings>,
    host: RwLock<ResolvConf>,
    files: Files,
    /// Whoever makes, takes up or takes away what is in a namespace waits for who is at it. A namespace has one of these; so
    /// may have others, which then wait for no reason, but not for long.
    turns: [Mutex<()>; TURNS],
}

const TURNS: usize = 256;

/// How the namespace of somebody who asks is found, and what is wished for.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: Option<String>,
    pub(crate) path_seen: bool,
    pub(crate) wishes: Wishes,
}

impl Asked {
    pub(crate) fn found(&self) -> Found<'_> {
        match &self.path {
            Some(path) if self.path_seen => Found::Seen(path),
            Some(path) => Found::By(path),
            None => Found::Nowhere,
        }
    }
}

struct Asking {
    asker: Arc<Asker>,
    /// Of every endpoint in the namespace, the first to come first.
    parts: Vec<(Id, Part)>,
    hears: bool,
}

/// Two threads keep up with all that a host's programs ask, and one of them is free while the other is busy.
const THREADS: usize = 2;

const CACHE_BYTES: usize = 8 << 20;

/// Sockets on their way to servers, made where the asker is or where its network is.
struct Dialer(Arc<dyn Sockets>);

impl Dial for Dialer {
    fn dial(&self, place: Place, protocol: Protocol, to: SocketAddr) -> std::io::Result<OwnedFd> {
        self.0.dial(place, protocol, to)
    }
}

impl Resolver {
    pub(crate) fn start(
        sockets: Arc<dyn Sockets>,
        keeper: Box<dyn Keeper>,
        settings: Settings,
        run_dir: &Path,
    ) -> Result<Resolver> {
        let slate = Some(run_dir.join("asked"));
        let options = Options { threads: THREADS, cache_bytes: CACHE_BYTES, slate };
        let resolver = Resolver {
            service: Service::start(options, Arc::new(Dialer(sockets.clone())))?,
            keeper,
            sockets,
            asking: Mutex::default(),
            settings: RwLock::new(settings),
            host: RwLock::default(),
            files: Files::at(run_dir),
            turns: [const { Mutex::new(()) }; TURNS],
        };
        resolver.read_host();
        Ok(resolver)
    }

    pub(crate) fn service(&self) -> &Service {
        &self.service
    }

    /// The file for an endpoint's programs.
    pub(crate) fn resolv_conf(&self, wishes: &Wishes) -> String {
        resolv::compose(&read(&self.host), wishes)
    }

    /// The servers that this host's own programs ask. One of a link's own (fe80::1%eth0) is left out: nobody beyond that link can
    /// ask it.
    pub(crate) fn nameservers(&self) -> impl Iterator<Item = IpAddr> {
        read(&self.host)
            .servers
            .into_iter()
            .filter(|server| server.zone.is_none())
            .map(|server| server.address)
    }

    pub(crate) fn configure(&self, settings: Settings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
        self.read_host();
        for asking in self.asking().values() {
            asking.show(self.ttl());
        }
    }

    /// Whether 127.0.0.11 is answered in a namespace.
    pub(crate) fn hears(&self, place: Place) -> bool {
        self.asking().get(&place).is_some_and(|asking| asking.hears)
    }

    /// Held while anything of a namespace's resolver comes or goes; taken after the locks of endpoints and networks.
    pub(crate) fn turn(&self, place: Place) -> MutexGuard<'_, ()> {
        self.turns[(place.0 % TURNS as u64) as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an endpoint of the namespace is on a network with names.
    pub(crate) fn is_wanted(&self, place: Place) -> bool {
        self.asking().contains_key(&place)
    }

    /// What an endpoint sees, from the next query on.
    pub(crate) fn put(&self, place: Place, endpoint: Id, part: Part) {
        let ttl = self.ttl();
        let mut asking = self.asking();
        let here = asking.entry(place).or_insert_with(|| Asking {
            asker: Arc::new(Asker::new(place, View::default())),
            parts: Vec::new(),
            hears: false,
        });
        match here.parts.iter_mut().find(|(id, _)| *id == endpoint) {
            Some((_, there)) => *there = part,
            None => here.parts.push((endpoint, part)),
        }
        here.show(ttl);
    }

    /// Takes an endpoint's part away. Where nobody in the namespace is left to ask, the sockets are closed too, and what takes
    /// the rest out of there is returned.
    pub(crate) fn remove(&self, place: Place, endpoint: Id) -> Option<Leave> {
        let ttl = self.ttl();
        let mut asking = self.asking();
        let here = asking.get_mut(&place)?;
        here.parts.retain(|(id, _)| *id != endpoint);
        if !here.parts.is_empty() {
            here.show(ttl);
            return None;
        }
        asking.remove(&place);
        drop(asking);
        let leave = self.sockets.leave(place);
        self.close(place);
        leave
    }

    /// Answers in a namespace, by sockets that were made there just now.
    pub(crate) fn hear(&self, place: Place, found: Found<'_>, wishes: &Wishes) -> Result<()> {
        let Some(ears) = self.sockets.ears(place) else { return Ok(()) };
        if let Err(error) = self.keeper.keep(&kept::name_of(place), &[ears.udp.as_fd(), ears.tcp.as_fd()]) {
            // They are answered at all the same, as long as this daemon lives.
            tracing::warn!(%place, code = %error.code, "keep a resolver's sockets: {error}");
        }
        self.open(place, found, wishes, ears)
    }

    /// Answers by sockets that were kept while the daemon was away: what was asked meanwhile is answered now. Those of
    /// namespaces that nobody is known to be in are let go of.
    pub(crate) fn resume(&self, kept: Kept, of: impl Fn(Place) -> Option<Asked>) {
        for (name, sockets) in kept {
            let adopted = self.sockets.adopt(sockets).and_then(|(place, ears)| {
                let Some(asked) = of(place) else {
                    self.sockets.forget(place);
                    return Ok(false);
                };
                self.open(place, asked.found(), &asked.wishes, ears).map(|()| true)
            });
            match adopted {
                Ok(true) => continue,
                Ok(false) => (),
                Err(error) => {
                    tracing::warn!(kept = %name, code = %error.code, "take up kept sockets: {error}")
                }
            }
            if let Err(error) = self.keeper.forget(&name) {
                tracing::warn!(kept = %name, code = %error.code, "let go of kept sockets: {error}");
            }
        }
        self.service.ask_again();
        self.files.sweep();
    }

    /// Somebody destroyed sockets there: where they are still those that are answered at, others are wanted in their place.
    pub(crate) fn lose(&self, place: Place) {
        let _turn = self.turn(place);
        if !self.service.is_broken(place) {
            return;
        }
        if let Some(asking) = self.asking().get_mut(&place) {
            asking.hears = false;
        }
        self.sockets.lose(place);
    }

    /// Writes the file for a namespace's programs anew, where they read one.
    pub(crate) fn write(&self, place: Place, found: Found<'_>, wishes: &Wishes) {
        match found {
            Found::Seen(path) if self.hears(place) => {
                self.files.put(place, path, &self.resolv_conf(wishes));
            }
            Found::Seen(_) | Found::By(_) | Found::Nowhere => (),
        }
    }

    /// Nobody but us keeps the namespace: with the sockets it goes, and the kernel tells of the rest.
    pub(crate) fn let_die(&self, place: Place) {
        let _turn = self.turn(place);
        if let Some(asking) = self.asking().get_mut(&place) {
            asking.hears = false;
        }
        tracing::debug!(%place, "nobody is in it: its resolver's sockets are closed");
        self.close(place);
    }

    /// All of it, or nothing is left of it.
    fn open(&self, place: Place, found: Found<'_>, wishes: &Wishes, ears: Ears) -> Result<()> {
        let asker = self.asking().get(&place).map(|asking| asking.asker.clone());
        let Some(asker) = asker else { return Ok(()) };
        let opened = self.sockets.anchor(place, ears.udp.as_fd(), found).and_then(|leads| {
            self.service.open(asker, ears)?;
            Ok(leads)
        });
        let leads = opened.inspect_err(|_| self.close(place))?;
        if let Some(asking) = self.asking().get_mut(&place) {
            asking.hears = true;
        }
        match found {
            Found::Seen(path) | Found::By(path) if leads => {
                self.files.put(place, path, &self.resolv_conf(wishes));
            }
            Found::Seen(_) | Found::By(_) | Found::Nowhere => (),
        }
        Ok(())
    }

    fn close(&self, place: Place) {
        self.service.close(place);
        self.sockets.forget(place);
        self.files.remove(place);
        if let Err(error) = self.keeper.forget(&kept::name_of(place)) {
            tracing::warn!(%place, code = %error.code, "let go of kept sockets: {error}");
        }
    }

    fn ttl(&self) -> u32 {
        read(&self.settings).ttl
    }

    fn asking(&self) -> MutexGuard<'_, HashMap<Place, Asking>> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asking {
    /// The namespace sees what any of its endpoints does.
    fn show(&self, ttl: u32) {
        let parts = || self.parts.iter().map(|(_, part)| part);
        let mut view = View { ttl, ..View::default() };
        for part in parts() {
            for zone in &part.zones {
                if !view.zones.iter().any(|there| Arc::ptr_eq(there, zone)) {
                    view.zones.push(zone.clone());
                }
            }
            view.links.extend(part.links.iter().cloned());
            view.elsewhere = further(view.elsewhere, &part.elsewhere);
        }
        view.endpoint = parts().map(|part| part.endpoint.as_str()).collect::<Vec<_>>().join(",");
        self.asker.set(view);
    }
}

/// Servers that were asked for come before the host's, and any before none.
fn further(one: Elsewhere, other: &Elsewhere) -> Elsewhere {
    match (&one, other) {
        (Elsewhere::Own(_), Elsewhere::Own(_) | Elsewhere::Host(_) | Elsewhere::Never)
        | (Elsewhere::Host(_), Elsewhere::Host(_) | Elsewhere::Never)
        | (Elsewhere::Never, Elsewhere::Never) => one,
        (Elsewhere::Never, Elsewhere::Own(_) | Elsewhere::Host(_))
        | (Elsewhere::Host(_), Elsewhere::Own(_)) => other.clone(),
    }
}

fn read<T: Clone>(lock: &RwLock<T>) -> T {
    lock.read().unwrap_or_else(PoisonError::into_inner).clone()
}
