//! What is not ours is left alone, and said to be in the way where it is.

use bowline_core::Code;
use bowline_core::kernel::{Kernel as _, Scope};
use bowline_core::plan::Change;
use bowline_core::state::State;

use super::world::{BRIDGE, ip, link, world};
use crate::kernel::mark::{DYING, LIVE};

#[test]
fn a_strangers_bridge_is_in_the_way_and_stays_as_it_is() {
    world(|world| {
        ip(&format!("link add {BRIDGE} mtu 1300 type bridge"));
        let before = link(BRIDGE);
        let key = world.key(BRIDGE);
        let add = Change::AddLink { key: key.clone(), link: world.bridge(), card: None };
        let set = Change::SetLink { key: key.clone(), link: world.bridge() };
        for change in [add, set] {
            let error = world.apply(&[change]).unwrap_err();
            assert_eq!(error.code, Code::LinkExists);
            assert!(error.to_string().contains(BRIDGE), "{error}");
        }
        world.apply(&[Change::DelLink { key }]).unwrap();
        assert_eq!(link(BRIDGE), before);
        assert_eq!(world.kernel.observe(&Scope::Host(world.host)).unwrap().links.len(), 0);
    });
}

#[test]
fn the_bridge_of_another_network_is_in_the_way() {
    world(|world| {
        world.reach(&world.network());
        let mut other = world.bridge();
        other.owner = Some(bowline_core::name::Id(2));
        let add = Change::AddLink { key: world.key(BRIDGE), link: other, card: None };
        assert_eq!(world.apply(&[add]).unwrap_err().code, Code::LinkExists);
        world.assert_holds(&world.network());
    });
}

#[test]
fn a_stranger_in_our_group_outlives_the_group() {
    world(|world| {
        let (first, second) = (world.container(), world.container());
        let mut wanted = world.network();
        wanted.extend(world.endpoint(1, &first));
        wanted.extend(world.endpoint(2, &second));
        world.reach(&wanted);
        ip("link add stranger type veth peer name stranger-peer");
        ip("link set stranger alias theirs");
        ip(&format!("link set stranger group {DYING}"));

        let gone = |name| Change::DelLink { key: world.key(name) };
        world.apply(&[gone("bl1"), gone("bl2"), gone("stranger")]).unwrap();
        assert_eq!((link("bl1"), link("bl2")), (None, None));
        assert!(link("stranger").is_some());
    });
}

#[test]
fn a_card_name_that_is_taken_is_named_and_leaves_nothing_behind() {
    world(|world| {
        let container = world.container();
        world.reach(&world.network());
        container.ip("link add eth0 type bridge");
        let endpoint = world.endpoint(1, &container);
        let plan = bowline_core::plan::diff(&State::default(), &endpoint);
        let error = world.apply(&plan).unwrap_err();
        assert_eq!(error.code, Code::InterfaceTaken, "{error}");
        assert!(error.to_string().contains("eth0"), "{error}");
        assert_eq!(link("bl1"), None);
        assert!(world.seen(&endpoint).links.keys().all(|key| key.name.as_str() != "eth0"));

        let card = bowline_core::state::LinkKey::new(container.place, "eth0".parse().unwrap());
        world.apply(&[Change::DelLink { key: card }]).unwrap();
        assert_eq!(container.ip("link show eth0")[0]["ifname"], "eth0");
    });
}

#[test]
fn addresses_and_routes_of_others_are_neither_seen_nor_taken() {
    world(|world| {
        let container = world.container();
        let mut wanted = world.network();
        wanted.extend(world.endpoint(1, &container));
        world.reach(&wanted);
        ip(&format!("addr add 10.77.0.1/24 dev {BRIDGE}"));
        container.ip("addr add 10.78.0.1/24 dev eth0");
        container.ip("route add 10.79.0.0/24 via 10.9.0.1");
        world.assert_holds(&wanted);
    });
}

#[test]
fn an_address_that_somebody_set_again_becomes_ours() {
    world(|world| {
        world.reach(&world.network());
        ip(&format!("addr del 10.9.0.1/24 dev {BRIDGE}"));
        ip(&format!("addr add 10.9.0.1/24 dev {BRIDGE}"));
        world.reach(&world.network());
    });
}

#[test]
fn a_port_that_died_before_its_alias_is_made_anew() {
    world(|world| {
        let container = world.container();
        ip("link add bl1 type veth peer name astray");
        ip(&format!("link set bl1 group {LIVE}"));
        let mut wanted = world.network();
        wanted.extend(world.endpoint(1, &container));
        world.apply(&bowline_core::plan::diff(&State::default(), &wanted)).unwrap();
        world.assert_holds(&wanted);
        assert_eq!(link("astray"), None);
    });
}

#[test]
fn what_died_before_its_alias_is_seen_and_swept() {
    world(|world| {
        ip("link add bl1 type veth peer name astray");
        ip(&format!("link set bl1 group {LIVE}"));
        ip(&format!("link add {BRIDGE} group {LIVE} type bridge"));
        world.reach(&world.network());
        assert_eq!(link("bl1"), None);
        world.reach(&State::default());
        assert_eq!(link(BRIDGE), None);
    });
}
