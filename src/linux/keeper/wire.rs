//! What the daemon and its keeper say to each other: one message a packet, `version verb name`, and sockets beside it.
//!
//! The two may be of different builds: a daemon that was updated finds the keeper that the old one started. So a verb never
//! changes its meaning, a new one gets a new number, and one that is not known is refused and nothing else happens.

use std::fmt;

use bowline_core::{Code, Error, Result};
use nix::errno::Errno;

/// Of whoever speaks. Nobody is refused for it; what the other knows shows in what it refuses.
const VERSION: u8 = 1;

/// systemd takes no longer ones (sd_pid_notify_with_fds(3), FDNAME).
const LONGEST_NAME: usize = 255;

/// No message is longer.
pub(super) const ROOM: usize = 512;

/// Under one name.
pub(super) const MOST_SOCKETS: usize = 64;

mod verb {
    pub(super) const HELLO: u8 = 1;
    pub(super) const KEEP: u8 = 2;
    pub(super) const FORGET: u8 = 3;
    pub(super) const TAKE_ALL: u8 = 4;
    pub(super) const QUIT: u8 = 5;

    pub(super) const DONE: u8 = 129;
    pub(super) const KEPT: u8 = 130;
    pub(super) const REFUSED: u8 = 131;
}

/// What a daemon says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request<'a> {
    /// Answered with [`Reply::Done`] when all that was said before is done.
    Hello,
    /// Answered only where it is refused.
    Keep(&'a str),
    /// As `Keep`.
    Forget(&'a str),
    /// Answered with a [`Reply::Kept`] for each name, with its sockets, then [`Reply::Done`]. All stay kept.
    TakeAll,
    /// Answered with [`Reply::Done`] when nothing is kept any more.
    Quit,
}

/// What a keeper answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply<'a> {
    Done,
    Kept(&'a str),
    Refused(Refused),
}

/// A request that changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) verb: u8,
    pub(super) errno: Errno,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.verb {
            verb::HELLO => "hello",
            verb::KEEP => "keep",
            verb::FORGET => "forget",
            verb::TAKE_ALL => "take all",
            verb::QUIT => "quit",
            _ => "what it does not know",
        };
        write!(f, "the keeper refused to {verb}: {}", self.errno.desc())
    }
}

impl<'a> Request<'a> {
    pub(super) fn bytes(&self) -> Vec<u8> {
        match self {
            Request::Hello => message(verb::HELLO, b""),
            Request::Keep(name) => message(verb::KEEP, name.as_bytes()),
            Request::Forget(name) => message(verb::FORGET, name.as_bytes()),
            Request::TakeAll => message(verb::TAKE_ALL, b""),
            Request::Quit => message(verb::QUIT, b""),
        }
    }

    pub(super) fn read(bytes: &'a [u8]) -> Result<Request<'a>, Refused> {
        let (verb, rest) = parts(bytes).ok_or(Refused { verb: 0, errno: Errno::EBADMSG })?;
        let name = || name(rest).ok_or(Refused { verb, errno: Errno::EINVAL });
        match verb {
            verb::HELLO => Ok(Request::Hello),
            verb::KEEP => Ok(Request::Keep(name()?)),
            verb::FORGET => Ok(Request::Forget(name()?)),
            verb::TAKE_ALL => Ok(Request::TakeAll),
            verb::QUIT => Ok(Request::Quit),
            _ => Err(Refused { verb, errno: Errno::EOPNOTSUPP }),
        }
    }
}

impl<'a> Reply<'a> {
    pub(super) fn bytes(&self) -> Vec<u8> {
        match self {
            Reply::Done => message(verb::DONE, b""),
            Reply::Kept(name) => message(verb::KEPT, name.as_bytes()),
            Reply::Refused(Refused { verb, errno }) => {
                let [a, b, c, d] = (*errno as i32).to_be_bytes();
                message(verb::REFUSED, &[*verb, a, b, c, d])
            }
        }
    }

    /// None where it is not understood.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Reply<'a>> {
        let (verb, rest) = parts(bytes)?;
        match verb {
            verb::DONE => Some(Reply::Done),
            verb::KEPT => Some(Reply::Kept(name(rest)?)),
            verb::REFUSED => {
                let (&verb, errno) = rest.split_first()?;
                let errno = i32::from_be_bytes(errno.get(..4)?.try_into().expect("four bytes"));
                Some(Reply::Refused(Refused { verb, errno: Errno::from_raw(errno) }))
            }
            _ => None,
        }
    }
}

fn message(verb: u8, rest: &[u8]) -> Vec<u8> {
    [&[VERSION, verb], rest].concat()
}

fn parts(bytes: &[u8]) -> Option<(u8, &[u8])> {
    match bytes {
        [version, verb, rest @ ..] if *version >= 1 => Some((*verb, rest)),
        _ => None,
    }
}

fn name(bytes: &[u8]) -> Option<&str> {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let good = (1..=LONGEST_NAME).contains(&bytes.len()) && bytes.iter().all(fits);
    if good { str::from_utf8(bytes).ok() } else { None }
}

/// What both systemd and a keeper take.
pub(super) fn is_name(text: &str) -> bool {
    name(text.as_bytes()).is_some()
}

/// Refused before anything is sent.
pub(super) fn check(name: &str, sockets: usize) -> Result<()> {
    let wrong = |why: &str| Err(Error::new(Code::Internal, format!("keep sockets as {name:?}")).because(why));
    if !is_name(name) {
        return wrong("a name is 1 to 255 letters, digits, - and _");
    }
    if !(1..=MOST_SOCKETS).contains(&sockets) {
        return wrong("1 to 64 sockets have a name");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_and_reply_reads_back() {
        let long = "n".repeat(LONGEST_NAME);
        for request in [
            Request::Hello,
            Request::Keep("dns-1f"),
            Request::Keep(&long),
            Request::Forget("a_B-9"),
            Request::TakeAll,
            Request::Quit,
        ] {
            assert_eq!(Request::read(&request.bytes()), Ok(request));
        }
        let refused = Refused { verb: verb::KEEP, errno: Errno::EMFILE };
        for reply in [Reply::Done, Reply::Kept("dns-1f"), Reply::Refused(refused)] {
            assert_eq!(Reply::read(&reply.bytes()), Some(reply));
            assert!(reply.bytes().len() <= ROOM);
        }
    }

    #[test]
    fn a_newer_version_is_understood_and_a_newer_verb_is_refused() {
        let mut bytes = Request::Keep("a").bytes();
        bytes[0] = 200;
        assert_eq!(Request::read(&bytes), Ok(Request::Keep("a")));
        let refused = Refused { verb: 77, errno: Errno::EOPNOTSUPP };
        assert_eq!(Request::read(&[1, 77, 1, 2, 3]), Err(refused));
    }

    #[test]
    fn what_is_no_request_is_refused_and_names_its_reason() {
        let check =
            |bytes: &[u8], errno| assert_eq!(Request::read(bytes).unwrap_err().errno, errno, "{bytes:?}");
        check(b"", Errno::EBADMSG);
        check(&[1], Errno::EBADMSG);
        check(&[0, verb::HELLO], Errno::EBADMSG);
        check(&[1, verb::KEEP], Errno::EINVAL);
        check(&[1, verb::KEEP, b'a', b'/'], Errno::EINVAL);
        check(&[1, verb::FORGET, b'a', 0], Errno::EINVAL);
        check(&[1, verb::KEEP, 0xc3, 0xa4], Errno::EINVAL);
        check(&message(verb::KEEP, &[b'n'; LONGEST_NAME + 1]), Errno::EINVAL);
    }
}
