//! Networks that hang on a link of the host's: whether that link will do, what becomes of it, and what to do then.

mod fit;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bowline_api::v1::{self, EventKind, ParentState};
use bowline_core::feature::Feature;
use bowline_core::kernel::{Facts, HostLink, Scope, Sort};
use bowline_core::mac::Mac;
use bowline_core::medium::{Direct, How, Medium, Parent, Shim, VlanId};
use bowline_core::name::{Id, LinkName};
use bowline_core::network::Network;
use bowline_core::place::Place;
use bowline_core::plan::Change;
use bowline_core::state::{Kind, LinkKey};
use bowline_core::{Code, Error, Result, driver};

pub(super) use self::fit::{alone, fitting, shapes, shared_mac};
use self::fit::{can_meet, candidates, will_do};
use super::Manager;
use super::keeper::{Keeper, Kept};

/// What a network hangs on, as it was last seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Below {
    pub(super) state: ParentState,
    /// Which cards without one of their own have.
    pub(super) mac: Option<Mac>,
}

impl Below {
    pub(super) fn of(link: &HostLink) -> Below {
        Below { state: if link.up { ParentState::Up } else { ParentState::Down }, mac: link.mac }
    }
}

impl Manager {
    /// Whether the kernel can do it, and the parent will do. What it is, and how large its packets are.
    pub(super) fn settle_on(
        &self,
        wish: &v1::CreateNetwork,
        host: Place,
        direct: Direct,
    ) -> Result<(Direct, Option<HostLink>)> {
        let at = |error: Error| error.context(format!("create network {:.80}", wish.name));
        self.kernel.can(match direct.how {
            How::Macvlan(_) => Feature::Macvlan,
            How::Ipvlan(..) => Feature::Ipvlan,
        })?;
        let links = self.kernel.links(host)?;
        if wish.host_access {
            can_meet(&direct, wish.internal).map_err(at)?;
        }
        let Some(Parent { link, .. }) = &direct.parent else {
            if wish.internal {
                return Ok((direct, None));
            }
            return Err(at(Error::new(Code::InvalidParent, "a link of the host's is needed to hang on")
                .fix(format!(
                    "name one: --parent {}; or add --internal for a network that leads nowhere",
                    candidates(&links)
                ))));
        };
        if wish.internal {
            return Err(at(Error::new(Code::InvalidOption, "an internal network has no parent")
                .because(format!("its members would reach all that is behind {link}"))
                .fix("leave --parent out, or --internal")));
        }
        let (parent, below) = self.parent(link, &links).map_err(at)?;
        self.must_go_with(host, &parent.link, direct.how).map_err(at)?;
        Ok((Direct { parent: Some(parent), ..direct }, Some(below)))
    }

    /// The link that is there, or the VLAN that is to be made. With it, the link whose packets it carries.
    fn parent(&self, name: &LinkName, links: &[HostLink]) -> Result<(Parent, HostLink)> {
        if let Some(there) = links.iter().find(|link| link.name == *name) {
            let vlan = match &there.sort {
                // Made by us, for a network that is there: it is shared.
                Sort::Vlan(of, id) if there.ours => Some((of.clone(), *id)),
                Sort::Vlan(..)
                | Sort::Loopback
                | Sort::Wireless
                | Sort::Card(_)
                | Sort::Bridge { .. }
                | Sort::Vrf(_)
                | Sort::NoFrames
                | Sort::Other => None,
            };
            if vlan.is_none() {
                will_do(there)?;
            }
            // A VLAN of ours carries what its link does.
            let carries = vlan.as_ref().and_then(|(of, _)| links.iter().find(|link| link.name == *of));
            let mtu = carries.map_or(there.mtu, |link| link.mtu);
            return Ok((Parent { link: name.clone(), vlan }, HostLink { mtu, ..there.clone() }));
        }
        let missing = || {
            Error::new(Code::InvalidParent, format!("parent {name} is missing"))
                .because("the host has no such link")
                .fix(format!("choose one that is there: {}", candidates(links)))
        };
        let Some((of, number)) = name.as_str().rsplit_once('.') else { return Err(missing()) };
        let (Ok(of), Ok(number)) = (of.parse::<LinkName>(), number.parse::<u16>()) else {
            return Err(missing());
        };
        let id = VlanId::new(number)?;
        let Some(below) = links.iter().find(|link| link.name == of) else {
            return Err(Error::new(Code::InvalidParent, format!("parent {name} is missing"))
                .because(format!("the host has neither it nor {of}, which it would be made on"))
                .fix(format!("choose one that is there: {}", candidates(links))));
        };
        will_do(below)?;
        let same = Sort::Vlan(of.clone(), id);
        if let Some(other) = links.iter().find(|link| link.sort == same) {
            return Err(Error::new(Code::InvalidParent, format!("VLAN {id} of {of} is there already"))
                .because(format!("it is called {}", other.name))
                .fix(format!("--parent {}", other.name)));
        }
        self.kernel.can(Feature::Vlan)?;
        Ok((Parent { link: name.clone(), vlan: Some((of, id)) }, below.clone()))
    }

