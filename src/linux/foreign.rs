//! Other firewalls of a host: an accept in our table does not keep a chain of another table from dropping.
//! This says which chain would, and adds the one accept that is asked for where the other tool has a place for it.

mod dbus;
mod docker;
pub(crate) mod firewalld;
mod legacy;
mod obstacle;
mod packet;
mod rule;
mod ruleset;
mod talk;
#[cfg(test)]
mod tests;
mod tool;
mod uplink;
mod walk;

pub(crate) use docker::{unwelcome, welcome};
pub(crate) use obstacle::{Obstacle, obstacles};
