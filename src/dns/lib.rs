//! The resolver at 127.0.0.11: what names a container sees, what it is answered, and the threads that answer.
//!
//! ```text
//! query -> message (is it one?) -> answer (from the zones that the asker sees)
//!                                    | not ours
//!                                    v
//!                                  cache -> upstream (which server, how long) -> a socket
//! ```
//! Everything but `serve` is pure: bytes and facts in, bytes and decisions out.

pub mod answer;
pub mod ask;
pub mod asker;
pub mod cache;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod log;
pub mod message;
pub mod resolv;
pub mod serve;
pub mod upstream;
pub mod zone;
