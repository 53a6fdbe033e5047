//! `bowline cni`: to be found by container runtimes, and to take over the lists that they have.

use std::path::PathBuf;

use bowline_core::Result;
use clap::Subcommand;

use crate::Outer;
use crate::exit;
use crate::io::Io;

#[derive(Debug, Clone, Subcommand)]
pub enum CniCommand {
    /// Link this program where runtimes look for plugins, and write a list that joins a network
    Install(CniInstall),

    /// Show a list of reference plugins as one of bowline's, and what changes by it
    Migrate(CniMigrate),
}

#[derive(Debug, Clone, clap::Args)]
pub struct CniInstall {
    /// Write NAME's list, 10-NAME.conflist
    #[arg(long, value_name = "NAME", requires = "network")]
    pub conflist: Option<String>,

    /// The network that the list's containers join
    #[arg(long, value_name = "NETWORK", requires = "conflist")]
    pub network: Option<String>,

    /// Take the reference plugins' names too: lists that name them are ours without a change
    #[arg(long)]
    pub all: bool,

    /// Where runtimes look for plugins [default: /opt/cni/bin]
    #[arg(long, value_name = "DIR")]
    pub bin_dir: Option<PathBuf>,

    /// Where runtimes look for lists [default: /etc/cni/net.d]
    #[arg(long, value_name = "DIR")]
    pub conf_dir: Option<PathBuf>,
}

#[derive(Debug, Clone, clap::Args)]
pub struct CniMigrate {
    /// Such as /etc/cni/net.d/10-apps.conflist
    pub file: PathBuf,

    /// Write it in place; the old one is kept beside it
    #[arg(long)]
    pub write: bool,
}

pub(crate) fn execute(command: CniCommand, outer: &Outer, io: &mut Io<'_>) -> Result<u8> {
    let text = match command {
        CniCommand::Install(args) => (outer.cni_install)(args)?,
        CniCommand::Migrate(args) => (outer.cni_migrate)(args)?,
    };
    io.data(&text)?;
    Ok(exit::OK)
}
