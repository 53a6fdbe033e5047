//! The test program itself, run inside a namespace: it answers all who call, and calls whom it is told to, all at once.
//!
//! ```text
//! listen ADDRESS:PORT               listening
//! dial NONCE PROTOCOL ADDRESS PORT FROM
//! go
//!                                   arrived NONCE PORT           somebody's call, here
//!                                   answer NONCE WHO PORT SEEN   to a call of ours; SEEN is whom they took us for
//! enough                            failed NONCE WHY             of each call that nobody answered
//!                                   quiet                        no call is under way any more
//! ```

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::patience::stretched;

/// How long one attempt may last; the whole round waits no longer than this for attempts under way at its end.
const ATTEMPT: Duration = Duration::from_millis(400);
/// How long it is until the next attempt, and until the next look at what has come.
const PAUSE: Duration = Duration::from_millis(100);
const GLANCE: Duration = Duration::from_millis(20);
/// There are many threads, and none of them goes deep.
const STACK: usize = 128 * 1024;

#[derive(Debug, Clone)]
struct Call {
    nonce: String,
    protocol: String,
    to: SocketAddr,
    /// The address that a datagram goes out under, if not the one that the kernel chooses.
    from: Option<IpAddr>,
}

pub(crate) fn main(args: &[String]) -> ExitCode {
    let name = args.first().map_or("", String::as_str);
    match serve(name) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(name: &str) -> io::Result<()> {
    let mut calls = Vec::new();
    let mut over = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::new();
    for line in io::stdin().lock().lines() {
        let line = line?;
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["listen", address] => listen(name, parsed(address)?)?,
            ["dial", nonce, protocol, address, port, from] => calls.push(Call {
                nonce: nonce.into(),
                protocol: protocol.into(),
                to: SocketAddr::new(parsed(address)?, parsed(port)?),
                from: from.parse().ok(),
            }),
            ["go"] => {
                over = Arc::new(AtomicBool::new(false));
                threads = go(std::mem::take(&mut calls), &over)?;
            }
            ["enough"] => {
                over.store(true, Ordering::Relaxed);
                threads.drain(..).for_each(|thread| thread.join().expect("a call ends well"));
                println!("quiet");
            }
            _ => return Err(io::Error::other(format!("no such word: {line}"))),
        }
    }
    Ok(())
}

fn parsed<T: std::str::FromStr>(text: &str) -> io::Result<T> {
    text.parse().map_err(|_| io::Error::other(format!("{text:?} is not to be understood")))
}

fn listen(name: &str, at: SocketAddr) -> io::Result<()> {
    let port = at.port();
    let tcp = TcpListener::bind(at)?;
    let udp = UdpSocket::bind(at)?;
    let name = Arc::new(name.to_string());
    let same = name.clone();
    thread::spawn(move || {
        let mut buffer = [0; 64];
        // An error is one of an earlier answer that found nobody.
        loop {
            let Ok((size, from)) = udp.recv_from(&mut buffer) else { continue };
            let nonce = String::from_utf8_lossy(&buffer[..size]).into_owned();
            println!("arrived {nonce} {port}");
            drop(udp.send_to(words(&nonce, &same, port, from).as_bytes(), from));
        }
    });
    thread::spawn(move || {
        for stream in tcp.incoming().flatten() {
            let name = name.clone();
            let answer = move || answer(&stream, &name, port);
            thread::Builder::new().stack_size(STACK).spawn(answer).expect("start a thread");
        }
    });
    println!("listening");
    Ok(())
}

fn answer(mut stream: &TcpStream, name: &str, port: u16) -> io::Result<()> {
    stream.set_read_timeout(Some(stretched(ATTEMPT)))?;
    let mut nonce = String::new();
    BufReader::new(stream).read_line(&mut nonce)?;
    let nonce = nonce.trim();
    if nonce.is_empty() {
        // A relay connected for a caller who had given up.
        return Ok(());
    }
    println!("arrived {nonce} {port}");
    stream.write_all(words(nonce, name, port, stream.peer_addr()?).as_bytes())
}

fn words(nonce: &str, name: &str, port: u16, from: SocketAddr) -> String {
    format!("{nonce} {name} {port} {}", from.ip().to_canonical())
}

