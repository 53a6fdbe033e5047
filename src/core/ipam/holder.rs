//! Who has an address.

use std::fmt;

use crate::name::{Id, Name};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    Gateway,
    /// The host itself, or whom it depends on; in words.
    Host(String),
    /// Something that is not ours, by the name that the user gave it.
    Aux(String),
    Endpoint {
        id: Id,
        name: Name,
    },
    /// Nobody now: it is kept for an endpoint of this name, which is stopped.
    Fixed(Name),
}

impl Holder {
    pub fn endpoint(id: Id, name: &Name) -> Holder {
        Holder::Endpoint { id, name: name.clone() }
    }

    /// The name of the endpoint that has it or will.
    pub fn name(&self) -> Option<&Name> {
        match self {
            Holder::Endpoint { name, .. } | Holder::Fixed(name) => Some(name),
            Holder::Gateway | Holder::Host(_) | Holder::Aux(_) => None,
        }
    }

    /// True if `before` gives way: what is kept for a name goes to an endpoint of that name, and back when it stops.
    /// Two endpoints of one name (the first on its way out) are two holders.
    pub(super) fn follows(&self, before: &Holder) -> bool {
        let one_is_kept = matches!(self, Holder::Fixed(_)) || matches!(before, Holder::Fixed(_));
        one_is_kept && self.name() == before.name()
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Holder::Gateway => write!(f, "the gateway"),
            Holder::Host(what) => f.write_str(what),
            // The name was never checked: quoted, a terminal is safe from it.
            Holder::Aux(name) => write!(f, "auxiliary address {name:?}"),
            Holder::Endpoint { name, .. } => write!(f, "endpoint {name}"),
            Holder::Fixed(name) => write!(f, "stopped endpoint {name}"),
        }
    }
}
