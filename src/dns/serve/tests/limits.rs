//! How much of us one namespace may take.

use std::sync::{Arc, Condvar, Mutex};

use super::rig::*;
use super::stub::{Stub, answer};
use crate::asker::Elsewhere;
use crate::message::Transport;
use crate::serve::client::FORWARDS;

/// Says nothing until it is let.
fn gated() -> (Stub, Arc<(Mutex<bool>, Condvar)>) {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let inner = gate.clone();
    let stub = Stub::new(move |query, _| {
        let open = inner.0.lock().unwrap();
        drop(inner.1.wait_while(open, |open| !*open).unwrap());
        Some(answer(query))
    });
    (stub, gate)
}

fn open(gate: &(Mutex<bool>, Condvar)) {
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
}

#[test]
fn a_hundred_who_ask_the_same_cost_one_question() {
    let (outside, gate) = gated();
    let rig = Rig::new(1, &[outside.address]);
    let containers = [rig.container(Elsewhere::Host(HOST)), rig.container(Elsewhere::Host(HOST))];
    let clients: Vec<_> = (0..100).map(|n| containers[n % 2].client()).collect();
    let mut ids = Vec::new();
    for client in &clients {
        let query = query("example.org");
        client.send(&query).unwrap();
        ids.push([query[0], query[1]]);
    }
    // Turns are taken one after the other: once both are answered, all of the above have been taken in.
    for container in &containers {
        assert_eq!(address(&container.ask("db")), DB);
    }
    open(&gate);
    for (client, id) in clients.iter().zip(ids) {
        let reply = receive(client);
        assert_eq!((address(&reply), &reply[..2]), (OUTSIDE, &id[..]));
    }
    assert_eq!(outside.count(Transport::Udp), 1);
}

#[test]
fn one_namespace_has_so_many_on_their_way_and_another_is_none_the_worse() {
    let silent = Stub::silent();
    let answering = Stub::answering();
    let rig = Rig::new(2, &[answering.address]);
    let greedy = rig.container(Elsewhere::Own(vec![silent.address]));
    let other = rig.container(Elsewhere::Host(HOST));
    let client = greedy.client();
    for n in 0..FORWARDS {
        client.send(&query(&format!("n{n}.example.org"))).unwrap();
    }
    silent.wait(FORWARDS);
    let late = query("late.example.org");
    client.send(&late).unwrap();
    let reply = receive(&client);
    assert_eq!(
        (code(&reply), &reply[..2]),
        (SERVFAIL, &late[..2]),
        "the answer is for the one beyond the limit"
    );
    assert_eq!(address(&other.ask("example.org")), OUTSIDE);
    for _ in 0..FORWARDS {
        assert_eq!(code(&receive(&client)), SERVFAIL);
    }
    assert_eq!(silent.count(Transport::Udp), FORWARDS, "nothing was sent beyond the limit");
    // All were given back.
    greedy.asker.set(view(Elsewhere::Host(HOST)));
    assert_eq!(address(&greedy.ask("again.example.org")), OUTSIDE);
}

#[test]
fn whoever_has_too_many_connections_loses_the_idlest() {
    let rig = Rig::new(2, &[]);
    let (greedy, other) = (rig.container(Elsewhere::Never), rig.container(Elsewhere::Never));
    let mut others = other.stream();
    send(&mut others, &query("db"));
    assert_eq!(address(&next(&mut others).unwrap()), DB);
    let mut streams: Vec<_> = (0..64).map(|_| greedy.stream()).collect();
    // All but the second show that they live.
    for (n, stream) in streams.iter_mut().enumerate() {
        if n != 1 {
            send(stream, &query("db"));
            assert_eq!(address(&next(stream).unwrap()), DB);
        }
    }
    let mut late = greedy.stream();
    send(&mut late, &query("db"));
    assert_eq!(address(&next(&mut late).unwrap()), DB);
    assert_eq!(next(&mut streams[1]), None, "the idlest is let go");
    streams.remove(1);
    for stream in streams[1..].iter_mut().chain([&mut others, &mut late]) {
        send(stream, &query("db"));
        assert_eq!(address(&next(stream).unwrap()), DB);
    }
}

#[test]
fn a_thousand_connections_of_one_do_not_disturb_another() {
    let rig = Rig::new(2, &[]);
    let (greedy, other) = (rig.container(Elsewhere::Never), rig.container(Elsewhere::Never));
    let streams: Vec<_> = (0..1000).map(|_| greedy.stream()).collect();
    let mut stream = other.stream();
    send(&mut stream, &query("db"));
    assert_eq!(address(&next(&mut stream).unwrap()), DB);
    assert_eq!(address(&greedy.ask("db")), DB);
    let mut last = greedy.stream();
    send(&mut last, &query("db"));
    assert_eq!(address(&next(&mut last).unwrap()), DB);
    drop(streams);
}

#[test]
fn without_files_the_idlest_is_let_go_and_names_are_still_answered() {
    // In a process of its own, that may have few: those of this one are for all tests.
    let itself = std::env::current_exe().unwrap();
    let output = std::process::Command::new("prlimit")
        .arg("--nofile=64")
        .arg(itself)
        .args(["--exact", "serve::tests::limits::without_files_inside", "--ignored"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
#[ignore = "is run by the test before it, with few files"]
fn without_files_inside() {
    let rig = Rig::new(2, &[]);
    let web = rig.container(Elsewhere::Never);
    let client = web.client();
    // Takes all files but one, which is for the test's own end of a connection.
    let fill = || {
        let mut files: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
        assert!(files.pop().is_some(), "there is a file left");
        files
    };
    let files = fill();
    assert_eq!(next(&mut web.stream()), None, "with nobody to let go of, the caller is turned away");
    drop(files);
    let mut idlest = web.stream();
    let mut other = web.stream();
    for stream in [&mut idlest, &mut other] {
        send(stream, &query("db"));
        assert_eq!(address(&next(stream).unwrap()), DB);
    }
    let files = fill();
    let mut late = web.stream();
    for stream in [&mut late, &mut other] {
        send(stream, &query("db"));
        assert_eq!(address(&next(stream).unwrap()), DB);
    }
    assert_eq!(next(&mut idlest), None);
    client.send(&query("db")).unwrap();
    assert_eq!(address(&receive(&client)), DB);
    drop(files);
}