    /// Several networks share a parent, where the kernel lets them.
    fn must_go_with(&self, host: Place, parent: &LinkName, how: How) -> Result<()> {
        for keeper in self.index.networks().into_iter().filter(|keeper| keeper.host == host) {
            let kept = keeper.lock();
            let Some(other) = kept.network.medium.direct() else { continue };
            if kept.network.bridge == *parent && !kept.removed && !other.how.goes_with(how) {
                return Err(Error::new(Code::ParentTaken, format!("parent {parent} is in use"))
                    .because(format!("network {} has it, with {}", keeper.name, other.how))
                    .fix(format!(
                        "choose another parent, or remove it first: bowline network rm {}",
                        keeper.name
                    )));
            }
        }
        Ok(())
    }

    /// What nobody must be given: addresses of the host's on the parent, and of whom it asks and sends by.
    pub(super) fn reserve_lan(&self, kept: &mut Kept, facts: &Facts) {
        let Some(parent) = parent(&kept.network).cloned() else { return };
        for (link, net) in facts.addresses.iter().filter(|(link, _)| *link == parent) {
            kept.reserve(net.ip(), &format!("the host's own {link}"));
        }
        for router in &facts.routers {
            kept.reserve(*router, "a router of the host's");
        }
        for server in self.resolver.nameservers() {
            kept.reserve(server, "a name server of the host's");
        }
    }

    /// Gives the host a card and addresses of its own.
    pub(super) fn give_access(kept: &mut Kept) -> Result<()> {
        let addresses = kept.take_for_host()?;
        let link = Network::shim_name(kept.network.id);
        if let Medium::Direct(direct) = &mut kept.network.medium {
            direct.host_access = Some(Shim { link, addresses });
        }
        Ok(())
    }

    /// Tells the kernel which links of a host matter to its networks.
    pub(super) fn follow_parents(&self, place: Place) {
        let mut all = BTreeSet::new();
        for keeper in self.index.networks().into_iter().filter(|keeper| keeper.host == place) {
            all.extend(followed(&keeper.lock().network));
        }
        if let Err(error) = self.kernel.follow(place, &all) {
            tracing::warn!(code = %error.code, "follow the parents of networks: {error}");
        }
    }

    /// The networks of a host whose parents are missing: nothing of theirs can be made.
    pub(super) fn orphans(&self, place: Place, here: &[&Network]) -> Result<BTreeSet<Id>> {
        if here.iter().all(|network| followed(network).is_empty()) {
            return Ok(BTreeSet::new());
        }
        let links = self.kernel.links(place)?;
        Ok(here.iter().filter(|network| lacks_parent(network, &links)).map(|network| network.id).collect())
    }

    /// Whether the parent of a network is missing just now.
    pub(super) fn is_orphan(&self, network: Id) -> bool {
        let Some(keeper) = self.index.network_by_id(network) else { return false };
        let network = keeper.lock().network.clone();
        self.orphans(keeper.host, &[&network]).is_ok_and(|orphans| !orphans.is_empty())
    }

