//! The OpenAPI document, made from the wire types and the list of routes.

use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use crate::routes::{Gives, Query, ROUTES, Route};
use crate::v1;

#[derive(OpenApi)]
#[openapi(components(schemas(
    v1::Check,
    v1::Checkup,
    v1::CreateEndpoint,
    v1::CreateNetwork,
    v1::Disconnect,
    v1::DnsAnswer,
    v1::DnsLine,
    v1::DnsLink,
    v1::DnsName,
    v1::DnsNameKind,
    v1::DnsQuestion,
    v1::DnsWishes,
    v1::Drift,
    v1::Driver,
    v1::Ipam,
    v1::Lease,
    v1::Dump,
    v1::Endpoint,
    v1::EndpointDns,
    v1::EndpointState,
    v1::Event,
    v1::EventKind,
    v1::Expose,
    v1::Failure,
    v1::Feature,
    v1::Firewall,
    v1::Flushed,
    v1::GatewayMode,
    v1::Gso,
    v1::Has,
    v1::Health,
    v1::Info,
    v1::Interface,
    v1::Isolation,
    v1::Join,
    v1::Look,
    v1::Member,
    v1::Netns,
    v1::NetnsStatus,
    v1::Network,
    v1::Obstacle,
    v1::OwnRoute,
    v1::Plan,
    v1::PrepareNetns,
    v1::Port,
    v1::PortCheck,
    v1::PortQuery,
    v1::Protocol,
    v1::Pruned,
    v1::Reservation,
    v1::Publish,
    v1::PublishSpec,
    v1::Standing,
    v1::StaticRoute,
    v1::SubnetSpec,
    v1::SubnetStatus,
    v1::ParentState,
    v1::Sweep,
    v1::UpdateEndpoint,
    v1::UpdateNetwork,
    v1::Version,
)))]
struct Schemas;

pub fn document() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let operations = paths.entry(route.path).or_insert_with(|| json!({}));
        operations[route.method.as_str().to_lowercase()] = operation(route);
    }
    let schemas = serde_json::to_value(Schemas::openapi()).expect("the document has string keys only");
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "bowline",
            "version": "1",
            "description": "HTTP and JSON over the unix socket /run/bowline/bowline.sock",
            "license": { "name": "Apache-2.0" },
        },
        "paths": paths,
        "components": schemas["components"],
    })
}

fn operation(route: &Route) -> Value {
    let failure = content("application/json", &reference("Failure"));
    let mut operation = json!({
        "operationId": format!("{:?}", route.verb),
        "summary": route.summary,
        "responses": { "200": good(route.gives), "default": { "description": "it failed", "content": failure } },
    });
    if let Some(takes) = route.takes {
        operation["requestBody"] =
            json!({ "required": true, "content": content("application/json", &reference(takes)) });
    }
    if route.path.contains("{name}") {
        operation["parameters"] = json!([
            { "name": "name", "in": "path", "required": true, "description": "by name or id", "schema": { "type": "string" } }
        ]);
    }
    if !route.query.is_empty() {
        operation["parameters"] = route.query.iter().map(parameter).collect();
    }
    operation
}

fn parameter(query: &Query) -> Value {
    let kind = if query.number { "integer" } else { "string" };
    json!({ "name": query.name, "in": "query", "required": false, "description": query.meaning, "schema": { "type": kind } })
}

fn good(gives: Gives) -> Value {
    match gives {
        Gives::Nothing => json!({ "description": "done" }),
        Gives::One(name) => {
            json!({ "description": "done", "content": content("application/json", &reference(name)) })
        }
        Gives::Many(name) => {
            let many = json!({ "type": "array", "items": reference(name) });
            json!({ "description": "done", "content": content("application/json", &many) })
        }
        Gives::Stream(name) => {
            json!({ "description": "one object a line", "content": content("application/jsonl", &reference(name)) })
        }
        Gives::Json => json!({ "description": "done", "content": content("application/json", &json!({})) }),
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn content(media: &str, schema: &Value) -> Value {
    json!({ media: { "schema": schema } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_that_a_route_names_has_a_schema() {
        let document = document();
        let known = |name: &str| document["components"]["schemas"].get(name).is_some();
        for route in ROUTES {
            let given = match route.gives {
                Gives::One(name) | Gives::Many(name) | Gives::Stream(name) => Some(name),
                Gives::Nothing | Gives::Json => None,
            };
            for name in route.takes.into_iter().chain(given) {
                assert!(known(name), "{name}");
            }
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let text = document().to_string();
        let document = document();
        for part in text.split("#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
        }
    }
}
