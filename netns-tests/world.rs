//! The world of a scenario: a machine, the daemon on it, a neighbour behind its uplink, containers.
//! The story acts through `bowline`; what came of it is asked of `ip`, `nft`, `ping` and peers that know nothing of it.

pub(crate) mod background;
pub(crate) mod cni;
pub(crate) mod daemon;
pub(crate) mod dhcp;
pub(crate) mod dns;
mod dump;
mod machine;
pub(crate) mod nft;
pub(crate) mod place;
pub(crate) mod said;
mod snapshot;
pub(crate) mod witness;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use bowline_api::Client;
use serde_json::Value;

use daemon::{BINARY, Daemon};
pub(crate) use machine::Machine;
use place::Place;
use said::{Said, eventually, only_if};
pub(crate) use snapshot::Snapshot;

pub(crate) const SOCKET: &str = "/run/bowline/bowline.sock";

/// What a daemon opens at its first need and keeps: a socket for the firewall, one for flows, one for routes, one to watch,
/// what all relays share, and one to whoever keeps its sockets; and what two threads of the resolver each open, which
/// may be a moment later than it is ready.
const KEPT_FILES: usize = 6 + 2 * 2;

pub(crate) struct World {
    pub(crate) machine: Machine,
    daemon: RefCell<Option<Daemon>>,
    /// What the daemon had open when it was ready, before it was asked for anything.
    files: RefCell<BTreeMap<String, usize>>,
    containers: RefCell<Vec<String>>,
    scratch: tempfile::TempDir,
    before: Option<Snapshot>,
}

impl World {
    /// A machine, and nothing of ours on it.
    pub(crate) fn new() -> World {
        let machine = Machine::born().unwrap_or_else(|e| panic!("make a machine: {e}"));
        let scratch = tempfile::tempdir().expect("make a directory");
        let mut world = World {
            machine,
            scratch,
            daemon: RefCell::default(),
            files: RefCell::default(),
            containers: RefCell::default(),
            before: None,
        };
        world.before = Some(Snapshot::of(&world));
        world
    }

