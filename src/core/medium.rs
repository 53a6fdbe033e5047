//! What the members of a network hang on: a bridge, a link of the host's, or each other.

use std::fmt;
use std::str::FromStr;

use ipnetwork::IpNetwork;

use crate::name::{LinkName, quoted};
use crate::{Code, Error, Result};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Medium {
    Bridge(Bridge),
    /// Members' cards are children of a link of the host's, and the host is not on the way.
    Direct(Direct),
    /// Two members and a wire between them: a bridge with their two ports, which neither the host nor anybody else is on.
    Pair,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bridge {
    pub whose: Whose,
    /// The VLAN that members are in where they do not say: the bridge filters by VLAN.
    pub vlan: Option<VlanId>,
    /// The routing domain that the bridge belongs to; made with its first network, and ours.
    pub vrf: Option<LinkName>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Whose {
    /// Made with the network, with the gateways' addresses, behind our firewall.
    #[default]
    Ours,
    /// There before, and left as it is: it gets ports of ours and nothing else.
    Theirs,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Direct {
    /// None for an internal network, whose parent leads nowhere.
    pub parent: Option<Parent>,
    pub how: How,
    pub host_access: Option<Shim>,
}

/// A card of the host's own beside those of the members. Only by one does the host reach them: a parent and its cards
/// never hear each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shim {
    pub link: LinkName,
    /// Taken from the network's subnets, each whole: routes to members are made one by one.
    pub addresses: Vec<IpNetwork>,
}

/// The link of the host's that cards hang on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    pub link: LinkName,
    /// It is a VLAN of another link, made by us: it goes with its last network.
    pub vlan: Option<(LinkName, VlanId)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    Macvlan(MacvlanMode),
    Ipvlan(IpvlanMode, IpvlanFlag),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum MacvlanMode {
    /// Members reach each other, and what is behind the parent.
    #[default]
    Bridge,
    /// Members reach what is behind the parent, never each other.
    Private,
    /// As private, but for a switch that sends back what is for another member.
    Vepa,
    /// One member, which takes over the parent.
    Passthru,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum IpvlanMode {
    /// Members share the parent's MAC and its broadcasts.
    #[default]
    L2,
    /// The parent routes between members; no broadcast reaches them.
    L3,
    /// As l3, and the host's netfilter sees what passes.
    L3s,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum IpvlanFlag {
    #[default]
    Bridge,
    Private,
    Vepa,
}

/// 1 to 4094 (IEEE 802.1Q: 0 means no VLAN, 4095 is reserved).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VlanId(u16);

impl VlanId {
    pub fn new(number: u16) -> Result<VlanId> {
        if (1..=4094).contains(&number) {
            return Ok(VlanId(number));
        }
        Err(Error::new(Code::InvalidVlan, format!("VLAN {number} is not usable"))
            .because("VLANs have the numbers 1 to 4094")
            .fix("choose one of those"))
    }

    pub fn number(self) -> u16 {
        self.0
    }
}

impl How {
    /// Whether cards have MACs of their own: the others have the parent's.
    pub fn has_macs(self) -> bool {
        match self {
            How::Macvlan(mode) => mode != MacvlanMode::Passthru,
            How::Ipvlan(..) => false,
        }
    }

    /// Whether the parent routes what members send, so that it goes to no gateway.
    pub fn is_routed(self) -> bool {
        match self {
            How::Macvlan(_) | How::Ipvlan(IpvlanMode::L2, _) => false,
            How::Ipvlan(IpvlanMode::L3 | IpvlanMode::L3s, _) => true,
        }
    }

    /// Whether cards of both sorts can hang on one parent. All ipvlan cards of a parent have one mode, and a macvlan that
    /// is passed through is alone.
    pub fn goes_with(self, other: How) -> bool {
        match (self, other) {
            (How::Macvlan(a), How::Macvlan(b)) => ![a, b].contains(&MacvlanMode::Passthru),
            (How::Ipvlan(..), How::Ipvlan(..)) => self == other,
            (How::Macvlan(_), How::Ipvlan(..)) | (How::Ipvlan(..), How::Macvlan(_)) => false,
        }
    }

    /// Whether a card of the host's could reach the members.
    pub fn meets(self) -> bool {
        match self {
            How::Macvlan(mode) => mode == MacvlanMode::Bridge,
            How::Ipvlan(_, flag) => flag == IpvlanFlag::Bridge,
        }
    }

    /// As the kernel calls such links.
    pub fn kind(self) -> &'static str {
        match self {
            How::Macvlan(_) => "macvlan",
            How::Ipvlan(..) => "ipvlan",
        }
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            How::Macvlan(mode) => write!(f, "macvlan mode {mode}"),
            How::Ipvlan(mode, flag) => write!(f, "ipvlan mode {mode} {flag}"),
        }
    }
}

impl Default for Medium {
    fn default() -> Medium {
        Medium::Bridge(Bridge::default())
    }
}

impl Medium {
    pub fn direct(&self) -> Option<&Direct> {
        match self {
            Medium::Direct(direct) => Some(direct),
            Medium::Bridge(_) | Medium::Pair => None,
        }
    }

    /// The bridge of others that members' ports are on.
    pub fn bridge_of_others(&self) -> Option<&Bridge> {
        match self {
            Medium::Bridge(bridge) => (bridge.whose == Whose::Theirs).then_some(bridge),
            Medium::Direct(_) | Medium::Pair => None,
        }
    }

    /// Whether its members' fate hangs on a link that is not of its own making.
    pub fn has_parent(&self) -> bool {
        self.direct().is_some() || self.bridge_of_others().is_some()
    }

    /// The link that members hang on, if it is one that has our firewall, gateway and published ports.
    pub fn is_our_bridge(&self) -> bool {
        match self {
            Medium::Bridge(bridge) => bridge.whose == Whose::Ours,
            Medium::Direct(_) | Medium::Pair => false,
        }
    }
}

macro_rules! words {
    ($type:ident, $what:literal, $($variant:ident = $word:literal),*) => {
        impl $type {
            pub const WORDS: &'static [&'static str] = &[$($word),*];

            pub fn word(self) -> &'static str {
                match self { $($type::$variant => $word),* }
            }
        }

        impl FromStr for $type {
            type Err = Error;

            fn from_str(text: &str) -> Result<$type> {
                match text {
                    $($word => Ok($type::$variant),)*
                    _ => Err(Error::new(Code::InvalidMode, format!("{} {} is not known", $what, quoted(text)))
                        .fix(format!("choose one of {}", $type::WORDS.join(", ")))),
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.word())
            }
        }
    };
}
words!(
    MacvlanMode,
    "macvlan mode",
    Bridge = "bridge",
    Private = "private",
    Vepa = "vepa",
    Passthru = "passthru"
);
words!(IpvlanMode, "ipvlan mode", L2 = "l2", L3 = "l3", L3s = "l3s");
words!(IpvlanFlag, "ipvlan flag", Bridge = "bridge", Private = "private", Vepa = "vepa");

