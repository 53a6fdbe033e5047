//! `bowline dns`: who is called what, what an endpoint is answered, and what was asked.

mod log;
mod resolve;
mod view;

use bowline_api::v1::DnsNameKind;
use bowline_core::Result;
use clap::Subcommand;

use crate::exit;
use crate::io::Io;
use crate::session::Session;
use crate::similar::suggest;
use crate::template;

const LS_NOTE: &str = "\
Every name is found as NAME and as NAME.NETWORK. The first twelve digits of an endpoint's
id are a name as well: --no-trunc shows them.";

#[derive(Debug, Subcommand)]
pub(crate) enum DnsCommand {
    /// List the names of endpoints, on all networks or on one
    #[command(visible_alias = "list", after_help = LS_NOTE)]
    Ls {
        /// The network, by name or id
        network: Option<String>,
    },

    /// Look a name up as an endpoint would, and print what it is answered
    #[command(visible_alias = "lookup", after_help = resolve::EXAMPLES)]
    Resolve(resolve::ResolveArgs),

    /// Show what endpoints asked, what they were answered, from where, and how long it took
    #[command(after_help = log::EXAMPLES)]
    Log(log::LogArgs),

    /// Forget what servers have answered, so that they are asked again
    Flush,
}

pub(crate) fn execute(command: DnsCommand, session: &Session, io: &mut Io<'_>) -> Result<u8> {
    match command {
        DnsCommand::Ls { network } => list(network.as_deref(), session, io),
        DnsCommand::Resolve(args) => resolve::execute(args, session, io),
        DnsCommand::Log(args) => log::execute(&args, session, io),
        DnsCommand::Flush => {
            let flushed = session.client.dns_flush()?;
            match session.json {
                true => io.json(&flushed)?,
                false => io.data(&format!("{} forgotten\n", view::answers(flushed.answers)))?,
            }
            Ok(exit::OK)
        }
    }
}

fn list(network: Option<&str>, session: &Session, io: &mut Io<'_>) -> Result<u8> {
    let asked: Vec<&str> = network.into_iter().collect();
    let mut names =
        session.client.dns_names(network).map_err(|error| suggest(error, &session.client, &asked, &[]))?;
    if let Some(template) = &session.template {
        let template = template::parse(template)?;
        names.iter().try_for_each(|name| io.data(&template.line(name)?))?;
    } else if session.json {
        io.json(&names)?;
    } else {
        names.retain(|name| session.screen.no_trunc || name.kind != DnsNameKind::Id);
        io.data(&view::names(&names, &session.screen))?;
    }
    Ok(exit::OK)
}
