//! `bowline doctor` on a daemon that rehearses, and without one.

use bowline_api::Code;
use bowline_core::feature::Feature;
use expect_test::expect;
use serde_json::Value;

use crate::support::{Daemon, run};

fn lacking(features: &[Feature]) -> Daemon {
    let mut daemon = Daemon::not_started();
    daemon.spawn_with(|command| {
        for feature in features {
            command.args(["--lacks", feature.word()]);
        }
    });
    daemon.wait_until_ready();
    daemon
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn feature(report: &Value, word: &str) -> Value {
    let all = report["features"].as_array().unwrap();
    all.iter().find(|feature| feature["feature"] == word).unwrap_or_else(|| panic!("no {word}")).clone()
}

fn check(report: &Value, about: &str) -> Value {
    let all = report["checks"].as_array().unwrap();
    all.iter().find(|check| check["about"] == about).unwrap_or_else(|| panic!("no {about}: {report}")).clone()
}

#[test]
fn a_kernel_that_has_everything_is_well() {
    let daemon = Daemon::start();
    let report = json(&daemon.cli("doctor --json").good());
    assert_eq!(report["well"], true);
    let all = report["features"].as_array().unwrap();
    assert_eq!(all.len(), Feature::ALL.len());
    assert!(all.iter().all(|feature| feature["has"] == "yes"), "{all:?}");
    for about in ["version", "daemon", "privilege", "kernel", "forwarding", "state", "drift"] {
        assert_eq!(check(&report, about)["standing"], "well", "{about}");
    }
    // The kernel in memory has no way out, and says so.
    assert_eq!(check(&report, "uplink")["standing"], "doubtful");
}

#[test]
fn a_feature_that_is_taken_away_shows_and_is_no_failure() {
    let daemon = lacking(&[Feature::Ipvlan]);
    let shown = daemon.cli("doctor").good();
    let line = shown.lines().find(|line| line.starts_with("ipvlan ")).unwrap();
    expect!["ipvlan                           no   networks of driver ipvlan               modprobe ipvlan (Ubuntu may have it in linux-modules-extra-$(uname -r)), or use -d macvlan"].assert_eq(line);
    let report = json(&daemon.cli("doctor --format json").good());
    expect![[r#"
        {
          "cause": "it was taken away",
          "feature": "ipvlan",
          "fix": "modprobe ipvlan (Ubuntu may have it in linux-modules-extra-$(uname -r)), or use -d macvlan",
          "has": "no",
          "name": "ipvlan",
          "purpose": "networks of driver ipvlan",
          "required": false
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&feature(&report, "ipvlan")).unwrap());
    assert_eq!(feature(&report, "macvlan")["has"], "yes");
}

#[test]
fn what_bowline_cannot_do_without_is_a_failure() {
    let daemon = lacking(&[Feature::Nftables, Feature::Ipvlan]);
    let ran = daemon.cli("doctor");
    assert_eq!(ran.code, Some(7), "{ran:?}");
    assert!(ran.out.contains("wrong     kernel       this kernel has no nftables\n"), "{}", ran.out);
    assert!(ran.out.contains("fix: modprobe nf_tables\n"), "{}", ran.out);
    assert!(ran.err.contains("1 wrong"), "{}", ran.err);
}

#[test]
fn a_store_that_was_deleted_under_the_daemon_is_a_failure() {
    let daemon = Daemon::start();
    std::fs::remove_file(daemon.path("state/state.redb")).unwrap();
    let ran = daemon.cli("doctor --json");
    assert_eq!(ran.code, Some(7), "{ran:?}");
    let report = json(&ran.out);
    assert_eq!((&report["well"], &check(&report, "state")["standing"]), (&false.into(), &"wrong".into()));
}

#[test]
fn looking_changes_nothing() {
    let daemon = Daemon::start();
    daemon.network("front", "10.9.0.0/24");
    let before = daemon.dump();
    daemon.cli("doctor").good();
    assert_eq!(daemon.dump(), before);
    let report = json(&daemon.cli("doctor --json").good());
    assert_eq!(check(&report, "drift")["standing"], "well");
    assert_eq!(check(&report, "firewall")["standing"], "well");
}

#[test]
fn without_a_daemon_it_says_so_and_starts_none() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("bowline.sock");
    let ran = run(&format!("--socket {} doctor --json", socket.display()));
    let report = json(&ran.out);
    let said = check(&report, "daemon");
    assert!(said["what"].as_str().unwrap().contains(&socket.display().to_string()), "{said}");
    // Where systemd should have started it, that is wrong.
    let systemd = std::path::Path::new("/run/systemd/system").exists();
    assert_eq!(said["standing"], if systemd { "wrong" } else { "well" });
    assert_eq!(feature(&report, "bridge")["feature"], "bridge");
    assert!(!dir.path().join("daemon.log").exists() && !socket.exists());
}

#[test]
fn what_lacks_is_for_rehearsals_of_features_that_there_are() {
    run("daemon --lacks ipvlan").failed_with_usage();
    run("daemon --rehearse --lacks flying").failed_with_usage();
    run("doctor now").failed_with_usage();
    run("doctor --format {{.Name}}").failed_with(Code::InvalidRequest);
}

#[test]
fn its_help_says_what_the_exit_code_means() {
    let help = run("doctor --help").good();
    assert!(
        help.starts_with("Say what this host can do, what is wrong with it, and the line to paste\n"),
        "{help}"
    );
    assert!(help.contains("Exit code 0 says that nothing is wrong, and 7 that something is."), "{help}");
}
