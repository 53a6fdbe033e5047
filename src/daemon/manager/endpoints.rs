//! The verbs of endpoints. What they ask of the kernel is in `attach`.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use bowline_api::v1::{self, EventKind};
use bowline_core::endpoint::{Endpoint, Inside};
use bowline_core::mac::Mac;
use bowline_core::medium::VlanId;
use bowline_core::name::{LinkName, Name};
use bowline_core::place::{Door, Place};
use bowline_core::port::Wish;
use bowline_core::rate::Rate;
use bowline_core::{Code, Context, Error, Result};

use super::keeper::Keeper;
use super::seat::{Seat, Seated, guard};
use super::{Manager, inside, keyed, known, lease, now_unix_ms, ports};
use crate::store::Life;

/// Who calls, as the socket knows it.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    pub pid: Option<u32>,
}

impl Caller {
    /// Whether a path means the same to the caller as to us.
    fn sees_our_files(self) -> bool {
        let mounts = |of: &str| std::fs::read_link(format!("/proc/{of}/ns/mnt"));
        let theirs = self.pid.map(|pid| mounts(&pid.to_string()));
        theirs
            .is_some_and(|theirs| theirs.is_ok_and(|theirs| mounts("self").is_ok_and(|ours| ours == theirs)))
    }
}

/// A join that was checked: nothing in it can be malformed any more.
#[derive(Debug, Clone)]
pub(super) struct Ticket {
    pub(super) keeper: Arc<Keeper>,
    pub(super) card: Option<LinkName>,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) mac: Option<Mac>,
    pub(super) vlan: Option<VlanId>,
    pub(super) aliases: Vec<Name>,
    pub(super) gw_priority: i32,
    pub(super) rate_in: Option<Rate>,
    pub(super) rate_out: Option<Rate>,
    pub(super) inside: Inside,
}

struct Order {
    name: Name,
    hostname: Name,
    door: Door,
    path: Option<String>,
    path_seen: bool,
    tickets: Vec<Ticket>,
    publish: Vec<Wish>,
}

impl Manager {
    pub fn endpoints(&self) -> Vec<v1::Endpoint> {
        self.index.endpoints().iter().filter_map(|seat| self.view_endpoint(seat)).collect()
    }

    pub fn endpoint(&self, name: &str) -> Result<v1::Endpoint> {
        let seat = self.index.endpoint(name)?;
        self.view_endpoint(&seat).ok_or_else(|| just_removed(&seat))
    }

    pub fn create_endpoint(&self, wish: &v1::CreateEndpoint, caller: Caller) -> Result<v1::Endpoint> {
        if wish.make.is_empty() { self.create_on(wish, caller) } else { self.make_and_create(wish, caller) }
    }

    /// On networks that are there.
    pub(super) fn create_on(&self, wish: &v1::CreateEndpoint, caller: Caller) -> Result<v1::Endpoint> {
        let order = self.check_endpoint(wish, caller)?;
        let seat = self.unless_on_its_way(|| self.open_and_join(wish, &order))?;
        self.meet(seat.place);
        self.tell(EventKind::EndpointCreated, None, Some(seat.name.as_str()), None);
        for ticket in &order.tickets {
            self.tell(
                EventKind::Connected,
                Some(ticket.keeper.name.as_str()),
                Some(seat.name.as_str()),
                None,
            );
        }
        self.view_endpoint(&seat).ok_or_else(|| just_removed(&seat))
    }

