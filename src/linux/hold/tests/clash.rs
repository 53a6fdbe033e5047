//! That what is held nobody else can have, and what is not held anybody can.

use bowline_core::Code;
use bowline_core::port::{HostPort, Protocol};
use nix::errno::Errno;
use nix::fcntl::{F_GETFD, F_GETFL, FdFlag, OFlag, fcntl};

use super::space::{
    Says, assert_taken, bound, eventually, in_ipv4, port, rival, rival_at_last, server_that_just_ended, space,
};
use crate::hold::{Held, is_free};

fn held(ports: &[&str]) -> Held {
    let mut held = Held::default();
    held.hold(&ports.iter().map(|text| port(text)).collect::<Vec<_>>()).unwrap();
    held
}

fn assert_free(port: &HostPort) {
    eventually(&format!("{port} to be free"), || is_free(port).unwrap());
}

fn taken_while_held(text: &str, rivals: &[&str], others: &[&str]) {
    space(|| {
        let protocol = port(text).protocol;
        let mut held = held(&[text]);
        rivals.iter().for_each(|at| assert_taken(protocol, at));
        for at in others {
            rival_at_last(protocol, at, Says::Nothing);
        }
        held.free(&[port(text)]);
        for at in rivals {
            rival_at_last(protocol, at, Says::Nothing);
        }
    });
}

const EVERYWHERE: [&str; 5] = ["0.0.0.0:8080", "[::]:8080", "127.0.0.1:8080", "[::1]:8080", "127.9.9.9:8080"];

#[test]
fn a_port_held_everywhere_is_taken_on_every_address() {
    taken_while_held("8080/tcp", &EVERYWHERE, &["0.0.0.0:8081"]);
    taken_while_held("8080/udp", &EVERYWHERE, &["0.0.0.0:8081"]);
}

#[test]
fn a_port_held_on_one_family_is_taken_on_that() {
    let of_four = ["0.0.0.0:8080", "[::]:8080", "127.0.0.1:8080"];
    let of_six = ["[::]:8080", "[::1]:8080"];
    for protocol in ["tcp", "udp"] {
        taken_while_held(&format!("0.0.0.0:8080/{protocol}"), &of_four, &["[::1]:8080"]);
        taken_while_held(&format!("[::]:8080/{protocol}"), &of_six, &["0.0.0.0:8080"]);
    }
}

#[test]
fn a_port_held_on_one_address_is_taken_there_and_as_part_of_all() {
    let of_one = ["127.0.0.1:8080", "0.0.0.0:8080", "[::]:8080"];
    for protocol in ["tcp", "udp"] {
        taken_while_held(&format!("127.0.0.1:8080/{protocol}"), &of_one, &["127.0.0.2:8080", "[::1]:8080"]);
        taken_while_held(&format!("[::1]:8080/{protocol}"), &["[::1]:8080", "[::]:8080"], &["0.0.0.0:8080"]);
    }
}

#[test]
fn what_does_not_meet_is_held_side_by_side() {
    space(|| {
        let ports = [
            "127.0.0.1:80/tcp",
            "127.0.0.2:80/tcp",
            "[::1]:80/tcp",
            "80/udp",
            "0.0.0.0:81/tcp",
            "[::]:81/tcp",
        ];
        assert_eq!(held(&ports).all().count(), ports.len());
    });
}

#[test]
fn whoever_holds_a_port_keeps_it_from_us() {
    let cases = [
        ("0.0.0.0:8080", &["8080/", "0.0.0.0:8080/", "127.0.0.1:8080/"][..], &["[::]:8080/"][..]),
        ("[::]:8080", &["8080/", "[::]:8080/", "127.0.0.1:8080/", "[::1]:8080/"], &[]),
        (
            "127.0.0.1:8080",
            &["8080/", "0.0.0.0:8080/", "127.0.0.1:8080/"],
            &["127.0.0.2:8080/", "[::]:8080/"],
        ),
    ];
    space(|| {
        for (at, taken, free) in cases {
            for (protocol, says) in Protocol::ALL[..2].iter().flat_map(|p| Says::ALL.map(|s| (*p, s))) {
                let rival = rival_at_last(protocol, at, says);
                for text in taken {
                    let port = port(&format!("{text}{protocol}"));
                    assert!(!is_free(&port).unwrap(), "{port} beside {at} {says:?}");
                    let error = Held::default().hold(&[port]).unwrap_err().explain();
                    assert_eq!(error.code, Code::PortTaken, "{error}");
                }
                for text in free {
                    let port = port(&format!("{text}{protocol}"));
                    assert_free(&port);
                    eventually("to hold it", || Held::default().hold(&[port]).is_ok());
                }
                drop(rival);
            }
        }
    });
}

