//! The truth about Linux: each test in a fresh namespace on the real kernel, as root.

mod can;
mod facts;
mod foreign;
mod guests;
mod heal;
mod rate;
mod reach;
mod speed;
mod watch;
mod world;
