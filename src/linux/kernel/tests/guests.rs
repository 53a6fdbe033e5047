//! Containers' namespaces: told from the host's, shared by callers, and let go of.

use bowline_core::Code;
use bowline_core::kernel::{Kernel as _, Scope};
use bowline_core::place::Door;
use bowline_core::plan::diff;
use bowline_core::state::State;

use super::world::{CARD, Container, door, eventually, link, name, world};
use crate::netns;

#[test]
fn the_hosts_own_namespace_is_no_container() {
    world(|world| {
        let own = Door::Path("/proc/thread-self/ns/net".into());
        assert_eq!(world.kernel.open(&own).unwrap_err().code, Code::NetnsIsHost);
        assert_eq!(world.kernel.open(&Door::Own).unwrap(), world.host);
        world.kernel.close(world.host);
        world.kernel.facts(world.host).unwrap();
    });
}

#[test]
fn what_is_no_namespace_is_not_opened() {
    world(|world| {
        for path in ["/etc/hostname", "/proc/self/ns/mnt", "/"] {
            let error = world.kernel.open(&Door::Path(path.into())).unwrap_err();
            assert_eq!(error.code, Code::InvalidNetns, "{path}");
        }
        let gone = Door::Path("/run/netns/no-such-container".into());
        assert_eq!(world.kernel.open(&gone).unwrap_err().code, Code::NetnsGone);
    });
}

#[test]
fn a_namespace_stays_open_until_the_last_caller_closes_it() {
    world(|world| {
        let Container { ns, place } = world.container();
        assert_eq!(world.kernel.open(&door(&ns)).unwrap(), place);
        let card = Scope::Card(place, name(CARD));
        world.kernel.close(place);
        world.kernel.observe(&card).unwrap();
        world.kernel.close(place);
        assert_eq!(world.kernel.observe(&card).unwrap_err().code, Code::NetnsGone);
        world.kernel.close(place);
        assert_eq!(world.kernel.open(&door(&ns)).unwrap(), place);
    });
}

#[test]
fn a_namespace_that_was_closed_dies_with_its_last_holder() {
    world(|world| {
        let container = world.container();
        let mut wanted = world.network();
        wanted.extend(world.endpoint(1, &container));
        world.reach(&wanted);
        world.kernel.close(container.place);
        drop(container.ns);
        // The port goes with its card, and the card with its namespace.
        eventually("the namespace to die", || link("bl1").is_none());
    });
}

#[test]
fn an_endpoint_of_a_closed_namespace_is_refused_and_leaves_nothing() {
    world(|world| {
        let container = world.container();
        world.reach(&world.network());
        world.kernel.close(container.place);
        let plan = diff(&State::default(), &world.endpoint(1, &container));
        assert_eq!(world.apply(&plan).unwrap_err().code, Code::NetnsGone);
        assert_eq!(link("bl1"), None);
    });
}

#[test]
fn two_namespaces_are_entered_at_once_by_many_callers() {
    world(|world| {
        world.reach(&world.network());
        let host = netns::current().unwrap();
        std::thread::scope(|scope| {
            for n in 0..4 {
                let host = &host;
                scope.spawn(move || {
                    netns::enter(std::os::fd::AsFd::as_fd(host)).unwrap();
                    for _ in 0..5 {
                        let container = world.container();
                        let endpoint = world.endpoint(n, &container);
                        world.apply(&diff(&State::default(), &endpoint)).unwrap();
                        world.apply(&diff(&endpoint, &State::default())).unwrap();
                        world.kernel.close(container.place);
                    }
                });
            }
        });
        world.assert_holds(&world.network());
    });
}
