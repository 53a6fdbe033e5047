//! bowline: one program, and the one place that chooses implementations.

use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use bowline_bench::{attach, cni, direct, dns, scale};
use bowline_cli::{
    BenchArgs, BenchCommand, CniInstall, CniMigrate, ConfigArgs, DaemonArgs, LogFormat, Outer, Session,
};
use bowline_cni::{Role, install, migrate};
use bowline_core::kernel::Kernel;
use bowline_core::mac::Mac;
use bowline_core::name::LinkName;
use bowline_core::place::{Door, Found, Place};
use bowline_core::port::{HostPort, Protocol};
use bowline_core::{Code, Error, Result};
use bowline_daemon::config::{self, Config};
use bowline_daemon::kept::{self, Opening};
use bowline_daemon::{Heard, Leave, LeftAlone, Listening, NoSockets, Packets, Sockets};
use bowline_dns::serve::Ears;
use bowline_linux::Sort;
use bowline_linux::hold::Socket;
use bowline_linux::keeper::{self, Systemd};

/// The exit code of a check that was made and said no.
const CHECK_SAID_NO: u8 = 7;

fn main() -> ExitCode {
    // A runtime calls, and waits: nothing of what people need is touched.
    let has_command = std::env::var_os("CNI_COMMAND").is_some();
    if let Some(role) = Role::of(std::env::args_os().next().as_deref(), has_command) {
        return ExitCode::from(bowline_cni::main(role));
    }
    let outer = Outer {
        daemon,
        config_check: |args| config_check(&args),
        config_show: |args| config_show(&args),
        bench: |args, session| bench(&args, session),
        cni_install: |args| cni_install(&args),
        cni_migrate: |args| cni_migrate(&args),
    };
    ExitCode::from(bowline_cli::main(std::env::args_os(), &outer))
}

fn daemon(args: DaemonArgs) -> Result<()> {
    let (kernel, sockets, keeper): (Arc<dyn Kernel>, Arc<dyn Sockets>, Opening) = if args.rehearse {
        let kernel = bowline_core::memory::Kernel::with_doors(inode);
        args.lacks.iter().for_each(|feature| kernel.take_away(*feature));
        (Arc::new(kernel), Arc::new(NoSockets), Opening::default())
    } else {
        let systemd = systemd(args.ready_fd);
        bowline_linux::raise_file_limit()?;
        let options = bowline_linux::Options { kill_at_call: args.kill_at_call };
        let kernel = Arc::new(bowline_linux::Kernel::new(options)?);
        (kernel.clone(), Arc::new(HostSockets(kernel.clone())), keeper(systemd, kernel))
    };
    let options = bowline_daemon::Options {
        config: args.config,
        socket: args.socket,
        run_dir: args.run_dir,
        state_dir: args.state_dir,
        log: args.log,
        log_format: args.log_format.map(|format| match format {
            LogFormat::Text => config::LogFormat::Text,
            LogFormat::Json => config::LogFormat::Json,
        }),
        ready: args.ready_fd.map(bowline_linux::process::take_ready_pipe).transpose()?,
        keeper,
    };
    bowline_daemon::run(options, kernel, sockets)
}

struct HostSockets(Arc<bowline_linux::Kernel>);

impl Sockets for HostSockets {
    fn take_up_ports(&self) {
        self.0.take_up_ports();
    }

    fn listen(&self, place: Place, port: &HostPort) -> Result<Option<Listening>> {
        Ok(self.0.listen(place, port)?.and_then(|socket| match socket {
            Socket::Tcp(listener) => Some(Listening::Tcp(listener)),
            Socket::Udp(socket) => Some(Listening::Udp(socket)),
            Socket::Sctp(_) => None,
        }))
    }

    fn dial(&self, place: Place, protocol: Protocol, to: SocketAddr) -> io::Result<OwnedFd> {
        self.0.dial(place, protocol, to)
    }

    fn ears(&self, place: Place) -> Option<Ears> {
        self.0.ears(place).map(ears)
    }

    fn adopt(&self, sockets: Vec<OwnedFd>) -> Result<(Place, Ears)> {
        self.0.adopt(sockets).map(|(place, found)| (place, ears(found)))
    }