    pub(crate) fn host(&self) -> Place<'_> {
        Place { world: self, netns: None }
    }

    /// The neighbour behind the uplink: 192.0.2.2 and 2001:db8::2.
    pub(crate) fn outside(&self) -> Place<'_> {
        self.inside("outside")
    }

    /// A namespace that is there already.
    pub(crate) fn inside<'w>(&'w self, netns: &'w str) -> Place<'w> {
        Place { world: self, netns: Some(netns) }
    }

    /// A fresh namespace, made by `ip netns add`, on no network yet.
    #[track_caller]
    pub(crate) fn container<'w>(&'w self, name: &'w str) -> Place<'w> {
        self.host().run(&format!("ip netns add {name}"));
        self.containers.borrow_mut().push(name.to_string());
        self.inside(name)
    }

    /// A fresh namespace, attached under its own name: `attach("web", "front", "--ip 10.9.0.5")`.
    #[track_caller]
    pub(crate) fn attach<'w>(&'w self, name: &'w str, network: &str, options: &str) -> Place<'w> {
        let place = self.container(name);
        self.bowline(&format!("endpoint create {name} --netns {name} --network {network} {options}"));
        place
    }

    /// `bowline ...`, which has to go well.
    #[track_caller]
    pub(crate) fn bowline(&self, line: &str) -> Said {
        self.tries(line).well()
    }

    /// `bowline ...`, however it goes.
    pub(crate) fn tries(&self, line: &str) -> Said {
        self.calls(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// The same, with arguments that have spaces in them.
    pub(crate) fn calls(&self, args: &[&str]) -> Said {
        let mut command = self.machine.brief(None, BINARY);
        command.args(args);
        Said::by(format!("bowline {}", args.join(" ")), command)
    }

    /// The daemon's API, spoken by its own small client from outside the machine.
    pub(crate) fn api(&self) -> Client {
        Client::new(self.machine.path(SOCKET))
    }

    /// What the API says at a path, as somebody without our client reads it.
    #[track_caller]
    pub(crate) fn api_json(&self, path: &str) -> Value {
        let curl = "curl -sS --fail-with-body --unix-socket";
        self.host().tries(&format!("{curl} {SOCKET} http://bowline{path}")).well().json()
    }

    #[track_caller]
    pub(crate) fn start(&self) {
        self.start_with(&[]).unwrap_or_else(|said| panic!("the daemon ended: {said}"));
    }

    /// Starts the daemon with more arguments; where it ends before it is ready, how it did.
    pub(crate) fn start_with(&self, args: &[&str]) -> Result<(), Said> {
        assert!(self.daemon.borrow().is_none(), "the story starts a second daemon");
        let daemon = Daemon::start(&self.machine, &self.log_path(), args)?;
        *self.files.borrow_mut() = daemon.files();
        *self.daemon.borrow_mut() = Some(daemon);
        Ok(())
    }

    /// As a service manager would: SIGTERM, and a good end.
    #[track_caller]
    pub(crate) fn stop(&self) {
        let daemon = self.daemon.borrow_mut().take().expect("the story stops a daemon that runs");
        let code = daemon.end("TERM");
        assert_eq!(code, 0, "the daemon did not end well");
    }

    #[track_caller]
    pub(crate) fn kill(&self) {
        let daemon = self.daemon.borrow_mut().take().expect("the story kills a daemon that runs");
        assert_eq!(daemon.end("KILL"), 137, "the daemon ended before it was killed");
    }

    #[track_caller]
    pub(crate) fn restart(&self) {
        self.stop();
        self.start();
    }

    /// How much of a processor the daemon has used so far.
    #[track_caller]
    pub(crate) fn daemon_cpu(&self) -> Duration {
        self.daemon.borrow().as_ref().expect("the daemon runs").cpu()
    }

    /// What files the daemon has open, and how many of each kind.
    #[track_caller]
    pub(crate) fn open_files(&self) -> BTreeMap<String, usize> {
        self.daemon.borrow().as_ref().expect("the daemon runs").files()
    }

    /// While the daemon answers nobody.
    #[track_caller]
    pub(crate) fn frozen<T>(&self, act: impl FnOnce() -> T) -> T {
        self.daemon.borrow().as_ref().expect("the daemon runs").freezes();
        let acted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        self.daemon.borrow().as_ref().expect("the daemon runs").goes_on();
        acted.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    pub(crate) fn daemon_runs(&self) -> bool {
        self.daemon.borrow_mut().as_mut().is_some_and(Daemon::still_runs)
    }

    /// Takes note of a daemon that ended by itself.
    pub(crate) fn bury_daemon(&self) {
        drop(self.daemon.borrow_mut().take());
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.scratch.path().join("daemon.log")
    }

    pub(crate) fn dump(&self) -> String {
        dump::dump(self)
    }

    /// The kernel is as the daemon wants it, once all that is on its way has arrived.
    #[track_caller]
    pub(crate) fn has_no_drift(&self) {
        let api = self.api();
        eventually("no drift", || {
            let drift = api.drift().map_err(|e| e.to_string())?;
            only_if(drift.steps.is_empty(), drift.steps)
        });
    }

    /// Nothing came, nothing went.
    #[track_caller]
    pub(crate) fn is_still(&self, before: &Snapshot) {
        eventually("nothing has changed", || {
            let changes = before.changes(&Snapshot::of(self));
            only_if(changes.is_empty(), changes)
        });
    }

    /// Nothing on the machine is but what was there before the story, the daemon's own files set aside.
    #[track_caller]
    pub(crate) fn is_as_before(&self) {
        self.is_still(self.before.as_ref().expect("a world is born with a snapshot"));
    }

    /// The end of every story: what it made is removed by the product's own verbs, and then nothing is left.
    #[track_caller]
    pub(crate) fn closes(&self) {
        if !self.daemon_runs() {
            self.bury_daemon();
            self.start();
        }
        self.has_no_drift();
        self.removes_everything();
        self.keeps_no_files();
        self.threads_stayed_home();
        self.stop();
        self.is_as_before();
        eventually("no process is left", || {
            let left = self.machine.processes();
            only_if(left.is_empty(), left)
        });
    }

    /// Every endpoint, every network, by the API; then the containers themselves.
    #[track_caller]
    pub(crate) fn removes_everything(&self) {
        let api = self.api();
        for endpoint in api.endpoints().expect("list endpoints") {
            api.remove_endpoint(&endpoint.name).expect("remove an endpoint");
        }
        for network in api.networks().expect("list networks") {
            // Those that are always there have none.
            if !network.id.is_empty() {
                api.remove_network(&network.name).expect("remove a network");
            }
        }
        for name in self.containers.take() {
            self.has_no_card_of_ours(&name);
            if self.machine.path(&format!("/run/netns/{name}")).exists() {
                self.host().run(&format!("ip netns del {name}"));
            }
        }
    }

    /// Cards that hang on a link of the host's are seen inside only, and would go with their namespace.
    #[track_caller]
    fn has_no_card_of_ours(&self, name: &str) {
        if !self.machine.path(&format!("/run/netns/{name}")).exists() {
            return;
        }
        eventually(&format!("no card is left in {name}"), || {
            let cards = ["macvlan", "ipvlan"]
                .map(|kind| self.host().tries(&format!("ip -n {name} -o link show type {kind}")).out);
            let left = cards.concat();
            only_if(left.is_empty(), left)
        });
    }

    #[track_caller]
    pub(crate) fn keeps_no_files(&self) {
        let before = self.files.borrow();
        let count = |files: &BTreeMap<String, usize>| files.values().sum::<usize>();
        eventually("open files are closed", || {
            let daemon = self.daemon.borrow();
            let now = daemon.as_ref().expect("the daemon runs").files();
            only_if(count(&now) <= count(&before) + KEPT_FILES, format!("{before:?} became {now:?}"))
        });
    }

    #[track_caller]
    fn threads_stayed_home(&self) {
        let daemon = self.daemon.borrow();
        let daemon = daemon.as_ref().expect("the daemon runs");
        eventually("every thread is in the host's namespace", || {
            let all = daemon.namespaces();
            only_if(all.len() == 1, all)
        });
    }
}
