//! `bowline version`: the client's and the daemon's, for they may differ after an upgrade.

use bowline_api::v1::Version;
use bowline_core::Result;
use clap::Args;
use serde::Serialize;

use crate::exit;
use crate::io::Io;
use crate::screen::clean;
use crate::session::Session;
use crate::start;

#[derive(Debug, Clone, Args)]
pub(crate) struct VersionArgs {
    /// The client's only, without asking the daemon
    #[arg(long)]
    pub(crate) client: bool,
}

#[derive(Debug, Serialize)]
struct Versions {
    client: Version,
    #[serde(skip_serializing_if = "Option::is_none")]
    daemon: Option<Version>,
}

pub(crate) fn execute(args: &VersionArgs, session: &Session, io: &mut Io<'_>) -> Result<u8> {
    let client = Version { version: env!("CARGO_PKG_VERSION").to_string(), api: "v1".to_string() };
    // The client's version helps most where the daemon does not answer.
    let asked = match args.client {
        true => Ok(None),
        false => start::if_absent(session, io).and_then(|()| session.client.version()).map(Some),
    };
    let (daemon, failure) = match asked {
        Ok(daemon) => (daemon, None),
        Err(error) => (None, Some(error)),
    };
    let versions = Versions { client, daemon };
    match session.json {
        true => io.json(&versions)?,
        false => {
            let mut text = format!("client  {} (API {})\n", versions.client.version, versions.client.api);
            if let Some(daemon) = &versions.daemon {
                text.push_str(&format!("daemon  {} (API {})\n", clean(&daemon.version), clean(&daemon.api)));
            }
            io.data(&text)?;
        }
    }
    failure.map_or(Ok(exit::OK), Err)
}
