//! The namespaces of a running command, and the loopback of a new one.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use bowline_core::{Code, Error, Result};
use nix::errno::Errno;

use super::child::Identity;

/// What a second command enters to be where the first one is; None where that one has ended.
pub fn spaces_of(process: Identity) -> Result<Option<Vec<OwnedFd>>> {
    let mut spaces = Vec::new();
    // That of mounts comes last: it takes /proc away.
    for kind in ["net", "uts", "mnt"] {
        match File::open(format!("/proc/{}/ns/{kind}", process.pid)) {
            Ok(space) => {
                let space = OwnedFd::from(space);
                if !is_of_our_users(space.as_fd())? {
                    let what = format!("enter the namespaces of process {}", process.pid);
                    return Err(Error::new(Code::Denied, what)
                        .because(format!(
                            "it has a namespace of its own ({kind}), whose user decides what is run there"
                        ))
                        .fix("enter it by its network only: ip netns exec NAME COMMAND"));
                }
                spaces.push(space);
            }
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

/// Whether a namespace belongs to the user namespace that we are in. A command without privilege can make others, and
/// lay out in them what we would then run with ours.
fn is_of_our_users(space: BorrowedFd<'_>) -> Result<bool> {
    let failed = |e: std::io::Error| Error::new(Code::Kernel, "ask whose a namespace is").because(e);
    // One that is out of our sight is not ours.
    let Ok(owner) = owner(space) else { return Ok(false) };
    let (theirs, ours) = (File::from(owner).metadata(), std::fs::metadata("/proc/self/ns/user"));
    let (theirs, ours) = (theirs.map_err(failed)?, ours.map_err(failed)?);
    Ok((theirs.dev(), theirs.ino()) == (ours.dev(), ours.ino()))
}

#[allow(unsafe_code)]
fn owner(space: BorrowedFd<'_>) -> nix::Result<OwnedFd> {
    /// _IO(0xb7, 1) (ioctl_ns(2)).
    const NS_GET_USERNS: u64 = 0xb701;
    // SAFETY: the call takes no argument and returns a new descriptor, or -1.
    let fd = Errno::result(unsafe { libc::ioctl(space.as_raw_fd(), NS_GET_USERNS as _) })?;
    // SAFETY: the kernel has just made it for us, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
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
