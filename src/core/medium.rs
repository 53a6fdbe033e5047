//! What the members of a network hang on: a bridge, a link of the host's, or each other.

use std::fmt;
use std::str::FromStr;

use crate::name::{LinkName, quoted};
use crate::{Code, Error, Result};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Medium {
    Bridge(Bridge),
    /// Members' cards are children of a link of the host's, and the host is not on the way.
    Direct(Direct),
    /// Two members, at the two ends of one veth pair.
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
    /// The host has a card of its own on the parent, by which it reaches the members.
    pub host_access: bool,
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

impl Default for Medium {
    fn default() -> Medium {
        Medium::Bridge(Bridge::default())
    }
}

impl Medium {
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
