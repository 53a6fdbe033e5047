//! What moves is told of, by whomever it was moved.

use std::sync::mpsc::channel;
use std::time::Duration;

use bowline_core::kernel::{Kernel as _, LinkNow, Moved};

use super::world::{BRIDGE, ip, name, world};

#[test]
fn our_links_are_told_of_and_no_others() {
    world(|world| {
        let place = world.host;
        let network = world.network();
        world.reach(&network);
        let (tell, told) = channel();
        world.kernel.watch(place, Box::new(move |moved| drop(tell.send(moved)))).unwrap();
        let until = |wanted: Moved| loop {
            let moved = told.recv_timeout(Duration::from_secs(20)).expect("in vain waited for a notice");
            let name = match &moved {
                Moved::Parent { name, .. } | Moved::Renamed { name, .. } => name,
                Moved::Link { name, .. } | Moved::Address { name, .. } => name,
                Moved::Overrun { .. } | Moved::Tables { .. } => panic!("notices were lost"),
            };
            assert!(name.as_str() != "stranger", "{moved:?}");
            if moved == wanted {
                break;
            }
        };
        let link = |text: &str, now| Moved::Link { place, name: name(text), now };

        ip("link add stranger type veth peer name stranger2");
        ip("link set stranger up");
        ip(&format!("addr add 10.55.0.1/24 dev {BRIDGE}"));
        until(Moved::Address { place, name: name(BRIDGE) });
        ip(&format!("link set {BRIDGE} down"));
        until(link(BRIDGE, LinkNow::Down));
        ip(&format!("link set {BRIDGE} up"));
        ip(&format!("link set stranger master {BRIDGE}"));
        ip("link del stranger");

        let container = world.container();
        let mut wanted = network;
        wanted.extend(world.endpoint(1, &container));
        world.reach(&wanted);
        ip("link set bl1 nomaster");
        until(link("bl1", LinkNow::Down));
        container.ip("link del eth0");
        until(link("bl1", LinkNow::Gone));
        ip(&format!("link del {BRIDGE}"));
        until(link(BRIDGE, LinkNow::Gone));
    });
}

#[test]
fn a_watch_ends_with_its_kernel() {
    let (tell, told) = channel();
    world(|world| {
        let tell = tell.clone();
        world.kernel.watch(world.host, Box::new(move |moved| drop(tell.send(moved)))).unwrap();
    });
    drop(tell);
    // The thread held the last sender.
    let end = told.recv_timeout(Duration::from_secs(20));
    assert_eq!(end, Err(std::sync::mpsc::RecvTimeoutError::Disconnected));
}
