//! From fork to exec. In the child only async-signal-safe calls are made, on memory that was laid out before.
//! A step that fails is written to a pipe that closes by itself when the program runs.

use std::convert::Infallible;
use std::ffi::CStr;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use bowline_core::{Code, Error};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{ForkResult, Pid, chdir, sethostname, setpgid, setsid};

use super::failure::{Fault, NotStarted, Step};
use super::program::{Credentials, Kinship, Mounts, Program};
use super::reap::reap;
use super::terminal::{above, pipe};
use super::{Fate, Session};

/// Forks and execs. The pid is of a child that runs its program; of no process any more for [`Kinship::Orphan`].
pub(super) fn bear(program: &Program) -> Result<Pid, NotStarted> {
    let (report, fault) = pipe()?;
    // Clear of descriptor 3, which the child may put something at.
    let fault = above(fault, 4)?;
    // A handler of ours must not run in the child, and no signal may end it before its parent knows the pid.
    let before = block_all()?;
    let parent = nix::unistd::getpid();
    let forked = fork();
    if let Ok(ForkResult::Child) = forked {
        live(program, parent, fault.as_raw_fd());
    }
    let restored = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
    let child = match forked {
        Ok(ForkResult::Parent { child }) => child,
        Ok(ForkResult::Child) => unreachable!("the child never returns"),
        Err(e) => return Err(kernel("fork", e).into()),
    };
    restored.map_err(|e| kernel("restore the signal mask", e))?;
    drop(fault);
    if program.kinship == Kinship::Orphan {
        bury(child);
    }
    match read_fault(report)? {
        None => Ok(child),
        Some(fault) => {
            if program.kinship != Kinship::Orphan {
                bury(child);
            }
            Err(fault.explain(program))
        }
    }
}

fn kernel(what: &str, errno: Errno) -> Error {
    Error::new(Code::Kernel, what).because(errno.desc())
}

fn block_all() -> Result<SigSet, Error> {
    let mut before = SigSet::empty();
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))
        .map_err(|e| kernel("block signals", e))?;
    Ok(before)
}

fn bury(child: Pid) {
    // It is ending or has ended; if someone else reaped it, that is as good.
    let _exit = reap(child);
}

fn read_fault(report: OwnedFd) -> Result<Option<Fault>, Error> {
    let mut bytes = Vec::with_capacity(Fault::BYTES);
    std::fs::File::from(report)
        .read_to_end(&mut bytes)
        .map_err(|e| Error::new(Code::Kernel, "learn whether the command was started").because(e))?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let whole = <[u8; Fault::BYTES]>::try_from(bytes).ok().and_then(Fault::from_bytes);
    whole.map(Some).ok_or_else(|| Error::new(Code::Internal, "a child reported what cannot be read"))
}

/// The child's life until it is the program, or until it has said why not.
fn live(program: &Program, parent: Pid, report: RawFd) -> ! {
    let Err(fault) = become_program(program, parent);
    write_fault(report, &fault.to_bytes());
    exit_now(125)
}

fn become_program(program: &Program, parent: Pid) -> Result<Infallible, Fault> {
    let at = |step| move |errno| Fault { step, item: 0, errno };
    match program.kinship {
        Kinship::Child { session: Session::Own, .. } => drop(setsid().map_err(at(Step::Session))?),
        Kinship::Child { session: Session::Terminal, .. } => {
            setpgid(Pid::from_raw(0), Pid::from_raw(0)).map_err(at(Step::Session))?;
            // SIGTTOU is blocked as all signals are, so that this does not stop us.
            take_terminal().map_err(at(Step::Terminal))?;
        }
        Kinship::Orphan => {
            setsid().map_err(at(Step::Session))?;
            if let ForkResult::Parent { .. } = fork().map_err(at(Step::Part))? {
                exit_now(0);
            }
        }
    }
    for (item, space) in program.enter.iter().enumerate() {
        setns(space, CloneFlags::empty()).map_err(|errno| Fault {
            step: Step::Enter,
            item: item as u32,
            errno,
        })?;
    }
    if let Some(private) = &program.private {
        set_apart(private)?;
    }
    if let Some(dir) = &program.cwd {
        chdir(dir.as_c_str()).map_err(at(Step::Cwd))?;
    }
    if let Some(user) = &program.user {
        take_identity(user)?;
    }
    // After the change of identity, which would undo it.
    if let Kinship::Child { fate: Fate::Shared, .. } = program.kinship {
        tie_to(parent).map_err(at(Step::Tie))?;
    }
    for (target, source) in program.stdio.iter().chain([&program.extra]).enumerate() {
        if let Some(source) = source {
            put_at(source, target as RawFd).map_err(|errno| Fault {
                step: Step::Stdio,
                item: target as u32,
                errno,
            })?;
        }
    }
    let own = if program.extra.is_some() { 4 } else { 3 };
    close_on_exec_from(own).map_err(at(Step::Close))?;
    reset_signals().map_err(at(Step::Signals))?;
    Err(execute(program))
}

