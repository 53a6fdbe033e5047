//! A service at sockets of the test's own process, clients of it, and ways to look at both.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bowline_core::name::{Id, Name};
use bowline_core::place::Place;
use bowline_core::port::Protocol;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, connect, socket};

use crate::asker::{Asker, Elsewhere, View};
use crate::serve::{Dial, Ears, Options, Service};
use crate::zone::{Entry, Zone};

/// Nothing that works takes so long on any machine.
pub(super) const LONG: Duration = Duration::from_secs(20);

pub(in crate::serve) const HOST: Place = Place(1);

/// Dials from the namespace of the test.
#[derive(Default)]
pub(in crate::serve) struct Dialer {
    pub(in crate::serve) dialled: Mutex<Vec<(Place, u64)>>,
    /// Who dials this trips over a mistake of ours.
    pub(super) trap: Mutex<Option<SocketAddr>>,
    /// Who dials this waits until it is something else.
    held: Mutex<Option<SocketAddr>>,
    freed: Condvar,
    /// For whom there is no file left.
    pub(in crate::serve) fault: Mutex<Option<SocketAddr>>,
}

impl Dial for Dialer {
    fn dial(&self, place: Place, protocol: Protocol, to: SocketAddr) -> io::Result<OwnedFd> {
        assert_ne!(*self.trap.lock().unwrap_or_else(PoisonError::into_inner), Some(to), "a trap");
        if *self.fault.lock().unwrap() == Some(to) {
            return Err(nix::errno::Errno::EMFILE.into());
        }
        let kind = if protocol == Protocol::Udp { SockType::Datagram } else { SockType::Stream };
        let fd = socket(AddressFamily::Inet, kind, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, None)?;
        self.dialled.lock().unwrap().push((place, inode(&fd)));
        let held = self.held.lock().unwrap();
        drop(self.freed.wait_while(held, |held| *held == Some(to)).unwrap());
        match connect(std::os::fd::AsRawFd::as_raw_fd(&fd), &SockaddrStorage::from(to)) {
            Ok(()) | Err(nix::errno::Errno::EINPROGRESS) => Ok(fd),
            Err(error) => Err(error.into()),
        }
    }
}

/// Dropped, it lets go of whoever dials.
pub(super) struct Held<'a>(&'a Dialer);

impl Dialer {
    pub(super) fn hold(&self, to: SocketAddr) -> Held<'_> {
        *self.held.lock().unwrap() = Some(to);
        Held(self)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        *self.0.held.lock().unwrap() = None;
        self.0.freed.notify_all();
    }
}

pub(super) struct Rig {
    pub(super) service: Service,
    pub(super) dialer: Arc<Dialer>,
    next: AtomicU64,
}

/// One namespace that is answered, as its processes see it.
pub(super) struct Container {
    pub(super) asker: Arc<Asker>,
    pub(super) udp: SocketAddr,
    pub(super) tcp: SocketAddr,
    /// The inodes of the service's sockets here.
    pub(super) sockets: [u64; 2],
}

impl Rig {
    pub(super) fn new(threads: usize, servers: &[SocketAddr]) -> Rig {
        Rig::with(threads, servers, None)
    }

    /// One that has that slate.
    pub(super) fn with(threads: usize, servers: &[SocketAddr], slate: Option<PathBuf>) -> Rig {
        let dialer = Arc::new(Dialer::default());
        let options = Options { threads, cache_bytes: 1 << 20, slate };
        let service = Service::start(options, dialer.clone()).unwrap();
        service.set_servers(servers.to_vec());
        Rig { service, dialer, next: AtomicU64::new(10) }
    }

    /// A container that sees `db` at 10.9.0.2, and all else by that way.
    pub(super) fn container(&self, elsewhere: Elsewhere) -> Container {
        let place = Place(self.next.fetch_add(1, Ordering::Relaxed));
        self.at(Arc::new(Asker::new(place, view(elsewhere))))
    }

    pub(super) fn at(&self, asker: Arc<Asker>) -> Container {
        let (ears, container) = ears(asker.clone());
        self.service.open(asker, ears).unwrap();
        container
    }
}

