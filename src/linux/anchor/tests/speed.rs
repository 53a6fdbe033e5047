//! What watching costs, by hand:
//! `cargo test --release -p bowline-linux --lib -- --ignored --nocapture anchor_speed`

use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use bowline_core::place::Place;

use super::{Named, Pace, Watched, with_an_empty_run};

const COUNT: u64 = 10_000;

#[test]
#[ignore = "prints figures, and checks none"]
fn anchor_speed() {
    with_an_empty_run(|| {
        let named = Named::new("web");
        let dir = tempfile::tempdir().unwrap();
        let path = |n: u64| dir.path().join(format!("{n}"));
        (0..COUNT).for_each(|n| symlink(named.path(), path(n)).unwrap());
        let watched = Watched::new(Pace::default());
        let file = named.file();
        let step = |what: &str, body: &dyn Fn()| {
            let (start, cpu) = (Instant::now(), cpu());
            body();
            println!("{what}: {:?}, of a processor {:?}", start.elapsed(), self::cpu() - cpu);
        };
        step("hold 10,000", &|| {
            (0..COUNT).for_each(|n| watched.hold(Place(n), &file, Some(&path(n))));
            assert_eq!(watched.kept_by().len() as u64, COUNT);
        });
        step("30 seconds with nothing to do", &|| std::thread::sleep(Duration::from_secs(30)));
        step("1,000 foreign names come and go in the folder", &|| {
            for n in 0..1000 {
                let path = path(COUNT + n);
                symlink("/", &path).unwrap();
                std::fs::remove_file(path).unwrap();
            }
            watched.kept_by();
        });
        step("all are lost at once", &|| {
            named.delete();
            (0..COUNT).for_each(|n| std::fs::remove_file(path(n)).unwrap());
            let told = (0..COUNT).map(|_| watched.told.recv_timeout(super::PATIENCE).unwrap());
            assert_eq!(told.collect::<std::collections::HashSet<_>>().len() as u64, COUNT);
        });
    });
}

/// Of this process so far, in user and kernel, which /proc counts in hundredths of a second.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap());
    Duration::from_millis(ticks.sum::<u64>() * 10)
}
