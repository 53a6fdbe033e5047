//! Networks for people: one line each, or one card.

use std::fmt::Write as _;

use bowline_api::v1::{Driver, Gso, Isolation, Network, SubnetStatus};

use crate::screen::{Screen, clean};
use crate::table::{Table, first_and_more};
use crate::time::rfc3339;

const HEADS: &[&str] = &["NAME", "DRIVER", "SUBNET", "GATEWAY", "ENDPOINTS", "IP USED", "MTU", "FLAGS"];
const SPARE: &[&str] = &["FLAGS", "MTU", "DRIVER", "GATEWAY", "IP USED"];

pub(super) fn table(networks: &[Network], screen: &Screen) -> String {
    let mut table = Table::new(HEADS, SPARE);
    for network in networks {
        let subnets = |part: fn(&SubnetStatus) -> String| {
            first_and_more(&network.subnets.iter().map(part).collect::<Vec<_>>(), screen)
        };
        let first = |part: fn(&SubnetStatus) -> String| match screen.no_trunc {
            true => subnets(part),
            false => network.subnets.first().map(part).unwrap_or_default(),
        };
        table.row(vec![
            network.name.clone(),
            driver(network.driver).to_string(),
            subnets(|s| s.cidr.clone()),
            first(|s| s.gateway.to_string()),
            network.endpoints.len().to_string(),
            first(|s| room(s, "/")),
            mtu(network),
            flags(network).join(" "),
        ]);
    }
    table.render(screen)
}

pub(super) fn driver(driver: Driver) -> &'static str {
    match driver {
        Driver::Bridge => "bridge",
        Driver::None => "none",
        Driver::Host => "host",
    }
}

