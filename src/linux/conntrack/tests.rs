//! Flows between real namespaces, with `/proc` as the witness.

mod forget;
mod socket;
mod speed;
mod world;
