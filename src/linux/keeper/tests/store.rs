//! systemd's store, played by a socket: what is sent there, and what is made of what it gives back.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::socket::{MsgFlags, setsockopt, sockopt};
use tempfile::TempDir;

use super::home::{Ears, Home, names};
use crate::keeper::systemd::{Store, Systemd, inherited, listening};
use crate::keeper::{Keeper, client, passing};

struct Manager {
    dir: TempDir,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Manager {
        let dir = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Manager { dir, socket }
    }

    /// The words that it starts a service with.
    fn env(&self, more: &[(&str, &str)]) -> impl Fn(&str) -> Option<OsString> {
        let notify = self.dir.path().join("notify");
        let mut env = vec![("NOTIFY_SOCKET".to_string(), notify.into_os_string())];
        env.extend(more.iter().map(|(name, value)| (name.to_string(), value.into())));
        move |name| env.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    fn systemd(&self, files: Vec<(String, OwnedFd)>) -> Systemd {
        Systemd::with(self.env(&[("BOWLINE_FDSTORE", "1")]), files).unwrap().expect("it has a store")
    }

    fn store(&self) -> Store {
        self.systemd(Vec::new()).open().unwrap().0
    }

    fn hears(&self) -> (String, Vec<OwnedFd>) {
        let mut buffer = [0; 1024];
        let received = passing::receive(&self.socket, &mut buffer, MsgFlags::empty()).unwrap();
        (String::from_utf8(buffer[..received.length].to_vec()).unwrap(), received.files)
    }

    fn hears_nothing(&self) {
        let received = passing::receive(&self.socket, &mut [0; 64], MsgFlags::MSG_DONTWAIT);
        assert_eq!(received.unwrap_err(), nix::errno::Errno::EAGAIN);
    }
}

fn both(ears: &Ears) -> [BorrowedFd<'_>; 2] {
    [ears.udp.as_fd(), ears.tcp.as_fd()]
}

#[test]
fn sockets_are_sent_with_their_name_and_are_not_watched() {
    let manager = Manager::new();
    let store = manager.store();
    let ears = Ears::new();
    store.keep("dns-1f", &both(&ears)).unwrap();
    let (text, files) = manager.hears();
    assert_eq!(text, "FDSTORE=1\nFDNAME=dns-1f\nFDPOLL=0");
    assert_eq!(Ears::of(files).at(), ears.at());
    store.keep("dns-1f", &both(&ears)).unwrap();
    assert_eq!(manager.hears().0, "FDSTOREREMOVE=1\nFDNAME=dns-1f", "it would keep the old ones too");
    assert_eq!(manager.hears().0, text);
    store.forget("dns-1f").unwrap();
    assert_eq!(manager.hears().0, "FDSTOREREMOVE=1\nFDNAME=dns-1f");
    store.forget("dns-1f").unwrap();
    store.forget("never kept").unwrap();
    assert!(store.keep("a:b", &both(&ears)).is_err());
    manager.hears_nothing();
}

#[test]
fn settling_waits_until_the_barrier_is_closed() {
    let manager = Manager::new();
    let store = manager.store();
    std::thread::scope(|scope| {
        let settling = scope.spawn(|| store.settle());
        let (text, files) = manager.hears();
        assert_eq!((text.as_str(), files.len()), ("BARRIER=1", 1));
        assert!(!settling.is_finished());
        drop(files);
        settling.join().unwrap().unwrap();
    });
}

#[test]
fn a_manager_that_hears_nothing_any_more_is_an_error() {
    let manager = Manager::new();
    let store = manager.store();
    let ears = Ears::new();
    drop(manager);
    assert!(store.keep("a", &both(&ears)).is_err());
}

#[test]
fn there_is_a_store_only_where_the_manager_says_so() {
    let manager = Manager::new();
    let check = |more: &[(&str, &str)], wanted: bool| {
        assert_eq!(Systemd::with(manager.env(more), Vec::new()).unwrap().is_some(), wanted, "{more:?}");
    };
    check(&[], false);
    check(&[("FDSTORE", "65536")], true);
    check(&[("FDSTORE", "0")], false);
    check(&[("FDSTORE", "many")], false);
    check(&[("BOWLINE_FDSTORE", "1")], true);
    check(&[("BOWLINE_FDSTORE", "")], false);
    let without_manager = |name: &str| (name == "FDSTORE").then(|| OsString::from("9"));
    assert!(Systemd::with(without_manager, Vec::new()).unwrap().is_none());
    let elsewhere = |name: &str| match name {
        "NOTIFY_SOCKET" => Some(OsString::from("vsock:2:1234")),
        name => (name == "FDSTORE").then(|| OsString::from("9")),
    };
    assert!(Systemd::with(elsewhere, Vec::new()).is_err(), "files cannot go there");
    let abstract_name = |name: &str| match name {
        "NOTIFY_SOCKET" => Some(OsString::from("@bowline-test/notify")),
        name => (name == "FDSTORE").then(|| OsString::from("9")),
    };
    assert!(Systemd::with(abstract_name, Vec::new()).unwrap().is_some());
}

#[test]
fn files_are_listed_by_environment_and_only_for_this_process() {
    let own = std::process::id().to_string();
    let list = |pid: &str, count: &str, names: &str| {
        let words = [("LISTEN_PID", pid), ("LISTEN_FDS", count), ("LISTEN_FDNAMES", names)];
        let words = words.map(|(name, value)| (name.to_string(), OsString::from(value)));
        listening(|name: &str| words.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()))
    };
    assert_eq!(list(&own, "2", "a:b").unwrap(), Some((2, vec!["a".to_string(), "b".to_string()])));
    assert_eq!(list("1", "2", "a:b").unwrap(), None);
    assert_eq!(list("nonsense", "2", "a:b").unwrap(), None);
    for count in ["-1", "99999999", "2147483647", "two", ""] {
        assert!(list(&own, count, "a").is_err(), "{count}");
    }
    assert_eq!(listening(|_| None).unwrap(), None);
}

