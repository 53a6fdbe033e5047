//! The stories, each a function of the world it plays in.

pub(crate) mod addresses;
pub(crate) mod attach;
pub(crate) mod catalogue;
pub(crate) mod coexist;
pub(crate) mod crash;
pub(crate) mod elsewhere;
pub(crate) mod families;
pub(crate) mod foreign;
pub(crate) mod gateways;
pub(crate) mod healing;
pub(crate) mod hooks;
pub(crate) mod internal;
pub(crate) mod isolation;
pub(crate) mod links;
pub(crate) mod many;
pub(crate) mod ports;
pub(crate) mod races;
pub(crate) mod rates;
pub(crate) mod refusals;
pub(crate) mod remember;
pub(crate) mod republish;
pub(crate) mod restart;
pub(crate) mod run;
pub(crate) mod senders;
pub(crate) mod tables;
pub(crate) mod uplink;

pub(crate) use crate::matrix;
