//! A host made for the occasion: a namespace, a daemon of our own in it, and containers' namespaces to attach.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bowline_api::{Client, v1};
use bowline_core::{Code, Error, Result};
use bowline_linux::netns;
use bowline_linux::process::{Identity, OWN_PROGRAM};

use crate::occupants;

/// How long anything may take before the bench gives up.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Rig {
    host: OwnedFd,
    dir: PathBuf,
    config: Option<PathBuf>,
    daemon: Option<Child>,
    pub(crate) client: Client,
}

impl Rig {
    /// In /run, so that the journal is in memory, as it is for the daemon of the machine.
    pub(crate) fn new() -> Result<Rig> {
        let mut rig = Rig::idle()?;
        rig.start()?;
        Ok(rig)
    }

    /// With a configuration of its own, instead of the machine's.
    pub(crate) fn configured(text: &str) -> Result<Rig> {
        let mut rig = Rig::idle()?;
        let path = rig.dir.join("config.toml");
        fs::write(&path, text).map_err(|e| failed(&format!("write {}", path.display()), &e))?;
        rig.config = Some(path);
        rig.start()?;
        Ok(rig)
    }

    /// A host on which no daemon runs yet.
    fn idle() -> Result<Rig> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = PathBuf::from(format!("/run/bowline-bench-{}-{number}", std::process::id()));
        fs::create_dir_all(&dir).map_err(|e| failed(&format!("make {}", dir.display()), &e))?;
        let host = netns::create()?;
        bowline_linux::process::raise_loopback(&host)?;
        let client = Client::new(dir.join("s"));
        Ok(Rig { host, dir, config: None, daemon: None, client })
    }

    /// Where its daemon and whatever else is of this host runs.
    pub(crate) fn host(&self) -> &OwnedFd {
        &self.host
    }

    /// For the files of a bench; it goes with the rig.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns how long it took until the daemon said that it is ready.
    pub(crate) fn start(&mut self) -> Result<Duration> {
        let begun = Instant::now();
        let log = File::create(self.dir.join("log")).map_err(|e| failed("make the daemon's log", &e))?;
        let mut command = Command::new(OWN_PROGRAM);
        command.arg("daemon").arg("--socket").arg(self.dir.join("s"));
        command.arg("--run-dir").arg(self.dir.join("run")).arg("--state-dir").arg(self.dir.join("state"));
        command.args(self.config.iter().flat_map(|path| [OsStr::new("--config"), path.as_os_str()]));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        // Where the bench is itself run as a service, this daemon is none, and keeps nothing with who started the bench.
        for of_a_service in ["NOTIFY_SOCKET", "FDSTORE", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] {
            command.env_remove(of_a_service);
        }
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

    /// As an administrator would: it is asked to end, and waited for.
    pub(crate) fn stop(&mut self) -> Result<()> {
        const SIGTERM: i32 = 15;
        let asked = self.daemon_pid().and_then(Identity::of).map(Identity::open).transpose()?.flatten();
        if let Some(process) = asked {
            process.signal(SIGTERM)?;
            if !process.wait(Some(PATIENCE))? {
                return Err(Error::new(Code::Timeout, "stop the daemon"));
            }
        }
        // It has ended, and this reaps it.
        self.kill()
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
        // A daemon may have left a process that holds its sockets for the next one.
        if let Err(error) = self.kill().and_then(|()| occupants::end_all(&self.host)) {
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
