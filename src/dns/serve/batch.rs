//! A handful of datagrams received by one call and answered by few, in room that is used again and again.

use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg, sendmsg};

use super::train::{self, Car};

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
    /// Where each reply goes.
    cars: Vec<Car>,
    /// Those that do not go together with others.
    alone: Vec<Car>,
}

/// What is known of a datagram beside its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Received {
    pub(super) length: usize,
    pub(super) from: SocketAddrV4,
    pub(super) cut: bool,
}

const AT_ONCE: MsgFlags = MsgFlags::MSG_DONTWAIT.union(MsgFlags::MSG_NOSIGNAL);

const NOBODY: SocketAddrV4 = SocketAddrV4::new(std::net::Ipv4Addr::UNSPECIFIED, 0);

impl Batch {
    pub(super) fn new() -> Batch {
        Batch {
            from: MultiHeaders::preallocate(DATAGRAMS, None),
            to: MultiHeaders::preallocate(DATAGRAMS, None),
            queries: Box::new([[0; QUERY]; DATAGRAMS]),
            received: [Received { length: 0, from: NOBODY, cut: false }; DATAGRAMS],
            replies: std::array::from_fn(|_| Vec::with_capacity(QUERY)),
            cars: Vec::with_capacity(DATAGRAMS),
            alone: Vec::with_capacity(DATAGRAMS),
        }
    }

    /// Takes what waits, at most a handful; how many there are. Replies of the last handful are forgotten.
    pub(super) fn receive(&mut self, socket: &UdpSocket) -> Result<usize, Errno> {
        self.cars.clear();
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
        (received, &self.queries[index][..received.length], &mut self.replies[self.cars.len()])
    }

    pub(super) fn query(&self, index: usize) -> &[u8] {
        &self.queries[index][..self.received[index].length]
    }

    /// Those that wait to be sent, in their order.
    pub(super) fn replies(&self) -> &[Vec<u8>] {
        &self.replies[..self.cars.len()]
    }

    /// What lies in the room for a reply is one, and goes to there.
    pub(super) fn reply(&mut self, to: SocketAddrV4) {
        let number = self.cars.len();
        self.cars.push(Car { to, length: self.replies[number].len(), number });
    }

    /// Sends all replies. One that the kernel does not take is dropped, and its asker asks again; how many those were.
    pub(super) fn send(&mut self, socket: &UdpSocket) -> usize {
        let (replies, alone) = (&self.replies, &mut self.alone);
        alone.clear();
        train::each(&mut self.cars, |train| {
            // One that is refused may be longer than the loopback's packets, or the way is one that cannot cut it apart.
            if train.len() == 1 || send_train(socket, train, replies).is_err() {
                alone.extend(train);
            }
        });
        self.cars.clear();
        self.send_alone(socket)
    }

    fn send_alone(&mut self, socket: &UdpSocket) -> usize {
        let bytes = |at: usize| self.alone.get(at).map_or(&[][..], |car| &self.replies[car.number]);
        let slices: [_; DATAGRAMS] = std::array::from_fn(|at| [IoSlice::new(bytes(at))]);
        let targets: [_; DATAGRAMS] =
            std::array::from_fn(|at| self.alone.get(at).map(|car| SockaddrIn::from(car.to)));
        let ready = self.alone.len();
        let mut sent = 0;
        let mut dropped = 0;
        while sent < ready {
            let result = sendmmsg(
                socket.as_raw_fd(),
                &mut self.to,
                &slices[sent..ready],
                &targets[sent..ready],
                [],
                AT_ONCE,
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
        dropped
    }
}

/// All of it, or nothing.
fn send_train(socket: &UdpSocket, train: &[Car], replies: &[Vec<u8>; DATAGRAMS]) -> nix::Result<()> {
    let mut slices = [IoSlice::new(&[]); DATAGRAMS];
    for (slice, car) in slices.iter_mut().zip(train) {
        *slice = IoSlice::new(&replies[car.number]);
    }
    let to = SockaddrIn::from(train[0].to);
    let each = u16::try_from(train[0].length).map_err(|_| Errno::EMSGSIZE)?;
    let cut = [ControlMessage::UdpGsoSegments(&each)];
    sendmsg(socket.as_raw_fd(), &slices[..train.len()], &cut, AT_ONCE, Some(&to)).map(drop)
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
        for text in ["one", "two", "six"] {
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
        for text in ["eno", "owt", "xis"] {
            let length = client.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], text.as_bytes());
        }
        assert_eq!(batch.receive(&ear), Err(Errno::EAGAIN));
    }

    #[test]
    fn replies_that_travel_together_arrive_each_for_itself() {
        let (ear, address) = ear();
        let clients = [self::ear(), self::ear()];
        for (client, _) in &clients {
            client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        }
        for _ in 0..7 {
            clients[0].0.send_to(b"q", address).unwrap();
        }
        let mut batch = Batch::new();
        assert_eq!(batch.receive(&ear), Ok(7));
        let texts = [("a", 0), ("long1", 0), ("other", 1), ("long2", 0), ("bc", 1), ("longer", 0), ("bd", 0)];
        for (text, client) in texts {
            let (_, _, room) = batch.one(0);
            room.clear();
            room.extend(text.as_bytes());
            batch.reply(clients[client].1);
        }
        assert_eq!(batch.send(&ear), 0);
        for (number, (client, _)) in clients.iter().enumerate() {
            let mut wanted: Vec<&str> =
                texts.iter().filter(|(_, to)| *to == number).map(|(text, _)| *text).collect();
            let mut buffer = [0; 64];
            let mut came: Vec<String> = Vec::new();
            for _ in 0..wanted.len() {
                let (length, from) = client.recv_from(&mut buffer).unwrap();
                assert_eq!(from, address.into());
                came.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
            }
            wanted.sort_unstable();
            came.sort_unstable();
            assert_eq!(came, wanted);
        }
    }

    #[test]
    fn replies_that_may_not_travel_together_arrive_all_the_same() {
        /// One is a datagram, two are more than any may be.
        const LENGTH: usize = 40_000;
        let (ear, _) = ear();
        let (client, client_address) = self::ear();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut batch = Batch::new();
        for byte in [1, 2] {
            let (_, _, room) = batch.one(0);
            room.clear();
            room.resize(LENGTH, byte);
            batch.reply(client_address);
        }
        assert_eq!(send_train(&ear, &batch.cars, &batch.replies), Err(Errno::EMSGSIZE));
        assert_eq!(batch.send(&ear), 0);
        let mut buffer = vec![0; LENGTH + 1];
        for byte in [1, 2] {
            assert_eq!(client.recv(&mut buffer).unwrap(), LENGTH);
            assert!(buffer[..LENGTH].iter().all(|one| *one == byte));
        }
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
