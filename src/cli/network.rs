//! `bowline network`: docker's verbs, with what docker does not show.

mod access;
mod create;
mod docker;
mod list;
mod update;
mod view;

use bowline_api::v1::{Join, Pruned};
use bowline_core::{Code, Result};
use clap::Subcommand;

use crate::exit;
use crate::host;
use crate::io::Io;
use crate::join::JoinArgs;
use crate::report;
use crate::session::Session;
use crate::similar::suggest;
use crate::template;

#[derive(Debug, Subcommand)]
pub(crate) enum NetworkCommand {
    /// Make a network; only the name is needed
    #[command(after_help = create::EXAMPLES)]
    Create(create::CreateArgs),

    /// List networks, with their subnets and members
    #[command(visible_alias = "list")]
    Ls(list::ListArgs),

    /// Show networks for people
    Show {
        /// Networks, by name or id
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },

    /// Print networks as JSON, in docker's shape and in bowline's
    Inspect {
        /// Networks, by name or id
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,

        /// A template, such as '{{range .IPAM.Config}}{{.Subnet}}{{end}}': the same as --format
        #[arg(short = 'f', value_name = "TEMPLATE")]
        template: Option<String>,
    },

    /// Remove networks
    #[command(visible_alias = "remove", alias = "delete", alias = "del")]
    Rm {
        /// Networks, by name or id
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,

        /// Disconnect the members first, and do not mind what is gone already
        #[arg(short, long)]
        force: bool,
    },

    /// Remove all networks that nothing is connected to
    Prune {
        /// Do not ask
        #[arg(short, long)]
        force: bool,
    },

    /// Connect an endpoint to one more network
    Connect {
        /// The network, by name or id
        network: String,

        /// The endpoint, by name or id
        endpoint: String,

        #[command(flatten)]
        join: JoinArgs,

        /// Say nothing
        #[arg(short, long)]
        quiet: bool,
    },

    /// Take an endpoint off a network
    Disconnect {
        /// The network, by name or id
        network: String,

        /// The endpoint, by name or id
        endpoint: String,

        /// Do not mind if it is not connected
        #[arg(short, long)]
        force: bool,
    },

    /// Change a network while its members are connected
    #[command(visible_alias = "set")]
    Update(update::UpdateArgs),
}

pub(crate) fn execute(command: NetworkCommand, session: &Session, io: &mut Io<'_>) -> Result<u8> {
    match command {
        NetworkCommand::Create(args) => create::execute(args, session, io),
        NetworkCommand::Ls(args) => list::execute(&args, session, io),
        NetworkCommand::Show { names } => show(&names, session, io),
        NetworkCommand::Inspect { names, template } => inspect(&names, template, session, io),
        NetworkCommand::Rm { names, force } => remove(&names, force, session, io),
        NetworkCommand::Prune { force } => prune(force, session, io),
        NetworkCommand::Connect { network, endpoint, join, quiet } => {
            connect(&network, &endpoint, join, quiet, session, io)
        }
        NetworkCommand::Disconnect { network, endpoint, force } => {
            disconnect(&network, &endpoint, force, session, io)
        }
        NetworkCommand::Update(args) => update::execute(args, session, io),
    }
}

fn show(names: &[String], session: &Session, io: &mut Io<'_>) -> Result<u8> {
    let mut shown = Vec::new();
    let code = each(names, session, io, |name, _| {
        shown.push(session.client.network(name).map_err(|e| suggest(e, &session.client, &[name], &[]))?);
        Ok(())
    });
    match session.json {
        true => io.json(&shown)?,
        false => {
            let peopled = shown.iter().any(|n| !n.endpoints.is_empty());
            let ports = if peopled { session.client.ports()? } else { Vec::new() };
            let cards: Vec<String> = shown.iter().map(|n| view::card(n, &ports, &session.screen)).collect();
            io.data(&cards.join("\n"))?;
        }
    }
    Ok(code)
}