    pub fn connect(&self, name: &str, join: &v1::Join, caller: Caller) -> Result<v1::Endpoint> {
        let seat = self.index.endpoint(name)?;
        let tickets = self.check_joins(std::slice::from_ref(join))?;
        let door = join.netns.as_ref().map(|netns| door(netns, caller)).transpose()?;
        self.unless_on_its_way(|| {
            let mut seated = seat.lock();
            live(&seat, &seated)?;
            if tickets[0].keeper.has_names {
                [&seat.name, &seated.hostname].into_iter().try_for_each(known::check)?;
            }
            let named = self.resolver.is_wanted(seated.endpoint.place);
            lease::must_lead_back(&tickets, seated.path.is_some(), named)?;
            let door = door.clone().or_else(|| seated.door()).ok_or_else(|| no_way_in(&seat))?;
            let place = self.open_again(&door, &seated)?;
            let joined = self.join(&seat, &mut seated, &tickets, &[]);
            drop(seated);
            let leased = joined.and_then(|waiting| self.await_leases(&seat, &waiting));
            self.kernel.close(place);
            leased
        })
        .context(|| format!("connect {} to {}", seat.name, join.network))?;
        let network = tickets[0].keeper.name.as_str();
        self.tell(EventKind::Connected, Some(network), Some(seat.name.as_str()), None);
        self.view_endpoint(&seat).ok_or_else(|| just_removed(&seat))
    }

    pub fn disconnect(&self, name: &str, network: &str) -> Result<v1::Endpoint> {
        let (seat, keeper) = (self.index.endpoint(name)?, self.index.network(network)?);
        {
            let mut seated = seat.lock();
            live(&seat, &seated)?;
            if seated.endpoint.on(keeper.id).is_none() {
                return Err(Error::new(
                    Code::NotConnected,
                    format!("endpoint {} is not on network {}", seat.name, keeper.name),
                )
                .fix(format!("see where it is: bowline endpoint show {}", seat.name)));
            }
            self.leave(&seat, &mut seated, &[keeper.id], Life::Live)?;
        }
        self.tell(EventKind::Disconnected, Some(keeper.name.as_str()), Some(seat.name.as_str()), None);
        self.view_endpoint(&seat).ok_or_else(|| just_removed(&seat))
    }

    /// Its namespace is about to go, or is gone: every interface leaves, fixed addresses stay with the name.
    pub fn stop_endpoint(&self, name: &str) -> Result<v1::Endpoint> {
        let seat = self.index.endpoint(name)?;
        let view = {
            let mut seated = seat.lock();
            if seated.life == Life::Live {
                let all: Vec<_> = seated.endpoint.interfaces.iter().map(|i| i.network).collect();
                self.leave(&seat, &mut seated, &all, Life::Stopped)?;
                self.tell(EventKind::EndpointStopped, None, Some(seat.name.as_str()), None);
            }
            seated.view(|_| None)
        };
        Ok(view)
    }

    pub fn remove_endpoint(&self, name: &str) -> Result<()> {
        let seat = self.index.endpoint(name)?;
        if seat.key.as_deref() == Some(name) && seat.was_refused() {
            // Whoever was refused a key asks for it to be taken away, and means what he did not get.
            tracing::warn!(endpoint = %seat.name, key = name, "kept: its key was asked for twice");
            return Ok(());
        }
        self.remove_seat(&seat)
    }

    pub(super) fn remove_seat(&self, seat: &Arc<Seat>) -> Result<()> {
        {
            let mut seated = seat.lock();
            if seated.life == Life::Removed {
                return Err(just_removed(seat));
            }
            let all: Vec<_> = seated.endpoint.interfaces.iter().map(|i| i.network).collect();
            self.leave(seat, &mut seated, &all, Life::Removed)?;
        }
        self.meet(seat.place);
        self.tell(EventKind::EndpointRemoved, None, Some(seat.name.as_str()), None);
        Ok(())
    }

    /// What creating it would do. Addresses are the ones it would get now.
    pub fn plan_endpoint(&self, wish: &v1::CreateEndpoint, caller: Caller) -> Result<v1::Plan> {
        let order = self.check_endpoint(wish, caller)?;
        if let Some(there) = self.index.endpoint_named(&order.name) {
            self.may_replace(&there)?;
        }
        let place = self.kernel.open(&order.door)?;
        self.kernel.close(place);
        let seated = self.fresh_seat(wish, &order, place);
        self.plan_join(&seated, &order.tickets, &order.publish)
    }

