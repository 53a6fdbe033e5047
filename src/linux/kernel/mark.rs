//! Our mark on links. A link is born in our group, and is given an alias that says whose it is as soon as it exists;
//! the alias alone is enough to know a port again, after a restart too.

use bowline_core::medium::VlanId;
use bowline_core::name::{Id, LinkName};
use bowline_core::place::Place;
use bowline_core::state::{Kind, LinkKey};

use crate::netlink::wire::{LinkKind, SeenLink};

/// The group that our links are born into. The letters are "bow".
pub(crate) const LIVE: u32 = 0x626f_7701;
/// The group of links about to be deleted together.
pub(crate) const DYING: u32 = 0x626f_7702;

/// Who set an address (IFA_PROTO) or a route (RTA_PROTOCOL): us. The letter is "b"; no routing daemon has it.
pub(crate) const PROTOCOL: u8 = 0x62;

/// What an alias of ours says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The bridge of a network, or the link that leads nowhere.
    Network(Id),
    /// The other end of that.
    End(Id),
    /// The host's own card on a network.
    Shim(Id),
    /// The VLAN that cards of several networks hang on.
    Vlan,
    /// The port of an endpoint, and where its card is.
    Port(Id, LinkKey),
    /// The card of an endpoint, which hangs on a link of a host's: where it was put, and its name among the host's.
    Stem { owner: Id, card: LinkKey, key: LinkKey },
}

impl Mark {
    /// The alias of a link of the host's.
    pub(crate) fn of(kind: &Kind, owner: Option<Id>) -> Option<String> {
        match kind {
            Kind::Bridge | Kind::Island { .. } => Some(format!("bowline:network:{}", owner?)),
            Kind::Shim { .. } => Some(format!("bowline:host:{}", owner?)),
            Kind::Vlan { .. } => Some("bowline:vlan:".to_string()),
            Kind::Port { card } => Some(format!("bowline:port:{}:{}:{}", owner?, card.place.0, card.name)),
            Kind::Loopback | Kind::Card { .. } | Kind::Stem { .. } => None,
        }
    }

    /// That of a link that is known by another.
    pub(crate) fn of_end(owner: Id) -> String {
        format!("bowline:end:{owner}")
    }

    /// That of a card in its own namespace, from where nothing else leads back to us.
    pub(crate) fn of_stem(owner: Id, card: &LinkKey, key: &LinkKey) -> String {
        let (there, here) = (card.place.0, key.place.0);
        format!("bowline:stem:{owner}:{here}:{}:{there}:{}", key.name, card.name)
    }

    pub(crate) fn parse(alias: &str) -> Option<Mark> {
        let (kind, rest) = alias.strip_prefix("bowline:")?.split_once(':')?;
        match kind {
            "network" => rest.parse().ok().map(Mark::Network),
            "end" => rest.parse().ok().map(Mark::End),
            "host" => rest.parse().ok().map(Mark::Shim),
            "vlan" => Some(Mark::Vlan),
            "port" => {
                let (owner, card) = rest.split_once(':')?;
                Some(Mark::Port(owner.parse().ok()?, place_and_name(card)?))
            }
            "stem" => {
                let (owner, rest) = rest.split_once(':')?;
                // The name of a port is ours, and has no colon.
                let (here, rest) = rest.split_once(':')?;
                let (port, card) = rest.split_once(':')?;
                let key = LinkKey::new(Place(here.parse().ok()?), port.parse().ok()?);
                Some(Mark::Stem { owner: owner.parse().ok()?, card: place_and_name(card)?, key })
            }
            _ => None,
        }
    }

    pub(crate) fn owner(&self) -> Option<Id> {
        match self {
            Mark::Network(owner) | Mark::End(owner) | Mark::Shim(owner) | Mark::Port(owner, _) => {
                Some(*owner)
            }
            Mark::Stem { owner, .. } => Some(*owner),
            Mark::Vlan => None,
        }
    }
}

fn place_and_name(text: &str) -> Option<LinkKey> {
    let (place, name) = text.split_once(':')?;
    Some(LinkKey::new(Place(place.parse().ok()?), name.parse().ok()?))
}

impl SeenLink {
    pub(crate) fn mark(&self) -> Option<Mark> {
        self.alias.as_deref().and_then(Mark::parse)
    }

    /// True for a link that we may change and delete.
    pub(crate) fn is_ours(&self) -> bool {
        self.is_half_born() || self.mark().is_some()
    }

    /// True for a link in our group that nobody's alias came to: we died between its birth and its alias.
    pub(crate) fn is_half_born(&self) -> bool {
        matches!(self.group, LIVE | DYING) && self.alias.is_none()
    }

