//! Endpoints for people: one line each, or one card.

use std::fmt::Write as _;
use std::net::IpAddr;

use bowline_api::v1::{DnsLink, Endpoint, EndpointDns, EndpointState, Interface, Lease};
use bowline_core::rate::Rate;

use crate::port::view::{all, exposed, shown};
use crate::screen::{Screen, clean};
use crate::table::{Table, first_and_more};
use crate::time::rfc3339;

const HEADS: &[&str] = &["NAME", "STATE", "NETWORKS", "ADDRESSES", "INTERFACES", "PORTS"];
const SPARE: &[&str] = &["INTERFACES", "STATE", "NETWORKS", "PORTS"];

pub(super) fn table(endpoints: &[Endpoint], screen: &Screen) -> String {
    let mut table = Table::new(HEADS, SPARE);
    for endpoint in endpoints {
        let of_cards = |part: fn(&Interface) -> &String| {
            endpoint.interfaces.iter().map(part).cloned().collect::<Vec<String>>()
        };
        let addresses: Vec<String> =
            endpoint.interfaces.iter().flat_map(|card| card.addresses.iter().cloned()).collect();
        table.row(vec![
            endpoint.name.clone(),
            state(endpoint.state).to_string(),
            of_cards(|card| &card.network).join(","),
            first_and_more(&addresses, screen),
            of_cards(|card| &card.name).join(","),
            first_and_more(&all(&endpoint.ports), screen),
        ]);
    }
    table.render(screen)
}

fn state(state: EndpointState) -> &'static str {
    match state {
        EndpointState::Live => "live",
        EndpointState::Stopped => "stopped",
    }
}

pub(super) fn card(endpoint: &Endpoint, screen: &Screen) -> String {
    let mut card = String::new();
    let mut line = |key: &str, value: &str| {
        writeln!(card, "  {key:<11} {}", clean(value)).expect("a string takes all");
    };
    line("state", state(endpoint.state));
    if endpoint.hostname != endpoint.name {
        line("hostname", &endpoint.hostname);
    }
    let path = endpoint.netns.path.as_deref().unwrap_or("no path");
    line("namespace", &format!("{path}, cookie {}", endpoint.netns.cookie));
    for port in &endpoint.ports {
        line("published", &shown(port));
    }
    if !endpoint.exposed.is_empty() {
        line("exposed", &endpoint.exposed.iter().map(exposed).collect::<Vec<_>>().join(", "));
    }
    if let Some(dns) = &endpoint.dns {
        names(dns, &mut line);
    }
    for card in &endpoint.interfaces {
        if let Some(rates) = rates(card) {
            line("rate", &format!("{}: {rates}", card.name));
        }
        if let Some(lease) = &card.lease {
            line("lease", &format!("{}: {}", card.name, leased(lease)));
        }
    }
    if !endpoint.antispoof {
        line("antispoof", "off: it may send under addresses that are not its own");
    }
    for (key, value) in &endpoint.labels {
        line("label", &format!("{key}={value}"));
    }
    line("created", &rfc3339(endpoint.created_unix_ms));
    line("id", &endpoint.id);
    format!("{}\n{card}{}", clean(&endpoint.name), interfaces(endpoint, screen))
}

/// What it asked of its resolver; what it did not ask for is this host's.
fn names(dns: &EndpointDns, line: &mut impl FnMut(&str, &str)) {
    let servers: Vec<String> = dns.servers.iter().map(IpAddr::to_string).collect();
    line("resolver", "127.0.0.11");
    for (key, values) in [("servers", &servers), ("search", &dns.search), ("options", &dns.options)] {
        if !values.is_empty() {
            line(key, &values.join(", "));
        }
    }
    for DnsLink { endpoint, alias } in &dns.links {
        match alias {
            Some(alias) => line("link", &format!("{endpoint} as {alias}")),
            None => line("link", endpoint),
        }
    }
}

/// `at most 10mbit in, 5mbit out`
fn rates(card: &Interface) -> Option<String> {
    let rate = |bits: u64| Rate::new(bits).map_or_else(|_| format!("{bits}bit"), |rate| rate.to_string());
    let ways = [(card.rate_in_bits_per_s, "in"), (card.rate_out_bits_per_s, "out")];
    let limits: Vec<String> =
        ways.into_iter().filter_map(|(bits, way)| Some(format!("{} {way}", rate(bits?)))).collect();
    (!limits.is_empty()).then(|| format!("at most {}", limits.join(", ")))
}

