//! What is still to be done before the daemon is ready. Dropping a hold means it is done.

use std::sync::{Arc, Mutex, PoisonError};

use bowline_api::v1::Health;

#[derive(Debug, Clone, Default)]
pub(crate) struct Ready(Arc<Mutex<Vec<String>>>);

/// Alive while something is not done.
#[derive(Debug)]
pub(crate) struct Hold {
    what: String,
    ready: Ready,
}

impl Ready {
    pub(crate) fn hold(&self, what: &str) -> Hold {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(what.to_string());
        Hold { what: what.to_string(), ready: self.clone() }
    }

    pub(crate) fn health(&self) -> Health {
        let holds = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let status = if holds.is_empty() { "ok" } else { "starting" };
        Health { status: status.to_string(), holds }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut holds = self.ready.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = holds.iter().position(|hold| *hold == self.what) {
            holds.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_lists_the_holds_that_are_alive() {
        let ready = Ready::default();
        let hold = ready.hold("first look at the kernel");
        assert_eq!(ready.health().holds, ["first look at the kernel"]);
        drop(hold);
        assert_eq!(ready.health().status, "ok");
    }
}
