//! Our mark on links. A link is born in our group, and is given an alias that says whose it is as soon as it exists;
//! the alias alone is enough to know a port again, after a restart too.

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
    /// The bridge of a network.
    Network(Id),
    /// The port of an endpoint, and where its card is.
    Port(Id, LinkKey),
}

impl Mark {
    /// The alias of a link that has an owner.
    pub(crate) fn of(kind: &Kind, owner: Option<Id>) -> Option<String> {
        let owner = owner?;
        match kind {
            Kind::Bridge => Some(format!("bowline:network:{owner}")),
            Kind::Port { card } => Some(format!("bowline:port:{owner}:{}:{}", card.place.0, card.name)),
            Kind::Loopback | Kind::Card { .. } => None,
        }
    }

    pub(crate) fn parse(alias: &str) -> Option<Mark> {
        let (kind, rest) = alias.strip_prefix("bowline:")?.split_once(':')?;
        match kind {
            "network" => rest.parse().ok().map(Mark::Network),
            "port" => {
                let mut parts = rest.splitn(3, ':');
                let owner = parts.next()?.parse().ok()?;
                let place = Place(parts.next()?.parse().ok()?);
                let name = parts.next()?.parse().ok()?;
                Some(Mark::Port(owner, LinkKey { place, name }))
            }
            _ => None,
        }
    }

    pub(crate) fn owner(&self) -> Id {
        match self {
            Mark::Network(owner) | Mark::Port(owner, _) => *owner,
        }
    }
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
    fn is_half_born(&self) -> bool {
        matches!(self.group, LIVE | DYING) && self.alias.is_none()
    }

    /// What it is to us. None where it is not ours, or is of a kind that we never make.
    pub(crate) fn our_kind(&self) -> Option<Kind> {
        match (self.kind, self.mark()) {
            _ if !self.is_ours() => None,
            (LinkKind::Bridge, _) => Some(Kind::Bridge),
            (LinkKind::Veth, Some(Mark::Port(_, card))) => Some(Kind::Port { card }),
            // A card that nobody can want, so that the diff replaces this port.
            (LinkKind::Veth, Some(Mark::Network(_)) | None) => Some(Kind::Port { card: nowhere() }),
            (LinkKind::Other, _) => None,
        }
    }
}

fn nowhere() -> LinkKey {
    let name: LinkName = "unknown".parse().expect("seven letters are a link name");
    LinkKey::new(Place(0), name)
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
        assert!(alias.len() < 256, "the kernel takes no longer alias");
    }

    #[test]
    fn a_link_without_owner_has_no_alias() {
        assert_eq!(Mark::of(&Kind::Bridge, None), None);
        assert_eq!(Mark::of(&Kind::Loopback, Some(Id(1))), None);
    }

    #[test]
    fn other_aliases_are_not_our_mark() {
        for alias in
            ["", "uplink", "bowline", "bowline:", "bowline:network:7", "bowline:port:", "bowline:tap:1"]
        {
            assert_eq!(Mark::parse(alias), None, "{alias}");
        }
        let id = Id(7);
        for rest in ["", ":", ":x:eth0", ":1:", ":1:a/b"] {
            assert_eq!(Mark::parse(&format!("bowline:port:{id}{rest}")), None, "{rest}");
        }
    }

    #[test]
    fn the_group_marks_a_link_until_somebody_gives_it_an_alias() {
        let born = SeenLink { kind: LinkKind::Veth, group: LIVE, ..SeenLink::default() };
        assert!(born.is_ours());
        assert_eq!(born.our_kind(), Some(Kind::Port { card: nowhere() }));
        let taken = SeenLink { alias: Some("theirs".into()), ..born };
        assert!(!taken.is_ours());
        assert_eq!(taken.our_kind(), None);
    }
}
