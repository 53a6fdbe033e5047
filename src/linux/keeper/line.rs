//! A daemon's connection to its keeper. Whoever keeps waits for nothing: only what is asked for is waited for, and not long.

use std::cell::Cell;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use bowline_core::{Code, Error, Result};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, Shutdown, SockFlag, SockType, UnixAddr, connect, getsockopt, setsockopt,
    shutdown, socket, sockopt,
};
use nix::sys::time::TimeVal;
use nix::unistd::geteuid;

use super::Kept;
use super::passing::{self, Received};
use super::seat::socket_in;
use super::wire::{ROOM, Refused, Reply, Request};

/// For a keeper that has much to do; one that takes longer is stopped, and would keep an attach waiting.
const TO_HEAR_US: Duration = Duration::from_millis(500);
const TO_ANSWER: Duration = Duration::from_secs(2);

/// Ends for both sides when it is dropped, whoever else has it open.
#[derive(Debug)]
pub(super) struct Line {
    socket: OwnedFd,
    /// How often the keeper refused something since the line was last settled.
    refused: Cell<usize>,
}

/// All that a keeper has.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) kept: Kept,
    /// The names of what it has and this process has no room for.
    pub(super) missed: Vec<String>,
}

/// Why the keeper is not reached any more.
#[derive(Debug)]
pub(super) enum Lost {
    Ended,
    Silent,
    Broken(Errno),
    /// It said what no keeper says.
    Babble,
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Lost::Ended => f.write_str("it has ended"),
            Lost::Silent => f.write_str("it does not answer in time"),
            Lost::Broken(errno) => f.write_str(errno.desc()),
            Lost::Babble => f.write_str("it says what is not understood"),
        }
    }
}

impl From<Errno> for Lost {
    fn from(errno: Errno) -> Lost {
        match errno {
            Errno::EPIPE | Errno::ECONNRESET | Errno::ENOENT | Errno::ECONNREFUSED => Lost::Ended,
            Errno::EAGAIN => Lost::Silent,
            errno => Lost::Broken(errno),
        }
    }
}

impl Line {
    /// To the keeper of that directory. None where there is none, or only one that is about to end.
    pub(super) fn open(run_dir: &Path) -> Result<Option<Line>> {
        let what = || format!("reach the keeper at {}", socket_in(run_dir).display());
        let strange = || {
            Error::new(Code::Denied, what())
                .because("another user's process listens there")
                .fix(format!("see who may write to it: ls -ld {}", run_dir.display()))
        };
        let opened = Line::connect(run_dir).and_then(|line| {
            if line.is_to_one_of_us() { line.settle().map(|_| Some(line)) } else { Ok(None) }
        });
        match opened {
            Ok(line) => line.map(Some).ok_or_else(strange),
            Err(Lost::Ended) => Ok(None),
            Err(lost @ Lost::Silent) => Err(Error::new(Code::Timeout, what())
                .because(lost)
                .fix("see whether it is stopped, and end it: pkill -9 bowline-keeper")),
            Err(lost @ (Lost::Broken(_) | Lost::Babble)) => {
                Err(Error::new(Code::Kernel, what()).because(lost))
            }
        }
    }

    fn connect(run_dir: &Path) -> std::result::Result<Line, Lost> {
        let line = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?;
        let time = |patience: Duration| {
            TimeVal::new(patience.as_secs().cast_signed(), i64::from(patience.subsec_micros()))
        };
        setsockopt(&line, sockopt::SendTimeout, &time(TO_HEAR_US))?;
        setsockopt(&line, sockopt::ReceiveTimeout, &time(TO_ANSWER))?;
        connect(line.as_raw_fd(), &UnixAddr::new(&socket_in(run_dir))?)?;
        Ok(Line { socket: line, refused: Cell::new(0) })
    }

    fn is_to_one_of_us(&self) -> bool {
        getsockopt(&self.socket, sockopt::PeerCredentials).is_ok_and(|peer| peer.uid() == geteuid().as_raw())
    }

    /// Says something. What the keeper refused before is logged.
    pub(super) fn say(
        &self,
        request: Request<'_>,
        files: &[BorrowedFd<'_>],
    ) -> std::result::Result<(), Lost> {
        self.look_for_refusals()?;
        Ok(passing::send(&self.socket, &request.bytes(), files, None, MsgFlags::empty())?)
    }

    /// Waits until all that was said before is done. How often it was refused since the last time.
    pub(super) fn settle(&self) -> std::result::Result<usize, Lost> {
        self.say(Request::Hello, &[])?;
        self.until_done(|_, _| ())?;
        Ok(self.refused.take())
    }

    pub(super) fn quit(&self) -> std::result::Result<(), Lost> {
        self.say(Request::Quit, &[])?;
        self.until_done(|_, _| ())
    }

    pub(super) fn take_all(&self) -> std::result::Result<Taken, Lost> {
        self.say(Request::TakeAll, &[])?;
        let mut taken = Taken::default();
        self.until_done(|name, received| {
            if received.incomplete {
                tracing::warn!(name, "a kept socket could not be taken: too many files are open");
                taken.missed.push(name.to_string());
            } else {
                taken.kept.push((name.to_string(), super::in_order(received.files)));
            }
        })?;
        Ok(taken)
    }

    fn until_done(&self, mut kept: impl FnMut(&str, Received)) -> std::result::Result<(), Lost> {
        let mut buffer = [0; ROOM];
        loop {
            let received = passing::receive(&self.socket, &mut buffer, MsgFlags::empty())?;
            match reply(&buffer, received.length)? {
                Reply::Done => return Ok(()),
                Reply::Kept(name) => kept(name, received),
                Reply::Refused(why) => self.was_refused(why),
            }
        }
    }

    fn was_refused(&self, why: Refused) {
        tracing::warn!("{why}");
        self.refused.update(|count| count + 1);
    }

    fn look_for_refusals(&self) -> std::result::Result<(), Lost> {
        let mut buffer = [0; ROOM];
        loop {
            let received = match passing::receive(&self.socket, &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EAGAIN) => return Ok(()),
                received => received?,
            };
            match reply(&buffer, received.length)? {
                Reply::Refused(why) => self.was_refused(why),
                Reply::Done | Reply::Kept(_) => return Err(Lost::Babble),
            }
        }
    }
}

fn reply(buffer: &[u8], length: usize) -> std::result::Result<Reply<'_>, Lost> {
    if length == 0 {
        return Err(Lost::Ended);
    }
    buffer.get(..length).and_then(Reply::read).ok_or(Lost::Babble)
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // Where the other side is gone already it has nobody to tell.
        let _gone = shutdown(self.socket.as_raw_fd(), Shutdown::Both);
    }
}
