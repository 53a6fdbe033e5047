//! kernel
pub struct Kernel;
