mod tcp;
mod udp;

use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use bowline_core::port::At;
use tokio::runtime::Runtime;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// Relays as the daemon has them: served by a runtime, called from a thread that is none of its own.
struct World {
    runtime: Runtime,
    relays: Relays,
}

struct Straight;

impl Dial for Straight {
    fn dial(&self, protocol: Protocol, to: SocketAddr) -> io::Result<OwnedFd> {
        socket::fixture::dial(protocol, to)
    }
}

impl World {
    fn new(limits: Limits) -> World {
        // Where a test fails, why a connection was cut is told with it.
        let log = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_test_writer();
        drop(log.try_init());
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build().unwrap();
        let relays = Relays::within(runtime.handle().clone(), limits);
        World { runtime, relays }
    }

    /// The address that is served, and its key.
    fn tcp(&self, at: &str, to: SocketAddr) -> (SocketAddr, Key) {
        let listener = TcpListener::bind(at).unwrap_or_else(|e| panic!("these tests need {at}: {e}"));
        let address = listener.local_addr().unwrap();
        let key = key(Protocol::Tcp, address.port());
        self.relays.serve(key, listener.into(), to, Arc::new(Straight)).unwrap();
        (address, key)
    }

    fn udp(&self, at: &str, to: SocketAddr) -> (SocketAddr, Key) {
        let socket = bind(at);
        socket::fixture::tell_asked(&socket);
        let address = socket.local_addr().unwrap();
        let key = key(Protocol::Udp, address.port());
        self.relays.serve(key, socket.into(), to, Arc::new(Straight)).unwrap();
        (address, key)
    }
}

const WORKERS: usize = 2;

impl World {
    /// While the relay sees nothing of it, so that it finds everything at once.
    fn behind_its_back<T>(&self, act: impl FnOnce() -> T) -> T {
        let (tell, started) = mpsc::channel();
        let held: Vec<_> = (0..WORKERS)
            .map(|_| {
                let (tell, (hold, held)) = (tell.clone(), mpsc::channel::<Infallible>());
                self.runtime.spawn(async move {
                    tell.send(()).unwrap();
                    held.recv().unwrap_err();
                });
                hold
            })
            .collect();
        held.iter().for_each(|_| started.recv_timeout(PATIENCE).unwrap());
        let done = act();
        drop(held);
        done
    }
}

fn key(protocol: Protocol, port: u16) -> Key {
    (Place(1), HostPort { at: At::Everywhere, protocol, port })
}

fn listen(at: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(at).unwrap_or_else(|e| panic!("these tests need {at}: {e}"));
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn bind(at: &str) -> UdpSocket {
    let socket = UdpSocket::bind(at).unwrap_or_else(|e| panic!("these tests need {at}: {e}"));
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap_or_else(|e| panic!("connect to {to}: {e}"));
    patient(stream)
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// An endpoint that sends back what it hears, and ends when it hears the end.
fn echo(at: &str) -> SocketAddr {
    let (listener, address) = listen(at);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = patient(stream.unwrap());
            thread::spawn(move || io::copy(&mut &stream, &mut &stream));
        }
    });
    address
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "in {PATIENCE:?} it did not come to this: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

fn is_reset(mut stream: &TcpStream) -> bool {
    stream.read_exact(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
}

#[test]
fn to_serve_a_port_costs_little() {
    const PORTS: u16 = 500;
    let world = World::new(LIMITS);
    let to: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let sockets: Vec<_> = (0..PORTS).map(|_| listen("[::1]:0")).collect();
    let first = sockets[0].1;
    let begun = Instant::now();
    for (socket, address) in sockets {
        world
            .relays
            .serve(key(Protocol::Tcp, address.port()), socket.into(), to, Arc::new(Straight))
            .unwrap();
    }
    let each = begun.elapsed() / u32::from(PORTS);
    println!("serve: {each:?} each of {PORTS}");
    assert!(each < Duration::from_millis(1), "serve took {each:?}");
    assert_eq!(world.relays.count(), usize::from(PORTS));
    let begun = Instant::now();
    world.relays.end(&key(Protocol::Tcp, first.port()));
    println!("end: {:?}", begun.elapsed());
    assert_eq!(world.relays.count(), usize::from(PORTS) - 1);
}

#[test]
fn what_is_no_socket_of_that_kind_is_refused() {
    let world = World::new(LIMITS);
    let file = std::fs::File::open("/etc/hostname").unwrap();
    let no_socket = std::net::TcpListener::from(std::os::fd::OwnedFd::from(file)).into();
    let to: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let refused = world.relays.serve(key(Protocol::Tcp, 80), no_socket, to, Arc::new(Straight)).unwrap_err();
    assert_eq!((refused.code, world.relays.count()), (Code::Kernel, 0));
}

#[test]
fn a_pause_grows_and_stays_within_its_bound() {
    let mut pause = Pause::new();
    let pauses: Vec<_> = (0..9).map(|_| pause.next().as_millis()).collect();
    assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
}
