//! `bowline system`: the daemon, what it remembers, and whether the kernel agrees.

mod firewall;

use bowline_api::v1::{Drift, Endpoint, EndpointState, Info, Network};
use bowline_core::Result;
use clap::Subcommand;

pub(crate) use firewall::named;

use crate::exit;
use crate::io::Io;
use crate::screen::clean;
use crate::session::Session;
use crate::table::Table;
use crate::time::span;

#[derive(Debug, Subcommand)]
pub(crate) enum SystemCommand {
    /// Show the daemon: version, directories, counts
    Info,

    /// Show what the daemon uses of memory and disk
    Df,

    /// Print all that the daemon remembers, and the kernel state it wants, as JSON
    Dump,

    /// Remove stopped endpoints, and networks that nothing is connected to
    Prune {
        /// Do not ask
        #[arg(short, long)]
        force: bool,
    },

    /// Show where the kernel differs from what is wanted; exit code 7 if it does
    Drift,

    /// Put right what 'system drift' shows
    Repair,

    /// Show the firewall tables, your own rules, and what else on this host drops our traffic
    Firewall,

    /// Hand the firewall tables back: until the daemon starts again, others may change them
    Release,
}

pub(crate) fn execute(command: &SystemCommand, session: &Session, io: &mut Io<'_>) -> Result<u8> {
    let client = &session.client;
    match command {
        SystemCommand::Info => {
            let info = client.info()?;
            match session.json {
                true => io.json(&info)?,
                false => io.data(&card(&info))?,
            }
        }
        SystemCommand::Df => {
            let info = client.info()?;
            match session.json {
                true => io.json(&info)?,
                false => io.data(&usage(&info, session))?,
            }
        }
        SystemCommand::Dump => io.json(&client.dump()?)?,
        SystemCommand::Prune { force } => return prune(*force, session, io),
        SystemCommand::Drift => {
            let drift = client.drift()?;
            print(&drift, "no drift: the kernel is as wanted", session, io)?;
            if !drift.steps.is_empty() {
                io.note(session, "put it right: bowline system repair");
                return Ok(exit::NO);
            }
        }
        SystemCommand::Repair => {
            print(&client.repair()?, "nothing to repair: the kernel is as wanted", session, io)?;
        }
        SystemCommand::Firewall => firewall::show(session, io)?,
        SystemCommand::Release => firewall::release(session, io)?,
    }
    Ok(exit::OK)
}

fn print(drift: &Drift, when_none: &str, session: &Session, io: &mut Io<'_>) -> Result<()> {
    match session.json {
        true => io.json(drift),
        false if drift.steps.is_empty() => {
            io.note(session, when_none);
            Ok(())
        }
        false => io.lines(&drift.steps),
    }
}

fn prune(force: bool, session: &Session, io: &mut Io<'_>) -> Result<u8> {
    if !force && session.screen.interactive && !session.json {
        let victims = victims(&session.client.endpoints()?, &session.client.networks()?);
        if !victims.is_empty() && !io.agreed("remove these", &victims)? {
            return Ok(exit::FAILED);
        }
    }
    io.removed(session, &session.client.prune()?)
}

/// Stopped endpoints, and the networks that nothing is left on without them.
fn victims(endpoints: &[Endpoint], networks: &[Network]) -> Vec<String> {
    let stopped: Vec<&Endpoint> = endpoints.iter().filter(|e| e.state == EndpointState::Stopped).collect();
    let goes = |network: &&Network| {
        network.bridge.is_some() && network.endpoints.iter().all(|m| stopped.iter().any(|e| e.id == m.id))
    };
    let networks = networks.iter().filter(goes).map(|network| format!("network {}", network.name));
    stopped.iter().map(|e| format!("endpoint {}", e.name)).chain(networks).collect()
}

fn card(info: &Info) -> String {
    let lines = [
        ("version", info.version.clone()),
        ("pid", info.pid.to_string()),
        ("kernel", info.kernel.clone()),
        ("uptime", span(info.uptime_s)),
        ("networks", info.networks.to_string()),
        ("endpoints", info.endpoints.to_string()),
        ("addresses", format!("{} in use", info.addresses_used)),
        ("socket", info.socket.clone()),
        ("config", info.config.clone()),
        ("state", info.state_dir.clone()),
        ("run", info.run_dir.clone()),
    ];
    lines.iter().map(|(key, value)| format!("{key:<10} {}\n", clean(value))).collect()
}

fn usage(info: &Info, session: &Session) -> String {
    let mut table = Table::new(&["WHAT", "SIZE", "WHERE"], &[]);
    let mut row = |what: &str, size, place: &str| {
        table.row(vec![what.to_string(), bytes(size), place.to_string()]);
    };
    row("memory", info.rss_bytes, &format!("process {}", info.pid));
    row("state", info.state_store_bytes, &info.state_dir);
    row("state until reboot", info.run_store_bytes, &info.run_dir);
    table.render(&session.screen)
}

fn bytes(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut whole = bytes;
    let mut tenths = 0;
    while whole >= 1024 && unit + 1 < units.len() {
        tenths = whole % 1024 * 10 / 1024;
        whole /= 1024;
        unit += 1;
    }
    match unit {
        0 => format!("{whole} B"),
        _ => format!("{whole}.{tenths} {}", units[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pruning_would_take_is_what_nothing_live_is_on() {
        let shown = victims(&crate::fixture::endpoints(), &crate::fixture::networks());
        assert_eq!(shown, ["endpoint old", "network back"]);
    }

    #[test]
    fn sizes() {
        let shown = [0, 1023, 1024, 1536, 10 << 20, u64::MAX].map(bytes);
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "10.0 MiB", "16777215.9 TiB"]);
    }
}
