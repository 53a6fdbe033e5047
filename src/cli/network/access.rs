//! Who reaches the members of a network, and how they appear outside, in words.

use bowline_api::v1::{Driver, GatewayMode, Isolation, Network};
use bowline_core::family::Family;

pub(super) fn sentence(network: &Network) -> String {
    if network.driver == Driver::P2p {
        return "its two members reach each other, and nothing else".to_string();
    }
    if network.parent.is_some() {
        return match network.icc {
            true => "members are reached at their own addresses, at every port, as far as the bridge leads",
            false => "members do not reach one another; all else reaches them, as far as the bridge leads",
        }
        .to_string();
    }
    if network.internal {
        return match network.icc {
            true => "members reach one another, and nothing outside".to_string(),
            false => "members reach neither one another nor anything outside".to_string(),
        };
    }
    let among = match network.icc {
        true => "members reach one another",
        false => "members do not reach one another",
    };
    format!("{among}; {}; {}", outside(network), leave(network))
}

pub(super) fn mode(mode: GatewayMode) -> &'static str {
    match mode {
        GatewayMode::Nat => "nat",
        GatewayMode::NatUnprotected => "nat-unprotected",
        GatewayMode::Routed => "routed",
        GatewayMode::Isolated => "isolated",
    }
}

/// The families that it has subnets of, each with its mode.
pub(super) fn modes(network: &Network) -> Vec<(Family, GatewayMode)> {
    let has = |family| network.subnets.iter().any(|s| s.is_ipv6() == (family == Family::V6));
    let modes = [(Family::V4, network.gateway_mode_ipv4), (Family::V6, network.gateway_mode_ipv6)];
    modes.into_iter().filter(|(family, _)| has(*family)).collect()
}

pub(super) fn meaning(mode: GatewayMode) -> &'static str {
    match mode {
        GatewayMode::Nat => "members are reached by published ports of this host only",
        GatewayMode::NatUnprotected => "whoever has a route reaches every port of members",
        GatewayMode::Routed => "members are reached at their own addresses, on published ports only",
        GatewayMode::Isolated => "this host has no address on the network",
    }
}

fn outside(network: &Network) -> String {
    let unprotected = |mode| match mode {
        GatewayMode::NatUnprotected => true,
        GatewayMode::Nat | GatewayMode::Routed | GatewayMode::Isolated => false,
    };
    let open = match (network.isolation, by_family(network, unprotected)) {
        (Isolation::Open, _) | (_, Families::All) => {
            "anybody with a route may open connections to them".to_string()
        }
        (_, Families::None) => "from outside only published ports are open".to_string(),
        (_, Families::Only(family)) => {
            format!("from outside only published ports are open, but all by {family} to anybody with a route")
        }
    };
    match network.isolation {
        Isolation::Open | Isolation::Published => open,
        Isolation::Strict => format!("{open}, and to no other network of this host"),
    }
}

fn leave(network: &Network) -> String {
    let hidden = |mode| match mode {
        GatewayMode::Nat | GatewayMode::NatUnprotected => network.masquerade,
        GatewayMode::Routed | GatewayMode::Isolated => false,
    };
    match by_family(network, hidden) {
        Families::All => "they leave under the host's address".to_string(),
        Families::None => "they leave under their own addresses".to_string(),
        Families::Only(family) => {
            format!("they leave under the host's address by {family}, else under their own")
        }
    }
}

/// Those of a network's families that something is so of.
enum Families {
    All,
    None,
    Only(Family),
}

fn by_family(network: &Network, is_so: impl Fn(GatewayMode) -> bool) -> Families {
    let modes = modes(network);
    let mut so = modes.iter().filter(|(_, mode)| is_so(*mode)).map(|(family, _)| *family);
    match (so.next(), so.next()) {
        (None, _) => Families::None,
        (Some(family), None) if modes.len() > 1 => Families::Only(family),
        (Some(_), _) => Families::All,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::networks;

    #[test]
    fn what_is_open_and_what_is_hidden_is_told_by_family() {
        use GatewayMode::{Nat, NatUnprotected, Routed};
        let check = |isolation, ipv4, ipv6, wanted: &str| {
            let front = networks().remove(0);
            let network = Network { isolation, gateway_mode_ipv4: ipv4, gateway_mode_ipv6: ipv6, ..front };
            assert_eq!(format!("{}; {}", outside(&network), leave(&network)), wanted);
        };
        let published = "from outside only published ports are open";
        let hidden = "they leave under the host's address";
        check(Isolation::Published, Nat, Nat, &format!("{published}; {hidden}"));
        check(
            Isolation::Strict,
            Nat,
            Routed,
            &format!(
                "{published}, and to no other network of this host; {hidden} by IPv4, else under their own"
            ),
        );
        check(
            Isolation::Published,
            NatUnprotected,
            Routed,
            &format!(
                "{published}, but all by IPv4 to anybody with a route; {hidden} by IPv4, else under their own"
            ),
        );
        check(
            Isolation::Published,
            NatUnprotected,
            NatUnprotected,
            &format!("anybody with a route may open connections to them; {hidden}"),
        );
        check(
            Isolation::Open,
            Routed,
            Routed,
            "anybody with a route may open connections to them; they leave under their own addresses",
        );
    }
}
