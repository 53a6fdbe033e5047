//! The keeper itself: a process without threads that sleeps until a daemon says something.
//!
//! Nothing that a daemon does, or that happens to it in the middle of a word, ends the keeper: it outlives daemons, and what
//! it was told before one died it does after.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use bowline_core::{Code, Error, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, SockFlag, accept4, getsockopt, sockopt};
use nix::unistd::geteuid;

use super::life::{Life, Verdict};
use super::passing::{self, Received};
use super::seat::Seat;
use super::shelf::Shelf;
use super::wire::{ROOM, Refused, Reply, Request};

/// At once; one more is hung up on.
const MOST_DAEMONS: usize = 8;

/// Of one daemon, before it is another's turn.
const TURN: usize = 64;

/// Between two tries to let somebody in, where the kernel cannot.
const PAUSE: Duration = Duration::from_secs(1);

/// The whole life of the process; it says when it can be reached.
pub fn live(run_dir: &Path, ready: Option<File>) -> Result<()> {
    // What `ps -e` shows, which would otherwise be the name of the file in /proc that we were started from.
    nix::sys::prctl::set_name(c"bowline-keeper")
        .map_err(|errno| Error::new(Code::Kernel, "take a name").because(errno.desc()))?;
    let limit = crate::raise_file_limit()?;
    let seat = Seat::take(run_dir)?;
    if let Some(mut pipe) = ready {
        // Whoever waited may have left, and another may come.
        let _nobody_waits = pipe.write_all(b"ready\n");
    }
    serve(&seat, limit)
}

/// Until there is nobody left to keep anything for.
pub(super) fn serve(seat: &Seat, limit: u64) -> Result<()> {
    let mut keeping = Keeping { shelf: Shelf::within(limit), daemons: Vec::new(), deaf: false };
    let mut life = Life::begin(Instant::now());
    loop {
        let patience = match life.verdict(keeping.daemons.len(), !keeping.shelf.is_empty(), Instant::now()) {
            Verdict::End => return Ok(()),
            Verdict::Stay(patience) => patience,
        };
        keeping.turn(seat.as_fd(), patience)?;
    }
}

#[derive(Debug)]
struct Keeping {
    shelf: Shelf,
    daemons: Vec<Daemon>,
    /// Whether the kernel could not let the last one in, so that asking at once again would only burn time.
    deaf: bool,
}

/// One that is connected.
#[derive(Debug)]
struct Daemon {
    line: OwnedFd,
    /// The names that it is yet to be told of, while it takes all.
    taking: Option<VecDeque<String>>,
}

/// Whether anything more will come from a daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Open,
    Ended,
}

impl Keeping {
    /// Sleeps until something happens, and does what is to be done about it.
    fn turn(&mut self, listener: BorrowedFd<'_>, patience: Option<Duration>) -> Result<()> {
        let patience = if self.deaf { Some(patience.map_or(PAUSE, |p| p.min(PAUSE))) } else { patience };
        let mut files: Vec<PollFd<'_>> = self.daemons.iter().map(Daemon::waits_for).collect();
        if !self.deaf {
            files.push(PollFd::new(listener, PollFlags::POLLIN));
        }
        match poll(&mut files, until(patience)) {
            Ok(_) | Err(Errno::EINTR) => (),
            Err(errno) => return Err(Error::new(Code::Kernel, "wait for a daemon").because(errno.desc())),
        }
        let happened: Vec<bool> = files.iter().map(|file| file.any().unwrap_or(true)).collect();
        let mut at = 0;
        let shelf = &mut self.shelf;
        self.daemons.retain_mut(|daemon| {
            at += 1;
            !happened[at - 1] || daemon.hear(shelf) == Line::Open && daemon.tell(shelf) == Line::Open
        });
        if self.deaf || happened.last() == Some(&true) {
            self.admit(listener);
        }
        Ok(())
    }

    fn admit(&mut self, listener: BorrowedFd<'_>) {
        loop {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let line = match accept4(listener.as_raw_fd(), flags) {
                Ok(number) => own(number),
                Err(Errno::EINTR | Errno::ECONNABORTED) => continue,
                Err(errno) => {
                    self.deaf = errno != Errno::EAGAIN;
                    return;
                }
            };
            if self.daemons.len() < MOST_DAEMONS && is_one_of_us(&line) {
                self.daemons.push(Daemon { line, taking: None });
            }
        }
    }
}

