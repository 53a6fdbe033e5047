//! Commands in namespaces of their own: not here yet.
use crate::session::Session;
#[derive(Debug, clap::Subcommand)]
pub enum HostCommand {
    #[command(hide = true)]
    Nothing,
}
pub fn execute(_: HostCommand, _: &Session) -> bowline_core::Result<u8> {
    Ok(0)
}
