//! `stop`, `kill`, `wait` and `rm`: how commands end, and what is done after.
//! Nothing is asked twice: a process that is waited for is held by a descriptor that says when it has ended.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use bowline_api::{Code, Error, Result};
use bowline_linux::process::Identity;
use clap::Args;

use super::exec::not_running;
use super::life;
use super::list::running;
use super::record::{Phase, State};
use super::shelf::{Place, Shelf, Status};
use crate::exit;
use crate::io::Io;
use crate::report;
use crate::session::Session;

const TERM: i32 = 15;
const KILL: i32 = 9;

/// How long a minder may take for the end: it may have to wait for the daemon.
const PATIENCE: Duration = Duration::from_secs(75);

#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// Seconds to wait before force is used
    #[arg(short, long = "time", visible_alias = "timeout", value_name = "SECONDS", default_value_t = 10)]
    time: u32,

    /// Which
    #[arg(required = true, value_name = "HOST")]
    hosts: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct KillArgs {
    /// The signal, by name or number
    #[arg(short, long, value_name = "SIGNAL", default_value = "KILL", value_parser = signal)]
    signal: i32,

    /// Which
    #[arg(required = true, value_name = "HOST")]
    hosts: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Which
    #[arg(required = true, value_name = "HOST")]
    hosts: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// End those that are still running, by force
    #[arg(short, long)]
    force: bool,

    /// Which
    #[arg(required = true, value_name = "HOST")]
    hosts: Vec<String>,
}

pub(super) fn stop(args: &StopArgs, session: &Session, io: &mut Io<'_>) -> Result<u8> {
    let patience = Duration::from_secs(u64::from(args.time));
    each(&args.hosts, session, io, |place, _| {
        end(place, patience)?;
        Ok(place.name.to_string())
    })
}

pub(super) fn kill(args: &KillArgs, session: &Session, io: &mut Io<'_>) -> Result<u8> {
    each(&args.hosts, session, io, |place, _| {
        let command = running(place)?.and_then(|state| state.command);
        let process = command.map(|command| Identity::from(command).open()).transpose()?.flatten();
        process.ok_or_else(|| not_running(place))?.signal(args.signal)?;
        Ok(place.name.to_string())
    })
}

pub(super) fn wait(args: &WaitArgs, session: &Session, io: &mut Io<'_>) -> Result<u8> {
    each(&args.hosts, session, io, |place, _| {
        let what = || format!("learn how {} ended", place.name);
        let failed = |e: std::io::Error| Error::new(Code::StateCorrupt, what()).because(e);
        // Opened first: it can be read even when all else has been removed.
        let mut exit = File::open(place.file("exit")).map_err(failed)?;
        if let Some(supervisor) = place.supervisor()? {
            supervisor.wait(None)?;
        }
        let mut text = String::new();
        exit.read_to_string(&mut text).map_err(failed)?;
        match text.trim() {
            "" => Err(Error::new(Code::NotRunning, what())
                .because("it died with whoever watched over it, and nobody wrote that down")
                .fix(format!("bowline rm {}", place.name))),
            code => Ok(code.to_string()),
        }
    })
}

pub(super) fn rm(args: &RmArgs, session: &Session, io: &mut Io<'_>) -> Result<u8> {
    each(&args.hosts, session, io, |place, io| {
        match args.force {
            true => end(place, Duration::ZERO),
            false => ended(place),
        }
        .or_else(|error| forgiven(error, args.force))?;
        let state = match place.state() {
            Ok(state) => state,
            // One that was to be forgotten at its end is gone by now.
            Err(error) if error.code == Code::EndpointNotFound => return Ok(place.name.to_string()),
            Err(error) => {
                forgiven(error, args.force)?;
                // Nobody knows how far it came: all that has its name.
                State { pinned: true, endpoint: true, ..State::new(Identity::this()?) }
            }
        };
        for error in life::remove(place, &state, &session.client) {
            match error.code {
                Code::Unreachable | Code::Timeout => report::failure(&error, session, io),
                _ => return Err(error),
            }
        }
        place.forget()?;
        Ok(place.name.to_string())
    })
}

/// Force goes over a record that cannot be read.
fn forgiven(error: Error, force: bool) -> Result<()> {
    match error.code {
        Code::EndpointNotFound => Ok(()),
        Code::StateCorrupt if force => Ok(()),
        _ => Err(error),
    }
}

/// Does it for each, whatever becomes of the others, and prints what it says.
fn each(
    hosts: &[String],
    session: &Session,
    io: &mut Io<'_>,
    mut act: impl FnMut(&Place, &mut Io<'_>) -> Result<String>,
) -> Result<u8> {
    let shelf = Shelf::new(session.hosts_dir());
    let mut code = exit::OK;
    for host in hosts {
        match shelf.find(host).and_then(|place| act(&place, io)) {
            Ok(said) => io.data(&format!("{said}\n"))?,
            Err(error) => {
                report::failure(&error, session, io);
                code = exit::code(error.code);
            }
        }
    }
    Ok(code)
}

/// Ends a host's command, and sleeps until whoever watches over it has done the rest.
fn end(place: &Place, patience: Duration) -> Result<()> {
    let state = place.state()?;
    let supervisor = Identity::from(state.supervisor).open()?;
    if let Some(command) = state.command.map(Identity::from)
        && let Some(process) = command.open()?
    {
        if !patience.is_zero() {
            command.signal_group(TERM)?;
        }
        if !process.wait(Some(patience))? {
            command.signal_group(KILL)?;
        }
    } else if let Some(supervisor) = &supervisor
        && state.phase == Phase::Starting
    {
        // It passes the signal on as soon as there is a command.
        supervisor.signal(TERM)?;
    }
    match supervisor {
        Some(supervisor) if !supervisor.wait(Some(PATIENCE))? => {
            let pid = state.supervisor.pid;
            Err(Error::new(Code::Timeout, format!("end {}", place.name))
                .because(format!("process {pid}, which watches over it, does not end"))
                .fix(format!(
                    "see what it does: cat /proc/{pid}/stack; then: kill -9 {pid}; bowline rm {}",
                    place.name
                )))
        }
        _ => Ok(()),
    }
}

/// Fails for one that runs. One whose end is not complete is waited for.
fn ended(place: &Place) -> Result<()> {
    let state = place.state()?;
    match (Status::of(&state), state.phase) {
        (Status::Running, Phase::Exited) => end(place, PATIENCE),
        (Status::Starting | Status::Running, _) => {
            let name = &place.name;
            Err(Error::new(Code::StillRunning, format!("{name} is still running"))
                .fix(format!("bowline rm -f {name} (or first: bowline stop {name})")))
        }
        // A command may outlive its minder if it changed its identity: it goes with its host.
        (Status::Exited(_) | Status::Dead, _) => end(place, Duration::ZERO),
    }
}

/// `TERM`, `SIGTERM`, `sigterm`, `15`, `RTMIN+3`.
pub(super) fn signal(text: &str) -> Result<i32, String> {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
        "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
        "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let known = NAMES.iter().position(|known| *known == name).map(|at| at as i32 + 1);
    let number = || name.parse::<i32>().ok().filter(|number| (1..=64).contains(number));
    // The C library keeps the first two.
    let real_time = || match name.strip_prefix("RTMIN")? {
        "" => Some(34),
        more => more.strip_prefix('+')?.parse::<i32>().ok().filter(|n| (0..=30).contains(n)).map(|n| 34 + n),
    };
    known
        .or_else(number)
        .or_else(real_time)
        .ok_or_else(|| "give a name such as TERM, or a number from 1 to 64".to_string())
}
