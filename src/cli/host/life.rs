//! The life of a host, led by the process that watches over it: namespace, endpoint, command, end.
//!
//! ```text
//! claimed -> named -> connected -> running -> exited -> disconnected -> unnamed -> kept or forgotten
//! ```
//! Each step is written down before or after it is taken, so that `rm` can finish for a process that died on the way.

use std::ffi::OsString;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use bowline_api::v1::{CreateEndpoint, EndpointDns, Join, Netns};
use bowline_api::{Client, Code, Context, Error, Result};
use bowline_linux::netns;
use bowline_linux::process::{
    self, Exit, Fate, Identity, Launch, NotStarted, Output, Private, Supervisor, Terminal, User,
};

use super::files;
use super::record::{Os, Phase, Spec, State, Wiring, now_unix_ms};
use super::shelf::Place;
use crate::similar::suggest;

/// A host about to live, in the process that is to watch over it.
#[derive(Debug)]
pub(super) struct Life<'a> {
    place: &'a Place,
    spec: &'a Spec,
    client: &'a Client,
    state: State,
}

/// How the command is connected to whoever called.
#[derive(Debug, Default)]
pub(super) struct Wires {
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: Option<OwnedFd>,
    pub(super) stderr: Option<OwnedFd>,
    pub(super) terminal: Option<Terminal>,
}

