//! What bowline remembers and drives: the manager's verbs, the stores, the HTTP server. The only crate that is async.

pub mod config;
mod dirs;
mod labels;
pub mod manager;
mod ready;
pub mod run;
mod server;
pub mod store;

pub use run::{Options, run};
