//! A client that asks at a steady pace, whatever the answers do, and knows how long each took.

use std::io::ErrorKind;
use std::net::{IpAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bowline_core::{Code, Error, Result};

use super::wire::{self, Reply};

/// Questions a second.
pub(super) const PACE: u32 = 1000;
/// A question that is not answered within this is lost, as it is for the resolver of a C library.
const PATIENCE: Duration = Duration::from_secs(5);
/// Room for so many questions: ten minutes of them.
const ROOM: usize = 600 * PACE as usize;

#[derive(Debug)]
pub(super) struct Steady {
    shared: Arc<Shared>,
    asking: Option<JoinHandle<std::io::Result<()>>>,
    hearing: Option<JoinHandle<std::io::Result<Heard>>>,
}

#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Of each good answer.
    pub(super) latencies: Vec<Duration>,
    pub(super) sent: usize,
    pub(super) lost: usize,
    /// Answered, but not with an address.
    pub(super) wrong: usize,
}

impl Heard {
    /// What a client would complain about.
    pub(super) fn bad(&self) -> usize {
        self.lost + self.wrong
    }
}

#[derive(Debug)]
struct Shared {
    begun: Instant,
    /// When each question was sent, in nanoseconds since it began.
    sent_at: Vec<AtomicU64>,
    sent: AtomicUsize,
    told_to_end: AtomicBool,
    /// Set by who asks, when the last question is out.
    all_sent: AtomicBool,
}

impl Steady {
    pub(super) fn start(inside: &OwnedFd, server: IpAddr, names: Vec<String>) -> Result<Steady> {
        let failed = |e: std::io::Error| Error::new(Code::Internal, "ask at a steady pace").because(e);
        let socket = wire::socket(inside, server)?;
        let hears = socket.try_clone().map_err(failed)?;
        hears.set_read_timeout(Some(Duration::from_millis(100))).map_err(failed)?;
        let shared = Arc::new(Shared {
            begun: Instant::now(),
            sent_at: (0..ROOM).map(|_| AtomicU64::new(0)).collect(),
            sent: AtomicUsize::new(0),
            told_to_end: AtomicBool::new(false),
            all_sent: AtomicBool::new(false),
        });
        let (asks, listens) = (shared.clone(), shared.clone());
        let asking = thread::spawn(move || {
            let outcome = ask(&socket, &names, &asks);
            asks.all_sent.store(true, Ordering::Release);
            outcome
        });
        let hearing = thread::spawn(move || hear(&hears, &listens));
        Ok(Steady { shared, asking: Some(asking), hearing: Some(hearing) })
    }

    /// Stops asking, waits for the answers that are still to come, and says how it went.
    pub(super) fn finish(mut self) -> Result<Heard> {
        let failed = |e: std::io::Error| Error::new(Code::Internal, "ask at a steady pace").because(e);
        self.shared.told_to_end.store(true, Ordering::Release);
        let asking = self.asking.take().expect("it finishes once").join().expect("who asks does not panic");
        let hearing =
            self.hearing.take().expect("it finishes once").join().expect("who hears does not panic");
        asking.map_err(failed)?;
        hearing.map_err(failed)
    }
}

impl Drop for Steady {
    fn drop(&mut self) {
        // Where something else failed first: the threads end by themselves, and their outcome is of no use.
        self.shared.told_to_end.store(true, Ordering::Release);
        drop(self.asking.take().map(JoinHandle::join));
        drop(self.hearing.take().map(JoinHandle::join));
    }
}

fn ask(socket: &UdpSocket, names: &[String], shared: &Shared) -> std::io::Result<()> {
    let each = Duration::from_secs(1) / PACE;
    for n in 0..ROOM {
        if shared.told_to_end.load(Ordering::Acquire) {
            return Ok(());
        }
        // By the clock and not after the last one: a late question does not make all others late.
        let due = shared.begun + each * u32::try_from(n).expect("there is room for few");
        if let Some(ahead) = due.checked_duration_since(Instant::now()) {
            thread::sleep(ahead);
        }
        let query = wire::query(n as u16, &names[n % names.len()]);
        let now = u64::try_from(shared.begun.elapsed().as_nanos()).expect("it lasts minutes");
        shared.sent_at[n].store(now, Ordering::Relaxed);
        shared.sent.store(n + 1, Ordering::Release);
        send(socket, &query)?;
    }
    Ok(())
}

/// A refusal that met an earlier question is told to the next one, which is then not sent: it is sent again.
fn send(socket: &UdpSocket, query: &[u8]) -> std::io::Result<()> {
    for _ in 0..3 {
        match socket.send(query) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => (),
            sent => return sent.map(drop),
        }
    }
    // Nobody is there. It counts as lost.
    Ok(())
}

fn hear(socket: &UdpSocket, shared: &Shared) -> std::io::Result<Heard> {
    let mut heard = Heard::default();
    let mut answered = vec![false; ROOM];
    let mut answers = 0;
    let mut buffer = [0; 4096];
    let mut ended = None;
    loop {
        let outcome = socket.recv(&mut buffer);
        let now = shared.begun.elapsed();
        let all_sent = shared.all_sent.load(Ordering::Acquire);
        let sent = shared.sent.load(Ordering::Acquire);
        let reply = match outcome {
            Ok(length) => Reply::read(&buffer[..length]),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::ConnectionRefused => None,
                _ => return Err(error),
            },
        };
        if let Some(reply) = reply
            && let Some(n) = number(reply.id, sent)
            && !std::mem::replace(&mut answered[n], true)
        {
            answers += 1;
            let asked = Duration::from_nanos(shared.sent_at[n].load(Ordering::Relaxed));
            let took = now.saturating_sub(asked);
            if !reply.is_good() {
                heard.wrong += 1;
            } else if took <= PATIENCE {
                heard.latencies.push(took);
            }
        }
        if all_sent && (answers == sent || now.saturating_sub(*ended.get_or_insert(now)) > PATIENCE) {
            heard.sent = sent;
            heard.lost = sent - heard.latencies.len() - heard.wrong;
            return Ok(heard);
        }
    }
}

/// Which question has this id: the last of them, for ids come round again after a minute, and nobody waits that long.
fn number(id: u16, sent: usize) -> Option<usize> {
    let last = sent.checked_sub(1)?;
    let back = (last as u16).wrapping_sub(id);
    last.checked_sub(usize::from(back))
}

#[cfg(test)]
mod tests;
