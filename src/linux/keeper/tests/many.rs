//! Thousands of sockets, and what keeping one costs.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::home::{Ears, Home};

const NAMES: usize = 2500;

fn pair() -> [OwnedFd; 2] {
    let new = |kind| socket(AddressFamily::Inet, kind, SockFlag::SOCK_CLOEXEC, None).unwrap();
    [new(SockType::Datagram), new(SockType::Stream)]
}

#[test]
fn five_thousand_sockets_are_kept_and_given_back() {
    assert!(crate::raise_file_limit().unwrap() >= 20_000);
    let home = Home::new();
    let (client, _) = home.client();
    for number in 0..NAMES {
        let [udp, tcp] = pair();
        client.keep(&format!("dns-{number:x}"), &[udp.as_fd(), tcp.as_fd()]).unwrap();
    }
    // The daemon dies at once, with much that the keeper has not heard yet.
    drop(client);
    let (client, kept) = home.client();
    assert_eq!(kept.len(), NAMES);
    assert!(kept.iter().all(|(_, sockets)| sockets.len() == 2));
    for (name, _) in &kept {
        client.forget(name).unwrap();
    }
    client.settle().unwrap();
    drop(client);
    home.ends();
}

/// Run by hand: `cargo test --release -p bowline-linux keeper::tests::many -- --ignored --nocapture`
#[test]
#[ignore = "it measures"]
fn what_keeping_and_taking_cost() {
    crate::raise_file_limit().unwrap();
    let home = Home::new();
    let (client, _) = home.client();
    let ears = Ears::new();
    let mut took: Vec<(Duration, Duration)> = Vec::new();
    for number in 0..10_000 {
        let name = format!("dns-{number:x}");
        let begin = Instant::now();
        ears.keep(&client, &name);
        let kept = begin.elapsed();
        let begin = Instant::now();
        client.forget(&name).unwrap();
        took.push((kept, begin.elapsed()));
    }
    let mut say = |what: &str, of: fn(&(Duration, Duration)) -> Duration| {
        took.sort_by_key(of);
        println!("{what}: p50 {:?}, p99 {:?}", of(&took[5000]), of(&took[9900]));
    };
    say("keep", |t| t.0);
    say("forget", |t| t.1);
    for number in 0..NAMES {
        ears.keep(&client, &format!("dns-{number:x}"));
    }
    client.settle().unwrap();
    drop(client);
    let begin = Instant::now();
    let (_client, kept) = home.client();
    println!("take {} names: {:?}", kept.len(), begin.elapsed());
}
