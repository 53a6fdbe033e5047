//! What bowline says: the wire types of API v1, its list of routes, and a small blocking client for the unix socket.
//! This is all of bowline that a plugin may see.

pub mod client;
pub mod convert;
pub mod openapi;
pub mod routes;
pub mod v1;

pub use bowline_core::{Code, Context, Error, Result};
pub use client::Client;

/// Where the daemon listens unless told otherwise.
pub const SOCKET: &str = "/run/bowline/bowline.sock";

/// Largest request body that is read.
pub const MAX_BODY: usize = 1 << 20;

/// Deepest JSON that is read.
pub const MAX_DEPTH: usize = 64;
