//! Real commands, as root: what they find themselves in, and what their parent learns of them.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bowline_core::Code;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;

use super::child::Stat;
use super::*;

/// Supervision reaps every child of the process: one test at a time, where they share one.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn launch(argv: &[&str]) -> Launch {
    Launch {
        argv: argv.iter().map(OsString::from).collect(),
        env: vec![("PATH".into(), "/usr/bin:/bin:/usr/sbin:/sbin".into())],
        ..Launch::default()
    }
}

fn sh(script: &str) -> Launch {
    launch(&["sh", "-c", script])
}

/// What a command writes, and how it ends.
fn run(launch: Launch) -> (String, Exit) {
    let (read, write) = pipe().unwrap();
    let child = start(Launch { stdout: Some(write), ..launch }).unwrap();
    let mut text = String::new();
    File::from(read).read_to_string(&mut text).unwrap();
    (text.trim_end().to_string(), child.wait().unwrap())
}

fn said(launch: Launch) -> String {
    let (text, exit) = run(launch);
    assert_eq!(exit, Exit::Code(0), "{text}");
    text
}

fn refusal(launch: Launch) -> (u8, String) {
    let failed = start(launch).expect_err("must not start");
    assert!(matches!(failed.error.code, Code::NotStarted | Code::InvalidRequest), "{failed}");
    (failed.exit_code, failed.to_string())
}

fn executable(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "timed out: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn the_exit_of_a_command_comes_back() {
    let _alone = alone();
    for (script, exit) in [
        ("exit 0", Exit::Code(0)),
        ("exit 7", Exit::Code(7)),
        ("exit 255", Exit::Code(255)),
        ("kill -9 $$", Exit::Signal(9)),
        ("kill -40 $$", Exit::Signal(40)),
    ] {
        assert_eq!(run(sh(script)).1, exit, "{script}");
    }
    assert_eq!(Exit::Signal(15).code(), 143);
}

#[test]
fn a_program_that_is_not_there_is_127() {
    let _alone = alone();
    for argv in [&["no-such-program"][..], &["/no/such/program"], &["/etc/passwd/x"], &[""]] {
        assert_eq!(refusal(launch(argv)).0, 127, "{argv:?}");
    }
    assert!(refusal(launch(&["no-such-program"])).1.contains("no directory of PATH has it"));
}

#[test]
fn a_script_without_its_interpreter_is_127_and_says_so() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("script");
    executable(&script, "#!/no/such/interpreter\n", 0o755);
    let (code, text) = refusal(launch(&[script.to_str().unwrap()]));
    assert_eq!(code, 127);
    assert!(text.contains("its interpreter is not"), "{text}");
}

#[test]
fn a_program_that_cannot_be_executed_is_126() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("plain");
    executable(&plain, "text", 0o644);
    let garbage = dir.path().join("garbage");
    executable(&garbage, "\x01\x02\x03", 0o755);
    for path in [plain.as_path(), garbage.as_path(), dir.path()] {
        assert_eq!(refusal(launch(&[path.to_str().unwrap()])).0, 126, "{path:?}");
    }
}

#[test]
fn a_command_is_looked_up_in_its_own_path() {
    let _alone = alone();
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    executable(&first.path().join("tool"), "#!/bin/sh\necho first", 0o644);
    executable(&second.path().join("tool"), "#!/bin/sh\necho second", 0o755);
    let path = format!("/nowhere:{}:{}", first.path().display(), second.path().display());
    let tool = |path: &str| Launch { env: vec![("PATH".into(), path.into())], ..launch(&["tool"]) };
    assert_eq!(said(tool(&path)), "second");
    assert_eq!(refusal(tool(first.path().to_str().unwrap())).0, 126);
    assert_eq!(said(Launch { cwd: Some(second.path().into()), ..tool("") }), "second");
}

#[test]
fn the_environment_is_what_was_given_and_no_more() {
    let _alone = alone();
    let mut wish = launch(&["env"]);
    wish.env.push(("A".into(), "b=c d".into()));
    assert_eq!(said(wish), "PATH=/usr/bin:/bin:/usr/sbin:/sbin\nA=b=c d");
}

#[test]
fn a_nul_byte_is_refused() {
    assert_eq!(refusal(launch(&["echo", "a\0b"])).0, 125);
    assert_eq!(refusal(launch(&[])).0, 125);
}

#[test]
fn nothing_but_the_standard_streams_is_inherited() {
    let _alone = alone();
    let open = File::open("/etc/passwd").unwrap();
    let leaked = nix::unistd::dup(&open).unwrap();
    let listed = said(launch(&["ls", "-l", "/proc/self/fd"]));
    assert!(!listed.contains("passwd"), "{listed}");
    // Three streams and the directory that is being listed.
    assert_eq!(listed.lines().filter(|line| line.contains("->")).count(), 4, "{listed}");
    drop(leaked);
}

