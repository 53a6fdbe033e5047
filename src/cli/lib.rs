//! placeholder
pub mod session;
