//! Those who look on while a test does something: a subscriber to events, and a client that must not notice anything.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bowline_api::Client;
use bowline_api::v1::Event;

use super::PATIENCE;
use super::http::Line;

/// What a subscriber reads, from the moment of this on.
pub(crate) struct Subscriber(Receiver<Event>);

impl Subscriber {
    pub(crate) fn new(client: Client) -> Subscriber {
        let (tell, told) = mpsc::channel();
        let (ready, subscribed) = mpsc::channel();
        std::thread::spawn(move || {
            let events = client.events().unwrap();
            ready.send(()).unwrap();
            // Ends with the daemon, or with the test.
            events.map_while(Result::ok).all(|event| tell.send(event).is_ok())
        });
        subscribed.recv_timeout(PATIENCE).expect("the daemon takes a subscriber");
        Subscriber(told)
    }

    pub(crate) fn next(&self) -> Event {
        self.0.recv_timeout(PATIENCE).expect("an event comes in time")
    }

    /// `network-created front`, and the like: what happened, and to whom.
    pub(crate) fn take(&self, count: usize) -> Vec<String> {
        (0..count).map(|_| in_short(&self.next())).collect()
    }
}

pub(crate) fn in_short(event: &Event) -> String {
    let kind = serde_json::to_value(event.kind).unwrap();
    let words = [kind.as_str(), event.network.as_deref(), event.endpoint.as_deref()];
    words.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// A client that asks for the networks over and over, on one connection, and keeps count.
pub(crate) struct Bystander {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Seen, String>>,
}

#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) answers: usize,
    pub(crate) worst: Duration,
}

impl Bystander {
    pub(crate) fn start(socket: PathBuf) -> Bystander {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut line = Line::open(&socket);
            let mut seen = Seen { answers: 0, worst: Duration::ZERO };
            while !told.load(Ordering::Relaxed) || seen.answers == 0 {
                let asked = Instant::now();
                let answer = line.ask("GET", "/v1/networks", "").map_err(|e| format!("{seen:?}: {e}"))?;
                if answer.status != 200 {
                    return Err(format!("{seen:?}: {answer:?}"));
                }
                seen.answers += 1;
                seen.worst = seen.worst.max(asked.elapsed());
            }
            Ok(seen)
        });
        Bystander { stop, thread }
    }

    /// It was answered all the time, and never waited for long.
    pub(crate) fn saw_nothing(self, longest: Duration) {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.join().unwrap() {
            Ok(seen) => assert!(seen.worst < longest, "another client waited too long: {seen:?}"),
            Err(why) => panic!("another client was not served: {why}"),
        }
    }
}
