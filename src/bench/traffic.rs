//! Traffic between namespaces: connections opened, bytes and packets carried. Sockets are made inside and used from here.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bowline_core::{Code, Error, Result};
use bowline_linux::netns;

/// A server in a container that takes connections and ends them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Acceptor {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Acceptor {
    pub(crate) fn start(inside: &OwnedFd, port: u16) -> Result<Acceptor> {
        let listener = netns::run(inside, move || TcpListener::bind(("0.0.0.0", port)))?;
        let listener = listener.map_err(|e| failed("listen in a container", &e))?;
        listener.set_nonblocking(true).map_err(|e| failed("listen in a container", &e))?;
        let ended = Arc::new(AtomicBool::new(false));
        let told = ended.clone();
        let thread = thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => drop(stream),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        thread::sleep(Duration::from_micros(50));
                    }
                    Err(_) => return,
                }
            }
        });
        Ok(Acceptor { ended, thread: Some(thread) })
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Connections a second that a client in a container opens, one after the other.
pub(crate) fn connects(from: &OwnedFd, to: SocketAddr, for_how_long: Duration) -> Result<f64> {
    let counted = netns::run(from, move || -> std::io::Result<f64> {
        let begun = Instant::now();
        let mut count = 0_u32;
        while begun.elapsed() < for_how_long {
            let stream = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
            bowline_linux::reset_on_close(&stream)?;
            count += 1;
        }
        Ok(f64::from(count) / begun.elapsed().as_secs_f64())
    })?;
    counted.map_err(|e| failed(&format!("connect to {to}"), &e))
}

/// Gbit/s of one TCP connection.
pub(crate) fn streams(from: &OwnedFd, to: &OwnedFd, address: IpAddr, how_long: Duration) -> Result<f64> {
    let listener = netns::run(to, || TcpListener::bind("0.0.0.0:0"))?;
    let listener = listener.map_err(|e| failed("listen in a container", &e))?;
    let port = listener.local_addr().map_err(|e| failed("listen in a container", &e))?.port();
    let sender = netns::run(from, move || TcpStream::connect((address, port)))?;
    let mut sender = sender.map_err(|e| failed(&format!("connect to {address}"), &e))?;
    let (mut receiver, _) = listener.accept().map_err(|e| failed("accept in a container", &e))?;
    let reading = thread::spawn(move || -> std::io::Result<u64> {
        let mut buffer = vec![0; 1 << 18];
        let mut total = 0_u64;
        loop {
            match receiver.read(&mut buffer)? {
                0 => return Ok(total),
                some => total += some as u64,
            }
        }
    });
    let block = vec![0; 1 << 18];
    let begun = Instant::now();
    while begun.elapsed() < how_long {
        sender.write_all(&block).map_err(|e| failed("send", &e))?;
    }
    drop(sender);
    let total = reading.join().expect("the reader does not panic").map_err(|e| failed("receive", &e))?;
    Ok(total as f64 * 8.0 / begun.elapsed().as_secs_f64() / 1e9)
}

/// Small datagrams a second that arrive.
pub(crate) fn packets(from: &OwnedFd, to: &OwnedFd, address: IpAddr, how_long: Duration) -> Result<f64> {
    let receiver = netns::run(to, || UdpSocket::bind("0.0.0.0:0"))?.map_err(|e| failed("bind", &e))?;
    let port = receiver.local_addr().map_err(|e| failed("bind", &e))?.port();
    let sender = netns::run(from, move || {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect((address, port))?;
        Ok::<_, std::io::Error>(socket)
    })?;
    let sender = sender.map_err(|e| failed("bind", &e))?;
    receiver.set_read_timeout(Some(Duration::from_millis(50))).map_err(|e| failed("bind", &e))?;
    let arrived = Arc::new(AtomicU64::new(0));
    let count = arrived.clone();
    let reading = thread::spawn(move || {
        let mut buffer = [0; 64];
        while receiver.recv(&mut buffer).is_ok() {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let begun = Instant::now();
    while begun.elapsed() < how_long {
        // Where the way is full, the datagram is lost: that is what is measured.
        drop(sender.send(&[0; 16]));
    }
    let took = begun.elapsed();
    reading.join().expect("the reader does not panic");
    Ok(arrived.load(Ordering::Relaxed) as f64 / took.as_secs_f64())
}

fn failed(what: &str, error: &std::io::Error) -> Error {
    Error::new(Code::Internal, what).because(error)
}
