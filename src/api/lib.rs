//! What bowline says: the wire types of API v1, its list of routes, and a small blocking client for the unix socket.
//! This is all of bowline that a plugin may see.

pub mod client;
pub mod convert;
pub mod openapi;
pub mod routes;
pub mod spool;
pub mod v1;

pub use bowline_core::{Code, Context, Error, Result};
pub use client::Client;

/// What outlives a reboot is kept here unless the daemon is told otherwise.
pub const STATE_DIR: &str = "/var/lib/bowline";

/// Where the daemon listens unless told otherwise.
pub const SOCKET: &str = "/run/bowline/bowline.sock";

/// Largest request body that is read.
pub const MAX_BODY: usize = 1 << 20;

/// Deepest JSON that is read.
pub const MAX_DEPTH: usize = 64;
