//! `bowline run`: what was asked for becomes a spec, and the spec a life, led here or by a minder.

use std::ffi::OsString;
use std::fs::File;
use std::io::IsTerminal;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use bowline_api::v1::{CreateNetwork, Join};
use bowline_api::{Client, Code, Error, Result};
use bowline_core::name::Name;
use bowline_linux::process::{self, Identity, NotStarted, Terminal, User};
use clap::Args;

use super::life::{Life, Wires};
use super::record::{Os, Spec, State, Wiring};
use super::shelf::{Place, Shelf};
use super::{list, minder, words};
use crate::io::Io;
use crate::join::{self, JoinArgs};
use crate::network::pair;
use crate::publish::PublishArgs;
use crate::report;
use crate::session::Session;
use crate::wishes::DnsArgs;

pub(super) const EXAMPLES: &str = "\
Examples:
  bowline run -- ip address
  bowline run -it --network front -- bash
  bowline run -d --name web -p 8080:80 --network front -- python3 -m http.server 80
  bowline run -d --name db --network front:ip=10.9.0.5,alias=sql --network back -- ./db
  bowline run --network front --link db:sql -- psql -h sql
  ip netns exec web ss -ltn

Without --network, the command is on the network 'lan', which is made when it is first
needed. '--network none' leaves it alone with a loopback; '--network host' is this
machine's own. The command sees this machine's files, but its own /etc/hosts,
/etc/hostname and /etc/resolv.conf, and dies with the process that watches over it.

Exit codes: the command's own; 125 bowline failed, 126 the command cannot be executed,
127 there is no such command, 128+n it was killed by signal n.";

/// Where commands go that say no network.
const DEFAULT_NETWORK: &str = "lan";

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Leave it running in the background, and print its name
    #[arg(short, long, conflicts_with_all = ["interactive", "tty"])]
    detach: bool,

    /// Its name: 1 to 64 of A-Z a-z 0-9 . _ - [default: two words]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// A network to connect to, by name or id, or 'none' or 'host'; may be given again
    #[arg(long = "network", visible_alias = "net", value_name = "NET[:OPTIONS]", value_parser = join::parse)]
    networks: Vec<Join>,

    #[command(flatten)]
    join: JoinArgs,

    #[command(flatten)]
    ports: PublishArgs,

    /// Its host name [default: its name]
    #[arg(short = 'h', long, value_name = "NAME")]
    hostname: Option<String>,

    /// Set a variable of its environment, or take the caller's value; may be given again
    #[arg(short, long = "env", value_name = "KEY[=VALUE]")]
    env: Vec<OsString>,

    /// The directory that it starts in [default: this one]
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<PathBuf>,

    /// Who runs it, by name or number [default: the caller]
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,

    /// Forget it when it ends; without --detach that is always so
    #[arg(long)]
    rm: bool,

    /// Let it read standard input
    #[arg(short, long)]
    interactive: bool,

    /// Give it this terminal
    #[arg(short, long)]
    tty: bool,

    /// Add a line to its /etc/hosts; may be given again
    #[arg(long = "add-host", value_name = "NAME:IP", value_parser = host_line)]
    add_hosts: Vec<(String, IpAddr)>,

    #[command(flatten)]
    resolver: DnsArgs,

    /// A label of yours; may be given again
    #[arg(long = "label", short = 'l', value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,

    /// The command and its arguments
    #[arg(trailing_var_arg = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

pub(super) fn execute(args: RunArgs, session: &Session, io: &mut Io<'_>) -> u8 {
    run(args, session, io).unwrap_or_else(|failed| {
        report::failure(&failed.error, session, io);
        failed.exit_code
    })
}

