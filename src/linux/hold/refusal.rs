//! What it means that a port cannot be held, by the kernel's errno.

use std::net::IpAddr;

use bowline_core::port::{At, HostPort};
use bowline_core::{Code, Error};
use nix::errno::Errno;

use super::holder;

/// Looks for whoever is in the way, if that is the reason.
pub(super) fn error(port: &HostPort, errno: Errno) -> Error {
    let what = format!("hold port {port}");
    match (errno, port.at) {
        (Errno::EADDRINUSE, _) => holder::reasons(port).into_iter().fold(taken(port), Error::because),
        (Errno::EADDRNOTAVAIL, At::One(ip)) => unusable(port, &format!("this host has no address {ip}")),
        (Errno::EINVAL, At::One(IpAddr::V6(ip))) if ip.is_unicast_link_local() => {
            unusable(port, &format!("{ip} means nothing without an interface"))
        }
        (Errno::EAFNOSUPPORT, _) => Error::new(Code::Unsupported, what)
            .because("this kernel has no IPv6")
            .fix("publish on an IPv4 address"),
        (Errno::EACCES | Errno::EPERM, _) => Error::new(Code::Denied, what)
            .because(errno)
            .fix("run the daemon as root, or with CAP_NET_BIND_SERVICE"),
        (Errno::EMFILE, _) => Error::new(Code::Busy, what)
            .because("this process may open no more files, and each held port is one")
            .fix("raise LimitNOFILE of the daemon's service, or publish fewer ports"),
        (Errno::ENFILE, _) => Error::new(Code::Busy, what)
            .because("this host may open no more files, and each held port is one")
            .fix("raise the sysctl fs.file-max, or publish fewer ports"),
        (errno, _) => Error::new(Code::Kernel, what).because(errno),
    }
}

/// The one in the way is held by us.
pub(super) fn ours(port: &HostPort, held: &HostPort) -> Error {
    taken(port).because(format!("bowline holds {held} already"))
}

fn taken(port: &HostPort) -> Error {
    Error::new(Code::PortTaken, format!("port {port} is taken"))
        .fix("publish another port of the host, or end what holds this one")
}

fn unusable(port: &HostPort, why: &str) -> Error {
    Error::new(Code::InvalidPort, format!("port {port} is not usable"))
        .because(why)
        .fix("leave the address out, or give one of the host's")
}
