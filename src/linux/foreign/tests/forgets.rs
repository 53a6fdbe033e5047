//! A firewalld that forgets our bridges, on a real bus: they are brought back as soon as it says so.

use std::path::Path;
use std::time::{Duration, Instant};

use super::bus::{Daemon, Service};
use super::name;
use crate::foreign::firewalld::Bridges;

const ZONES: &[&str] = &["public", "trusted"];

#[track_caller]
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within ten seconds");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[track_caller]
fn trusts(firewalld: &Service, bridges: &[&str]) {
    eventually(&format!("{bridges:?} are trusted"), || firewalld.within("trusted") == bridges);
}

fn zone(bridges: &Bridges, bridge: &str) -> Option<String> {
    bridges.join(&name(bridge)).unwrap()
}

#[test]
fn after_a_reload_they_are_brought_back() {
    let bus = Daemon::start();
    let firewalld = Service::start(bus.socket(), ZONES);
    let bridges = Bridges::at(bus.socket());
    assert_eq!(zone(&bridges, "bl-a").as_deref(), Some("trusted"));
    assert_eq!(zone(&bridges, "bl-a"), None, "it is told once");
    zone(&bridges, "bl-b");
    for _ in 0..20 {
        firewalld.reload();
        trusts(&firewalld, &["bl-a", "bl-b"]);
    }
    bridges.leave(&name("bl-a")).unwrap();
    firewalld.reload();
    trusts(&firewalld, &["bl-b"]);
    assert_eq!(firewalld.within("public"), [""; 0]);
}

#[test]
fn a_firewalld_that_starts_again_gets_them_and_so_does_one_that_starts_late() {
    let bus = Daemon::start();
    let bridges = Bridges::at(bus.socket());
    assert_eq!(zone(&bridges, "bl-a"), None);
    for _ in 0..5 {
        let firewalld = Service::start(bus.socket(), ZONES);
        trusts(&firewalld, &["bl-a"]);
    }
}

#[test]
fn nobody_listens_without_a_bridge_or_without_a_bus() {
    let mut bus = Daemon::start();
    let bridges = Bridges::at(bus.socket());
    assert!(!bridges.is_listening());
    zone(&bridges, "bl-a");
    zone(&bridges, "bl-b");
    bridges.leave(&name("bl-a")).unwrap();
    assert!(bridges.is_listening());
    bridges.leave(&name("bl-b")).unwrap();
    assert!(!bridges.is_listening());
    zone(&bridges, "bl-a");
    assert!(bridges.is_listening(), "it listens again with the next one");
    bus.end();
    eventually("it gives up with the bus", || !bridges.is_listening());
    assert_eq!(zone(&bridges, "bl-b"), None);

    let nowhere = Bridges::at(Path::new("/nowhere/bus"));
    assert_eq!(zone(&nowhere, "bl-a"), None);
    assert!(!nowhere.is_listening());
    nowhere.leave(&name("bl-a")).unwrap();
}

#[test]
fn those_that_come_and_go_while_it_reloads_are_as_they_were_left() {
    let bus = Daemon::start();
    let firewalld = Service::start(bus.socket(), ZONES);
    let bridges = Bridges::at(bus.socket());
    zone(&bridges, "bl-a");
    std::thread::scope(|scope| {
        scope.spawn(|| (0..100).for_each(|_| firewalld.reload()));
        for _ in 0..100 {
            zone(&bridges, "bl-b");
            bridges.leave(&name("bl-b")).unwrap();
        }
    });
    trusts(&firewalld, &["bl-a"]);
    // What is dropped hears nothing any more, whatever is still on its way.
    drop(bridges);
    firewalld.reload();
    assert_eq!(firewalld.within("trusted"), [""; 0]);
}
