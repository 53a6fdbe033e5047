//! A container's namespace that is open: one thread that entered it and does what it is asked there, in turn.
//! When the guest is dropped, the thread ends with its socket, and nothing of ours keeps the namespace alive.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc::{Receiver, Sender, channel};

use bowline_core::place::Place;
use bowline_core::{Code, Error, Result};

use crate::netlink::Netlink;
use crate::netns;

type Job = Box<dyn FnOnce(&mut Netlink) + Send>;

#[derive(Debug)]
pub(crate) struct Guest {
    place: Place,
    ns: OwnedFd,
    /// The thread ends when this is dropped. Nobody waits for that, since an attach would wait for it.
    jobs: Sender<Job>,
}

/// The thread calls little of ours and nothing deep; a default stack would only be mapped in vain.
const STACK: usize = 256 * 1024;

impl Guest {
    pub(crate) fn enter(ns: OwnedFd) -> Result<Guest> {
        let inside = ns
            .try_clone()
            .map_err(|e| Error::new(Code::Kernel, "keep a network namespace open").because(e))?;
        let (jobs, todo) = channel();
        let (born, birth) = channel();
        std::thread::Builder::new()
            .name("guest".into())
            .stack_size(STACK)
            .spawn(move || live(inside, &born, &todo))
            .map_err(|e| Error::new(Code::Kernel, "start a thread").because(e))?;
        let place = birth.recv().map_err(|_| died())??;
        Ok(Guest { place, ns, jobs })
    }

    pub(crate) fn place(&self) -> Place {
        self.place
    }

    pub(crate) fn ns(&self) -> BorrowedFd<'_> {
        self.ns.as_fd()
    }

    /// Does this inside, and waits for it.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        body: impl FnOnce(&mut Netlink) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (done, outcome) = channel();
        let job: Job = Box::new(move |route| {
            // Nobody hears it where the caller is gone; then nobody needs to.
            drop(done.send(body(route)));
        });
        self.jobs.send(job).map_err(|_| died())?;
        outcome.recv().map_err(|_| died())?
    }
}

fn live(ns: OwnedFd, born: &Sender<Result<Place>>, todo: &Receiver<Job>) {
    let entered = netns::enter(ns.as_fd()).and_then(|()| {
        let route = Netlink::open()?;
        Ok((route.place()?, route))
    });
    drop(ns);
    let mut route = match entered {
        Ok((place, route)) => {
            drop(born.send(Ok(place)));
            route
        }
        Err(error) => return drop(born.send(Err(error))),
    };
    for job in todo {
        if !route.is_usable() {
            match Netlink::open() {
                Ok(fresh) => route = fresh,
                // The job fails on the old socket, or is served by it after all.
                Err(error) => tracing::warn!(%error, "could not replace a netlink socket"),
            }
        }
        job(&mut route);
    }
}

fn died() -> Error {
    Error::new(Code::Internal, "the thread inside a network namespace died")
}
