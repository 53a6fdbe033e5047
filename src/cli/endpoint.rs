//! `bowline endpoint`: namespaces that are connected, and connecting any that exists.

mod create;
mod view;

use bowline_api::v1::{Endpoint, Interface, Pruned};
use bowline_core::{Code, Result};
use clap::Subcommand;

use crate::exit;
use crate::io::Io;
use crate::network::each;
use crate::session::Session;
use crate::similar::suggest;
use crate::template;

#[derive(Debug, Subcommand)]
pub(crate) enum EndpointCommand {
    /// Connect a namespace that exists, such as one made by 'ip netns add'
    #[command(after_help = create::EXAMPLES)]
    Create(Box<create::CreateArgs>),

    /// List endpoints, with their networks and addresses
    #[command(visible_alias = "list")]
    Ls {
        /// Print names only
        #[arg(short, long)]
        quiet: bool,
    },

    /// Show endpoints for people
    Show {
        /// Endpoints, by name or id
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },

    /// Print endpoints as JSON
    Inspect {
        /// Endpoints, by name or id
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,

        /// A template, such as '{{range .interfaces}}{{.mac}} {{end}}': the same as --format
        #[arg(short = 'f', value_name = "TEMPLATE")]
        template: Option<String>,
    },

    /// Disconnect endpoints and forget them; their namespaces stay
    #[command(visible_alias = "remove", alias = "delete", alias = "del")]
    Rm {
        /// Endpoints, by name or id
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,

        /// Do not mind what is gone already
        #[arg(short, long)]
        force: bool,
    },
}

pub(crate) fn execute(command: EndpointCommand, session: &Session, io: &mut Io<'_>) -> Result<u8> {
    match command {
        EndpointCommand::Create(args) => create::execute(*args, session, io),
        EndpointCommand::Ls { quiet } => list(quiet, session, io),
        EndpointCommand::Show { names } => {
            let (shown, code) = found(&names, session, io);
            match session.json {
                true => io.json(&shown)?,
                false => {
                    let cards: Vec<String> = shown.iter().map(|e| view::card(e, &session.screen)).collect();
                    io.data(&cards.join("\n"))?;
                }
            }
            Ok(code)
        }
        EndpointCommand::Inspect { names, template } => {
            let template =
                template.or_else(|| session.template.clone()).map(|t| template::parse(&t)).transpose()?;
            let (shown, code) = found(&names, session, io);
            match template {
                None => io.json(&shown)?,
                Some(template) => {
                    shown.iter().try_for_each(|endpoint| io.data(&template.line(endpoint)?))?;
                }
            }
            Ok(code)
        }
        EndpointCommand::Rm { names, force } => remove(&names, force, session, io),
    }
}

/// `web: eth0 10.9.0.2/24 on front`
pub(crate) fn joined(endpoint: &str, card: &Interface) -> String {
    format!("{endpoint}: {} {} on {}", card.name, card.addresses.join(" "), card.network)
}

fn list(quiet: bool, session: &Session, io: &mut Io<'_>) -> Result<u8> {
    let mut endpoints = session.client.endpoints()?;
    endpoints.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(template) = &session.template {
        let template = template::parse(template)?;
        endpoints.iter().try_for_each(|endpoint| io.data(&template.line(endpoint)?))?;
    } else if session.json {
        io.json(&endpoints)?;
    } else if quiet {
        let names: Vec<String> = endpoints.into_iter().map(|endpoint| endpoint.name).collect();
        io.lines(&names)?;
    } else {
        io.data(&view::table(&endpoints, &session.screen))?;
    }
    Ok(exit::OK)
}

fn found(names: &[String], session: &Session, io: &mut Io<'_>) -> (Vec<Endpoint>, u8) {
    let mut found = Vec::new();
    let code = each(names, session, io, |name, _| {
        let endpoint = session.client.endpoint(name);
        found.push(endpoint.map_err(|error| suggest(error, &session.client, &[], &[name]))?);
        Ok(())
    });
    (found, code)
}

fn remove(names: &[String], force: bool, session: &Session, io: &mut Io<'_>) -> Result<u8> {
    let mut removed = Vec::new();
    let code = each(names, session, io, |name, io| {
        match session.client.remove_endpoint(name) {
            Err(error) if force && error.code == Code::EndpointNotFound => return Ok(()),
            gone => gone.map_err(|error| suggest(error, &session.client, &[], &[name]))?,
        }
        if !session.json {
            io.data(&format!("{name}\n"))?;
        }
        removed.push(name.to_string());
        Ok(())
    });
    if session.json {
        io.json(&Pruned { removed })?;
    }
    Ok(code)
}
