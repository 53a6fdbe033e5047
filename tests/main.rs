//! The unprivileged tier: the real program and the real socket, on the kernel in memory.
//! No test needs root, and none changes anything outside of its own temporary directory.

// A test that cannot go on says why and ends: that is what unwrap does.
#![allow(clippy::unwrap_used)]

mod support;

mod api;
mod bad_input;
mod bridges;
mod cli;
mod cni;
mod docs;
mod keeper;
mod layers;
mod limits;
mod races;
mod restart;
mod service;
