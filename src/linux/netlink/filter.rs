//! A filter on a socket of notices, run by the kernel: what nobody needs wakes nobody. An attach alone sends half a dozen
//! notices of links that come up.

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

/// Where the bytes are in a notice: nlmsghdr (16 bytes), then ifinfomsg.
const TYPE: u32 = if cfg!(target_endian = "little") { 4 } else { 5 };
const FAMILY: u32 = 16;
const FLAGS: u32 = if cfg!(target_endian = "little") { 24 } else { 27 };

/// Of four bytes each.
const INDEX: u32 = 20;
const CHANGE: u32 = 28;

const IFF_UP: u32 = 1;
const ALL: u32 = u32::MAX;

/// Lets pass everything but links that are there and up, and what a bridge says of ports that are there.
pub(crate) fn only_what_is_amiss(socket: &impl AsFd) -> Result<(), Errno> {
    run(
        socket,
        &[
            load(TYPE),
            jump(libc::BPF_JEQ, u32::from(libc::RTM_NEWLINK), 0, 4),
            load(FAMILY),
            jump(libc::BPF_JEQ, libc::AF_UNSPEC as u32, 0, 3),
            load(FLAGS),
            jump(libc::BPF_JSET, IFF_UP, 1, 0),
            give(ALL),
            give(0),
        ],
    )
}

/// Lets pass links and numbers of namespaces that are gone.
pub(crate) fn only_what_goes(socket: &impl AsFd) -> Result<(), Errno> {
    run(
        socket,
        &[
            load(TYPE),
            jump(libc::BPF_JEQ, u32::from(libc::RTM_DELLINK), 0, 2),
            load(FAMILY),
            jump(libc::BPF_JEQ, libc::AF_UNSPEC as u32, 1, 2),
            jump(libc::BPF_JEQ, u32::from(libc::RTM_DELNSID), 0, 1),
            give(ALL),
            give(0),
        ],
    )
}

/// Lets pass what is told of any link.
pub(crate) fn any_link(socket: &impl AsFd) -> Result<(), Errno> {
    run(socket, &[give(ALL)])
}

/// Lets pass what is told of links of these indexes, and of those that are new.
pub(crate) fn only_these_links(socket: &impl AsFd, indexes: &[u32]) -> Result<(), Errno> {
    // A jump reaches no further.
    const MOST: usize = 200;
    if indexes.len() > MOST {
        return any_link(socket);
    }
    let word = |at| (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, at);
    // Whatever is compared was loaded as if it were of the network's byte order.
    let mut program = vec![word(INDEX)];
    for (at, index) in indexes.iter().enumerate() {
        let to_the_end = u8::try_from(indexes.len() - at + 2).expect("fewer than 256 steps");
        program.push(jump(libc::BPF_JEQ, index.to_be(), to_the_end, 0));
    }
    program.extend([word(CHANGE), jump(libc::BPF_JEQ, u32::MAX, 1, 0), give(0), give(ALL)]);
    run(socket, &program)
}

/// Makes a netlink socket hear what is told to a group.
pub(crate) fn join_group(socket: &impl AsFd, group: u32) -> Result<(), Errno> {
    set(socket, libc::NETLINK_ADD_MEMBERSHIP, group)
}

/// Makes a netlink socket hear of all namespaces that its own has a number for.
pub(crate) fn listen_everywhere(socket: &impl AsFd) -> Result<(), Errno> {
    set(socket, libc::NETLINK_LISTEN_ALL_NSID, 1)
}

#[allow(unsafe_code)]
fn set(socket: &impl AsFd, option: libc::c_int, value: u32) -> Result<(), Errno> {
    // SAFETY: the kernel reads the number, which lives through the call, and writes to nothing of ours.
    let done = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_NETLINK,
            option,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    Errno::result(done).map(drop)
}

/// What to do, where to go on if so and if not, and with what.
type Step = (u32, u8, u8, u32);

fn load(at: u32) -> Step {
    (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, at)
}

fn jump(how: u32, value: u32, yes: u8, no: u8) -> Step {
    (libc::BPF_JMP | how | libc::BPF_K, yes, no, value)
}

fn give(bytes: u32) -> Step {
    (libc::BPF_RET | libc::BPF_K, 0, 0, bytes)
}

fn run(socket: &impl AsFd, program: &[Step]) -> Result<(), Errno> {
    let step = |&(code, jt, jf, k): &Step| libc::sock_filter { code: code as u16, jt, jf, k };
    attach(socket, &program.iter().map(step).collect::<Vec<_>>())
}

/// Puts a classic filter before a socket.
#[allow(unsafe_code)]
pub(crate) fn attach(socket: &impl AsFd, program: &[libc::sock_filter]) -> Result<(), Errno> {
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
