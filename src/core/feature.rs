//! [`Feature`]: what bowline may ask of a kernel that not every kernel has; what each is for, and how a host comes by it.
//! Whether a kernel has one is asked with [`crate::kernel::Kernel::can`].

use std::fmt;

use crate::{Code, Error};

/// Without those of the first kind bowline does nothing at all, and without the others it does all else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Always,
    Sometimes,
}

/// Where a kernel gets it from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// One that can be loaded, where it is not built in.
    Module(&'static str),
    /// A part of something larger, which was left out when the kernel was built.
    Option(&'static str),
    /// The first version that has it.
    Version(&'static str),
}

macro_rules! features {
    ($($feature:ident = $word:literal, $name:literal, $source:expr, $need:ident, $purpose:literal;)*) => {
        /// The list is closed: whoever tries one out, or shows them, matches on it without `_`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Feature { $($feature),* }

        impl Feature {
            pub const ALL: &'static [Feature] = &[$(Feature::$feature),*];

            /// One word of lower case letters, digits and hyphens, which programs may rely on.
            pub fn word(self) -> &'static str {
                match self { $(Feature::$feature => $word),* }
            }

            /// As people call it: "this kernel has no …".
            pub fn name(self) -> &'static str {
                match self { $(Feature::$feature => $name),* }
            }

            /// What bowline does with it.
            pub fn purpose(self) -> &'static str {
                match self { $(Feature::$feature => $purpose),* }
            }

            pub fn source(self) -> Source {
                match self { $(Feature::$feature => $source),* }
            }

            pub fn need(self) -> Need {
                match self { $(Feature::$feature => Need::$need),* }
            }
        }
    };
}

use Source::{Module, Option as Built, Version};

features! {
    Bridge = "bridge", "bridge", Module("bridge"), Always, "networks of driver bridge";
    Veth = "veth", "veth", Module("veth"), Always, "a container's card on a bridge";
    NetnsCookie = "netns-cookie", "cookies of network namespaces", Version("5.14"), Always, "telling containers apart";
    Nftables = "nftables", "nftables", Module("nf_tables"), Always, "keeping networks apart";
    Nat = "nat", "address translation by nftables", Module("nft_chain_nat"), Always, "published ports, and the way out";
    NftBridge = "nft-bridge", "nftables for bridges", Module("nft_meta_bridge"), Always, "refusing forged senders";
    TableOwner = "table-owner", "owners of firewall tables", Version("6.9"), Sometimes, "tables that no other program can flush";
    Conntrack = "conntrack", "a list of tracked connections", Module("nf_conntrack_netlink"), Sometimes, "ports that move under connections";
    Ipv6 = "ipv6", "IPv6", Module("ipv6"), Sometimes, "networks with IPv6";
    Macvlan = "macvlan", "macvlan", Module("macvlan"), Sometimes, "networks of driver macvlan";
    Ipvlan = "ipvlan", "ipvlan", Module("ipvlan"), Sometimes, "networks of driver ipvlan";
    Vlan = "vlan", "802.1Q", Module("8021q"), Sometimes, "a parent with a tag, such as eth0.10";
    VlanFiltering = "vlan-filtering", "VLAN filtering of bridges", Built("CONFIG_BRIDGE_VLAN_FILTERING"), Sometimes, "tags within a bridge";
    Vrf = "vrf", "VRF", Module("vrf"), Sometimes, "networks with routes of their own";
    Dummy = "dummy", "dummy", Module("dummy"), Sometimes, "a network without a parent";
    Vxlan = "vxlan", "VXLAN", Module("vxlan"), Sometimes, "networks across hosts, to come";
    Wireguard = "wireguard", "WireGuard", Module("wireguard"), Sometimes, "the same encrypted, to come";
    Tbf = "tbf", "token bucket", Module("sch_tbf"), Sometimes, "limits of rate";
    BigTcp = "big-tcp", "BIG TCP", Version("6.3"), Sometimes, "large packets between containers";
    Sctp = "sctp", "SCTP", Module("sctp"), Sometimes, "programs that speak SCTP";
}

impl Feature {
    pub fn parse(word: &str) -> Option<Feature> {
        Feature::ALL.iter().copied().find(|feature| feature.word() == word)
    }

