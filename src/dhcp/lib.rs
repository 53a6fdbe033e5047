//! A DHCP client (RFC 2131) that decides and does nothing else: packets and the time go in, packets and decisions come out.
//! Who drives it has the sockets, the clock and the dice.

mod arp;
mod client;
mod frame;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod identity;
mod message;
mod offer;

pub use arp::{Arp, claims, question, statement};
pub use client::{Act, Client, Heading, Lost, Phase};
pub use frame::{Checksum, unwrap, wrap};
pub use identity::{Identity, client_id};
pub use message::{Kind, Message, option};
pub use offer::lease;

/// The port that servers hear at.
pub const SERVER: u16 = 67;

/// The port that clients hear at.
pub const CLIENT: u16 = 68;