/// `of 192.0.2.1, until …, renewed at …`
fn leased(lease: &Lease) -> String {
    let mut said = format!("of {}", lease.server);
    match lease.expires_unix_ms {
        Some(ends) => write!(said, ", until {}", rfc3339(ends)).expect("a string takes all"),
        None => said.push_str(", without an end"),
    }
    if let Some(renewed) = lease.renews_unix_ms {
        write!(said, ", renewed at {}", rfc3339(renewed)).expect("a string takes all");
    }
    for (key, values) in [
        ("name servers", lease.dns.iter().map(ToString::to_string).collect::<Vec<_>>()),
        ("search", lease.search.clone()),
    ] {
        if !values.is_empty() {
            write!(said, "; {key} {}", values.join(", ")).expect("a string takes all");
        }
    }
    said
}

fn interfaces(endpoint: &Endpoint, screen: &Screen) -> String {
    if endpoint.interfaces.is_empty() {
        return "  interfaces  none\n".to_string();
    }
    let heads = &["INTERFACE", "NETWORK", "ADDRESSES", "GATEWAY", "MAC", "MTU", "ALIASES"];
    let mut table = Table::new(heads, &["MTU", "MAC", "ALIASES", "GATEWAY"]);
    for card in &endpoint.interfaces {
        let way = if card.default_route { " (default)" } else { "" };
        let gateways = card.gateways.join(",");
        table.row(vec![
            card.name.clone(),
            card.network.clone(),
            card.addresses.join(","),
            if gateways.is_empty() { gateways } else { format!("{gateways}{way}") },
            card.mac.clone(),
            card.mtu_bytes.to_string(),
            card.aliases.join(","),
        ]);
    }
    table.render(screen).lines().map(|line| format!("  {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::fixture::endpoints;

    #[test]
    fn a_list_of_endpoints() {
        expect![[r#"
            NAME  STATE    NETWORKS    ADDRESSES         INTERFACES  PORTS
            web   live     front,back  10.9.0.129/24 +2  eth0,eth1   *:8080->80/tcp +3
            old   stopped  -           -                 -           -
        "#]]
        .assert_eq(&table(&endpoints(), &Screen::default()));
    }

    #[test]
    fn cards() {
        let cards: Vec<String> = endpoints().iter().map(|e| card(e, &Screen::default())).collect();
        expect![[r#"
            web
              state       live
              hostname    web.example
              namespace   /run/netns/web, cookie 4711
              published   *:8080->80/tcp
              published   127.0.0.1:5300-5310->53-63/udp
              published   [::1]:8080->80/tcp
              published   443/tcp
              exposed     9000-9001/udp, 443/tcp
              resolver    127.0.0.11
              servers     192.0.2.53, 2001:db8::53
              search      example.org
              options     ndots:2, rotate
              link        db as sql
              link        cache\u{1b}[2J
              rate        eth0: at most 10mbit in, 1500mbit out
              rate        eth1: at most 1500mbit out
              lease       eth1: of 10.8.0.1, until 2025-11-20T08:36:00.000Z, renewed at 2025-11-20T08:35:00.000Z; name servers 10.8.0.53; search example.net
              label       owner=a\nb
              created     2025-11-20T08:34:00.000Z
              id          ffff456789abcdef0011223344556677
              INTERFACE  NETWORK  ADDRESSES                   GATEWAY                       MAC                MTU   ALIASES
              eth0       front    10.9.0.129/24,fd00:9::2/64  10.9.0.1,fd00:9::1 (default)  02:00:00:00:00:01  1500  api
              eth1       back     10.8.0.2/24                 -                             02:00:00:00:00:02  1500  -

            old
              state       stopped
              namespace   no path, cookie 4712
              antispoof   off: it may send under addresses that are not its own
              created     2025-11-20T08:34:00.000Z
              id          eeee456789abcdef0011223344556677
              interfaces  none
        "#]].assert_eq(&cards.join("\n"));
    }
}
