//! A program that runs on beside the story, and is gone when the story no longer speaks of it.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use super::machine::child_of;
use super::said::{Said, eventually};

pub(crate) struct Background {
    line: String,
    child: Child,
    out: BufReader<ChildStdout>,
    heard: String,
}

impl Background {
    #[track_caller]
    pub(crate) fn start(line: String, command: &mut Command) -> Background {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("start {line}: {e}"));
        let out = BufReader::new(child.stdout.take().expect("its output is piped"));
        Background { line, child, out, heard: String::new() }
    }

    /// Reads on until it says this; what it said on the way is kept.
    #[track_caller]
    pub(crate) fn wait_for_line(&mut self, part: &str) -> String {
        loop {
            let mut line = String::new();
            let more = self.out.read_line(&mut line).unwrap_or(0);
            self.heard.push_str(&line);
            if line.contains(part) {
                return line;
            }
            if more == 0 {
                let said = self.end();
                panic!("wanted to hear {part:?} of {said}");
            }
        }
    }

    /// A line of its input.
    #[track_caller]
    pub(crate) fn tell(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().expect("its input is piped");
        writeln!(input, "{line}").unwrap_or_else(|e| panic!("tell {} {line:?}: {e}", self.line));
    }

    pub(crate) fn still_runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The program itself, by the number it has out here; what we started only waits for it.
    #[track_caller]
    pub(crate) fn pid(&self) -> u32 {
        let keeper = self.child.id();
        eventually(&format!("{} starts", self.line), || child_of(keeper).ok_or("not yet".into()))
    }

    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([format!("-{name}"), self.pid().to_string()]).status();
        assert!(status.is_ok_and(|s| s.success()), "could not send SIG{name} to {}", self.line);
    }

    /// Closes its input, which ends those that read it, and waits for its end.
    #[track_caller]
    pub(crate) fn ends(mut self) -> Said {
        drop(self.child.stdin.take());
        self.end()
    }

    fn end(&mut self) -> Said {
        let mut err = String::new();
        let mut out = std::mem::take(&mut self.heard);
        drop(self.out.read_to_string(&mut out));
        if let Some(stderr) = &mut self.child.stderr {
            drop(stderr.read_to_string(&mut err));
        }
        let status = self.child.wait().unwrap_or_else(|e| panic!("wait for {}: {e}", self.line));
        let output = std::process::Output { status, stdout: out.into_bytes(), stderr: err.into_bytes() };
        Said::of(self.line.clone(), &output)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        if self.still_runs()
            && let Some(pid) = child_of(self.child.id())
        {
            drop(Command::new("kill").args(["-KILL", &pid.to_string()]).stderr(Stdio::null()).status());
        }
        drop(self.child.wait());
    }
}
