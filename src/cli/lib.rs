//! The command line: arguments become calls of the API, answers become tables, cards or JSON.
//! Data goes to standard output, all else to standard error, and the exit code says what kind of answer it was.

mod args;
mod cni;
mod dns;
mod doctor;
mod endpoint;
mod events;
pub mod exit;
mod explain;
#[cfg(test)]
mod fixture;
mod help;
pub mod host;
mod io;
mod join;
mod manual;
mod namespace;
mod network;
mod port;
mod publish;
mod report;
mod screen;
pub mod session;
mod similar;
mod start;
mod system;
mod table;
mod template;
mod time;
mod usage;
mod version;
mod wishes;

use std::ffi::OsString;
use std::path::PathBuf;

use bowline_api::{Client, SOCKET};
use bowline_core::Result;
use clap::FromArgMatches;

pub use args::{BenchArgs, BenchCommand, ConfigArgs, DaemonArgs, LogFormat};
pub use cni::{CniCommand, CniInstall, CniMigrate};
pub use session::Session;

use args::{Cli, Command, ConfigCommand};
use io::Io;
use screen::Screen;

/// What other crates do for us: whoever links them hands them in, so that the command line depends on neither.
#[derive(Debug, Clone, Copy)]
pub struct Outer {
    pub daemon: fn(DaemonArgs) -> Result<()>,
    pub config_check: fn(ConfigArgs) -> Result<String>,
    pub config_show: fn(ConfigArgs) -> Result<String>,
    pub bench: fn(BenchArgs, &Session) -> Result<u8>,
    pub cni_install: fn(CniInstall) -> Result<String>,
    pub cni_migrate: fn(CniMigrate) -> Result<String>,
}

/// The whole program: `args` with its own name first; the exit code last.
pub fn main(args: impl Iterator<Item = OsString>, outer: &Outer) -> u8 {
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    run(&args.collect::<Vec<_>>(), outer, &mut Io { out: &mut out, err: &mut err })
}

fn run(args: &[OsString], outer: &Outer, io: &mut Io<'_>) -> u8 {
    let early = usage::Early::of(args);
    let parsed = args::command(early.color)
        .try_get_matches_from(args)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return usage::report(&error, &early, io),
    };
    let socket = cli.global.socket.clone();
    let session = Session {
        client: Client::new(socket.clone().unwrap_or_else(|| PathBuf::from(SOCKET))),
        json: cli.global.json(),
        template: cli.global.template(),
        screen: Screen::of_process(cli.global.color, cli.global.no_trunc),
    };
    match execute(cli.command, socket, &session, outer, io) {
        Ok(code) => code,
        Err(error) => {
            report::failure(&error, &session, io);
            exit::code(error.code)
        }
    }
}

fn execute(
    command: Command,
    socket: Option<PathBuf>,
    session: &Session,
    outer: &Outer,
    io: &mut Io<'_>,
) -> Result<u8> {
    usage::template_has_a_use(&command, session)?;
    if command.needs_daemon() {
        start::if_absent(session, io)?;
    }
    match command {
        Command::Host(command) => host::execute(command, session),
        Command::Network { command } => network::execute(command, session, io),
        Command::Endpoint { command } => endpoint::execute(command, session, io),
        Command::Port { command } => port::execute(command, session, io),
        Command::Dns { command } => dns::execute(command, session, io),
        Command::Doctor => doctor::execute(session, io),
        Command::Cni { command } => cni::execute(command, outer, io),
        Command::Events => events::execute(session, io),
        Command::System { command } => system::execute(&command, session, io),
        Command::Explain { code } => explain::execute(code.as_deref(), session, io),
        Command::Version(args) => version::execute(&args, session, io),
        Command::Completion { shell } => manual::completion(shell, io),
        Command::Man { dir } => manual::pages(dir.as_deref(), io),
        Command::Daemon(args) => (outer.daemon)(DaemonArgs { socket, ..args }).map(|()| exit::OK),
        Command::Keeper(args) => {
            let ready = args.ready_fd.map(bowline_linux::process::take_ready_pipe).transpose()?;
            bowline_linux::keeper::live(&args.run_dir, ready).map(|()| exit::OK)
        }
        Command::Config { command } => {
            let text = match command {
                ConfigCommand::Check(args) => (outer.config_check)(args)?,
                ConfigCommand::Show(args) => (outer.config_show)(args)?,
            };
            io.data(&text)?;
            Ok(exit::OK)
        }
        Command::Bench(args) => (outer.bench)(args, session),
    }
}
