//! Networks for people: one line each, or one card.

use std::fmt::Write as _;

use bowline_api::v1::{
    Driver, GatewayMode, Gso, Ipam, Isolation, Member, Network, ParentState, Port, SubnetStatus,
};

use super::access::{self, mode, modes};
use crate::port::view::shown;
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
            first(|s| s.gateway.map_or_else(|| "-".into(), |ip| ip.to_string())),
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
        Driver::Macvlan => "macvlan",
        Driver::Ipvlan => "ipvlan",
        Driver::P2p => "p2p",
        Driver::None => "none",
        Driver::Host => "host",
    }
}

/// What differs from a plain network.
fn flags(network: &Network) -> Vec<String> {
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
    if matches!(network.driver, Driver::None | Driver::Host) {
        return Vec::new();
    }
    let parent = network.parent.as_ref().map(|name| format!("parent={name}"));
    let amiss = match network.parent_state {
        Some(ParentState::Down) => Some("parent-down"),
        Some(ParentState::Missing) => Some("parent-missing"),
        Some(ParentState::Up) | None => None,
    };
    let is_wire = network.driver == Driver::P2p;
    let vlan = network.vlan.map(|vlan| format!("vlan={vlan}"));
    let plain = [
        amiss,
        network.host_access.then_some("host-access"),
        (network.internal && !is_wire).then_some("internal"),
        network.subnets.iter().any(SubnetStatus::is_ipv6).then_some("ipv6"),
        isolation,
        (!network.icc).then_some("no-icc"),
        (!network.masquerade).then_some("no-masquerade"),
        (!network.dns).then_some("no-dns"),
        (network.ipam == Ipam::Dhcp).then_some("dhcp"),
        gso,
    ];
    let modes = modes(network).into_iter().filter(|(_, mode)| *mode != GatewayMode::Nat && !is_wire);
    let modes = modes.map(|(family, its)| format!("{}={}", family.to_string().to_lowercase(), mode(its)));
    let trusted = network.trusted_interfaces.iter().map(|name| format!("trusted={name}"));
    let plain = plain.into_iter().flatten().map(str::to_string);
    parent.into_iter().chain(vlan).chain(plain).chain(modes).chain(trusted).collect()
}

/// `eth0, mode bridge, up`
fn parent(network: &Network) -> String {
    let mode = [&network.mode, &network.flag].into_iter().flatten().map(String::as_str);
    let mode = mode.collect::<Vec<_>>().join(" ");
    let state = match network.parent_state {
        Some(ParentState::Up) => ", up",
        Some(ParentState::Down) => ", down: it is set down or has no carrier",
        Some(ParentState::Missing) => ", missing: members have no card until it is back",
        None => "",
    };
    match &network.parent {
        Some(parent) if network.driver == Driver::Bridge => format!("{parent}, made by others{state}"),
        Some(parent) => format!("{parent}, mode {mode}{state}"),
        None => format!("none: the network leads nowhere; mode {mode}"),
    }
}

pub(super) fn gateway(subnet: &SubnetStatus) -> String {
    subnet.gateway.map_or_else(|| "no gateway".to_string(), |ip| format!("gateway {ip}"))
}

/// `3/253`, or only how many are used where there is room for all.
fn room(subnet: &SubnetStatus, of: &str) -> String {
    const FOR_ALL: u64 = 1 << 32;
    match subnet.size {
        FOR_ALL.. => subnet.used.to_string(),
        size => format!("{}{of}{size}", subnet.used),
    }
}

