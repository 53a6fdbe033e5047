//! Just enough of DNS (RFC 1035) to ask for an address and to know whether it was answered.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use bowline_core::{Code, Error, Result};
use bowline_linux::netns;

pub(super) const PORT: u16 = 53;

/// How long a server may take until it serves.
const PATIENCE: Duration = Duration::from_secs(15);

const HEADER: usize = 12;
const TYPE_A: u16 = 1;

/// A query for the IPv4 addresses of a name, which is one of ours and so fits.
pub(super) fn query(id: u16, name: &str) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    // Recursion desired; one question.
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).expect("a label of ours is short"));
        bytes.extend(label.as_bytes());
    }
    bytes.extend([0, 0, 1, 0, 1]);
    bytes
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) id: u16,
    pub(super) code: u8,
    pub(super) addresses: Vec<Ipv4Addr>,
}

impl Reply {
    /// None for what is no reply, or one that is cut short.
    pub(super) fn read(bytes: &[u8]) -> Option<Reply> {
        let header = bytes.get(..HEADER)?;
        let (is_reply, code) = (header[2] & 0x80 != 0, header[3] & 0x0f);
        let [questions, answers] = [4, 6].map(|at| u16::from_be_bytes([header[at], header[at + 1]]));
        let mut at = HEADER;
        for _ in 0..questions {
            at = after_name(bytes, at)? + 4;
        }
        let mut addresses = Vec::new();
        for _ in 0..answers {
            at = after_name(bytes, at)?;
            let fixed = bytes.get(at..at + 10)?;
            let kind = u16::from_be_bytes([fixed[0], fixed[1]]);
            let length = usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
            let data = bytes.get(at + 10..at + 10 + length)?;
            if kind == TYPE_A {
                addresses.push(<[u8; 4]>::try_from(data).ok()?.into());
            }
            at += 10 + length;
        }
        is_reply.then_some(Reply { id: u16::from_be_bytes([header[0], header[1]]), code, addresses })
    }

    pub(super) fn is_good(&self) -> bool {
        self.code == 0 && !self.addresses.is_empty()
    }
}

fn after_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            // A pointer ends a name.
            pointer if pointer >= 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

/// A socket of a namespace that speaks with one server. It is made inside and used from here.
pub(super) fn socket(inside: &OwnedFd, server: IpAddr) -> Result<UdpSocket> {
    let made = netns::run(inside, move || {
        let socket = UdpSocket::bind(("0.0.0.0", 0))?;
        socket.connect(SocketAddr::new(server, PORT))?;
        Ok::<_, std::io::Error>(socket)
    })?;
    made.map_err(|e| Error::new(Code::Internal, format!("make a socket towards {server}")).because(e))
}

/// Waits until a server answers a name, and with what it must. Before anything is counted, so that no fast refusal is.
pub(super) fn expect(inside: &OwnedFd, server: IpAddr, name: &str, address: Ipv4Addr) -> Result<()> {
    const EACH: Duration = Duration::from_millis(250);
    let what = || format!("ask {server} for {name}");
    let failed = |e: std::io::Error| Error::new(Code::Internal, what()).because(e);
    let socket = socket(inside, server)?;
    socket.set_read_timeout(Some(EACH)).map_err(failed)?;
    let begun = Instant::now();
    let mut last = "nothing was answered".to_string();
    let mut buffer = [0; 1500];
    for id in 1.. {
        if begun.elapsed() > PATIENCE {
            return Err(Error::new(Code::Timeout, what()).because(format!("{last}; {address} was expected")));
        }
        let outcome = socket.send(&query(id, name)).and_then(|_| socket.recv(&mut buffer));
        match outcome.map(|length| Reply::read(&buffer[..length])) {
            // To this question or to an earlier one, which was for the same.
            Ok(Some(reply)) if reply.id <= id && reply.code == 0 && reply.addresses == [address] => {
                return Ok(());
            }
            Ok(reply) => {
                last = format!("the answer was {reply:?}");
                std::thread::sleep(Duration::from_millis(5));
            }
            // Nobody is there yet.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                last = error.to_string();
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => (),
            Err(error) => return Err(failed(error)),
        }
    }
    Err(Error::new(Code::Timeout, what()).because(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reply to `query(7, "web.front")` with one address.
    fn answered() -> Vec<u8> {
        let mut bytes = query(7, "web.front");
        (bytes[2], bytes[3], bytes[7]) = (0x85, 0x80, 1);
        bytes.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 9, 0, 2]);
        bytes
    }

    #[test]
    fn a_query_is_as_the_rfc_has_it() {
        assert_eq!(
            query(0x1234, "web.f"),
            b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03web\x01f\x00\x00\x01\x00\x01"
        );
    }

    #[test]
    fn a_reply_is_read_and_a_query_is_none() {
        let reply = Reply::read(&answered()).unwrap();
        assert_eq!(reply, Reply { id: 7, code: 0, addresses: vec![Ipv4Addr::new(10, 9, 0, 2)] });
        assert!(reply.is_good());
        assert_eq!(Reply::read(&query(7, "web.front")), None);
    }

    #[test]
    fn a_reply_without_an_address_is_not_good() {
        let mut refused = query(7, "web");
        (refused[2], refused[3]) = (0x81, 0x85);
        assert!(!Reply::read(&refused).unwrap().is_good());
        refused[3] = 0x80;
        assert!(!Reply::read(&refused).unwrap().is_good());
    }

    #[test]
    fn a_reply_cut_anywhere_is_none() {
        let whole = answered();
        for length in 0..whole.len() {
            assert_eq!(Reply::read(&whole[..length]), None, "{length} bytes");
        }
    }
}