#[test]
fn inherited_files_are_taken_with_their_names_and_close_at_exec() {
    // Numbers that nobody here uses.
    const FIRST: i32 = 700;
    let ears = Ears::new();
    for (file, number) in both(&ears).iter().zip(FIRST..) {
        assert_eq!(fcntl(file, FcntlArg::F_DUPFD(number)).unwrap(), number);
    }
    let words = vec!["dns-1f".to_string()];
    let files = inherited(FIRST, 5, &words);
    assert_eq!(files.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["dns-1f", ""]);
    for (_, file) in &files {
        let flags = fcntl(file, FcntlArg::F_GETFD).unwrap();
        assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC, "{}", file.as_raw_fd());
    }
}

#[test]
fn what_comes_back_is_grouped_and_what_is_not_ours_is_let_go_of() {
    let manager = Manager::new();
    let (one, two) = (Ears::new(), Ears::new());
    let (one_at, two_at) = (one.at(), two.at());
    let name = |text: &str| text.to_string();
    let files: Vec<(String, OwnedFd)> = vec![
        (name("dns-2"), two.tcp.into()),
        (name("dns-1"), one.udp.into()),
        (name("bowline.socket"), UnixDatagram::unbound().unwrap().into()),
        (name("dns-2"), two.udp.into()),
        (name("dns-3"), File::open("/dev/null").unwrap().into()),
        (name("dns-1"), one.tcp.into()),
    ];
    let (store, kept) = manager.systemd(files).open().unwrap();
    let let_go: Vec<_> = [manager.hears().0, manager.hears().0].into();
    assert_eq!(let_go, ["FDSTOREREMOVE=1\nFDNAME=bowline.socket", "FDSTOREREMOVE=1\nFDNAME=dns-3"]);
    manager.hears_nothing();
    assert_eq!(names(&kept), ["dns-1", "dns-2"]);
    let at: Vec<_> = kept.into_iter().map(|(_, sockets)| Ears::of(sockets).at()).collect();
    assert_eq!(at, [one_at, two_at], "datagrams come first");
    store.forget("dns-2").unwrap();
    assert_eq!(manager.hears().0, "FDSTOREREMOVE=1\nFDNAME=dns-2");
}

#[test]
fn what_a_keeper_has_is_handed_to_the_manager_and_the_keeper_ends() {
    let home = Home::new();
    let (before, _) = home.client();
    let ears = Ears::new();
    ears.keep(&before, "dns-1");
    drop(before);
    let manager = Manager::new();
    let store = manager.store();
    let kept = std::thread::scope(|scope| {
        let handed = scope.spawn(|| client::hand_to(&store, home.dir()));
        assert_eq!(manager.hears().0, "FDSTORE=1\nFDNAME=dns-1\nFDPOLL=0");
        assert_eq!(manager.hears().0, "BARRIER=1");
        handed.join().unwrap()
    });
    assert_eq!(names(&kept), ["dns-1"]);
    home.ends();
}

#[test]
fn only_a_resolvers_two_sockets_in_the_right_place_are_taken_back() {
    let home = Home::new();
    let (before, _) = home.client();
    let here = crate::netns::cookie_of_current().unwrap();
    let elsewhere = bowline_core::place::Place(here.0 + 1);
    let ears = Ears::new();
    for name in ["good", "elsewhere", "unknown"] {
        ears.keep(&before, name);
    }
    before.keep("one", &[ears.udp.as_fd()]).unwrap();
    // What holds a port of a host is looked at by whoever takes it up.
    before.keep("ports-1-0", &[ears.udp.as_fd()]).unwrap();
    before.keep("twice", &[ears.udp.as_fd(), ears.udp.as_fd()]).unwrap();
    before.keep("file", &[ears.udp.as_fd(), File::open("/dev/null").unwrap().as_fd()]).unwrap();
    drop(before);
    let whose = |name: &str| match name {
        "unknown" => None,
        "elsewhere" => Some(elsewhere),
        _ => Some(here),
    };
    let opened = crate::keeper::open(home.dir(), None, whose).unwrap();
    assert_eq!((names(&opened.ears), names(&opened.ports)), (vec!["good"], vec!["ports-1-0"]));
    opened.keeper.settle().unwrap();
    let Keeper::Process(client) = opened.keeper else { panic!("there is no systemd here") };
    drop(client);
    assert_eq!(names(&home.client().1), ["good", "ports-1-0"], "the others are forgotten");
}

#[test]
fn a_manager_that_is_busy_is_waited_for_and_then_given_up() {
    let manager = Manager::new();
    setsockopt(&manager.socket, sockopt::RcvBuf, &1).unwrap();
    let store = manager.store();
    let ears = Ears::new();
    let refused = (0..10_000).find_map(|n| store.keep(&format!("dns-{n}"), &both(&ears)).err());
    assert_eq!(refused.expect("its queue has an end").code, bowline_core::Code::Timeout);
}
