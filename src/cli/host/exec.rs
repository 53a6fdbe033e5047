//! `bowline exec` and `bowline shell`: one more command in the namespaces of one that runs.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use bowline_api::{Code, Error, Result};
use bowline_linux::process::{self, Fate, Launch, NotStarted, Supervisor, Terminal, User, spaces_of};
use clap::Args;

use super::list::running;
use super::run::{absolute, nothing, terminal, variables};
use super::shelf::{Place, Shelf};
use super::{life, shelf};
use crate::exit;
use crate::io::Io;
use crate::report;
use crate::session::Session;

pub(super) const EXAMPLES: &str = "\
Examples:
  bowline exec web ss -ltn
  bowline exec -it web bash
  bowline exec -u nobody web curl http://db:5432

Exit codes: the command's own; 125 bowline failed, 126 the command cannot be executed,
127 there is no such command, 128+n it was killed by signal n.";

#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    /// Leave it running in the background
    #[arg(short, long, conflicts_with_all = ["interactive", "tty"])]
    detach: bool,

    /// Let it read standard input
    #[arg(short, long)]
    interactive: bool,

    /// Give it this terminal
    #[arg(short, long)]
    tty: bool,

    #[command(flatten)]
    how: How,

    /// Where
    #[arg(value_name = "HOST")]
    host: String,

    /// The command and its arguments
    #[arg(trailing_var_arg = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct ShellArgs {
    #[command(flatten)]
    how: How,

    /// Where
    #[arg(value_name = "HOST")]
    host: String,
}

#[derive(Debug, Args)]
struct How {
    /// Set a variable of its environment, or take the caller's value; may be given again
    #[arg(short, long = "env", value_name = "KEY[=VALUE]")]
    env: Vec<OsString>,

    /// The directory that it starts in [default: that of 'run', or this one]
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<PathBuf>,

    /// Who runs it, by name or number [default: who 'run' said]
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
}

pub(super) fn execute(args: ExecArgs, session: &Session, io: &mut Io<'_>) -> u8 {
    let outcome =
        Shelf::new(session.hosts_dir()).find(&args.host).map_err(NotStarted::from).and_then(|place| {
            let terminal = if args.tty { Some(terminal()?) } else { None };
            let stdin = if args.interactive { None } else { Some(nothing()?.into()) };
            let launch = launch(&place, args.command, args.how, stdin)?;
            match args.detach {
                true => leave(launch),
                false => watch(launch, terminal.as_ref()),
            }
        });
    answer(outcome, session, io)
}

pub(super) fn shell(args: ShellArgs, session: &Session, io: &mut Io<'_>) -> u8 {
    let shell =
        std::env::var_os("SHELL").filter(|shell| !shell.is_empty()).unwrap_or_else(|| "/bin/sh".into());
    let outcome =
        Shelf::new(session.hosts_dir()).find(&args.host).map_err(NotStarted::from).and_then(|place| {
            // Without a terminal it reads what it is to do.
            let terminal = Terminal::of_stdin();
            watch(launch(&place, vec![shell], args.how, None)?, terminal.as_ref())
        });
    answer(outcome, session, io)
}

fn answer(outcome: Result<u8, NotStarted>, session: &Session, io: &mut Io<'_>) -> u8 {
    outcome.unwrap_or_else(|failed| {
        report::failure(&failed.error, session, io);
        failed.exit_code
    })
}

fn launch(place: &Place, command: Vec<OsString>, how: How, stdin: Option<OwnedFd>) -> Result<Launch> {
    let spec = place.spec()?;
    let enter = match running(place)?.and_then(|state| state.command) {
        Some(command) => spaces_of(command.into())?,
        None => None,
    };
    let enter = enter.ok_or_else(|| not_running(place))?;
    let user = how.user.as_deref().or(spec.user.as_deref()).map(User::find).transpose()?;
    let mut extra = spec.env;
    extra.extend(variables(&how.env)?);
    let here = || std::env::current_dir().ok();
    let cwd = match how.workdir {
        Some(dir) => Some(PathBuf::from(absolute(&dir)?.0)),
        None => spec.workdir.map(|dir| PathBuf::from(dir.0)).or_else(here),
    };
    Ok(Launch {
        argv: command,
        env: life::environment(std::env::vars_os().collect(), user.as_ref(), &extra),
        cwd,
        user,
        enter,
        stdin,
        ..Launch::default()
    })
}

pub(super) fn not_running(place: &Place) -> Error {
    let name = &place.name;
    let error = Error::new(Code::NotRunning, format!("{name} is not running"));
    match place.status() {
        Ok(shelf::Status::Starting) => error.because("it is still starting").fix("try again"),
        Ok(shelf::Status::Exited(code)) => error.because(format!("it ended with exit code {code}")),
        Ok(shelf::Status::Running | shelf::Status::Dead) | Err(_) => error.because("it has ended"),
    }
}

fn watch(launch: Launch, terminal: Option<&Terminal>) -> Result<u8, NotStarted> {
    let session = if terminal.is_some() { process::Session::Terminal } else { process::Session::Own };
    let supervisor = Supervisor::new()?;
    let child = process::start(Launch { session, fate: Fate::Shared, ..launch })?;
    Ok(supervisor.watch(&child, terminal, None)?.code())
}

/// It becomes a child of init when this process ends, which is at once.
fn leave(launch: Launch) -> Result<u8, NotStarted> {
    let (out, err) = (nothing_to_write()?, nothing_to_write()?);
    process::start(Launch { stdout: Some(out), stderr: Some(err), fate: Fate::Separate, ..launch })?;
    Ok(exit::OK)
}

fn nothing_to_write() -> Result<OwnedFd> {
    std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/null")
        .map(Into::into)
        .map_err(|e| Error::new(Code::Kernel, "open /dev/null").because(e))
}
