//! Somebody who asks: one question after the other as they are told, or so many a second.

use std::collections::HashMap;
use std::fs;
use std::io::{self, BufRead, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::wire::{self, Reply};
use crate::patience::stretched;

/// Whoever has heard nothing by then hears nothing any more.
const PATIENCE: Duration = Duration::from_secs(5);

/// Each line of the input is a question, `web A udp`; each line of the output is what came of it.
pub(super) fn converse(server: &str) -> io::Result<()> {
    let server: SocketAddr = server.parse().map_err(io::Error::other)?;
    println!("ready");
    let mut id = 0_u16;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        let [name, kind, over] = words[..] else { return Err(io::Error::other(line)) };
        id = id.wrapping_add(0x5a17);
        let query = wire::query(id, name, wire::kind_number(kind)?);
        let begun = Instant::now();
        let reply = if over == "tcp" { by_tcp(server, &query) } else { by_udp(server, &query, id) };
        let took = begun.elapsed().as_micros();
        match reply {
            Ok(reply) => println!("{}\t{took}\t{}", reply.status, reply.records.join("\t")),
            Err(error) => println!("NOTHING ({error})\t{took}\t"),
        }
    }
    Ok(())
}

fn by_udp(server: SocketAddr, query: &[u8], id: u16) -> io::Result<Reply> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(stretched(PATIENCE)))?;
    socket.send(query)?;
    let mut buffer = [0; 65535];
    loop {
        let length = socket.recv(&mut buffer)?;
        let reply = wire::reply(&buffer[..length]).ok_or_else(|| io::Error::other("cannot be read"))?;
        if reply.id == id {
            return Ok(reply);
        }
    }
}

fn by_tcp(server: SocketAddr, query: &[u8]) -> io::Result<Reply> {
    let mut stream = TcpStream::connect_timeout(&server, stretched(PATIENCE))?;
    stream.set_read_timeout(Some(stretched(PATIENCE)))?;
    wire::write_frame(&mut stream, query)?;
    wire::reply(&wire::read_frame(&mut stream)?).ok_or_else(|| io::Error::other("cannot be read"))
}

/// What became of the questions that were asked by the clock.
#[derive(Default)]
struct Tally {
    waiting: HashMap<u16, Instant>,
    took: Vec<Duration>,
    /// Answered, but without an address.
    wrong: u64,
    sent: u64,
}

/// As many sockets ask in turn: answers to what waited for a while come all at once, and one socket has room for few.
const SOCKETS: usize = 8;

/// Asks for these names in turn, so many times a second, until its input ends. It says when it has heard another hundred
/// answers, and at the end how many went unanswered.
pub(super) fn talk_by_the_clock(server: &str, rate: &str, names: &[String]) -> io::Result<()> {
    let server: SocketAddr = server.parse().map_err(io::Error::other)?;
    let pause = Duration::from_secs(1) / rate.parse::<u32>().map_err(io::Error::other)?;
    let tally = Arc::new(Mutex::new(Tally::default()));
    let mut sockets = Vec::new();
    for _ in 0..SOCKETS {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect(server)?;
        let (listening, tally) = (socket.try_clone()?, tally.clone());
        thread::spawn(move || listen(&listening, &tally));
        sockets.push(socket);
    }
    let ended = thread::spawn(|| io::copy(&mut io::stdin(), &mut io::sink()));
    let mut next = Instant::now();
    let turns = (0..=u16::MAX).cycle().zip(names.iter().cycle()).zip(sockets.iter().cycle());
    for ((id, name), socket) in turns {
        if ended.is_finished() {
            break;
        }
        let query = wire::query(id, name, 1);
        {
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            tally.waiting.insert(id, Instant::now());
            tally.sent += 1;
        }
        // One that cannot be sent has gone unanswered.
        if let Err(error) = socket.send(&query) {
            eprintln!("{id} was not sent: {error}");
        }
        next += pause;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    // The last ones are waited for as long as any other.
    let deadline = Instant::now() + stretched(PATIENCE);
    let waiting = || !tally.lock().unwrap_or_else(PoisonError::into_inner).waiting.is_empty();
    while waiting() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    // Its last column says how many datagrams found no room, at whose socket.
    eprint!("{}", fs::read_to_string("/proc/self/net/udp")?);
    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    tally.took.sort();
    let at = |share: usize| tally.took.get(tally.took.len() * share / 1000).map_or(0, Duration::as_micros);
    let (half, most, longest) = (at(500), at(990), tally.took.last().map_or(0, Duration::as_micros));
    println!("{} {} {} {half} {most} {longest}", tally.sent, tally.waiting.len(), tally.wrong);
    io::stdout().flush()
}

fn listen(socket: &UdpSocket, tally: &Mutex<Tally>) {
    let mut buffer = [0; 4096];
    loop {
        // A resolver that is not there for a moment is told by ICMP; what was asked then is counted as unanswered.
        let Ok(length) = socket.recv(&mut buffer) else { continue };
        let Some(reply) = wire::reply(&buffer[..length]) else { continue };
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(asked) = tally.waiting.remove(&reply.id) else { continue };
        tally.took.push(asked.elapsed());
        if reply.status != "NOERROR" || reply.records.is_empty() {
            tally.wrong += 1;
        }
        if tally.took.len().is_multiple_of(100) {
            println!("{} answered", tally.took.len());
        }
    }
}