impl fmt::Display for VlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vlans_that_are_taken_and_refused() {
        assert!([1, 10, 4094].into_iter().all(|n| VlanId::new(n).is_ok()));
        for number in [0, 4095, u16::MAX] {
            assert_eq!(VlanId::new(number).unwrap_err().code, Code::InvalidVlan, "{number}");
        }
    }

    #[test]
    fn what_shares_a_parent() {
        let bridge = How::Macvlan(MacvlanMode::Bridge);
        let private = How::Macvlan(MacvlanMode::Private);
        let through = How::Macvlan(MacvlanMode::Passthru);
        let l2 = How::Ipvlan(IpvlanMode::L2, IpvlanFlag::Bridge);
        let l3 = How::Ipvlan(IpvlanMode::L3, IpvlanFlag::Bridge);
        assert!(bridge.goes_with(private) && l2.goes_with(l2));
        for (a, b) in [(bridge, through), (through, through), (bridge, l2), (l2, l3)] {
            assert!(!a.goes_with(b) && !b.goes_with(a), "{a} and {b}");
        }
    }

    #[test]
    fn modes_read_back_and_an_unknown_one_names_the_choices() {
        for word in MacvlanMode::WORDS {
            assert_eq!(word.parse::<MacvlanMode>().unwrap().word(), *word);
        }
        for word in IpvlanMode::WORDS {
            assert_eq!(word.parse::<IpvlanMode>().unwrap().word(), *word);
        }
        let refused = "l4".parse::<IpvlanMode>().unwrap_err();
        assert_eq!(refused.code, Code::InvalidMode);
        assert_eq!(refused.fix.as_deref(), Some("choose one of l2, l3, l3s"));
    }
}
