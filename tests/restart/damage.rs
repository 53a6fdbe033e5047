//! Stores that were damaged: refused with a code, or read right; never a crash, and never made worse.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use bowline_api::Code;

use super::names;
use crate::support::Daemon;

/// Stopped, its store changed by a foreign hand.
fn with_store(file: &str, change: impl FnOnce(&Path)) -> Daemon {
    let mut daemon = Daemon::start();
    for n in 0..20 {
        daemon.network(&format!("n{n}"), &format!("10.9.{n}.0/24"));
    }
    daemon.endpoint("web", &["n0"]);
    daemon.terminate();
    change(&daemon.path(file));
    daemon
}

/// It says that its state is damaged, and leaves the evidence as it is.
fn refuses_damage(mut daemon: Daemon, file: &str) {
    // All but byte 28 of a store's header, where redb notes how long the last part of the file really is.
    let read = |daemon: &Daemon| {
        let mut bytes = fs::read(daemon.path(file)).unwrap();
        bytes.iter_mut().skip(28).take(4).for_each(|byte| *byte = 0);
        bytes
    };
    let before = read(&daemon);
    let refused = daemon.refuses_to_start();
    refused.failed_with(Code::StateCorrupt);
    assert!(refused.err.contains(file), "the file is not named: {refused:?}");
    assert!(!refused.err.contains("panicked at"), "{refused:?}");
    assert!(read(&daemon) == before, "the damaged file was changed");
}

const STORES: [&str; 2] = ["state/state.redb", "run/run.redb"];

#[test]
fn a_store_that_is_something_else_is_refused_and_left_alone() {
    for file in STORES {
        for content in [
            &b"x"[..],
            &[0; 4096],
            &[0xff; 65_536],
            b"SQLite format 3\0 and so on, for long enough to be one",
        ] {
            refuses_damage(with_store(file, |path| fs::write(path, content).unwrap()), file);
        }
    }
}

#[test]
fn a_store_that_was_cut_off_is_refused_and_left_alone() {
    for file in STORES {
        for part in [1, 2, 3] {
            let cut = |path: &Path| {
                let length = fs::metadata(path).unwrap().len();
                fs::File::options().write(true).open(path).unwrap().set_len(length * part / 4).unwrap();
            };
            refuses_damage(with_store(file, cut), file);
        }
    }
}

#[test]
fn a_store_with_flipped_bytes_is_refused_or_read_right_and_never_a_crash() {
    // Damage to the newest commit looks like one that a crash cut short: then the one before it is the truth.
    let last = "n19";
    let mut daemon = with_store(STORES[0], |_| ());
    let wanted: BTreeSet<String> =
        (0..20).map(|n| format!("n{n}")).chain(["host", "none"].map(String::from)).collect();
    for file in STORES {
        let whole = fs::read(daemon.path(file)).unwrap();
        // The header closely, and then the rest of it from end to end.
        let places = (0..64)
            .step_by(5)
            .chain((128..4096).step_by(500))
            .chain((4096..whole.len()).step_by(whole.len() / 24));
        let (mut refused, mut read) = (0, 0);
        for at in places {
            let mut bytes = whole.clone();
            bytes[at..].iter_mut().take(16).for_each(|byte| *byte ^= 0xa5);
            fs::write(daemon.path(file), bytes).unwrap();
            daemon.spawn();
            let answer = daemon.answers_or_ends();
            match answer {
                Ok(()) => {
                    let there = names(&daemon);
                    let wrong: Vec<_> =
                        there.symmetric_difference(&wanted).filter(|name| *name != last).collect();
                    assert_eq!(wrong, [""; 0], "{file}: bytes at {at}: it was read wrong");
                    daemon.kill();
                    read += 1;
                }
                Err(status) => {
                    assert_eq!(status.code(), Some(1), "{file}: bytes at {at}: {status}\n{}", daemon.log());
                    refused += 1;
                }
            }
        }
        fs::write(daemon.path(file), whole).unwrap();
        assert!(refused > 0, "{file}: {read} damages were all overlooked");
        assert!(!daemon.log().contains("error[BWL-5001]"), "a damage is no mistake of ours");
    }
    daemon.start_again();
    assert_eq!(names(&daemon), wanted, "whole again, it is read");
}

#[test]
fn a_directory_in_place_of_a_store_is_refused() {
    for file in STORES {
        let mut daemon = with_store(file, |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        });
        let refused = daemon.refuses_to_start();
        assert!(
            refused.err.contains("error[BWL-3005]") || refused.err.contains("error[BWL-3006]"),
            "{refused:?}"
        );
        assert!(refused.err.contains(file) && refused.code == Some(1), "{refused:?}");
    }
}