    fn anchor(&self, place: Place, socket: BorrowedFd<'_>, found: Found<'_>) -> Result<bool> {
        self.0.anchor(place, socket, found)
    }

    fn when_left_alone(&self, tell: LeftAlone) -> Result<()> {
        self.0.when_left_alone(tell)
    }

    fn leave(&self, place: Place) -> Option<Leave> {
        self.0.leave_resolver(place).map(|leave| Box::new(leave) as Leave)
    }

    fn lose(&self, place: Place) {
        self.0.lose_ears(place);
    }

    fn forget(&self, place: Place) {
        self.0.forget_resolver(place);
    }

    fn packets(&self, place: Place, card: &LinkName, port: u16) -> Result<Box<dyn Packets>> {
        Ok(Box::new(HostPackets(self.0.packets(place, card, port)?)))
    }

    fn way_in(&self, place: Place) -> Option<OwnedFd> {
        self.0.way_in(place)
    }
}

#[derive(Debug)]
struct HostPackets(bowline_linux::Packets);

impl Packets for HostPackets {
    fn send_ip(&self, packet: &[u8], to: Option<Mac>) -> io::Result<()> {
        self.0.send_ip(packet, to)
    }

    fn send_arp(&self, packet: &[u8]) -> io::Result<()> {
        self.0.send_arp(packet)
    }

