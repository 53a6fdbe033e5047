//! Endpoints whose addresses a DHCP server gives: a join waits for the first lease without any lock, and one thread keeps
//! all of them from then on.
//!
//! ```text
//! join:   journal "joining" -> kernel (a card without an address) -> lease -> kernel (address) -> journal "live" -> answer
//! leave:  journal "leaving" -> answer -> (reaper) goodbye -> kernel ...
//! ```

use std::os::fd::AsRawFd;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bowline_api::v1::EventKind;
use bowline_core::endpoint::Interface;
use bowline_core::lease::Lease;
use bowline_core::name::Id;
use bowline_core::place::{Door, Place};
use bowline_core::plan::diff;
use bowline_core::state::LinkKey;
use bowline_core::{Code, Error, Result};
use bowline_dhcp::{CLIENT, Client, Identity, Lost, Phase};

use super::Manager;
use super::attach::among;
use super::endpoints::live;
use super::index::Owner;
use super::lease;
use super::relay::Beside;
use super::seat::{Seat, Seated, wanted};
use crate::leases::{self, Leases, News, Talk, farewell, held, now};
use crate::sockets::Packets;
use crate::store::{EndpointRecord, Life};

/// How long a join waits for a server.
const PATIENCE: Duration = Duration::from_secs(10);

/// A lease that is given back before its card goes.
#[derive(Debug)]
pub(super) struct Goodbye {
    who: Identity,
    lease: Lease,
    dice: u32,
    packets: Box<dyn Packets>,
}

impl Goodbye {
    pub(super) fn say(&self) {
        farewell(&self.who, &self.lease, self.dice, self.packets.as_ref());
    }
}

impl Manager {
    /// Waits for the first leases of interfaces that were just made, with the namespace open and no lock held. On failure
    /// these, or the whole endpoint if it is new, are taken back.
    pub(super) fn await_leases(&self, seat: &Arc<Seat>, networks: &[Id]) -> Result<()> {
        if networks.is_empty() {
            return Ok(());
        }
        let until = now().saturating_add(PATIENCE);
        let given = networks.iter().try_for_each(|network| self.await_lease(seat, *network, until));
        let Err(error) = given else { return Ok(()) };
        {
            let mut seated = seat.lock();
            let its = |network: &Id| seated.endpoint.on(*network).is_some();
            let joined: Vec<Id> = networks.iter().copied().filter(its).collect();
            if seated.life == Life::Live {
                let (going, life) = if seated.answered {
                    (joined, Life::Live)
                } else {
                    (seated.endpoint.interfaces.iter().map(|i| i.network).collect(), Life::Removed)
                };
                if let Err(error) = self.leave(seat, &mut seated, &going, life) {
                    tracing::warn!(endpoint = %seat.name, code = %error.code, "undo a failed join: {error}");
                }
            }
        }
        self.reaper.wait_until_idle();
        Err(error)
    }

    fn await_lease(&self, seat: &Arc<Seat>, network: Id, until: Duration) -> Result<()> {
        let (mut talk, key) = {
            let seated = seat.lock();
            let interface = still_on(seat, &seated, network)?;
            let who = self.identity(&seated, interface).ok_or_else(|| left(seat))?;
            let packets = self.sockets.packets(seated.endpoint.place, &interface.card, CLIENT)?;
            let mut client = Client::new(who);
            client.begin(None, now(), self.dice());
            (Talk::by(client, packets), self.port(interface))
        };
        let given = loop {
            let mut news = talk.turn(now(), self.dice(), || Err(left(seat)))?;
            if news.is_empty() {
                if let Some(fd) = talk.fd() {
                    leases::wait_for_one(fd, talk.due().min(until));
                }
                news = talk.hear(now(), self.dice());
            }
            let bound = news.into_iter().find_map(|news| match news {
                News::Bound(lease) => Some(lease),
                News::Lost(_) => None,
            });
            if bound.is_some() || now() >= until {
                break bound;
            }
        };
        let Some(given) = given else { return Err(self.no_lease(seat, network, talk.client())) };
        let (client, packets) = talk.end();
        let mut seated = seat.lock();
        let there = still_on(seat, &seated, network).map(|interface| self.port(interface) == key);
        if there != Ok(true) {
            if let Some(packets) = packets {
                farewell(client.who(), &given, self.dice(), packets.as_ref());
            }
            return there.and(Err(left(seat)));
        }
        // Closing such a socket takes the kernel a while, so it is let go of before anybody waits for us.
        drop(packets);
        self.set_lease(&mut seated, network, Some(given.clone()))?;
        self.leases.keep(key, client);
        tracing::info!(endpoint = %seat.name, address = %given.address, server = %given.server, "leased");
        Ok(())
    }

