//! Queries over TCP, in every bad way.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use super::rig::*;
use super::stub::{Stub, answer};
use crate::asker::Elsewhere;
use crate::message::Transport;

#[test]
fn queries_of_one_connection_are_answered_as_they_are_ready() {
    let (held, free) = std::sync::mpsc::channel::<()>();
    let free = std::sync::Mutex::new(free);
    let outside = Stub::new(move |query, _| {
        free.lock().unwrap().recv().unwrap();
        Some(answer(query))
    });
    let rig = Rig::new(2, &[outside.address]);
    let web = rig.container(Elsewhere::Host(HOST));
    let mut stream = web.stream();
    let (slow, quick) = (query("example.org"), query("db"));
    send(&mut stream, &slow);
    send(&mut stream, &quick);
    let reply = next(&mut stream).unwrap();
    assert_eq!((&reply[..2], address(&reply)), (&quick[..2], DB));
    held.send(()).unwrap();
    let reply = next(&mut stream).unwrap();
    assert_eq!((&reply[..2], address(&reply)), (&slow[..2], OUTSIDE));
    assert_eq!((outside.count(Transport::Tcp), outside.count(Transport::Udp)), (1, 0));
}

#[test]
fn more_at_once_than_may_wait_are_all_answered() {
    let rig = Rig::new(2, &[]);
    let web = rig.container(Elsewhere::Never);
    let mut stream = web.stream();
    let mut bytes = Vec::new();
    for _ in 0..1000 {
        assert!(crate::serve::stream::frame(&query("db"), &mut bytes));
    }
    stream.write_all(&bytes).unwrap();
    for _ in 0..1000 {
        assert_eq!(address(&next(&mut stream).unwrap()), DB);
    }
    assert_eq!(rig.service.log(0, 2000).len(), 1000);
}

#[test]
fn more_at_once_than_may_wait_are_all_told_that_nobody_can_be_asked() {
    let rig = Rig::new(2, &[]);
    let web = rig.container(Elsewhere::Host(HOST));
    let mut stream = web.stream();
    let mut bytes = Vec::new();
    for n in 0..300 {
        assert!(crate::serve::stream::frame(&query(&format!("n{n}.example.org")), &mut bytes));
    }
    stream.write_all(&bytes).unwrap();
    for _ in 0..300 {
        assert_eq!(code(&next(&mut stream).unwrap()), SERVFAIL);
    }
}

#[test]
fn a_client_that_ends_its_side_still_gets_its_answers() {
    let outside = Stub::answering();
    let rig = Rig::new(2, &[outside.address]);
    let web = rig.container(Elsewhere::Host(HOST));
    let mut stream = web.stream();
    send(&mut stream, &query("db"));
    send(&mut stream, &query("example.org"));
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(address(&next(&mut stream).unwrap()), DB);
    assert_eq!(address(&next(&mut stream).unwrap()), OUTSIDE);
    assert_eq!(next(&mut stream), None);
}

#[test]
fn a_client_that_ends_in_the_middle_of_a_message_is_let_go() {
    let rig = Rig::new(2, &[]);
    let web = rig.container(Elsewhere::Never);
    let mut stream = web.stream();
    stream.write_all(&[0, 40, 1, 2, 3]).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let began = Instant::now();
    assert_eq!(next(&mut stream), None);
    assert!(began.elapsed() < Duration::from_millis(1500), "it was waited for: {:?}", began.elapsed());
}

#[test]
fn a_message_of_no_length_ends_the_connection_after_what_came_before() {
    let rig = Rig::new(2, &[]);
    let web = rig.container(Elsewhere::Never);
    let mut stream = web.stream();
    send(&mut stream, &query("db"));
    stream.write_all(&[0, 0]).unwrap();
    assert_eq!(address(&next(&mut stream).unwrap()), DB);
    assert_eq!(next(&mut stream), None);
}

#[test]
fn a_message_that_comes_too_slowly_ends_the_connection() {
    let rig = Rig::new(2, &[]);
    let web = rig.container(Elsewhere::Never);
    let mut stream = web.stream();
    let mut slow = stream.try_clone().unwrap();
    let began = Instant::now();
    // A byte now and then, for ever.
    let trickle = std::thread::spawn(move || {
        while slow.write_all(&[1]).is_ok() && began.elapsed() < LONG {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let mut byte = [0];
    assert!(matches!(stream.read(&mut byte), Ok(0) | Err(_)));
    let took = began.elapsed();
    assert!((Duration::from_millis(1900)..Duration::from_secs(5)).contains(&took), "{took:?}");
    trickle.join().unwrap();
    assert_eq!(address(&web.ask("db")), DB);
}

#[test]
fn a_client_that_takes_no_answers_is_not_listened_to() {
    let rig = Rig::new(2, &[]);
    let web = rig.container(Elsewhere::Never);
    let mut stream = web.stream();
    stream.set_nonblocking(true).unwrap();
    let mut bytes = Vec::new();
    for _ in 0..200 {
        assert!(crate::serve::stream::frame(&query("db"), &mut bytes));
    }
    // The kernel keeps some megabytes on both sides; then nothing goes any more.
    let mut written = 0;
    let mut stuck = Instant::now();
    while stuck.elapsed() < Duration::from_millis(500) {
        match stream.write(&bytes[written % bytes.len()..]) {
            Ok(count) => {
                written += count;
                stuck = Instant::now();
            }
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                std::thread::yield_now();
            }
        }
        assert!(written < 100 << 20, "everything is taken in");
    }
    let lines = rig.service.log(0, 1)[0].number;
    assert!(lines > 64 && (lines as usize) < written / (bytes.len() / 200), "{lines} of {written} bytes");
    assert_eq!(address(&web.ask("db")), DB);
}

#[test]
fn who_sends_what_is_no_query_is_let_go_with_the_answers_before_it() {
    let rig = Rig::new(2, &[]);
    let web = rig.container(Elsewhere::Never);
    let mut response = query("db");
    response[2] |= 0x80;
    let began = Instant::now();
    for silent in [&[0][..], &response] {
        let mut stream = web.stream();
        send(&mut stream, &query("db"));
        send(&mut stream, silent);
        assert_eq!(address(&next(&mut stream).unwrap()), DB);
        assert_eq!(next(&mut stream), None);
    }
    assert!(began.elapsed() < Duration::from_secs(8), "they were let go for idling: {:?}", began.elapsed());
}
