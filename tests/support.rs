//! A daemon of a test's own: started in a temporary directory, on the kernel in memory, and gone with the test.
//! Its log is printed where the test fails.

pub(crate) mod http;
pub(crate) mod watch;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use bowline_api::v1::{CreateEndpoint, CreateNetwork, Dump, Join, Netns, SubnetSpec};
use bowline_api::{Client, Code};
use tempfile::TempDir;

/// Longer than anything takes on a busy machine: only a failure waits for so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Daemon {
    dir: TempDir,
    child: Option<Child>,
    starts: usize,
}

/// A program that ran to its end.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Daemon {
    /// Started, and ready.
    pub(crate) fn start() -> Daemon {
        let mut daemon = Daemon::not_started();
        daemon.start_again();
        daemon
    }

    /// A directory for one, to be prepared before it is started.
    pub(crate) fn not_started() -> Daemon {
        let dir = tempfile::Builder::new().prefix("bowline-").tempdir().unwrap();
        // Not the machine's file, and a group that no machine has: the test is the same everywhere.
        fs::write(dir.path().join("bowline.toml"), "[daemon]\ngroup = \"no-such-group\"\n").unwrap();
        Daemon { dir, child: None, starts: 0 }
    }

    pub(crate) fn start_again(&mut self) {
        self.spawn();
        self.wait_until_ready();
    }

    pub(crate) fn spawn(&mut self) {
        self.spawn_with(|_| ());
    }

    /// With more arguments, or another environment.
    pub(crate) fn spawn_with(&mut self, more: impl FnOnce(&mut Command)) {
        assert!(self.child.is_none(), "one runs already");
        self.starts += 1;
        let mut command = self.command();
        more(&mut command);
        self.child = Some(command.stderr(self.log_file()).spawn().unwrap());
    }

    /// Started in the hope that it refuses: what it said, and its exit code.
    pub(crate) fn refuses_to_start(&mut self) -> Ran {
        self.starts += 1;
        let mut command = self.command();
        ended(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// `bowline daemon`, with everything inside of this test's directory.
    pub(crate) fn command(&self) -> Command {
        let mut command = bowline();
        command.args(["daemon", "--rehearse", "--log", "debug", "--config"]).arg(self.path("bowline.toml"));
        command.arg("--socket").arg(self.socket());
        command.arg("--run-dir").arg(self.path("run")).arg("--state-dir").arg(self.path("state"));
        command
    }

    pub(crate) fn wait_until_ready(&mut self) {
        let started = Instant::now();
        while self.client().health().map(|health| health.status) != Ok("ok".into()) {
            let child = self.child.as_mut().expect("it was started");
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the daemon ended at once: {status}");
            }
            assert!(started.elapsed() < PATIENCE, "the daemon is not ready after {PATIENCE:?}");
            pause();
        }
    }

    /// Whether it came up, or how it ended instead.
    pub(crate) fn answers_or_ends(&mut self) -> Result<(), ExitStatus> {
        let client = self.client();
        let child = self.child.as_mut().expect("it was started");
        let answer = until("the daemon answers or ends", || match child.try_wait().unwrap() {
            Some(status) => Some(Err(status)),
            None => client.health().is_ok().then_some(Ok(())),
        });
        if answer.is_err() {
            self.child = None;
        }
        answer
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.socket())
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("bowline.sock")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Everything it said, over all of its starts.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("daemon.log")).unwrap_or_default()
    }

    fn log_file(&self) -> File {
        let log = File::options().create(true).append(true).open(self.path("daemon.log"));
        log.unwrap()
    }

    /// Ended as an init system does it.
    pub(crate) fn terminate(&mut self) {
        signal("TERM", self.pid());
        self.is_gone();
    }

    /// It ends well, told to by somebody else.
    pub(crate) fn is_gone(&mut self) {
        let mut child = self.child.take().expect("it runs");
        let status = until("the daemon ends", || child.try_wait().unwrap());
        assert!(status.success(), "the daemon ended with {status}");
    }

    /// Ended without a chance to say anything.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// `bowline`, asking this daemon, with the words of a line.
    pub(crate) fn cli(&self, line: &str) -> Ran {
        self.cli_with(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// The same, for words with spaces in them.
    pub(crate) fn cli_with(&self, words: &[&str]) -> Ran {
        let mut command = bowline();
        command.arg("--socket").arg(self.socket()).args(words);
        ended(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Everything that is remembered and wanted: equal before and after, nothing was changed.
    pub(crate) fn dump(&self) -> Dump {
        self.client().dump().unwrap()
    }

    pub(crate) fn network(&self, name: &str, cidr: &str) -> bowline_api::v1::Network {
        self.client().create_network(&network(name, cidr)).unwrap()
    }

    pub(crate) fn endpoint(&self, name: &str, networks: &[&str]) -> bowline_api::v1::Endpoint {
        self.client().create_endpoint(&endpoint(name, networks)).unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
        if std::thread::panicking() {
            let log = self.log();
            let last: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("--- the end of the daemon's log, after {} starts", self.starts);
            last.iter().rev().for_each(|line| eprintln!("{line:.400}"));
            eprintln!("---");
        }
    }
}

/// The program under test, deaf to the environment of whoever runs the tests.
pub(crate) fn bowline() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bowline"));
    for name in [
        "BOWLINE_SOCKET",
        "BOWLINE_FORMAT",
        "CLICOLOR_FORCE",
        "COLUMNS",
        "NOTIFY_SOCKET",
        "RUST_LOG",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
    ] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// `bowline` with the words of a line, without a daemon.
pub(crate) fn run(line: &str) -> Ran {
    let mut command = bowline();
    command.args(line.split_whitespace());
    ended(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

/// What a process said until it ended; one that does not end is killed, and the test fails.
pub(crate) fn ended(child: Child) -> Ran {
    let pid = child.id();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || tell.send(child.wait_with_output()));
    match told.recv_timeout(PATIENCE) {
        Ok(output) => Ran::of(&output.unwrap()),
        Err(_) => {
            signal("KILL", pid);
            let output = told.recv_timeout(PATIENCE).map(|output| Ran::of(&output.unwrap()));
            panic!("process {pid} did not end within {PATIENCE:?}: {output:?}");
        }
    }
}

impl Ran {
    fn of(output: &Output) -> Ran {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Ran { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// It ended well: what it printed.
    pub(crate) fn good(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// The words were not understood.
    pub(crate) fn failed_with_usage(&self) {
        assert!(self.code == Some(2) && self.out.is_empty() && self.err.contains("error"), "{self:#?}");
    }

    /// It ended with the exit code and the error that belong together.
    pub(crate) fn failed_with(&self, code: Code) {
        let shown = format!("error[{code}]: ");
        assert_eq!(self.code, Some(i32::from(bowline_cli::exit::code(code))), "{self:#?}");
        assert!(self.err.contains(&shown), "{shown} is not said: {self:#?}");
    }
}

pub(crate) fn signal(name: &str, pid: u32) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().unwrap();
    assert!(sent.success(), "send SIG{name} to {pid}");
}

/// Asks until there is an answer, and fails where there is none in time.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain until {what}");
        pause();
    }
}

/// Between two looks at something: the one place of this tier that sleeps.
fn pause() {
    std::thread::sleep(Duration::from_millis(2));
}

/// The fastest of several tries: the time that it takes, without what a busy machine adds.
pub(crate) fn fastest<T>(mut act: impl FnMut() -> T) -> (Duration, T) {
    let timed = |act: &mut dyn FnMut() -> T| {
        let started = Instant::now();
        let answer = act();
        (started.elapsed(), answer)
    };
    let mut best = timed(&mut act);
    // Fast enough for anybody's limit: no need to ask again.
    for _ in 0..9 {
        if best.0 < Duration::from_millis(5) {
            break;
        }
        let next = timed(&mut act);
        best = if next.0 < best.0 { next } else { best };
    }
    best
}

pub(crate) fn network(name: &str, cidr: &str) -> CreateNetwork {
    CreateNetwork { subnets: vec![SubnetSpec::new(cidr)], ..CreateNetwork::named(name) }
}

/// In a namespace of its own, which the kernel in memory makes up from the path.
pub(crate) fn endpoint(name: &str, networks: &[&str]) -> CreateEndpoint {
    let netns = Netns { fd: None, path: Some(format!("/run/netns/{name}")) };
    CreateEndpoint {
        networks: networks.iter().map(|name| join(name)).collect(),
        ..CreateEndpoint::named(name, netns)
    }
}

pub(crate) fn join(network: &str) -> Join {
    Join { network: network.to_string(), ..Join::default() }
}

/// The top of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