fn set_apart(private: &Mounts) -> Result<(), Fault> {
    let at = |step| move |errno| Fault { step, item: 0, errno };
    let mut spaces = CloneFlags::CLONE_NEWNS;
    if private.hostname.is_some() {
        spaces |= CloneFlags::CLONE_NEWUTS;
    }
    unshare(spaces).map_err(at(Step::Unshare))?;
    // What is mounted on the host later is still seen here; what is mounted here is not seen there.
    const NOTHING: Option<&CStr> = None;
    mount(NOTHING, c"/", NOTHING, MsFlags::MS_REC | MsFlags::MS_SLAVE, NOTHING).map_err(at(Step::Mounts))?;
    if let Some(name) = &private.hostname {
        sethostname(name).map_err(at(Step::Hostname))?;
    }
    if private.sysfs {
        fresh_sysfs();
    }
    for (item, (source, target)) in private.binds.iter().enumerate() {
        mount(Some(source.as_c_str()), target.as_c_str(), NOTHING, MsFlags::MS_BIND, NOTHING)
            .map_err(|errno| Fault { step: Step::Bind, item: item as u32, errno })?;
    }
    Ok(())
}

/// A new /sys, as writable as the old one and with its cgroups. Where that is refused the old one stays: it is a convenience.
fn fresh_sysfs() {
    let mut flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    if statvfs(c"/sys").is_ok_and(|fs| fs.flags().contains(FsFlags::ST_RDONLY)) {
        flags |= MsFlags::MS_RDONLY;
    }
    let cgroups = clone_tree(c"/sys/fs/cgroup");
    let fresh = mount(Some(c"sysfs"), c"/sys", Some(c"sysfs"), flags, None::<&CStr>);
    if let (Ok(()), Ok(tree)) = (fresh, cgroups) {
        attach_tree(tree, c"/sys/fs/cgroup");
    }
}

fn take_identity(user: &Credentials) -> Result<(), Fault> {
    let at = |step| move |errno| Fault { step, item: 0, errno };
    set_groups(&user.groups).map_err(at(Step::Groups))?;
    set_gid(user.gid).map_err(at(Step::Gid))?;
    set_uid(user.uid).map_err(at(Step::Uid))
}

/// As execvp searches: what is not there is passed over, what is forbidden is remembered.
fn execute(program: &Program) -> Fault {
    let fault = |item: usize, errno| Fault { step: Step::Exec, item: item as u32, errno };
    let mut outcome = fault(0, Errno::ENOENT);
    for (item, file) in program.candidates.iter().enumerate() {
        match exec(file, program) {
            Errno::ENOENT | Errno::ENOTDIR | Errno::ESTALE | Errno::ENODEV | Errno::ETIMEDOUT => (),
            Errno::EACCES => outcome = fault(item, Errno::EACCES),
            other => return fault(item, other),
        }
    }
    outcome
}

#[allow(unsafe_code)]
fn fork() -> nix::Result<ForkResult> {
    // SAFETY: the child calls only async-signal-safe functions on memory prepared before, and ends in exec or _exit.
    unsafe { nix::unistd::fork() }
}

#[allow(unsafe_code)]
fn exit_now(code: i32) -> ! {
    // SAFETY: _exit runs no destructor and no handler; it is meant for the child of a fork.
    unsafe { libc::_exit(code) }
}

