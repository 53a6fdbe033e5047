//! What the host's cards saw come in, before anybody could drop or alter it: without this, that an odd packet came
//! to nothing would only show that nobody could send it.

use std::collections::BTreeSet;

use super::model::Town;
use super::people::REROUTING;
use crate::world::World;

/// Lays it on the uplink and on the port of every member that sends what is odd.
#[track_caller]
pub(crate) fn lay(w: &World, town: &Town) {
    let odd = town.members.iter().filter(|member| REROUTING.contains(&member.name));
    let ports = odd.map(|member| port(w, member.name));
    let cards: Vec<String> = ports.chain(["uplink".into()]).collect();
    w.host().shell(&format!(
        "nft -f - <<END
         table netdev control {{
             set four {{ type ipv4_addr . ipv4_addr . inet_service; flags dynamic; size 65535; }}
             set six {{ type ipv6_addr . ipv6_addr . inet_service; flags dynamic; size 65535; }}
             chain seen {{
                 type filter hook ingress devices = {{ {} }} priority -500;
                 udp dport != 0 add @four {{ ip saddr . ip daddr . udp dport }}
                 udp dport != 0 add @six {{ ip6 saddr . ip6 daddr . udp dport }}
             }}
         }}
         \nEND",
        cards.join(", ")
    ));
}

/// The host's end of a member's card.
#[track_caller]
fn port(w: &World, name: &str) -> String {
    let card = w.inside(name).link("eth0").unwrap_or_else(|| panic!("{name} has no card"));
    let links = w.host().ip("link");
    let port = links.iter().find(|link| link["ifindex"] == card["link_index"]);
    port.and_then(|port| port["ifname"].as_str())
        .unwrap_or_else(|| panic!("{name}'s card has no port"))
        .to_string()
}

/// Takes it away again: source, destination and port of all that was seen.
#[track_caller]
pub(crate) fn lift(w: &World) -> BTreeSet<[String; 3]> {
    let text = w.host().run("nft list table netdev control");
    w.host().run("nft delete table netdev control");
    let elements = text.split(['{', '}', ',', '\n', '=']);
    elements
        .filter_map(|element| {
            let parts: Vec<String> = element.trim().split(" . ").map(str::to_string).collect();
            parts.try_into().ok()
        })
        .collect()
}
