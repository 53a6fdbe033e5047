//! One query on its way to servers: the questions asked for it, and who waits for the answer.
//!
//! ```text
//! ask -> a question by UDP -> a reply that matches: done          -> everybody who waits is answered
//!          |                  one that cannot    : the next server
//!          |                  one that does not  : the same server by TCP
//!          '- silence: the next server too, until nobody is left
//! ```

use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Instant, SystemTime};

use crate::log::{From, Line};
use crate::message::Transport;
use crate::upstream::Race;

use super::client::Permit;
use super::slab::Key;
use super::slate::Note;
use super::source::Group;
use super::stream::{self, Next, Stream};

#[derive(Debug)]
pub(super) struct Flight {
    pub(super) group: Arc<Group>,
    /// As it was asked; the id is that of the question asked last.
    pub(super) query: Vec<u8>,
    pub(super) how: How,
    /// Under which it is found by others who ask the same.
    pub(super) alike: u64,
    pub(super) race: Race,
    pub(super) questions: Vec<Option<Question>>,
    /// Those of them that are to be asked once their sockets are made.
    pub(super) coming: Vec<Coming>,
    pub(super) waiting: Vec<Waiter>,
    /// It was answered, and only waits for what other servers do.
    pub(super) lingers: bool,
    /// What a server said that cannot answer, and who: passed on if nobody can.
    pub(super) worst: Option<(Vec<u8>, From)>,
}

/// How servers are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum How {
    /// By UDP, and a cut answer is passed on: the client comes back by TCP.
    Udp,
    Tcp,
    /// By UDP, and by TCP if the answer was cut: the daemon itself asks, and does not come back.
    Whole,
}

impl How {
    /// What is tried first.
    pub(super) fn first(self) -> Transport {
        match self {
            How::Udp | How::Whole => Transport::Udp,
            How::Tcp => Transport::Tcp,
        }
    }
}

/// Who waits for an answer.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) permit: Permit,
    pub(super) to: Destination,
    pub(super) id: [u8; 2],
    pub(super) began: Instant,
    pub(super) at: SystemTime,
}

#[derive(Debug)]
pub(super) enum Destination {
    Datagram {
        ear: Key,
        to: SocketAddrV4,
        /// That it is owed, in case we do not live to answer it. Of a connection we are the other end, and it ends with us.
        note: Option<Note>,
    },
    Connection(Key),
    Caller(Sender<Option<(Vec<u8>, Line)>>),
}

impl Destination {
    pub(super) fn over(&self) -> Transport {
        match self {
            Destination::Datagram { .. } => Transport::Udp,
            Destination::Connection(_) | Destination::Caller(_) => Transport::Tcp,
        }
    }
}

/// A question that waits for its socket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Coming {
    pub(super) part: u8,
    pub(super) server: usize,
    pub(super) by: Transport,
}

/// What was asked of one server.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) server: usize,
    pub(super) id: [u8; 2],
    pub(super) socket: Socket,
}

#[derive(Debug)]
pub(super) enum Socket {
    Udp(UdpSocket),
    Tcp { stream: TcpStream, framed: Vec<u8>, written: usize, inbound: Stream },
}

/// What a socket has for us.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Nothing,
    /// So many bytes at the beginning of the buffer.
    Reply(usize),
    /// All is written: it is waited for the answer from now on.
    Written,
}

impl Question {
    /// Asks by UDP. The socket is connected: only that server's datagrams arrive.
    pub(super) fn by_udp(socket: OwnedFd, server: usize, id: [u8; 2], query: &[u8]) -> io::Result<Question> {
        let socket = UdpSocket::from(socket);
        match socket.send(query) {
            // No room to send is as a datagram lost: the next server is asked in a while.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            sent => drop(sent?),
        }
        Ok(Question { server, id, socket: Socket::Udp(socket) })
    }

