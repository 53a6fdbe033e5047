//! Published ports for people: as docker writes them, but both families in one.

use std::net::IpAddr;

use bowline_api::v1::{Expose, Port, Protocol};
use serde::Serialize;

use crate::screen::Screen;
use crate::table::{Table, first_and_more};

const HEADS: &[&str] = &["HOST", "PORTS", "PROTOCOL", "ENDPOINT", "ADDRESSES"];

pub(super) fn table(ports: &[Port], screen: &Screen) -> String {
    let mut table = Table::new(HEADS, &["ADDRESSES"]);
    for port in ports {
        let addresses: Vec<String> = port.addresses.iter().map(IpAddr::to_string).collect();
        let host = match (port.host_port, port.host_ip) {
            (None, _) => String::new(),
            (Some(_), None) => "*".to_string(),
            (Some(_), Some(ip)) => ip.to_string(),
        };
        table.row(vec![
            host,
            pair(port),
            protocol(port.protocol).to_string(),
            port.endpoint.clone(),
            first_and_more(&addresses, screen),
        ]);
    }
    table.render(screen)
}

/// What a template is filled in with: a port that leaves something out is no mistake of the template's.
#[derive(Debug, Serialize)]
pub(super) struct Fields<'a> {
    endpoint: &'a str,
    host_ip: Option<IpAddr>,
    host_port: Option<u16>,
    host_port_last: Option<u16>,
    port: u16,
    port_last: Option<u16>,
    protocol: Protocol,
    addresses: &'a [IpAddr],
}

impl Fields<'_> {
    pub(super) fn of(port: &Port) -> Fields<'_> {
        let Port { host_ip, host_port, host_port_last, port: own, port_last, protocol, .. } = *port;
        let (endpoint, addresses) = (&port.endpoint, &port.addresses);
        Fields { endpoint, host_ip, host_port, host_port_last, port: own, port_last, protocol, addresses }
    }
}

/// By the host's port, as one looks for it.
pub(super) fn sort(ports: &mut [Port]) {
    let key = |port: &Port| (port.host_port.unwrap_or(port.port), protocol(port.protocol), port.host_ip);
    ports.sort_by(|a, b| key(a).cmp(&key(b)).then_with(|| a.endpoint.cmp(&b.endpoint)));
}

pub(crate) fn all(ports: &[Port]) -> Vec<String> {
    ports.iter().map(shown).collect()
}

/// `*:8080->80/tcp`, `127.0.0.1:8000-8010->80-90/udp`; `80/tcp` where it is open under the endpoint's own address.
pub(crate) fn shown(port: &Port) -> String {
    let at = match (port.host_port, port.host_ip) {
        (None, _) => String::new(),
        (Some(_), None) => "*:".to_string(),
        (Some(_), Some(IpAddr::V4(ip))) => format!("{ip}:"),
        (Some(_), Some(IpAddr::V6(ip))) => format!("[{ip}]:"),
    };
    format!("{at}{}/{}", pair(port), protocol(port.protocol))
}

/// `80/tcp`, `9000-9001/udp`
pub(crate) fn exposed(expose: &Expose) -> String {
    format!("{}/{}", range(expose.port, expose.port_last), protocol(expose.protocol))
}

/// `8080->80`
fn pair(port: &Port) -> String {
    let own = range(port.port, port.port_last);
    match port.host_port {
        Some(first) => format!("{}->{own}", range(first, port.host_port_last)),
        None => own,
    }
}

fn range(first: u16, last: Option<u16>) -> String {
    match last {
        Some(last) if last != first => format!("{first}-{last}"),
        Some(_) | None => first.to_string(),
    }
}

pub(super) fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::fixture::ports;

    #[test]
    fn ports_are_written_as_docker_does_with_a_star_for_all_addresses() {
        let shown = all(&ports());
        assert_eq!(
            shown,
            ["*:8080->80/tcp", "127.0.0.1:5300-5310->53-63/udp", "[::1]:8080->80/tcp", "443/tcp"]
        );
    }

    #[test]
    fn a_list_of_ports() {
        let mut ports = ports();
        sort(&mut ports);
        expect![[r#"
            HOST       PORTS             PROTOCOL  ENDPOINT  ADDRESSES
            -          443               tcp       web       fd00:9::2
            127.0.0.1  5300-5310->53-63  udp       web       10.9.0.129
            *          8080->80          tcp       web       10.9.0.129 +1
            ::1        8080->80          tcp       web       fd00:9::2
        "#]]
        .assert_eq(&table(&ports, &Screen::default()));
    }
}
