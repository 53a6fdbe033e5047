//! A filter on a socket of notices, run by the kernel: what nobody needs wakes nobody. An attach alone sends half a dozen
//! notices of links that come up.

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

/// Where the bytes are in a notice: nlmsghdr (16 bytes), then ifinfomsg.
const TYPE: u32 = if cfg!(target_endian = "little") { 4 } else { 5 };
const FAMILY: u32 = 16;
const FLAGS: u32 = if cfg!(target_endian = "little") { 24 } else { 27 };

const IFF_UP: u32 = 1;
const ALL: u32 = u32::MAX;

/// Lets pass everything but links that are there and up, and what a bridge says of ports that are there.
pub(crate) fn only_what_is_amiss(socket: &impl AsFd) -> Result<(), Errno> {
    let load = |at| (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, at);
    let jump = |how, value, yes, no| (libc::BPF_JMP | how | libc::BPF_K, yes, no, value);
    let give = |bytes| (libc::BPF_RET | libc::BPF_K, 0, 0, bytes);
    let program = [
        load(TYPE),
        jump(libc::BPF_JEQ, u32::from(libc::RTM_NEWLINK), 0, 4),
        load(FAMILY),
        jump(libc::BPF_JEQ, libc::AF_UNSPEC as u32, 0, 3),
        load(FLAGS),
        jump(libc::BPF_JSET, IFF_UP, 1, 0),
        give(ALL),
        give(0),
    ];
    attach(socket, &program.map(|(code, jt, jf, k)| libc::sock_filter { code: code as u16, jt, jf, k }))
}

/// Makes a netlink socket hear what is told to a group.
#[allow(unsafe_code)]
pub(crate) fn join_group(socket: &impl AsFd, group: u32) -> Result<(), Errno> {
    // SAFETY: the kernel reads the number, which lives through the call, and writes to nothing of ours.
    let done = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_NETLINK,
            libc::NETLINK_ADD_MEMBERSHIP,
            (&raw const group).cast(),
            size_of_val(&group) as libc::socklen_t,
        )
    };
    Errno::result(done).map(drop)
}

#[allow(unsafe_code)]
fn attach(socket: &impl AsFd, program: &[libc::sock_filter]) -> Result<(), Errno> {
    let wanted = libc::sock_fprog {
        len: u16::try_from(program.len()).expect("a handful of steps"),
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel copies the program, which lives through the call, and writes to nothing of ours.
    let done = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const wanted).cast(),
            size_of_val(&wanted) as libc::socklen_t,
        )
    };
    Errno::result(done).map(drop)
}
