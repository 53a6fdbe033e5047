//! TCP: accepts, connects to the endpoint, and copies both ways until both sides have said all. A connection that ends in
//! another way is reset on both sides, so that half an answer never looks like a whole one.

use std::io;
use std::net::TcpListener;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use tokio::task::coop::consume_budget;
use tokio::time::timeout;

use super::{Held, Pause, Way, socket, with_buffer};

/// Accepts until the task is dropped, and its connections with it.
pub(super) async fn serve(held: Held<AsyncFd<Arc<TcpListener>>>, way: Way) {
    let mut carried = JoinSet::new();
    let mut pause = Pause::new();
    loop {
        let accepted = tokio::select! {
            biased;
            Some(_) = carried.join_next() => continue,
            accepted = socket::accept(&held.socket) => accepted,
        };
        let (client, address) = match accepted {
            Ok((stream, address)) => (Side::new(stream), address),
            Err(error) => {
                // Out of file descriptors, most likely: those who leave make room.
                pause.after(way.port, &error).await;
                continue;
            }
        };
        pause = Pause::new();
        if !way.admits(address.ip()) {
            tracing::debug!(port = %way.port, client = %address, "not for the relay");
            continue;
        }
        let Some(room) = room(&way, carried.len()) else {
            tracing::debug!(port = %way.port, client = %address, "too many connections");
            continue;
        };
        carried.spawn(carry(client, way.clone(), room));
    }
}

fn room(way: &Way, carried: usize) -> Option<OwnedSemaphorePermit> {
    if carried >= way.shared.limits.connections {
        return None;
    }
    way.shared.connections.clone().try_acquire_owned().ok()
}

async fn carry(client: Side, way: Way, room: OwnedSemaphorePermit) {
    if let Err(error) = through(client, &way).await {
        tracing::debug!(port = %way.port, to = %way.to, "a relayed connection was cut: {error}");
    }
    drop(room);
}

async fn through(mut client: Side, way: &Way) -> io::Result<()> {
    socket::settle(&client)?;
    let mut server = Side::new(timeout(way.shared.limits.connect, connect(way)).await??);
    socket::settle(&server)?;
    tokio::try_join!(copy(&client, &server), copy(&server, &client))?;
    client.whole = !client.is_broken() && !server.is_broken();
    server.whole = client.whole;
    Ok(())
}

async fn connect(way: &Way) -> io::Result<TcpStream> {
    socket::connected(way.dial().await?).await
}

/// One end of a connection: reset when it is dropped, unless both directions came to their end.
struct Side {
    stream: TcpStream,
    /// It took no more. What is read as its end from then on is none.
    broken: AtomicBool,
    whole: bool,
}

impl Side {
    fn new(stream: TcpStream) -> Side {
        Side { stream, broken: AtomicBool::new(false), whole: false }
    }

    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }
}

impl Deref for Side {
    type Target = TcpStream;

    fn deref(&self) -> &TcpStream {
        &self.stream
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        if !self.whole {
            // A socket that cannot be reset is closed all the same.
            drop(self.stream.set_zero_linger());
        }
    }
}

/// Which end of a direction failed.
enum Failed {
    Sender(io::Error),
    Receiver,
}

/// What one look at a readable socket brought.
enum Passed {
    All,
    /// The rest that the receiver could not take yet.
    AllBut(Vec<u8>),
    Nothing,
    End,
}

/// Copies one direction. It fails where the sender did, and that ends both directions. Where the receiver did, the other
/// direction goes on: the last words of somebody who left (an answer, and then a reset) are still to be read there.
async fn copy(from: &Side, to: &Side) -> io::Result<()> {
    match copy_all(from, to).await {
        Ok(()) => Ok(()),
        Err(Failed::Sender(error)) => Err(error),
        Err(Failed::Receiver) => {
            to.broken.store(true, Ordering::Relaxed);
            Ok(())
        }
    }
}

async fn copy_all(from: &Side, to: &Side) -> Result<(), Failed> {
    loop {
        tokio::select! {
            biased;
            ready = from.readable() => ready.map_err(Failed::Sender)?,
            // Nobody else looks at a receiver that has said all it had to say.
            _ = to.ready(Interest::ERROR) => return Err(Failed::Receiver),
        }
        match with_buffer(|buffer| pass(from, to, buffer))? {
            Passed::All => (),
            Passed::AllBut(left) => write(to, &left).await.map_err(|_| Failed::Receiver)?,
            Passed::Nothing => continue,
            Passed::End if from.is_broken() => {
                return Err(Failed::Sender(io::ErrorKind::ConnectionReset.into()));
            }
            Passed::End => return socket::say_end(to).map_err(|_| Failed::Receiver),
        }
        // A sender that never pauses must not keep the thread from others.
        consume_budget().await;
    }
}

fn pass(from: &TcpStream, to: &TcpStream, buffer: &mut [u8]) -> Result<Passed, Failed> {
    let length = match from.try_read(buffer) {
        Ok(0) => return Ok(Passed::End),
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Passed::Nothing),
        Err(error) => return Err(Failed::Sender(error)),
    };
    let taken = match to.try_write(&buffer[..length]) {
        Ok(taken) => taken,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        Err(_) => return Err(Failed::Receiver),
    };
    Ok(if taken == length { Passed::All } else { Passed::AllBut(buffer[taken..length].to_vec()) })
}

async fn write(to: &TcpStream, mut data: &[u8]) -> io::Result<()> {
    while !data.is_empty() {
        to.writable().await?;
        match to.try_write(data) {
            Ok(taken) => data = &data[taken..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => (),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
