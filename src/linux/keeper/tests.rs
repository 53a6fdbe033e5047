//! Real sockets and a real keeper, which here is a thread; that it is a process of its own is for tests/keeper.rs.

mod bad;
mod full;
pub(crate) mod home;
mod many;
mod outlives;
mod store;