    fn check_endpoint(&self, wish: &v1::CreateEndpoint, caller: Caller) -> Result<Order> {
        let name = Name::for_new(&wish.name)?;
        wish.key.as_deref().map_or(Ok(()), keyed::check)?;
        let hostname = match &wish.hostname {
            Some(text) => text.parse().map_err(|e: Error| e.context("hostname"))?,
            None => name.clone(),
        };
        crate::labels::check(&wish.labels)?;
        known::check_wishes(&wish.dns)?;
        // A namespace with a loopback and nothing else is what joining no network gives.
        let tickets = match wish.networks.as_slice() {
            [only] if only.network == "none" => Vec::new(),
            joins => self.check_joins(joins)?,
        };
        let mut publish = ports::wishes(&wish.publish)?;
        let exposed = wish.expose.iter().map(ports::exposed).collect::<Result<Vec<_>>>()?;
        if wish.publish_all {
            publish.extend(exposed);
        }
        let joined = tickets.iter().any(|ticket| ticket.keeper.has_names);
        if joined {
            [&name, &hostname].into_iter().try_for_each(known::check)?;
        }
        let door = door(&wish.netns, caller)?;
        let path = wish.netns.path.clone();
        lease::must_lead_back(&tickets, path.is_some(), false)?;
        // Who sees what we see has opened it just now.
        let path_seen = path.as_ref().is_some_and(|path| caller.sees_our_files() || Path::new(path).exists());
        Ok(Order { name, hostname, door, path, path_seen, tickets, publish })
    }

    fn check_joins(&self, joins: &[v1::Join]) -> Result<Vec<Ticket>> {
        let mut tickets: Vec<Ticket> = Vec::new();
        for join in joins {
            if matches!(join.network.as_str(), "host" | "none") {
                return Err(Error::new(
                    Code::InvalidOption,
                    format!("network {} cannot be joined with others", join.network),
                )
                .because("a namespace is on networks of its own, on none, or it is the host's")
                .fix("leave it out"));
            }
            let keeper = self.index.network(&join.network)?;
            if tickets.iter().any(|t| t.keeper.id == keeper.id) {
                return Err(Error::new(
                    Code::AlreadyConnected,
                    format!("network {} is named twice", keeper.name),
                )
                .fix("name each network once"));
            }
            let card = join.interface.as_deref().map(str::parse).transpose()?;
            if let Some(card) = &card {
                let taken = tickets.iter().any(|t| t.card.as_ref() == Some(card)) || *card == loopback();
                if taken {
                    return Err(Error::new(Code::InterfaceTaken, format!("interface name {card} is taken"))
                        .fix("leave it out, or choose another"));
                }
            }
            if keeper.asking.is_some() && (join.ip.is_some() || join.ip6.is_some()) {
                return Err(Error::new(
                    Code::InvalidAddress,
                    format!("an address on network {} cannot be asked for", keeper.name),
                )
                .because("a DHCP server gives the addresses there")
                .fix(
                    "have the server keep one for this endpoint, by a MAC address given with --mac-address",
                ));
            }
            let addresses = join.ip.map(IpAddr::V4).into_iter().chain(join.ip6.map(IpAddr::V6)).collect();
            let mac = join.mac.as_deref().map(str::parse::<Mac>).transpose()?;
            if let Some(mac) = mac {
                self.must_be_free_mac(&keeper, mac)?;
            }
            let aliases: Vec<Name> = join.aliases.iter().map(|a| a.parse()).collect::<Result<_>>()?;
            if keeper.has_names {
                aliases.iter().try_for_each(known::check)?;
            }
            tickets.push(Ticket {
                keeper,
                card,
                addresses,
                mac,
                vlan: join.vlan.map(VlanId::new).transpose()?,
                aliases,
                gw_priority: join.gw_priority,
                rate_in: join.rate_in_bits_per_s.map(Rate::new).transpose()?,
                rate_out: join.rate_out_bits_per_s.map(Rate::new).transpose()?,
                inside: inside::of_join(join)?,
            });
        }
        Ok(tickets)
    }

