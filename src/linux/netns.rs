//! Network namespaces: how one is reached, told from everything else a path may lead to, and entered.
//! Only a thread born for it ever enters one, and that thread dies after; no thread of a pool is ever moved.

use std::cell::Cell;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use bowline_core::place::{Door, Place};
use bowline_core::{Code, Error, Result};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open as open_path};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::{Mode, fstat};
use nix::sys::statfs::{NSFS_MAGIC, fstatfs};

/// Opens the namespace behind a door, having made sure that it is one.
pub fn open(door: &Door) -> Result<OwnedFd> {
    let path = match door {
        Door::Own => return current(),
        Door::Fd { pid, fd } => PathBuf::from(format!("/proc/{pid}/fd/{fd}")),
        Door::Path(path) if path.starts_with('/') => PathBuf::from(path),
        Door::Path(_) => return Err(invalid(door).because("the path is not absolute")),
    };
    // O_PATH touches nothing: a FIFO does not block and a device does not wake. Only a namespace is opened for real.
    let handle = open_path(&path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).map_err(|e| match e {
        Errno::ENOENT | Errno::ESRCH => Error::new(Code::NetnsGone, format!("{door} is gone"))
            .because("nothing is there")
            .fix("start the container again, then attach it"),
        Errno::EACCES | Errno::EPERM => Error::new(Code::Denied, format!("open {door}")).because(e),
        other => invalid(door).because(other),
    })?;
    let kind = fstatfs(&handle).map_err(|e| invalid(door).because(e))?.filesystem_type();
    if kind != NSFS_MAGIC {
        return Err(invalid(door).because("it is no namespace of any kind"));
    }
    let again = format!("/proc/self/fd/{}", handle.as_raw_fd());
    let ns = open_path(again.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(|e| invalid(door).because(e))?;
    if type_of(ns.as_fd()) != Ok(CloneFlags::CLONE_NEWNET.bits()) {
        return Err(invalid(door).because("it is a namespace, but not one of the network"));
    }
    Ok(ns)
}

/// The namespace of the calling thread.
pub fn current() -> Result<OwnedFd> {
    open_path("/proc/thread-self/ns/net", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(|e| Error::new(Code::Kernel, "open the network namespace of this thread").because(e))
}

/// Whether two open namespaces are the same. While they are open, no other has their numbers.
pub(crate) fn same(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> bool {
    let numbers = |ns| fstat(ns).map(|file| (file.st_dev, file.st_ino));
    numbers(one).is_ok_and(|one| numbers(other) == Ok(one))
}

/// A fresh namespace, which lives as long as the descriptor.
pub fn create() -> Result<OwnedFd> {
    std::thread::scope(|scope| {
        let born = || {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|e| refused("create a network namespace", e))?;
            current()
        };
        join(std::thread::Builder::new().name("netns-birth".into()).spawn_scoped(scope, born))
    })?
}

/// Runs a closure inside a namespace, on a thread of its own.
pub fn run<T: Send>(ns: impl AsFd, body: impl FnOnce() -> T + Send) -> Result<T> {
    let ns = ns.as_fd();
    std::thread::scope(|scope| {
        let visit = || {
            enter(ns)?;
            Ok(body())
        };
        join(std::thread::Builder::new().name("netns-visit".into()).spawn_scoped(scope, visit))
    })?
}

/// Runs a closure in a fresh namespace, on a thread of its own; the namespace is gone with what the closure made there.
pub(crate) fn scratch<T: Send>(body: impl FnOnce() -> T + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let visit = || {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|e| refused("create a network namespace", e))?;
            Ok(body())
        };
        join(std::thread::Builder::new().name("netns-scratch".into()).spawn_scoped(scope, visit))
    })?
}

thread_local! {
    /// Where the thread was found to be, until it moves.
    static HERE: Cell<Option<Place>> = const { Cell::new(None) };
}

/// The identity of the calling thread's namespace. Asking costs a socket, so it is asked once for each place.
pub fn cookie_of_current() -> Result<Place> {
    if let Some(here) = HERE.get() {
        return Ok(here);
    }
    let here = ask_where()?;
    HERE.set(Some(here));
    Ok(here)
}

fn ask_where() -> Result<Place> {
    let socket = std::os::unix::net::UnixDatagram::unbound()
        .map_err(|e| Error::new(Code::Kernel, "make a socket to know the namespace by").because(e))?;
    cookie_of(&socket)
}

