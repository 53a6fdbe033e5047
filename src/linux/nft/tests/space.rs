//! A network namespace that lives as long as a thread of its own, in which closures run.

use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::gettid;

type Job = Box<dyn FnOnce() + Send>;

pub(super) struct Space {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    /// For `ip link set .. netns`.
    pub(super) path: String,
}

impl Space {
    pub(super) fn new() -> Space {
        let (jobs, todo) = channel::<Job>();
        let (tell, born) = channel();
        let thread = thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("these tests need root");
            tell.send(gettid()).unwrap();
            todo.into_iter().for_each(|job| job());
        });
        let tid = born.recv().expect("these tests need root");
        let path = format!("/proc/{}/task/{tid}/ns/net", std::process::id());
        Space { jobs: Some(jobs), thread: Some(thread), path }
    }

    /// Runs in the namespace, and panics where the job does.
    pub(super) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, done) = channel();
        let job = move || {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
            tell.send(result).expect("the caller waits");
        };
        self.jobs.as_ref().expect("open until dropped").send(Box::new(job)).unwrap();
        match done.recv().unwrap() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic of a job was handed to its caller already.
            drop(thread.join());
        }
    }
}
