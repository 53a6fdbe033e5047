//! Peers that mean harm, and limits that are reached: a keeper goes on.

use std::fs::Permissions;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, socket};

use super::home::{Ears, Home, names};
use crate::keeper::seat::socket_in;
use crate::keeper::wire::{Reply, Request};
use crate::keeper::{in_order, passing};

/// A connection that says what it likes.
fn stranger(home: &Home) -> OwnedFd {
    let line = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).unwrap();
    connect(line.as_raw_fd(), &UnixAddr::new(&socket_in(home.dir())).unwrap()).unwrap();
    line
}

fn say(line: &OwnedFd, bytes: &[u8], files: &[&OwnedFd]) -> nix::Result<()> {
    let files: Vec<_> = files.iter().map(|file| file.as_fd()).collect();
    passing::send(line, bytes, &files, None, MsgFlags::empty())
}

/// The reason of the next refusal; None where it is hung up on.
fn refusal(line: &OwnedFd) -> Option<Errno> {
    let mut buffer = [0; 512];
    match passing::receive(line, &mut buffer, MsgFlags::empty()) {
        Ok(received) if received.length > 0 => match Reply::read(&buffer[..received.length]) {
            Some(Reply::Refused(refused)) => Some(refused.errno),
            other => panic!("not a refusal: {other:?}"),
        },
        Ok(_) | Err(Errno::ECONNRESET) => None,
        Err(errno) => panic!("{errno}"),
    }
}

#[test]
fn garbage_is_refused_and_what_came_with_it_is_closed() {
    let home = Home::new();
    let (client, _) = home.client();
    let ears = Ears::new();
    ears.keep(&client, "a");
    let line = stranger(&home);
    let long = [b'x'; 600];
    let unknown = [1, 99, 1, 2, 3];
    let bad_name = [&[1, 2][..], b"../../etc"].concat();
    for (bytes, errno) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], Errno::EOPNOTSUPP),
        (&[0], Errno::EBADMSG),
        (&unknown, Errno::EOPNOTSUPP),
        (&bad_name, Errno::EINVAL),
        (&long, Errno::EMSGSIZE),
    ] {
        let (mut read, write) = std::io::pipe().unwrap();
        let write = OwnedFd::from(write);
        say(&line, bytes, &[&write, &write, &write]).unwrap();
        assert_eq!(refusal(&line), Some(errno), "{bytes:?}");
        drop(write);
        assert_eq!(read.read(&mut [0]).unwrap(), 0, "the keeper has no copy: {bytes:?}");
    }
    say(&line, b"", &[]).unwrap();
    assert_eq!(refusal(&line), None, "an empty message ends it");
    client.settle().unwrap();
    drop(client);
    assert_eq!(names(&home.client().1), ["a"]);
}

#[test]
fn keeping_nothing_or_too_much_is_refused() {
    let home = Home::new();
    let line = stranger(&home);
    let file: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
    say(&line, &Request::Keep("a").bytes(), &[]).unwrap();
    assert_eq!(refusal(&line), Some(Errno::EINVAL));
    say(&line, &Request::Keep("a").bytes(), &vec![&file; 253]).unwrap();
    assert_eq!(refusal(&line), Some(Errno::EINVAL));
    assert!(home.client().1.is_empty());
}

#[test]
fn a_client_refuses_itself_what_no_keeper_takes() {
    let home = Home::new();
    let (client, _) = home.client();
    let ears = Ears::new();
    for name in ["", "a/b", "a b", "ä", &"n".repeat(256)] {
        assert!(client.keep(name, &[ears.udp.as_fd()]).is_err(), "{name:?}");
    }
    assert!(client.keep("a", &[]).is_err());
    assert!(client.keep("a", &[ears.udp.as_fd(); 65]).is_err());
    client.settle().expect("nothing of it was sent");
}

