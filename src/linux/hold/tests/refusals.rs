//! What is said of ports that cannot be held, and how many files may be open.

use std::io::Read;
use std::process::{Command, Stdio};

use bowline_core::port::Ports;
use bowline_core::{Code, Error};
use nix::errno::Errno;

use super::space::{port, space};
use crate::hold::{Held, ephemeral, is_free, limit, raise_file_limit, refusal};
use crate::sysctl;

fn refusal_of(text: &str) -> Error {
    Held::default().hold(&[port(text)]).expect_err("must be refused").explain()
}

#[test]
fn an_address_that_the_host_does_not_have_is_named() {
    space(|| {
        for (text, address) in [("192.0.2.1:80/tcp", "192.0.2.1"), ("[2001:db8::1]:53/udp", "2001:db8::1")] {
            let error = refusal_of(text);
            assert_eq!(error.code, Code::InvalidPort);
            assert_eq!(
                error.to_string(),
                format!("port {text} is not usable: this host has no address {address}")
            );
            assert_eq!(is_free(&port(text)), Err(error));
        }
        assert_eq!(refusal_of("[fe80::1]:80/tcp").code, Code::InvalidPort);
    });
}

#[test]
fn without_the_privilege_a_low_port_is_denied_and_a_high_one_held() {
    space(|| {
        give_up_privileges();
        assert_eq!(refusal_of("80/tcp").code, Code::Denied);
        Held::default().hold(&[port("8080/tcp"), port("8080/udp")]).unwrap();
    });
}

/// Those of the calling thread only.
#[allow(unsafe_code)]
fn give_up_privileges() {
    // SAFETY: the call takes three numbers; unlike the library's, it leaves other threads as they are.
    let done = unsafe { libc::syscall(libc::SYS_setresuid, 65534, 65534, 65534) };
    assert_eq!(Errno::result(done), Ok(0));
}

#[test]
fn what_else_fails_has_a_code_and_the_way_out_where_there_is_one() {
    let check = |errno, code, fix: Option<&str>| {
        let error = refusal::error(&port("80/tcp"), errno);
        assert_eq!(error.code, code, "{error}");
        let told = error.fix.unwrap_or_default();
        assert!(fix.map_or(told.is_empty(), |fix| told.contains(fix)), "{told}");
    };
    check(Errno::ENFILE, Code::Busy, Some("fs.file-max"));
    check(Errno::EMFILE, Code::Busy, Some("LimitNOFILE"));
    check(Errno::EAFNOSUPPORT, Code::Unsupported, Some("IPv4"));
    check(Errno::ENOBUFS, Code::Kernel, None);
    check(Errno::EADDRNOTAVAIL, Code::Kernel, None);
}

/// Run by the test below, in a process of its own.
#[test]
#[ignore = "it limits its process"]
fn victim() {
    let before = limit::exchange(None).unwrap();
    limit::exchange(Some(&libc::rlimit { rlim_cur: 64, ..before })).unwrap();
    space(|| {
        let ports: Vec<_> = (8000..8100).map(|n| port(&format!("{n}/tcp"))).collect();
        let mut held = Held::default();
        let error = held.hold(&ports).unwrap_err().explain();
        assert_eq!((error.code, held.all().count()), (Code::Busy, 0), "{error}");
        let raised = raise_file_limit().unwrap();
        assert!(raised >= before.rlim_max, "{raised}");
        assert_eq!(raise_file_limit(), Ok(raised));
        assert_eq!(limit::exchange(None).unwrap().rlim_cur, raised);
        held.hold(&ports).unwrap();
    });
}

#[test]
fn too_many_ports_for_the_limit_of_files_are_held_once_it_is_raised() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "hold::tests::refusals::victim", "--ignored"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    // Tests beside this one reap whatever ended, so its status may be gone already.
    drop(child.wait());
    assert!(said.contains("1 passed"), "{said}");
}

#[test]
fn the_ports_to_choose_from_are_those_of_the_namespace() {
    space(|| {
        sysctl::set("net/ipv4/ip_local_port_range", "40000\t40010").unwrap();
        assert_eq!(ephemeral().unwrap(), [Ports::new(40000, 40010).unwrap()]);
        sysctl::set("net/ipv4/ip_local_reserved_ports", "8080,40003,40005-40006").unwrap();
        let wanted = [(40000, 40002), (40004, 40004), (40007, 40010)];
        assert_eq!(ephemeral().unwrap(), wanted.map(|(first, last)| Ports::new(first, last).unwrap()));
    });
}
