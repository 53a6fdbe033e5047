//! Measures bowline from outside, as a client sees it, and says whether a figure meets its goal.
//! Everything happens in namespaces made for it: the machine's own network is not touched.

pub mod attach;
pub mod cni;
pub mod direct;
pub mod dns;
pub mod figure;
pub mod machine;
mod occupants;
mod paired;
mod rig;
pub mod scale;
mod traffic;

pub use figure::{Figure, Report};