    /// What it is to us. None where it is not ours, or is of a kind that we never make. What it hangs on is found by
    /// its index.
    pub(crate) fn our_kind(&self, named: impl Fn(u32) -> Option<LinkName>) -> Option<Kind> {
        if !self.is_ours() {
            return None;
        }
        let other = || self.peer.filter(|_| self.peer_in.is_none()).and_then(&named).unwrap_or_else(unknown);
        match (self.kind, self.mark()) {
            (LinkKind::Bridge, _) => Some(Kind::Bridge),
            (LinkKind::Veth, Some(Mark::Port(_, card))) => Some(Kind::Port { card }),
            (LinkKind::Veth, Some(Mark::Network(_))) => Some(Kind::Island { end: other() }),
            (LinkKind::Veth, Some(Mark::End(_))) => None,
            // A card that nobody can want, so that the diff replaces this port.
            (LinkKind::Veth, Some(Mark::Shim(_) | Mark::Vlan | Mark::Stem { .. }) | None) => {
                Some(Kind::Port { card: nowhere() })
            }
            (LinkKind::Macvlan | LinkKind::Ipvlan, _) => Some(Kind::Shim { parent: other(), how: self.how? }),
            (LinkKind::Vlan, _) => {
                Some(Kind::Vlan { of: other(), id: self.vlan.and_then(|id| VlanId::new(id).ok())? })
            }
            (LinkKind::Other, _) => None,
        }
    }

    /// Whether it is a card that hangs on a link of the namespace that we ask from.
    pub(crate) fn hangs(&self) -> bool {
        matches!(self.kind, LinkKind::Macvlan | LinkKind::Ipvlan) && self.peer_in.is_some()
    }
}

fn nowhere() -> LinkKey {
    LinkKey::new(Place(0), unknown())
}

fn unknown() -> LinkName {
    "unknown".parse().expect("seven letters are a link name")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card() -> LinkKey {
        LinkKey::new(Place(4711), "eth0.100".parse().unwrap())
    }

    #[test]
    fn an_alias_reads_back() {
        let id = Id(7);
        let alias = Mark::of(&Kind::Bridge, Some(id)).unwrap();
        assert_eq!(Mark::parse(&alias), Some(Mark::Network(id)));
        let alias = Mark::of(&Kind::Port { card: card() }, Some(id)).unwrap();
        assert_eq!(Mark::parse(&alias), Some(Mark::Port(id, card())));
        let key = LinkKey::new(Place(12), "bl0123456789a".parse().unwrap());
        let alias = Mark::of_stem(id, &card(), &key);
        assert_eq!(Mark::parse(&alias), Some(Mark::Stem { owner: id, card: card(), key }));
        assert!(alias.len() < 256, "the kernel takes no longer alias");
        for (alias, mark) in [(Mark::of_end(id), Mark::End(id)), ("bowline:vlan:".to_string(), Mark::Vlan)] {
            assert_eq!(Mark::parse(&alias), Some(mark));
        }
    }

    #[test]
    fn a_link_without_owner_has_no_alias() {
        assert_eq!(Mark::of(&Kind::Bridge, None), None);
        assert_eq!(Mark::of(&Kind::Loopback, Some(Id(1))), None);
    }

    #[test]
    fn other_aliases_are_not_our_mark() {
        for alias in [
            "",
            "uplink",
            "bowline",
            "bowline:",
            "bowline:network:7",
            "bowline:port:",
            "bowline:tap:1",
            "bowline:vlan",
        ] {
            assert_eq!(Mark::parse(alias), None, "{alias}");
        }
        let id = Id(7);
        for rest in ["", ":", ":x:eth0", ":1:", ":1:a/b"] {
            assert_eq!(Mark::parse(&format!("bowline:port:{id}{rest}")), None, "{rest}");
            assert_eq!(Mark::parse(&format!("bowline:stem:{id}:1:bl0{rest}")), None, "{rest}");
        }
    }

    #[test]
    fn the_group_marks_a_link_until_somebody_gives_it_an_alias() {
        let born = SeenLink { kind: LinkKind::Veth, group: LIVE, ..SeenLink::default() };
        assert!(born.is_ours());
        assert_eq!(born.our_kind(|_| None), Some(Kind::Port { card: nowhere() }));
        let taken = SeenLink { alias: Some("theirs".into()), ..born };
        assert!(!taken.is_ours());
        assert_eq!(taken.our_kind(|_| None), None);
    }
}
