//! What is kept outlives whoever kept it, whatever it was doing; and nothing else does.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use bowline_core::Code;

use super::home::{ENOUGH, Ears, Home, eventually, is_free, names};
use crate::keeper::seat::Seat;
use crate::keeper::wire::Request;

#[test]
fn what_is_asked_while_no_daemon_is_there_is_answered_by_the_next() {
    let home = Home::new();
    let (client, kept) = home.client();
    assert!(kept.is_empty());
    let ears = Ears::new();
    let (udp, tcp) = ears.at();
    ears.keep(&client, "dns-1f");
    drop((client, ears));

    let asker = UdpSocket::bind("127.0.0.1:0").unwrap();
    asker.connect(udp).unwrap();
    asker.send(b"question").unwrap();
    let mut stream = TcpStream::connect(tcp).unwrap();
    stream.write_all(b"and another").unwrap();

    let (_client, kept) = home.client();
    assert_eq!(names(&kept), ["dns-1f"]);
    let ears = Ears::of(kept.into_iter().next().unwrap().1);
    let mut buffer = [0; 64];
    let (length, from) = ears.udp.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..length], from), (&b"question"[..], asker.local_addr().unwrap()));
    ears.udp.send_to(b"answer", from).unwrap();
    asker.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert_eq!(asker.recv(&mut buffer).unwrap(), 6);
    let (mut accepted, _) = ears.tcp.accept().unwrap();
    accepted.read_exact(&mut buffer[..11]).unwrap();
    assert_eq!(&buffer[..11], b"and another");
}

#[test]
fn what_is_taken_stays_kept_for_the_daemon_after_the_next() {
    let home = Home::new();
    let (client, _) = home.client();
    let ears = Ears::new();
    ears.keep(&client, "a");
    drop(client);
    for _ in 0..3 {
        let (_, kept) = home.client();
        assert_eq!(Ears::of(kept.into_iter().next().unwrap().1).at(), ears.at());
    }
}

#[test]
fn what_is_forgotten_is_closed_and_its_port_is_free() {
    let home = Home::new();
    let (client, _) = home.client();
    let ears = Ears::new();
    let (udp, _) = ears.at();
    ears.keep(&client, "a");
    ears.keep(&client, "b");
    client.forget("a").unwrap();
    client.settle().unwrap();
    drop(ears);
    assert!(!is_free(udp), "b has it too");
    client.forget("b").unwrap();
    client.forget("b").unwrap();
    client.forget("never kept").unwrap();
    client.settle().unwrap();
    eventually("the port to be free", || is_free(udp));
    drop(client);
    home.ends();
}

#[test]
fn a_name_has_what_was_kept_last() {
    let home = Home::new();
    let (client, _) = home.client();
    let (old, new) = (Ears::new(), Ears::new());
    let (gone, _) = old.at();
    old.keep(&client, "a");
    new.keep(&client, "a");
    client.settle().unwrap();
    drop(old);
    eventually("the old port to be free", || is_free(gone));
    drop(client);
    let (_client, kept) = home.client();
    assert_eq!(names(&kept), ["a"]);
    assert_eq!(Ears::of(kept.into_iter().next().unwrap().1).at(), new.at());
}

/// The kernel tells a keeper that such a daemon is gone before it gives what it had still said.
#[test]
fn a_daemon_that_dies_with_answers_unread_is_heard_to_its_end() {
    let home = Home::new();
    let (client, _) = home.client();
    let ears = Ears::new();
    for number in 0..50 {
        ears.keep(&client, &format!("early-{number}"));
    }
    client.settle().unwrap();
    let line = home.line();
    line.say(Request::TakeAll, &[]).unwrap();
    eventually("an answer to lie there unread", || {
        let mut files = [nix::poll::PollFd::new(line.as_fd(), nix::poll::PollFlags::POLLIN)];
        nix::poll::poll(&mut files, nix::poll::PollTimeout::NONE).unwrap() == 1
    });
    let flags = nix::sys::socket::MsgFlags::empty();
    for number in 0..100 {
        let keep = format!("late-{number}");
        let bytes = Request::Keep(&keep).bytes();
        crate::keeper::passing::send(&line, &bytes, &[ears.udp.as_fd()], None, flags).unwrap();
    }
    drop(line);
    let (_client, kept) = home.client();
    assert_eq!(kept.len(), 150);
}

#[test]
fn a_keeper_that_nobody_needs_ends() {
    let home = Home::new();
    let (client, _) = home.client();
    drop(client);
    home.ends();
}

#[test]
fn a_keeper_with_nothing_stays_as_long_as_its_daemon() {
    let home = Home::new();
    let (client, _) = home.client();
    let ears = Ears::new();
    ears.keep(&client, "a");
    client.forget("a").unwrap();
    client.settle().unwrap();
    ears.keep(&client, "a");
    client.settle().expect("no other is started");
}

#[test]
fn without_anything_to_keep_no_keeper_is_started() {
    let home = Home::empty();
    let (client, kept) = home.client();
    assert!(kept.is_empty());
    client.forget("a").unwrap();
    client.settle().unwrap();
}

#[test]
fn a_keeper_that_cannot_be_started_is_an_error_and_is_not_tried_for_every_attach() {
    let mut home = Home::empty();
    let (client, _) = home.client();
    let ears = Ears::new();
    let keep = || client.keep("a", &[ears.udp.as_fd()]).unwrap_err();
    let first = keep();
    assert_eq!(first.code, Code::NotStarted);
    home.start(ENOUGH);
    assert_eq!(keep(), first, "it is not looked for again so soon");
}

#[test]
fn a_directory_has_one_keeper_and_two_have_two() {
    let (one, other) = (Home::new(), Home::new());
    assert_eq!(Seat::take(one.dir()).unwrap_err().code, Code::Busy);
    let ((client, _), (another, _)) = (one.client(), other.client());
    let ears = Ears::new();
    ears.keep(&client, "one");
    ears.keep(&another, "other");
    drop((client, another));
    assert_eq!(names(&one.client().1), ["one"]);
    assert_eq!(names(&other.client().1), ["other"]);
}

#[test]
fn a_socket_that_was_left_behind_is_replaced() {
    let mut home = Home::empty();
    let path = crate::keeper::seat::socket_in(home.dir());
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    std::fs::write(path.with_extension("new"), "left by a keeper that was killed").unwrap();
    home.start(ENOUGH);
    let (client, _) = home.client();
    Ears::new().keep(&client, "a");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}