    fn no_lease(&self, seat: &Seat, network: Id, client: &Client) -> Error {
        let keeper = self.index.network_by_id(network);
        let name = keeper.map_or_else(|| network.to_string(), |keeper| keeper.name.to_string());
        let seconds = PATIENCE.as_secs();
        let why = match client.phase() {
            Phase::Requesting(offer) => {
                format!(
                    "{} offered {}, and did not give it within {seconds} s",
                    offer.server,
                    offer.address.ip()
                )
            }
            Phase::Idle
            | Phase::Selecting
            | Phase::Checking(_)
            | Phase::Bound(_)
            | Phase::Renewing(_)
            | Phase::Rebinding(_)
            | Phase::Rebooting(_) => format!("nobody offered one that is free within {seconds} s"),
        };
        Error::new(Code::NoLease, format!("no DHCP server gave {} an address on network {name}", seat.name))
            .because(why)
            .fix(format!("see that a server is on the same link or VLAN: bowline network inspect {name}"))
    }

    /// Begins to keep the leases of an endpoint that was there before this daemon was.
    pub(super) fn keep_leases_of(&self, seated: &Seated) {
        if seated.life != Life::Live {
            return;
        }
        for interface in &seated.endpoint.interfaces {
            let Some(who) = self.identity(seated, interface) else { continue };
            let mut client = Client::new(who);
            match interface.lease.clone() {
                Some(lease) => client.resume(lease),
                None => client.begin(None, now(), self.dice()),
            }
            self.leases.keep(self.port(interface), client);
        }
    }

    /// Its card was made anew: whether the lease still holds, a server has to say.
    pub(super) fn confirm_lease(&self, seated: &Seated, interface: &Interface) {
        let Some(who) = self.identity(seated, interface) else { return };
        let mut client = Client::new(who);
        match interface.lease.clone() {
            Some(lease) => client.reboot(lease, now(), self.dice()),
            None => client.begin(None, now(), self.dice()),
        }
        self.leases.keep(self.port(interface), client);
    }

    /// The lease of an interface that leaves is kept no more. What gives it back is returned, as long as there is a way in.
    pub(super) fn end_lease(&self, seated: &Seated, interface: &Interface) -> Option<Arc<Goodbye>> {
        let who = self.identity(seated, interface)?;
        self.leases.forget(&self.port(interface));
        let lease = interface.lease.clone()?;
        match self.packets_of(seated, interface) {
            Ok(packets) => Some(Arc::new(Goodbye { who, lease, dice: self.dice(), packets })),
            Err(error) => {
                tracing::debug!(endpoint = %seated.endpoint.name, "give back a lease: {error}");
                None
            }
        }
    }

    /// Runs on a thread of its own until [`Manager::stop_leases`], or until the manager is gone.
    pub fn keep_leases(manager: &Weak<Manager>) {
        let Some(leases) = manager.upgrade().map(|manager| manager.leases.clone()) else { return };
        while !leases.is_stopped() {
            let Some(this) = manager.upgrade() else { return };
            this.ask_who_is_due(&leases);
            // It is not kept alive by one who waits.
            drop(this);
            let ready = leases.wait();
            let Some(this) = manager.upgrade() else { return };
            for (key, talk) in ready {
                let news = held(&talk).hear(now(), this.dice());
                news.into_iter().for_each(|news| this.take_in(&key, news));
            }
        }
    }

