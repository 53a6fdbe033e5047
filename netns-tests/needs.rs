//! What a story may need of the kernel that not every kernel has, and how it is found out: by making such a thing.

use std::collections::BTreeMap;
use std::process::Command;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    Dummy,
    Ipvlan,
    Netem,
    Sctp,
    Vlan8021q,
    VlanFiltering,
    Vrf,
    Wireguard,
}

impl Need {
    pub(crate) const ALL: [Need; 8] = [
        Need::Dummy,
        Need::Ipvlan,
        Need::Netem,
        Need::Sctp,
        Need::Vlan8021q,
        Need::VlanFiltering,
        Need::Vrf,
        Need::Wireguard,
    ];

    /// As it is spoken of, and where the kernel has modules, the name of its module.
    fn name(self) -> &'static str {
        match self {
            Need::Dummy => "dummy",
            Need::Ipvlan => "ipvlan",
            Need::Netem => "sch_netem",
            Need::Sctp => "sctp",
            Need::Vlan8021q => "8021q",
            Need::VlanFiltering => "VLAN filtering of bridges",
            Need::Vrf => "vrf",
            Need::Wireguard => "wireguard",
        }
    }

    /// Makes one, beside a loopback and one end of a veth pair.
    fn script(self) -> &'static str {
        match self {
            Need::Dummy => "ip link add it type dummy",
            Need::Ipvlan => "ip link add it link veth type ipvlan mode l2",
            Need::Netem => "tc qdisc add dev veth root netem delay 1ms",
            Need::Sctp => "python3 -c 'from socket import *; socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP)'",
            Need::Vlan8021q => "ip link add it link veth type vlan id 7",
            Need::VlanFiltering => "ip link add it type bridge vlan_filtering 1",
            Need::Vrf => "ip link add it type vrf table 7",
            Need::Wireguard => "ip link add it type wireguard",
        }
    }

    /// Tries it in a namespace that ends with the attempt. A kernel that has it as a module loads that by itself.
    fn missing(self) -> Option<String> {
        let script = format!("ip link add veth type veth peer name peer && {}", self.script());
        let tried = Command::new("unshare").args(["--net", "sh", "-c", &script]).output();
        match tried {
            Ok(end) if end.status.success() => None,
            Ok(end) => Some(last_line(&end.stderr)),
            Err(error) => Some(format!("start unshare: {error}")),
        }
    }
}

fn last_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim().lines().last().unwrap_or("no word why").to_string()
}

/// What was found out about the kernel we run on, each need once.
#[derive(Default)]
pub(crate) struct Kernel {
    missing: BTreeMap<Need, Option<String>>,
}

impl Kernel {
    /// Every one that is not there, and what the attempt said; or nothing, where all are.
    pub(crate) fn lacks(&mut self, needs: impl IntoIterator<Item = Need>) -> Option<String> {
        let mut lacking = Vec::new();
        for need in needs {
            let missing = self.missing.entry(need).or_insert_with(|| need.missing());
            if let Some(why) = missing {
                lacking.push(format!("{} ({})", need.name(), why.trim_end_matches('.')));
            }
        }
        (!lacking.is_empty()).then(|| lacking.join(", "))
    }
}