#[test]
fn signals_are_as_at_login() {
    let _alone = alone();
    // The test's runtime ignores SIGPIPE.
    let status = said(launch(&["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]));
    assert_eq!(status, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000");
}

#[test]
fn a_command_has_a_session_of_its_own() {
    let _alone = alone();
    let child = start(launch(&["sleep", "100"])).unwrap();
    assert_eq!(Stat::of(child.pid()).unwrap().session, child.pid() as i32);
    child.signal(libc::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap(), Exit::Signal(15));
    assert_eq!(child.signal(libc::SIGTERM), Ok(()), "one that has ended takes every signal");
}

#[test]
fn a_host_name_is_its_own() {
    let _alone = alone();
    let before = hostname().unwrap();
    let private = Private { hostname: Some("its-own".into()), ..Private::default() };
    let name = said(Launch { private: Some(private), ..launch(&["uname", "-n"]) });
    assert_eq!(name, "its-own");
    assert_eq!(hostname().unwrap(), before);
}

#[test]
fn files_put_over_others_are_seen_inside_only() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let (source, target) = (dir.path().join("source"), dir.path().join("target"));
    fs::write(&source, "new").unwrap();
    fs::write(&target, "old").unwrap();
    let wish = |source: &Path| Launch {
        private: Some(Private {
            binds: vec![Bind { source: source.into(), target: target.clone() }],
            ..Private::default()
        }),
        ..launch(&["cat", target.to_str().unwrap()])
    };
    assert_eq!(said(wish(&source)), "new");
    assert_eq!(fs::read_to_string(&target).unwrap(), "old");
    let (code, text) = refusal(wish(&dir.path().join("gone")));
    assert_eq!(code, 125);
    assert!(text.contains("put a file over another") && text.contains("target"), "{text}");
}

#[test]
fn a_command_is_in_the_namespace_that_it_was_given() {
    let _alone = alone();
    let netns = crate::netns::create().unwrap();
    let inode =
        fs::metadata(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&netns))).unwrap().ino();
    raise_loopback(&netns).unwrap();
    let wish = Launch {
        enter: vec![netns],
        private: Some(Private { sysfs: true, ..Private::default() }),
        ..sh(
            "readlink /proc/self/ns/net; ls /sys/class/net; ip -o link | grep -c LOOPBACK,UP; ls /sys/fs/cgroup",
        )
    };
    let text = said(wish);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[..3], [format!("net:[{inode}]").as_str(), "lo", "1"]);
    assert_eq!(lines[3..].join("\n"), said(launch(&["ls", "/sys/fs/cgroup"])), "cgroups stay");
}

#[test]
fn a_second_command_can_join_the_first() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let (source, target) = (dir.path().join("source"), dir.path().join("target"));
    fs::write(&source, "new").unwrap();
    fs::write(&target, "old").unwrap();
    let first = start(Launch {
        enter: vec![crate::netns::create().unwrap()],
        private: Some(Private {
            hostname: Some("first".into()),
            binds: vec![Bind { source, target: target.clone() }],
            sysfs: false,
        }),
        ..launch(&["sleep", "100"])
    })
    .unwrap();
    let identity = Identity::of(first.pid()).unwrap();
    let net = fs::read_link(format!("/proc/{}/ns/net", first.pid())).unwrap();
    let second = Launch {
        enter: spaces_of(identity).unwrap().unwrap(),
        cwd: Some("/tmp".into()),
        ..sh(&format!("uname -n; cat {}; echo; readlink /proc/self/ns/net; pwd", target.display()))
    };
    assert_eq!(said(second), format!("first\nnew\n{}\n/tmp", net.display()));
    assert!(identity.is_alive() && identity.open().unwrap().is_some());
    first.signal(libc::SIGKILL).unwrap();
    assert!(first.pidfd().wait(Some(Duration::from_secs(10))).unwrap());
    assert!(!identity.is_alive(), "a zombie is not alive");
    first.wait().unwrap();
    assert!(spaces_of(identity).unwrap().is_none());
    assert!(identity.open().unwrap().is_none());
    assert_eq!(identity.signal_group(9), Ok(()));
}

#[test]
fn a_reused_pid_is_another_process() {
    let this = Identity::this().unwrap();
    let other = Identity { start: this.start + 1, ..this };
    assert!(this.is_alive() && !other.is_alive());
    assert!(other.open().unwrap().is_none());
}

#[test]
fn a_missing_working_directory_is_named() {
    let _alone = alone();
    let (code, text) = refusal(Launch { cwd: Some("/no/such/dir".into()), ..sh("true") });
    assert_eq!(code, 125);
    assert!(text.contains("change to the working directory /no/such/dir"), "{text}");
}

