//! Arguments that are not understood: clap says what, and for the words of docker and ip we say why.

mod foreign;

use std::error::Error as _;
use std::ffi::OsString;

use bowline_api::{Client, SOCKET};
use bowline_core::{Code, Error, Result};
use clap::ValueEnum;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::args::Command;
use crate::dns::DnsCommand;
use crate::endpoint::EndpointCommand;
use crate::exit;
use crate::io::Io;
use crate::network::NetworkCommand;
use crate::port::PortCommand;
use crate::report;
use crate::screen::{Color, Screen};
use crate::session::Session;

/// What must be known of the arguments before they are understood: how to say that they are not.
#[derive(Debug)]
pub(crate) struct Early {
    pub(crate) color: Color,
    json: bool,
    /// The words before the first flag: the verb.
    verb: Vec<String>,
}

impl Early {
    pub(crate) fn of(args: &[OsString]) -> Early {
        let words: Vec<&str> =
            args.iter().skip(1).filter_map(|a| a.to_str()).take_while(|a| *a != "--").collect();
        let value = |flag: &str| {
            let joined = words.iter().rev().find_map(|word| word.strip_prefix(flag)?.strip_prefix('='));
            let apart = words.windows(2).rev().find(|pair| pair[0] == flag).map(|pair| pair[1]);
            joined.or(apart)
        };
        let from_env = std::env::var("BOWLINE_FORMAT").is_ok_and(|format| format == "json");
        let json = words.contains(&"--json") || value("--format").map_or(from_env, |format| format == "json");
        // A word behind one of these is its value.
        let valued = |word: &&str| matches!(*word, "--socket" | "--format" | "--color");
        let before = std::iter::once(&"").chain(&words);
        let verb =
            words.iter().zip(before).filter(|(word, before)| !word.starts_with('-') && !valued(before));
        Early {
            color: value("--color").and_then(|v| Color::from_str(v, false).ok()).unwrap_or_default(),
            json,
            verb: verb.map(|(word, _)| word.to_string()).take(2).collect(),
        }
    }

    fn session(&self) -> Session {
        Session {
            screen: Screen::of_process(self.color, false),
            ..Session::new(Client::new(SOCKET), self.json)
        }
    }
}

/// Prints help, or what is wrong with the arguments.
pub(crate) fn report(error: &clap::Error, early: &Early, io: &mut Io<'_>) -> u8 {
    let session = early.session();
    let text = |color| match color {
        true => error.render().ansi().to_string(),
        false => error.render().to_string(),
    };
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            return match io.data(&text(session.screen.color)) {
                Ok(()) => exit::OK,
                Err(_) => exit::FAILED,
            };
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => (),
        _ => {
            if let Some(why) = foreign(error, early).as_ref().or_else(|| ours(error)) {
                report::failure(why, &session, io);
                return exit::USAGE;
            }
        }
    }
    match session.json {
        true => report::failure(&plain(&text(false), early), &session, io),
        false => io.message(&text(session.screen.error_color)),
    }
    exit::USAGE
}

/// clap's words as one of our errors.
fn plain(text: &str, early: &Early) -> Error {
    let mut paragraphs = text.split("\n\n");
    let first = paragraphs.next().unwrap_or_default().trim_start_matches("error: ");
    let what = first.split_whitespace().collect::<Vec<_>>().join(" ");
    let tip = paragraphs.find_map(|p| p.trim().strip_prefix("tip: ")).map(|tip| tip.trim().to_string());
    let help =
        || format!("bowline help {}", early.verb.first().map_or("", String::as_str)).trim_end().to_string();
    Error::new(Code::InvalidRequest, what).fix(tip.unwrap_or_else(help))
}

/// A word of another tool's, and why it is none of ours.
fn foreign(error: &clap::Error, early: &Early) -> Option<Error> {
    let said = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let verb: Vec<&str> = early.verb.iter().map(String::as_str).collect();
    let (what, why) = match error.kind() {
        ErrorKind::UnknownArgument => {
            let flag = said(ContextKind::InvalidArg)?.split([' ', '=']).next()?;
            let (verb, why) = foreign::flag(&verb, flag)?;
            (format!("bowline {verb} has no {flag}"), why)
        }
        ErrorKind::InvalidSubcommand => {
            let word = said(ContextKind::InvalidSubcommand)?;
            (format!("bowline has no verb {word:?}"), foreign::verb(&verb, word)?)
        }
        _ => return None,
    };
    Some(Error::new(Code::InvalidRequest, what).fix(why))
}

/// What one of our own types has to say of a value, with its code and its way out.
fn ours(error: &clap::Error) -> Option<&Error> {
    error.source()?.downcast_ref()
}

/// A template prints objects; most verbs have none to print.
pub(crate) fn template_has_a_use(command: &Command, session: &Session) -> Result<()> {
    let used = matches!(
        command,
        Command::Network { command: NetworkCommand::Ls(_) | NetworkCommand::Inspect { .. } }
            | Command::Endpoint { command: EndpointCommand::Ls { .. } | EndpointCommand::Inspect { .. } }
            | Command::Port { command: PortCommand::Ls { .. } }
            | Command::Dns { command: DnsCommand::Ls { .. } }
    );
    match &session.template {
        Some(template) if !used => {
            Err(Error::new(Code::InvalidRequest, format!("no template is used here: {template}"))
                .fix("templates are for ls and inspect; give --format table or --format json"))
        }
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