    fn open_and_join(&self, wish: &v1::CreateEndpoint, order: &Order) -> Result<Arc<Seat>> {
        let place = self.kernel.open(&order.door).context(|| format!("create endpoint {}", order.name))?;
        let joined = self.join_new(wish, order, place);
        self.kernel.close(place);
        joined.map_err(|error| match order.tickets.as_slice() {
            [] => error.context(format!("create endpoint {}", order.name)),
            tickets => {
                let networks: Vec<&str> = tickets.iter().map(|t| t.keeper.name.as_str()).collect();
                error.context(format!("create endpoint {} on {}", order.name, networks.join(", ")))
            }
        })
    }

    fn join_new(&self, wish: &v1::CreateEndpoint, order: &Order, place: Place) -> Result<Arc<Seat>> {
        let seat = Arc::new(Seat::new(self.fresh_seat(wish, order, place)));
        // Locked before anybody can find it, so nobody sees it half made.
        let mut seated = seat.lock();
        if let Some(there) = self.index.add_endpoint(seat.clone()) {
            if seat.key.is_some() && there.key == seat.key {
                there.refuse();
            }
            // The stopped one is forgotten when the new one is there, and not before.
            self.may_replace(&there)?;
            if !self.index.replace_endpoint(&there, seat.clone()) {
                return Err(exists(&there.name));
            }
            let waiting = match self.join(&seat, &mut seated, &order.tickets, &order.publish) {
                Ok(waiting) => waiting,
                Err(error) => {
                    self.index.replace_endpoint(&seat, there);
                    return Err(error);
                }
            };
            drop(seated);
            if let Err(error) = self.await_leases(&seat, &waiting) {
                // Somebody may have taken the name meanwhile; then the stopped one is as good as replaced.
                if self.index.add_endpoint(there.clone()).is_some() {
                    self.forget_stopped(&there);
                }
                return Err(error);
            }
            self.forget_stopped(&there);
        } else {
            let joined = self.join(&seat, &mut seated, &order.tickets, &order.publish);
            let waiting = joined.inspect_err(|_| self.index.remove_endpoint(&seat))?;
            drop(seated);
            self.await_leases(&seat, &waiting)?;
        }
        Ok(seat)
    }

    /// The name of a stopped endpoint may be taken up again; with it come its fixed addresses.
    fn may_replace(&self, there: &Seat) -> Result<()> {
        match there.lock().life {
            Life::Stopped => Ok(()),
            Life::Live | Life::Removed => Err(exists(&there.name)),
        }
    }

    /// Of one whose name another has now. If it cannot be journalled, the next start does it.
    pub(super) fn forget_stopped(&self, there: &Seat) {
        let mut seated = there.lock();
        seated.life = Life::Removed;
        let record = if seated.leaving.is_empty() { None } else { Some(seated.record(&[])) };
        if let Err(error) = self.store.put_endpoints(&[(there.id, record)]) {
            tracing::warn!(endpoint = %there.name, code = %error.code, "forget a stopped endpoint: {error}");
        }
    }

    fn fresh_seat(&self, wish: &v1::CreateEndpoint, order: &Order, place: Place) -> Seated {
        let endpoint = Endpoint {
            id: self.fresh_id(),
            name: order.name.clone(),
            place,
            interfaces: Vec::new(),
            published: Vec::new(),
            guard: guard(wish.antispoof),
        };
        Seated {
            endpoint,
            key: wish.key.clone(),
            reserved: Vec::new(),
            hostname: order.hostname.clone(),
            exposed: wish.expose.clone(),
            dns: wish.dns.clone(),
            labels: wish.labels.clone(),
            path: order.path.clone(),
            path_seen: order.path_seen,
            created_unix_ms: now_unix_ms(),
            life: Life::Live,
            more: Default::default(),
            leaving: Vec::new(),
            answered: false,
            unsettled: false,
        }
    }

