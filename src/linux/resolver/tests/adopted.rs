//! Sockets that come back from whoever kept them.

use std::net::{Ipv6Addr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;

use bowline_core::Code;
use nix::fcntl::{F_GETFD, F_GETFL, FdFlag, OFlag, fcntl};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, socket};

use super::{answer, client, container, ears, hear, inside};
use crate::netns;
use crate::resolver::adopt;

#[test]
fn kept_ears_are_the_same_and_do_not_block() {
    let ns = container();
    let made = ears(&ns);
    made.udp.set_nonblocking(false).unwrap();
    made.tcp.set_nonblocking(false).unwrap();
    let (udp, tcp) = (made.udp.try_clone().unwrap(), made.tcp.try_clone().unwrap());
    drop(made);
    for socket in [udp.as_raw_fd(), tcp.as_raw_fd()] {
        clear_close_on_exec(socket);
    }
    let (place, ears) = adopt(udp.into(), tcp.into()).unwrap();
    assert_eq!(place, inside(&ns, netns::cookie_of_current).unwrap());
    for fd in [OwnedFd::from(ears.udp.try_clone().unwrap()), ears.tcp.try_clone().unwrap().into()] {
        assert!(OFlag::from_bits_retain(fcntl(&fd, F_GETFL).unwrap()).contains(OFlag::O_NONBLOCK));
    }
    for flags in [fcntl(&ears.udp, F_GETFD).unwrap(), fcntl(&ears.tcp, F_GETFD).unwrap()] {
        assert!(FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC));
    }
    let client = client(&ns, "0.0.0.0:0", "127.0.0.11:53");
    client.send(b"still there?").unwrap();
    let (heard, from) = hear(&ears.udp);
    assert_eq!(heard, b"still there?");
    ears.udp.send_to(b"yes", from).unwrap();
    assert_eq!(answer(&client), b"yes");
}

fn clear_close_on_exec(fd: i32) {
    // SAFETY: the descriptor is open for as long as the caller has it.
    #[allow(unsafe_code)]
    let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
    fcntl(fd, nix::fcntl::F_SETFD(FdFlag::empty())).unwrap();
}

#[test]
fn what_is_no_ear_is_refused() {
    let ns = container();
    let ears = ears(&ns);
    let udp = || OwnedFd::from(ears.udp.try_clone().unwrap());
    let tcp = || OwnedFd::from(ears.tcp.try_clone().unwrap());
    let foreign: Vec<(&str, OwnedFd)> = inside(&ns, || {
        let silent = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None).unwrap();
        bind(silent.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 11, 2000)).unwrap();
        vec![
            ("bound elsewhere", UdpSocket::bind("127.0.0.1:2000").unwrap().into()),
            ("bound to all", UdpSocket::bind("0.0.0.0:2001").unwrap().into()),
            ("of IPv6", UdpSocket::bind((Ipv6Addr::LOCALHOST, 2000)).unwrap().into()),
            ("of no network", UnixDatagram::unbound().unwrap().into()),
            ("a file", std::fs::File::open("/proc/self/status").unwrap().into()),
            ("listening elsewhere", TcpListener::bind("127.0.0.1:2000").unwrap().into()),
            ("not listening", silent),
        ]
    });
    for (what, socket) in foreign {
        let again = socket.try_clone().unwrap();
        assert_eq!(adopt(socket, tcp()).unwrap_err().code, Code::Internal, "{what}");
        assert_eq!(adopt(udp(), again).unwrap_err().code, Code::Internal, "{what}");
    }
    assert_eq!(adopt(tcp(), udp()).unwrap_err().code, Code::Internal, "the wrong way round");
    adopt(udp(), tcp()).expect("the reason is not something else");
}

#[test]
fn sockets_of_two_namespaces_are_refused() {
    let (one, two) = (container(), container());
    let (one, two) = (ears(&one), ears(&two));
    assert_eq!(adopt(one.udp.into(), two.tcp.into()).unwrap_err().code, Code::Internal);
}
