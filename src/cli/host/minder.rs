//! Who watches over a detached command: this program once more, in nobody's session, until the command ends.
//! It tells whoever started it how the start went, over a pipe, and from then on only its own log.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use bowline_api::v1::Failure;
use bowline_api::{Code, Error, Result};
use bowline_linux::process::{self, NotStarted, OWN_PROGRAM, Output, Ready, spawn_detached};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::NOT_OURS;
use super::life::{Life, Wires};
use super::log::LogFile;
use super::run::nothing;
use super::shelf::{Place, Shelf};
use crate::exit;
use crate::io::Io;
use crate::report;
use crate::session::Session;

#[derive(Debug, Args)]
pub(crate) struct MinderArgs {
    /// Whose spec is there already
    name: String,
}

/// What the minder says once.
#[derive(Debug, Serialize, Deserialize)]
enum Word {
    Running,
    Failed { failure: Failure, exit_code: u8 },
}

/// Starts a minder for a claimed host, and waits until its command runs.
pub(super) fn start(place: &Place, session: &Session) -> Result<(), NotStarted> {
    let socket = std::path::absolute(session.client.socket())
        .unwrap_or_else(|_| session.client.socket().to_path_buf());
    // The format is said because the environment may hold another.
    let argv = [
        "bowline".into(),
        "--socket".into(),
        socket.into(),
        "--format".into(),
        "table".into(),
        "minder".into(),
    ]
    .into_iter()
    .chain([place.name.as_str().into()])
    .collect::<Vec<_>>();
    let log = place.file("minder.log");
    let started = spawn_detached(Path::new(OWN_PROGRAM), &argv, &log, Ready::Pipe);
    let pipe = match started {
        Ok(pipe) => pipe.expect("a pipe was asked for"),
        Err(failed) => {
            place.forget()?;
            return Err(NotStarted { error: failed.error.context("start a minder"), exit_code: NOT_OURS });
        }
    };
    let mut said = String::new();
    File::from(pipe)
        .read_to_string(&mut said)
        .map_err(|e| Error::new(Code::Kernel, "hear from the minder").because(e))?;
    match serde_json::from_str(&said) {
        Ok(Word::Running) => Ok(()),
        Ok(Word::Failed { failure, exit_code }) => Err(NotStarted { error: failure.into(), exit_code }),
        Err(_) => {
            let error = Error::new(Code::Internal, format!("the minder of {} ended at once", place.name))
                .fix(format!("see why: cat {}; then: bowline rm {}", log.display(), place.name));
            let words = std::fs::read_to_string(&log).unwrap_or_default();
            let last = words.lines().rev().find(|line| !line.trim().is_empty());
            Err(match last {
                Some(line) => error.because(line),
                None => error,
            }
            .into())
        }
    }
}

/// The minder's own life.
pub(super) fn execute(args: &MinderArgs, session: &Session, io: &mut Io<'_>) -> Result<u8> {
    let mut ready = Some(process::take_ready_pipe(process::READY_FD)?);
    let shelf = Shelf::new(session.hosts_dir());
    let outcome = mind(&shelf, &args.name, session, &mut ready);
    match outcome {
        Ok(left) => {
            left.iter().for_each(|error| report::failure(error, session, io));
            Ok(exit::OK)
        }
        Err(failed) => {
            let word = Word::Failed { failure: Failure::from(&failed.error), exit_code: failed.exit_code };
            say(&mut ready, &word);
            Err(failed.error)
        }
    }
}

fn mind(
    shelf: &Shelf,
    name: &str,
    session: &Session,
    ready: &mut Option<File>,
) -> Result<Vec<Error>, NotStarted> {
    let place = shelf.find(name)?;
    let spec = place.spec()?;
    let mut log = LogFile::open(&place)?;
    let (read, write) = process::pipe()?;
    let again = write.try_clone().map_err(|e| Error::new(Code::Kernel, "duplicate a pipe").because(e))?;
    let wires =
        Wires { stdin: Some(nothing()?.into()), stdout: Some(write), stderr: Some(again), terminal: None };
    let mut sink = |bytes: &[u8]| log.append(bytes);
    let output = Output { pipe: read, sink: &mut sink };
    let mut running = || say(ready, &Word::Running);
    let life = Life::new(&place, &spec, &session.client)?;
    let (_, left) = life.live(wires, Some(output), &mut |_| (), &mut running)?;
    Ok(left)
}

/// Says it and hangs up. Whoever started us may have left meanwhile.
fn say(ready: &mut Option<File>, word: &Word) {
    if let Some(mut pipe) = ready.take() {
        let _nobody_waits = pipe.write_all(&serde_json::to_vec(word).expect("words have string keys only"));
    }
}