    /// All of them, as at the start or at an audit.
    pub(super) fn look_at_all_parents(&self) -> bool {
        let places: BTreeSet<Place> = self.index.networks().iter().map(|keeper| keeper.host).collect();
        // Every one of them, whatever the first said.
        places.into_iter().filter(|place| self.look_at_parents(*place, None)).count() > 0
    }

    /// While nobody looked, a parent may have got another name. Cards that hang on it tell.
    pub(super) fn find_renamed_parents(&self) {
        let mut members: BTreeMap<LinkKey, Arc<Keeper>> = BTreeMap::new();
        for keeper in self.index.networks() {
            let kept = keeper.lock();
            if kept.below.is_none() && !followed(&kept.network).is_empty() {
                let ports = kept.members.values().map(|(_, i)| LinkKey::new(keeper.host, i.port.clone()));
                members.extend(ports.map(|port| (port, keeper.clone())));
            }
        }
        let places: BTreeSet<Place> = members.keys().map(|port| port.place).collect();
        for place in places {
            let seen = match self.kernel.observe(&Scope::Host(place)) {
                Ok(seen) => seen,
                Err(error) => {
                    tracing::warn!(code = %error.code, "look at the cards of networks: {error}");
                    continue;
                }
            };
            for (port, link) in &seen.links {
                let parent = match (&link.kind, &link.master) {
                    (Kind::Stem { parent, .. }, _) => parent,
                    (Kind::Port { .. }, Some(master)) => &master.name,
                    _ => continue,
                };
                let Some(keeper) = members.get(port) else { continue };
                let was = keeper.lock().network.bridge.clone();
                if was != *parent {
                    self.parent_renamed(place, &was, parent);
                }
            }
        }
    }

