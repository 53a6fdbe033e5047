//! What bowline does to a Linux kernel: the only crate that speaks netlink and nftables, enters namespaces, writes
//! sysctls, and may say `unsafe`. All of it is blocking.

pub mod hold;
pub mod keeper;
pub mod kernel;
pub mod netns;
pub mod nft;
pub mod probe;
pub mod process;

mod anchor;
mod conntrack;
mod dial;
mod fault;
mod foreign;
mod netlink;
mod packets;
mod resolver;
mod sysctl;

pub use anchor::{Anchors, Tell};
pub use dial::reset_on_close;
pub use hold::raise_file_limit;
pub use kernel::{Kernel, Options};
pub use packets::{Heard, Packets, Sort};
pub use resolver::Ears;