    pub fn stop_leases(&self) {
        self.leases.stop();
    }

    fn ask_who_is_due(&self, leases: &Leases) {
        for (key, talk) in leases.due(now()) {
            let turn = held(&talk).turn(now(), self.dice(), || self.packets_by(&key));
            match turn {
                Ok(news) => news.into_iter().for_each(|news| self.take_in(&key, news)),
                // It says so again when it is next due; a namespace that is gone is told of elsewhere.
                Err(error) => tracing::debug!(%key, code = %error.code, "ask about a lease: {error}"),
            }
        }
    }

    fn packets_by(&self, key: &LinkKey) -> Result<Box<dyn Packets>> {
        let gone = || Error::new(Code::NetnsGone, format!("nobody has {key}"));
        let Some(Owner::Port(seat)) = self.index.owner(key) else { return Err(gone()) };
        let seated = seat.lock();
        let its = seated.endpoint.interfaces.iter().find(|i| i.port == key.name);
        self.packets_of(&seated, its.ok_or_else(gone)?)
    }

    fn packets_of(&self, seated: &Seated, interface: &Interface) -> Result<Box<dyn Packets>> {
        self.visit(seated, |place| self.sockets.packets(place, &interface.card, CLIENT))
    }

    /// What a server said, or did not.
    fn take_in(&self, key: &LinkKey, news: News) {
        let Some(Owner::Port(seat)) = self.index.owner(key) else { return };
        let mut guard = seat.lock();
        let seated = &mut *guard;
        let Some(interface) = seated.endpoint.interfaces.iter().find(|i| i.port == key.name) else { return };
        if seated.life != Life::Live {
            return;
        }
        let (network, card) = (interface.network, interface.card.clone());
        let was = interface.lease.clone();
        let (given, said) = match news {
            News::Bound(lease) if was.as_ref().is_some_and(|was| was.gives_as(&lease)) => (Some(lease), None),
            News::Bound(lease) => {
                let said = format!("{card} has {} of {}", lease.address, lease.server);
                (Some(lease), Some((EventKind::Leased, said)))
            }
            News::Lost(why) => {
                let why = match why {
                    Lost::Expired => "nobody prolonged it",
                    Lost::Refused => "a DHCP server refused to go on",
                };
                let address = was.as_ref().map(|was| was.address.to_string()).unwrap_or_default();
                (None, Some((EventKind::LeaseLost, format!("{card} has lost {address}: {why}"))))
            }
        };
        if let Err(error) = self.set_lease(seated, network, given) {
            tracing::error!(endpoint = %seat.name, code = %error.code, "change an address: {error}");
        }
        match said {
            Some((kind, said)) => {
                if kind == EventKind::LeaseLost {
                    tracing::warn!(endpoint = %seat.name, "{said}");
                } else {
                    tracing::info!(endpoint = %seat.name, "{said}");
                }
                let name = self.index.network_by_id(network).map(|keeper| keeper.name.to_string());
                self.tell(kind, name.as_deref(), Some(seat.name.as_str()), Some(said));
            }
            None => tracing::debug!(endpoint = %seat.name, %card, "renewed"),
        }
    }

