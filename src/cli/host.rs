//! Commands of this machine in namespaces of their own: `docker run` without images.
//! A host is a named network namespace with a command in it, and a process that watches over both until they end.

mod end;
mod exec;
mod files;
mod life;
mod list;
mod log;
mod minder;
mod record;
mod run;
mod shelf;
#[cfg(test)]
mod tests;
mod words;

use bowline_api::v1::Endpoint;
use bowline_core::{Code, Result};
use clap::{ArgAction, Subcommand};

use crate::io::Io;
use crate::session::Session;

/// Where bowline failed before the command could: as docker and podman have it.
const NOT_OURS: u8 = 125;

#[derive(Debug, Subcommand)]
pub(crate) enum HostCommand {
    /// Run a command in a namespace of its own, connected to networks
    #[command(disable_help_flag = true, after_help = run::EXAMPLES)]
    Run {
        #[command(flatten)]
        args: Box<run::RunArgs>,

        // -h is the host name, as in docker.
        /// Print help
        #[arg(long, action = ArgAction::Help)]
        help: Option<bool>,
    },

    /// List what 'run' started
    Ps(list::PsArgs),

    /// Run one more command where another runs
    #[command(after_help = exec::EXAMPLES)]
    Exec(exec::ExecArgs),

    /// Open a shell where a command runs
    Shell(exec::ShellArgs),

    /// Show what a detached command has written
    #[command(after_help = log::NOTE)]
    Logs(log::LogsArgs),

    /// End commands: first politely, then by force
    Stop(end::StopArgs),

    /// Send commands a signal
    Kill(end::KillArgs),

    /// Wait until commands end, and print their exit codes
    Wait(end::WaitArgs),

    /// Remove commands that have ended, and what they leave
    Rm(end::RmArgs),

    /// Watch over one detached command
    #[command(hide = true)]
    Minder(minder::MinderArgs),
}

impl HostCommand {
    /// Whether it is worth starting a daemon for. What only looks at commands finds all it needs in their files.
    pub(crate) fn needs_daemon(&self) -> bool {
        match self {
            HostCommand::Run { .. } | HostCommand::Stop(_) | HostCommand::Rm(_) => true,
            HostCommand::Ps(_)
            | HostCommand::Exec(_)
            | HostCommand::Shell(_)
            | HostCommand::Logs(_)
            | HostCommand::Kill(_)
            | HostCommand::Wait(_)
            | HostCommand::Minder(_) => false,
        }
    }
}

/// What `run` started finds names where the daemon answers for it now: that changes with the first network with DNS that it
/// joins, and with the last that it leaves. All else has no files of ours.
pub(crate) fn follow(endpoint: &Endpoint, session: &Session) -> Result<()> {
    match shelf::Shelf::new(session.hosts_dir()).find(&endpoint.name) {
        Ok(place) => files::follow(&place, endpoint.dns.as_ref()),
        Err(error) if error.code == Code::EndpointNotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// The exit code of the process; after `run` and `exec` that of the command.
pub(crate) fn execute(command: HostCommand, session: &Session) -> Result<u8> {
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    let mut io = Io { out: &mut out, err: &mut err };
    match command {
        HostCommand::Run { args, help: _ } => Ok(run::execute(*args, session, &mut io)),
        HostCommand::Ps(args) => list::execute(&args, session, &mut io),
        HostCommand::Exec(args) => Ok(exec::execute(args, session, &mut io)),
        HostCommand::Shell(args) => Ok(exec::shell(args, session, &mut io)),
        HostCommand::Logs(args) => log::execute(&args, session, &mut io),
        HostCommand::Stop(args) => end::stop(&args, session, &mut io),
        HostCommand::Kill(args) => end::kill(&args, session, &mut io),
        HostCommand::Wait(args) => end::wait(&args, session, &mut io),
        HostCommand::Rm(args) => end::rm(&args, session, &mut io),
        HostCommand::Minder(args) => minder::execute(&args, session, &mut io),
    }
}
