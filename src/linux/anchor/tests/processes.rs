//! Namespaces that are kept by processes, or by nobody that can be seen.

use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use bowline_core::place::Found;
use nix::sys::signal::{SigHandler, Signal, signal};

use super::{NEVER, Named, Pace, Process, Watched, by_notice, eventually, with_an_empty_run};
use crate::anchor::Anchors;
use crate::netns;

#[test]
fn a_process_that_ends_is_told_of() {
    with_an_empty_run(|| {
        let watched = Watched::new(by_notice());
        let ns = netns::create().unwrap();
        let place = netns::run(&ns, netns::cookie_of_current).unwrap().unwrap();
        let process = Process::within(&ns);
        watched.hold(place, &ns, Some(&process.path()));
        watched.is_kept_by(place, process.path());
        drop(process);
        watched.tells_of(place);
    });
}

#[test]
fn the_process_that_remains_keeps_it() {
    with_an_empty_run(|| {
        let watched = Watched::new(by_notice());
        let ns = netns::create().unwrap();
        let place = netns::run(&ns, netns::cookie_of_current).unwrap().unwrap();
        let (first, second) = (Process::within(&ns), Process::within(&ns));
        watched.hold(place, &ns, Some(&first.path()));
        drop(first);
        watched.is_kept_by(place, second.path());
        drop(second);
        watched.tells_of(place);
    });
}

#[test]
fn a_process_keeps_what_has_lost_its_name() {
    with_an_empty_run(|| {
        let watched = Watched::new(by_notice());
        let named = Named::new("web");
        let process = Process::within(&named.file());
        watched.hold(named.place, &named.file(), Some(&named.path()));
        watched.is_kept_by(named.place, named.path());
        named.delete();
        watched.is_kept_by(named.place, process.path());
        drop(process);
        watched.tells_of(named.place);
    });
}

#[test]
fn a_name_keeps_what_has_lost_its_process() {
    with_an_empty_run(|| {
        let watched = Watched::new(by_notice());
        let named = Named::new("web");
        let process = Process::within(&named.file());
        watched.hold(named.place, &named.file(), Some(&process.path()));
        drop(process);
        watched.is_kept_by(named.place, named.path());
        named.delete();
        watched.tells_of(named.place);
    });
}

#[test]
fn a_process_that_is_elsewhere_keeps_nothing() {
    with_an_empty_run(|| {
        let watched = Watched::new(by_notice());
        let (ns, other) = (netns::create().unwrap(), netns::create().unwrap());
        let place = netns::run(&ns, netns::cookie_of_current).unwrap().unwrap();
        let process = Process::within(&other);
        watched.hold(place, &ns, Some(&process.path()));
        assert_eq!(watched.kept_by().remove(&place), Some(None));
    });
}

#[test]
fn without_a_path_a_process_keeps_it() {
    with_an_empty_run(|| {
        let watched = Watched::new(by_notice());
        let ns = netns::create().unwrap();
        let place = netns::run(&ns, netns::cookie_of_current).unwrap().unwrap();
        let process = Process::within(&ns);
        watched.hold(place, &ns, None);
        watched.is_kept_by(place, process.path());
        drop(process);
        watched.tells_of(place);
    });
}

#[test]
fn without_a_path_whoever_has_it_open_keeps_it() {
    with_an_empty_run(|| {
        let watched = Watched::new(by_notice());
        let ns = netns::create().unwrap();
        let place = netns::run(&ns, netns::cookie_of_current).unwrap().unwrap();
        let mut holder = Command::new("sleep").arg("1000").stdin(ns.try_clone().unwrap()).spawn().unwrap();
        watched.hold(place, &ns, None);
        watched.is_kept_by(place, format!("/proc/{}/fd/0", holder.id()));
        holder.kill().unwrap();
        holder.wait().unwrap();
        watched.tells_of(place);
    });
}

