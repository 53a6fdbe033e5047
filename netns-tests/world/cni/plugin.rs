//! One call of a plugin: words in the environment, a configuration to read, an answer and an exit code.

use std::io::Write;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::Attachment;
use crate::world::said::Said;

pub(crate) struct Call {
    line: String,
    command: Command,
}

impl Call {
    pub(super) fn new(mut command: Command, path: &str, verb: &str, plugin: &str, at: &Attachment) -> Call {
        command
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", &at.container)
            .env("CNI_NETNS", &at.netns)
            .env("CNI_IFNAME", &at.ifname)
            .env("CNI_ARGS", &at.args)
            .env("CNI_PATH", path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Call { line: format!("{plugin} {verb} {} {}", at.container, at.ifname), command }
    }

    /// A word of the environment otherwise than a runtime has it.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Call {
        self.command.env(name, value);
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Call {
        self.command.env_remove(name);
        self
    }

    pub(crate) fn with(self, config: impl AsRef<[u8]>) -> Said {
        let line = self.line.clone();
        let child = self.starts(config);
        let output = child.wait_with_output().unwrap_or_else(|e| panic!("wait for {line}: {e}"));
        Said::of(line, &output)
    }

    /// It has read its configuration, or does not want it; how it goes on is for the story to say.
    pub(crate) fn starts(mut self, config: impl AsRef<[u8]>) -> Child {
        let mut child = self.command.spawn().unwrap_or_else(|e| panic!("start {}: {e}", self.line));
        let mut stdin = child.stdin.take().expect("its input is piped");
        // One that refuses before it has read all is in its right.
        drop(stdin.write_all(config.as_ref()));
        child
    }
}

/// The one document of an answer, which says which version it is of.
#[track_caller]
pub(super) fn result(said: &Said, version: &str) -> Value {
    let mut result = said.json();
    // libcni puts the configuration's where a plugin says none.
    if result["cniVersion"].as_str().unwrap_or_default().is_empty() {
        result["cniVersion"] = version.into();
    }
    assert_eq!(result["cniVersion"], version, "a result of another version breaks the next plugin: {said}");
    result
}

/// CNI's number in what a plugin says when it fails; what is no such answer is 0, as in libcni.
pub(super) fn code(said: &Said) -> u64 {
    serde_json::from_str::<Value>(&said.out).ok().and_then(|error| error["code"].as_u64()).unwrap_or(0)
}
