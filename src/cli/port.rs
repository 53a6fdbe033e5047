//! `bowline port`: ports of the host that lead to endpoints, while these run.

mod check;
pub(crate) mod spec;
pub(crate) mod view;

use bowline_api::v1::{Port, PortQuery, Publish, PublishSpec};
use bowline_core::{Code, Error, Result};
use clap::Subcommand;

use crate::exit;
use crate::io::Io;
use crate::session::Session;
use crate::similar::suggest;
use crate::template;

const PUBLISH_EXAMPLES: &str = "\
Examples:
  bowline port publish web 8080:80                   at all addresses of this host
  bowline port publish web 127.0.0.1:8080:80         for this host only
  bowline port publish web 80 53:53/udp              80 at a free port, which is printed
  bowline port publish web 8000-8010:8000-8010       as many ports on both sides
  bowline port publish web 8000-8010:80              the first free one of these

Connections that are open go on. If one port cannot be had, none is published.";

const UNPUBLISH_EXAMPLES: &str = "\
Examples:
  bowline port unpublish web 8080
  bowline port unpublish web 8080:80 53:53/udp
  bowline port unpublish web 127.0.0.1:8080
  bowline port unpublish web --all

Connections by these ports end; all others go on.";

const CHECK_EXAMPLES: &str = "\
Examples:
  bowline port check 8080
  bowline port check 127.0.0.1:53/udp
  bowline port check [::1]:8080

Exit codes: 0 the port is free, 4 somebody has it.";

#[derive(Debug, Subcommand)]
pub(crate) enum PortCommand {
    /// List published ports, of all endpoints or of one
    #[command(visible_alias = "list")]
    Ls {
        /// The endpoint, by name or id
        endpoint: Option<String>,
    },

    /// Publish ports of an endpoint that runs, and print them
    #[command(after_help = PUBLISH_EXAMPLES)]
    Publish {
        /// The endpoint, by name or id
        endpoint: String,

        /// What to publish, as behind 'bowline run -p': [[IP:]PORT:]PORT[/PROTO]
        #[arg(required = true, value_name = "PORTS", value_parser = spec::publish)]
        ports: Vec<PublishSpec>,
    },

    /// Take published ports back, and print them
    #[command(after_help = UNPUBLISH_EXAMPLES)]
    Unpublish {
        /// The endpoint, by name or id
        endpoint: String,

        /// What to take back, as it was published, or the host's port alone: [IP:]PORT[:PORT][/PROTO]
        #[arg(value_name = "PORTS", value_parser = spec::unpublish)]
        ports: Vec<PublishSpec>,

        /// All that it has published
        #[arg(long, conflicts_with = "ports")]
        all: bool,
    },

    /// Say whether a port of this host is free, and who has it; exit code 4 if it is not
    #[command(after_help = CHECK_EXAMPLES)]
    Check {
        /// The port: [IP:]PORT[/PROTO]
        #[arg(value_parser = spec::query)]
        port: PortQuery,
    },
}

pub(crate) fn execute(command: PortCommand, session: &Session, io: &mut Io<'_>) -> Result<u8> {
    match command {
        PortCommand::Ls { endpoint } => list(endpoint.as_deref(), session, io),
        PortCommand::Publish { endpoint, ports } => {
            let published = session.client.publish(&endpoint, &Publish { ports });
            print(&published.map_err(|e| suggest(e, &session.client, &[], &[&endpoint]))?, session, io)
        }
        PortCommand::Unpublish { endpoint, ports, all } => {
            // To the daemon, no port means all of them: that must be said here.
            if ports.is_empty() && !all {
                return Err(Error::new(Code::InvalidRequest, format!("no port of {endpoint} is named"))
                    .fix(format!("name ports, or take all back: bowline port unpublish {endpoint} --all")));
            }
            let gone = session.client.unpublish(&endpoint, &Publish { ports });
            print(&gone.map_err(|e| suggest(e, &session.client, &[], &[&endpoint]))?, session, io)
        }
        PortCommand::Check { port } => check::execute(&port, session, io),
    }
}

fn list(endpoint: Option<&str>, session: &Session, io: &mut Io<'_>) -> Result<u8> {
    let mut ports = match endpoint {
        None => session.client.ports()?,
        Some(name) => {
            let found = session.client.endpoint(name);
            found.map_err(|error| suggest(error, &session.client, &[], &[name]))?.ports
        }
    };
    view::sort(&mut ports);
    if let Some(template) = &session.template {
        let template = template::parse(template)?;
        ports.iter().try_for_each(|port| io.data(&template.line(&view::Fields::of(port))?))?;
    } else if session.json {
        io.json(&ports)?;
    } else {
        io.data(&view::table(&ports, &session.screen))?;
    }
    Ok(exit::OK)
}

/// `*:8080->80/tcp`, a line each.
fn print(ports: &[Port], session: &Session, io: &mut Io<'_>) -> Result<u8> {
    match session.json {
        true => io.json(&ports)?,
        false => io.lines(&view::all(ports))?,
    }
    Ok(exit::OK)
}