fn run(args: RunArgs, session: &Session, io: &mut Io<'_>) -> Result<u8, NotStarted> {
    let given = args.name.as_deref().map(Name::for_new).transpose()?;
    let terminal = if args.tty { Some(terminal()?) } else { None };
    let interactive = args.interactive;
    let mut spec = args.spec()?;
    if let Some(user) = &spec.user {
        User::find(user)?;
    }
    let shelf = Shelf::new(std::path::absolute(session.hosts_dir()).unwrap_or_else(|_| session.hosts_dir()));
    if let Some(name) = &given {
        shelf.refuse_taken(name)?;
    }
    if let Wiring::Own(joins) = &spec.wiring
        && joins.iter().any(|join| join.network == DEFAULT_NETWORK)
    {
        make_default(session, io)?;
    }
    let place = claim(&shelf, given.as_ref(), &mut spec, &session.client)?;
    if spec.detached {
        return detached(&place, session, io);
    }
    let wires = Wires {
        stdin: if interactive { None } else { Some(nothing()?.into()) },
        terminal,
        ..Wires::default()
    };
    let chatty = std::io::stderr().is_terminal();
    let life = Life::new(&place, &spec, &session.client)?;
    let mut connected = |state: &State| {
        if chatty {
            io.note(session, &list::line(&spec.name, state));
        }
    };
    let (exit, left) = life.live(wires, None, &mut connected, &mut || ())?;
    for error in left {
        report::failure(&error, session, io);
    }
    Ok(exit.code())
}

fn detached(place: &Place, session: &Session, io: &mut Io<'_>) -> Result<u8, NotStarted> {
    minder::start(place, session)?;
    match session.json {
        true => io.json(&list::Row::of(place, None)?)?,
        false => io.data(&format!("{}\n", place.name))?,
    }
    Ok(0)
}

/// Takes the name that was given, or makes one up.
fn claim(shelf: &Shelf, given: Option<&Name>, spec: &mut Spec, client: &Client) -> Result<Place> {
    let state = State::new(Identity::this()?);
    let mut known: Option<Vec<String>> = None;
    loop {
        let name = match given {
            Some(name) => name.clone(),
            None => {
                // What the daemon knows is a hint: it has the last word when the endpoint is made.
                let known = known.get_or_insert_with(|| {
                    client
                        .endpoints()
                        .map(|all| all.into_iter().map(|e| e.name).collect())
                        .unwrap_or_default()
                });
                words::pick(|name| {
                    !shelf.at(name).exists()
                        && !process::pinned(name).exists()
                        && !known.iter().any(|known| known == name.as_str())
                })?
            }
        };
        spec.name = name.to_string();
        match shelf.claim(&name, spec, &state) {
            Err(error) if error.code == Code::EndpointExists && given.is_none() => (),
            claimed => return claimed,
        }
    }
}

fn make_default(session: &Session, io: &mut Io<'_>) -> Result<()> {
    match session.client.network(DEFAULT_NETWORK) {
        Err(error) if error.code == Code::NetworkNotFound => (),
        there => return there.map(drop),
    }
    match session.client.create_network(&CreateNetwork::named(DEFAULT_NETWORK)) {
        Ok(made) => {
            let subnets: Vec<&str> = made.subnets.iter().map(|subnet| subnet.cidr.as_str()).collect();
            io.note(
                session,
                &format!("bowline: made the network {DEFAULT_NETWORK} ({})", subnets.join(", ")),
            );
            Ok(())
        }
        // Somebody was faster.
        Err(error) if error.code == Code::NetworkExists => Ok(()),
        Err(error) => Err(error),
    }
}

impl RunArgs {
    fn spec(self) -> Result<Spec> {
        let called_in = std::env::current_dir().ok();
        let wiring = wiring(self.networks, self.join)?;
        if wiring == Wiring::Host && !self.ports.is_empty() {
            return Err(Error::new(Code::InvalidOption, "run with --network host")
                .because("there is nothing to publish or to check: its ports are this host's own")
                .fix("leave --publish, --expose and --no-antispoof out"));
        }
        if wiring == Wiring::Host && !self.resolver.links.is_empty() {
            return Err(Error::new(Code::InvalidOption, "run with --network host")
                .because("a link is for a network that both are on")
                .fix("leave --link out, or write --add-host NAME:IP"));
        }
        Ok(Spec {
            name: String::new(),
            wiring,
            command: self.command.iter().map(Os::from).collect(),
            hostname: self.hostname.map(hostname).transpose()?,
            env: variables(&self.env)?,
            workdir: self.workdir.as_deref().map(absolute).transpose()?,
            called_in: called_in.map(Os::from),
            user: self.user,
            add_hosts: self.add_hosts,
            resolver: self.resolver,
            labels: self.labels.into_iter().collect(),
            ports: self.ports,
            detached: self.detach,
            remove: self.rm || !self.detach,
        })
    }
}

