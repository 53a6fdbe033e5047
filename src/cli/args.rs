//! The arguments of `bowline` and of every verb that is not about one noun.

use std::path::PathBuf;

use bowline_core::feature::Feature;
use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::cni::CniCommand;
use crate::dns::DnsCommand;
use crate::endpoint::EndpointCommand;
use crate::help;
use crate::host::HostCommand;
use crate::network::NetworkCommand;
use crate::port::PortCommand;
use crate::screen::Color;
use crate::system::SystemCommand;
use crate::version::VersionArgs;

/// Ties containers to networks, and unties as easily.
#[derive(Debug, Parser)]
#[command(
    name = "bowline",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The daemon's socket [default: /run/bowline/bowline.sock]
    #[arg(long, global = true, value_name = "FILE", env = "BOWLINE_SOCKET", hide_env_values = true)]
    pub(crate) socket: Option<PathBuf>,

    /// Print JSON: the same as --format json
    #[arg(long, global = true)]
    json: bool,

    /// table, json, or for ls and inspect a template such as '{{.Name}}' [default: table]
    #[arg(long, global = true, value_name = "FORMAT", env = "BOWLINE_FORMAT", hide_env_values = true)]
    #[arg(value_parser = Format::parse)]
    format: Option<Format>,

    /// When to use colour: auto is on a terminal, unless NO_COLOR or TERM=dumb is set
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value = "auto")]
    #[arg(hide_default_value = true)]
    pub(crate) color: Color,

    /// Show ids, lists and wide columns in full
    #[arg(long, global = true)]
    pub(crate) no_trunc: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Format {
    Table,
    Json,
    Template(String),
}

impl Format {
    fn parse(text: &str) -> Result<Format, String> {
        match text {
            "table" => Ok(Format::Table),
            "json" => Ok(Format::Json),
            _ if text.contains("{{") => Ok(Format::Template(text.to_string())),
            _ => Err("give table, json or a template such as '{{.Name}}'".to_string()),
        }
    }
}

impl Global {
    pub(crate) fn json(&self) -> bool {
        self.json || self.format == Some(Format::Json)
    }

    pub(crate) fn template(&self) -> Option<String> {
        match &self.format {
            Some(Format::Template(text)) if !self.json => Some(text.clone()),
            Some(Format::Template(_) | Format::Table | Format::Json) | None => None,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Host(HostCommand),

    /// Make, list, change and remove networks
    #[command(visible_alias = "net")]
    Network {
        #[command(subcommand)]
        command: NetworkCommand,
    },

    /// Connect existing namespaces, and see what is connected
    #[command(visible_alias = "ep")]
    Endpoint {
        #[command(subcommand)]
        command: EndpointCommand,
    },

    /// Publish ports of endpoints that run, and see what is published
    Port {
        #[command(subcommand)]
        command: PortCommand,
    },

    /// See the names of endpoints, what they ask and what they are answered
    Dns {
        #[command(subcommand)]
        command: DnsCommand,
    },

    /// Say what this host can do, what is wrong with it, and the line to paste
    #[command(after_help = help::DOCTOR)]
    Doctor,

    /// Be a CNI plugin of container runtimes
    Cni {
        #[command(subcommand)]
        command: CniCommand,
    },

    /// Follow what happens, one line each, until Ctrl-C
    Events,

    /// Look after the daemon: state, drift, repair, firewall
    System {
        #[command(subcommand)]
        command: SystemCommand,
    },

    /// Say what an error code means and what to do
    Explain {
        /// Such as BWL-1107, or 1107; all codes are listed without it
        code: Option<String>,
    },

    /// Run the daemon in the foreground
    Daemon(DaemonArgs),

    /// Keep the daemon's sockets while it is away
    #[command(hide = true)]
    Keeper(KeeperArgs),

    /// Check or show the daemon's configuration
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },

    /// Measure bowline on this machine
    Bench(BenchArgs),

    /// Print a completion script for a shell
    #[command(after_help = help::COMPLETION)]
    Completion {
        /// The shell that the script is for
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },

    /// Print the manual page, or write all of them
    Man {
        /// Write one page for each verb into this directory
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },

    /// Show the versions of the client and of the daemon
    Version(VersionArgs),
}

impl Command {
    /// Whether the verb is of no use without a daemon.
    pub(crate) fn needs_daemon(&self) -> bool {
        match self {
            Command::Host(verb) => verb.needs_daemon(),
            Command::Network { .. }
            | Command::Endpoint { .. }
            | Command::Port { .. }
            | Command::Dns { .. }
            | Command::Events
            | Command::System { .. } => true,
            // A bench starts daemons of its own, and a doctor says that there is none. The client's version helps most where no daemon can be
            // reached, so this verb asks for one itself.
            Command::Bench(_)
            | Command::Doctor
            | Command::Version(_)
            | Command::Explain { .. }
            | Command::Daemon(_)
            | Command::Keeper(_)
            | Command::Config { .. }
            | Command::Cni { .. }
            | Command::Completion { .. }
            | Command::Man { .. } => false,
        }
    }
}

#[derive(Debug, Clone, Default, Args)]
pub struct DaemonArgs {
    /// Configuration file [default: /etc/bowline/bowline.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// The global --socket, where it was given.
    #[arg(skip)]
    pub socket: Option<PathBuf>,