    pub(super) fn open_again(&self, door: &Door, seated: &Seated) -> Result<Place> {
        let place = self.kernel.open(door)?;
        if place == seated.endpoint.place {
            return Ok(place);
        }
        self.kernel.close(place);
        Err(Error::new(Code::NetnsGone, format!("the namespace of {} is gone", seated.endpoint.name))
            .because(format!("{door} leads to another one now"))
            .fix(format!("bowline endpoint rm {}", seated.endpoint.name)))
    }

    /// Runs an operation again, once, if it met something that was leaving and has left since.
    fn unless_on_its_way<T>(&self, act: impl Fn() -> Result<T>) -> Result<T> {
        let before = self.reaper.batches();
        match act() {
            Err(error)
                if matches!(
                    error.code,
                    Code::InterfaceTaken
                        | Code::AddressTaken
                        | Code::SubnetFull
                        | Code::BridgeFull
                        | Code::ParentTaken
                        | Code::MacTaken
                ) =>
            {
                // It may have left while we failed.
                let left = self.reaper.wait_until_idle() || self.reaper.batches() != before;
                if left { act() } else { Err(error) }
            }
            done => done,
        }
    }

    /// None once it was removed.
    pub(super) fn view_endpoint(&self, seat: &Seat) -> Option<v1::Endpoint> {
        let seated = seat.lock();
        if seated.life == Life::Removed {
            return None;
        }
        let keepers = self.keepers_of(&seated.endpoint);
        let kept: Vec<_> = keepers.iter().map(|k| k.lock()).collect();
        let mut view = seated.view(|id| kept.iter().map(|k| &k.network).find(|n| n.id == id));
        view.dns = self.view_dns(&seated, &kept);
        Some(view)
    }
}

/// The caller's open file, or failing that a path.
pub(super) fn door(netns: &v1::Netns, caller: Caller) -> Result<Door> {
    match (netns.fd, caller.pid, &netns.path) {
        (Some(fd), Some(pid), _) => Ok(Door::Fd { pid, fd }),
        (None, _, Some(path)) => Ok(Door::Path(path.clone())),
        (Some(_), None, _) => Err(Error::new(Code::InvalidNetns, "open the caller's namespace")
            .because("the socket does not say which process calls")
            .fix("name the namespace by its path")),
        (None, _, None) => Err(Error::new(Code::InvalidNetns, "no namespace was given")
            .fix("give netns.fd, an open file of the caller's, or netns.path, such as /run/netns/web")),
    }
}

fn loopback() -> LinkName {
    "lo".parse().expect("lo is a link name")
}

pub(super) fn live(seat: &Seat, seated: &Seated) -> Result<()> {
    match seated.life {
        Life::Live => Ok(()),
        Life::Stopped => Err(Error::new(Code::NetnsGone, format!("endpoint {} is stopped", seat.name))
            .because("its namespace is gone")
            .fix(format!("bowline endpoint rm {}", seat.name))),
        Life::Removed => Err(just_removed(seat)),
    }
}

fn exists(name: &Name) -> Error {
    Error::new(Code::EndpointExists, format!("endpoint {name} exists already"))
        .fix(format!("choose another name, or remove it first: bowline rm {name}"))
}

fn just_removed(seat: &Seat) -> Error {
    Error::new(Code::EndpointNotFound, format!("endpoint {} was just removed", seat.name))
}

pub(super) fn no_way_in(seat: &Seat) -> Error {
    Error::new(Code::InvalidNetns, format!("no way into the namespace of {}", seat.name))
        .because("it was handed over without a path")
        .fix("hand it over again: give netns.fd or netns.path with the call")
}
