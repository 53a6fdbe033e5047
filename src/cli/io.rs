//! The two streams that a verb writes to, so that a test can read them.

use std::io::{ErrorKind, Write};
use std::ops::ControlFlow;

use bowline_api::v1::{Plan, Pruned};
use bowline_core::{Code, Error, Result};

use crate::exit;
use crate::screen::{clean, json};
use crate::session::Session;

pub(crate) struct Io<'a> {
    /// Data, and nothing else.
    pub(crate) out: &'a mut dyn Write,
    /// Messages.
    pub(crate) err: &'a mut dyn Write,
}

impl Io<'_> {
    /// Writes data. A reader that has left (`| head`) is no failure.
    pub(crate) fn data(&mut self, text: &str) -> Result<()> {
        self.stream(text).map(drop)
    }

    /// One JSON value.
    pub(crate) fn json(&mut self, value: &impl serde::Serialize) -> Result<()> {
        self.data(&json(value))
    }

    /// Writes data, and says whether there is still a reader.
    pub(crate) fn stream(&mut self, text: &str) -> Result<ControlFlow<()>> {
        match self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()) {
            Ok(()) => Ok(ControlFlow::Continue(())),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
            Err(error) => Err(Error::new(Code::Kernel, "write to standard output").because(error)),
        }
    }

    /// Tells the person at the terminal. Where even that fails there is nobody to tell.
    pub(crate) fn note(&mut self, session: &Session, text: &str) {
        if !session.json {
            self.message(&format!("{}\n", clean(text)));
        }
    }

    pub(crate) fn message(&mut self, text: &str) {
        drop(self.err.write_all(text.as_bytes()).and_then(|()| self.err.flush()));
    }
}

impl Io<'_> {
    /// Asks at the terminal, with all that would be lost in view.
    pub(crate) fn agreed(&mut self, what: &str, victims: &[String]) -> Result<bool> {
        let victims: Vec<_> = victims.iter().map(|name| clean(name)).collect();
        self.message(&format!("{}\n{what}? [y/N] ", victims.join("\n")));
        let mut answer = String::new();
        std::io::stdin()
            .read_line(&mut answer)
            .map_err(|error| Error::new(Code::Kernel, "read the answer").because(error))?;
        Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
    }

    pub(crate) fn removed(&mut self, session: &Session, pruned: &Pruned) -> Result<u8> {
        match session.json {
            true => self.json(pruned)?,
            false if pruned.removed.is_empty() => self.note(session, "nothing to remove"),
            false => self.lines(&pruned.removed)?,
        }
        Ok(exit::OK)
    }

    pub(crate) fn plan(&mut self, session: &Session, plan: &Plan) -> Result<u8> {
        match session.json {
            true => self.json(plan)?,
            false => self.lines(&plan.steps)?,
        }
        Ok(exit::OK)
    }

    pub(crate) fn lines(&mut self, lines: &[String]) -> Result<()> {
        let mut text = String::new();
        for line in lines {
            text.push_str(&clean(line));
            text.push('\n');
        }
        self.data(&text)
    }
}
