//! From a route's verb to the manager's: one line each.

use axum::extract::Query;
use axum::http::Uri;
use axum::response::Response;
use bowline_api::routes::Verb;
use bowline_api::{openapi, v1};
use bowline_core::{Code, Error, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Shared;
use super::answer::{json, nothing};
use super::audience::Audience;
use super::body::parse;
use crate::manager::{Caller, version};

/// One request: who calls, the name in its path, and what else it says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) caller: Caller,
    pub(super) name: &'a str,
    pub(super) uri: &'a Uri,
    pub(super) body: &'a [u8],
    pub(super) audience: &'a Audience,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfNetwork {
    network: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Since {
    #[serde(default)]
    after: u64,
    limit: Option<u64>,
}

pub(super) fn run(verb: Verb, shared: &Shared, asked: Asked<'_>) -> Result<Response> {
    let Asked { caller, name, uri, body, audience } = asked;
    let manager = &shared.manager;
    Ok(match verb {
        Verb::Version => json(&version()),
        Verb::Health => json(&shared.ready.health()),
        Verb::Info => json(&manager.info()),
        Verb::Checkup => json(&manager.checkup()),
        Verb::Dump => json(&manager.dump()),
        Verb::Drift => json(&manager.drift()?),
        Verb::Repair => json(&manager.repair()?),
        Verb::OpenApi => json(&openapi::document()),
        Verb::Events => unreachable!("a stream is answered before a body is read"),
        Verb::ListNetworks => json(&manager.networks()),
        Verb::CreateNetwork => json(&manager.create_network(&parse(body)?, caller)?),
        Verb::PlanNetwork => json(&manager.plan_network(&parse(body)?, caller)?),
        Verb::ShowNetwork => json(&manager.network(name)?),
        Verb::UpdateNetwork => json(&manager.update_network(name, &parse(body)?)?),
        Verb::RemoveNetwork => done(manager.remove_network(name)?),
        Verb::PruneNetworks => json(&manager.prune_networks()?),
        Verb::Connect => json(&manager.connect(name, &parse(body)?, caller)?),
        Verb::Disconnect => json(&manager.disconnect(name, &parse::<v1::Disconnect>(body)?.network)?),
        Verb::ListEndpoints => json(&manager.endpoints()),
        Verb::CreateEndpoint => {
            let made = manager.create_endpoint(&parse(body)?, caller)?;
            audience.tell(manager, &made);
            json(&made)
        }
        Verb::PlanEndpoint => json(&manager.plan_endpoint(&parse(body)?, caller)?),
        Verb::ShowEndpoint => json(&manager.endpoint(name)?),
        Verb::RemoveEndpoint => done(manager.remove_endpoint(name)?),
        Verb::StopEndpoint => json(&manager.stop_endpoint(name)?),
        Verb::CheckEndpoint => json(&manager.look_at_endpoint(name, &parse(body)?, caller)?),
        Verb::SweepEndpoints => json(&manager.sweep_endpoints(&parse(body)?)?),
        Verb::UpdateEndpoint => json(&manager.update_endpoint(name, &parse(body)?, caller)?),
        Verb::PrepareNetns => done(manager.prepare_netns(&parse(body)?, caller)?),
        Verb::Publish => json(&manager.publish(name, &parse(body)?)?),
        Verb::Unpublish => json(&manager.unpublish(name, &parse(body)?)?),
        Verb::ListPorts => json(&manager.ports()),
        Verb::CheckPort => json(&manager.check_port(&parse(body)?)?),
        Verb::ShowFirewall => json(&manager.firewall()),
        Verb::ReleaseFirewall => json(&manager.release_firewall()?),
        Verb::ListNames => json(&manager.dns_names(query::<OfNetwork>(uri)?.network.as_deref())?),
        Verb::Resolve => json(&manager.dns_resolve(&parse(body)?)?),
        Verb::ShowQueries => {
            let Since { after, limit } = query(uri)?;
            json(&manager.dns_log(after, limit))
        }
        Verb::FlushNames => json(&manager.dns_flush()),
        Verb::Prune => json(&manager.prune()?),
    })
}

fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T> {
    Query::try_from_uri(uri).map(|Query(words)| words).map_err(|error| {
        Error::new(Code::InvalidRequest, "what stands behind the path's ? is not understood")
            .because(error.body_text())
            .fix("see /v1/openapi.json for what may stand there")
    })
}

fn done((): ()) -> Response {
    nothing()
}