/// What differs from a plain network.
fn flags(network: &Network) -> Vec<&'static str> {
    let isolation = match network.isolation {
        Isolation::Open => Some("open"),
        Isolation::Published => None,
        Isolation::Strict => Some("strict"),
    };
    let gso = match network.gso {
        Gso::Auto => None,
        Gso::On => Some("gso=on"),
        Gso::Off => Some("gso=off"),
    };
    if network.driver != Driver::Bridge {
        return Vec::new();
    }
    [
        network.internal.then_some("internal"),
        network.subnets.iter().any(|s| s.gateway.is_ipv6()).then_some("ipv6"),
        isolation,
        (!network.icc).then_some("no-icc"),
        (!network.masquerade).then_some("no-masquerade"),
        gso,
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// `3/253`, or only how many are used where there is room for all.
fn room(subnet: &SubnetStatus, of: &str) -> String {
    const FOR_ALL: u64 = 1 << 32;
    match subnet.size {
        FOR_ALL.. => subnet.used.to_string(),
        size => format!("{}{of}{size}", subnet.used),
    }
}

pub(super) fn card(network: &Network, screen: &Screen) -> String {
    let mut card = String::new();
    let mut line = |key: &str, value: &str| {
        writeln!(card, "  {key:<11} {}", clean(value)).expect("a string takes all");
    };
    let bridge = network.bridge.as_ref().map(|bridge| format!(" {bridge}")).unwrap_or_default();
    match network.mtu_bytes {
        0 => line("driver", driver(network.driver)),
        mtu => line("driver", &format!("{}{bridge}, MTU {mtu}{}", driver(network.driver), gso(network))),
    }
    for subnet in &network.subnets {
        line(
            "subnet",
            &format!("{}, gateway {}, {} addresses used", subnet.cidr, subnet.gateway, room(subnet, " of ")),
        );
        if let Some(range) = &subnet.ip_range {
            line("range", range);
        }
        for (name, address) in &subnet.aux_addresses {
            line("reserved", &format!("{address} ({name})"));
        }
    }
    for route in &network.routes {
        line("route", &format!("{} by {}", route.to, route.via));
    }
    if network.driver == Driver::Bridge {
        line("access", &access(network));
    }
    if let Some(host) = &network.host_netns {
        line("namespace", &format!("{}, cookie {}", host.path.as_deref().unwrap_or("no path"), host.cookie));
    }
    for (key, value) in &network.labels {
        line("label", &format!("{key}={value}"));
    }
    line("created", &rfc3339(network.created_unix_ms));
    line("id", &network.id);
    format!("{}\n{card}{}", clean(&network.name), members(network, screen))
}

/// What is no bridge has none of its own.
fn mtu(network: &Network) -> String {
    match network.mtu_bytes {
        0 => String::new(),
        bytes => bytes.to_string(),
    }
}

fn gso(network: &Network) -> String {
    network.gso_max_bytes.map(|bytes| format!(", super-packets of {bytes} bytes")).unwrap_or_default()
}

fn access(network: &Network) -> String {
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
    let outside = match network.isolation {
        Isolation::Open => "anybody with a route may open connections to them",
        Isolation::Published => "from outside only published ports are open",
        Isolation::Strict => {
            "from outside only published ports are open, and to no other network of this host"
        }
    };
    let leave = match network.masquerade {
        true => "they leave under the host's address",
        false => "they leave under their own addresses",
    };
    format!("{among}; {outside}; {leave}")
}

fn members(network: &Network, screen: &Screen) -> String {
    if network.endpoints.is_empty() {
        return "  endpoints   none\n".to_string();
    }
    let mut table = Table::new(&["ENDPOINT", "INTERFACE", "ADDRESSES", "MAC"], &["MAC"]);
    for member in &network.endpoints {
        table.row(vec![
            member.name.clone(),
            member.interface.clone(),
            member.addresses.join(","),
            member.mac.clone(),
        ]);
    }
    table.render(screen).lines().map(|line| format!("  {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::fixture::networks;

    #[test]
    fn a_list_of_networks() {
        expect![[r#"
            NAME   DRIVER  SUBNET          GATEWAY   ENDPOINTS  IP USED  MTU   FLAGS
            front  bridge  10.9.0.0/24 +1  10.9.0.1  1          3/254    1500  ipv6
            back   bridge  10.8.0.0/24     10.8.0.1  0          1/254    1500  internal strict no-icc no-masquerade gso=on
            host   host    -               -         0          -        -     -
        "#]].assert_eq(&table(&networks(), &Screen::default()));
    }

    #[test]
    fn a_list_in_full() {
        expect![[r#"
            NAME   DRIVER  SUBNET                   GATEWAY             ENDPOINTS  IP USED  MTU   FLAGS
            front  bridge  10.9.0.0/24,fd00:9::/64  10.9.0.1,fd00:9::1  1          3/254,2  1500  ipv6
            back   bridge  10.8.0.0/24              10.8.0.1            0          1/254    1500  internal strict no-icc no-masquerade gso=on
            host   host    -                        -                   0          -        -     -
        "#]].assert_eq(&table(&networks(), &Screen { no_trunc: true, ..Screen::default() }));
    }

    #[test]
    fn a_narrow_list() {
        expect![[r#"
            NAME   DRIVER  SUBNET          GATEWAY   ENDPOINTS  IP USED
            front  bridge  10.9.0.0/24 +1  10.9.0.1  1          3/254
            back   bridge  10.8.0.0/24     10.8.0.1  0          1/254
            host   host    -               -         0          -
        "#]]
        .assert_eq(&table(&networks(), &Screen { width: Some(60), ..Screen::default() }));
    }

    #[test]
    fn cards() {
        let cards: Vec<String> = networks().iter().map(|n| card(n, &Screen::default())).collect();
        expect![[r#"
            front
              driver      bridge bl-front, MTU 1500, super-packets of 196608 bytes
              subnet      10.9.0.0/24, gateway 10.9.0.1, 3 of 254 addresses used
              range       10.9.0.128/25
              reserved    10.9.0.2 (router)
              subnet      fd00:9::/64, gateway fd00:9::1, 2 addresses used
              route       192.0.2.0/24 by 10.9.0.254
              access      members reach one another; from outside only published ports are open; they leave under the host's address
              created     2025-11-20T08:34:00.000Z
              id          0123456789abcdef0011223344556677
              ENDPOINT  INTERFACE  ADDRESSES                   MAC
              web       eth0       10.9.0.129/24,fd00:9::2/64  02:00:00:00:00:01

            back
              driver      bridge bl-back, MTU 1500
              subnet      10.8.0.0/24, gateway 10.8.0.1, 1 of 254 addresses used
              access      members reach neither one another nor anything outside
              namespace   /run/netns/lab, cookie 77
              label       tier=data\u{1b}[31m
              created     2025-11-20T08:34:00.000Z
              id          1123456789abcdef0011223344556677
              endpoints   none

            host
              driver      host
              created     2025-11-20T08:34:00.000Z
              id          2123456789abcdef0011223344556677
              endpoints   none
        "#]].assert_eq(&cards.join("\n"));
    }
}
