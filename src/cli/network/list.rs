//! `bowline network ls`: subnets, members and room at a glance.

use bowline_api::v1::Network;
use bowline_core::{Code, Error, Result};
use clap::Args;

use super::{docker, view};
use crate::exit;
use crate::io::Io;
use crate::session::Session;
use crate::template;

#[derive(Debug, Clone, Args)]
pub(crate) struct ListArgs {
    /// Print names only
    #[arg(short, long)]
    quiet: bool,

    /// name=PART, driver=NAME, label=KEY or KEY=VALUE, internal=true|false; may be given again
    #[arg(short, long = "filter", value_name = "KEY=VALUE", value_parser = Filter::parse)]
    filters: Vec<Filter>,
}

pub(super) fn execute(args: &ListArgs, session: &Session, io: &mut Io<'_>) -> Result<u8> {
    let mut networks = session.client.networks()?;
    networks.retain(|network| passes(network, &args.filters));
    networks.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(template) = &session.template {
        let template = template::parse(template)?;
        for network in networks {
            io.data(&template.line(&docker::Network::of(network))?)?;
        }
    } else if session.json {
        io.json(&networks)?;
    } else if args.quiet {
        let names: Vec<String> = networks.into_iter().map(|network| network.name).collect();
        io.lines(&names)?;
    } else {
        io.data(&view::table(&networks, &session.screen))?;
    }
    Ok(exit::OK)
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Filter {
    Name(String),
    Driver(String),
    Label(String, Option<String>),
    Internal(bool),
}

impl Filter {
    fn parse(text: &str) -> Result<Filter, Error> {
        let bad = |why: String| {
            Error::new(Code::InvalidRequest, why)
                .because("the filters are name=, driver=, label= and internal=true|false")
        };
        let (key, value) = text.split_once('=').ok_or_else(|| bad(format!("{text:?} is not KEY=VALUE")))?;
        match (key, value) {
            ("name", _) => Ok(Filter::Name(value.to_string())),
            ("driver", _) => Ok(Filter::Driver(value.to_string())),
            ("label", _) => Ok(match value.split_once('=') {
                Some((key, value)) => Filter::Label(key.to_string(), Some(value.to_string())),
                None => Filter::Label(value.to_string(), None),
            }),
            ("internal", "true") => Ok(Filter::Internal(true)),
            ("internal", "false") => Ok(Filter::Internal(false)),
            _ => Err(bad(format!("there is no filter {text:?}"))),
        }
    }
}

/// As docker has it: one of the names and one of the drivers that were asked for, and every label.
fn passes(network: &Network, filters: &[Filter]) -> bool {
    let mut names =
        filters.iter().filter_map(|f| if let Filter::Name(part) = f { Some(part) } else { None }).peekable();
    let mut drivers =
        filters.iter().filter_map(|f| if let Filter::Driver(d) = f { Some(d) } else { None }).peekable();
    let named = names.peek().is_none() || names.any(|part| network.name.contains(part.as_str()));
    let driven = drivers.peek().is_none() || drivers.any(|driver| view::driver(network.driver) == driver);
    named
        && driven
        && filters.iter().all(|filter| match filter {
            Filter::Name(_) | Filter::Driver(_) => true,
            Filter::Label(key, wanted) => {
                network.labels.get(key).is_some_and(|value| wanted.as_ref().is_none_or(|w| w == value))
            }
            Filter::Internal(internal) => network.internal == *internal,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::networks;

    #[test]
    fn filters_choose_as_docker_does() {
        let check = |filters: &[&str]| -> Vec<String> {
            let filters: Vec<Filter> = filters.iter().map(|f| Filter::parse(f).unwrap()).collect();
            networks().into_iter().filter(|n| passes(n, &filters)).map(|n| n.name).collect()
        };
        assert_eq!(check(&[]), ["front", "back", "host"]);
        assert_eq!(check(&["name=r", "name=ack"]), ["front", "back"]);
        assert_eq!(check(&["driver=bridge", "internal=true"]), ["back"]);
        assert_eq!(check(&["label=tier"]), ["back"]);
        assert_eq!(check(&["label=tier=web"]), [""; 0]);
        for wrong in ["name", "colour=red", "internal=maybe"] {
            assert_eq!(Filter::parse(wrong).unwrap_err().code, Code::InvalidRequest);
        }
    }
}