/// What the flags say is of the one network; of several, each says it for itself.
pub(super) fn wiring(networks: Vec<Join>, flags: JoinArgs) -> Result<Wiring> {
    let special = networks.iter().find(|join| matches!(join.network.as_str(), "none" | "host"));
    if let Some(special) = special {
        let name = &special.network;
        let refused = |why: &str, fix: &str| {
            Err(Error::new(Code::InvalidOption, format!("run with --network {name}")).because(why).fix(fix))
        };
        if networks.len() > 1 {
            return refused("it goes with no other network", "leave one of them out");
        }
        if !flags.is_empty() || *special != (Join { network: name.clone(), ..Join::default() }) {
            return refused("it has no address and no options", "leave the options out");
        }
        return Ok(if name == "host" { Wiring::Host } else { Wiring::Own(Vec::new()) });
    }
    let mut joins = networks;
    if joins.is_empty() {
        joins.push(Join { network: DEFAULT_NETWORK.to_string(), ..Join::default() });
    }
    if flags.is_for_any() {
        return Ok(Wiring::Own(joins.into_iter().map(|join| flags.rates.over(join)).collect()));
    }
    match <[Join; 1]>::try_from(joins) {
        Ok([only]) => Ok(Wiring::Own(vec![flags.over(only)])),
        Err(_) => Err(Error::new(Code::InvalidOption, "run on several networks")
            .because("an address, a MAC, an alias, an interface name or a priority belongs to one of them")
            .fix("write it behind the network: --network front:ip=10.9.0.5,alias=db")),
    }
}

/// `KEY=VALUE`; of a key alone, the caller's value, and nothing where there is none.
pub(super) fn variables(wishes: &[OsString]) -> Result<Vec<(Os, Os)>> {
    let mut variables = Vec::new();
    for wish in wishes {
        let bytes = wish.as_bytes();
        let at = bytes.iter().position(|&byte| byte == b'=');
        let key = std::ffi::OsStr::from_bytes(&bytes[..at.unwrap_or(bytes.len())]);
        if key.is_empty() {
            return Err(Error::new(Code::InvalidOption, format!("set the variable {wish:?}"))
                .because("it has no name")
                .fix("write it as KEY=VALUE"));
        }
        let value = match at {
            Some(at) => Some(std::ffi::OsStr::from_bytes(&bytes[at + 1..]).to_os_string()),
            None => std::env::var_os(key),
        };
        variables.extend(value.map(|value| (Os::from(key), Os(value))));
    }
    Ok(variables)
}

/// A directory that was named must mean the same in the process that will go there.
pub(super) fn absolute(dir: &Path) -> Result<Os> {
    std::path::absolute(dir)
        .map(Os::from)
        .map_err(|e| Error::new(Code::InvalidOption, format!("start in {}", dir.display())).because(e))
}

/// The terminal, which a command can be given from its foreground only.
pub(super) fn terminal() -> Result<Terminal> {
    Terminal::of_stdin().ok_or_else(|| {
        Error::new(Code::InvalidOption, "give the command this terminal")
            .because("standard input is not a terminal, or not ours to give")
            .fix("leave --tty out")
    })
}

pub(super) fn nothing() -> Result<File> {
    File::open("/dev/null").map_err(|e| Error::new(Code::Kernel, "open /dev/null").because(e))
}

fn hostname(text: String) -> Result<String> {
    let fits = (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric());
    match fits {
        true => Ok(text),
        false => Err(Error::new(Code::InvalidName, format!("host name {text:?} is not allowed"))
            .fix("use 1 to 64 of A-Z a-z 0-9 . _ - and begin with a letter or digit")),
    }
}

/// `NAME:IP`; an address of IPv6 has colons of its own, with or without brackets.
pub(super) fn host_line(text: &str) -> Result<(String, IpAddr), String> {
    let bad = || "write it as NAME:IP, such as db:10.9.0.5".to_string();
    let (name, ip) = text.split_once([':', '=']).ok_or_else(bad)?;
    let name = hostname(name.to_string()).map_err(|error| error.to_string())?;
    let ip = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip);
    Ok((name, ip.parse().map_err(|_| bad())?))
}