impl<'a> Life<'a> {
    pub(super) fn new(place: &'a Place, spec: &'a Spec, client: &'a Client) -> Result<Life<'a>> {
        Ok(Life { place, spec, client, state: State::new(Identity::this()?) })
    }

    /// From nothing to the end. `connected` is told of the interfaces before the command starts, `running` after; the
    /// second of the answers is what could not be cleaned up after it.
    pub(super) fn live(
        mut self,
        wires: Wires,
        output: Option<Output<'_>>,
        connected: &mut dyn FnMut(&State),
        running: &mut dyn FnMut(),
    ) -> Result<(Exit, Vec<Error>), NotStarted> {
        let supervisor = Supervisor::new()?;
        let terminal = wires.terminal.is_some();
        let begun = self.begin(connected).and_then(|launch| {
            let launch = Launch {
                stdin: wires.stdin,
                stdout: wires.stdout,
                stderr: wires.stderr,
                session: if terminal { process::Session::Terminal } else { process::Session::Own },
                fate: Fate::Shared,
                ..launch
            };
            process::start(launch)
        });
        let child = match begun {
            Ok(child) => child,
            Err(mut failed) => {
                drop(wires.terminal);
                for left in self.undo() {
                    failed.error = failed.error.because(format!("and afterwards: {left}"));
                }
                return Err(failed);
            }
        };
        self.state.phase = Phase::Running;
        self.state.command = Identity::of(child.pid()).map(Into::into);
        self.state.started_unix_ms = Some(now_unix_ms());
        let mut left: Vec<Error> = self.place.record(&self.state).err().into_iter().collect();
        running();
        let watched = supervisor.watch(&child, wires.terminal.as_ref(), output);
        drop(wires.terminal);
        let exit = match watched {
            Ok(exit) => exit,
            Err(error) => {
                // Unwatched it must not go on.
                left.push(error);
                left.extend(child.signal(9).err());
                child.wait().unwrap_or_else(|error| {
                    left.push(error);
                    Exit::Code(125)
                })
            }
        };
        left.extend(self.end(exit));
        Ok((exit, left))
    }

    fn begin(&mut self, connected: &mut dyn FnMut(&State)) -> Result<Launch, NotStarted> {
        self.place.record(&self.state)?;
        let spec = self.spec;
        let user = spec.user.as_deref().map(User::find).transpose()?;
        let (enter, private) = match &spec.wiring {
            Wiring::Host => (Vec::new(), self.on_the_host()?),
            Wiring::Own(joins) => {
                let (netns, dns) = self.own_namespace(joins)?;
                let hostname = spec.hostname.as_deref().unwrap_or(&spec.name);
                let interfaces = &self.state.interfaces;
                let binds = files::write(self.place, spec, hostname, interfaces, dns.as_ref())?;
                (vec![netns], Some(Private { hostname: Some(hostname.to_string()), binds, sysfs: true }))
            }
        };
        connected(&self.state);
        Ok(Launch {
            argv: spec.command.iter().map(|part| part.0.clone()).collect(),
            env: environment(std::env::vars_os().collect(), user.as_ref(), &spec.env),
            cwd: spec.workdir.as_ref().or(spec.called_in.as_ref()).map(|dir| PathBuf::from(&dir.0)),
            user,
            enter,
            private,
            ..Launch::default()
        })
    }

    /// A namespace with a name and with interfaces on all networks that were asked for, and the resolver it has there.
    fn own_namespace(&mut self, joins: &[Join]) -> Result<(OwnedFd, Option<EndpointDns>)> {
        let netns = netns::create()?;
        process::raise_loopback(&netns)?;
        // By what it is known when the name is taken away again.
        let cookie = netns::run(&netns, netns::cookie_of_current)??;
        self.place.put(COOKIE, cookie.0.to_string().as_bytes())?;
        self.state.pinned = true;
        self.place.record(&self.state)?;
        let path = match process::pin(&self.place.name, &netns) {
            Ok(path) => path,
            Err(error) => {
                // What has the name is not ours.
                self.state.pinned = false;
                return Err(error);
            }
        };
        let handed_over = Netns {
            fd: Some(u32::try_from(netns.as_raw_fd()).expect("an open file has a number")),
            path: path.to_str().map(str::to_string),
        };
        let wish = self.spec.ports.clone().over(self.spec.resolver.clone().over(CreateEndpoint {
            hostname: self.spec.hostname.clone(),
            networks: joins.to_vec(),
            labels: self.spec.labels.clone(),
            ..CreateEndpoint::named(&self.spec.name, handed_over)
        }));
        let made = self.client.create_endpoint(&wish).map_err(|error| {
            let networks: Vec<&str> = joins.iter().map(|join| join.network.as_str()).collect();
            suggest(error, self.client, &networks, &[])
        })?;
        self.state.endpoint = true;
        self.state.interfaces = made.interfaces;
        self.state.ports = made.ports;
        self.place.record(&self.state)?;
        files::link(self.place)?;
        Ok((netns, made.dns))
    }

    /// The host's own network: only what was asked for differs from the host.
    fn on_the_host(&self) -> Result<Option<Private>> {
        let spec = self.spec;
        if spec.hostname.is_none() && spec.add_hosts.is_empty() && spec.resolver.is_empty() {
            return Ok(None);
        }
        let here = process::hostname()?.to_string_lossy().into_owned();
        let hostname = spec.hostname.as_deref().unwrap_or(&here);
        let mut binds = files::write(self.place, spec, hostname, &[], None)?;
        if spec.resolver.is_empty() {
            binds.retain(|bind| !bind.target.ends_with("resolv.conf"));
        }
        Ok(Some(Private { hostname: spec.hostname.clone(), binds, sysfs: false }))
    }

    /// After a start that failed: nothing stays.
    fn undo(&self) -> Vec<Error> {
        let mut left = remove(self.place, &self.state, self.client);
        left.extend(self.place.forget().err());
        left
    }

    fn end(&mut self, exit: Exit) -> Vec<Error> {
        self.state.phase = Phase::Exited;
        self.state.exit_code = Some(exit.code());
        self.state.finished_unix_ms = Some(now_unix_ms());
        let mut left = Vec::new();
        left.extend(self.place.record(&self.state).err());
        // In place, not by rename: whoever waits has the file open, and reads it when all is over.
        let exit_file = self.place.file("exit");
        left.extend(
            fs::write(&exit_file, format!("{}\n", exit.code())).err().map(|e| {
                Error::new(Code::StateUnwritable, format!("write {}", exit_file.display())).because(e)
            }),
        );
        if self.spec.remove {
            left.extend(self.undo());
        } else {
            if self.state.endpoint {
                left.extend(gone_is_fine(self.client.stop_endpoint(&self.spec.name).map(drop)).err());
            }
            left.extend(unname(self.place, &mut self.state));
            left.extend(self.place.record(&self.state).err());
        }
        left
    }
}

/// Takes away all of a host but its files, each part whatever becomes of the others. Nothing there is as good.
pub(super) fn remove(place: &Place, state: &State, client: &Client) -> Vec<Error> {
    let mut left = Vec::new();
    if state.endpoint {
        left.extend(gone_is_fine(client.remove_endpoint(place.name.as_str())).err());
    }
    left.extend(unname(place, &mut state.clone()));
    left
}

/// The file that holds the namespace's number.
const COOKIE: &str = "netns";

fn unname(place: &Place, state: &mut State) -> Vec<Error> {
    let mut left = Vec::new();
    if state.pinned {
        let cookie = std::fs::read_to_string(place.file(COOKIE)).ok().and_then(|text| text.parse().ok());
        left.extend(process::unpin(&place.name, cookie.map(bowline_core::place::Place)).err());
        left.extend(files::unlink(place).err());
        state.pinned = false;
    }
    left
}

fn gone_is_fine(outcome: Result<()>) -> Result<()> {
    match outcome {
        Err(error) if error.code == Code::EndpointNotFound => Ok(()),
        // It sees by itself that the namespace has gone.
        outcome => outcome.context(|| "tell the daemon; it will notice by itself".to_string()),
    }
}

/// The caller's, then what belongs to the user, then what was asked for; of several values the last counts.
pub(super) fn environment(
    callers: Vec<(OsString, OsString)>,
    user: Option<&User>,
    extra: &[(Os, Os)],
) -> Vec<(OsString, OsString)> {
    let mut env = callers;
    let mut set = |key: OsString, value: OsString| {
        env.retain(|(known, _)| *known != key);
        env.push((key, value));
    };
    if let Some(user) = user {
        set("HOME".into(), user.home.clone().unwrap_or_else(|| "/".into()).into());
        let name = user.name.clone().unwrap_or_else(|| user.uid.to_string());
        set("USER".into(), name.clone().into());
        set("LOGNAME".into(), name.into());
    }
    for (key, value) in extra {
        set(key.0.clone(), value.0.clone());
    }
    env
}