    /// After a notice, or at a look at everything. True where something came back that members hang on.
    pub(super) fn look_at_parents(&self, place: Place, only: Option<&LinkName>) -> bool {
        let concerned: Vec<Arc<Keeper>> = self
            .index
            .networks()
            .into_iter()
            .filter(|keeper| keeper.host == place)
            .filter(|keeper| {
                let followed = followed(&keeper.lock().network);
                only.map_or(!followed.is_empty(), |name| followed.contains(name))
            })
            .collect();
        if concerned.is_empty() {
            return false;
        }
        let (links, facts) = match self.kernel.links(place).and_then(|l| Ok((l, self.kernel.facts(place)?))) {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(code = %error.code, "look at the parents of networks: {error}");
                return false;
            }
        };
        let mut back = false;
        for keeper in concerned {
            let resized = {
                let mut kept = keeper.lock();
                if kept.removed {
                    continue;
                }
                self.reserve_lan(&mut kept, &facts);
                let before = kept.below;
                kept.below = below(&kept.network, &links);
                self.say(&kept, before);
                let now = kept.below.map(|below| below.state);
                back |= before.map(|below| below.state) == Some(ParentState::Missing)
                    && now != Some(ParentState::Missing);
                // What is ours to make is made again at once.
                back |= now != Some(ParentState::Up) && hangs_on_ours(&kept.network, &links);
                size(&kept, &links)
            };
            if let Some(bytes) = resized {
                self.resize(&keeper, bytes);
            }
        }
        back
    }

    /// A parent has another name: its networks go with it.
    pub(super) fn parent_renamed(&self, place: Place, from: &LinkName, to: &LinkName) {
        for keeper in self.index.networks().into_iter().filter(|keeper| keeper.host == place) {
            let mut kept = keeper.lock();
            if kept.removed || !rename(&mut kept.network, from, to) {
                continue;
            }
            tracing::info!(network = %keeper.name, %from, %to, "its parent was renamed");
            let detail = format!("parent {from} is called {to} now");
            self.tell(EventKind::ParentChanged, Some(keeper.name.as_str()), None, Some(detail));
            if let Err(error) = self.store.put_network(keeper.id, &kept.record()) {
                tracing::warn!(network = %keeper.name, code = %error.code, "journal a parent's name: {error}");
            }
        }
    }

    fn say(&self, kept: &Kept, before: Option<Below>) {
        let (was, now) = (before.map(|below| below.state), kept.below.map(|below| below.state));
        let (Some(now), true) = (now, was != now) else { return };
        let (network, parent) = (&kept.network.name, &kept.network.bridge);
        let word = match now {
            ParentState::Up => "up",
            ParentState::Down => "down",
            ParentState::Missing => "missing",
        };
        match now {
            ParentState::Up => tracing::info!(%network, %parent, "its parent is up"),
            ParentState::Down | ParentState::Missing => {
                tracing::warn!(%network, %parent, code = %Code::InvalidParent, "its parent is {word}");
            }
        }
        // What it was before the daemon began is not known, and up is what is expected.
        if was.is_some() || now != ParentState::Up {
            let detail = format!("parent {parent} is {word}");
            self.tell(EventKind::ParentChanged, Some(network.as_str()), None, Some(detail));
        }
    }

    /// Cards are no larger than what they hang on.
    fn resize(&self, keeper: &Keeper, bytes: u32) {
        self.resize_vlan(keeper);
        let wish = v1::UpdateNetwork { mtu_bytes: Some(bytes), ..v1::UpdateNetwork::default() };
        match self.change_network(keeper.name.as_str(), &wish) {
            Ok(_) => {
                tracing::info!(network = %keeper.name, mtu = bytes, "its packets are as large as its parent's")
            }
            Err(error) if error.code == Code::NetworkNotFound => (),
            Err(error) => {
                tracing::error!(network = %keeper.name, code = %error.code, "follow its parent: {error}")
            }
        }
    }

    /// The kernel makes a VLAN smaller with its link, but never larger.
    fn resize_vlan(&self, keeper: &Keeper) {
        let own = driver::network(&keeper.lock().network).links;
        let vlans = own.into_iter().filter(|(_, link)| matches!(link.kind, Kind::Vlan { .. }));
        let steps: Vec<Change> = vlans.map(|(key, link)| Change::SetLink { key, link }).collect();
        if let Err(error) = self.kernel.apply(&steps) {
            tracing::warn!(network = %keeper.name, code = %error.code, "follow its parent: {error}");
        }
    }

    /// Before an update: a size that the parent does not carry.
    pub(super) fn fits_its_parent(&self, keeper: &Keeper, bytes: u32) -> Result<()> {
        let Some(parent) = carrier(&keeper.lock().network).cloned() else { return Ok(()) };
        let links = self.kernel.links(keeper.host)?;
        if let Some(link) = links.iter().find(|link| link.name == parent) {
            fitting(Some(bytes), link)?;
        }
        Ok(())
    }

    /// The links that other networks of its host have in common with it. To be called without any keeper.
    pub(super) fn shared_links(&self, host: Place, network: Id) -> BTreeSet<LinkKey> {
        let others =
            self.index.networks().into_iter().filter(|other| other.host == host && other.id != network);
        let links = others.flat_map(|other| driver::network(&other.lock().network).links);
        links.filter(|(_, link)| matches!(link.kind, Kind::Vlan { .. })).map(|(key, _)| key).collect()
    }

    /// Whom a MAC would clash with on one parent. The kernel refuses it too, but does not say whose it is.
    pub(super) fn must_be_free_mac(&self, keeper: &Keeper, mac: Mac) -> Result<()> {
        let parent = {
            let kept = keeper.lock();
            let Some(direct) = kept.network.medium.direct() else { return Ok(()) };
            if !direct.how.has_macs() {
                return Err(Error::new(
                    Code::InvalidMac,
                    format!("MAC address {mac} cannot be given on network {}", keeper.name),
                )
                .because(format!("with {} every card has the MAC of {}", direct.how, kept.network.bridge))
                .fix("leave it out"));
            }
            if kept.below.is_some_and(|below| below.mac == Some(mac)) {
                return Err(mac_taken(mac, &format!("the host's {}", kept.network.bridge)));
            }
            kept.network.bridge.clone()
        };
        for other in self.index.networks().into_iter().filter(|other| other.host == keeper.host) {
            let kept = other.lock();
            if kept.network.bridge != parent || kept.network.medium.direct().is_none() {
                continue;
            }
            if let Some((name, _)) = kept.members.values().find(|(_, interface)| interface.mac == mac) {
                return Err(mac_taken(mac, &format!("endpoint {name} on network {}", other.name)));
            }
        }
        Ok(())
    }
}

