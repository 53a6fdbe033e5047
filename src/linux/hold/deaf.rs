//! A filter that drops all that reaches a socket. It is one eBPF program for all of them where the kernel lets us load
//! one, since each classic filter is compiled anew and costs 14 µs and a page of memory.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;

use nix::errno::Errno;

static SHARED: OnceLock<OwnedFd> = OnceLock::new();

pub(super) fn deafen(socket: &impl AsFd) -> nix::Result<()> {
    match shared() {
        Some(program) => set(socket, libc::SO_ATTACH_BPF, &program.as_raw_fd()),
        None => deafen_alone(socket),
    }
}

/// Lets the socket hear, deaf or not.
pub(super) fn undeafen(socket: &impl AsFd) -> nix::Result<()> {
    match set(socket, libc::SO_DETACH_FILTER, &0) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// By a filter of its own, which needs no privilege.
pub(super) fn deafen_alone(socket: &impl AsFd) -> nix::Result<()> {
    let mut drop_all = [libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: 0 }];
    let program = libc::sock_fprog { len: 1, filter: drop_all.as_mut_ptr() };
    set(socket, libc::SO_ATTACH_FILTER, &program)
}

fn shared() -> Option<&'static OwnedFd> {
    if let Some(program) = SHARED.get() {
        return Some(program);
    }
    let program =
        load().inspect_err(|errno| tracing::debug!(%errno, "no program for all held ports")).ok()?;
    Some(SHARED.get_or_init(|| program))
}

/// What BPF_PROG_LOAD reads (bpf(2)), as far as it concerns us.
#[repr(C)]
struct Load {
    kind: u32,
    length: u32,
    steps: u64,
    license: u64,
}

/// Loads `r0 = 0; exit`: no byte of the packet is kept.
fn load() -> nix::Result<OwnedFd> {
    const SOCKET_FILTER: u32 = 1;
    // One step is struct bpf_insn: an opcode, two registers, an offset and a value. Both here are zero but for the opcode.
    const STEPS: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 0, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
    let wanted = Load {
        kind: SOCKET_FILTER,
        length: STEPS.len() as u32,
        steps: STEPS.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
    };
    load_program(&wanted)
}

#[allow(unsafe_code)]
fn load_program(wanted: &Load) -> nix::Result<OwnedFd> {
    const BPF_PROG_LOAD: libc::c_int = 5;
    // SAFETY: the kernel reads `wanted` and the constants that it points to, and writes to nothing of ours.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const *wanted, size_of::<Load>()) };
    let fd = Errno::result(fd)? as RawFd;
    // SAFETY: the kernel has just made it for us, closed on exec, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[allow(unsafe_code)]
fn set<T>(socket: &impl AsFd, option: libc::c_int, value: &T) -> nix::Result<()> {
    // SAFETY: the kernel reads the value and what it points to, both of which live through the call, and writes nothing.
    let done = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const *value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    Errno::result(done).map(drop)
}
