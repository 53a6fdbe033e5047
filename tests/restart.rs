//! What outlives the daemon, however it ended.

mod damage;
mod refused;

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::sync::Mutex;
use std::sync::mpsc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bowline_api::Code;
use bowline_api::v1::{EndpointState, Join, Netns, Network, UpdateNetwork};

use crate::support::{Daemon, endpoint, join, network, until};

/// A network as it must be found again: all of it but who is on it at the moment.
fn lasting(mut network: Network) -> Network {
    network.endpoints.clear();
    network.subnets.iter_mut().for_each(|subnet| subnet.used = 0);
    network
}

fn names(daemon: &Daemon) -> BTreeSet<String> {
    daemon.client().networks().unwrap().into_iter().map(|network| network.name).collect()
}

fn everything_survives(end: fn(&mut Daemon)) {
    let mut daemon = Daemon::start();
    let client = daemon.client();
    let front = daemon.network("front", "10.9.0.0/24");
    daemon.network("back", "fd00:9::/64");
    let labels = Some([("tier".to_string(), "db".to_string())].into());
    let wish = UpdateNetwork { internal: Some(true), icc: Some(false), labels, ..Default::default() };
    client.update_network("back", &wish).unwrap();
    daemon.network("gone", "10.7.0.0/24");
    client.remove_network("gone").unwrap();
    let mut web = endpoint("web", &["back"]);
    web.networks.push(Join {
        ip: Some([10, 9, 0, 9].into()),
        aliases: vec!["api".into()],
        gw_priority: 3,
        ..join("front")
    });
    let web = client.create_endpoint(&web).unwrap();
    let old = Join { ip: Some([10, 9, 0, 7].into()), ..join("front") };
    let mut stopped = endpoint("old", &[]);
    stopped.networks = vec![old];
    client.create_endpoint(&stopped).unwrap();
    client.stop_endpoint("old").unwrap();
    let before: Vec<Network> = client.networks().unwrap().into_iter().map(lasting).collect();

    for _ in 0..3 {
        end(&mut daemon);
        daemon.start_again();
        let after: Vec<Network> = client.networks().unwrap().into_iter().map(lasting).collect();
        assert_eq!(after, before);
        // The kernel in memory is a new one each time: the cards were made again, as they were.
        assert_eq!(client.endpoint("web").unwrap(), web);
        assert_eq!(client.endpoint(&web.id[..7]).unwrap().interfaces, web.interfaces);
        assert_eq!(client.endpoint("old").unwrap().state, EndpointState::Stopped);
        assert_eq!(client.network(&front.id).unwrap().name, "front");
        assert_eq!(client.drift().unwrap().steps, [""; 0]);
    }
    let mut thief = endpoint("thief", &[]);
    for taken in [[10, 9, 0, 9], [10, 9, 0, 7]] {
        thief.networks = vec![Join { ip: Some(taken.into()), ..join("front") }];
        assert_eq!(client.create_endpoint(&thief).unwrap_err().code, Code::AddressTaken);
    }
    let back = client.create_endpoint(&endpoint("old", &["front"])).unwrap();
    assert_eq!(back.interfaces[0].addresses, ["10.9.0.7/24"], "its fixed address waited for it");
}

#[test]
fn everything_survives_an_orderly_end() {
    everything_survives(Daemon::terminate);
}

#[test]
fn everything_survives_a_kill() {
    everything_survives(Daemon::kill);
}

#[test]
fn an_endpoint_whose_namespace_cannot_be_found_again_is_released_with_its_addresses() {
    let mut daemon = Daemon::start();
    let client = daemon.client();
    daemon.network("front", "10.9.0.0/24");
    let mut lost = endpoint("lost", &["front"]);
    // Two files are two namespaces to a rehearsal.
    let files = [tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap()];
    let fd = |at: usize| u32::try_from(files[at].as_raw_fd()).ok();
    lost.netns = Netns { fd: fd(0), path: None };
    client.create_endpoint(&lost).unwrap();
    lost.name = "kept".to_string();
    lost.netns.fd = fd(1);
    lost.networks = vec![Join { ip: Some([10, 9, 0, 9].into()), ..join("front") }];
    client.create_endpoint(&lost).unwrap();

    daemon.kill();
    daemon.start_again();
    assert_eq!(client.endpoint("lost").unwrap_err().code, Code::EndpointNotFound);
    let kept = client.endpoint("kept").unwrap();
    assert_eq!(
        (kept.state, kept.interfaces),
        (EndpointState::Stopped, vec![]),
        "an address was asked for by number"
    );
    until("the address is free again", || {
        (client.network("front").unwrap().subnets[0].used == 2).then_some(())
    });
    assert_eq!(client.drift().unwrap().steps, [""; 0]);
    daemon.endpoint("lost", &["front"]);
}

