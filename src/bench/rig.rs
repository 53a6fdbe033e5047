//! A host made for the occasion: a namespace, a daemon of our own in it, and containers' namespaces to attach.

use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bowline_api::{Client, v1};
use bowline_core::{Code, Error, Result};
use bowline_linux::netns;
use bowline_linux::process::OWN_PROGRAM;

/// How long anything may take before the bench gives up.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Rig {
    host: OwnedFd,
    dir: PathBuf,
    daemon: Option<Child>,
    pub(crate) client: Client,
}

impl Rig {
    /// In /run, so that the journal is in memory, as it is for the daemon of the machine.
    pub(crate) fn new() -> Result<Rig> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = PathBuf::from(format!("/run/bowline-bench-{}-{number}", std::process::id()));
        fs::create_dir_all(&dir).map_err(|e| failed(&format!("make {}", dir.display()), &e))?;
        let host = netns::create()?;
        bowline_linux::process::raise_loopback(&host)?;
        let client = Client::new(dir.join("s"));
        let mut rig = Rig { host, dir, daemon: None, client };
        rig.start()?;
        Ok(rig)
    }

    /// Returns how long it took until the daemon said that it is ready.
    pub(crate) fn start(&mut self) -> Result<Duration> {
        let begun = Instant::now();
        let log = File::create(self.dir.join("log")).map_err(|e| failed("make the daemon's log", &e))?;
        let mut command = Command::new(OWN_PROGRAM);
        command.arg("daemon").arg("--socket").arg(self.dir.join("s"));
        command.arg("--run-dir").arg(self.dir.join("run")).arg("--state-dir").arg(self.dir.join("state"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child =
            netns::run(&self.host, move || command.spawn())?.map_err(|e| failed("start a daemon", &e))?;
        self.daemon = Some(child);
        while !self.client.health().is_ok_and(|health| health.holds.is_empty()) {
            let ended = self.daemon.as_mut().and_then(|child| child.try_wait().ok().flatten());
            if ended.is_some() || begun.elapsed() > PATIENCE {
                let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
                return Err(Error::new(Code::Unreachable, "start a daemon").because(log.trim()));
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        Ok(begun.elapsed())
    }

    /// As a crash would: no chance to say goodbye.
    pub(crate) fn kill(&mut self) -> Result<()> {
        let Some(mut daemon) = self.daemon.take() else { return Ok(()) };
        daemon.kill().and_then(|()| daemon.wait()).map_err(|e| failed("kill the daemon", &e))?;
        Ok(())
    }

    pub(crate) fn daemon_pid(&self) -> Option<u32> {
        self.daemon.as_ref().map(Child::id)
    }

    /// The number of links in the host's namespace.
    pub(crate) fn links(&self) -> Result<usize> {
        let text = netns::run(&self.host, || fs::read_to_string("/proc/thread-self/net/dev"))?;
        let text = text.map_err(|e| failed("count the links", &e))?;
        Ok(text.lines().count() - 2)
    }

    /// Waits until no more than so many links are left; returns how long that took.
    pub(crate) fn wait_for_links(&self, most: usize) -> Result<Duration> {
        let begun = Instant::now();
        while self.links()? > most {
            if begun.elapsed() > PATIENCE {
                return Err(Error::new(Code::Timeout, "wait for links to be gone")
                    .because(format!("{} are left, {most} were expected", self.links()?)));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(begun.elapsed())
    }

    /// How many addresses of a network are taken: those of endpoints on their way out among them.
    pub(crate) fn used(&self, network: &str) -> Result<u64> {
        Ok(self.client.network(network)?.subnets.iter().map(|subnet| subnet.used).sum())
    }

    /// Waits until everything that was detached has left the kernel and its addresses are free.
    pub(crate) fn settle(&self, network: &str, used: u64) -> Result<()> {
        let begun = Instant::now();
        while self.used(network)? > used {
            if begun.elapsed() > PATIENCE {
                return Err(Error::new(Code::Timeout, format!("wait for what leaves network {network}")));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    pub(crate) fn network(&self, name: &str, subnet: &str) -> Result<()> {
        let subnets = vec![v1::SubnetSpec::new(subnet)];
        self.client.create_network(&v1::CreateNetwork { subnets, ..v1::CreateNetwork::named(name) }).map(drop)
    }

    pub(crate) fn wish(name: &str, network: &str, netns: &OwnedFd) -> v1::CreateEndpoint {
        let netns = v1::Netns { fd: u32::try_from(netns.as_raw_fd()).ok(), path: None };
        v1::CreateEndpoint {
            networks: vec![v1::Join { network: network.to_string(), ..v1::Join::default() }],
            ..v1::CreateEndpoint::named(name, netns)
        }
    }

    /// One attach; how long the answer took.
    pub(crate) fn attach(&self, name: &str, network: &str, netns: &OwnedFd) -> Result<Duration> {
        let wish = Rig::wish(name, network, netns);
        let begun = Instant::now();
        self.client.create_endpoint(&wish)?;
        Ok(begun.elapsed())
    }

    /// One detach; how long the answer took.
    pub(crate) fn detach(&self, name: &str) -> Result<Duration> {
        let begun = Instant::now();
        self.client.remove_endpoint(name)?;
        Ok(begun.elapsed())
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("bowline: {error}");
        }
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            eprintln!("bowline: remove {}: {error}", self.dir.display());
        }
    }
}

pub(crate) fn namespaces(count: usize) -> Result<Vec<OwnedFd>> {
    (0..count).map(|_| netns::create()).collect()
}

fn failed(what: &str, error: &std::io::Error) -> Error {
    Error::new(Code::Internal, what).because(error)
}