#[test]
fn a_command_becomes_its_user_with_all_groups_and_no_others() {
    let _alone = alone();
    let user = User { uid: 1234, gid: 2345, groups: vec![11, 12], name: None, home: None };
    let ids = said(Launch {
        user: Some(user),
        ..launch(&["grep", "-E", "^(Uid|Gid|Groups|CapEff)", "/proc/self/status"])
    });
    let words: Vec<Vec<_>> = ids.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[0], ["Uid:", "1234", "1234", "1234", "1234"]);
    assert_eq!(words[1], ["Gid:", "2345", "2345", "2345", "2345"]);
    assert_eq!(words[2], ["Groups:", "11", "12"]);
    assert_eq!(words[3], ["CapEff:", "0000000000000000"]);
}

#[test]
fn a_command_dies_with_the_one_that_started_it() {
    let _alone = alone();
    for (fate, exit) in [(Fate::Shared, Exit::Signal(9)), (Fate::Separate, Exit::Signal(15))] {
        let child = std::thread::spawn(move || start(Launch { fate, ..launch(&["sleep", "100"]) }).unwrap());
        let child = child.join().unwrap();
        if fate == Fate::Separate {
            child.signal(libc::SIGTERM).unwrap();
        }
        assert_eq!(child.wait().unwrap(), exit, "{fate:?}");
    }
}

#[test]
fn a_detached_process_is_nobodys_child_and_says_when_it_is_ready() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let script = "echo out; echo err >&2; echo $PPID $0 $(pwd) >&3; exec 3>&-; exec sleep 100";
    let argv: Vec<OsString> = ["its-name", "-c", script].map(OsString::from).into();
    // dash takes $0 from the name.
    let ready = spawn_detached(Path::new("/bin/sh"), &argv, &log, Ready::Pipe).unwrap().unwrap();
    let mut text = String::new();
    File::from(ready).read_to_string(&mut text).unwrap();
    let words: Vec<_> = text.split_whitespace().collect();
    assert_ne!(words[0], std::process::id().to_string(), "our child");
    assert_eq!(words[1..], ["its-name", "/"]);
    assert_eq!(fs::read_to_string(&log).unwrap(), "out\nerr\n");
    assert_eq!(fs::metadata(&log).unwrap().mode() & 0o777, 0o600);
    let sleepers =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    let ours: Vec<u32> = sleepers
        .filter(|pid| fs::read_link(format!("/proc/{pid}/fd/1")).is_ok_and(|target| target == log))
        .collect();
    assert_eq!(ours.len(), 1);
    let stat = Stat::of(ours[0]).unwrap();
    assert_ne!(stat.session, ours[0] as i32, "a leader could be given a terminal");
    Identity::of(ours[0]).unwrap().open().unwrap().unwrap().signal(libc::SIGKILL).unwrap();
}

#[test]
fn a_detached_program_that_is_missing_is_an_error() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let failed = spawn_detached(Path::new("/no/such"), &["x".into()], &dir.path().join("log"), Ready::Silent);
    assert_eq!(failed.unwrap_err().exit_code, 127);
}

#[test]
fn a_supervisor_collects_output_and_ends_what_is_left() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let away = dir.path().join("away");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let supervisor = Supervisor::new().unwrap();
            let (read, write) = pipe().unwrap();
            // One left in the group, one in a group of its own in the session, one in another session.
            let script = format!(
                "sleep 100 & echo $!; set -m; sleep 100 & echo $!
                setsid sh -c 'echo $$ >{away}; exec sleep 100' >/dev/null 2>&1 &
                until [ -s {away} ]; do :; done; echo done; exit 3",
                away = away.display()
            );
            let child = start(Launch { stdout: Some(write), ..sh(&script) }).unwrap();
            let mut seen = Vec::new();
            let mut sink = |bytes: &[u8]| seen.extend_from_slice(bytes);
            let exit = supervisor.watch(&child, None, Some(Output { pipe: read, sink: &mut sink })).unwrap();
            assert_eq!(exit, Exit::Code(3));
            let text = String::from_utf8(seen).unwrap();
            let mut lines = text.lines();
            for _ in 0..2 {
                let pid: u32 = lines.next().unwrap().parse().unwrap();
                wait_until("a process of the session is killed", || Identity::of(pid).is_none());
            }
            assert_eq!(lines.next(), Some("done"));
            let away: u32 = fs::read_to_string(&away).unwrap().trim().parse().unwrap();
            let away = Identity::of(away).expect("a session of its own is its own affair");
            away.open().unwrap().unwrap().signal(libc::SIGKILL).unwrap();
        });
    });
}

