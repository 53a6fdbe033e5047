//! The command line on a daemon that rehearses: what it prints, what it prints it to, and what its exit code says.

mod direct;
mod dns;
mod doctor;
mod endpoints;
mod networks;
mod ports;

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use bowline_api::Code;
use bowline_api::v1::Event;
use expect_test::{Expect, expect};
use serde_json::Value;

use crate::support::{Daemon, Ran, bowline, endpoint, join, run};

/// Networks and endpoints of every kind, as the snapshots show them.
fn furnished() -> Daemon {
    let daemon = Daemon::start();
    let client = daemon.client();
    daemon.cli("network create front --subnet 10.9.0.0/24 --gateway 10.9.0.254 --label tier=web").good();
    daemon
        .cli("network create back --subnet 10.8.0.0/24 --subnet fd00:8::/64 --internal --no-icc --mtu 1400")
        .good();
    daemon.cli("network create empty --subnet 10.7.0.0/30 --isolate --no-masquerade").good();
    let mut web = endpoint("web", &["front"]);
    web.networks[0].aliases = vec!["api".into(), "www".into()];
    web.networks[0].mac = Some("02:00:00:00:00:05".into());
    web.networks[0].ip = Some([10, 9, 0, 5].into());
    web.networks.push(bowline_api::v1::Join { mac: Some("02:00:00:00:00:06".into()), ..join("back") });
    client.create_endpoint(&web).unwrap();
    let mut old = endpoint("old", &["front"]);
    old.networks[0].ip = Some([10, 9, 0, 7].into());
    client.create_endpoint(&old).unwrap();
    client.stop_endpoint("old").unwrap();
    daemon
}

/// Ids, times, numbers of processes and paths differ from run to run.
fn normal(daemon: &Daemon, text: &str) -> String {
    let text = text.replace(&daemon.path("").display().to_string(), "DIR/");
    let text = text.replace(&format!(" {}", daemon.pid()), " PID");
    let mut normal = String::new();
    for line in text.lines() {
        let words: Vec<String> = line.split(' ').map(normal_word).collect();
        normal.push_str(words.join(" ").trim_end());
        normal.push('\n');
    }
    normal
}

fn normal_word(word: &str) -> String {
    let is_id = word.len() == 32 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let is_time = word.len() == 24 && word.ends_with('Z') && word.as_bytes()[10] == b'T';
    let is_cookie = word.len() > 17 && word.bytes().all(|b| b.is_ascii_digit());
    // One that a test asked for is told apart from one that was chosen.
    let chosen = !word.starts_with("02:00:00:");
    let is_mac = chosen && word.len() == 17 && word.split(':').filter(|byte| byte.len() == 2).count() == 6;
    match (is_id, is_time, is_cookie, is_mac) {
        (true, _, _, _) => "ID".to_string(),
        (_, true, _, _) => "TIME".to_string(),
        (_, _, true, _) => "COOKIE".to_string(),
        (_, _, _, true) => "MAC".to_string(),
        _ => word.to_string(),
    }
}

fn shows(daemon: &Daemon, line: &str, wanted: &Expect) {
    wanted.assert_eq(&normal(daemon, &daemon.cli(line).good()));
}

/// Both streams and the exit code.
fn says(daemon: &Daemon, line: &str, wanted: &Expect) {
    let ran = daemon.cli(line);
    let err: String = ran.err.lines().map(|line| format!("! {line}\n")).collect();
    wanted.assert_eq(&normal(daemon, &format!("{}{err}[{}]", ran.out, ran.code.unwrap())));
}

