//! Whether a client still waits for its answer. An endpoint under a caller's key is taken away again where nobody does:
//! whoever made it was ended, does not know that it is there, and may never ask for it to go.

use std::sync::{Arc, Mutex, PoisonError};

use bowline_api::v1;
use bowline_core::{Code, Result};

use crate::manager::Manager;

#[derive(Debug, Default)]
pub(super) struct Audience(Mutex<Hearing>);

#[derive(Debug, Default)]
enum Hearing {
    #[default]
    Waits,
    Left,
    /// The id of an endpoint that is about to be answered for.
    Told(String),
}

impl Audience {
    /// An endpoint was made. Where nobody waits for it any more it goes.
    pub(super) fn tell(&self, manager: &Manager, made: &v1::Endpoint) {
        if made.key.is_none() {
            return;
        }
        let mut hearing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *hearing {
            Hearing::Left => take_away(manager, &made.id),
            Hearing::Waits | Hearing::Told(_) => *hearing = Hearing::Told(made.id.clone()),
        }
    }
}

/// Held while the answer is waited for; dropped early, nobody waits for it any more.
pub(super) struct Seat {
    audience: Arc<Audience>,
    manager: Arc<Manager>,
    answered: bool,
}

impl Seat {
    pub(super) fn new(audience: Arc<Audience>, manager: Arc<Manager>) -> Seat {
        Seat { audience, manager, answered: false }
    }

    pub(super) fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let mut hearing = self.audience.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Hearing::Told(id) = std::mem::replace(&mut *hearing, Hearing::Left) {
            let manager = self.manager.clone();
            tokio::task::spawn_blocking(move || take_away(&manager, &id));
        }
    }
}

fn take_away(manager: &Manager, id: &str) {
    tracing::warn!(endpoint = id, "taken away: whoever made it did not wait for the answer");
    let gone: Result<()> = manager.remove_endpoint(id);
    match gone {
        Err(error) if error.code != Code::EndpointNotFound => {
            tracing::warn!(endpoint = id, code = %error.code, "take it away: {error}");
        }
        Ok(()) | Err(_) => (),
    }
}
