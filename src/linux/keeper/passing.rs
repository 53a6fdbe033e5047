//! Messages with open files beside them (SCM_RIGHTS, unix(7)).

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};

/// For as many files as the kernel lets one message have (SCM_MAX_FD, 253), so that only this process's own limit can
/// leave one behind.
const CONTROL: usize = 1088;

/// One message, and what came with it.
#[derive(Debug)]
pub(super) struct Received {
    /// Of the message, which may be longer than the buffer.
    pub(super) length: usize,
    pub(super) files: Vec<OwnedFd>,
    /// Whether files that were sent could not be received: this process may have no more open.
    pub(super) incomplete: bool,
}

/// Sends one message; to that address, where the socket is not connected.
pub(super) fn send(
    line: impl AsFd,
    bytes: &[u8],
    files: &[BorrowedFd<'_>],
    to: Option<&UnixAddr>,
    flags: MsgFlags,
) -> nix::Result<()> {
    let numbers = super::raw(files);
    let rights = [ControlMessage::ScmRights(&numbers)];
    let control = if files.is_empty() { &[][..] } else { &rights[..] };
    let line = line.as_fd().as_raw_fd();
    retried(|| sendmsg(line, &[IoSlice::new(bytes)], control, flags | MsgFlags::MSG_NOSIGNAL, to)).map(drop)
}

/// The next message. Its files close at exec. nix's own gives none of them back where one is missing, and loses the rest.
#[allow(unsafe_code)]
pub(super) fn receive(line: impl AsFd, buffer: &mut [u8], flags: MsgFlags) -> nix::Result<Received> {
    #[repr(align(8))]
    struct Control([u8; CONTROL]);
    let mut control = Control([0; CONTROL]);
    let mut parts = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: msghdr is plain data, for which zero is valid.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut parts;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = CONTROL as _;
    let flags = flags | MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_TRUNC;
    let line = line.as_fd().as_raw_fd();
    let length = retried(|| {
        // SAFETY: all that the header points to outlives the call, and is as long as it says.
        Errno::result(unsafe { libc::recvmsg(line, &raw mut header, flags.bits()) })
    })?;
    Ok(Received {
        length: length.cast_unsigned(),
        files: files(&header),
        incomplete: header.msg_flags & libc::MSG_CTRUNC != 0,
    })
}

/// To be called once for what was received.
#[allow(unsafe_code)]
fn files(header: &libc::msghdr) -> Vec<OwnedFd> {
    let mut files = Vec::new();
    // SAFETY: the kernel has filled in the header's control messages and their length.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
    // SAFETY: it is null, or points at a whole control message within the buffer, which is aligned for one.
    while let Some(message) = unsafe { next.as_ref() } {
        if (message.cmsg_level, message.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            // SAFETY: CMSG_LEN computes; CMSG_DATA points just behind the message's head.
            let (head, data) = unsafe { (libc::CMSG_LEN(0) as usize, libc::CMSG_DATA(next)) };
            for at in 0..message.cmsg_len.saturating_sub(head) / size_of::<i32>() {
                // SAFETY: the kernel wrote that many numbers, which need not be aligned; each is of a file that it has just
                // opened for us, and is taken here only.
                files.push(unsafe { OwnedFd::from_raw_fd(data.cast::<i32>().add(at).read_unaligned()) });
            }
        }
        // SAFETY: as for the first.
        next = unsafe { libc::CMSG_NXTHDR(header, next) };
    }
    files
}

fn retried<T>(mut act: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match act() {
            Err(Errno::EINTR) => (),
            outcome => return outcome,
        }
    }
}
