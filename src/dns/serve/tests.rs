//! The service as a whole, at real sockets.

mod broken;
mod elsewhere;
mod limits;
mod local;
mod owed;
pub(super) mod rig;
mod speed;
mod streams;
pub(super) mod stub;

use rig::LONG;
