//! The stories that have a page of their own; all others are listed in main.rs.

pub(crate) mod media;
pub(crate) mod names;
