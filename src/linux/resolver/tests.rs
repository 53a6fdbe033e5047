//! A container asks in a namespace of its own, and std's sockets answer from outside.

mod adopted;
mod speed;
mod table;
mod traffic;

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::process::{Command, Output};
use std::time::Duration;

use super::{Ears, make};
use crate::netns;

/// Longer than anything takes that arrives at all.
const PATIENCE: Duration = Duration::from_secs(10);

/// A fresh namespace whose loopback is up.
fn container() -> OwnedFd {
    let ns = netns::create().expect("these tests make network namespaces: run them as root");
    inside(&ns, || run("ip", &["link", "set", "lo", "up"]));
    ns
}

fn inside<T: Send>(ns: &OwnedFd, body: impl FnOnce() -> T + Send) -> T {
    netns::run(ns, body).expect("the test panicked inside")
}

fn ears(ns: &OwnedFd) -> Ears {
    inside(ns, make).unwrap()
}

fn output(program: &str, args: &[&str]) -> Output {
    Command::new(program).args(args).output().unwrap()
}

fn run(program: &str, args: &[&str]) -> String {
    let output = output(program, args);
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A client in that namespace, which hears only the one that it asks.
fn client(ns: &OwnedFd, from: &str, to: &str) -> UdpSocket {
    inside(ns, || {
        let socket = UdpSocket::bind(from).unwrap();
        socket.connect(to).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    })
}

/// What one of our sockets, which do not block, hears next.
fn hear(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    socket.set_nonblocking(false).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut buffer = vec![0; 65_535];
    let (len, from) = socket.recv_from(&mut buffer).expect("nothing arrives");
    buffer.truncate(len);
    (buffer, from)
}

/// What arrives at a client.
fn answer(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 65_535];
    let len = socket.recv(&mut buffer).expect("no answer");
    buffer.truncate(len);
    buffer
}
