//! What a service manager is told, and what the daemon is told by signals.

use std::fs;
use std::os::unix::net::UnixDatagram;

use crate::support::{Daemon, PATIENCE, signal, until};

/// A service manager's end of NOTIFY_SOCKET.
struct Manager(UnixDatagram);

impl Manager {
    fn listen(daemon: &Daemon) -> Manager {
        let socket = UnixDatagram::bind(daemon.path("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Manager(socket)
    }

    /// Reads until a message says this; returns that message.
    fn hears(&self, what: &str) -> String {
        let mut bytes = [0; 4096];
        loop {
            let read = self.0.recv(&mut bytes).unwrap_or_else(|e| panic!("in vain waited for {what}: {e}"));
            let message = String::from_utf8_lossy(&bytes[..read]).into_owned();
            if message.lines().any(|line| line == what) {
                return message;
            }
        }
    }
}

#[test]
fn a_service_manager_hears_that_it_is_ready_alive_reloading_and_stopping() {
    let mut daemon = Daemon::not_started();
    let manager = Manager::listen(&daemon);
    let notify = daemon.path("notify");
    daemon.spawn_with(|command| {
        command.env("NOTIFY_SOCKET", notify).env("WATCHDOG_USEC", "200000");
    });
    manager.hears("READY=1");
    assert!(daemon.client().health().is_ok(), "who is ready answers");
    for _ in 0..3 {
        manager.hears("WATCHDOG=1");
    }
    signal("HUP", daemon.pid());
    let reloading = manager.hears("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "systemd asks for both in one message: {reloading}");
    manager.hears("READY=1");
    signal("TERM", daemon.pid());
    manager.hears("STOPPING=1");
    daemon.is_gone();
}

#[test]
fn a_hangup_reads_the_configuration_again_and_one_that_is_not_valid_changes_nothing() {
    let daemon = Daemon::start();
    let file = daemon.path("bowline.toml");
    let subnet = |name: &str| {
        daemon.client().create_network(&bowline_api::v1::CreateNetwork::named(name)).unwrap().subnets[0]
            .cidr
            .clone()
    };
    let looked = |times| {
        until("it has looked again", || {
            (daemon.log().matches("looked at the kernel again").count() == times).then_some(())
        });
    };
    fs::write(&file, "[pools]\nipv4 = [\"10.77.0.0/16\"]\n").unwrap();
    assert!(subnet("before").starts_with("10.160."));
    signal("HUP", daemon.pid());
    looked(1);
    assert!(subnet("after").starts_with("10.77."));
    fs::write(&file, "[pools]\nipv4 = \"nonsense\"\n").unwrap();
    signal("HUP", daemon.pid());
    looked(2);
    assert!(daemon.log().contains("BWL-3008"), "the log says what is wrong with the file");
    assert!(subnet("later").starts_with("10.77."));
}

#[test]
fn the_log_is_json_a_line_where_asked() {
    let mut daemon = Daemon::not_started();
    daemon.spawn_with(|command| {
        command.args(["--log-format", "json"]);
    });
    daemon.wait_until_ready();
    daemon.network("front", "10.9.0.0/24");
    let log = daemon.log();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let created =
        lines.iter().find(|line| line["message"] == "created").expect("one line when the world changes");
    assert_eq!((created["level"].as_str(), created["network"].as_str()), (Some("INFO"), Some("front")));
}