impl Daemon {
    fn waits_for(&self) -> PollFd<'_> {
        let mut events = PollFlags::POLLIN;
        if self.taking.is_some() {
            events |= PollFlags::POLLOUT;
        }
        PollFd::new(self.line.as_fd(), events)
    }

    /// Does what it says, in order, as far as it is its turn.
    fn hear(&mut self, shelf: &mut Shelf) -> Line {
        let mut buffer = [0; ROOM];
        for _ in 0..TURN {
            let received = match passing::receive(&self.line, &mut buffer, MsgFlags::MSG_DONTWAIT) {
                // An empty message would look the same, and nobody sends one.
                Ok(Received { length: 0, .. }) => return Line::Ended,
                Ok(received) => received,
                Err(Errno::EAGAIN) => return Line::Open,
                // It died with answers unread. That is told once, before what it had still said itself.
                Err(Errno::ECONNRESET) => continue,
                Err(_) => return Line::Ended,
            };
            let done = match buffer.get(..received.length) {
                Some(bytes) => self.act(bytes, received, shelf),
                None => Err(Refused { verb: buffer[1], errno: Errno::EMSGSIZE }),
            };
            let answered = match done {
                Ok(None) => Ok(()),
                Ok(Some(reply)) => self.say(reply, &[]),
                Err(refused) => self.say(Reply::Refused(refused), &[]),
            };
            match answered {
                // Who is gone is heard to its end.
                Ok(()) | Err(Errno::EPIPE | Errno::ECONNRESET) => (),
                // Who does not listen to what it asked for is let go; it may come again.
                Err(_) => return Line::Ended,
            }
        }
        Line::Open
    }

    /// What to answer at once, if anything.
    fn act(
        &mut self,
        bytes: &[u8],
        received: Received,
        shelf: &mut Shelf,
    ) -> std::result::Result<Option<Reply<'static>>, Refused> {
        let request = Request::read(bytes)?;
        let refused = |errno| Refused { verb: bytes[1], errno };
        match request {
            Request::Hello => Ok(Some(Reply::Done)),
            Request::Keep(_) if received.incomplete => Err(refused(Errno::EMFILE)),
            Request::Keep(name) => shelf.keep(name, received.files).map(|()| None).map_err(refused),
            Request::Forget(name) => {
                shelf.forget(name);
                Ok(None)
            }
            Request::TakeAll => {
                self.taking = Some(shelf.names().cloned().collect());
                Ok(None)
            }
            Request::Quit => {
                shelf.clear();
                Ok(Some(Reply::Done))
            }
        }
    }

    /// Goes on with what it takes, as far as it has room for it.
    fn tell(&mut self, shelf: &Shelf) -> Line {
        while let Some(names) = &mut self.taking {
            let said = match names.front().map(|name| (name, shelf.get(name))) {
                None => passing::send(&self.line, &Reply::Done.bytes(), &[], None, MsgFlags::MSG_DONTWAIT),
                // Forgotten meanwhile.
                Some((_, None)) => Ok(()),
                Some((name, Some(sockets))) => {
                    let sockets: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
                    passing::send(
                        &self.line,
                        &Reply::Kept(name).bytes(),
                        &sockets,
                        None,
                        MsgFlags::MSG_DONTWAIT,
                    )
                }
            };
            match said {
                Ok(()) if names.pop_front().is_none() => self.taking = None,
                Ok(()) => (),
                Err(Errno::EAGAIN) => return Line::Open,
                Err(Errno::EPIPE | Errno::ECONNRESET) => self.taking = None,
                Err(_) => return Line::Ended,
            }
        }
        Line::Open
    }

    fn say(&self, reply: Reply<'_>, files: &[BorrowedFd<'_>]) -> nix::Result<()> {
        passing::send(&self.line, &reply.bytes(), files, None, MsgFlags::MSG_DONTWAIT)
    }
}

/// Root's, as the keeper is: what it gives away reaches into namespaces.
fn is_one_of_us(line: &OwnedFd) -> bool {
    getsockopt(line, sockopt::PeerCredentials).is_ok_and(|peer| peer.uid() == geteuid().as_raw())
}

fn until(patience: Option<Duration>) -> PollTimeout {
    let Some(patience) = patience else { return PollTimeout::NONE };
    // Rounded up, so that a part of a millisecond is not spun away.
    PollTimeout::try_from(patience.as_millis().saturating_add(1)).unwrap_or(PollTimeout::MAX)
}

#[allow(unsafe_code)]
fn own(number: i32) -> OwnedFd {
    // SAFETY: the kernel has just given it to us, and nobody else knows of it.
    unsafe { OwnedFd::from_raw_fd(number) }
}
