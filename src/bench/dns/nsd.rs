//! NSD, the fast authoritative server that the resolver is held against, and the stub that it forwards to.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bowline_core::{Code, Error, Result};
use bowline_linux::netns;
use bowline_linux::process::Identity;

use super::wire;

const SIGTERM: i32 = 15;

/// A server that runs until this is dropped.
#[derive(Debug)]
pub(super) struct Nsd {
    child: Child,
}

/// The names that a server has, under the root.
#[derive(Debug, Clone, Copy)]
pub(super) enum Zone<'a> {
    Names(&'a [(String, Ipv4Addr)]),
    /// Every name below this one has this address.
    Below(&'a str, Ipv4Addr),
}

impl Nsd {
    /// Two processes, no rate limit, and answers without records that nobody asked for, as ours are. Returns when it serves.
    pub(super) fn start(
        program: &Path,
        inside: &OwnedFd,
        address: Ipv4Addr,
        zone: Zone<'_>,
        dir: &Path,
    ) -> Result<Nsd> {
        let failed = |e: std::io::Error| Error::new(Code::Internal, "start nsd").because(e);
        fs::create_dir_all(dir).map_err(failed)?;
        fs::write(dir.join("zone"), zone.text()).map_err(failed)?;
        let config = dir.join("nsd.conf");
        fs::write(&config, configuration(address, dir)).map_err(failed)?;
        let log = dir.join("log");
        let file = File::create(&log).map_err(failed)?;
        let mut command = Command::new(program);
        command.args(["-d", "-c"]).arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let child = netns::run(inside, move || command.spawn())?.map_err(failed)?;
        let server = Nsd { child };
        let (name, known) = zone.witness();
        wire::expect(inside, IpAddr::V4(address), &name, known).map_err(|error| {
            let said = fs::read_to_string(&log).unwrap_or_default();
            error.because(format!("nsd said: {}", said.trim()))
        })?;
        Ok(server)
    }

    fn end(&mut self) -> Result<()> {
        const PATIENCE: Duration = Duration::from_secs(5);
        let failed = |e: std::io::Error| Error::new(Code::Internal, "end nsd").because(e);
        // Asked to, it takes its processes with it.
        if let Some(process) = Identity::of(self.child.id()).map(Identity::open).transpose()?.flatten() {
            process.signal(SIGTERM)?;
            if !process.wait(Some(PATIENCE))? {
                self.child.kill().map_err(failed)?;
            }
        }
        self.child.wait().map(drop).map_err(failed)
    }
}

impl Drop for Nsd {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("bowline: {error}");
        }
    }
}

impl Zone<'_> {
    fn text(self) -> String {
        let mut text =
            String::from("$TTL 3600\n. SOA ns. root. 1 3600 600 86400 5\n. NS ns.\nns. A 127.0.0.1\n");
        match self {
            Zone::Names(names) => {
                for (name, address) in names {
                    writeln!(text, "{name}. A {address}").expect("a string takes all");
                }
            }
            Zone::Below(name, address) => {
                writeln!(text, "*.{name}. A {address}").expect("a string takes all");
            }
        }
        text
    }

    /// A name by which it is known to serve.
    fn witness(self) -> (String, Ipv4Addr) {
        match self {
            Zone::Names(names) => names.last().cloned().unwrap_or(("ns".into(), Ipv4Addr::LOCALHOST)),
            Zone::Below(name, address) => (format!("ready.{name}"), address),
        }
    }
}

/// All that it writes is in `dir`, it stays who it is, and nothing remote steers it.
fn configuration(address: Ipv4Addr, dir: &Path) -> String {
    let file = |name: &str| -> PathBuf { dir.join(name) };
    format!(
        "server:\n\
         \x20 ip-address: {address}@{}\n\
         \x20 server-count: 2\n\
         \x20 minimal-responses: yes\n\
         \x20 rrl-ratelimit: 0\n\
         \x20 rrl-whitelist-ratelimit: 0\n\
         \x20 username: \"\"\n\
         \x20 chroot: \"\"\n\
         \x20 database: \"\"\n\
         \x20 pidfile: \"\"\n\
         \x20 zonesdir: {:?}\n\
         \x20 xfrdfile: {:?}\n\
         \x20 xfrdir: {:?}\n\
         \x20 zonelistfile: {:?}\n\
         remote-control:\n\
         \x20 control-enable: no\n\
         zone:\n\
         \x20 name: \".\"\n\
         \x20 zonefile: \"zone\"\n",
        wire::PORT,
        dir,
        file("xfrd"),
        dir,
        file("zonelist"),
    )
}
