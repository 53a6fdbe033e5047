//! A story with its name, what it needs, and where it can be told.

use crate::needs::Need;
use crate::world::World;

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&World),
    /// Whether it starts with a daemon that runs.
    pub(crate) daemon: bool,
    needs: &'static [Need],
    groups_needs: &'static [Need],
    pub(crate) kernels: Kernels,
}

/// Which kernels a story is told on, its needs apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kernels {
    Every,
    /// The guest's only: it is about the guest.
    Guests,
    /// The machine's own only: it measures time, and an emulated processor has too little of it.
    Own,
}

/// The marks a story can have on the page that lists them, each by its name: `#[cold] #[needs(Ipvlan, Vrf)] name`.
impl Scenario {
    pub(crate) const fn new(name: &'static str, groups_needs: &'static [Need], run: fn(&World)) -> Scenario {
        Scenario { name, run, daemon: true, needs: &[], groups_needs, kernels: Kernels::Every }
    }

    /// It starts its daemon itself.
    pub(crate) const fn cold(mut self) -> Scenario {
        self.daemon = false;
        self
    }

    /// It is told where the kernel has all of these: on this one, or else in the guest.
    pub(crate) const fn needs(mut self, needs: &'static [Need]) -> Scenario {
        self.needs = needs;
        self
    }

    pub(crate) const fn guest(mut self) -> Scenario {
        self.kernels = Kernels::Guests;
        self
    }

    pub(crate) const fn timed(mut self) -> Scenario {
        self.kernels = Kernels::Own;
        self
    }

    pub(crate) fn all_needs(&self) -> impl Iterator<Item = Need> {
        self.groups_needs.iter().chain(self.needs).copied()
    }
}

/// A list of stories, by groups, which are modules of `scenarios`. A group's needs are those of each of its stories.
macro_rules! scenarios {
    ($($(#[needs($($all:ident),+)])? $group:ident {
        $($(#[$mark:ident $(($($need:ident),+))?])* $name:ident,)*
    })*) => {
        pub(crate) const SCENARIOS: &[&[Scenario]] = &[$({
            const NEEDS: &[Need] = &[$($(Need::$all),+)?];
            &[$(
                Scenario::new(concat!(stringify!($group), "::", stringify!($name)), NEEDS, scenarios::$group::$name)
                    $(.$mark($(&[$(Need::$need),+])?))*,
            )*]
        },)*];
    };
}