fn mac_taken(mac: Mac, holder: &str) -> Error {
    Error::new(Code::MacTaken, format!("the MAC address {mac} is taken"))
        .because(format!("{holder} has it"))
        .fix("choose another --mac, or leave it out")
}

/// The links that a network's fate hangs on.
fn followed(network: &Network) -> Vec<LinkName> {
    if network.medium.bridge_of_others().is_some() {
        return vec![network.bridge.clone()];
    }
    let Some(direct) = network.medium.direct() else { return Vec::new() };
    let below = direct.parent.as_ref().and_then(|parent| parent.vlan.as_ref()).map(|(of, _)| of.clone());
    std::iter::once(network.bridge.clone()).chain(below).collect()
}

/// Whether its parent is a VLAN of ours, of a link that is there.
fn hangs_on_ours(network: &Network, links: &[HostLink]) -> bool {
    let parent = network.medium.direct().and_then(|direct| direct.parent.as_ref());
    parent.is_some_and(|parent| parent.vlan.is_some()) && !lacks_parent(network, links)
}

fn lacks_parent(network: &Network, links: &[HostLink]) -> bool {
    carrier(network).is_some_and(|needed| !links.iter().any(|link| link.name == *needed))
}

/// The link of others that members hang on.
fn parent(network: &Network) -> Option<&LinkName> {
    match &network.medium {
        Medium::Bridge(_) => network.medium.bridge_of_others().map(|_| &network.bridge),
        Medium::Direct(direct) => direct.parent.as_ref().map(|parent| &parent.link),
        Medium::Pair => None,
    }
}

/// The link that has to be there. A VLAN of ours can be made again, if what it is of is there, and has the size of that.
fn carrier(network: &Network) -> Option<&LinkName> {
    let direct = network.medium.direct().and_then(|direct| direct.parent.as_ref());
    direct.and_then(|parent| parent.vlan.as_ref()).map(|(of, _)| of).or_else(|| parent(network))
}

/// None for a network that has no parent.
fn below(network: &Network, links: &[HostLink]) -> Option<Below> {
    parent(network)?;
    let there = links.iter().find(|link| link.name == network.bridge);
    Some(match there {
        Some(link) => Below::of(link),
        None => Below { state: ParentState::Missing, mac: None },
    })
}

/// How large its packets are to be now, if that is another size than they have.
fn size(kept: &Kept, links: &[HostLink]) -> Option<u32> {
    let carrier = carrier(&kept.network)?;
    let most = links.iter().find(|link| link.name == *carrier)?.mtu;
    let bytes = kept.mtu_asked.map_or(most, |asked| asked.min(most));
    (bytes != kept.network.mtu.bytes()).then_some(bytes)
}

fn rename(network: &mut Network, from: &LinkName, to: &LinkName) -> bool {
    if network.medium.bridge_of_others().is_some() && network.bridge == *from {
        network.bridge = to.clone();
        return true;
    }
    let Medium::Direct(Direct { parent: Some(parent), .. }) = &mut network.medium else { return false };
    let mut renamed = false;
    if parent.link == *from {
        parent.link = to.clone();
        network.bridge = to.clone();
        renamed = true;
    }
    if let Some((of, _)) = parent.vlan.as_mut().filter(|(of, _)| of == from) {
        *of = to.clone();
        renamed = true;
    }
    renamed
}
