//! Against the kernel, each test in a namespace of its own, which takes root.

mod clash;
mod holders;
mod kept;
mod listen;
mod refusals;
mod space;
mod speed;
