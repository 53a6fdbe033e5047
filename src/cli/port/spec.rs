//! Ports as they are written on a command line, in the words of the API.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bowline_api::v1::{self, Expose, PortQuery, PublishSpec};
use bowline_core::family::Family;
use bowline_core::name::quoted;
use bowline_core::port::{At, Ports, Protocol, Wish};
use bowline_core::{Code, Error, Result};

/// `[[IP:]PORT[-LAST]:]PORT[-LAST][/PROTO]`
pub(crate) fn publish(text: &str) -> Result<PublishSpec> {
    text.parse().map(|wish| wire(&wish))
}

/// As it was published; or `PORT` or `IP:PORT` with the host's port alone, which the daemon looks for first.
pub(crate) fn unpublish(text: &str) -> Result<PublishSpec> {
    let named = |error: Error| Error { what: format!("unpublish {}", quoted(text)), ..error };
    let wish = match of_host(text) {
        Some(full) => Wish { host: None, ..full.parse().map_err(named)? },
        None => text.parse().map_err(named)?,
    };
    Ok(wire(&wish))
}

/// `[IP:]PORT[/PROTO]`
pub(crate) fn query(text: &str) -> Result<PortQuery> {
    let named = |error: Error| Error { what: format!("check port {}", quoted(text)), ..error };
    let full = of_host(text);
    let wish: Wish = full.as_deref().unwrap_or(text).parse().map_err(named)?;
    if full.is_none() && text.contains(':') {
        return Err(Error::new(Code::InvalidPort, format!("check port {}", quoted(text)))
            .because("it names a port of an endpoint's")
            .fix("name the host's port alone, such as 8080, 127.0.0.1:8080 or 53/udp"));
    }
    if wish.ports.count() > 1 {
        return Err(Error::new(Code::InvalidPort, format!("check port {}", quoted(text)))
            .because("it is more than one")
            .fix(format!("check one at a time: bowline port check {}", wish.ports.first())));
    }
    let spec = wire(&wish);
    Ok(PortQuery { host_ip: spec.host_ip, host_port: spec.port, protocol: spec.protocol })
}

/// `PORT[-LAST][/PROTO]`
pub(crate) fn expose(text: &str) -> Result<Expose> {
    if text.contains(':') {
        return Err(Error::new(Code::InvalidPort, format!("expose {}", quoted(text)))
            .because("it names a port of the host's")
            .fix("write 80, 8000-8010 or 53/udp; for a port of the host's there is --publish"));
    }
    let wish: Wish =
        text.parse().map_err(|error| Error { what: format!("expose {}", quoted(text)), ..error })?;
    let PublishSpec { port, port_last, protocol, .. } = wire(&wish);
    Ok(Expose { port, port_last, protocol })
}

