//! What other threads want of a worker.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use bowline_core::place::Place;
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::log::Line;

use super::client::Ear;
use super::slate::Owed;

#[derive(Debug)]
pub(super) enum Order {
    /// Say that you have begun.
    Begin(Sender<()>),
    /// Answer here too, or here with these sockets from now on.
    Open(Arc<Ear>, Sender<io::Result<()>>),
    /// Hold nothing of that place any more, and then say so.
    Close(Place, Sender<()>),
    /// Ask as that place would. Nothing comes back for what is no query.
    Resolve {
        place: Place,
        query: Vec<u8>,
        to: Sender<Option<(Vec<u8>, Line)>>,
    },
    /// Answer what an earlier process did not.
    Again(Owed),
    Stop,
}

/// Where orders are left.
#[derive(Debug)]
pub(super) struct Letterbox {
    orders: Sender<Order>,
    bell: Arc<EventFd>,
}

/// Where the worker finds them. It outlives a worker that failed: the next one finds what is left.
#[derive(Debug)]
pub(super) struct Mail {
    orders: Receiver<Order>,
    bell: Arc<EventFd>,
}

pub(super) fn mail() -> io::Result<(Letterbox, Mail)> {
    let bell = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
    let (send, receive) = channel();
    Ok((Letterbox { orders: send, bell: bell.clone() }, Mail { orders: receive, bell }))
}

impl Letterbox {
    /// An order to a worker that has ended is dropped, and whoever waits for the answer learns it by that.
    pub(super) fn send(&self, order: Order) {
        let sent = self.orders.send(order).is_ok();
        // EAGAIN, the only way this fails, says that the bell rings already.
        if sent && let Err(error) = self.bell.write(1) {
            tracing::debug!(%error, "bell rings already");
        }
    }
}

impl Mail {
    pub(super) fn next(&self) -> Option<Order> {
        self.orders.try_recv().ok()
    }

    /// Stops the bell, before the orders are taken: one that is left after that rings again.
    pub(super) fn quiet(&self) {
        if let Err(error) = self.bell.read() {
            tracing::debug!(%error, "bell did not ring");
        }
    }
}

impl AsFd for Mail {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
