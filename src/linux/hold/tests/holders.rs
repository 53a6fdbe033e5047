//! That whoever holds a port is named, and nobody else is.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use bowline_core::port::{HostPort, Protocol};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use super::space::{Says, port, rival, server_that_just_ended, space};
use crate::hold::{Held, Holder, holders};

/// A program that has nothing but a socket; it ends with the test.
struct Program(Child);

impl Program {
    fn with(socket: OwnedFd) -> Program {
        Program(Command::new("sleep").arg("1000").stdin(socket).spawn().unwrap())
    }

    fn at(protocol: Protocol, at: &str) -> Program {
        Program::with(rival(protocol, at, Says::ReuseAddr).unwrap())
    }

    fn holds(&self, at: &str) -> Holder {
        Holder { pid: self.0.id(), command: "sleep".into(), at: at.into() }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        // Tests beside this one reap whatever ended, so it may be gone already.
        drop(self.0.wait());
    }
}

/// Others are named for a moment where they start a program, see `space`.
fn assert_holders(port: &HostPort, wanted: &[Holder]) {
    let mut seen = holders(port);
    let deadline = Instant::now() + Duration::from_secs(20);
    while seen != wanted && Instant::now() < deadline {
        seen = holders(port);
    }
    assert_eq!(seen, wanted, "{port}");
}

fn assert_reason(port: &HostPort, wanted: &[&str]) {
    let reasons = || Held::default().hold(&[*port]).expect_err("it is held").explain().causes;
    let mut seen = reasons();
    let deadline = Instant::now() + Duration::from_secs(20);
    while seen != wanted && Instant::now() < deadline {
        seen = reasons();
    }
    assert_eq!(seen, wanted, "{port}");
}

fn is_named(held_by: &str, asked: &[&str], not_for: &[&str]) {
    space(|| {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let program = Program::at(protocol, held_by);
            for text in asked {
                let port = port(&format!("{text}/{protocol}"));
                assert_holders(&port, &[program.holds(held_by)]);
                assert_reason(&port, &[&format!("sleep (pid {}) holds {held_by}", program.0.id())]);
            }
            for text in not_for {
                let port = port(&format!("{text}/{protocol}"));
                assert_eq!(holders(&port), [], "{port}");
            }
        }
    });
}

#[test]
fn the_holder_is_named_with_its_address() {
    is_named(
        "127.0.0.1:8080",
        &["8080", "0.0.0.0:8080", "127.0.0.1:8080"],
        &["8081", "127.0.0.2:8080", "[::]:8080"],
    );
    is_named("0.0.0.0:8080", &["8080", "0.0.0.0:8080", "127.0.0.1:8080"], &["8081", "[::1]:8080"]);
    is_named("[::]:8080", &["8080", "0.0.0.0:8080", "[::1]:8080", "127.0.0.1:8080"], &["8081"]);
    is_named("[::1]:8080", &["8080", "[::]:8080", "[::1]:8080"], &["0.0.0.0:8080", "127.0.0.1:8080"]);
}

#[test]
fn several_holders_are_all_named_and_many_are_counted() {
    space(|| {
        let addresses = ["127.0.0.1:80", "127.0.0.2:80", "[::1]:80", "127.0.0.3:80", "127.0.0.4:80"];
        let programs = addresses.map(|at| Program::at(Protocol::Tcp, at));
        let mut wanted: Vec<_> = programs.iter().zip(addresses).map(|(p, at)| p.holds(at)).collect();
        wanted.sort();
        assert_holders(&port("80/tcp"), &wanted);
        let reasons: Vec<_> =
            wanted[..3].iter().map(|one| format!("sleep (pid {}) holds {}", one.pid, one.at)).collect();
        let [a, b, c] = [0, 1, 2].map(|n: usize| reasons[n].as_str());
        assert_reason(&port("80/tcp"), &[a, b, c, "2 more hold it too"]);
    });
}

/// As a server that shares its socket with its workers.
#[test]
fn of_programs_of_one_name_that_share_a_socket_the_eldest_is_named() {
    space(|| {
        let socket = rival(Protocol::Tcp, "0.0.0.0:80", Says::Nothing).unwrap();
        let programs = [Program::with(socket.try_clone().unwrap()), Program::with(socket)];
        let eldest = programs.iter().min_by_key(|program| program.0.id()).unwrap();
        assert_holders(&port("80/tcp"), &[eldest.holds("0.0.0.0:80")]);
    });
}

#[test]
fn a_holder_in_another_namespace_is_not_in_the_way() {
    space(|| {
        let _elsewhere = Program::at(Protocol::Tcp, "0.0.0.0:8080");
        space(|| {
            assert_eq!(holders(&port("8080/tcp")), []);
            Held::default().hold(&[port("8080/tcp")]).unwrap();
        });
    });
}

#[test]
fn a_free_port_has_no_holder() {
    space(|| assert_eq!(holders(&port("8080/tcp")), []));
}

#[test]
fn the_connection_of_a_client_that_got_the_port_by_chance_is_named() {
    space(|| {
        let server = rival(Protocol::Tcp, "127.0.0.1:80", Says::Nothing).unwrap();
        let client = std::net::TcpStream::connect("127.0.0.1:80").unwrap();
        let local = client.local_addr().unwrap();
        let program = Program::with(client.into());
        let asked = port(&format!("{}/tcp", local.port()));
        assert_reason(&asked, &[&format!("sleep (pid {}) holds {local}", program.0.id())]);
        drop(server);
    });
}

#[test]
fn of_ports_that_we_hold_we_say_so_and_which() {
    space(|| {
        let mut held = Held::default();
        held.hold(&[port("8080/tcp")]).unwrap();
        let error = held.hold(&[port("127.0.0.1:8080/tcp")]).unwrap_err().explain();
        assert_eq!(error.to_string(), "port 127.0.0.1:8080/tcp is taken: bowline holds 8080/tcp already");
        let error = held.hold(&[port("127.0.0.1:81/tcp"), port("81/tcp")]).unwrap_err().explain();
        assert_eq!(error.to_string(), "port 81/tcp is taken: bowline holds 127.0.0.1:81/tcp already");
    });
}

/// A socket on its way from one process to another is nobody's.
#[test]
fn a_holder_that_cannot_be_seen_is_not_invented() {
    space(|| {
        let (from, _to) = UnixStream::pair().unwrap();
        let socket = rival(Protocol::Udp, "0.0.0.0:53", Says::Nothing).unwrap();
        send(&from, &socket);
        drop(socket);
        assert_holders(&port("53/udp"), &[]);
        assert_reason(&port("53/udp"), &["a process that cannot be seen holds it"]);
    });
}

fn send(way: &UnixStream, socket: &OwnedFd) {
    use std::os::fd::AsRawFd;
    let descriptors = [socket.as_raw_fd()];
    let note = [ControlMessage::ScmRights(&descriptors)];
    let text = [std::io::IoSlice::new(b"x")];
    sendmsg::<()>(way.as_raw_fd(), &text, &note, MsgFlags::empty(), None).unwrap();
}

#[test]
fn connections_that_outlive_their_server_are_told_from_processes() {
    space(|| {
        server_that_just_ended(8080, Says::Nothing);
        assert_reason(
            &port("8080/tcp"),
            &["a connection that is ending holds 127.0.0.1:8080, mostly for a minute"],
        );
        assert_holders(&port("8080/tcp"), &[]);
    });
}
