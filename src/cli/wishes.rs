//! What `run` and `endpoint create` ask of the resolver: servers, search list, options, and own names for others.

use std::fmt::Display;
use std::net::IpAddr;

use bowline_api::v1::{CreateEndpoint, DnsLink, DnsWishes};
use bowline_core::name::{Name, quoted};
use bowline_core::{Code, Error, Result};
use clap::Args;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
pub(crate) struct DnsArgs {
    /// A server for names that its networks do not know, instead of this machine's; may be given again
    #[arg(long = "dns", value_name = "IP", value_parser = server)]
    pub(crate) servers: Vec<IpAddr>,

    /// A domain that short names are tried in, instead of this machine's, or '.' for none; may be given again
    #[arg(long = "dns-search", value_name = "DOMAIN", value_parser = search)]
    pub(crate) search: Vec<String>,

    /// An option of resolv.conf, such as ndots:2, instead of this machine's; may be given again
    #[arg(long = "dns-opt", visible_alias = "dns-option", value_name = "OPTION", value_parser = option)]
    pub(crate) options: Vec<String>,

    /// A name of its own for another endpoint on its networks; may be given again
    #[arg(long = "link", value_name = "ENDPOINT[:ALIAS]", value_parser = link)]
    pub(crate) links: Vec<DnsLink>,
}

impl DnsArgs {
    pub(crate) fn is_empty(&self) -> bool {
        *self == DnsArgs::default()
    }

    pub(crate) fn over(self, wish: CreateEndpoint) -> CreateEndpoint {
        let DnsArgs { servers, search, options, links } = self;
        CreateEndpoint { dns: DnsWishes { servers, search, options, links }, ..wish }
    }
}

fn refused(what: &str, text: &str, why: impl Display, fix: &str) -> Error {
    Error::new(Code::InvalidDns, format!("{what} {} is not usable", quoted(text))).because(why).fix(fix)
}

fn server(text: &str) -> Result<IpAddr> {
    text.parse().map_err(|_| {
        refused("name server", text, "it is no IP address", "write it as 192.0.2.53 or 2001:db8::53")
    })
}

/// What stands on a line of resolv.conf must not end the line, nor the word: the daemon knows the rest of the rules.
fn search(text: &str) -> Result<String> {
    let fix = "write a domain such as example.org, or '.' alone for none";
    match text {
        "" => Err(refused("search domain", text, "it is empty", fix)),
        _ => word(text).map_err(|why| refused("search domain", text, why, fix)),
    }
}

fn option(text: &str) -> Result<String> {
    let fix = "write one that resolv.conf(5) has, such as ndots:2 or timeout:1";
    match text {
        "" => Err(refused("resolver option", text, "it is empty", fix)),
        _ => word(text).map_err(|why| refused("resolver option", text, why, fix)),
    }
}

fn word(text: &str) -> Result<String, String> {
    match text.chars().find(|c| !c.is_ascii_graphic() || matches!(c, '#' | ';')) {
        Some(c) => Err(format!("it contains {c:?}")),
        None => Ok(text.to_string()),
    }
}

/// `ENDPOINT[:ALIAS]`
fn link(text: &str) -> Result<DnsLink> {
    let fix = "write it as ENDPOINT or ENDPOINT:ALIAS, such as db:sql";
    let name = |part: &str, which: &str| match part {
        "" => Err(refused("link", text, format!("its {which} is empty"), fix)),
        _ => part
            .parse::<Name>()
            .map(|name| name.to_string())
            .map_err(|error| refused("link", text, error, fix)),
    };
    let (endpoint, alias) = match text.split_once(':') {
        Some((endpoint, alias)) => (endpoint, Some(alias)),
        None => (text, None),
    };
    Ok(DnsLink {
        endpoint: name(endpoint, "endpoint")?,
        alias: alias.map(|alias| name(alias, "alias")).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_of_the_resolver_is_read() {
        assert_eq!(server("2001:db8::53").unwrap(), "2001:db8::53".parse::<IpAddr>().unwrap());
        for domain in [".", "example.org", "example.org.", "_msdcs.corp", "xn--bcher-kva.example"] {
            assert_eq!(search(domain).unwrap(), domain);
        }
        assert_eq!(option("ndots:2").unwrap(), "ndots:2");
        let linked = |endpoint: &str, alias: Option<&str>| DnsLink {
            endpoint: endpoint.into(),
            alias: alias.map(str::to_string),
        };
        assert_eq!(link("db").unwrap(), linked("db", None));
        assert_eq!(link("db:sql").unwrap(), linked("db", Some("sql")));
    }

    #[test]
    fn what_makes_no_sense_is_named_with_what_to_write() {
        let check = |error: Error, wanted: &str| {
            assert_eq!(error.code, Code::InvalidDns, "{error}");
            assert_eq!(error.to_string(), wanted);
            assert!(error.fix.is_some(), "{error}");
        };
        for text in ["", "dns.example", "192.0.2.53:53", "[::1]", "fe80::1%eth0", "1.1.1.1\n"] {
            let shown = format!("{text:?}");
            check(
                server(text).unwrap_err(),
                &format!("name server {shown} is not usable: it is no IP address"),
            );
        }
        check(search("").unwrap_err(), r#"search domain "" is not usable: it is empty"#);
        check(search("a b").unwrap_err(), r#"search domain "a b" is not usable: it contains ' '"#);
        check(search("a\nb").unwrap_err(), r#"search domain "a\nb" is not usable: it contains '\n'"#);
        check(search("#a").unwrap_err(), r##"search domain "#a" is not usable: it contains '#'"##);
        check(search("bücher").unwrap_err(), r#"search domain "bücher" is not usable: it contains 'ü'"#);
        check(option("").unwrap_err(), r#"resolver option "" is not usable: it is empty"#);
        check(
            option("ndots:2 rotate").unwrap_err(),
            r#"resolver option "ndots:2 rotate" is not usable: it contains ' '"#,
        );
        check(link("a:").unwrap_err(), r#"link "a:" is not usable: its alias is empty"#);
        check(link(":a").unwrap_err(), r#"link ":a" is not usable: its endpoint is empty"#);
        check(link("").unwrap_err(), r#"link "" is not usable: its endpoint is empty"#);
        check(
            link("a:b:c").unwrap_err(),
            r#"link "a:b:c" is not usable: name "b:c" is not allowed: it contains ':'"#,
        );
    }
}