    /// Gives an interface what a lease says, or takes it away: in the kernel, in the journal, and by name. It is so from then
    /// on also where the kernel could not follow; what is inside is unsettled then, and looked into by the next start.
    fn set_lease(&self, seated: &mut Seated, network: Id, given: Option<Lease>) -> Result<()> {
        let keepers = self.keepers_of(&seated.endpoint);
        let mut kept: Vec<_> = keepers.iter().map(|k| k.lock()).collect();
        let was = seated.endpoint.clone();
        let (mut before, beside) = (wanted(&was, among(&kept)), Beside::of(&was, among(&kept)));
        let Some(interface) = seated.endpoint.interfaces.iter_mut().find(|i| i.network == network) else {
            return Ok(());
        };
        let had = interface.addresses.clone();
        lease::give(interface, given);
        let interface = interface.clone();
        if interface.addresses != had {
            // With an address the kernel takes away what leads out by its subnet.
            let card = LinkKey::new(was.place, interface.card.clone());
            before.routes.retain(|route| route.link != card);
        }
        let id = seated.endpoint.id;
        if let Some(of) = kept.iter_mut().find(|k| k.network.id == network) {
            of.members.insert(id, (was.name.clone(), interface));
        }
        if !was.published.is_empty() {
            self.drop_what_cannot_move(seated, &beside, &kept);
        }
        let now_beside = Beside::of(&seated.endpoint, among(&kept));
        let steps = diff(&before, &wanted(&seated.endpoint, among(&kept)));
        self.end_relays(&beside, &now_beside);
        let mut done = Ok(());
        if !steps.is_empty() {
            let moving = EndpointRecord { unsettled: true, ..seated.record(&[]) };
            done = self
                .store
                .put_endpoint(id, &moving)
                .and_then(|()| self.visit(seated, |_| self.kernel.apply(&steps)));
        }
        self.give_up(id, &beside, &now_beside);
        self.begin_relays(&now_beside);
        if done.is_ok() {
            if let Some(more) = seated.more.get_mut(&network) {
                more.waits = false;
            }
            seated.answered |= seated.more.values().all(|more| !more.waits);
            done = self.store.put_endpoint(id, &seated.record(&[]));
        }
        self.know(seated, &kept);
        self.write_resolv_conf(seated, &kept);
        done
    }

    /// With an endpoint's namespace open: by its path, or by the sockets of its resolver.
    fn visit<T>(&self, seated: &Seated, act: impl FnOnce(Place) -> Result<T>) -> Result<T> {
        let inside = seated.endpoint.place;
        let by_path = seated.door().map(|door| self.kernel.open(&door));
        let opened = match by_path {
            Some(Ok(place)) if place == inside => place,
            other => {
                if let Some(Ok(place)) = other {
                    self.kernel.close(place);
                }
                let gone = || {
                    Error::new(Code::NetnsGone, format!("there is no way to {}", seated.endpoint.name))
                        .because("its path does not lead there, and it has no resolver of ours")
                };
                let way = self.sockets.way_in(inside).ok_or_else(gone)?;
                let fd = u32::try_from(way.as_raw_fd()).map_err(|_| gone())?;
                self.kernel.open(&Door::Fd { pid: std::process::id(), fd })?
            }
        };
        let done = act(opened);
        self.kernel.close(opened);
        done
    }

    /// None for an interface that asks nobody.
    fn identity(&self, seated: &Seated, interface: &Interface) -> Option<Identity> {
        let keeper = self.index.network_by_id(interface.network)?;
        let asking = keeper.asking?;
        let name = &seated.endpoint.name;
        Some(Identity {
            mac: interface.mac,
            client_id: bowline_dhcp::client_id(&self.ula, keeper.name.as_str(), name.as_str()),
            hostname: Some(seated.hostname.to_string()),
            answer_to_all: asking.answers_to_all,
        })
    }

    fn dice(&self) -> u32 {
        // Truncation is meant.
        self.fresh_id().0 as u32
    }
}

fn still_on<'a>(seat: &Seat, seated: &'a Seated, network: Id) -> Result<&'a Interface> {
    live(seat, seated)?;
    seated.endpoint.on(network).ok_or_else(|| left(seat))
}

fn left(seat: &Seat) -> Error {
    Error::new(
        Code::NotConnected,
        format!("endpoint {} left the network while it waited for an address", seat.name),
    )
}
