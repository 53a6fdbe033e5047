//! Sockets from other namespaces. Who makes one there may have to go there, which takes a thread's life and is nothing that all
//! whom a worker answers should wait for: a thread beside each worker does it, and rings when there is something.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use bowline_core::place::Place;
use bowline_core::port::Protocol;
use nix::sys::eventfd::{EfdFlags, EventFd};
use tracing::{debug, error};

use super::super::Dial;
use super::super::poll::Token;
use super::super::slab::Key;

/// What its bell is known by, which is no flight's.
pub(super) const BELL: Key = Key { index: u32::MAX, generation: 0 };
pub(super) const TOKEN: Token = Token::Question(BELL, 0);

/// For a question of a flight.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    pub(super) key: Key,
    pub(super) part: u8,
    pub(super) place: Place,
    pub(super) protocol: Protocol,
    pub(super) to: SocketAddr,
}

pub(super) type Dialled = (Order, io::Result<OwnedFd>);

/// Dropped, its thread ends, and so do the sockets that nobody fetched.
pub(super) struct Dialler {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

struct Desk {
    papers: Mutex<Papers>,
    /// There is an order, or no more will come.
    ordered: Condvar,
    /// One more was done.
    done: Condvar,
    bell: EventFd,
}

#[derive(Default)]
struct Papers {
    orders: VecDeque<Order>,
    under_way: Option<Place>,
    done: Vec<Dialled>,
    is_over: bool,
}

impl Dialler {
    pub(super) fn start(dial: Arc<dyn Dial>) -> io::Result<Dialler> {
        let bell = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let desk = Desk { papers: Mutex::default(), ordered: Condvar::new(), done: Condvar::new(), bell };
        let desk = Arc::new(desk);
        let work = desk.clone();
        let thread = thread::Builder::new().name("dns-dial".into()).spawn(move || work.work(&*dial))?;
        Ok(Dialler { desk, thread: Some(thread) })
    }

    pub(super) fn order(&self, order: Order) {
        self.desk.papers().orders.push_back(order);
        self.desk.ordered.notify_one();
    }

    /// What was done since this was called last. The bell is still from now on, until there is more.
    pub(super) fn fetch(&self) -> Vec<Dialled> {
        let mut papers = self.desk.papers();
        if let Err(error) = self.desk.bell.read() {
            debug!(%error, "bell did not ring");
        }
        std::mem::take(&mut papers.done)
    }

    /// When this returns, no socket of that place is here, nor will be.
    pub(super) fn forget(&self, place: Place) {
        let mut papers = self.desk.papers();
        papers.orders.retain(|order| order.place != place);
        let busy = |papers: &mut Papers| papers.under_way == Some(place);
        let mut papers = self.desk.done.wait_while(papers, busy).unwrap_or_else(PoisonError::into_inner);
        papers.done.retain(|(order, _)| order.place != place);
    }
}

impl Drop for Dialler {
    fn drop(&mut self) {
        self.desk.papers().is_over = true;
        self.desk.ordered.notify_one();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            error!("the thread that dials failed at its end");
        }
    }
}

impl AsFd for Dialler {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.desk.bell.as_fd()
    }
}

impl Desk {
    fn papers(&self) -> MutexGuard<'_, Papers> {
        self.papers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, dial: &dyn Dial) {
        while let Some(order) = self.next() {
            let Order { place, protocol, to, .. } = order;
            // A mistake of ours there costs this question, and not all that come after it.
            let socket = catch_unwind(AssertUnwindSafe(|| dial.dial(place, protocol, to)));
            let socket = socket.unwrap_or_else(|_| {
                error!(%place, %to, "the resolver failed as it dialled");
                Err(io::Error::other("a mistake of ours"))
            });
            let mut papers = self.papers();
            papers.under_way = None;
            papers.done.push((order, socket));
            // EAGAIN, the only way this fails, says that the bell rings already.
            if let Err(error) = self.bell.write(1) {
                debug!(%error, "bell rings already");
            }
            self.done.notify_all();
        }
    }

    /// The next order; None once nobody wants any more.
    fn next(&self) -> Option<Order> {
        let idle = |papers: &mut Papers| papers.orders.is_empty() && !papers.is_over;
        let papers = self.papers();
        let mut papers = self.ordered.wait_while(papers, idle).unwrap_or_else(PoisonError::into_inner);
        if papers.is_over {
            return None;
        }
        let order = papers.orders.pop_front();
        papers.under_way = order.map(|order| order.place);
        order
    }
}
