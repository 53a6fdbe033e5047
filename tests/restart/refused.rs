//! What a daemon starts with: sockets, directories, rights and configurations, those that it takes and those that it refuses.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use bowline_api::Code;

use crate::support::{Daemon, bowline, ended, network, run, until};

#[test]
fn a_daemon_that_is_started_twice_is_refused_and_the_first_undisturbed() {
    let daemon = Daemon::start();
    daemon.network("front", "10.9.0.0/24");
    let before = daemon.dump();
    let stranger = Daemon::not_started();
    let second = |socket: &Path, run_dir: &Path, state_dir: &Path| {
        let mut command = bowline();
        command.args(["daemon", "--rehearse", "--config"]).arg(daemon.path("bowline.toml"));
        command.arg("--socket").arg(socket).arg("--run-dir").arg(run_dir).arg("--state-dir").arg(state_dir);
        ended(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    };
    let (own, other) = (|name: &str| daemon.path(name), |name: &str| stranger.path(name));
    for (what, refused) in [
        ("everything the same", second(&own("bowline.sock"), &own("run"), &own("state"))),
        ("the same socket", second(&own("bowline.sock"), &other("run"), &other("state"))),
        ("the same run directory", second(&other("bowline.sock"), &own("run"), &other("state"))),
        ("the same state directory", second(&other("bowline.sock"), &other("run"), &own("state"))),
    ] {
        println!("{what}");
        refused.failed_with(Code::DaemonRunning);
        assert!(refused.err.contains("fix: "), "{refused:?}");
        assert_eq!(daemon.dump(), before, "{what}: the first one was disturbed");
    }
    assert!(!other("bowline.sock").exists(), "a daemon that was refused left a socket");
    assert_eq!(daemon.client().info().unwrap().pid, daemon.pid());
}

#[test]
fn a_socket_that_a_killed_daemon_left_is_taken_over() {
    let mut daemon = Daemon::start();
    daemon.kill();
    assert!(daemon.socket().exists());
    daemon.start_again();
}

#[test]
fn sockets_that_cannot_be_are_refused() {
    let mut daemon = Daemon::not_started();
    let refused = |daemon: &Daemon, socket: &Path| {
        let mut command = bowline();
        command
            .args(["daemon", "--rehearse", "--config"])
            .arg(daemon.path("bowline.toml"))
            .arg("--socket")
            .arg(socket);
        command.arg("--run-dir").arg(daemon.path("run")).arg("--state-dir").arg(daemon.path("state"));
        ended(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
    };
    refused(&daemon, &daemon.path(&"s".repeat(108))).failed_with(Code::InvalidSocket);
    fs::write(daemon.path("file"), "mine").unwrap();
    fs::create_dir(daemon.path("dir")).unwrap();
    for name in ["file", "dir"] {
        refused(&daemon, &daemon.path(name)).failed_with(Code::InvalidSocket);
    }
    assert_eq!(fs::read_to_string(daemon.path("file")).unwrap(), "mine", "what was there was touched");
    let below = refused(&daemon, &daemon.path("file/bowline.sock"));
    assert!(below.err.starts_with("error[BWL-300"), "{below:?}");
    // The longest that the kernel takes, to the byte.
    let start = daemon.path("").as_os_str().len();
    let longest = daemon.path(&"s".repeat(107 - start));
    let mut command = bowline();
    command
        .args(["daemon", "--rehearse", "--config"])
        .arg(daemon.path("bowline.toml"))
        .arg("--socket")
        .arg(&longest);
    command.arg("--run-dir").arg(daemon.path("run")).arg("--state-dir").arg(daemon.path("state"));
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let client = bowline_api::Client::new(&longest);
    let answered = until("it answers or ends", || match child.try_wait().unwrap() {
        Some(status) => Some(Err(status)),
        None => client.health().ok().map(Ok),
    });
    child.kill().ok();
    child.wait().unwrap();
    assert_eq!(answered.unwrap().status, "ok");
    daemon.start_again();
}

#[test]
fn directories_that_are_missing_are_made_with_their_parents() {
    let daemon = Daemon::not_started();
    let mut command = bowline();
    command.args(["daemon", "--rehearse", "--config"]).arg(daemon.path("bowline.toml"));
    command.arg("--socket").arg(daemon.path("a/b/bowline.sock"));
    command.arg("--run-dir").arg(daemon.path("c/d/run")).arg("--state-dir").arg(daemon.path("e/f/state"));
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let client = bowline_api::Client::new(daemon.path("a/b/bowline.sock"));
    until("it answers", || client.health().ok());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(daemon.path("e/f/state/state.redb").exists() && daemon.path("c/d/run/run.redb").exists());
}

/// As somebody who is not root: what only root may do fails, and the program cannot be in root's own directories.
fn as_nobody(daemon: &Daemon) -> Command {
    let program = daemon.path("bowline");
    let mut command = if fs::metadata("/proc/self").unwrap().uid() == 0 {
        // Not by ourselves: a process that another test forks meanwhile would hold the copy open for writing, and what is
        // being written cannot be run.
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_bowline")).arg(&program).status().unwrap();
        assert!(copied.success(), "copy the program");
        fs::set_permissions(daemon.path(""), fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = Command::new(&program);
        command.uid(65_534).gid(65_534);
        command
    } else {
        Command::new(env!("CARGO_BIN_EXE_bowline"))
    };
    command.env_remove("BOWLINE_SOCKET").env_remove("BOWLINE_FORMAT").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn directories_that_cannot_be_written_are_refused_by_name() {
    let daemon = Daemon::not_started();
    fs::create_dir(daemon.path("locked")).unwrap();
    fs::set_permissions(daemon.path("locked"), fs::Permissions::from_mode(0o555)).unwrap();
    fs::create_dir(daemon.path("open")).unwrap();
    fs::set_permissions(daemon.path("open"), fs::Permissions::from_mode(0o777)).unwrap();
    let start = |run_dir: &str, state_dir: &str| {
        let mut command = as_nobody(&daemon);
        command.args(["daemon", "--rehearse", "--config"]).arg(daemon.path("bowline.toml"));
        command.arg("--socket").arg(daemon.path("open/s"));
        command.arg("--run-dir").arg(daemon.path(run_dir)).arg("--state-dir").arg(daemon.path(state_dir));
        ended(command.spawn().unwrap())
    };
    for (run_dir, state_dir, named) in [
        ("open/run", "locked", "locked"),
        ("open/run", "locked/state", "locked/state"),
        ("locked", "open/state", "locked"),
        ("locked/run", "open/state", "locked/run"),
        ("open/run", "bowline.toml", "bowline.toml"),
        ("open/run", "bowline.toml/state", "bowline.toml/state"),
    ] {
        let refused = start(run_dir, state_dir);
        refused.failed_with(Code::StateUnwritable);
        assert!(refused.err.contains(named) && refused.err.contains("fix: "), "{refused:?}");
    }
}

#[test]
fn without_root_there_is_help_a_version_and_a_rehearsal() {
    let daemon = Daemon::not_started();
    for line in [
        "--help",
        "help",
        "daemon --help",
        "network create --help",
        "--version",
        "version --client",
        "explain BWL-1107",
    ] {
        let ran = ended(as_nobody(&daemon).args(line.split(' ')).spawn().unwrap());
        assert!(ran.code == Some(0) && ran.out.len() > 10 && ran.err.is_empty(), "{line}: {ran:?}");
    }
    fs::create_dir(daemon.path("open")).unwrap();
    fs::set_permissions(daemon.path("open"), fs::Permissions::from_mode(0o777)).unwrap();
    let mut command = as_nobody(&daemon);
    command.args(["daemon", "--rehearse", "--config"]).arg(daemon.path("bowline.toml"));
    command.arg("--socket").arg(daemon.path("open/s"));
    command.arg("--run-dir").arg(daemon.path("open/run")).arg("--state-dir").arg(daemon.path("open/state"));
    let mut child = command.spawn().unwrap();
    let client = bowline_api::Client::new(daemon.path("open/s"));
    let made = until("it makes a network", || client.create_network(&network("front", "10.9.0.0/24")).ok());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(made.name, "front");
}

#[test]
fn without_root_a_real_daemon_is_refused_with_the_reason() {
    let daemon = Daemon::not_started();
    fs::create_dir(daemon.path("open")).unwrap();
    fs::set_permissions(daemon.path("open"), fs::Permissions::from_mode(0o777)).unwrap();
    let mut command = as_nobody(&daemon);
    command
        .args(["daemon", "--config"])
        .arg(daemon.path("bowline.toml"))
        .arg("--socket")
        .arg(daemon.path("open/s"));
    command.arg("--run-dir").arg(daemon.path("open/run")).arg("--state-dir").arg(daemon.path("open/state"));
    let refused = ended(command.spawn().unwrap());
    refused.failed_with(Code::Denied);
    assert!(refused.err.contains("fix: "), "{refused:?}");
}

#[test]
fn a_configuration_that_is_not_valid_is_refused_by_the_key() {
    let mut daemon = Daemon::not_started();
    for (text, named) in [
        ("[link]\nmtu = 3", "link.mtu"),
        ("[link]\nmtuu = 1500", "did you mean link.mtu?"),
        ("[daemon]\nlog = \"loud\"", "daemon.log"),
        ("[pools]\nipv4 = [\"10.0.0.1/8\"]", "pools.ipv4"),
        ("[pools", "line 1"),
        ("mtu = 1500\n", "mtu"),
        ("[link]\nmtu = 1500\nmtu = 1400", "line 3"),
    ] {
        fs::write(daemon.path("bowline.toml"), text).unwrap();
        let refused = daemon.refuses_to_start();
        refused.failed_with(Code::InvalidConfig);
        assert!(refused.err.contains(named) && refused.err.contains("bowline.toml"), "{text}: {refused:?}");
        assert!(!daemon.path("state").exists(), "something was made before the configuration was read");
    }
    fs::write(daemon.path("bowline.toml"), [0xff, 0xfe]).unwrap();
    daemon.refuses_to_start().failed_with(Code::InvalidConfig);
    fs::remove_file(daemon.path("bowline.toml")).unwrap();
    daemon.refuses_to_start().failed_with(Code::InvalidConfig);
    run("daemon --rehearse --log-format xml").failed_with_usage();
}

#[test]
fn a_configuration_is_followed() {
    let mut daemon = Daemon::not_started();
    let text = "[link]\nmtu = 1400\ngso = \"on\"\n[pools]\nipv4 = [\"10.77.0.0/16\"]\nipv4_size = 26\nipv6 = \"fd77::/48\"\n";
    fs::write(daemon.path("bowline.toml"), text).unwrap();
    daemon.start_again();
    let wish =
        bowline_api::v1::CreateNetwork { ipv6: true, ..bowline_api::v1::CreateNetwork::named("front") };
    let made = daemon.client().create_network(&wish).unwrap();
    let cidrs: Vec<&str> = made.subnets.iter().map(|s| s.cidr.as_str()).collect();
    assert_eq!((made.mtu_bytes, cidrs), (1400, vec!["10.77.0.0/26", "fd77::/64"]));
    assert!(made.gso_max_bytes.is_some(), "{made:?}");
}