    /// The module that has it, where it is one.
    pub fn module(self) -> Option<&'static str> {
        match self.source() {
            Module(module) => Some(module),
            Built(_) | Version(_) => None,
        }
    }

    /// How a host comes by it, or does without.
    pub fn fix(self) -> String {
        let get = match self.source() {
            Module("ipv6") => "boot without ipv6.disable=1".to_string(),
            // Kernels of Ubuntu's for clouds and small boards have many of their modules in a package of its own.
            Module(module) if self.need() == Need::Sometimes => {
                format!("modprobe {module} (Ubuntu may have it in linux-modules-extra-$(uname -r))")
            }
            Module(module) => format!("modprobe {module}"),
            Built(option) => format!("boot a kernel that is built with {option}"),
            Version(version) => format!("boot a kernel of version {version} or later"),
        };
        match self.instead() {
            Some(instead) => format!("{get}, or {instead}"),
            None => get,
        }
    }

    /// What serves nearly as well.
    fn instead(self) -> Option<&'static str> {
        match self {
            Feature::Ipvlan => Some("use -d macvlan"),
            Feature::Macvlan => Some("use -d ipvlan"),
            Feature::Vlan => Some("give a parent that somebody else has tagged"),
            Feature::Tbf => Some("leave the rates out"),
            Feature::Ipv6 => Some("leave IPv6 out"),
            Feature::Bridge
            | Feature::Veth
            | Feature::NetnsCookie
            | Feature::Nftables
            | Feature::Nat
            | Feature::NftBridge
            | Feature::TableOwner
            | Feature::Conntrack
            | Feature::VlanFiltering
            | Feature::Vrf
            | Feature::Dummy
            | Feature::Vxlan
            | Feature::Wireguard
            | Feature::BigTcp
            | Feature::Sctp => None,
        }
    }

    /// The kernel was asked, and said no.
    pub fn missing(self, answer: impl fmt::Display) -> Error {
        Error::new(Code::Unsupported, format!("this kernel has no {self}")).because(answer).fix(self.fix())
    }

    /// The kernel could not be asked. That is no no, and bears whatever code kept us from it.
    pub fn untried(self, kept: Error) -> Error {
        kept.context(format!("find out whether this kernel has {self}"))
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write as _;

    use expect_test::expect;

    use super::*;

    #[test]
    fn words_are_words_and_each_is_of_one() {
        let words: BTreeSet<&str> = Feature::ALL.iter().map(|feature| feature.word()).collect();
        assert_eq!(words.len(), Feature::ALL.len());
        for &feature in Feature::ALL {
            let word = feature.word();
            assert!(word.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-')), "{word}");
            assert_eq!(Feature::parse(word), Some(feature));
        }
        assert_eq!(Feature::parse("Bridge"), None);
    }

    #[test]
    fn a_no_names_what_is_missing_and_an_unknown_says_no_such_thing() {
        let no = Feature::Ipvlan.missing("EOPNOTSUPP: Unknown device type");
        assert_eq!(no.to_string(), "this kernel has no ipvlan: EOPNOTSUPP: Unknown device type");
        assert_eq!(no.code, Code::Unsupported);
        assert!(no.fix.unwrap().starts_with("modprobe ipvlan "));

        let denied =
            Error::new(Code::Denied, "create a network namespace").because("EPERM").fix("run it as root");
        let unknown = Feature::Ipvlan.untried(denied);
        assert_eq!(
            unknown.to_string(),
            "find out whether this kernel has ipvlan: create a network namespace: EPERM"
        );
        assert_eq!((unknown.code, unknown.fix.as_deref()), (Code::Denied, Some("run it as root")));
    }

    #[test]
    fn how_a_host_comes_by_each() {
        let mut table = String::new();
        for &feature in Feature::ALL {
            writeln!(table, "{feature}: {}", feature.fix()).unwrap();
        }
        expect![[r#"
            bridge: modprobe bridge
            veth: modprobe veth
            cookies of network namespaces: boot a kernel of version 5.14 or later
            nftables: modprobe nf_tables
            address translation by nftables: modprobe nft_chain_nat
            nftables for bridges: modprobe nft_meta_bridge
            owners of firewall tables: boot a kernel of version 6.9 or later
            a list of tracked connections: modprobe nf_conntrack_netlink (Ubuntu may have it in linux-modules-extra-$(uname -r))
            IPv6: boot without ipv6.disable=1, or leave IPv6 out
            macvlan: modprobe macvlan (Ubuntu may have it in linux-modules-extra-$(uname -r)), or use -d ipvlan
            ipvlan: modprobe ipvlan (Ubuntu may have it in linux-modules-extra-$(uname -r)), or use -d macvlan
            802.1Q: modprobe 8021q (Ubuntu may have it in linux-modules-extra-$(uname -r)), or give a parent that somebody else has tagged
            VLAN filtering of bridges: boot a kernel that is built with CONFIG_BRIDGE_VLAN_FILTERING
            VRF: modprobe vrf (Ubuntu may have it in linux-modules-extra-$(uname -r))
            dummy: modprobe dummy (Ubuntu may have it in linux-modules-extra-$(uname -r))
            VXLAN: modprobe vxlan (Ubuntu may have it in linux-modules-extra-$(uname -r))
            WireGuard: modprobe wireguard (Ubuntu may have it in linux-modules-extra-$(uname -r))
            token bucket: modprobe sch_tbf (Ubuntu may have it in linux-modules-extra-$(uname -r)), or leave the rates out
            BIG TCP: boot a kernel of version 6.3 or later
            SCTP: modprobe sctp (Ubuntu may have it in linux-modules-extra-$(uname -r))
        "#]].assert_eq(&table);
    }
}
