//! What every verb is given: the way to the daemon and how to print.

use std::path::PathBuf;

use bowline_api::Client;

use crate::screen::Screen;

#[derive(Debug, Clone)]
pub struct Session {
    pub client: Client,
    /// `--json`, or `--format json`.
    pub json: bool,
    /// `--format '{{.Name}}'`, for the verbs that take one.
    pub template: Option<String>,
    pub screen: Screen,
}

impl Session {
    /// Prints as to a file: no colour, no width, no questions.
    pub fn new(client: Client, json: bool) -> Session {
        Session { client, json, template: None, screen: Screen::default() }
    }

    /// Where the files of commands that `run` started live: beside the daemon's socket.
    pub fn hosts_dir(&self) -> PathBuf {
        self.client.socket().with_file_name("hosts")
    }
}