#[test]
fn one_that_never_reads_what_it_asks_for_is_hung_up_on_and_harms_nobody() {
    let home = Home::new();
    let (client, _) = home.client();
    let line = stranger(&home);
    let ended = (0..100_000).find_map(|_| say(&line, &[1, 99], &[]).err());
    assert!(matches!(ended, Some(Errno::EPIPE | Errno::ECONNRESET)), "{ended:?}");
    Ears::new().keep(&client, "a");
    client.settle().unwrap();
}

#[test]
fn more_connections_than_there_may_be_are_closed_and_the_first_ones_go_on() {
    let home = Home::new();
    let (client, _) = home.client();
    let lines: Vec<_> = (0..20).map(|_| stranger(&home)).collect();
    assert_eq!(refusal(lines.last().unwrap()), None);
    let ears = Ears::new();
    ears.keep(&client, "a");
    client.settle().unwrap();
    drop((lines, client));
    // Those that have just hung up may still be there.
    super::home::eventually("there is room again", || names(&home.client().1) == ["a"]);
}

#[test]
fn a_keeper_that_is_full_says_so_and_keeps_what_it_has() {
    let home = Home::within(320 + 3);
    let (client, _) = home.client();
    let ears = Ears::new();
    ears.keep(&client, "a");
    ears.keep(&client, "b");
    assert!(client.settle().unwrap_err().to_string().contains("refused"));
    client.settle().expect("it was said once");
    client.forget("a").unwrap();
    ears.keep(&client, "c");
    client.settle().unwrap();
    drop(client);
    assert_eq!(names(&home.client().1), ["c"]);
}

#[test]
fn another_user_is_not_let_in() {
    let home = Home::new();
    let (client, _) = home.client();
    Ears::new().keep(&client, "a");
    // As if the file's own permissions did not keep them out.
    std::fs::set_permissions(home.dir(), Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(socket_in(home.dir()), Permissions::from_mode(0o666)).unwrap();
    let ended = std::thread::scope(|scope| {
        let as_nobody = scope.spawn(|| {
            become_nobody();
            let line = stranger(&home);
            // It may be hung up on before or after.
            match say(&line, &Request::TakeAll.bytes(), &[]) {
                Err(Errno::EPIPE) => None,
                said => {
                    said.unwrap();
                    refusal(&line)
                }
            }
        });
        as_nobody.join().unwrap()
    });
    assert_eq!(ended, None);
}

/// This thread only: the C library would ask all.
#[allow(unsafe_code)]
fn become_nobody() {
    // SAFETY: setresuid takes plain numbers.
    Errno::result(unsafe { libc::syscall(libc::SYS_setresuid, 65534, 65534, 65534) }).unwrap();
}

#[test]
fn what_answers_in_another_users_name_is_not_believed() {
    let home = Home::empty();
    std::fs::set_permissions(home.dir(), Permissions::from_mode(0o777)).unwrap();
    let dir = home.dir();
    let (ready, wait) = std::sync::mpsc::channel();
    let serving = std::thread::scope(|scope| {
        scope.spawn(move || {
            become_nobody();
            let seat = crate::keeper::seat::Seat::take(dir).unwrap();
            ready.send(()).unwrap();
            let mut files = [PollFd::new(seat.as_fd(), PollFlags::POLLIN)];
            poll(&mut files, PollTimeout::NONE).unwrap();
            let line = nix::sys::socket::accept(seat.as_fd().as_raw_fd()).unwrap();
            drop(seat);
            line
        });
        wait.recv().unwrap();
        crate::keeper::line::Line::open(dir)
    });
    assert_eq!(serving.unwrap_err().code, bowline_core::Code::Denied);
}

#[test]
fn sockets_are_given_back_datagrams_first() {
    let ears = Ears::new();
    let (udp, tcp) = ears.at();
    let ordered = Ears::of(in_order(vec![ears.tcp.into(), ears.udp.into()]));
    assert_eq!(ordered.at(), (udp, tcp));
}
