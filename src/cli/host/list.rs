//! `bowline ps`: what was run here, how it goes, and where it is reached.

use std::collections::{BTreeMap, HashMap};

use bowline_api::Result;
use bowline_api::v1::{Endpoint, Port};
use clap::Args;
use serde::Serialize;

use super::record::{State, Wiring, now_unix_ms};
use super::shelf::{Place, Shelf, Status};
use crate::exit;
use crate::io::Io;
use crate::port::view;
use crate::session::Session;
use crate::table::Table;
use crate::time;

#[derive(Debug, Args)]
pub(crate) struct PsArgs {
    /// Also those that have ended
    #[arg(short, long)]
    all: bool,

    /// Print names only
    #[arg(short, long)]
    quiet: bool,
}

/// One host, as programs read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Row {
    name: String,
    /// starting, running, exited or dead
    state: &'static str,
    exit_code: Option<u8>,
    pid: Option<u32>,
    command: Vec<String>,
    hostname: String,
    networks: Vec<OnNetwork>,
    ports: Vec<Port>,
    detached: bool,
    labels: BTreeMap<String, String>,
    created_unix_ms: u64,
    started_unix_ms: Option<u64>,
    finished_unix_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct OnNetwork {
    network: String,
    interface: String,
    addresses: Vec<String>,
}

impl Row {
    /// What the daemon says of its interfaces goes over what was written down when it started.
    pub(super) fn of(place: &Place, live: Option<&Endpoint>) -> Result<Row> {
        let (spec, state) = (place.spec()?, place.state()?);
        let status = Status::of(&state);
        let interfaces = live.map_or(state.interfaces.as_slice(), |endpoint| endpoint.interfaces.as_slice());
        let mut networks: Vec<OnNetwork> = interfaces
            .iter()
            .map(|i| OnNetwork {
                network: i.network.clone(),
                interface: i.name.clone(),
                addresses: i.addresses.clone(),
            })
            .collect();
        if spec.wiring == Wiring::Host {
            networks.push(OnNetwork {
                network: "host".into(),
                interface: String::new(),
                addresses: Vec::new(),
            });
        }
        let ports = live.map_or(state.ports.as_slice(), |endpoint| endpoint.ports.as_slice());
        let over = matches!(status, Status::Exited(_) | Status::Dead);
        Ok(Row {
            ports: if over { Vec::new() } else { ports.to_vec() },
            state: match status {
                Status::Starting => "starting",
                Status::Running => "running",
                Status::Exited(_) => "exited",
                Status::Dead => "dead",
            },
            exit_code: match status {
                Status::Exited(code) => Some(code),
                Status::Starting | Status::Running | Status::Dead => None,
            },
            pid: state.command.filter(|_| status == Status::Running).map(|command| command.pid),
            command: spec.command.iter().map(|part| part.0.to_string_lossy().into_owned()).collect(),
            hostname: spec.hostname.unwrap_or_else(|| spec.name.clone()),
            name: spec.name,
            networks,
            detached: spec.detached,
            labels: spec.labels,
            created_unix_ms: state.created_unix_ms,
            started_unix_ms: state.started_unix_ms,
            finished_unix_ms: state.finished_unix_ms,
        })
    }

    fn is_over(&self) -> bool {
        matches!(self.state, "exited" | "dead")
    }

    fn status(&self, now: u64) -> String {
        let since =
            |then: Option<u64>| time::span(now.saturating_sub(then.unwrap_or(self.created_unix_ms)) / 1000);
        match (self.state, self.exit_code) {
            ("running", _) => format!("up {}", since(self.started_unix_ms)),
            ("exited", Some(code)) => format!("exited ({code}) {} ago", since(self.finished_unix_ms)),
            (other, _) => other.to_string(),
        }
    }
}

pub(super) fn execute(args: &PsArgs, session: &Session, io: &mut Io<'_>) -> Result<u8> {
    let mut endpoints: Option<HashMap<String, Endpoint>> = None;
    let mut rows = Vec::new();
    for place in Shelf::new(session.hosts_dir()).list()? {
        // Without the daemon's answer there is still what was written down.
        let endpoints = endpoints.get_or_insert_with(|| {
            let all = session.client.endpoints().unwrap_or_default();
            all.into_iter().map(|endpoint| (endpoint.name.clone(), endpoint)).collect()
        });
        match Row::of(&place, endpoints.get(place.name.as_str())) {
            Ok(row) if args.all || !row.is_over() => rows.push(row),
            Ok(_) => (),
            // It went between the look at the shelf and the look at it.
            Err(_) if !place.exists() => (),
            Err(error) => crate::report::failure(&error, session, io),
        }
    }
    if args.quiet {
        io.data(&rows.iter().map(|row| format!("{}\n", row.name)).collect::<String>())?;
    } else if session.json {
        io.json(&rows)?;
    } else {
        io.data(&table(&rows).render(&session.screen))?;
    }
    Ok(exit::OK)
}

const HEADS: &[&str] = &["NAME", "STATUS", "NETWORKS", "PORTS", "PID", "COMMAND"];

fn table(rows: &[Row]) -> Table<'static> {
    let mut table = Table::new(HEADS, &["PID", "COMMAND"]);
    let now = now_unix_ms();
    for row in rows {
        let networks: Vec<String> = row.networks.iter().map(|on| at(&on.network, &on.addresses)).collect();
        table.row(vec![
            row.name.clone(),
            row.status(now),
            networks.join(", "),
            view::all(&row.ports).join(", "),
            row.pid.map(|pid| pid.to_string()).unwrap_or_default(),
            shortened(&row.command.join(" ")),
        ]);
    }
    table
}

fn at(network: &str, addresses: &[String]) -> String {
    let mut text = network.to_string();
    for address in addresses {
        text.push(' ');
        text.push_str(address.split('/').next().unwrap_or(address));
    }
    text
}

fn shortened(text: &str) -> String {
    const MOST: usize = 40;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_string(),
    }
}

/// `web 10.160.0.2 (front) *:8080->80/tcp`: where a command that starts in the foreground is reached.
pub(super) fn line(name: &str, state: &State) -> String {
    let mut text = name.to_string();
    for interface in &state.interfaces {
        for address in &interface.addresses {
            text.push_str(&format!(" {}", address.split('/').next().unwrap_or(address)));
        }
        text.push_str(&format!(" ({})", interface.network));
    }
    for port in &state.ports {
        text.push_str(&format!(" {}", view::shown(port)));
    }
    text
}

/// What is listed of a host that runs; for the verbs that need one.
pub(super) fn running(place: &Place) -> Result<Option<State>> {
    let state = place.state()?;
    Ok((Status::of(&state) == Status::Running && state.command.is_some()).then_some(state))
}