/// The identity of the namespace that a socket was made in.
pub(crate) fn cookie_of(socket: impl AsFd) -> Result<Place> {
    cookie(socket.as_fd()).map(Place).map_err(|e| {
        let code = if e == Errno::ENOPROTOOPT { Code::Unsupported } else { Code::Kernel };
        Error::new(code, "read the cookie of a network namespace").because(e)
    })
}

/// Moves the calling thread for good: call it only in a thread that was born for this.
pub(crate) fn enter(ns: BorrowedFd<'_>) -> Result<()> {
    HERE.set(None);
    setns(ns, CloneFlags::CLONE_NEWNET).map_err(|e| refused("enter the network namespace", e))
}

fn join<T>(spawned: std::io::Result<std::thread::ScopedJoinHandle<'_, T>>) -> Result<T> {
    let thread = spawned.map_err(|e| Error::new(Code::Kernel, "start a thread").because(e))?;
    thread.join().map_err(|_| Error::new(Code::Internal, "a thread inside a network namespace panicked"))
}

fn refused(what: &str, errno: Errno) -> Error {
    let code = if errno == Errno::EPERM { Code::Denied } else { Code::Kernel };
    Error::new(code, what).because(errno)
}

fn invalid(door: &Door) -> Error {
    Error::new(Code::InvalidNetns, format!("{door} is not a network namespace"))
        .fix("give the path of one, such as /run/netns/NAME or /proc/PID/ns/net")
}

#[allow(unsafe_code)]
fn cookie(socket: BorrowedFd<'_>) -> nix::Result<u64> {
    let mut value = 0_u64;
    let mut size = size_of::<u64>() as libc::socklen_t;
    // SAFETY: SO_NETNS_COOKIE writes at most `size` bytes to `value`; both outlive the call, and the socket is open.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut value).cast(),
            &raw mut size,
        )
    };
    Errno::result(outcome).map(|_| value)
}

#[allow(unsafe_code)]
fn type_of(ns: BorrowedFd<'_>) -> nix::Result<libc::c_int> {
    // SAFETY: NS_GET_NSTYPE takes no argument and returns the type; the descriptor is open.
    Errno::result(unsafe { libc::ioctl(ns.as_raw_fd(), libc::NS_GET_NSTYPE) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(door: &Door) -> Code {
        open(door).expect_err("must be refused").code
    }

    #[test]
    fn what_is_not_a_namespace_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        let socket = dir.path().join("socket");
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let text = |path: &std::path::Path| Door::Path(path.to_str().unwrap().to_string());

        for path in [&file, &fifo, &socket, &dir.path().to_path_buf()] {
            assert_eq!(refusal(&text(path)), Code::InvalidNetns, "{path:?}");
        }
        let pid = std::process::id();
        assert_eq!(refusal(&Door::Fd { pid, fd: listener.as_raw_fd() as u32 }), Code::InvalidNetns);
        assert_eq!(refusal(&text(&file.join("below"))), Code::InvalidNetns);
        assert_eq!(refusal(&Door::Path("/proc/self/ns/mnt".into())), Code::InvalidNetns);
        assert_eq!(refusal(&Door::Path("run/netns/web".into())), Code::InvalidNetns);
        assert_eq!(refusal(&Door::Path("/proc/self/ns/net\0".into())), Code::InvalidNetns);
    }

    #[test]
    fn what_is_missing_is_gone() {
        assert_eq!(refusal(&Door::Path("/nowhere/web".into())), Code::NetnsGone);
        assert_eq!(refusal(&Door::Fd { pid: std::process::id(), fd: 99_999 }), Code::NetnsGone);
        assert_eq!(refusal(&Door::Fd { pid: u32::MAX, fd: 0 }), Code::NetnsGone);
    }

    #[test]
    fn a_namespace_opens_by_path_and_by_descriptor() {
        let own = cookie_of_current().unwrap();
        let by_path = open(&Door::Path("/proc/self/ns/net".into())).unwrap();
        let by_fd = open(&Door::Fd { pid: std::process::id(), fd: by_path.as_raw_fd() as u32 }).unwrap();
        assert_eq!(run(&by_fd, cookie_of_current).unwrap().unwrap(), own);
    }

    #[test]
    fn a_fresh_namespace_is_another_and_the_thread_stays_home() {
        let own = cookie_of_current().unwrap();
        let fresh = create().unwrap();
        assert_ne!(run(&fresh, cookie_of_current).unwrap().unwrap(), own);
        assert_eq!(cookie_of_current().unwrap(), own);
    }
}
