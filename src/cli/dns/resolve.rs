//! `bowline dns resolve`: one question, asked as an endpoint would ask it.

use std::net::IpAddr;

use bowline_api::v1::{DnsAnswer, DnsQuestion};
use bowline_core::Result;
use clap::Args;

use super::view::took;
use crate::exit;
use crate::io::Io;
use crate::session::Session;
use crate::similar::suggest;

pub(super) const EXAMPLES: &str = "\
Examples:
  bowline dns resolve db                             by the names of all networks together
  bowline dns resolve db --endpoint web              as web is answered
  bowline dns resolve example.org --endpoint web --type AAAA
  bowline dns resolve 10.9.0.2                       whose address it is
  bowline dns resolve _80._tcp.web                   where its port is

Exit codes: 0 there is an answer, 1 it cannot be known now, 3 there is none.";

#[derive(Debug, Args)]
pub(crate) struct ResolveArgs {
    /// A name, or an address to find the name of
    name: String,

    /// Who asks, by name or id: its networks' names, then its servers [default: all networks, no server]
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,

    /// The type of record, such as AAAA, SRV or TYPE65 [default: A, or what the name calls for]
    #[arg(long = "type", short = 't', value_name = "TYPE")]
    kind: Option<String>,
}

pub(super) fn execute(args: ResolveArgs, session: &Session, io: &mut Io<'_>) -> Result<u8> {
    let question = question(args);
    let asked: Vec<&str> = question.endpoint.as_deref().into_iter().collect();
    let answer = session.client.dns_resolve(&question);
    let answer = answer.map_err(|error| suggest(error, &session.client, &[], &asked))?;
    match session.json {
        true => io.json(&answer)?,
        false => {
            io.lines(&answer.answers)?;
            io.note(
                session,
                &format!("{}, from {}, in {}", answer.outcome, answer.from, took(answer.took_us)),
            );
        }
    }
    Ok(code(&answer))
}

/// An address is asked for by the name it has in reverse, and a service by its own type.
fn question(args: ResolveArgs) -> DnsQuestion {
    let ResolveArgs { name, endpoint, kind } = args;
    let kind = kind.map(|kind| kind.to_ascii_uppercase());
    let address = name.parse::<IpAddr>().ok().filter(|_| kind.as_deref().is_none_or(|kind| kind == "PTR"));
    match address {
        Some(address) => DnsQuestion { endpoint, name: reverse(address), kind: "PTR".to_string() },
        None => {
            let kind = kind.unwrap_or_else(|| if service(&name) { "SRV" } else { "A" }.to_string());
            DnsQuestion { endpoint, name, kind }
        }
    }
}

/// `_80._tcp.web`
fn service(name: &str) -> bool {
    let mut labels = name.split('.');
    labels.next().is_some_and(|label| label.starts_with('_'))
        && labels.next().is_some_and(|label| label.starts_with('_'))
}

/// RFC 1035 section 3.5, RFC 3596 section 2.5
fn reverse(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let digits = format!("{:032x}", address.to_bits());
            let labels: String = digits.chars().rev().flat_map(|digit| [digit, '.']).collect();
            format!("{labels}ip6.arpa")
        }
    }
}

fn code(answer: &DnsAnswer) -> u8 {
    match (answer.outcome.as_str(), answer.answers.is_empty()) {
        ("NOERROR", false) => exit::OK,
        ("NOERROR" | "NXDOMAIN", _) => exit::NOT_FOUND,
        (_, _) => exit::FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &str, kind: Option<&str>) -> (String, String) {
        let args = ResolveArgs { name: name.into(), endpoint: None, kind: kind.map(Into::into) };
        let DnsQuestion { endpoint: _, name, kind } = question(args);
        (name, kind)
    }

    fn check(name: &str, kind: Option<&str>, wanted: (&str, &str)) {
        assert_eq!(asked(name, kind), (wanted.0.to_string(), wanted.1.to_string()));
    }

    #[test]
    fn what_is_asked_for_follows_from_the_name() {
        check("db", None, ("db", "A"));
        check("db", Some("aaaa"), ("db", "AAAA"));
        check("_80._tcp.web", None, ("_80._tcp.web", "SRV"));
        check("_dmarc.example.org", None, ("_dmarc.example.org", "A"));
        check("_80._tcp.web", Some("TXT"), ("_80._tcp.web", "TXT"));
        check("10.9.0.2", None, ("2.0.9.10.in-addr.arpa", "PTR"));
        check("10.9.0.2", Some("ptr"), ("2.0.9.10.in-addr.arpa", "PTR"));
        check("10.9.0.2", Some("A"), ("10.9.0.2", "A"));
        let six = "1.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
        check("2001:db8::f1", None, (six, "PTR"));
    }

    #[test]
    fn the_exit_code_tells_no_answer_from_one_that_cannot_be_had() {
        let of = |outcome: &str, answers: &[&str]| {
            code(&DnsAnswer {
                outcome: outcome.into(),
                answers: answers.iter().map(ToString::to_string).collect(),
                from: "here".into(),
                took_us: 9,
            })
        };
        assert_eq!(of("NOERROR", &["10.9.0.2"]), 0);
        assert_eq!([of("NOERROR", &[]), of("NXDOMAIN", &[])], [3, 3]);
        assert_eq!([of("SERVFAIL", &[]), of("REFUSED", &[])], [1, 1]);
    }
}
