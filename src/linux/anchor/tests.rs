//! Namespaces that are named, entered, renamed and left, with `ip` and plain processes as the others who keep them.

mod death;
mod paths;
mod processes;
mod speed;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use bowline_core::place::{Found, Place};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::{Anchors, Order, Pace};
use crate::netns;

/// Longer than anything takes that happens at all.
const PATIENCE: Duration = Duration::from_secs(20);
const NEVER: Duration = Duration::from_secs(3600);

/// What notices tell, and no look from time to time.
fn by_notice() -> Pace {
    Pace {
        audit: NEVER,
        mounted: NEVER,
        first: Duration::ZERO,
        short: vec![Duration::from_millis(5)],
        pathless: vec![NEVER],
        long: vec![NEVER],
    }
}

/// Runs the body on a thread that sees a file system of its own, in which nothing is in /run: what `ip netns` mounts there
/// is no other test's, and goes with the thread.
fn with_an_empty_run(body: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let visit = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS).expect("these tests mount: run them as root");
            let none = None::<&str>;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
            mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), none).unwrap();
            body();
        });
        if let Err(panic) = visit.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Anchors, and whom they tell of.
struct Watched {
    anchors: Anchors,
    told: Receiver<Place>,
}

impl Watched {
    fn new(pace: Pace) -> Watched {
        let (tell, told) = channel();
        let tell = move |place| tell.send(place).expect("the test waits");
        Watched { anchors: Anchors::at_pace(pace, Box::new(tell)).unwrap(), told }
    }

    fn hold(&self, place: Place, ns: &impl AsFd, path: Option<&Path>) {
        let way = path.map_or(Found::Nowhere, |path| Found::By(path.to_str().unwrap()));
        self.anchors.hold(place, ns.as_fd(), way).unwrap();
    }

    /// What each is kept by, all that has happened being known.
    fn kept_by(&self) -> BTreeMap<Place, Option<PathBuf>> {
        let (to, report) = channel();
        self.anchors.desk.ask(Order::Report(to));
        report.recv_timeout(PATIENCE).expect("the watching thread does not come to rest")
    }

    fn is_kept_by(&self, place: Place, path: impl AsRef<Path>) {
        assert_eq!(self.kept_by().remove(&place), Some(Some(path.as_ref().to_path_buf())));
        assert_eq!(self.told.try_iter().collect::<Vec<_>>(), []);
    }

    fn tells_of(&self, place: Place) {
        assert_eq!(self.told.recv_timeout(PATIENCE), Ok(place), "kept by: {:?}", self.kept_by());
    }
}

/// A namespace with a name, as `ip netns` has them. It is not open here.
struct Named {
    name: &'static str,
    place: Place,
}

impl Named {
    fn new(name: &'static str) -> Named {
        ip(&["netns", "add", name]);
        let place = netns::run(File::open(path_of(name)).unwrap(), netns::cookie_of_current);
        Named { name, place: place.unwrap().unwrap() }
    }

    fn path(&self) -> PathBuf {
        path_of(self.name)
    }

    fn file(&self) -> OwnedFd {
        File::open(self.path()).unwrap().into()
    }

    fn delete(&self) {
        ip(&["netns", "del", self.name]);
    }
}

fn path_of(name: &str) -> PathBuf {
    Path::new("/run/netns").join(name)
}

fn ip(args: &[&str]) {
    let output = Command::new("ip").args(args).output().unwrap();
    assert!(output.status.success(), "ip {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A process in a namespace, until it is dropped.
struct Process(Child);

impl Process {
    fn within(ns: &impl AsFd) -> Process {
        let spawn = || Command::new("sleep").arg("1000").spawn();
        Process(netns::run(ns, spawn).unwrap().unwrap())
    }

    fn path(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.0.id()).into()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "in vain waited for: {what}");
        std::thread::yield_now();
    }
}
