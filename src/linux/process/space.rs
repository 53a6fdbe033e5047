//! The namespaces of a running command, and the loopback of a new one.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use bowline_core::{Code, Error, Result};
use nix::errno::Errno;

use super::child::Identity;

/// What a second command enters to be where the first one is; None where that one has ended.
pub fn spaces_of(process: Identity) -> Result<Option<Vec<OwnedFd>>> {
    let mut spaces = Vec::new();
    // That of mounts comes last: it takes /proc away.
    for kind in ["net", "uts", "mnt"] {
        match File::open(format!("/proc/{}/ns/{kind}", process.pid)) {
            Ok(space) => spaces.push(space.into()),
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
                return Err(Error::new(
                    Code::Denied,
                    format!("enter the namespaces of process {}", process.pid),
                )
                .because(e)
                .fix("run as root"));
            }
            Err(_) if !process.is_alive() => return Ok(None),
            Err(e) => {
                let what = format!("open a namespace of process {}", process.pid);
                return Err(Error::new(Code::Kernel, what).because(e));
            }
        }
    }
    // The pid meant it before and means it now, so it did between.
    Ok(process.is_alive().then_some(spaces))
}

/// Brings up `lo`, which a new namespace has down.
pub fn raise_loopback(netns: impl AsFd) -> Result<()> {
    crate::netns::run(netns, || {
        let socket = std::net::UdpSocket::bind(("0.0.0.0", 0))
            .map_err(|e| Error::new(Code::Kernel, "make a socket in the namespace").because(e))?;
        set_up(socket.as_fd().as_raw_fd())
            .map_err(|e| Error::new(Code::Kernel, "bring up lo").because(e.desc()))
    })?
}

#[allow(unsafe_code)]
fn set_up(socket: i32) -> nix::Result<()> {
    // SAFETY: ifreq is plain data, for which zero is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one ifreq, which outlives the call.
    Errno::result(unsafe { libc::ioctl(socket, libc::SIOCSIFFLAGS as _, &raw const request) }).map(drop)
}