#[test]
fn the_daemon_is_looked_after() {
    let daemon = furnished();
    let info = normal(&daemon, &daemon.cli("system info").good());
    let keys: Vec<&str> = info.lines().filter_map(|line| line.split(' ').next()).collect();
    expect!["version pid kernel uptime networks endpoints addresses socket config state run"]
        .assert_eq(&keys.join(" "));
    assert!(info.contains("DIR/bowline.sock") && info.contains("PID"), "{info}");
    let df = normal(&daemon, &daemon.cli("system df").good());
    assert!(df.starts_with("WHAT") && df.contains("DIR/state") && df.contains("KiB"), "{df}");
    says(
        &daemon,
        "system drift",
        &expect![[r#"
        ! no drift: the kernel is as wanted
        [0]
    "#]],
    );
    says(
        &daemon,
        "system repair",
        &expect![[r#"
        ! nothing to repair: the kernel is as wanted
        [0]
    "#]],
    );
    let dump: bowline_api::v1::Dump = serde_json::from_str(&daemon.cli("system dump").good()).unwrap();
    assert_eq!(dump, daemon.dump());
    says(
        &daemon,
        "system prune -f",
        &expect![[r#"
        old
        empty
        [0]
    "#]],
    );
}

#[test]
fn events_are_followed_line_by_line() {
    let daemon = Daemon::start();
    for (flag, wanted) in [
        (
            "--color=never",
            expect![[r#"
            TIME  network-created  network=front
            TIME  endpoint-created  endpoint=web
            TIME  connected  network=front  endpoint=web
            TIME  endpoint-removed  endpoint=web
            TIME  network-removed  network=front
        "#]],
        ),
        (
            "--json",
            expect![[r#"
            {"time_unix_ms":0,"kind":"network-created","network":"front"}
            {"time_unix_ms":0,"kind":"endpoint-created","endpoint":"web"}
            {"time_unix_ms":0,"kind":"connected","network":"front","endpoint":"web"}
            {"time_unix_ms":0,"kind":"endpoint-removed","endpoint":"web"}
            {"time_unix_ms":0,"kind":"network-removed","network":"front"}
        "#]],
        ),
    ] {
        let mut command = bowline();
        command.arg("--socket").arg(daemon.socket()).args(["events", flag]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || out.lines().map_while(Result::ok).all(|line| tell.send(line).is_ok()));
        // It is subscribed from some moment on: things happen until it tells of one.
        let name = |n: usize| format!("n{n}{flag}").replace(['-', '='], "");
        let mut made = 0;
        let first = crate::support::until("the first event comes", || {
            daemon.network(&name(made), &format!("10.9.{made}.0/24"));
            daemon.client().remove_network(&name(made)).unwrap();
            made += 1;
            told.try_recv().ok()
        });
        assert!(first.contains("network-"), "{first}");
        daemon.network("front", "10.200.0.0/24");
        daemon.endpoint("web", &["front"]);
        daemon.client().remove_endpoint("web").unwrap();
        daemon.client().remove_network("front").unwrap();
        let mut lines = String::new();
        loop {
            let line = told.recv_timeout(crate::support::PATIENCE).unwrap();
            if line.contains("front") || line.contains("web") {
                lines.push_str(&format!("{}\n", without_time(&line)));
            }
            if line.contains("network-removed") && line.contains("front") {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        wanted.assert_eq(&lines);
    }
}

#[test]
fn events_end_with_an_error_when_the_daemon_ends() {
    let mut daemon = Daemon::start();
    let mut command = bowline();
    command.arg("--socket").arg(daemon.socket()).arg("events");
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    // Connected, as the kernel tells: a socket is open besides the three standard streams.
    crate::support::until("it is connected", || {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        files.flatten().find(|file| {
            fs::read_link(file.path()).is_ok_and(|to| to.display().to_string().starts_with("socket"))
        })
    });
    daemon.kill();
    let ran = crate::support::ended(child);
    assert_eq!(ran.code, Some(6), "{ran:?}");
    assert!(ran.err.starts_with("error[BWL-3002]"), "{ran:?}");
}

fn without_time(line: &str) -> String {
    match serde_json::from_str::<Event>(line) {
        Ok(event) => serde_json::to_string(&Event { time_unix_ms: 0, ..event }).unwrap(),
        Err(_) => line.split(' ').map(normal_word).collect::<Vec<_>>().join(" "),
    }
}

/// Wherever a number has a unit, its key says which.
fn units_are_named(value: &Value, path: &str) {
    const WITHOUT: &[&str] = &[
        "cookie",
        "gw_priority",
        "pid",
        "networks",
        "endpoints",
        "addresses_used",
        "used",
        "size",
        "host_port",
        "host_port_last",
        "port",
        "port_last",
        "suggestion",
        "elements",
        "number",
        "answers",
    ];
    const UNITS: &[&str] = &["_bytes", "_ms", "_us", "_s"];
    match value {
        Value::Number(_) => {
            let key = path.rsplit('.').next().unwrap();
            let named = WITHOUT.contains(&key) || UNITS.iter().any(|unit| key.ends_with(unit));
            assert!(named, "{path} is a number of what?");
        }
        Value::Array(values) => values.iter().for_each(|value| units_are_named(value, path)),
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| units_are_named(value, &format!("{path}.{key}")));
        }
        Value::Null | Value::Bool(_) | Value::String(_) => (),
    }
}

#[test]
fn everything_is_there_as_json_with_units_in_the_names_of_keys() {
    let daemon = furnished();
    for line in [
        "network ls",
        "network show front none",
        "network inspect front host",
        "endpoint ls",
        "endpoint show web old",
        "endpoint inspect web",
        "system info",
        "system df",
        "system dump",
        "system drift",
        "system repair",
        "explain",
        "explain BWL-1107",
        "version",
        "version --client",
        "network update front --label x=y",
        "port publish web 8080:80 127.0.0.1:5300-5301:53-54/udp",
        "port ls",
        "port check 9090",
        "dns ls",
        "dns resolve web --endpoint web",
        "dns log",
        "dns flush",
        "port unpublish web 8080",
        "system firewall",
        "system release",
        "network create new",
        "network create newer --dry-run",
        "network disconnect back web",
        "network connect back web",
        "network rm new",
        "network prune",
        "system prune",
        "endpoint rm web",
    ] {
        for flag in ["--json", "--format=json"] {
            // What is gone after the first time fails the second time, as JSON on standard error.
            let ran = daemon.cli(&format!("{line} {flag}"));
            let text = if ran.code == Some(0) { &ran.out } else { &ran.err };
            let value: Value =
                serde_json::from_str(text).unwrap_or_else(|e| panic!("{line} {flag}: {e}: {ran:?}"));
            units_are_named(&value, line);
            assert!(ran.code == Some(0) || value["code"].is_string(), "{line}: {ran:?}");
            assert!(ran.code != Some(0) || ran.err.is_empty(), "{line} says more than its JSON: {ran:?}");
        }
    }
}

#[test]
fn exit_codes_tell_what_kind_of_answer_it_was() {
    let daemon = furnished();
    for (line, code) in [
        ("network ls", 0),
        ("network create a --subnet x", 2),
        ("network frobnicate", 2),
        ("network create", 2),
        ("network create a/b", 2),
        ("explain BWL-9999", 2),
        ("network show nobody", 3),
        ("endpoint rm nobody", 3),
        ("network disconnect empty web", 3),
        ("network create front", 4),
        ("network create a --subnet 10.9.0.0/25", 4),
        ("network rm front", 4),
        ("network connect front web", 4),
        ("port check 8080", 0),
        ("port publish web 8080:80x", 2),
        ("port unpublish web 8080", 3),
        ("port ls nobody", 3),
        ("dns ls nowhere", 3),
        ("dns resolve web --endpoint nobody", 3),
        ("dns log", 0),
    ] {
        let ran = daemon.cli(line);
        assert_eq!(ran.code, Some(code), "{line}: {ran:?}");
        assert!(code == 0 || (ran.out.is_empty() && ran.err.contains("error")), "{line}: {ran:?}");
    }
    // A pool that is used up is neither the user's mistake nor a conflict.
    let mut pool = Daemon::not_started();
    fs::write(pool.path("bowline.toml"), "[pools]\nipv4 = [\"10.77.0.0/24\"]\n").unwrap();
    pool.start_again();
    pool.cli("network create a").good();
    pool.cli("network create b").failed_with(Code::PoolsExhausted);
}

#[test]
fn a_daemon_that_cannot_be_reached_is_a_code_of_its_own() {
    let daemon = Daemon::not_started();
    // A socket whose directory is a file can neither be used nor made.
    let below = daemon.path("bowline.toml/bowline.sock");
    let ran = run(&format!("--socket {} network ls", below.display()));
    assert!(ran.out.is_empty() && ran.err.contains("error[BWL-") && ran.err.contains("fix: "), "{ran:?}");
    assert_eq!(ran.code, Some(6), "{ran:?}");
}

#[test]
fn codes_are_explained() {
    let ran = run("explain BWL-1107").good();
    expect![[r#"
        BWL-1107: the subnet overlaps something on this host

        Two networks, or a network and a route of the host, would claim the same addresses, and packets would go to one of them
        only. The message names the other side; it may be a VPN, Docker, or the LAN itself. Leave the subnet out to get a free
        one, or choose another.

            ip route
            bowline network create front
    "#]].assert_eq(&ran);
    assert_eq!(run("explain 1107").good(), ran);
    let all = run("explain").good();
    assert_eq!(all.lines().count(), Code::ALL.len() + 1, "{all}");
    for &code in Code::ALL {
        let page = run(&format!("explain {code}")).good();
        assert!(page.starts_with(&format!("{code}: {}\n\n", code.title())), "{page}");
    }
}

#[test]
fn completions_are_there_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&format!("completion {shell}")).good();
        for word in ["network", "disconnect", "--subnet", "explain"] {
            let word = if shell == "fish" { word.trim_start_matches("--") } else { word };
            assert!(script.contains(word), "{shell} does not complete {word}");
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("bowline.bash");
    fs::write(&script, run("completion bash").good()).unwrap();
    let checked = std::process::Command::new("bash").arg("-n").arg(&script).output();
    if let Ok(checked) = checked {
        assert!(checked.status.success(), "{checked:?}");
    }
}

#[test]
fn manual_pages_are_there_for_every_verb() {
    let page = run("man").good();
    assert!(page.contains(".TH bowline 1") && page.contains("network"), "{page}");
    let dir = tempfile::tempdir().unwrap();
    run(&format!("man --dir {}/man1", dir.path().display())).good();
    let mut pages: Vec<String> = fs::read_dir(dir.path().join("man1"))
        .unwrap()
        .map(|p| p.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    for verb in [
        "bowline.1",
        "bowline-network-create.1",
        "bowline-endpoint-ls.1",
        "bowline-system-drift.1",
        "bowline-daemon.1",
    ] {
        assert!(pages.iter().any(|page| page == verb), "{verb} is missing: {pages:?}");
    }
}

#[test]
fn versions_of_both_sides_are_told() {
    let daemon = Daemon::start();
    let version = env!("CARGO_PKG_VERSION");
    shows(
        &daemon,
        "version",
        &expect![[r#"
        client  0.1.0 (API v1)
        daemon  0.1.0 (API v1)
    "#]],
    );
    assert_eq!(run("version --client").good(), format!("client  {version} (API v1)\n"));
    assert_eq!(run("--version").good(), format!("bowline {version}\n"));
}

#[test]
fn the_configuration_is_checked_and_shown_with_its_origin() {
    let daemon = Daemon::not_started();
    let path = daemon.path("bowline.toml").display().to_string();
    fs::write(&path, "[link]\nmtu = 1400\n[pools]\nipv4 = [\"10.20.0.0/16\", \"10.30.0.0/16\"]\n").unwrap();
    let shown = run(&format!("config show --origin --config {path}")).good().replace(&path, "FILE");
    expect![[r#"
        [daemon]
        group = "bowline"  # default
        log = "info"  # default
        log_format = "text"  # default

        [firewall]
        rules = "/etc/bowline/nft.d"  # default

        [pools]
        ipv4 = ["10.20.0.0/16", "10.30.0.0/16"]  # FILE
        ipv4_size = 24  # default
        ipv6 = "random"  # default

        [dns]
        servers = ["host"]  # default
        ttl_seconds = 5  # default

        [link]
        mtu = 1400  # FILE
        gso = "auto"  # default
    "#]]
    .assert_eq(&shown);
    assert!(!run(&format!("config check --config {path}")).good().is_empty());
    // What is shown is a configuration, and the same one.
    let plain = run(&format!("config show --config {path}")).good();
    fs::write(&path, &plain).unwrap();
    assert_eq!(run(&format!("config show --config {path}")).good(), plain);

    fs::write(&path, "[link]\nmtuu = 1400\n").unwrap();
    for verb in ["check", "show"] {
        let ran = run(&format!("config {verb} --config {path}"));
        ran.failed_with(Code::InvalidConfig);
        assert!(ran.err.contains("did you mean link.mtu?"), "{ran:?}");
    }
    run("config check --config /nonexistent/bowline.toml").failed_with(Code::InvalidConfig);
}

#[test]
fn the_socket_and_the_format_may_come_from_the_environment() {
    let daemon = furnished();
    let ran = |format: &str| {
        let mut command = bowline();
        command.env("BOWLINE_SOCKET", daemon.socket()).env("BOWLINE_FORMAT", format).args(["network", "ls"]);
        let output = command.output().unwrap();
        Ran {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    };
    assert!(serde_json::from_str::<Value>(&ran("json").good()).unwrap().is_array());
    assert!(ran("table").good().starts_with("NAME"));
    ran("xml").failed_with_usage();
}

#[test]
fn nothing_is_coloured_but_where_it_is_wanted() {
    let daemon = furnished();
    for line in ["network ls", "network show nobody", "network frobnicate", "--help"] {
        let ran = daemon.cli(line);
        assert!(!format!("{}{}", ran.out, ran.err).contains('\u{1b}'), "{line}: {ran:?}");
    }
    assert!(daemon.cli("--color always network show nobody").err.contains('\u{1b}'));
    assert!(!daemon.cli("--color never network show nobody").err.contains('\u{1b}'));
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let daemon = furnished();
    let program = env!("CARGO_BIN_EXE_bowline");
    let script = format!(
        "'{program}' --socket '{}' system dump | head -c 1; exit ${{PIPESTATUS[0]}}",
        daemon.socket().display()
    );
    let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