    /// Asks by TCP, as soon as it is connected.
    pub(super) fn by_tcp(socket: OwnedFd, server: usize, id: [u8; 2], query: &[u8]) -> Question {
        let mut framed = Vec::with_capacity(query.len() + 2);
        stream::frame(query, &mut framed);
        let socket =
            Socket::Tcp { stream: TcpStream::from(socket), framed, written: 0, inbound: Stream::default() };
        Question { server, id, socket }
    }

    /// Whether its server has not been told all of it yet.
    pub(super) fn is_unsent(&self) -> bool {
        match &self.socket {
            Socket::Udp(_) => false,
            Socket::Tcp { framed, written, .. } => *written < framed.len(),
        }
    }

    pub(super) fn over(&self) -> Transport {
        match self.socket {
            Socket::Udp(_) => Transport::Udp,
            Socket::Tcp { .. } => Transport::Tcp,
        }
    }

    /// What to do about an event. An error ends the question.
    pub(super) fn event(&mut self, writable: bool, buffer: &mut [u8]) -> io::Result<Heard> {
        match &mut self.socket {
            Socket::Udp(socket) => match socket.recv(buffer) {
                Ok(length) => Ok(Heard::Reply(length)),
                Err(error) if is_later(&error) => Ok(Heard::Nothing),
                Err(error) => Err(error),
            },
            Socket::Tcp { stream, framed, written, inbound } => {
                if *written < framed.len() {
                    return if writable { write(stream, framed, written) } else { failed(stream) };
                }
                read(stream, inbound, buffer)
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Udp(socket) => socket.as_fd(),
            Socket::Tcp { stream, .. } => stream.as_fd(),
        }
    }
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn failed(stream: &TcpStream) -> io::Result<Heard> {
    Err(stream.take_error()?.unwrap_or_else(|| io::ErrorKind::ConnectionReset.into()))
}

fn write(stream: &mut TcpStream, framed: &mut Vec<u8>, written: &mut usize) -> io::Result<Heard> {
    match stream.write(&framed[*written..]) {
        Ok(count) => *written += count,
        Err(error) if is_later(&error) => {}
        Err(error) => return Err(error),
    }
    if *written < framed.len() {
        return Ok(Heard::Nothing);
    }
    // The answer may take its time; nothing is kept for it but what comes.
    (*framed, *written) = (Vec::new(), 0);
    Ok(Heard::Written)
}

fn read(stream: &mut TcpStream, inbound: &mut Stream, buffer: &mut [u8]) -> io::Result<Heard> {
    match stream.read(buffer) {
        Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(count) => inbound.push(&buffer[..count]),
        Err(error) if is_later(&error) => return Ok(Heard::Nothing),
        Err(error) => return Err(error),
    }
    match inbound.take() {
        Next::Message(message) => {
            buffer[..message.len()].copy_from_slice(message);
            Ok(Heard::Reply(message.len()))
        }
        Next::More => Ok(Heard::Nothing),
        Next::Broken => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_query_that_is_written_is_not_kept() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        stream.set_nonblocking(true).unwrap();
        let mut question = Question::by_tcp(stream.into(), 0, [1, 2], &[7; 4096]);
        assert!(question.is_unsent());
        let mut buffer = [0; 64];
        assert_eq!(question.event(true, &mut buffer).unwrap(), Heard::Written);
        assert!(!question.is_unsent());
        let Socket::Tcp { stream, framed, .. } = &question.socket else { panic!("asked by TCP") };
        assert_eq!(framed.capacity(), 0);
        let reader = stream.try_clone().unwrap();
        assert_eq!(question.event(true, &mut buffer).unwrap(), Heard::Nothing);
        let (mut server, _) = listener.accept().unwrap();
        let mut came = [0; 4098];
        server.read_exact(&mut came).unwrap();
        assert_eq!((&came[..2], &came[2..]), (&[16, 0][..], &[7; 4096][..]));
        server.write_all(&[0, 3, 1, 2, 3]).unwrap();
        reader.set_nonblocking(false).unwrap();
        assert_eq!(question.event(false, &mut buffer).unwrap(), Heard::Reply(3));
        assert_eq!(buffer[..3], [1, 2, 3]);
    }
}
