//! What bowline decides: pure functions over plain values. No IO, clock, async, serde or unsafe.
//!
//! Read in this order: the nouns, the [`state::State`] that describes a kernel, the drivers that
//! say which state a network wants, and [`plan::diff`], which finds the steps from seen to wanted.

pub mod checkup;
pub mod driver;
pub mod endpoint;
pub mod error;
pub mod family;
pub mod feature;
pub mod firewall;
pub mod ipam;
pub mod kernel;
pub mod lease;
pub mod mac;
pub mod medium;
pub mod memory;
pub mod name;
pub mod network;
pub mod place;
pub mod plan;
pub mod port;
pub mod range;
pub mod rate;
pub mod state;
#[cfg(test)]
mod walk;

pub use error::{Code, Context, Error, Result};
