//! What somebody's hand undid is seen to be missing, and is mended.

use super::world::{BRIDGE, Container, World, ip, link, world};
use bowline_core::state::State;

/// Brings a network with one endpoint about, lets a hand at it, and mends it.
fn mended(hand: impl FnOnce(&World, &Container) + Send) {
    world(|world| {
        let container = world.container();
        let mut wanted = world.network();
        wanted.extend(world.endpoint(1, &container));
        world.add_ipv6(&mut wanted, &container);
        world.reach(&wanted);
        hand(world, &container);
        let seen = world.seen(&wanted);
        assert!(!bowline_core::plan::diff(&seen, &wanted).is_empty(), "the harm is not seen:\n{seen}");
        world.reach(&wanted);
    });
}

#[test]
fn a_bridge_that_was_deleted() {
    mended(|_, _| {
        ip(&format!("link del {BRIDGE}"));
    });
}

#[test]
fn a_port_that_was_deleted() {
    mended(|_, _| {
        ip("link del bl1");
    });
}

#[test]
fn a_card_that_was_deleted_inside() {
    mended(|_, container| {
        container.ip("link del eth0");
    });
}

#[test]
fn links_that_were_changed() {
    mended(|_, container| {
        ip("link set bl1 nomaster");
        ip("link set bl1 mtu 1400 down");
        ip(&format!("link set {BRIDGE} address 02:00:00:00:00:99 down"));
        container.ip("link set eth0 mtu 1300");
        container.ip("link set lo down");
    });
}

#[test]
fn a_port_that_was_isolated() {
    mended(|_, _| {
        ip("link set bl1 type bridge_slave isolated on");
    });
}

#[test]
fn addresses_and_routes_that_were_flushed() {
    mended(|_, container| {
        ip(&format!("addr flush dev {BRIDGE}"));
        container.ip("-4 addr flush dev eth0");
        container.ip("-6 addr flush dev eth0");
    });
}

#[test]
fn a_route_that_was_deleted() {
    mended(|_, container| {
        container.ip("route del default");
    });
}

#[test]
fn a_bridge_without_our_alias_is_a_strangers_and_not_mended() {
    world(|world| {
        world.reach(&world.network());
        ip(&format!("link set {BRIDGE} alias theirs"));
        let seen = world.seen(&State::default());
        assert!(seen.links.is_empty(), "{seen}");
        assert!(link(BRIDGE).is_some());
    });
}
