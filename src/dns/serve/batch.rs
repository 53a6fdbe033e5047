//! A handful of datagrams received by one call and answered by one call, in room that is used again and again.

use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};

/// How many datagrams one turn takes. Measured: with more the average wait grows, with fewer the calls weigh.
pub(super) const DATAGRAMS: usize = 8;

/// No query is longer; a longer one is cut, and told so.
pub(super) const QUERY: usize = 4096;

pub(super) struct Batch {
    from: MultiHeaders<SockaddrIn>,
    to: MultiHeaders<SockaddrIn>,
    queries: Box<[[u8; QUERY]; DATAGRAMS]>,
    received: [Received; DATAGRAMS],
    replies: [Vec<u8>; DATAGRAMS],
    targets: [Option<SockaddrIn>; DATAGRAMS],
    ready: usize,
}

/// What is known of a datagram beside its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Received {
    pub(super) length: usize,
    pub(super) from: SocketAddrV4,
    pub(super) cut: bool,
}

const NOBODY: SocketAddrV4 = SocketAddrV4::new(std::net::Ipv4Addr::UNSPECIFIED, 0);

impl Batch {
    pub(super) fn new() -> Batch {
        Batch {
            from: MultiHeaders::preallocate(DATAGRAMS, None),
            to: MultiHeaders::preallocate(DATAGRAMS, None),
            queries: Box::new([[0; QUERY]; DATAGRAMS]),
            received: [Received { length: 0, from: NOBODY, cut: false }; DATAGRAMS],
            replies: std::array::from_fn(|_| Vec::with_capacity(QUERY)),
            targets: [None; DATAGRAMS],
            ready: 0,
        }
    }

    /// Takes what waits, at most a handful; how many there are. Replies of the last handful are forgotten.
    pub(super) fn receive(&mut self, socket: &UdpSocket) -> Result<usize, Errno> {
        self.ready = 0;
        let mut slices = self.queries.each_mut().map(|query| [IoSliceMut::new(query)]);
        let results =
            recvmmsg(socket.as_raw_fd(), &mut self.from, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?;
        let mut count = 0;
        for (result, received) in results.zip(&mut self.received) {
            *received = Received {
                length: result.bytes.min(QUERY),
                from: result.address.map_or(NOBODY, SocketAddrV4::from),
                cut: result.flags.contains(MsgFlags::MSG_TRUNC),
            };
            count += 1;
        }
        Ok(count)
    }

    /// The datagram of that number, and the room for a reply to it.
    pub(super) fn one(&mut self, index: usize) -> (Received, &[u8], &mut Vec<u8>) {
        let received = self.received[index];
        (received, &self.queries[index][..received.length], &mut self.replies[self.ready])
    }

    pub(super) fn query(&self, index: usize) -> &[u8] {
        &self.queries[index][..self.received[index].length]
    }

    /// Those that wait to be sent, in their order.
    pub(super) fn replies(&self) -> &[Vec<u8>] {
        &self.replies[..self.ready]
    }

    /// What lies in the room for a reply is one, and goes to there.
    pub(super) fn reply(&mut self, to: SocketAddrV4) {
        self.targets[self.ready] = Some(SockaddrIn::from(to));
        self.ready += 1;
    }

    /// Sends all replies. One that the kernel does not take is dropped, and its asker asks again; how many those were.
    pub(super) fn send(&mut self, socket: &UdpSocket) -> usize {
        let slices = self.replies.each_ref().map(|reply| [IoSlice::new(reply)]);
        let mut sent = 0;
        let mut dropped = 0;
        while sent < self.ready {
            let result = sendmmsg(
                socket.as_raw_fd(),
                &mut self.to,
                &slices[sent..self.ready],
                &self.targets[sent..self.ready],
                [],
                MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL,
            )
            .map(Iterator::count);
            match result {
                Ok(count) if count > 0 => sent += count,
                Err(Errno::EINTR) => {}
                // Its receiver has no room, is gone, or a rule of the container's forbids it.
                Ok(_) | Err(_) => {
                    sent += 1;
                    dropped += 1;
                }
            }
        }
        self.ready = 0;
        dropped
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ear() -> (UdpSocket, SocketAddrV4) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let std::net::SocketAddr::V4(address) = socket.local_addr().unwrap() else { panic!("not IPv4") };
        (socket, address)
    }

    #[test]
    fn what_was_received_is_answered_to_who_sent_it() {
        let (ear, address) = ear();
        let (client, client_address) = self::ear();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        for text in ["one", "two", "three"] {
            client.send_to(text.as_bytes(), address).unwrap();
        }
        let mut batch = Batch::new();
        assert_eq!(batch.receive(&ear), Ok(3));
        for index in 0..3 {
            let (received, query, room) = batch.one(index);
            assert_eq!((received.from, received.cut), (client_address, false));
            room.clear();
            room.extend(query.iter().rev());
            batch.reply(received.from);
        }
        assert_eq!(batch.send(&ear), 0);
        let mut buffer = [0; 16];
        for text in ["eno", "owt", "eerht"] {
            let length = client.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], text.as_bytes());
        }
        assert_eq!(batch.receive(&ear), Err(Errno::EAGAIN));
    }

    #[test]
    fn a_long_datagram_is_told_to_be_cut() {
        let (ear, address) = ear();
        let (client, _) = self::ear();
        client.send_to(&[1; QUERY + 1], address).unwrap();
        client.send_to(&[2; QUERY], address).unwrap();
        let mut batch = Batch::new();
        assert_eq!(batch.receive(&ear), Ok(2));
        assert_eq!([batch.one(0).0.cut, batch.one(1).0.cut], [true, false]);
        assert_eq!(batch.one(0).1.len(), QUERY);
    }

    #[test]
    fn a_reply_that_cannot_be_sent_does_not_keep_the_others() {
        let (ear, address) = ear();
        let (client, client_address) = self::ear();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        for _ in 0..3 {
            client.send_to(b"q", address).unwrap();
        }
        let mut batch = Batch::new();
        assert_eq!(batch.receive(&ear), Ok(3));
        // Port 0 is refused by the kernel with EINVAL.
        let nowhere = SocketAddrV4::new(*client_address.ip(), 0);
        for (text, to) in [("a", client_address), ("b", nowhere), ("c", client_address)] {
            let (_, _, room) = batch.one(0);
            room.clear();
            room.extend(text.as_bytes());
            batch.reply(to);
        }
        assert_eq!(batch.send(&ear), 1);
        let mut buffer = [0; 16];
        for text in ["a", "c"] {
            let length = client.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], text.as_bytes());
        }
    }
}