/// `IP:PORT` with the port again, so that it is one of the forms to publish; None where it is something else.
fn of_host(text: &str) -> Option<String> {
    let (address_and_port, protocol) = match text.find('/') {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let (address, port) = address_and_port.rsplit_once(':')?;
    let whole = match address.strip_prefix('[') {
        Some(inner) => inner.ends_with(']'),
        None => address.parse::<IpAddr>().is_ok(),
    };
    whole.then(|| format!("{address}:{port}:{port}{protocol}"))
}

fn wire(wish: &Wish) -> PublishSpec {
    PublishSpec {
        host_ip: match wish.at {
            At::Everywhere => None,
            At::All(Family::V4) => Some(Ipv4Addr::UNSPECIFIED.into()),
            At::All(Family::V6) => Some(Ipv6Addr::UNSPECIFIED.into()),
            At::One(ip) => Some(ip),
        },
        host_port: wish.host.map(Ports::first),
        host_port_last: wish.host.and_then(last),
        port: wish.ports.first(),
        port_last: last(wish.ports),
        protocol: match wish.protocol {
            Protocol::Tcp => v1::Protocol::Tcp,
            Protocol::Udp => v1::Protocol::Udp,
            Protocol::Sctp => v1::Protocol::Sctp,
        },
    }
}

fn last(ports: Ports) -> Option<u16> {
    (ports.count() > 1).then(|| ports.last())
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde::Serialize;

    use super::*;

    /// What is said, without what is left out; or the error.
    fn check<T: Serialize>(read: fn(&str) -> Result<T>, text: &str, wanted: &Expect) {
        let shown = match read(text) {
            Ok(spec) => {
                let mut json = serde_json::to_value(spec).unwrap();
                json.as_object_mut().unwrap().retain(|_, value| !value.is_null());
                json.to_string()
            }
            Err(error) => format!("{} {error} | {}", error.code, error.fix.clone().unwrap()),
        };
        wanted.assert_eq(&shown);
    }

    #[test]
    fn what_is_published_in_every_form() {
        check(publish, "80", &expect![[r#"{"port":80,"protocol":"tcp"}"#]]);
        check(publish, "8080:80", &expect![[r#"{"host_port":8080,"port":80,"protocol":"tcp"}"#]]);
        check(
            publish,
            "127.0.0.1:8080:80/udp",
            &expect![[r#"{"host_ip":"127.0.0.1","host_port":8080,"port":80,"protocol":"udp"}"#]],
        );
        check(publish, "[::1]::80", &expect![[r#"{"host_ip":"::1","port":80,"protocol":"tcp"}"#]]);
        check(
            publish,
            "0.0.0.0:8000-8010:80",
            &expect![[
                r#"{"host_ip":"0.0.0.0","host_port":8000,"host_port_last":8010,"port":80,"protocol":"tcp"}"#
            ]],
        );
        check(
            publish,
            "[::]:8000-8010:9000-9010/sctp",
            &expect![[
                r#"{"host_ip":"::","host_port":8000,"host_port_last":8010,"port":9000,"port_last":9010,"protocol":"sctp"}"#
            ]],
        );
        check(
            publish,
            "http",
            &expect![[
                r#"BWL-1112 publish "http": port "http" is not usable: it is not a number | use 1 to 65535"#
            ]],
        );
    }

    #[test]
    fn what_is_taken_back_may_be_the_hosts_port_alone() {
        check(unpublish, "8080", &expect![[r#"{"port":8080,"protocol":"tcp"}"#]]);
        check(unpublish, "8080:80", &expect![[r#"{"host_port":8080,"port":80,"protocol":"tcp"}"#]]);
        check(
            unpublish,
            "127.0.0.1:8080",
            &expect![[r#"{"host_ip":"127.0.0.1","port":8080,"protocol":"tcp"}"#]],
        );
        check(
            unpublish,
            "[::1]:8000-8010/udp",
            &expect![[r#"{"host_ip":"::1","port":8000,"port_last":8010,"protocol":"udp"}"#]],
        );
        check(
            unpublish,
            "[::1]:8080:80",
            &expect![[r#"{"host_ip":"::1","host_port":8080,"port":80,"protocol":"tcp"}"#]],
        );
        check(
            unpublish,
            "127.0.0.1::80",
            &expect![[r#"{"host_ip":"127.0.0.1","port":80,"protocol":"tcp"}"#]],
        );
        check(
            unpublish,
            "127.0.0.1:http",
            &expect![[
                r#"BWL-1112 unpublish "127.0.0.1:http": port "http" is not usable: it is not a number | use 1 to 65535"#
            ]],
        );
        check(
            unpublish,
            "[::1:80",
            &expect![[
                r#"BWL-1112 unpublish "[::1:80": the ports are not understood: a bracket is not closed, or no port follows it | write 80, 8080:80, 127.0.0.1:8080:80, [::1]:8080:80 or 8000-8010:8000-8010, then /udp for UDP"#
            ]],
        );
    }

    #[test]
    fn one_port_of_the_host_is_checked() {
        check(query, "8080", &expect![[r#"{"host_port":8080,"protocol":"tcp"}"#]]);
        check(
            query,
            "127.0.0.1:53/udp",
            &expect![[r#"{"host_ip":"127.0.0.1","host_port":53,"protocol":"udp"}"#]],
        );
        check(query, "[::]:8080", &expect![[r#"{"host_ip":"::","host_port":8080,"protocol":"tcp"}"#]]);
        check(
            query,
            "8000-8010",
            &expect![[
                r#"BWL-1112 check port "8000-8010": it is more than one | check one at a time: bowline port check 8000"#
            ]],
        );
        check(
            query,
            "8080:80",
            &expect![[
                r#"BWL-1112 check port "8080:80": it names a port of an endpoint's | name the host's port alone, such as 8080, 127.0.0.1:8080 or 53/udp"#
            ]],
        );
        check(
            query,
            ":80",
            &expect![[
                r#"BWL-1112 check port ":80": it names a port of an endpoint's | name the host's port alone, such as 8080, 127.0.0.1:8080 or 53/udp"#
            ]],
        );
        check(
            query,
            "[zero]:80",
            &expect![[
                r#"BWL-1112 check port "[zero]:80": host address "zero" is not usable: it is not an IP address | write an address of this host, such as 127.0.0.1:8080:80 or [::1]:8080:80"#
            ]],
        );
        check(
            query,
            "0",
            &expect![[
                r#"BWL-1112 check port "0": port 0 is not usable: there is no port 0 | use 1 to 65535; leave the host's port out to have a free one chosen"#
            ]],
        );
        check(
            query,
            "",
            &expect![[
                r#"BWL-1112 check port "": port "" is not usable: it is not a number | use 1 to 65535"#
            ]],
        );
    }

    #[test]
    fn what_is_exposed_has_no_port_of_the_hosts() {
        check(expose, "80", &expect![[r#"{"port":80,"protocol":"tcp"}"#]]);
        check(expose, "8000-8010/udp", &expect![[r#"{"port":8000,"port_last":8010,"protocol":"udp"}"#]]);
        check(
            expose,
            "8080:80",
            &expect![[
                r#"BWL-1112 expose "8080:80": it names a port of the host's | write 80, 8000-8010 or 53/udp; for a port of the host's there is --publish"#
            ]],
        );
        check(
            expose,
            "80/icmp",
            &expect![[
                r#"BWL-1112 expose "80/icmp": protocol "icmp" is not usable: ports are of tcp, udp or sctp | write it as 53/udp; tcp is meant where none is given"#
            ]],
        );
    }
}
