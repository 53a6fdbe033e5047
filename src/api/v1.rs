//! The wire types. Units are in the names; fields are only ever added.

mod dns;
mod endpoint;
mod error;
mod event;
mod network;
mod port;
mod system;

pub use dns::{
    DnsAnswer, DnsLine, DnsLink, DnsName, DnsNameKind, DnsQuestion, DnsWishes, EndpointDns, Flushed,
};
pub use endpoint::{
    CreateEndpoint, Disconnect, Endpoint, EndpointState, Interface, Join, Lease, Look, Netns, NetnsStatus,
    OwnRoute, PrepareNetns, Sweep, UpdateEndpoint,
};
pub use error::Failure;
pub use event::{Event, EventKind};
pub use network::{
    CreateNetwork, Driver, GatewayMode, Gso, Ipam, Isolation, Member, Network, ParentState, Plan, Pruned,
    Reservation, StaticRoute, SubnetSpec, SubnetStatus, UpdateNetwork,
};
pub use port::{Expose, Firewall, Obstacle, Port, PortCheck, PortQuery, Protocol, Publish, PublishSpec};
pub use system::{Check, Checkup, Drift, Dump, Feature, Has, Health, Info, Standing, Version};
