//! The text after `-p`, in every form that Docker knows.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use super::{At, Ports, Protocol, Wish};
use crate::name::quoted;
use crate::{Code, Error, Result};

impl FromStr for Wish {
    type Err = Error;

    fn from_str(text: &str) -> Result<Wish> {
        wish(text).map_err(|error| error.context(format!("publish {}", quoted(text))))
    }
}

fn wish(text: &str) -> Result<Wish> {
    let (ports, protocol) = match text.split_once('/') {
        Some((ports, protocol)) => (ports, protocol.parse()?),
        None => (text, Protocol::Tcp),
    };
    let (at, host, ports) = parts(ports)?;
    let host = host.filter(|host| !host.is_empty()).map(range).transpose()?;
    Wish::new(at, host, range(ports)?, protocol)
}

impl Wish {
    pub fn new(at: At, host: Option<Ports>, ports: Ports, protocol: Protocol) -> Result<Wish> {
        if let Some(host) = host
            && host.count() != ports.count()
            && ports.count() != 1
        {
            let why = format!("the host has {} ports for {} of the container", host.count(), ports.count());
            return Err(Error::new(Code::InvalidPort, format!("ports {host}:{ports} are not usable"))
                .because(why)
                .fix("give as many on both sides, such as 8000-8010:9000-9010"));
        }
        Ok(Wish { at, host, ports, protocol })
    }
}

/// The address, the host's part and the container's. An IPv6 address is in brackets, or it could not be told from ports.
fn parts(text: &str) -> Result<(At, Option<&str>, &str)> {
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, rest)) = rest.split_once("]:") else {
            return Err(shape("a bracket is not closed, or no port follows it"));
        };
        let address: Ipv6Addr = address.parse().map_err(|_| bad_address(address))?;
        if address.to_ipv4_mapped().is_some() {
            return Err(bad_address(&address.to_string()).fix("write it as an IPv4 address"));
        }
        let (host, ports) =
            rest.split_once(':').ok_or_else(|| shape("no port of the container's is given"))?;
        return Ok((At::of(IpAddr::V6(address)), Some(host), ports));
    }
    match *text.split(':').collect::<Vec<_>>() {
        [ports] => Ok((At::Everywhere, None, ports)),
        [host, ports] => Ok((At::Everywhere, Some(host), ports)),
        ["", host, ports] => Ok((At::Everywhere, Some(host), ports)),
        [address, host, ports] => {
            let ip: IpAddr = address.parse().map_err(|_| bad_address(address))?;
            Ok((At::of(ip), Some(host), ports))
        }
        [..] => Err(shape("there are too many colons").fix("an IPv6 address is in brackets: [::1]:8080:80")),
    }
}

/// `80` or `8000-8010`.
fn range(text: &str) -> Result<Ports> {
    match text.split_once('-') {
        Some((first, last)) => Ports::new(port(first)?, port(last)?),
        None => Ports::one(port(text)?),
    }
}

fn port(text: &str) -> Result<u16> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = if digits { text.parse::<u16>().ok() } else { None };
    number.ok_or_else(|| {
        Error::new(Code::InvalidPort, format!("port {} is not usable", quoted(text)))
            .because(if digits { "the last port is 65535" } else { "it is not a number" })
            .fix("use 1 to 65535")
    })
}

fn shape(why: &str) -> Error {
    Error::new(Code::InvalidPort, "the ports are not understood")
        .because(why)
        .fix("write 80, 8080:80, 127.0.0.1:8080:80, [::1]:8080:80 or 8000-8010:8000-8010, then /udp for UDP")
}

fn bad_address(text: &str) -> Error {
    Error::new(Code::InvalidPort, format!("host address {} is not usable", quoted(text)))
        .because("it is not an IP address")
        .fix("write an address of this host, such as 127.0.0.1:8080:80 or [::1]:8080:80")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_reads_back() {
        for (text, expected) in [
            ("80", "80/tcp"),
            ("8080:80", "8080:80/tcp"),
            (":80", "80/tcp"),
            ("127.0.0.1:8080:80", "127.0.0.1:8080:80/tcp"),
            ("127.0.0.1::80", "127.0.0.1::80/tcp"),
            (":8080:80", "8080:80/tcp"),
            ("0.0.0.0:8080:80", "0.0.0.0:8080:80/tcp"),
            ("[::1]:8080:80", "[::1]:8080:80/tcp"),
            ("[::]:8080:80/udp", "[::]:8080:80/udp"),
            ("[fd00::1]::80/sctp", "[fd00::1]::80/sctp"),
            ("8000-8010:8000-8010", "8000-8010:8000-8010/tcp"),
            ("8000-8010:9000-9010/udp", "8000-8010:9000-9010/udp"),
            ("8000-8010:80", "8000-8010:80/tcp"),
            ("8000-8010", "8000-8010/tcp"),
            ("53:53/UDP", "53:53/udp"),
            ("1-65535:1-65535", "1-65535:1-65535/tcp"),
        ] {
            let wish: Wish = text.parse().unwrap();
            assert_eq!(wish.to_string(), expected, "{text}");
            assert_eq!(expected.parse::<Wish>().unwrap(), wish, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, why) in [
            ("", "not a number"),
            ("0", "no port 0"),
            ("8080:0", "no port 0"),
            ("0:80", "no port 0"),
            ("65536", "last port is 65535"),
            ("99999999999999999999:80", "last port is 65535"),
            ("80-", "not a number"),
            ("90-80", "did you mean 80-90"),
            ("8000-8010:90-91", "the host has 11 ports for 2"),
            ("80:90-91", "the host has 1 ports for 2"),
            ("80/icmp", "tcp, udp or sctp"),
            ("80/", "tcp, udp or sctp"),
            ("80/tcp/udp", "tcp, udp or sctp"),
            ("+80", "not a number"),
            (" 80", "not a number"),
            ("8080:80\n", "not a number"),
            ("\"80\"", "not a number"),
            ("1.2.3:8080:80", "not an IP address"),
            ("localhost:8080:80", "not an IP address"),
            ("::1:8080:80", "in brackets"),
            ("[::1:8080:80", "bracket is not closed"),
            ("[::1]8080:80", "bracket is not closed"),
            ("[::1]:80", "no port of the container's"),
            ("[127.0.0.1]:80:80", "not an IP address"),
            ("[::ffff:127.0.0.1]:80:80", "IPv4 address"),
            ("1.2.3.4:5:6:7", "too many colons"),
        ] {
            let error = text.parse::<Wish>().unwrap_err();
            let said = format!("{error} {}", error.fix.clone().unwrap_or_default());
            assert_eq!(error.code, Code::InvalidPort, "{text:?}");
            assert!(said.contains(why), "{text:?}: {said}");
        }
    }

    #[test]
    fn addresses_meet_where_one_packet_could_be_for_both() {
        let at = |text: &str| format!("{text}1:1").parse::<Wish>().unwrap().at;
        for (a, b, meet) in [
            ("", "", true),
            ("", "127.0.0.1:", true),
            ("", "[::1]:", true),
            ("0.0.0.0:", "[::]:", false),
            ("0.0.0.0:", "127.0.0.1:", true),
            ("127.0.0.1:", "127.0.0.2:", false),
            ("127.0.0.1:", "127.0.0.1:", true),
        ] {
            assert_eq!(at(a).meets(at(b)), meet, "{a} {b}");
            assert_eq!(at(b).meets(at(a)), meet, "{b} {a}");
        }
    }
}
