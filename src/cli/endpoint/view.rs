//! Endpoints for people: one line each, or one card.

use std::fmt::Write as _;

use bowline_api::v1::{Endpoint, EndpointState, Interface};

use crate::screen::{Screen, clean};
use crate::table::{Table, first_and_more};
use crate::time::rfc3339;

const HEADS: &[&str] = &["NAME", "STATE", "NETWORKS", "ADDRESSES", "INTERFACES"];
const SPARE: &[&str] = &["INTERFACES", "STATE", "NETWORKS"];

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
    for (key, value) in &endpoint.labels {
        line("label", &format!("{key}={value}"));
    }
    line("created", &rfc3339(endpoint.created_unix_ms));
    line("id", &endpoint.id);
    format!("{}\n{card}{}", clean(&endpoint.name), interfaces(endpoint, screen))
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
            NAME  STATE    NETWORKS    ADDRESSES         INTERFACES
            web   live     front,back  10.9.0.129/24 +2  eth0,eth1
            old   stopped  -           -                 -
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
              label       owner=a\nb
              created     2025-11-20T08:34:00.000Z
              id          ffff456789abcdef0011223344556677
              INTERFACE  NETWORK  ADDRESSES                   GATEWAY                       MAC                MTU   ALIASES
              eth0       front    10.9.0.129/24,fd00:9::2/64  10.9.0.1,fd00:9::1 (default)  02:00:00:00:00:01  1500  api
              eth1       back     10.8.0.2/24                 -                             02:00:00:00:00:02  1500  -

            old
              state       stopped
              namespace   no path, cookie 4712
              created     2025-11-20T08:34:00.000Z
              id          eeee456789abcdef0011223344556677
              interfaces  none
        "#]].assert_eq(&cards.join("\n"));
    }
}
