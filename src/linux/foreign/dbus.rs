//! As much of D-Bus as calling a method with strings takes, and hearing signals: one connection, one call at a time.
//! <https://dbus.freedesktop.org/doc/dbus-specification.html>

mod message;

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use bowline_core::name::quoted;
use bowline_core::{Code, Error, Result};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

pub(super) use message::{Body, Kind, Message};

/// A whole conversation takes no longer, and neither does a signal once it begins to arrive.
const PATIENCE: Duration = Duration::from_secs(10);
/// Of a whole message. An answer that we ask for is a few names.
const LARGEST: usize = 1 << 20;

pub(super) const BUS: Target<'static> =
    Target { name: "org.freedesktop.DBus", path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus" };

#[derive(Debug)]
pub(super) struct Bus {
    stream: UnixStream,
    deadline: Instant,
    serial: u32,
}

/// Whom to call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) name: &'a str,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
}

impl Bus {
    /// None where nobody listens.
    pub(super) fn connect(path: &Path) -> Result<Option<Bus>> {
        let stream = match dial(path) {
            Ok(stream) => stream,
            Err(Errno::ENOENT | Errno::ECONNREFUSED) => return Ok(None),
            Err(errno) => {
                return Err(broken(&format!("connect to the bus at {}", path.display()), &errno.into()));
            }
        };
        let mut bus = Bus { stream, deadline: Instant::now() + PATIENCE, serial: 0 };
        bus.greet().map_err(|error| broken("log in to the system bus", &error))?;
        bus.call(BUS, "Hello", &[])?;
        Ok(Some(bus))
    }

    /// Whether somebody has that name on the bus.
    pub(super) fn has(&mut self, name: &str) -> Result<bool> {
        self.call(BUS, "NameHasOwner", &[name])?.flag().ok_or_else(|| misread("NameHasOwner"))
    }

    /// Calls a method with strings, and waits for what it returns.
    pub(super) fn call(&mut self, target: Target<'_>, method: &str, arguments: &[&str]) -> Result<Body> {
        let what = || format!("call {method} of {}", target.name);
        let call = Message::call(target, method, arguments);
        let reply = self.exchange(call).map_err(|error| broken(&what(), &error))?;
        if reply.kind == Kind::Return {
            return Ok(reply.body);
        }
        let refused = Error::new(Code::Denied, what()).because(quoted(&reply.error.unwrap_or_default()));
        Err(match reply.body.text() {
            Some(text) => refused.because(quoted(&text)),
            None => refused,
        })
    }

    /// From now on, [`Bus::signal`] has the signals that meet this rule.
    pub(super) fn listen(&mut self, rule: &str) -> Result<()> {
        self.call(BUS, "AddMatch", &[rule]).map(drop)
    }

    /// The next message that comes unasked, of which something has arrived.
    pub(super) fn signal(&mut self) -> io::Result<Message> {
        self.deadline = Instant::now() + PATIENCE;
        self.receive()
    }

    /// Says who we are by our user id, which the bus compares with what the kernel says.
    fn greet(&mut self) -> io::Result<()> {
        const LONGEST: usize = 256;
        let user = nix::unistd::geteuid().to_string();
        let hex: String = user.bytes().map(|digit| format!("{digit:02x}")).collect();
        self.write(format!("\0AUTH EXTERNAL {hex}\r\n").as_bytes())?;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            if line.len() == LONGEST {
                return Err(invalid("its greeting has no end"));
            }
            let mut byte = [0];
            self.read(&mut byte)?;
            line.extend(byte);
        }
        if !line.starts_with(b"OK ") {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.write(b"BEGIN\r\n")
    }

    /// Sends a call, and waits for what answers it.
    pub(super) fn exchange(&mut self, call: Message) -> io::Result<Message> {
        let serial = self.send(call)?;
        loop {
            let message = self.receive()?;
            let is_answer = match message.kind {
                Kind::Return | Kind::Error => message.reply_to == Some(serial),
                // These come unasked.
                Kind::Call | Kind::Signal => false,
            };
            if is_answer {
                return Ok(message);
            }
        }
    }

    /// Numbers a message and sends it.
    pub(super) fn send(&mut self, mut message: Message) -> io::Result<u32> {
        self.serial += 1;
        message.serial = self.serial;
        self.write(&message.encode())?;
        Ok(self.serial)
    }

    pub(super) fn receive(&mut self) -> io::Result<Message> {
        let mut bytes = vec![0; Message::FIXED];
        self.read(&mut bytes)?;
        let length = Message::length(&bytes).filter(|&length| length <= LARGEST);
        bytes.resize(length.ok_or_else(|| invalid("a message of no sensible length"))?, 0);
        self.read(&mut bytes[Message::FIXED..])?;
        Message::decode(&bytes).ok_or_else(|| invalid("a message that is not understood"))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write_all(bytes)
    }

    fn read(&mut self, mut bytes: &mut [u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.stream.set_read_timeout(Some(self.left()?))?;
            match self.stream.read(bytes) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => bytes = &mut bytes[n..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl AsFd for Bus {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Connects, and does not wait for ever where too many others are waiting.
fn dial(path: &Path) -> nix::Result<UnixStream> {
    let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::SendTimeout, &TimeVal::seconds(PATIENCE.as_secs().cast_signed()))?;
    connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(UnixStream::from(socket))
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// The error of an answer that is not what the method returns.
pub(super) fn misread(method: &str) -> Error {
    Error::new(Code::Unreachable, format!("understand the answer to {method}"))
        .because("it is of another type")
}

fn broken(what: &str, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            Error::new(Code::Timeout, what).because(format!("no answer for {PATIENCE:?}"))
        }
        io::ErrorKind::PermissionDenied => Error::new(Code::Denied, what).because(error).fix("run as root"),
        _ => Error::new(Code::Unreachable, what).because(error),
    }
}