#[test]
fn a_supervisor_forwards_signals() {
    let _alone = alone();
    for (signal, wanted) in [(Signal::SIGTERM, "term"), (Signal::SIGINT, "int"), (Signal::SIGUSR1, "usr1")] {
        let (mut told, tell) = (Vec::new(), std::sync::mpsc::channel());
        std::thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                let supervisor = Supervisor::new().unwrap();
                let (read, write) = pipe().unwrap();
                let script = "trap 'echo term; exit 1' TERM; trap 'echo int; exit 2' INT; trap 'echo usr1; exit 3' USR1
                    echo ready; while :; do sleep 0.01; done";
                let child = start(Launch { stdout: Some(write), ..sh(script) }).unwrap();
                let mut sink = |bytes: &[u8]| {
                    if told.is_empty() {
                        tell.0.send(nix::unistd::gettid()).unwrap();
                    }
                    told.extend_from_slice(bytes);
                };
                supervisor.watch(&child, None, Some(Output { pipe: read, sink: &mut sink })).unwrap()
            });
            let thread = tell.1.recv_timeout(Duration::from_secs(10)).unwrap();
            signal_thread(thread, signal);
            watcher.join().unwrap();
        });
        assert_eq!(String::from_utf8(told).unwrap(), format!("ready\n{wanted}\n"));
    }
}

/// To the one thread: the others of a test's process do not block it.
#[allow(unsafe_code)]
fn signal_thread(thread: nix::unistd::Pid, signal: Signal) {
    // SAFETY: tgkill takes plain numbers.
    let outcome = unsafe {
        libc::syscall(libc::SYS_tgkill, nix::unistd::getpid().as_raw(), thread.as_raw(), signal as i32)
    };
    assert_eq!(outcome, 0);
}

/// In a mount namespace with an empty /run.
fn with_an_empty_run(body: impl FnOnce() + Send) {
    use nix::mount::{MsFlags, mount};
    std::thread::scope(|scope| {
        let visit = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS).unwrap();
            let none = None::<&str>;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
            mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), none).unwrap();
            body();
        });
        visit.join().unwrap();
    });
}

#[test]
fn a_namespace_gets_a_name_that_ip_knows() {
    let _alone = alone();
    with_an_empty_run(|| {
        let name = "blue".parse().unwrap();
        let netns = crate::netns::create().unwrap();
        assert_eq!(unpin(&name, None), Ok(()), "one that nobody has is as good");
        let path = pin(&name, &netns).unwrap();
        assert_eq!(path, Path::new("/run/netns/blue"));
        assert_eq!(fs::metadata(&path).unwrap().ino(), fstat_inode(&netns));
        assert_eq!(pin(&name, &netns).unwrap_err().code, Code::EndpointExists);
        pin(&"green".parse().unwrap(), &netns).unwrap();
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let of = |at: &str| mounts.lines().filter(|line| line.contains(&format!(" {at} "))).count();
        assert_eq!((of("/run/netns"), of("/run/netns/blue"), of("/run/netns/green")), (1, 1, 1), "{mounts}");
        let shared = mounts.lines().find(|line| line.contains(" /run/netns ")).unwrap();
        assert!(shared.contains("shared:"), "{shared}");
        let listed = std::process::Command::new("ip").args(["netns", "list"]).output().unwrap();
        assert_eq!(
            String::from_utf8(listed.stdout).unwrap().split_whitespace().collect::<Vec<_>>(),
            ["green", "blue"]
        );
        unpin(&name, None).unwrap();
        unpin(&name, None).unwrap();
        assert!(!path.exists());
    });
}

fn fstat_inode(netns: impl AsFd) -> u64 {
    nix::sys::stat::fstat(netns).unwrap().st_ino
}

#[test]
fn a_watch_wakes_for_a_change_and_for_the_end() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let mut watch = Watch::on(dir.path()).unwrap();
    let child = start(launch(&["sleep", "100"])).unwrap();
    let mut file = File::create(dir.path().join("log")).unwrap();
    assert_eq!(watch.wait(child.pidfd()).unwrap(), Woken::Changed);
    file.write_all(b"line").unwrap();
    assert_eq!(watch.wait(child.pidfd()).unwrap(), Woken::Changed);
    child.signal(libc::SIGKILL).unwrap();
    assert_eq!(watch.wait(child.pidfd()).unwrap(), Woken::Ended);
    child.wait().unwrap();
}

#[test]
fn the_name_of_a_process_may_hold_anything() {
    let fields = "1 77 88 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 4711 9 9";
    let stat = Stat::parse(&format!("42 (a) R (b) S {fields}")).unwrap();
    assert_eq!(stat, Stat { alive: true, session: 88, start: 4711 });
    assert!(!Stat::parse(&format!("42 (a) Z {fields}")).unwrap().alive);
    assert_eq!(Stat::parse("42"), None);
}
