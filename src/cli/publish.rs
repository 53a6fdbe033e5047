//! What `run` and `endpoint create` ask beyond networks: published ports, and whether senders are checked.

use bowline_api::v1::{CreateEndpoint, Expose, PublishSpec};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::port::spec;

#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
pub(crate) struct PublishArgs {
    /// Publish ports: [[IP:]PORT:]PORT[/PROTO], and all else that docker takes; may be given again
    #[arg(short, long, value_name = "PORTS", value_parser = spec::publish)]
    publish: Vec<PublishSpec>,

    /// Publish every exposed port at a free port of this host's
    #[arg(short = 'P', long, requires = "expose")]
    publish_all: bool,

    /// A port that it listens at, for SRV records and --publish-all: PORT[-LAST][/PROTO]; may be given again
    #[arg(long, value_name = "PORT", value_parser = spec::expose)]
    expose: Vec<Expose>,

    /// Let it send under addresses that are not its own: for routers, bridges and DHCP servers
    #[arg(long)]
    no_antispoof: bool,
}

impl PublishArgs {
    pub(crate) fn is_empty(&self) -> bool {
        *self == PublishArgs::default()
    }

    pub(crate) fn over(self, wish: CreateEndpoint) -> CreateEndpoint {
        CreateEndpoint {
            publish: self.publish,
            expose: self.expose,
            publish_all: self.publish_all,
            antispoof: !self.no_antispoof,
            ..wish
        }
    }
}
