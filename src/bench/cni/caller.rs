//! A runtime that calls plugins as libcni does, and looks at the clock.

use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bowline_core::{Code, Error, Result};
use bowline_linux::netns;
use serde_json::{Value, json};

use super::failed;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Add,
    Check,
    Del,
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Verb::Add => "ADD",
            Verb::Check => "CHECK",
            Verb::Del => "DEL",
        }
    }
}

pub(super) struct Caller {
    /// Where it runs, which is the host's namespace for its plugins.
    host: OwnedFd,
    /// With the daemon's socket and its state, where there is one.
    dir: PathBuf,
    path: PathBuf,
    plugins: Vec<Value>,
}

/// A result, where the verb has one, and how long the whole chain took.
type Answer = (Option<Value>, Duration);

impl Caller {
    pub(super) fn new(host: &OwnedFd, dir: &Path, path: PathBuf, plugins: Vec<Value>) -> Result<Caller> {
        let host = host.try_clone().map_err(|e| failed("keep a namespace open", &e))?;
        Ok(Caller { host, dir: dir.to_path_buf(), path, plugins })
    }

    pub(super) fn call(&self, verb: Verb, container: &str, port: u16, netns: &OwnedFd) -> Result<Answer> {
        self.call_with(verb, container, port, netns, None)
    }

    /// The whole chain, from the first plugin's start to the last one's answer.
    pub(super) fn call_with(
        &self,
        verb: Verb,
        container: &str,
        port: u16,
        netns: &OwnedFd,
        result: Option<&Value>,
    ) -> Result<Answer> {
        let sandbox = format!("/proc/{}/fd/{}", std::process::id(), netns.as_raw_fd());
        let chain: Vec<&Value> = match verb {
            Verb::Add | Verb::Check => self.plugins.iter().collect(),
            Verb::Del => self.plugins.iter().rev().collect(),
        };
        netns::run(&self.host, || {
            let begun = Instant::now();
            let mut result = result.cloned();
            for plugin in chain {
                let said = self.exec(verb, plugin, container, port, &sandbox, result.as_ref())?;
                if verb == Verb::Add {
                    result = said;
                }
            }
            Ok((result, begun.elapsed()))
        })?
    }

    fn exec(
        &self,
        verb: Verb,
        plugin: &Value,
        container: &str,
        port: u16,
        sandbox: &str,
        previous: Option<&Value>,
    ) -> Result<Option<Value>> {
        let kind = plugin["type"].as_str().expect("every plugin has a type");
        let mut config = plugin.clone();
        config["cniVersion"] = "1.0.0".into();
        config["name"] = "bench".into();
        if let Some(previous) = previous {
            config["prevResult"] = previous.clone();
        }
        if plugin.get("capabilities").is_some() {
            let mapping = json!([{"hostPort": port, "containerPort": 80, "protocol": "tcp"}]);
            config["runtimeConfig"] = json!({"portMappings": mapping});
        }
        let tried = || format!("{} by {kind} for {container}", verb.name());
        let mut child = Command::new(self.path.join(kind))
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("CNI_COMMAND", verb.name())
            .env("CNI_CONTAINERID", container)
            .env("CNI_NETNS", sandbox)
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", &self.path)
            .env("BOWLINE_SOCKET", self.dir.join("s"))
            .env("BOWLINE_STATE_DIR", self.dir.join("state"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| failed(&tried(), &e))?;
        let mut stdin = child.stdin.take().expect("its input is piped");
        stdin.write_all(config.to_string().as_bytes()).map_err(|e| failed(&tried(), &e))?;
        drop(stdin);
        let output = child.wait_with_output().map_err(|e| failed(&tried(), &e))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            return Err(Error::new(Code::Internal, tried()).because(said.trim()));
        }
        match output.stdout.is_empty() {
            true => Ok(None),
            false => serde_json::from_slice(&output.stdout)
                .map(Some)
                .map_err(|e| Error::new(Code::Internal, tried()).because(e)),
        }
    }
}
