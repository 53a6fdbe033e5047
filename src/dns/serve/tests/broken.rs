//! Sockets that were destroyed while they were waited for.

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::mpsc::channel;

use bowline_core::place::Place;
use nix::errno::Errno;
use nix::sys::socket::{Shutdown, shutdown};

use super::rig::*;
use crate::asker::{Asker, Elsewhere};

/// As `ss -K` does in a container with the right to it, this leaves a listener that rings for ever and takes nobody in.
#[test]
fn a_listener_that_is_destroyed_is_left_alone_and_another_takes_its_place() {
    let rig = Rig::new(2, &[]);
    let asker = Arc::new(Asker::new(Place(7), view(Elsewhere::Never)));
    let (ears, web) = ears(asker.clone());
    let kept = ears.tcp.try_clone().unwrap();
    let (tell, broken) = channel();
    rig.service.when_broken(tell);
    rig.service.open(asker.clone(), ears).unwrap();
    assert!(!rig.service.is_broken(Place(7)));
    let mut before = web.stream();
    send(&mut before, &query("db"));
    assert_eq!(address(&next(&mut before).unwrap()), DB);
    shutdown(kept.as_raw_fd(), Shutdown::Both).unwrap();
    until("the listener is left alone", || !is_waited_for(web.sockets[1]));
    assert_eq!(broken.recv_timeout(LONG), Ok(Place(7)));
    assert!(rig.service.is_broken(Place(7)));
    send(&mut before, &query("db"));
    assert_eq!(address(&next(&mut before).unwrap()), DB);
    assert_eq!(address(&web.ask("db")), DB);
    let mut after = rig.at(asker).stream();
    assert!(!rig.service.is_broken(Place(7)), "there are others now");
    send(&mut after, &query("db"));
    assert_eq!(address(&next(&mut after).unwrap()), DB);
}

#[test]
fn a_datagram_socket_that_is_shut_down_is_left_alone_and_another_takes_its_place() {
    let rig = Rig::new(2, &[]);
    let asker = Arc::new(Asker::new(Place(7), view(Elsewhere::Never)));
    let (ears, web) = ears(asker.clone());
    let kept = ears.udp.try_clone().unwrap();
    rig.service.open(asker.clone(), ears).unwrap();
    assert_eq!(address(&web.ask("db")), DB);
    // It is done all the same.
    assert_eq!(shutdown(kept.as_raw_fd(), Shutdown::Both), Err(Errno::ENOTCONN));
    until("the socket is left alone", || !is_waited_for(web.sockets[0]));
    let mut stream = web.stream();
    send(&mut stream, &query("db"));
    assert_eq!(address(&next(&mut stream).unwrap()), DB);
    assert_eq!(address(&rig.at(asker).ask("db")), DB);
}

/// What the others do with a shutdown, by the means of a container.
#[test]
#[ignore = "needs root, and ss (package iproute2)"]
fn sockets_that_are_killed_are_left_alone() {
    // With two, the other is not told of a datagram socket's end, and not disturbed by it.
    let rig = Rig::new(1, &[]);
    let web = rig.container(Elsewhere::Never);
    assert_eq!(address(&web.ask("db")), DB);
    for (kind, socket, own) in [("--tcp", web.sockets[1], web.tcp), ("--udp", web.sockets[0], web.udp)] {
        let output = std::process::Command::new("ss")
            .args(["--kill", "--all", "--no-header", kind, "src", &own.ip().to_string()])
            .args(["sport", "=", &format!(":{}", own.port())])
            .output()
            .unwrap();
        assert!(output.status.success() && !output.stdout.is_empty(), "{output:?}");
        until("the socket is left alone", || !is_waited_for(socket));
    }
}