#[test]
fn a_server_that_just_ended_is_not_in_the_way() {
    space(|| {
        server_that_just_ended(8080, Says::ReuseAddr);
        let without = bound(Protocol::Tcp, "0.0.0.0:8080", Says::Nothing).map(drop);
        assert_eq!(without, Err(Errno::EADDRINUSE), "nothing lingers, so this test shows nothing");
        assert_free(&port("8080/tcp"));
        eventually("to hold it", || Held::default().hold(&[port("8080/tcp")]).is_ok());
    });
}

#[test]
fn all_are_held_or_none() {
    space(|| {
        let range = |from: u16| (from..from + 4).map(|n| port(&format!("{n}/tcp"))).collect::<Vec<_>>();
        let mut held = held(&["8000/tcp"]);
        let rival = rival(Protocol::Tcp, "127.0.0.1:8003", Says::ReuseAddr).unwrap();
        let error = held.hold(&range(8000)).unwrap_err().explain();
        assert_eq!((error.code, error.what.as_str()), (Code::PortTaken, "port 8003/tcp is taken"));
        assert_eq!(held.all().collect::<Vec<_>>(), [&port("8000/tcp")], "what was held before still is");
        assert_free(&port("8001/tcp"));
        assert_free(&port("8002/tcp"));
        drop(rival);
        eventually("to hold them all", || held.hold(&range(8000)).is_ok());
        assert!(!is_free(&port("8003/tcp")).unwrap());
    });
}

#[test]
fn holding_and_freeing_may_be_done_twice() {
    space(|| {
        let ports = [port("8080/tcp"), port("53/udp"), port("8080/tcp")];
        let mut held = Held::default();
        held.hold(&ports).unwrap();
        held.hold(&ports).unwrap();
        assert_eq!(held.all().count(), 2);
        held.free(&ports);
        held.free(&ports);
        assert_eq!(held.all().count(), 0);
        ports.iter().for_each(assert_free);
    });
}

#[test]
fn trying_whether_a_port_is_free_leaves_it_free() {
    space(|| {
        for text in ["8080/tcp", "8080/udp", "127.0.0.1:8080/tcp"] {
            assert!(is_free(&port(text)).unwrap(), "{text}");
            assert_free(&port(text));
        }
    });
}

#[test]
fn sctp_is_held_with_the_kernels_help_or_without() {
    space(|| {
        let sctp = port("9000/sctp");
        let held = held(&["9000/sctp"]);
        assert_eq!(held.all().collect::<Vec<_>>(), [&sctp]);
        assert!(held.listen(&sctp).unwrap().is_none());
    });
}

#[test]
fn sockets_block_nobody_and_stay_out_of_programs_that_are_started() {
    space(|| {
        let held = held(&["8080/tcp", "8080/udp"]);
        for socket in held.sockets.values().flatten() {
            let flags = OFlag::from_bits_retain(fcntl(socket, F_GETFL).unwrap());
            assert!(flags.contains(OFlag::O_NONBLOCK));
            let kept = FdFlag::from_bits_retain(fcntl(socket, F_GETFD).unwrap());
            assert!(kept.contains(FdFlag::FD_CLOEXEC));
        }
    });
}

/// The kernel is asked to know no IPv6, by a filter on the calls of this test's thread.
#[test]
fn without_ipv6_everywhere_is_all_of_ipv4() {
    space(|| {
        let wide = port("8080/tcp");
        without_ipv6();
        let everywhere: [HostPort; 2] = [wide, port("8080/udp")];
        let mut held = Held::default();
        held.hold(&everywhere).unwrap();
        assert_taken(Protocol::Tcp, "127.0.0.1:8080");
        assert_taken(Protocol::Udp, "0.0.0.0:8080");
        assert!(!is_free(&in_ipv4(&wide)).unwrap());
        assert!(everywhere.iter().all(|port| held.listen(port).unwrap().is_some()));
        assert_eq!(held.hold(&[port("[::]:81/tcp")]).unwrap_err().explain().code, Code::Unsupported);
    });
}

/// From now on the calling thread's `socket(AF_INET6, ..)` fails as it does in a kernel without IPv6.
#[allow(unsafe_code)]
fn without_ipv6() {
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let load = |at| step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, at);
    let unless = |value, skip| step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, skip, value);
    let give = |value| step(libc::BPF_RET | libc::BPF_K, 0, 0, value);
    // In struct seccomp_data, the call's number is at 0 and the low half of its first argument at 16.
    let low = if cfg!(target_endian = "little") { 16 } else { 20 };
    let mut steps = [
        load(0),
        unless(libc::SYS_socket as u32, 3),
        load(low),
        unless(libc::AF_INET6 as u32, 1),
        give(libc::SECCOMP_RET_ERRNO | libc::EAFNOSUPPORT as u32),
        give(libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: the kernel copies the program, which lives through the call; it binds this thread only, which ends soon.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
    };
    assert_eq!(Errno::result(done), Ok(0));
    let refused = bound(Protocol::Tcp, "[::1]:1", Says::Nothing).map(drop);
    assert_eq!(refused, Err(Errno::EAFNOSUPPORT));
}