    fn send_udp(&self, from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> io::Result<()> {
        self.0.send_udp(from, to, payload)
    }

    fn receive(&self, into: &mut Vec<u8>) -> io::Result<Option<Heard>> {
        let heard = self.0.receive(into)?;
        Ok(heard.map(|heard| match heard.sort {
            Sort::Arp => Heard::Arp,
            Sort::Ip { has_checksum } => Heard::Ip { has_checksum, from: heard.from },
        }))
    }
}

impl AsFd for HostPackets {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn ears(made: bowline_linux::Ears) -> Ears {
    Ears { udp: made.udp, tcp: made.tcp }
}

/// Before anything else is opened, for what a service manager has opened is known by its numbers only. Whoever was promised
/// the first of them for something else was not started by one.
fn systemd(ready_fd: Option<i32>) -> Result<Option<Systemd>> {
    match ready_fd {
        Some(_) => Ok(None),
        None => Systemd::found(|name| std::env::var_os(name)),
    }
}

/// One for the sockets of resolvers and for those that hold ports.
fn keeper(systemd: Result<Option<Systemd>>, kernel: Arc<bowline_linux::Kernel>) -> Opening {
    Opening::new(move |run_dir| {
        let opened = keeper::open(run_dir, systemd?, kept::place_of)?;
        let keeper = Arc::new(opened.keeper);
        kernel.keep_ports_with(keeper.clone(), opened.ports);
        Ok((Box::new(HostKeeper(keeper)), opened.ears))
    })
}

struct HostKeeper(Arc<keeper::Keeper>);

impl bowline_daemon::kept::Keeper for HostKeeper {
    fn keep(&self, name: &str, sockets: &[BorrowedFd<'_>]) -> Result<()> {
        self.0.keep(name, sockets)
    }

    fn forget(&self, name: &str) -> Result<()> {
        self.0.forget(name)
    }
}

/// For a rehearsal, which enters no namespace, the number of its file is enough to know it again.
fn inode(door: &Door) -> Option<u64> {
    let path = match door {
        Door::Own => "/proc/self/ns/net".to_string(),
        Door::Fd { pid, fd } => format!("/proc/{pid}/fd/{fd}"),
        Door::Path(path) => path.clone(),
    };
    std::fs::metadata(path).ok().map(|file| file.ino())
}

fn config_check(args: &ConfigArgs) -> Result<String> {
    Config::load(args.config.as_deref())?;
    Ok("the configuration is valid\n".to_string())
}

/// As a file that could be used.
fn config_show(args: &ConfigArgs) -> Result<String> {
    let mut text = String::new();
    let mut section = "";
    for setting in Config::settings(args.config.as_deref())? {
        let (table, key) = setting.key.split_once('.').expect("every key is in a table");
        if table != section {
            text += &format!("{}[{table}]\n", if section.is_empty() { "" } else { "\n" });
            section = table;
        }
        let origin = if args.origin { format!("  # {}", setting.origin) } else { String::new() };
        text += &format!("{key} = {}{origin}\n", config::toml_value(setting.key, &setting.value));
    }
    Ok(text)
}

fn cni_install(args: &CniInstall) -> Result<String> {
    let program = std::env::current_exe()
        .map_err(|error| Error::new(Code::Internal, "find this program").because(error))?;
    let dir = |given: &Option<PathBuf>, usual: &str| given.clone().unwrap_or_else(|| usual.into());
    let roles = if args.all { Role::ALL.as_slice() } else { &[Role::Bowline] };
    let mut done = install::links(&program, &dir(&args.bin_dir, install::BIN_DIR), roles)?;
    if let (Some(name), Some(network)) = (&args.conflist, &args.network) {
        let path = install::conflist(&dir(&args.conf_dir, install::CONF_DIR), name, network)?;
        done.push(format!("wrote {}", path.display()));
    }
    Ok(done.iter().map(|line| format!("{line}\n")).collect())
}

fn cni_migrate(args: &CniMigrate) -> Result<String> {
    let file = args.file.display();
    let old = std::fs::read_to_string(&args.file)
        .map_err(|error| Error::new(Code::InvalidConfig, format!("read {file}")).because(error))?;
    let migrated = migrate::migrate(&old).map_err(|failure| {
        let error = Error::new(Code::InvalidConfig, format!("migrate {file}")).because(failure.msg);
        if failure.details.is_empty() { error } else { error.because(failure.details) }
    })?;
    let mut text = migrate::difference(&old, &migrated.text);
    text.extend(migrated.notes.iter().map(|note| format!("# {note}\n")));
    if args.write {
        let kept = install::replace(&args.file, &migrated.text)?;
        text.push_str(&format!("# written; what was there is {}\n", kept.display()));
    }
    Ok(text)
}

fn bench(args: &BenchArgs, session: &Session) -> Result<u8> {
    let tell = |step: &str| eprintln!("{step} …");
    let report = match args.command {
        BenchCommand::Attach { quick, endpoints, clients } => {
            let usual = if quick { attach::Options::quick() } else { attach::Options::full() };
            let options = attach::Options {
                endpoints: endpoints.unwrap_or(usual.endpoints),
                clients: clients.unwrap_or(usual.clients),
                ..usual
            };
            attach::run(options, &tell)?
        }
        BenchCommand::Macvlan { quick } => {
            direct::run(if quick { direct::Options::quick() } else { direct::Options::full() }, &tell)?
        }
        BenchCommand::Scale { quick, ports, endpoints } => {
            let usual = if quick { scale::Options::quick() } else { scale::Options::full() };
            let options = scale::Options {
                ports: ports.unwrap_or(usual.ports),
                endpoints: endpoints.unwrap_or(usual.endpoints),
                ..usual
            };
            scale::run(options, &tell)?
        }
        BenchCommand::Cni { quick, containers, callers, rounds, ref reference } => {
            let usual = if quick { cni::Options::quick() } else { cni::Options::full() };
            let options = cni::Options {
                containers: containers.map_or(usual.containers, usize::from),
                callers: callers.map_or(usual.callers, usize::from),
                rounds: rounds.map_or(usual.rounds, usize::from),
                reference: reference.clone().unwrap_or(usual.reference),
            };
            cni::run(&options, &tell)?
        }
        BenchCommand::Dns { ref parts, quick, rounds } => {
            let usual = if quick { dns::Options::quick() } else { dns::Options::full() };
            let options = dns::Options {
                parts: parts.iter().map(|part| part.parse()).collect::<Result<_>>()?,
                rounds: rounds.map_or(usual.rounds, usize::from),
                ..usual
            };
            dns::run(&options, &tell)?
        }
    };
    if session.json {
        println!("{}", serde_json::to_string_pretty(&report).expect("a report has string keys only"));
    } else {
        print!("{report}");
    }
    Ok(if report.all_ok() { 0 } else { CHECK_SAID_NO })
}