    /// What outlives a reboot is kept here [default: /var/lib/bowline]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// What lasts until a reboot is kept here [default: /run/bowline]
    #[arg(long, value_name = "DIR")]
    pub run_dir: Option<PathBuf>,

    /// What to log: error, warn, info, debug or trace, also by module
    #[arg(long = "log", value_name = "LEVEL")]
    pub log: Option<String>,

    /// How to log
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,

    /// Rehearse: work on a kernel in memory, and change nothing on this host
    #[arg(long)]
    pub rehearse: bool,

    /// Write a line to this descriptor when ready.
    #[arg(long, hide = true)]
    pub ready_fd: Option<i32>,

    /// Die just before the nth kernel call, for tests.
    #[arg(long, hide = true)]
    pub kill_at_call: Option<u64>,

    /// With --rehearse, a kernel that has no such feature, for tests.
    #[arg(long, hide = true, requires = "rehearse", value_name = "FEATURE")]
    #[arg(value_parser = feature)]
    pub lacks: Vec<Feature>,
}

fn feature(word: &str) -> Result<Feature, String> {
    Feature::parse(word).ok_or_else(|| "there is no such feature".to_string())
}

#[derive(Debug, Args)]
pub(crate) struct KeeperArgs {
    /// The daemon's, where it finds the keeper
    #[arg(long, value_name = "DIR")]
    pub(crate) run_dir: PathBuf,

    /// Write a line to this descriptor when ready.
    #[arg(long, hide = true)]
    pub(crate) ready_fd: Option<i32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say whether the configuration is valid
    Check(ConfigArgs),
    /// Print the configuration in force
    Show(ConfigArgs),
}

#[derive(Debug, Clone, Default, Args)]
pub struct ConfigArgs {
    /// Configuration file [default: /etc/bowline/bowline.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Say where each value comes from
    #[arg(long)]
    pub origin: bool,
}

#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub command: BenchCommand,
}

#[derive(Debug, Clone, Subcommand)]
pub enum BenchCommand {
    /// How long it takes to connect and disconnect a namespace
    Attach {
        /// A short run, for a first impression
        #[arg(long)]
        quick: bool,

        /// Endpoints to connect
        #[arg(long, value_name = "N")]
        endpoints: Option<usize>,

        /// Clients that ask at the same time
        #[arg(long, value_name = "N")]
        clients: Option<usize>,
    },
    /// How long it takes to connect a namespace to a link of the host's, and what passes between two
    Macvlan {
        /// A short run, for a first impression
        #[arg(long)]
        quick: bool,
    },
    /// What publishing a port costs, and what many ports and endpoints cost those who send
    Scale {
        /// A short run, for a first impression
        #[arg(long)]
        quick: bool,

        /// Ports to publish at most
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(100..=20000))]
        ports: Option<u16>,

        /// Endpoints to connect
        #[arg(long, value_name = "N")]
        endpoints: Option<usize>,
    },
    /// How long a CNI runtime waits, beside the reference plugins
    Cni {
        /// A short run, for a first impression
        #[arg(long)]
        quick: bool,

        /// Containers to connect
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(10..=8000))]
        containers: Option<u16>,

        /// Callers that call at the same time
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
        callers: Option<u16>,

        /// How often each side has its turn
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
        rounds: Option<u16>,

        /// Where the reference plugins are [default: /usr/lib/cni]
        #[arg(long, value_name = "DIR")]
        reference: Option<PathBuf>,
    },
    /// How fast names are answered, beside NSD and aardvark-dns, under a flood and over a restart
    Dns {
        /// Only these parts; all of them if none is named
        #[arg(value_name = "PART", value_parser = ["owned", "forwarded", "flood", "restart"])]
        parts: Vec<String>,

        /// A short run, for a first impression
        #[arg(long)]
        quick: bool,

        /// How often each server has its turn
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
        rounds: Option<u16>,
    },
}

/// The tree of all verbs, its root help in the order a newcomer reads it.
pub(crate) fn command(color: Color) -> clap::Command {
    let color = match color {
        Color::Auto => clap::ColorChoice::Auto,
        Color::Always => clap::ColorChoice::Always,
        Color::Never => clap::ColorChoice::Never,
    };
    help::grouped(Cli::command().styles(STYLES)).color(color)
}

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default())
    .error(AnsiColor::Red.on_default().bold());