fn go(calls: Vec<Call>, over: &Arc<AtomicBool>) -> io::Result<Vec<JoinHandle<()>>> {
    let (datagrams, others): (Vec<_>, Vec<_>) = calls.into_iter().partition(|call| call.protocol == "udp");
    let mut threads = vec![started(over, move |over| exchange(datagrams, over))?];
    for call in others {
        threads.push(started(over, move |over| try_on(&call, over))?);
    }
    Ok(threads)
}

fn started(
    over: &Arc<AtomicBool>,
    work: impl FnOnce(&AtomicBool) + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let over = over.clone();
    thread::Builder::new().stack_size(STACK).spawn(move || work(&over))
}

/// Between two attempts, or two looks.
fn pause(time: Duration) {
    thread::sleep(time);
}

/// TCP and ICMP: one attempt after the other.
fn try_on(call: &Call, over: &AtomicBool) {
    let mut why = "never tried".to_string();
    while !over.load(Ordering::Relaxed) {
        let outcome = if call.protocol == "tcp" { connect(call) } else { ping(call, over) };
        match outcome {
            Ok(answer) => return println!("answer {answer}"),
            Err(error) => why = error.to_string(),
        }
        pause(PAUSE);
    }
    println!("failed {} {why}", call.nonce);
}

fn connect(call: &Call) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&call.to, stretched(ATTEMPT))?;
    stream.set_read_timeout(Some(stretched(ATTEMPT)))?;
    writeln!(stream, "{}", call.nonce)?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    own(call, &text)
}

fn own(call: &Call, text: &str) -> io::Result<String> {
    match text.split_once(' ') {
        Some((nonce, _)) if nonce == call.nonce => Ok(text.to_string()),
        _ => Err(io::Error::other(format!("answered {text:?}"))),
    }
}

/// It sends until it is answered; whom it reached is known by the address only.
fn ping(call: &Call, over: &AtomicBool) -> io::Result<String> {
    let address = call.to.ip();
    let mut child = Command::new("ping")
        .args(["-n", "-q", "-i", "0.5", "-c", "1", "-w", "60", &address.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    loop {
        if let Some(status) = child.try_wait()? {
            let answer = format!("{} icmp 0 -", call.nonce);
            return if status.success() { Ok(answer) } else { Err(io::Error::other("ping gave up")) };
        }
        if over.load(Ordering::Relaxed) {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::other("silence"));
        }
        pause(GLANCE);
    }
}

struct Datagram {
    call: Call,
    socket: Option<UdpSocket>,
    why: String,
}

/// UDP: every call has a socket of its own, which hears nobody but whom it called.
fn exchange(calls: Vec<Call>, over: &AtomicBool) {
    let open = |call| Datagram { call, socket: None, why: "silence".into() };
    let mut all: Vec<Datagram> = calls.into_iter().map(open).collect();
    let mut next = Instant::now();
    while !over.load(Ordering::Relaxed) {
        if Instant::now() >= next {
            all.iter_mut().for_each(|datagram| note(datagram, Datagram::send));
            next = Instant::now() + PAUSE * 2;
        }
        pause(GLANCE);
        all.retain_mut(|datagram| !note(datagram, Datagram::heard));
    }
    for Datagram { call, why, .. } in all {
        println!("failed {} {why}", call.nonce);
    }
}

fn note<T: Default>(datagram: &mut Datagram, act: fn(&mut Datagram) -> io::Result<T>) -> T {
    act(datagram).unwrap_or_else(|error| {
        datagram.why = error.to_string();
        T::default()
    })
}

impl Datagram {
    fn send(&mut self) -> io::Result<()> {
        if self.socket.is_none() {
            let any: IpAddr = match self.call.to {
                SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            let socket = UdpSocket::bind((self.call.from.unwrap_or(any), 0))?;
            socket.connect(self.call.to)?;
            socket.set_nonblocking(true)?;
            self.socket = Some(socket);
        }
        let socket = self.socket.as_ref().expect("it was made just now");
        socket.send(self.call.nonce.as_bytes()).map(drop)
    }

    fn heard(&mut self) -> io::Result<bool> {
        let Some(socket) = &self.socket else { return Ok(false) };
        let mut buffer = [0; 128];
        let size = match socket.recv(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            other => other?,
        };
        let answer = own(&self.call, &String::from_utf8_lossy(&buffer[..size]))?;
        println!("answer {answer}");
        Ok(true)
    }
}