#[allow(unsafe_code)]
fn write_fault(report: RawFd, bytes: &[u8]) {
    // SAFETY: the pointer and length are of one slice. A pipe takes 12 bytes whole; nobody is left to tell of a failure.
    unsafe { libc::write(report, bytes.as_ptr().cast(), bytes.len()) };
}

#[allow(unsafe_code)]
fn take_terminal() -> nix::Result<()> {
    // SAFETY: both calls take and return plain numbers.
    Errno::result(unsafe { libc::tcsetpgrp(0, libc::getpid()) }).map(drop)
}

/// Raw calls for the next three: the C library's wrappers signal every thread that the parent had.
#[allow(unsafe_code)]
fn set_groups(groups: &[u32]) -> nix::Result<()> {
    // SAFETY: the pointer and length are of one slice of gid_t.
    Errno::result(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) }).map(drop)
}

#[allow(unsafe_code)]
fn set_gid(gid: u32) -> nix::Result<()> {
    // SAFETY: setresgid takes plain numbers.
    Errno::result(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) }).map(drop)
}

#[allow(unsafe_code)]
fn set_uid(uid: u32) -> nix::Result<()> {
    // SAFETY: setresuid takes plain numbers.
    Errno::result(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }).map(drop)
}

#[allow(unsafe_code)]
fn tie_to(parent: Pid) -> nix::Result<()> {
    // SAFETY: PR_SET_PDEATHSIG takes a signal's number.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) })?;
    // A parent that died before this call sends nothing any more.
    if nix::unistd::getppid() == parent { Ok(()) } else { Err(Errno::ESRCH) }
}

#[allow(unsafe_code)]
fn put_at(source: &OwnedFd, target: RawFd) -> nix::Result<()> {
    if source.as_raw_fd() == target {
        // SAFETY: F_SETFD takes a number; dup2 onto itself would leave close-on-exec set.
        return Errno::result(unsafe { libc::fcntl(target, libc::F_SETFD, 0) }).map(drop);
    }
    // SAFETY: the source is open. What the target was is not used by this process again.
    Errno::result(unsafe { libc::dup2(source.as_raw_fd(), target) }).map(drop)
}

#[allow(unsafe_code)]
fn close_on_exec_from(first: RawFd) -> nix::Result<()> {
    let flags = libc::CLOSE_RANGE_CLOEXEC;
    // SAFETY: close_range with CLOEXEC only marks descriptors, those of the report among them.
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, flags) }).map(drop)
}

/// Every signal back to its default, then none blocked: what the parent ignores is not the command's affair.
/// A raw call: the C library keeps two signals to itself, and one of them may have come ignored.
#[allow(unsafe_code)]
fn reset_signals() -> nix::Result<()> {
    // A kernel's sigaction of zeros is the default action; no architecture's is longer.
    let default = [0_u64; 8];
    for signal in 1..=64 {
        // SAFETY: the kernel only reads `default`, and a mask has 8 bytes. SIGKILL and SIGSTOP are refused, and stay default.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), std::ptr::null::<u64>(), 8)
        };
    }
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
}

#[allow(unsafe_code)]
fn exec(file: &CStr, program: &Program) -> Errno {
    // SAFETY: all three are null-terminated and outlive the call, which returns only when it failed.
    unsafe { libc::execve(file.as_ptr(), program.argv.as_ptr(), program.env.as_ptr()) };
    Errno::last()
}

#[allow(unsafe_code)]
fn clone_tree(path: &CStr) -> nix::Result<RawFd> {
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_RECURSIVE as u32;
    // SAFETY: the path is a C string; the descriptor that comes back is closed by exec.
    Errno::result(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) })
        .map(|fd| fd as RawFd)
}

#[allow(unsafe_code)]
fn attach_tree(tree: RawFd, target: &CStr) {
    let (nowhere, flags) = (c"".as_ptr(), libc::MOVE_MOUNT_F_EMPTY_PATH);
    // SAFETY: both paths are C strings. A refusal leaves /sys without cgroups, which is tolerated.
    unsafe { libc::syscall(libc::SYS_move_mount, tree, nowhere, libc::AT_FDCWD, target.as_ptr(), flags) };
}
