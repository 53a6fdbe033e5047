//! Who asks: one container's namespace, and what it may know.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use bowline_core::place::Place;

use crate::zone::Zone;

/// One namespace that has a resolver. What it sees may change while it asks.
#[derive(Debug)]
pub struct Asker {
    pub place: Place,
    view: RwLock<Arc<View>>,
}

/// What a namespace sees.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The name of its endpoint, for the log.
    pub endpoint: String,
    /// The networks that it is on, the one its default route leaves by first: their addresses come first.
    pub zones: Vec<Arc<Zone>>,
    /// Its own names for others: what it says, and what that means. They come before all other names.
    pub links: Vec<(String, String)>,
    pub elsewhere: Elsewhere,
    /// Of answers about names of ours, in seconds.
    pub ttl: u32,
}

/// Where it is asked what no network of its knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Elsewhere {
    /// Nowhere: it is on internal networks only. Such names do not exist for it.
    #[default]
    Never,
    /// At the servers of the host, from this host namespace.
    Host(Place),
    /// At servers of its own, from its own namespace.
    Own(Vec<SocketAddr>),
}

impl Asker {
    pub fn new(place: Place, view: View) -> Asker {
        Asker { place, view: RwLock::new(Arc::new(view)) }
    }

    pub fn view(&self) -> Arc<View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From the next query on it sees this.
    pub fn set(&self, view: View) {
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
    }
}
