//! A procfs of our own, attached nowhere. Under one root, the files of all namespaces share a table of names, where
//! `eth0` of a new container is looked for among those of all the others; a root that is replaced now and then has few.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

/// A root serves so many visits: few enough that names stay quick to find, and enough to share the cost of making it.
/// With a thousand containers, setting a value took 330 µs by the shared root and takes 95 µs so.
const VISITS: u32 = 64;

struct Root {
    proc: Arc<OwnedFd>,
    visits: u32,
}

static ROOT: Mutex<Option<Root>> = Mutex::new(None);

/// Opens a file below /proc/sys as the calling thread's namespace has it.
pub(super) fn open(path: &str, flags: OFlag) -> nix::Result<File> {
    let flags = flags | OFlag::O_CLOEXEC;
    let file = match root() {
        Ok(proc) => openat(proc.as_fd(), Path::new("sys").join(path).as_path(), flags, Mode::empty())?,
        // Whoever may not mount may still write.
        Err(_) => nix::fcntl::open(&Path::new("/proc/sys").join(path), flags, Mode::empty())?,
    };
    Ok(File::from(file))
}

fn root() -> nix::Result<Arc<OwnedFd>> {
    let mut root = ROOT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(root) = root.as_mut().filter(|root| root.visits < VISITS) {
        root.visits += 1;
        return Ok(root.proc.clone());
    }
    let proc = Arc::new(mount()?);
    let old = root.replace(Root { proc: proc.clone(), visits: 1 });
    drop(root);
    // Slow, and no reason for others to wait.
    drop(old);
    Ok(proc)
}

fn mount() -> nix::Result<OwnedFd> {
    let filesystem = fsopen()?;
    create(&filesystem)?;
    fsmount(&filesystem)
}

#[allow(unsafe_code)]
fn fsopen() -> nix::Result<OwnedFd> {
    const FSOPEN_CLOEXEC: libc::c_uint = 1;
    // SAFETY: the name is a C string that outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_fsopen, c"proc".as_ptr(), FSOPEN_CLOEXEC) };
    owned(fd)
}

#[allow(unsafe_code)]
fn create(filesystem: &OwnedFd) -> nix::Result<()> {
    const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
    let none = std::ptr::null::<libc::c_char>();
    // SAFETY: the command takes neither key nor value; the descriptor is open.
    let outcome = unsafe {
        libc::syscall(libc::SYS_fsconfig, filesystem.as_raw_fd(), FSCONFIG_CMD_CREATE, none, none, 0)
    };
    Errno::result(outcome).map(drop)
}

#[allow(unsafe_code)]
fn fsmount(filesystem: &OwnedFd) -> nix::Result<OwnedFd> {
    const FSMOUNT_CLOEXEC: libc::c_uint = 1;
    const NOSUID_NODEV_NOEXEC: libc::c_uint = 2 | 4 | 8;
    // SAFETY: there are no pointers; the descriptor is open.
    let fd = unsafe {
        libc::syscall(libc::SYS_fsmount, filesystem.as_raw_fd(), FSMOUNT_CLOEXEC, NOSUID_NODEV_NOEXEC)
    };
    owned(fd)
}

#[allow(unsafe_code)]
fn owned(fd: libc::c_long) -> nix::Result<OwnedFd> {
    let fd = Errno::result(fd)?;
    let fd = RawFd::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel made this descriptor just now, for nobody but us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn many_visits_to_many_namespaces_each_see_their_own() {
        assert!(nix::unistd::geteuid().is_root(), "this test makes network namespaces: run it as root");
        for n in 0..VISITS + 5 {
            let ns = crate::netns::create().unwrap();
            let value = crate::netns::run(&ns, || {
                let port = 20_000 + n;
                let path = "net/ipv4/ip_unprivileged_port_start";
                crate::sysctl::set(path, &port.to_string()).unwrap();
                let mut text = String::new();
                open(path, OFlag::O_RDONLY).unwrap().read_to_string(&mut text).unwrap();
                text
            });
            assert_eq!(value.unwrap().trim(), (20_000 + n).to_string());
        }
    }
}