#[test]
fn what_is_not_found_is_looked_for_several_times() {
    with_an_empty_run(|| {
        let ns = netns::create().unwrap();
        let place = netns::run(&ns, netns::cookie_of_current).unwrap().unwrap();
        let again = Duration::from_millis(5);
        for path in
            [None, Some("/nowhere/web"), Some("nowhere"), Some("/proc/self/ns/net"), Some("/"), Some("")]
        {
            let watched = Watched::new(Pace {
                audit: NEVER,
                mounted: NEVER,
                first: Duration::ZERO,
                short: vec![],
                pathless: vec![again; 3],
                long: vec![again; 3],
            });
            watched.hold(place, &ns, path.map(std::path::Path::new));
            watched.tells_of(place);

            // One look too few, and the last never comes.
            let watched = Watched::new(Pace {
                audit: NEVER,
                mounted: NEVER,
                first: Duration::ZERO,
                short: vec![],
                pathless: vec![again, NEVER],
                long: vec![again, NEVER],
            });
            watched.hold(place, &ns, path.map(std::path::Path::new));
            assert_eq!(watched.kept_by().remove(&place), Some(None));
            // Found after all.
            let process = Process::within(&ns);
            watched.hold(place, &ns, path.map(std::path::Path::new));
            watched.is_kept_by(place, process.path());
        }
    });
}

#[test]
fn what_may_be_kept_by_a_path_that_is_not_seen_is_not_given_up_with_its_process() {
    with_an_empty_run(|| {
        let ns = netns::create().unwrap();
        let place = netns::run(&ns, netns::cookie_of_current).unwrap().unwrap();
        let watched = Watched::new(Pace {
            audit: NEVER,
            mounted: NEVER,
            first: Duration::ZERO,
            short: vec![],
            pathless: vec![NEVER],
            long: vec![NEVER],
        });
        let process = Process::within(&ns);
        watched.hold(place, &ns, Some("/nowhere/web".as_ref()));
        watched.is_kept_by(place, process.path());
        drop(process);
        assert_eq!(watched.kept_by().remove(&place), Some(None));
        assert!(watched.told.try_recv().is_err());
    });
}

#[test]
fn they_may_be_dropped_by_whom_they_tell() {
    with_an_empty_run(|| {
        use std::sync::{Arc, Mutex};
        let ns = netns::create().unwrap();
        let place = netns::run(&ns, netns::cookie_of_current).unwrap().unwrap();
        let (done, dropped) = channel();
        let slot: Arc<Mutex<Option<Anchors>>> = Arc::default();
        let theirs = slot.clone();
        let tell = move |_| {
            drop(theirs.lock().unwrap().take().expect("they were put there"));
            done.send(()).expect("the test waits");
        };
        let pace = Pace {
            audit: NEVER,
            mounted: NEVER,
            first: Duration::ZERO,
            short: vec![],
            pathless: vec![],
            long: vec![],
        };
        let mut kept = slot.lock().unwrap();
        let anchors = Anchors::at_pace(pace, Box::new(tell)).unwrap();
        anchors.hold(place, std::os::fd::AsFd::as_fd(&ns), Found::Nowhere).unwrap();
        *kept = Some(anchors);
        drop(kept);
        dropped.recv_timeout(super::PATIENCE).expect("the thread waits for itself");
    });
}

/// Run by the test below, in a process of its own.
#[test]
#[ignore = "it ends the first thread of its process"]
#[allow(unsafe_code)]
fn headless() {
    extern "C" fn end(_: libc::c_int) {
        // SAFETY: exit may be called in a handler, and ends the calling thread only.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    }
    // SAFETY: the handler does nothing but what a handler may do.
    unsafe { signal(Signal::SIGUSR1, SigHandler::Handler(end)) }.unwrap();
    let first = std::process::id();
    // SAFETY: tgkill takes plain numbers. The first thread waits for this one, and holds nothing that it needs.
    unsafe { libc::syscall(libc::SYS_tgkill, first, first, libc::SIGUSR1) };
    std::thread::sleep(NEVER);
}

#[test]
fn a_process_whose_first_thread_has_ended_keeps_it() {
    with_an_empty_run(|| {
        let watched = Watched::new(by_notice());
        let ns = netns::create().unwrap();
        let place = netns::run(&ns, netns::cookie_of_current).unwrap().unwrap();
        let spawn = || {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "anchor::tests::processes::headless", "--ignored"])
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        };
        let process = Process(netns::run(&ns, spawn).unwrap());
        eventually("its first thread ends", || !process.path().exists());
        let threads = process.path().parent().unwrap().with_file_name("task");
        let others = std::fs::read_dir(threads).unwrap().map(|thread| thread.unwrap().path().join("ns/net"));
        let alive: Vec<_> = others.filter(|path| path.exists()).collect();
        assert_eq!(alive.len(), 1, "the other lives");
        watched.hold(place, &ns, None);
        watched.is_kept_by(place, &alive[0]);
        drop(process);
        watched.tells_of(place);
    });
}
