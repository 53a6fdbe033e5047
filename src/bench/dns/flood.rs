//! A container that means harm: junk, names that nobody has, and connections that say nothing, as many as it can.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bowline_core::{Code, Error, Result};
use bowline_linux::netns;

use super::stage::RESOLVER;
use super::wire;

/// What one second brings, at most.
pub(super) const JUNK: u32 = 200_000;
pub(super) const NAMES: u32 = 50_000;
/// Held open, all of them.
pub(super) const CONNECTIONS: usize = 10_000;
/// Below it every name is another.
pub(super) const BELOW: &str = "test";

const HANDS: u32 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Junk,
    Names,
    Connections,
}

/// A flood that goes on until it is told to end.
#[derive(Debug)]
pub(super) struct Flood {
    begun: Instant,
    kind: Kind,
    told_to_end: Arc<AtomicBool>,
    hands: Vec<JoinHandle<Result<u64>>>,
}

impl Flood {
    /// `number` tells it from any other flood of names: no two ask for the same ones.
    pub(super) fn start(inside: &OwnedFd, kind: Kind, number: usize) -> Result<Flood> {
        let told_to_end = Arc::new(AtomicBool::new(false));
        let mut flood = Flood { begun: Instant::now(), kind, told_to_end, hands: Vec::new() };
        for hand in 0..HANDS {
            let told = flood.told_to_end.clone();
            let joined = match kind {
                Kind::Junk => {
                    let (socket, mut junk) = (wire::socket(inside, RESOLVER)?, Junk::new(hand));
                    thread::spawn(move || pour(&socket, JUNK / HANDS, &told, |_, packet| junk.fill(packet)))
                }
                Kind::Names => {
                    let socket = wire::socket(inside, RESOLVER)?;
                    let next = move |n: u64, packet: &mut Vec<u8>| {
                        *packet = wire::query(n as u16, &format!("f{number}-{hand}-{n}.{BELOW}"));
                    };
                    thread::spawn(move || pour(&socket, NAMES / HANDS, &told, next))
                }
                Kind::Connections => {
                    let inside = inside.try_clone().map_err(failed)?;
                    thread::spawn(move || hold(&inside, CONNECTIONS / HANDS as usize, &told))
                }
            };
            flood.hands.push(joined);
        }
        Ok(flood)
    }

    /// How much there truly was: packets a second, or connections.
    pub(super) fn finish(mut self) -> Result<f64> {
        self.told_to_end.store(true, Ordering::Relaxed);
        let lasted = self.begun.elapsed().as_secs_f64();
        let mut total = 0;
        for hand in self.hands.drain(..) {
            total += hand.join().expect("a flood does not panic")?;
        }
        Ok(match self.kind {
            Kind::Junk | Kind::Names => total as f64 / lasted,
            Kind::Connections => total as f64,
        })
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        // Where something else failed first: it ends, and what there was of it is of no use.
        self.told_to_end.store(true, Ordering::Relaxed);
        for hand in self.hands.drain(..) {
            drop(hand.join());
        }
    }
}

/// Sends so many packets a second, in small bursts, and counts those that went.
fn pour(
    socket: &UdpSocket,
    per_second: u32,
    told_to_end: &AtomicBool,
    mut next: impl FnMut(u64, &mut Vec<u8>),
) -> Result<u64> {
    const TICK: Duration = Duration::from_millis(1);
    let begun = Instant::now();
    let (mut due, mut tried, mut sent) = (0.0_f64, 0_u64, 0_u64);
    let mut last = begun;
    let mut packet = Vec::new();
    while !told_to_end.load(Ordering::Relaxed) {
        thread::sleep(TICK);
        // What it could not send in time is not made up for later: that would be another, harder flood.
        let now = Instant::now();
        due += (now - last).min(TICK * 20).as_secs_f64() * f64::from(per_second);
        last = now;
        while due >= 1.0 && !told_to_end.load(Ordering::Relaxed) {
            due -= 1.0;
            next(tried, &mut packet);
            tried += 1;
            match socket.send(&packet) {
                Ok(_) => sent += 1,
                // The last one was refused, or there is no room: this one did not go.
                Err(error)
                    if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::WouldBlock) => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }
    Ok(sent)
}

/// Opens connections and says nothing on them until told to end. One that is not taken is not counted.
fn hold(inside: &OwnedFd, count: usize, told_to_end: &AtomicBool) -> Result<u64> {
    const EACH: Duration = Duration::from_millis(200);
    const PAUSE: Duration = Duration::from_millis(5);
    let to = SocketAddr::new(RESOLVER, wire::PORT);
    netns::run(inside, || {
        let mut held = Vec::new();
        while held.len() < count && !told_to_end.load(Ordering::Relaxed) {
            match TcpStream::connect_timeout(&to, EACH) {
                Ok(stream) => held.push(stream),
                // It is not let in, or not yet.
                Err(_) => thread::sleep(PAUSE),
            }
        }
        while !told_to_end.load(Ordering::Relaxed) {
            thread::sleep(PAUSE);
        }
        // No ports are left waiting behind it.
        held.iter().try_for_each(bowline_linux::reset_on_close).map_err(failed)?;
        Ok(held.len() as u64)
    })?
}

/// Packets that are not what they claim to be.
#[derive(Debug)]
struct Junk {
    state: u64,
}

impl Junk {
    fn new(hand: u32) -> Junk {
        Junk { state: 0x9e37_79b9_7f4a_7c15 ^ (u64::from(hand) << 32) }
    }

    /// xorshift64: the same flood every time.
    fn random(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    fn fill(&mut self, packet: &mut Vec<u8>) {
        let chance = self.random();
        packet.clear();
        match chance % 5 {
            // No header.
            0 => packet.extend(&chance.to_be_bytes()[..(chance >> 8) as usize % 8]),
            // A header, and anything after it.
            1 => {
                packet.extend([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
                for _ in 0..4 {
                    packet.extend(self.random().to_be_bytes());
                }
            }
            // A name that points to itself.
            2 => packet.extend([0, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1]),
            // A reply that nobody asked for.
            3 => {
                packet.extend(wire::query(chance as u16, "web"));
                packet[2] |= 0x80;
            }
            // More records promised than there are.
            _ => {
                packet.extend(wire::query(chance as u16, "web"));
                packet[6..12].fill(0xff);
            }
        }
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::new(Code::Internal, "flood the resolver").because(error)
}

#[cfg(test)]
mod tests;
