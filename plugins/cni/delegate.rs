//! Addresses of another plugin's: it is run from CNI_PATH, and from nowhere else, with the configuration as it came.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::Asked;
use crate::call::is_name;
use crate::failure::{Code, Failure};
use crate::json::Json;

type Result<T> = std::result::Result<T, Failure>;

pub(crate) struct Delegate<'a> {
    asked: &'a Asked,
    name: String,
    program: PathBuf,
}

/// Those whose work the daemon does.
const OURS: [&str; 2] = ["host-local", "static"];

impl<'a> Delegate<'a> {
    /// None where the addresses are the daemon's to give.
    pub(crate) fn of(asked: &'a Asked) -> Result<Option<Delegate<'a>>> {
        let Some(name) = asked.config.ipam_type()?.filter(|name| !OURS.contains(name)) else {
            return Ok(None);
        };
        // A name, so that it is a file of one of these folders and of no other.
        if !is_name(name) || name.len() > 255 {
            return Err(Failure::new(Code::Config, format!("ipam.type {name:.80?} is no plugin's name")));
        }
        let found = asked.call.path.iter().map(|dir| dir.join(name)).find(|path| path.is_file());
        let program = found.ok_or_else(|| {
            Failure::new(Code::Config, format!("failed to find plugin {name:?} in path"))
                .because(format!("CNI_PATH is {:?}", asked.call.path))
        })?;
        Ok(Some(Delegate { asked, name: name.to_string(), program }))
    }

    /// Its answer, where it gives one. What it says to people goes where ours goes.
    pub(crate) fn run(&self, command: &str) -> Result<Option<Json>> {
        let failed = |error: &dyn std::fmt::Display| {
            Failure::new(Code::Internal, format!("run the IPAM plugin {}", self.name)).because(error)
        };
        let mut child = Command::new(&self.program)
            .env("CNI_COMMAND", command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(|error| failed(&error))?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that does not read needs nothing of it.
            drop(stdin.write_all(&self.asked.bytes));
        }
        let output = child.wait_with_output().map_err(|error| failed(&error))?;
        let said = String::from_utf8_lossy(&output.stdout);
        if output.status.success() {
            return match said.trim() {
                "" => Ok(None),
                text => Json::parse(text.as_bytes()).map(Some),
            };
        }
        let told = Json::parse(&output.stdout).ok();
        let part = |key: &str| told.as_ref().and_then(|json| json.get(key)).and_then(Json::as_text);
        let why = part("msg").map_or_else(|| output.status.to_string(), str::to_string);
        Err(failed(&why).because(part("details").unwrap_or_default()))
    }
}
