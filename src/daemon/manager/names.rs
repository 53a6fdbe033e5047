//! Names, as people ask for them: who is called what, what an endpoint would be answered, and what was asked.

use std::time::{Instant, UNIX_EPOCH};

use bowline_api::v1::{self, DnsNameKind};
use bowline_core::name::{Id, Name, quoted};
use bowline_core::{Code, Error, Result};
use bowline_dns::answer::{Verdict, answer, failure};
use bowline_dns::ask;
use bowline_dns::asker::View;
use bowline_dns::log::{From, Line};
use bowline_dns::message::Transport;

use super::Manager;

impl Manager {
    /// What endpoints are called, on one network or on all, by network and name.
    pub fn dns_names(&self, network: Option<&str>) -> Result<Vec<v1::DnsName>> {
        let only = match network {
            Some("host" | "none") => return Ok(Vec::new()),
            Some(name) => Some(self.index.network(name)?.id),
            None => None,
        };
        let mut all = Vec::new();
        for seat in self.index.endpoints() {
            let seated = seat.lock();
            let here = seated.endpoint.interfaces.iter().filter(|i| only.is_none_or(|id| i.network == id));
            for interface in here {
                let Some(keeper) = self.index.network_by_id(interface.network) else { continue };
                if !keeper.has_names {
                    continue;
                }
                let aliases = seated.more.get(&keeper.id).map_or(&[][..], |more| &more.aliases);
                let called = called(seat.id, &seat.name, &seated.hostname, aliases);
                all.extend(called.into_iter().map(|(name, kind)| v1::DnsName {
                    name,
                    kind,
                    endpoint: seat.name.to_string(),
                    network: keeper.name.to_string(),
                    addresses: interface.addresses.iter().map(ipnetwork::IpNetwork::ip).collect(),
                }));
            }
        }
        all.sort_by_cached_key(|n| (n.network.clone(), n.name.to_ascii_lowercase(), n.endpoint.clone()));
        Ok(all)
    }

    /// What an endpoint would be answered, by the way that its own queries go. Without one, what all networks together know.
    pub fn dns_resolve(&self, question: &v1::DnsQuestion) -> Result<v1::DnsAnswer> {
        let query = ask::question(&question.name, &question.kind).map_err(|why| {
            Error::new(
                Code::InvalidName,
                format!("ask for {} {}", quoted(&question.name), quoted(&question.kind)),
            )
            .because(why)
            .fix("name a host and a type of record, such as: bowline dns resolve web --type AAAA")
        })?;
        let Some(name) = &question.endpoint else { return Ok(answer_view(self.resolve_here(&query))) };
        let seat = self.index.endpoint(name)?;
        let place = seat.lock().endpoint.place;
        if !self.resolver.hears(place) {
            return Err(Error::new(Code::NoResolver, format!("endpoint {} has no resolver", seat.name))
                .because("no network of its has DNS, or its namespace is gone")
                .fix("see which networks have: bowline network show"));
        }
        let (_, line) = self.resolver.service().resolve(place, &query)?;
        Ok(answer_view(line))
    }

    /// From the zones of all networks, and from nowhere else.
    fn resolve_here(&self, query: &[u8]) -> Line {
        let begun = Instant::now();
        let zones = self.index.networks().iter().map(|keeper| keeper.lock().zone.clone()).collect();
        let view = View { zones, ttl: self.config().dns_ttl, ..View::default() };
        let mut reply = Vec::new();
        match answer(query, Transport::Tcp, &view, 0, &mut reply) {
            Verdict::Reply => (),
            Verdict::Elsewhere | Verdict::Silence => failure(query, &mut reply),
        }
        Line::of(query, &reply, From::Here, begun.elapsed())
    }

    /// Queries of a higher number than `after`: the newest `limit` of them, or all that are kept; oldest first.
    pub fn dns_log(&self, after: u64, limit: Option<u64>) -> Vec<v1::DnsLine> {
        let most = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        self.resolver.service().log(after, most).into_iter().map(line_view).collect()
    }

    pub fn dns_flush(&self) -> v1::Flushed {
        v1::Flushed { answers: self.resolver.service().flush() as u64 }
    }
}

fn answer_view(line: Line) -> v1::DnsAnswer {
    let v1::DnsLine { outcome, answers, from, took_us, .. } = line_view(line);
    v1::DnsAnswer { outcome, answers, from, took_us }
}

fn line_view(line: Line) -> v1::DnsLine {
    let since = line.at.duration_since(UNIX_EPOCH).unwrap_or_default();
    v1::DnsLine {
        number: line.number,
        time_unix_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        endpoint: line.endpoint,
        name: line.name,
        kind: line.kind,
        outcome: line.outcome,
        answers: line.answers,
        from: match line.from {
            From::Here => "here".to_string(),
            From::Cache => "cache".to_string(),
            From::Server(server) => server.to_string(),
            From::Nobody => "nobody".to_string(),
        },
        took_us: u64::try_from(line.took.as_micros()).unwrap_or(u64::MAX),
    }
}

/// All that an endpoint is called on a network where these are its aliases, its name first. DNS does not tell upper from
/// lower case, so what differs in nothing else is said once.
pub(super) fn called(id: Id, name: &Name, hostname: &Name, aliases: &[Name]) -> Vec<(String, DnsNameKind)> {
    let start = id.to_string().chars().take(12).collect();
    let others = aliases.iter().map(|alias| (alias.to_string(), DnsNameKind::Alias));
    let mut called = vec![(name.to_string(), DnsNameKind::Endpoint)];
    let more = [(hostname.to_string(), DnsNameKind::Hostname), (start, DnsNameKind::Id)];
    for (name, kind) in more.into_iter().chain(others) {
        if called.iter().all(|(there, _)| !there.eq_ignore_ascii_case(&name)) {
            called.push((name, kind));
        }
    }
    called
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_an_endpoint_has_twice_is_said_once() {
        let name = |text: &str| text.parse::<Name>().unwrap();
        let id = Id(0x0123_4567_89ab_cdef_0011_2233_4455_6677);
        let aliases = ["api", "WEB", "Api", "box"].map(name);
        let called = called(id, &name("web"), &name("box"), &aliases);
        let called: Vec<_> = called.iter().map(|(name, kind)| (name.as_str(), *kind)).collect();
        assert_eq!(
            called,
            [
                ("web", DnsNameKind::Endpoint),
                ("box", DnsNameKind::Hostname),
                ("0123456789ab", DnsNameKind::Id),
                ("api", DnsNameKind::Alias),
            ]
        );
    }
}