fn inspect(names: &[String], template: Option<String>, session: &Session, io: &mut Io<'_>) -> Result<u8> {
    let template = template.or_else(|| session.template.clone()).map(|t| template::parse(&t)).transpose()?;
    let mut shown = Vec::new();
    let code = each(names, session, io, |name, _| {
        let network = session.client.network(name).map_err(|e| suggest(e, &session.client, &[name], &[]))?;
        shown.push(docker::Network::of(network));
        Ok(())
    });
    match template {
        None => io.json(&shown)?,
        Some(template) => {
            for network in &shown {
                io.data(&template.line(network)?)?;
            }
        }
    }
    Ok(code)
}

fn remove(names: &[String], force: bool, session: &Session, io: &mut Io<'_>) -> Result<u8> {
    let mut removed = Vec::new();
    let code = each(names, session, io, |name, io| {
        let gone = match session.client.remove_network(name) {
            Err(error) if force && error.code == Code::NetworkNotFound => return Ok(()),
            Err(error) if force && error.code == Code::NetworkInUse => {
                for member in session.client.network(name)?.endpoints {
                    match session.client.disconnect(&member.id, name) {
                        Err(error) if error.code != Code::NotConnected => return Err(error),
                        Ok(left) => host::follow(&left, session)?,
                        Err(_) => (),
                    }
                }
                session.client.remove_network(name)
            }
            gone => gone,
        };
        gone.map_err(|error| suggest(error, &session.client, &[name], &[]))?;
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

fn prune(force: bool, session: &Session, io: &mut Io<'_>) -> Result<u8> {
    if !force && session.screen.interactive && !session.json {
        let empty = |n: &bowline_api::v1::Network| n.endpoints.is_empty() && n.bridge.is_some();
        let victims: Vec<String> =
            session.client.networks()?.into_iter().filter(empty).map(|n| n.name).collect();
        if !victims.is_empty() && !io.agreed("remove these networks", &victims)? {
            return Ok(exit::FAILED);
        }
    }
    io.removed(session, &session.client.prune_networks()?)
}

fn connect(
    network: &str,
    endpoint: &str,
    join: JoinArgs,
    quiet: bool,
    session: &Session,
    io: &mut Io<'_>,
) -> Result<u8> {
    let join = join.over(Join { network: network.to_string(), ..Join::default() });
    let connected = session
        .client
        .connect(endpoint, &join)
        .map_err(|e| suggest(e, &session.client, &[network], &[endpoint]))?;
    if session.json {
        io.json(&connected)?;
    } else if !quiet {
        let cards = connected.interfaces.iter().filter(|i| i.network == network || i.network_id == network);
        for card in cards {
            io.note(session, &crate::endpoint::joined(&connected.name, card));
        }
    }
    host::follow(&connected, session)?;
    Ok(exit::OK)
}

fn disconnect(network: &str, endpoint: &str, force: bool, session: &Session, io: &mut Io<'_>) -> Result<u8> {
    match session.client.disconnect(endpoint, network) {
        Ok(left) => {
            if session.json {
                io.json(&left)?;
            }
            host::follow(&left, session)?;
        }
        Err(error) if force && error.code == Code::NotConnected => (),
        Err(error) => return Err(suggest(error, &session.client, &[network], &[endpoint])),
    }
    Ok(exit::OK)
}

/// Does all, whatever becomes of each. Failures are shown as they come; the first one's exit code counts.
pub(crate) fn each(
    names: &[String],
    session: &Session,
    io: &mut Io<'_>,
    mut act: impl FnMut(&str, &mut Io<'_>) -> Result<()>,
) -> u8 {
    let mut code = exit::OK;
    for name in names {
        if let Err(error) = act(name, io) {
            report::failure(&error, session, io);
            if code == exit::OK {
                code = exit::code(error.code);
            }
        }
    }
    code
}

/// `k=v`, or a key alone, as docker takes labels.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    match key {
        "" => Err("write it as key=value".to_string()),
        _ => Ok((key.to_string(), value.to_string())),
    }
}
