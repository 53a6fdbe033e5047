//! What bowline does to a Linux kernel: the only crate that speaks netlink and nftables, enters namespaces, writes
//! sysctls, and may say `unsafe`. All of it is blocking.

pub mod kernel;
pub mod netns;
pub mod nft;
pub mod process;

mod fault;
mod netlink;
mod sysctl;

pub use kernel::{Kernel, Options};
