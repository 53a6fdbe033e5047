//! UDP: a flow for each client and the address that it asked, with a socket of its own to the endpoint, so that answers
//! find back. What cannot be passed on at once is dropped, as a router would.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UdpSocket;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, sleep_until, timeout};

use super::socket::{self, Ends};
use super::{Held, Owned, Pause, Way, with_buffer};

/// The socket that holds the port.
type Watched = AsyncFd<Arc<std::net::UdpSocket>>;

/// Passes datagrams on until the task is dropped, and its flows with it.
pub(super) async fn serve(held: Held<Watched>, way: Way) {
    let (held, now) = (Arc::new(held), Instant::now());
    let mut port = Port { held: held.clone(), way, flows: HashMap::new(), begun: now, next_look: now };
    let mut pause = Pause::new();
    loop {
        let next_look = port.next_look;
        let ready = tokio::select! {
            biased;
            () = sleep_until(next_look), if !port.flows.is_empty() => {
                port.end_idle();
                continue;
            }
            ready = held.socket.readable() => ready.map(|mut ready| ready.retain_ready()),
        };
        match ready.and_then(|()| port.take()) {
            Ok(None) => pause = Pause::new(),
            Ok(Some(First { ends, data })) => port.open(ends, &data).await,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => (),
            Err(error) => pause.after(port.way.port, &error).await,
        }
        // A flood must not keep the thread from others.
        consume_budget().await;
    }
}

struct Port {
    held: Arc<Held<Watched>>,
    way: Way,
    flows: HashMap<Ends, Open>,
    begun: Instant,
    /// When the next flow may have been idle for too long.
    next_look: Instant,
}

/// A flow ends when this is dropped.
struct Open {
    flow: Arc<Flow>,
    _answers: Owned,
    _room: OwnedSemaphorePermit,
}

struct Flow {
    ends: Ends,
    socket: UdpSocket,
    /// When something passed last, in microseconds since the port was first served.
    used: AtomicU64,
    begun: Instant,
}

/// A datagram that no flow is there for.
struct First {
    ends: Ends,
    data: Vec<u8>,
}

impl Flow {
    fn touch(&self) {
        self.used.store(micros_since(self.begun), Ordering::Relaxed);
    }

    /// Fails where the flow is of no use any more.
    fn forward(&self, data: &[u8]) -> io::Result<()> {
        self.touch();
        // What fails first may be what became of an earlier datagram (ECONNREFUSED); this one is not sent then.
        match socket::send(&self.socket, data).or_else(|_| socket::send(&self.socket, data)) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

impl Port {
    /// Takes one datagram and passes it on, or returns it where a flow must be opened first.
    fn take(&mut self) -> io::Result<Option<First>> {
        with_buffer(|buffer| {
            let socket = &self.held.socket;
            let (length, ends) =
                socket.try_io(Interest::READABLE, |socket| socket::receive(socket, &mut buffer[..]))?;
            // Nobody can be answered at port 0.
            if ends.client.port() == 0 || !self.way.admits(ends.client.ip()) {
                tracing::debug!(port = %self.way.port, client = %ends.client, "not for the relay");
                return Ok(None);
            }
            let data = &buffer[..length];
            let Some(open) = self.flows.get(&ends) else {
                return Ok(Some(First { ends, data: data.to_vec() }));
            };
            if let Err(error) = open.flow.forward(data) {
                tracing::debug!(port = %self.way.port, client = %ends.client, "a flow broke: {error}");
                self.flows.remove(&ends);
            }
            Ok(None)
        })
    }

    /// A datagram that no flow can be opened for is lost; the next one tries again.
    async fn open(&mut self, ends: Ends, first: &[u8]) {
        if let Err(error) = self.try_open(ends, first).await {
            tracing::debug!(port = %self.way.port, to = %self.way.to, "open a flow: {error}");
        }
    }

    async fn try_open(&mut self, ends: Ends, first: &[u8]) -> io::Result<()> {
        let limits = self.way.shared.limits;
        let socket = socket::datagrams(timeout(limits.connect, self.way.dial()).await??)?;
        let room = self.make_room().ok_or_else(|| io::Error::other("too many flows"))?;
        let flow = Arc::new(Flow { ends, socket, used: AtomicU64::new(0), begun: self.begun });
        flow.forward(first)?;
        let answers = Owned(tokio::spawn(answer(self.held.clone(), flow.clone(), self.way.clone())));
        if self.flows.is_empty() {
            self.next_look = Instant::now() + limits.idle;
        }
        self.flows.insert(ends, Open { flow, _answers: answers, _room: room });
        Ok(())
    }

    /// Where there is none, the flow that has been idle longest goes.
    fn make_room(&mut self) -> Option<OwnedSemaphorePermit> {
        while self.flows.len() >= self.way.shared.limits.flows {
            self.end_idlest();
        }
        self.room().or_else(|| {
            self.end_idlest();
            self.room()
        })
    }

    fn room(&self) -> Option<OwnedSemaphorePermit> {
        self.way.shared.flows.clone().try_acquire_owned().ok()
    }

    fn end_idlest(&mut self) {
        let idlest = self.flows.iter().min_by_key(|(_, open)| open.flow.used.load(Ordering::Relaxed));
        if let Some(ends) = idlest.map(|(ends, _)| *ends) {
            self.flows.remove(&ends);
        }
    }

    fn end_idle(&mut self) {
        let (idle, now) = (self.way.shared.limits.idle, micros_since(self.begun));
        let rest = |open: &Open| {
            let used = open.flow.used.load(Ordering::Relaxed);
            idle.saturating_sub(Duration::from_micros(now.saturating_sub(used)))
        };
        self.flows.retain(|_, open| !rest(open).is_zero());
        // Not for each flow by itself: a little late is early enough.
        let rest = self.flows.values().map(rest).min().unwrap_or(idle).max(idle / 16);
        self.next_look = Instant::now() + rest;
    }
}

/// Sends back what the endpoint answers, until the task is dropped.
async fn answer(held: Arc<Held<Watched>>, flow: Arc<Flow>, way: Way) {
    let mut pause = Pause::new();
    loop {
        match flow.socket.readable().await.and_then(|()| answer_one(&held, &flow)) {
            Ok(()) => pause = Pause::new(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => (),
            // Nobody listens at the endpoint yet, or any more. That was one datagram's end, not the flow's.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => (),
            Err(error) => pause.after(way.port, &error).await,
        }
        consume_budget().await;
    }
}

fn answer_one(held: &Held<Watched>, flow: &Flow) -> io::Result<()> {
    with_buffer(|buffer| {
        let length = flow.socket.try_recv(buffer)?;
        flow.touch();
        if let Err(error) = socket::answer(held.socket.get_ref(), &buffer[..length], &flow.ends) {
            tracing::debug!(client = %flow.ends.client, "an answer was lost: {error}");
        }
        Ok(())
    })
}

fn micros_since(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX)
}
