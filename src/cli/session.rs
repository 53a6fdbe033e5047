//! What every verb is given: the way to the daemon and how to print.

use std::path::PathBuf;

use bowline_api::Client;

#[derive(Debug, Clone)]
pub struct Session {
    pub client: Client,
    /// `--json`, or `--format json`.
    pub json: bool,
}

impl Session {
    /// Where the files of commands that `run` started live: beside the daemon's socket.
    pub fn hosts_dir(&self) -> PathBuf {
        self.client.socket().with_file_name("hosts")
    }
}
