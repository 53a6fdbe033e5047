//! A daemon that begins with hardly a file left takes what it can, and knows what it took.

use std::fs::File;
use std::process::Command;

use nix::sched::{CloneFlags, unshare};

use super::home::{Ears, Home, eventually, names};

const NAMES: usize = 5;
/// Two sockets of each name, and two copies of these; its line and another for who watches it; and a few.
const ROOM: usize = 4 * NAMES + 2 + 6;

/// Run by the test below, in a process of its own that may have few files.
#[test]
#[ignore = "it takes nearly all files of its process"]
fn beginner() {
    for room in 0..ROOM {
        let home = Home::new();
        let (client, _) = home.client();
        for number in 0..NAMES {
            Ears::new().keep(&client, &format!("dns-{number}"));
        }
        client.settle().unwrap();
        drop(client);
        let home = &home;
        std::thread::scope(|scope| scope.spawn(move || begins(home, room)).join().unwrap());
    }
    println!("began {ROOM} times");
}

/// The keeper's files are another table's from here on.
fn begins(home: &Home, room: usize) {
    unshare(CloneFlags::CLONE_FILES).unwrap();
    let mut taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    taken.truncate(taken.len() - room);
    let (client, kept) = home.client();
    drop(taken);
    assert!(kept.iter().all(|(_, sockets)| sockets.len() == 2), "{room}: {kept:?}");
    let has = client.names();
    assert_eq!(has, names(&kept), "{room}: it has copies of what it gave back, and of nothing else");
    if room + 1 == ROOM {
        assert_eq!(has.len(), NAMES, "that was room enough");
    }
    // The next word that it says makes all true, also where it had no room for a line.
    Ears::new().keep(&client, "new");
    client.settle().unwrap();
    let mut wanted = has;
    wanted.push("new".into());
    eventually("the keeper has that as well, and nothing else", || {
        let taken = home.line().take_all().unwrap();
        names(&taken.kept) == wanted
    });
}

#[test]
fn a_daemon_with_hardly_a_file_left_knows_what_it_took() {
    let output = Command::new("bash")
        .args(["-c", "ulimit -n 256 && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "keeper::tests::full::beginner", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("began"), "{said}");
}