#[test]
fn an_orderly_end_leaves_no_socket_and_no_pid_behind() {
    let mut daemon = Daemon::start();
    assert_eq!(fs::read_to_string(daemon.path("run/daemon.pid")).unwrap().trim(), daemon.pid().to_string());
    daemon.terminate();
    for name in ["bowline.sock", "run/daemon.pid"] {
        assert!(!daemon.path(name).exists(), "{name} was left behind");
    }
    let left: Vec<_> =
        fs::read_dir(daemon.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        !left.iter().any(|name| name.to_string_lossy().starts_with("bowline.") && name != "bowline.toml"),
        "{left:?}"
    );
}

#[test]
fn what_is_kept_is_for_its_owner_only() {
    let daemon = Daemon::start();
    let mode = |name: &str| fs::metadata(daemon.path(name)).unwrap().mode() & 0o777;
    assert_eq!((mode("state"), mode("run")), (0o700, 0o700));
    assert_eq!((mode("state/state.redb"), mode("run/run.redb")), (0o600, 0o600));
    assert_eq!(mode("bowline.sock"), 0o660);
}

/// Numbers that differ from run to run; the first of them is printed with a failure.
struct Random(u64);

impl Random {
    fn new() -> Random {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let seed = now.as_nanos() as u64;
        eprintln!("seed {seed}");
        Random(seed)
    }

    fn below(&mut self, end: u64) -> u64 {
        // Knuth's multiplier; the upper bits are the random ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// What was answered for, and so must hold: networks that are there, and networks that are gone.
#[derive(Debug, Default)]
struct Answered {
    there: BTreeSet<String>,
    gone: BTreeSet<String>,
}

/// Makes and removes networks and endpoints until the daemon is gone, and tells of every answer.
fn load(daemon: &Daemon, worker: u64, round: u64, answered: &Mutex<Answered>, tell: &mpsc::Sender<()>) {
    let client = daemon.client();
    for n in 0.. {
        let name = format!("n{round}-{worker}-{n}");
        let cidr = format!("10.{}.{}.0/24", worker * 60 + round, n % 256);
        if client.create_network(&network(&name, &cidr)).is_err() {
            return;
        }
        answered.lock().unwrap().there.insert(name.clone());
        // The test stops listening before the daemon is gone.
        tell.send(()).ok();
        let made = client.create_endpoint(&endpoint(&format!("e{name}"), &[&name])).is_ok();
        let removed = made && n % 3 == 0 && client.remove_endpoint(&format!("e{name}")).is_ok();
        if removed || n % 4 == 0 {
            // From the moment that it is asked for, it may be gone.
            answered.lock().unwrap().there.remove(&name);
            if client.remove_network(&name).is_ok() {
                answered.lock().unwrap().gone.insert(name);
            }
        }
    }
}

#[test]
fn fifty_kills_under_load_lose_nothing_that_was_answered_for() {
    let mut daemon = Daemon::start();
    let client = daemon.client();
    let mut random = Random::new();
    let answered = Mutex::new(Answered::default());
    for round in 0..50 {
        let (tell, told) = mpsc::channel();
        let killed_after = random.below(12);
        let pid = daemon.pid();
        std::thread::scope(|scope| {
            for worker in 0..3 {
                let (daemon, answered, tell) = (&daemon, &answered, tell.clone());
                scope.spawn(move || load(daemon, worker, round, answered, &tell));
            }
            for _ in 0..killed_after {
                told.recv_timeout(Duration::from_secs(20)).expect("the daemon answers");
            }
            // The others are in the middle of something, wherever that is.
            told.recv_timeout(Duration::from_micros(random.below(3000))).ok();
            let killed = Command::new("sh").args(["-c", &format!("kill -KILL {pid}")]).status().unwrap();
            assert!(killed.success());
        });
        daemon.kill();
        if round % 5 == 0 {
            // Again, while it starts.
            daemon.spawn();
            let (_keep, nobody) = mpsc::channel::<()>();
            nobody.recv_timeout(Duration::from_micros(random.below(40_000))).ok();
            daemon.kill();
        }
        daemon.start_again();

        let there = names(&daemon);
        let answered = answered.lock().unwrap();
        let lost: Vec<_> = answered.there.difference(&there).collect();
        assert_eq!(lost, [""; 0], "round {round}: networks that were answered for are lost");
        let risen: Vec<_> = answered.gone.intersection(&there).collect();
        assert_eq!(risen, [""; 0], "round {round}: networks that were removed are back");
        assert_eq!(client.drift().unwrap().steps, [""; 0], "round {round}");
    }
    let log = daemon.log();
    assert!(!log.contains("panicked"), "the daemon panicked");
}