pub(super) fn ears(asker: Arc<Asker>) -> (Ears, Container) {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    udp.set_nonblocking(true).unwrap();
    tcp.set_nonblocking(true).unwrap();
    let container = Container {
        asker,
        udp: udp.local_addr().unwrap(),
        tcp: tcp.local_addr().unwrap(),
        sockets: [inode(&udp), inode(&tcp)],
    };
    (Ears { udp, tcp }, container)
}

pub(in crate::serve) fn view(elsewhere: Elsewhere) -> View {
    let zone = Zone::new("front".parse::<Name>().unwrap(), vec!["10.9.0.0/24".parse().unwrap()]);
    let entry = Entry {
        names: vec!["db".into()],
        addresses: vec!["10.9.0.2".parse().unwrap()],
        services: Vec::new(),
    };
    zone.put(Id(1), entry);
    View { endpoint: "web".into(), zones: vec![Arc::new(zone)], links: Vec::new(), elsewhere, ttl: 5 }
}

impl Container {
    pub(super) fn client(&self) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(self.udp).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        socket
    }

    pub(super) fn stream(&self) -> TcpStream {
        let stream = TcpStream::connect(self.tcp).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream
    }

    /// Asks by UDP, and waits.
    pub(super) fn ask(&self, name: &str) -> Vec<u8> {
        let (client, query) = (self.client(), query(name));
        client.send(&query).unwrap();
        let reply = receive(&client);
        assert_eq!(reply[..2], query[..2], "the id of another query");
        reply
    }
}

/// For an A record, with an id that no other query of the process has.
pub(in crate::serve) fn query(name: &str) -> Vec<u8> {
    static ID: AtomicU32 = AtomicU32::new(1);
    let id = ID.fetch_add(1, Ordering::Relaxed) as u16;
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.extend([0, 0, 1, 0, 1]);
    bytes
}

pub(super) fn receive(client: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 4096];
    let length = client.recv(&mut buffer).expect("an answer");
    buffer[..length].to_vec()
}

pub(super) fn send(stream: &mut TcpStream, message: &[u8]) {
    let mut framed = (message.len() as u16).to_be_bytes().to_vec();
    framed.extend(message);
    stream.write_all(&framed).unwrap();
}

/// The next message, or None at the end of the stream.
pub(super) fn next(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    match stream.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("neither a message nor the end"),
        Err(_) => return None,
    }
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).unwrap();
    Some(message)
}

/// The last address in a reply with one.
pub(super) fn address(reply: &[u8]) -> [u8; 4] {
    assert_eq!((code(reply), reply[7]), (0, 1), "no reply with one address: {reply:?}");
    reply[reply.len() - 4..].try_into().unwrap()
}

pub(super) fn code(reply: &[u8]) -> u8 {
    assert!(reply[2] & 0x80 != 0, "no reply: {reply:?}");
    reply[3] & 15
}

pub(super) const DB: [u8; 4] = [10, 9, 0, 2];
pub(super) const OUTSIDE: [u8; 4] = [192, 0, 2, 1];
pub(super) const SERVFAIL: u8 = 2;
pub(super) const NXDOMAIN: u8 = 3;

fn inode(socket: &impl AsFd) -> u64 {
    let file = std::fs::File::from(socket.as_fd().try_clone_to_owned().unwrap());
    file.metadata().unwrap().ino()
}

/// Whether this process has that socket open.
pub(in crate::serve) fn is_open(inode: u64) -> bool {
    let wanted = format!("socket:[{inode}]");
    std::fs::read_dir("/proc/self/fd")
        .unwrap()
        // A file that was closed since the list was made is not open.
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .any(|target| target.as_os_str() == wanted.as_str())
}

/// Whether any epoll of this process waits for that socket.
pub(super) fn is_waited_for(inode: u64) -> bool {
    let wanted = format!(" ino:{inode:x} ");
    std::fs::read_dir("/proc/self/fdinfo")
        .unwrap()
        .filter_map(|entry| std::fs::read_to_string(entry.unwrap().path()).ok())
        .any(|text| text.lines().any(|line| line.starts_with("tfd:") && line.contains(&wanted)))
}

/// Waits until something is so.
pub(super) fn until(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < LONG, "never: {what}");
        std::thread::yield_now();
    }
}
