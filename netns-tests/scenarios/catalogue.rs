//! The attacks that others have suffered, by their numbers in docs/testing.md: those that no other story tells already.
//! Each is a real one, and has a part in which it works, on a way that is open or at one who is not guarded.

mod flows;
mod forgery;
mod frames;
mod loopback;
mod others;
mod reach;

pub(crate) use flows::*;
pub(crate) use forgery::*;
pub(crate) use loopback::*;
pub(crate) use others::*;
pub(crate) use reach::*;
