//! resolv.conf: read as the C library reads it, and written for a container.

mod parse;

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};

/// What a resolv.conf says. Servers are as written, with the zone of a link-local address (`fe80::1%eth0`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolvConf {
    pub servers: Vec<Server>,
    pub search: Vec<String>,
    pub options: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Server {
    pub address: IpAddr,
    /// The link that a link-local address is on.
    pub zone: Option<String>,
}

/// What a container asked for instead of what the host has. Empty where it asked for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    pub search: Vec<String>,
    pub options: Vec<String>,
}

/// Where a container finds its resolver. In a host's own file it would be another tool's, or a copy of a container's file.
const OURS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

const PORT: u16 = 53;

/// A domain that says: no search list.
const NO_SEARCH: &str = ".";

impl ResolvConf {
    /// Never fails: a line that makes no sense is passed over, as the C library does.
    pub fn parse(text: &str) -> ResolvConf {
        parse::parse(text)
    }

    /// The servers to ask, from the namespace that this file is of. A link-local one is left out where `index_of` does not know
    /// its link. As for the C library, a file that names no server means the one on this host.
    pub fn upstreams(&self, index_of: impl Fn(&str) -> Option<u32>) -> Vec<SocketAddr> {
        if self.servers.is_empty() {
            return vec![(Ipv4Addr::LOCALHOST, PORT).into()];
        }
        let reached = |server: &Server| match (server.address, server.zone.as_deref()) {
            (IpAddr::V4(address), _) => Some((address, PORT).into()),
            (IpAddr::V6(address), None) => Some((address, PORT).into()),
            (IpAddr::V6(address), Some(zone)) => {
                let index = zone.parse().ok().or_else(|| index_of(zone))?;
                Some(SocketAddrV6::new(address, PORT, 0, index).into())
            }
        };
        self.servers
            .iter()
            .filter(|server| server.address.to_canonical() != OURS)
            .filter_map(reached)
            .collect()
    }
}

/// The file for a container: 127.0.0.11, and the host's search list and options where it asked for none. `ndots:0` where nobody
/// said how many, so that names of ours are asked for as they are.
pub fn compose(host: &ResolvConf, wishes: &Wishes) -> String {
    let search = if wishes.search.is_empty() { &host.search } else { &wishes.search };
    let options = if wishes.options.is_empty() { &host.options } else { &wishes.options };
    // What the host has was never checked, and what may not stand there is left out whoever said it.
    let search = search.iter().filter(|domain| *domain != NO_SEARCH && check_search(domain).is_ok());
    let mut options: Vec<&str> =
        options.iter().map(String::as_str).filter(|option| check_option(option).is_ok()).collect();
    if !options.iter().any(|option| option.starts_with(NDOTS)) {
        options.push("ndots:0");
    }
    let mut text = format!("nameserver {OURS}\n");
    let search = search.fold(String::new(), |line, domain| line + " " + domain);
    if !search.is_empty() {
        writeln!(text, "search{search}").expect("text takes whatever is written");
    }
    writeln!(text, "options {}", options.join(" ")).expect("text takes whatever is written");
    text
}

const NDOTS: &str = "ndots:";

/// A search domain or an option that may be written to the file; the reason where it may not.
pub fn check_search(domain: &str) -> Result<(), String> {
    let name = domain.strip_suffix('.').unwrap_or(domain);
    if domain == NO_SEARCH {
        return Ok(());
    }
    if name.is_empty() {
        return Err("it is empty".into());
    }
    // On the wire a name has one byte more in front and one behind.
    if name.len() > 253 {
        return Err(format!("it has {} bytes, and a name at most 253", name.len()));
    }
    if let Some(c) = name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))) {
        return Err(format!("it contains {c:?}; write other letters as xn--"));
    }
    match name.split('.').find(|label| label.is_empty() || label.len() > 63) {
        Some("") => Err("there is nothing between two of its dots".into()),
        Some(label) => Err(format!("a part of it has {} bytes, and a label at most 63", label.len())),
        None => Ok(()),
    }
}

pub fn check_option(option: &str) -> Result<(), String> {
    if option.is_empty() {
        return Err("it is empty".into());
    }
    if option.len() > 255 {
        return Err(format!("it has {} bytes, and an option at most 255", option.len()));
    }
    let allowed =
        |c: &char| c.is_ascii_alphanumeric() || matches!(c, ':' | '.' | '-' | '_' | '=' | ',' | '/');
    if let Some(c) = option.chars().find(|c| !allowed(c)) {
        return Err(format!("it contains {c:?}"));
    }
    let ndots = option.strip_prefix(NDOTS);
    if ndots.is_some_and(|count| count.parse::<u8>().is_err()) {
        return Err("ndots takes a number, such as ndots:1".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