/// `ports` are all that are published: those that lead to its members are shown.
pub(super) fn card(network: &Network, ports: &[Port], screen: &Screen) -> String {
    let mut card = String::new();
    let mut line = |key: &str, value: &str| {
        writeln!(card, "  {key:<11} {}", clean(value)).expect("a string takes all");
    };
    let bridge = network.bridge.as_ref().map(|bridge| format!(" {bridge}")).unwrap_or_default();
    match network.mtu_bytes {
        0 => line("driver", driver(network.driver)),
        mtu => line("driver", &format!("{}{bridge}, MTU {mtu}{}", driver(network.driver), gso(network))),
    }
    if matches!(network.driver, Driver::Macvlan | Driver::Ipvlan) || network.parent.is_some() {
        line("parent", &parent(network));
    }
    if let Some(vlan) = network.vlan {
        line("vlan", &format!("{vlan}, of members that do not say another"));
    }
    if network.ipam == Ipam::None && !matches!(network.driver, Driver::None | Driver::Host) {
        line("subnet", "none: members bring their own addresses");
    }
    if !network.host_addresses.is_empty() {
        line("host", &format!("{}: by these members reach it", network.host_addresses.join(", ")));
    }
    if network.ipam == Ipam::Dhcp {
        line("addresses", "dhcp: a server on the parent's link gives them");
    }
    for subnet in &network.subnets {
        line(
            "subnet",
            &format!("{}, {}, {} addresses used", subnet.cidr, gateway(subnet), room(subnet, " of ")),
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
    if matches!(network.driver, Driver::Bridge | Driver::P2p) {
        line("access", &access::sentence(network));
    }
    if network.driver == Driver::Bridge {
        for (family, its) in modes(network).into_iter().filter(|(_, mode)| *mode != GatewayMode::Nat) {
            line("gateway", &format!("{family} {}: {}", mode(its), access::meaning(its)));
        }
    }
    if !matches!(network.driver, Driver::None | Driver::Host) {
        line("names", names(network.dns));
    }
    if !network.trusted_interfaces.is_empty() {
        let names = network.trusted_interfaces.join(", ");
        line("trusted", &format!("{names}: what comes from there reaches every port of members"));
    }
    if let Some(host) = &network.host_netns {
        line("namespace", &format!("{}, cookie {}", host.path.as_deref().unwrap_or("no path"), host.cookie));
    }
    for (key, value) in &network.labels {
        line("label", &format!("{key}={value}"));
    }
    line("created", &rfc3339(network.created_unix_ms));
    line("id", &network.id);
    format!("{}\n{card}{}", clean(&network.name), members(network, ports, screen))
}

fn names(dns: bool) -> &'static str {
    match dns {
        true => "members find one another by name",
        false => "off: members do not find one another by name",
    }
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

/// Ports that lead to this address of the endpoint, and to none that it has on another network.
fn published(member: &Member, ports: &[Port]) -> String {
    let own: Vec<&str> = member.addresses.iter().filter_map(|a| a.split('/').next()).collect();
    let leads_here = |port: &&Port| {
        port.endpoint == member.name && port.addresses.iter().any(|a| own.contains(&a.to_string().as_str()))
    };
    ports.iter().filter(leads_here).map(shown).collect::<Vec<_>>().join(", ")
}

fn members(network: &Network, ports: &[Port], screen: &Screen) -> String {
    if network.endpoints.is_empty() {
        return "  endpoints   none\n".to_string();
    }
    let mut table = Table::new(&["ENDPOINT", "INTERFACE", "ADDRESSES", "MAC", "PORTS"], &["MAC", "PORTS"]);
    for member in &network.endpoints {
        table.row(vec![
            member.name.clone(),
            member.interface.clone(),
            member.addresses.join(","),
            member.mac.clone(),
            published(member, ports),
        ]);
    }
    table.render(screen).lines().map(|line| format!("  {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::fixture::{networks, ports};

    #[test]
    fn a_list_of_networks() {
        expect![[r#"
            NAME   DRIVER  SUBNET          GATEWAY   ENDPOINTS  IP USED  MTU   FLAGS
            front  bridge  10.9.0.0/24 +1  10.9.0.1  1          3/254    1500  ipv6 ipv6=routed trusted=wg0
            back   bridge  10.8.0.0/24     10.8.0.1  0          1/254    1500  internal strict no-icc no-masquerade no-dns gso=on ipv4=isolated
            host   host    -               -         0          -        -     -
        "#]].assert_eq(&table(&networks(), &Screen::default()));
    }

    #[test]
    fn a_list_in_full() {
        expect![[r#"
            NAME   DRIVER  SUBNET                   GATEWAY             ENDPOINTS  IP USED  MTU   FLAGS
            front  bridge  10.9.0.0/24,fd00:9::/64  10.9.0.1,fd00:9::1  1          3/254,2  1500  ipv6 ipv6=routed trusted=wg0
            back   bridge  10.8.0.0/24              10.8.0.1            0          1/254    1500  internal strict no-icc no-masquerade no-dns gso=on ipv4=isolated
            host   host    -                        -                   0          -        -     -
        "#]].assert_eq(&table(&networks(), &Screen { no_trunc: true, ..Screen::default() }));
    }

    #[test]
    fn a_members_ports_are_those_that_lead_to_its_address_here() {
        let member = networks()[0].endpoints[0].clone();
        let elsewhere = Member { addresses: vec!["10.8.0.2/24".into()], ..member.clone() };
        let other = Member { name: "db".into(), ..member.clone() };
        assert!(published(&member, &ports()).starts_with("*:8080->80/tcp, "));
        assert_eq!(
            (published(&elsewhere, &ports()), published(&other, &ports())),
            (String::new(), String::new())
        );
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
        let cards: Vec<String> = networks().iter().map(|n| card(n, &ports(), &Screen::default())).collect();
        expect![[r#"
            front
              driver      bridge bl-front, MTU 1500, super-packets of 196608 bytes
              subnet      10.9.0.0/24, gateway 10.9.0.1, 3 of 254 addresses used
              range       10.9.0.128/25
              reserved    10.9.0.2 (router)
              subnet      fd00:9::/64, gateway fd00:9::1, 2 addresses used
              route       192.0.2.0/24 by 10.9.0.254
              access      members reach one another; from outside only published ports are open; they leave under the host's address by IPv4, else under their own
              gateway     IPv6 routed: members are reached at their own addresses, on published ports only
              names       members find one another by name
              trusted     wg0: what comes from there reaches every port of members
              created     2025-11-20T08:34:00.000Z
              id          0123456789abcdef0011223344556677
              ENDPOINT  INTERFACE  ADDRESSES                   MAC                PORTS
              web       eth0       10.9.0.129/24,fd00:9::2/64  02:00:00:00:00:01  *:8080->80/tcp, 127.0.0.1:5300-5310->53-63/udp, [::1]:8080->80/tcp, 443/tcp

            back
              driver      bridge bl-back, MTU 1500
              subnet      10.8.0.0/24, gateway 10.8.0.1, 1 of 254 addresses used
              access      members reach neither one another nor anything outside
              gateway     IPv4 isolated: this host has no address on the network
              names       off: members do not find one another by name
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
