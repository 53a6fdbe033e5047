//! What bowline remembers and drives: the manager's verbs, the stores, the HTTP server. The only crate that is async.

pub mod config;
mod dirs;
pub mod hooks;
pub mod kept;
mod labels;
mod leases;
pub mod manager;
mod ready;
mod relay;
mod resolver;
pub mod run;
mod server;
mod sockets;
pub mod store;

pub use run::{Options, run};
pub use sockets::Heard;
pub use sockets::{Leave, LeftAlone, Listening, NoSockets, Packets, Sockets};
