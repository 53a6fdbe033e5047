//! The last queries: who asked what, what was answered, from where, and how long it took.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use bowline_core::place::Place;

mod decode;
pub(crate) mod ring;

/// Where an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// A name of ours, or no name at all.
    Here,
    Cache,
    Server(SocketAddr),
    /// Nobody: it was given up.
    Nobody,
}

/// One query, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Counted up from the start of the daemon.
    pub number: u64,
    pub at: SystemTime,
    pub place: Place,
    pub endpoint: String,
    /// As it was spelled, without the final dot; `.` for the root.
    pub name: String,
    /// Such as `A` or `TYPE65`
    pub kind: String,
    /// Such as `NOERROR` or `NXDOMAIN`
    pub outcome: String,
    /// The records' data, such as `10.9.0.2`.
    pub answers: Vec<String>,
    pub from: From,
    pub took: Duration,
}

impl Line {
    /// A query and its answer in words, asked by nobody in particular just now.
    pub fn of(query: &[u8], reply: &[u8], from: From, took: Duration) -> Line {
        let record =
            ring::Record { at: SystemTime::now(), place: Place(0), endpoint: "", query, reply, from, took };
        ring::line(0, record)
    }
}
