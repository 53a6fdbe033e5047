//! A server elsewhere: what it does with a query is the test's to say.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use crate::message::Transport;

/// What came, and what was said to it.
pub(super) struct Stub {
    pub(super) address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    queries: Mutex<Vec<(Transport, Vec<u8>)>>,
    changed: Condvar,
}

type Does = dyn Fn(&[u8], Transport) -> Option<Vec<u8>> + Send + Sync;

impl Stub {
    /// Says what `does` says; nothing, if that is None.
    pub(super) fn new(does: impl Fn(&[u8], Transport) -> Option<Vec<u8>> + Send + Sync + 'static) -> Stub {
        let does: Arc<Does> = Arc::new(does);
        let (udp, tcp) = pair();
        let address = udp.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let by_udp = (does.clone(), seen.clone());
        // Both end with the process: nothing of theirs is waited for.
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = udp.recv_from(&mut buffer) {
                by_udp.1.note(Transport::Udp, &buffer[..length]);
                if let Some(reply) = by_udp.0(&buffer[..length], Transport::Udp) {
                    // A resolver that has let go of its socket does not want it any more.
                    drop(udp.send_to(&reply, from));
                }
            }
        });
        let by_tcp = seen.clone();
        thread::spawn(move || {
            while let Ok((stream, _)) = tcp.accept() {
                let (does, seen) = (does.clone(), by_tcp.clone());
                thread::spawn(move || serve(stream, &*does, &seen));
            }
        });
        Stub { address, seen }
    }

    pub(super) fn answering() -> Stub {
        Stub::new(|query, _| Some(answer(query)))
    }

    pub(super) fn silent() -> Stub {
        Stub::new(|_, _| None)
    }

    /// How many came by that way.
    pub(super) fn count(&self, over: Transport) -> usize {
        self.seen.queries.lock().unwrap().iter().filter(|(by, _)| *by == over).count()
    }

    pub(super) fn queries(&self) -> Vec<Vec<u8>> {
        self.seen.queries.lock().unwrap().iter().map(|(_, query)| query.clone()).collect()
    }

    /// Waits until so many have come.
    pub(super) fn wait(&self, count: usize) {
        let queries = self.seen.queries.lock().unwrap();
        let few = |queries: &mut Vec<_>| queries.len() < count;
        let (queries, late) = self.seen.changed.wait_timeout_while(queries, super::LONG, few).unwrap();
        assert!(!late.timed_out(), "{} of {count} queries came", queries.len());
    }
}

impl Seen {
    fn note(&self, over: Transport, query: &[u8]) {
        self.queries.lock().unwrap().push((over, query.to_vec()));
        self.changed.notify_all();
    }
}

/// The same port for both, as a server has it.
fn pair() -> (UdpSocket, TcpListener) {
    for _ in 0..64 {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
            return (udp, tcp);
        }
    }
    panic!("no port is free for both");
}

fn serve(mut stream: TcpStream, does: &Does, seen: &Seen) {
    let mut length = [0; 2];
    while stream.read_exact(&mut length).is_ok() {
        let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
        if stream.read_exact(&mut query).is_err() {
            return;
        }
        seen.note(Transport::Tcp, &query);
        if let Some(reply) = does(&query, Transport::Tcp) {
            let mut framed = (reply.len() as u16).to_be_bytes().to_vec();
            framed.extend(reply);
            if stream.write_all(&framed).is_err() {
                return;
            }
        }
    }
}

/// 192.0.2.1, for a minute.
pub(in crate::serve) fn answer(query: &[u8]) -> Vec<u8> {
    let mut reply = query.to_vec();
    reply[2] = 0x81;
    reply[3] = 0x80;
    reply[7] = 1;
    reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
    reply
}

pub(super) fn rcode(query: &[u8], code: u8) -> Vec<u8> {
    let mut reply = query.to_vec();
    reply[2] = 0x81;
    reply[3] = 0x80 | code;
    reply
}
