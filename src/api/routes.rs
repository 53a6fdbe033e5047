//! Every route of API v1, once: the daemon answers these, the OpenAPI document lists these.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Patch,
    Delete,
}

#[derive(Debug, Clone, Copy)]
pub struct Route {
    pub method: Method,
    /// With `{name}` for what varies.
    pub path: &'static str,
    pub verb: Verb,
    /// The type of the body that it takes.
    pub takes: Option<&'static str>,
    /// The type of a good answer's body.
    pub gives: Gives,
    /// What may stand behind the path's `?`.
    pub query: &'static [Query],
    pub summary: &'static str,
}

/// A word of a query, all of which may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    pub name: &'static str,
    /// True where it is a whole number.
    pub number: bool,
    pub meaning: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gives {
    Nothing,
    One(&'static str),
    Many(&'static str),
    /// JSON objects, one a line, until the reader leaves.
    Stream(&'static str),
    /// JSON of no fixed type.
    Json,
}

/// What a route asks for; the daemon matches on it without `_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    Version,
    Health,
    Info,
    Checkup,
    Dump,
    Drift,
    Repair,
    Events,
    OpenApi,
    ListNetworks,
    CreateNetwork,
    PlanNetwork,
    ShowNetwork,
    UpdateNetwork,
    RemoveNetwork,
    PruneNetworks,
    Connect,
    Disconnect,
    ListEndpoints,
    CreateEndpoint,
    PlanEndpoint,
    ShowEndpoint,
    RemoveEndpoint,
    StopEndpoint,
    CheckEndpoint,
    SweepEndpoints,
    UpdateEndpoint,
    PrepareNetns,
    Publish,
    Unpublish,
    ListPorts,
    CheckPort,
    ShowFirewall,
    ReleaseFirewall,
    ListNames,
    Resolve,
    ShowQueries,
    FlushNames,
    Prune,
}

const fn route(
    method: Method,
    path: &'static str,
    verb: Verb,
    takes: Option<&'static str>,
    gives: Gives,
    summary: &'static str,
) -> Route {
    Route { method, path, verb, takes, gives, query: &[], summary }
}

impl Route {
    const fn asks(self, query: &'static [Query]) -> Route {
        Route { query, ..self }
    }
}

use Gives::{Json, Many, Nothing, One, Stream};
use Method::{Delete, Get, Patch, Post};

pub const ROUTES: &[Route] = &[
    route(Get, "/v1/version", Verb::Version, None, One("Version"), "The daemon's version"),
    route(
        Get,
        "/v1/health",
        Verb::Health,
        None,
        One("Health"),
        "Whether the daemon is ready, and what it waits for",
    ),
    route(Get, "/v1/info", Verb::Info, None, One("Info"), "The daemon's directories, size and counts"),
    route(
        Get,
        "/v1/checkup",
        Verb::Checkup,
        None,
        One("Checkup"),
        "What this host can do, and what is wrong with it",
    ),
    route(
        Get,
        "/v1/dump",
        Verb::Dump,
        None,
        One("Dump"),
        "Everything remembered, and the kernel state wanted",
    ),
    route(Get, "/v1/drift", Verb::Drift, None, One("Drift"), "Where the kernel differs from what is wanted"),
    route(
        Post,
        "/v1/repair",
        Verb::Repair,
        None,
        One("Drift"),
        "Put the kernel right, and say what was done",
    ),
    route(Get, "/v1/events", Verb::Events, None, Stream("Event"), "What happens from now on"),
    route(Get, "/v1/openapi.json", Verb::OpenApi, None, Json, "This document"),
    route(Get, "/v1/networks", Verb::ListNetworks, None, Many("Network"), "All networks"),
    route(Post, "/v1/networks", Verb::CreateNetwork, Some("CreateNetwork"), One("Network"), "Make a network"),
    route(
        Post,
        "/v1/networks/plan",
        Verb::PlanNetwork,
        Some("CreateNetwork"),
        One("Plan"),
        "What making a network would do",
    ),
    route(
        Post,
        "/v1/networks/prune",
        Verb::PruneNetworks,
        None,
        One("Pruned"),
        "Remove networks without endpoints",
    ),
    route(Get, "/v1/networks/{name}", Verb::ShowNetwork, None, One("Network"), "One network, by name or id"),
    route(
        Patch,
        "/v1/networks/{name}",
        Verb::UpdateNetwork,
        Some("UpdateNetwork"),
        One("Network"),
        "Change a network",
    ),
    route(
        Delete,
        "/v1/networks/{name}",
        Verb::RemoveNetwork,
        None,
        Nothing,
        "Remove a network without endpoints",
    ),
    route(
        Post,
        "/v1/endpoints/{name}/connect",
        Verb::Connect,
        Some("Join"),
        One("Endpoint"),
        "Connect to one more network",
    ),
    route(
        Post,
        "/v1/endpoints/{name}/disconnect",
        Verb::Disconnect,
        Some("Disconnect"),
        One("Endpoint"),
        "Take an endpoint off a network",
    ),
    route(Get, "/v1/endpoints", Verb::ListEndpoints, None, Many("Endpoint"), "All endpoints"),
    route(
        Post,
        "/v1/endpoints",
        Verb::CreateEndpoint,
        Some("CreateEndpoint"),
        One("Endpoint"),
        "Connect a namespace",
    ),
    route(
        Post,
        "/v1/endpoints/plan",
        Verb::PlanEndpoint,
        Some("CreateEndpoint"),
        One("Plan"),
        "What connecting a namespace would do",
    ),
    route(
        Get,
        "/v1/endpoints/{name}",
        Verb::ShowEndpoint,
        None,
        One("Endpoint"),
        "One endpoint, by name or id",
    ),
    route(
        Delete,
        "/v1/endpoints/{name}",
        Verb::RemoveEndpoint,
        None,
        Nothing,
        "Disconnect and forget an endpoint",
    ),
    route(
        Post,
        "/v1/endpoints/{name}/stop",
        Verb::StopEndpoint,
        None,
        One("Endpoint"),
        "Disconnect an endpoint, keeping its fixed addresses",
    ),
    route(
        Post,
        "/v1/endpoints/{name}/check",
        Verb::CheckEndpoint,
        Some("Look"),
        One("Drift"),
        "Where one endpoint's part of the kernel differs from what is wanted",
    ),
    route(
        Post,
        "/v1/endpoints/sweep",
        Verb::SweepEndpoints,
        Some("Sweep"),
        One("Pruned"),
        "Remove the endpoints whose key begins so, but for some",
    ),
    route(
        Patch,
        "/v1/endpoints/{name}",
        Verb::UpdateEndpoint,
        Some("UpdateEndpoint"),
        One("Endpoint"),
        "Change a live endpoint's rates, MAC and sysctls on one of its networks",
    ),
    route(
        Post,
        "/v1/netns/prepare",
        Verb::PrepareNetns,
        Some("PrepareNetns"),
        Nothing,
        "Put the loopback of a namespace up, and set sysctls in it; nothing of it is remembered",
    ),
    route(
        Post,
        "/v1/endpoints/{name}/publish",
        Verb::Publish,
        Some("Publish"),
        Many("Port"),
        "Publish ports of a live endpoint",
    ),
    route(
        Post,
        "/v1/endpoints/{name}/unpublish",
        Verb::Unpublish,
        Some("Publish"),
        Many("Port"),
        "Take published ports back",
    ),
    route(Get, "/v1/ports", Verb::ListPorts, None, Many("Port"), "All published ports"),
    route(
        Post,
        "/v1/ports/check",
        Verb::CheckPort,
        Some("PortQuery"),
        One("PortCheck"),
        "Whether a port of the host can be published, and who has it",
    ),
    route(
        Get,
        "/v1/firewall",
        Verb::ShowFirewall,
        None,
        One("Firewall"),
        "Who may change our tables, and what else drops our traffic",
    ),
    route(
        Post,
        "/v1/firewall/release",
        Verb::ReleaseFirewall,
        None,
        One("Firewall"),
        "Hand our tables back: until the next start, others may change them",
    ),
    route(
        Get,
        "/v1/dns/names",
        Verb::ListNames,
        None,
        Many("DnsName"),
        "What endpoints are called, by network and name",
    )
    .asks(&[Query {
        name: "network",
        number: false,
        meaning: "names on this network only, by name or id",
    }]),
    route(
        Post,
        "/v1/dns/resolve",
        Verb::Resolve,
        Some("DnsQuestion"),
        One("DnsAnswer"),
        "Look a name up as an endpoint would",
    ),
    route(
        Get,
        "/v1/dns/log",
        Verb::ShowQueries,
        None,
        Many("DnsLine"),
        "The last queries of endpoints, oldest first",
    )
    .asks(&[
        Query { name: "after", number: true, meaning: "only those of a higher number" },
        Query {
            name: "limit",
            number: true,
            meaning: "at most so many of the newest; all that are kept when left out",
        },
    ]),
    route(Post, "/v1/dns/flush", Verb::FlushNames, None, One("Flushed"), "Forget what servers have answered"),
    route(
        Post,
        "/v1/prune",
        Verb::Prune,
        None,
        One("Pruned"),
        "Remove stopped endpoints and networks without any",
    ),
];

impl Method {
    pub fn as_str(self) -> &'static str {
        match self {
            Get => "GET",
            Post => "POST",
            Patch => "PATCH",
            Delete => "DELETE",
        }
    }
}
