//! Who is known to whom by which name: an endpoint's names on its networks, and what its namespace's resolver sees.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::MutexGuard;

use bowline_api::v1;
use bowline_core::endpoint::{Endpoint, Interface};
use bowline_core::name::{Id, Name};
use bowline_core::place::Place;
use bowline_core::plan::Change;
use bowline_core::port::Protocol;
use bowline_core::state::{RESOLVER, State};
use bowline_core::{Code, Error, Result};
use bowline_dns::asker::Elsewhere;
use bowline_dns::resolv::{self, Wishes};
use bowline_dns::zone::{self, Entry};
use ipnetwork::IpNetwork;

use super::Manager;
use super::keeper::Kept;
use super::names::called;
use super::ports;
use super::seat::Seated;
use crate::kept;
use crate::resolver::{Asked, Part};
use crate::sockets::Leave;
use crate::store::Life;

/// Of servers, search domains, options and links, each.
const MOST_WISHES: usize = 32;

/// Of ports that one endpoint is found by. More are no list but a range that it does not mean.
const MOST_SERVICES: usize = 1024;

impl Manager {
    /// From the next query on, its neighbours find an endpoint by what it is called now, and it finds them.
    pub(super) fn know(&self, seated: &Seated, kept: &[MutexGuard<'_, Kept>]) {
        let endpoint = &seated.endpoint;
        // Who waits for an address is found once he has it.
        let waits = |network: &Id| seated.more.get(network).is_some_and(|more| more.waits);
        for interface in endpoint.interfaces.iter().filter(|i| !waits(&i.network)) {
            if let Some(of) = kept.iter().find(|k| k.network.id == interface.network && k.network.dns) {
                of.zone.put(endpoint.id, entry(seated, interface));
            }
        }
        if !asks(seated, kept) {
            return;
        }
        self.resolver.put(endpoint.place, endpoint.id, part(seated, kept));
        if !self.resolver.hears(endpoint.place) {
            self.hear_again(seated, kept);
        }
    }

    /// Answers by sockets that were made in the namespace and that nobody has taken yet, if there are such.
    pub(super) fn hear_again(&self, seated: &Seated, kept: &[MutexGuard<'_, Kept>]) {
        let Endpoint { name, place, .. } = &seated.endpoint;
        if !asks(seated, kept) {
            return;
        }
        let asked = asked(seated);
        if let Err(error) = self.resolver.hear(*place, asked.found(), &asked.wishes) {
            tracing::error!(endpoint = %name, code = %error.code, "answer at {RESOLVER}: {error}");
        }
    }

    /// After what it says of domains may have changed.
    pub(super) fn write_resolv_conf(&self, seated: &Seated, kept: &[MutexGuard<'_, Kept>]) {
        if asks(seated, kept) {
            let asked = asked(seated);
            self.resolver.write(seated.endpoint.place, asked.found(), &asked.wishes);
        }
    }

    /// From the next query on nobody finds an endpoint on networks that it has left, and it finds nobody there.
    /// Where nobody in its namespace asks any more, what is to be taken out of there is returned.
    pub(super) fn forget_names(
        &self,
        seated: &Seated,
        going: &[Interface],
        kept: &[MutexGuard<'_, Kept>],
    ) -> Option<Leave> {
        let endpoint = &seated.endpoint;
        for interface in going {
            if let Some(of) = kept.iter().find(|k| k.network.id == interface.network) {
                of.zone.remove(endpoint.id);
            }
        }
        let _turn = self.resolver.turn(endpoint.place);
        if asks(seated, kept) {
            self.know(seated, kept);
            return None;
        }
        self.resolver.remove(endpoint.place, endpoint.id)
    }

    /// What a join changes inside: a resolver that the namespace has stays as it is, and one that it lost is made again.
    pub(super) fn share_resolver(&self, before: &mut State, after: &mut State, place: Place) {
        if self.resolver.hears(place) {
            before.resolvers.insert(place);
            after.resolvers.insert(place);
        } else {
            before.resolvers.remove(&place);
        }
    }

    /// Takes a resolver's traces out of a namespace that lives on, unless somebody there asks again. To be called without the
    /// lock of any network, for the container's own doings may hold it up.
    pub(super) fn unmake_resolver(&self, seated: &Seated, leave: Leave) {
        let place = seated.endpoint.place;
        let _turn = self.resolver.turn(place);
        if !self.resolver.is_wanted(place)
            && let Err(error) = leave()
        {
            tracing::warn!(endpoint = %seated.endpoint.name, code = %error.code, "take the resolver out: {error}");
        }
    }

    /// At the start: what joined or left when the daemon ended may have a resolver's rewriting in a namespace that lives on. Where
    /// nobody there asks any more, it is taken out. To be called when all who ask are known.
    pub(super) fn sweep_resolvers(&self) {
        for seat in self.reaper.seats() {
            let seated = seat.lock();
            let place = seated.endpoint.place;
            let Some(door) = seated.door() else { continue };
            let _turn = self.resolver.turn(place);
            if seated.life == Life::Stopped || self.resolver.is_wanted(place) {
                continue;
            }
            let swept = self.kernel.open(&door).and_then(|opened| {
                let steps = [Change::DelResolver { place }];
                let swept = if opened == place { self.kernel.apply(&steps) } else { Ok(()) };
                self.kernel.close(opened);
                swept
            });
            match swept {
                Err(error) if !matches!(error.code, Code::NetnsGone | Code::InvalidNetns) => {
                    tracing::warn!(endpoint = %seat.name, code = %error.code, "take the resolver out: {error}");
                }
                Ok(()) | Err(_) => (),
            }
        }
    }

    /// At the start: everybody is known again, and sockets that were kept are answered at, before anything else is done.
    pub(super) fn resume_names(&self, kept_sockets: kept::Kept) {
        let mut paths = std::collections::HashMap::new();
        for seat in self.index.endpoints() {
            let seated = seat.lock();
            if seated.life != Life::Live {
                continue;
            }
            let keepers = self.keepers_of(&seated.endpoint);
            let kept: Vec<_> = keepers.iter().map(|k| k.lock()).collect();
            self.know(&seated, &kept);
            if asks(&seated, &kept) {
                paths.entry(seated.endpoint.place).or_insert(asked(&seated));
            }
        }
        self.resolver.resume(kept_sockets, |place| paths.get(&place).cloned());
    }

    /// Sockets are made where there should be some: at the start, where none were kept, and later, where they were let go of
    /// too early.
    pub(super) fn make_lost_resolvers(&self) {
        for seat in self.index.endpoints() {
            let seated = seat.lock();
            let place = seated.endpoint.place;
            let keepers = self.keepers_of(&seated.endpoint);
            let kept: Vec<_> = keepers.iter().map(|k| k.lock()).collect();
            if seated.life != Life::Live || !asks(&seated, &kept) || self.resolver.hears(place) {
                continue;
            }
            let Some(door) = seated.door() else { continue };
            let _turn = self.resolver.turn(place);
            let made = self.kernel.open(&door).and_then(|opened| {
                let steps = [Change::AddResolver { place }];
                let made = if opened == place { self.kernel.apply(&steps) } else { Ok(()) };
                if made.is_ok() && opened == place {
                    self.know(&seated, &kept);
                }
                self.kernel.close(opened);
                made
            });
            match made {
                Err(error) if !matches!(error.code, Code::NetnsGone | Code::InvalidNetns) => {
                    tracing::error!(endpoint = %seat.name, code = %error.code, "answer at {RESOLVER}: {error}");
                }
                Ok(()) | Err(_) => (),
            }
        }
    }

    pub(super) fn view_dns(&self, seated: &Seated, kept: &[MutexGuard<'_, Kept>]) -> Option<v1::EndpointDns> {
        let v1::DnsWishes { servers, search, options, links } = seated.dns.clone();
        asks(seated, kept).then(|| v1::EndpointDns {
            servers,
            search,
            options,
            links,
            resolv_conf: self.resolver.resolv_conf(&wishes(seated)),
        })
    }
}

/// Whether it is on a network with names.
fn asks(seated: &Seated, kept: &[MutexGuard<'_, Kept>]) -> bool {
    let named = |id: Id| kept.iter().any(|k| k.network.id == id && k.network.dns);
    seated.endpoint.interfaces.iter().any(|i| named(i.network))
}

fn entry(seated: &Seated, interface: &Interface) -> Entry {
    let endpoint = &seated.endpoint;
    let aliases = seated.more.get(&interface.network).map_or(&[][..], |more| &more.aliases);
    let called = called(endpoint.id, &endpoint.name, &seated.hostname, aliases);
    Entry {
        names: called.into_iter().map(|(name, _)| name).collect(),
        addresses: interface.addresses.iter().map(IpNetwork::ip).collect(),
        services: services(seated),
    }
}

/// What it says it serves, and what it serves to the world.
fn services(seated: &Seated) -> Vec<(Protocol, u16)> {
    let exposed = seated.exposed.iter().filter_map(|expose| ports::exposed(expose).ok());
    let exposed =
        exposed.flat_map(|wish| (wish.ports.first()..=wish.ports.last()).map(move |p| (wish.protocol, p)));
    let published = seated.endpoint.published.iter();
    let published = published.flat_map(|p| {
        let last = p.first + (p.host.last() - p.host.first());
        (p.first..=last).map(move |port| (p.protocol, port))
    });
    let all: BTreeSet<(Protocol, u16)> = exposed.chain(published).take(MOST_SERVICES).collect();
    all.into_iter().collect()
}

fn part(seated: &Seated, kept: &[MutexGuard<'_, Kept>]) -> Part {
    let mut on: Vec<(&Interface, &Kept)> = seated
        .endpoint
        .interfaces
        .iter()
        .filter_map(|i| Some((i, &**kept.iter().find(|k| k.network.id == i.network)?)))
        .collect();
    // As for the default route, which no internal network has. Stable, so that among equals the first joined stays first.
    on.sort_by_key(|(interface, kept)| (kept.network.internal, std::cmp::Reverse(interface.gw_priority)));
    let way_out = on.iter().find(|(_, kept)| !kept.network.internal);
    let told =
        way_out.and_then(|(interface, _)| interface.lease.as_ref()).map_or(&[][..], |lease| &lease.dns);
    let servers = |servers: &mut dyn Iterator<Item = IpAddr>| {
        Elsewhere::Own(servers.map(|ip| SocketAddr::new(ip, 53)).collect())
    };
    let link =
        |link: &v1::DnsLink| (link.alias.as_ref().unwrap_or(&link.endpoint).clone(), link.endpoint.clone());
    Part {
        endpoint: seated.endpoint.name.to_string(),
        zones: on.iter().filter(|(_, k)| k.network.dns).map(|(_, k)| k.zone.clone()).collect(),
        links: seated.dns.links.iter().map(link).collect(),
        elsewhere: match way_out {
            None => Elsewhere::Never,
            Some(_) if !seated.dns.servers.is_empty() => servers(&mut seated.dns.servers.iter().copied()),
            // Those that a DHCP server tells of are reached from where it was heard.
            Some(_) if !told.is_empty() => servers(&mut told.iter().copied().map(IpAddr::V4)),
            Some((_, kept)) => Elsewhere::Host(kept.network.host),
        },
    }
}

fn asked(seated: &Seated) -> Asked {
    Asked { path: seated.path.clone(), path_seen: seated.path_seen, wishes: wishes(seated) }
}

/// What it asked for; where it asked for no domains, those that a DHCP server tells of.
fn wishes(seated: &Seated) -> Wishes {
    let told = seated.endpoint.interfaces.iter().filter_map(|i| i.lease.as_ref()).flat_map(|l| &l.search);
    let told = told.filter(|domain| resolv::check_search(domain).is_ok());
    let own = &seated.dns.search;
    let search = if own.is_empty() { told.take(MOST_WISHES).cloned().collect() } else { own.clone() };
    Wishes { search, options: seated.dns.options.clone() }
}

/// A name that a question can be about.
pub(super) fn check(name: &Name) -> Result<()> {
    zone::fits(name.as_str()).map_err(|why| {
        Error::new(Code::InvalidName, format!("name {name} cannot be asked for")).because(why).fix(
            "use labels of 1 to 63 of A-Z a-z 0-9 _ - with dots between them, or a network with --no-dns",
        )
    })
}

/// What an endpoint asks of its resolver, before anything is done.
pub(super) fn check_wishes(wishes: &v1::DnsWishes) -> Result<()> {
    let bad = |what: String, why: String| Err(Error::new(Code::InvalidDns, what).because(why));
    let counts = [wishes.servers.len(), wishes.search.len(), wishes.options.len(), wishes.links.len()];
    if counts.into_iter().any(|count| count > MOST_WISHES) {
        return bad("set up the resolver".into(), format!("there are more than {MOST_WISHES} of one kind"));
    }
    for server in &wishes.servers {
        let why = match server {
            ip if *ip == IpAddr::V4(RESOLVER) => "it is the resolver itself",
            ip if ip.is_unspecified() || ip.is_multicast() => "it is no server's address",
            _ => continue,
        };
        return bad(format!("ask the name server {server}"), why.into());
    }
    for domain in &wishes.search {
        if let Err(why) = resolv::check_search(domain) {
            return bad(format!("search in the domain {}", bowline_core::name::quoted(domain)), why);
        }
    }
    for option in &wishes.options {
        if let Err(why) = resolv::check_option(option) {
            return bad(format!("give the resolver the option {}", bowline_core::name::quoted(option)), why);
        }
    }
    for link in &wishes.links {
        for text in [Some(&link.endpoint), link.alias.as_ref()].into_iter().flatten() {
            text.parse::<Name>().and_then(|name| check(&name)).map_err(|e| e.context("link"))?;
        }
    }
    Ok(())
}
