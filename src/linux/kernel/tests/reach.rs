//! What is wanted comes to be, is seen as wanted, and goes again; doing so twice is as doing it once.

use bowline_core::Code;
use bowline_core::plan::{Change, diff};
use bowline_core::state::{Kind, Link, LinkKey, Route, State};

use super::world::{BRIDGE, CARD, Container, World, ip, link, name, world};

fn network_and_endpoint(world: &World, n: u32, container: &Container) -> State {
    let mut wanted = world.network();
    wanted.extend(world.endpoint(n, container));
    wanted
}

/// A port and its card and nothing else, many of which fit in one container.
fn bare_endpoint(world: &World, n: u32, container: &Container) -> State {
    let mut links = world.endpoint(n, container).links;
    let old = LinkKey::new(container.place, name(CARD));
    let card = LinkKey::new(container.place, name(&format!("eth{n}")));
    let link = links.remove(&old).unwrap();
    links.insert(card.clone(), link);
    links.get_mut(&world.key(&format!("bl{n}"))).unwrap().kind = Kind::Port { card };
    State { links, ..State::default() }
}

#[test]
fn a_network_with_an_endpoint_is_seen_as_it_was_wanted() {
    world(|world| {
        let container = world.container();
        world.reach(&network_and_endpoint(world, 1, &container));

        let bridge = link(BRIDGE).unwrap();
        assert_eq!(bridge["ifalias"], format!("bowline:network:{:032x}", 1));
        assert_eq!(bridge["address"], "02:62:00:00:00:01");
        let port = link("bl1").unwrap();
        assert_eq!((&port["master"], &port["operstate"]), (&BRIDGE.into(), &"UP".into()));
        let card = &container.ip("addr show dev eth0")[0];
        assert_eq!((&card["ifname"], &card["mtu"]), (&CARD.into(), &1500.into()));
        let inet = &card["addr_info"][0];
        assert_eq!((&inet["local"], &inet["broadcast"]), (&"10.9.0.3".into(), &"10.9.0.255".into()));
        assert_eq!(container.ip("route show default")[0]["gateway"], "10.9.0.1");
        assert_eq!(container.ip("link show lo")[0]["flags"][1], "UP");
    });
}

#[test]
fn both_families_are_seen_as_they_were_wanted_and_usable_at_once() {
    world(|world| {
        let container = world.container();
        let mut wanted = network_and_endpoint(world, 1, &container);
        world.add_ipv6(&mut wanted, &container);
        world.reach(&wanted);

        let addresses = container.ip("-6 addr show dev eth0 scope global");
        assert_eq!(addresses[0]["addr_info"][0]["local"], "fd00:9::2");
        assert!(addresses[0]["addr_info"][0]["tentative"].is_null(), "{addresses}");
        assert_eq!(container.ip("-6 route show default")[0]["gateway"], "fd00:9::1");
    });
}

#[test]
fn isolated_ports_and_large_packets_are_seen_as_they_were_wanted() {
    world(|world| {
        let container = world.container();
        let mut wanted = network_and_endpoint(world, 1, &container);
        for (key, link) in &mut wanted.links {
            if key.name.as_str() != "lo" {
                link.gso = Some(196_608);
                link.mtu = 1400;
            }
        }
        wanted.links.get_mut(&world.key("bl1")).unwrap().isolated = true;
        world.reach(&wanted);

        let port = link("bl1").unwrap();
        assert_eq!(port["linkinfo"]["info_slave_data"]["isolated"], true);
        assert_eq!((&port["gso_max_size"], &port["mtu"]), (&196_608.into(), &1400.into()));
        assert_eq!(container.ip("link show eth0")[0]["gro_max_size"], 196_608);
    });
}

#[test]
fn every_change_may_be_made_twice() {
    world(|world| {
        let container = world.container();
        let mut wanted = network_and_endpoint(world, 1, &container);
        world.add_ipv6(&mut wanted, &container);
        wanted.links.get_mut(&world.key("bl1")).unwrap().isolated = true;
        let attach = diff(&State::default(), &wanted);
        for change in &attach {
            world.apply(&[change.clone(), change.clone()]).unwrap_or_else(|e| panic!("{change}: {e}"));
        }
        world.apply(&attach).unwrap();
        world.assert_holds(&wanted);

        let detach = diff(&world.seen(&wanted), &State::default());
        world.apply(&detach).unwrap();
        world.apply(&detach).unwrap();
        world.assert_holds(&State::default());
        assert_eq!((link(BRIDGE), link("bl1")), (None, None));
    });
}

#[test]
fn many_ports_go_together_and_what_is_gone_need_not_go() {
    world(|world| {
        let container = world.container();
        let mut wanted = world.network();
        let mut deletions = Vec::new();
        for n in 0..40 {
            let endpoint = bare_endpoint(world, n, &container);
            deletions.push(Change::DelLink { key: world.key(&format!("bl{n}")) });
            wanted.extend(endpoint);
        }
        world.reach(&wanted);
        world.apply(&deletions[..3]).unwrap();
        world.apply(&deletions).unwrap();
        assert_eq!(ip("link show type veth").as_array().map(Vec::len), Some(0));
        world.assert_holds(&world.network());
    });
}

#[test]
fn a_bridge_keeps_its_mtu_when_ports_come_and_go() {
    world(|world| {
        let container = world.container();
        let mut network = world.network();
        network.links.insert(world.key(BRIDGE), Link { mtu: 9000, ..world.bridge() });
        let mut both = network.clone();
        both.extend(world.endpoint(1, &container));
        world.reach(&both);
        world.reach(&network);
        assert_eq!(link(BRIDGE).unwrap()["mtu"], 9000);
    });
}

#[test]
fn a_default_route_moves_to_another_gateway_in_one_step() {
    world(|world| {
        let container = world.container();
        let mut wanted = network_and_endpoint(world, 1, &container);
        world.reach(&wanted);
        let old = wanted.routes.pop_first().unwrap();
        let new = Route { via: Some("10.9.0.7".parse().unwrap()), ..old.clone() };
        // As when the old one is not known to be there.
        world.apply(&[Change::AddRoute(new.clone())]).unwrap();
        assert_eq!(container.ip("route show default").as_array().map(Vec::len), Some(1));
        wanted.routes.insert(new);
        world.assert_holds(&wanted);
        world.apply(&[Change::DelRoute(old)]).unwrap();
        world.assert_holds(&wanted);
    });
}

#[test]
fn a_bridge_that_is_full_says_so_and_keeps_nothing_of_the_last_port() {
    const PORTS: u32 = 1023;
    world(|world| {
        let container = world.container();
        world.reach(&world.network());
        let add = |n| {
            let plan = diff(&State::default(), &bare_endpoint(world, n, &container));
            world.apply(&plan[..1])
        };
        (0..PORTS).try_for_each(add).unwrap();
        let error = add(PORTS).unwrap_err();
        assert_eq!(error.code, Code::BridgeFull, "{error}");
        assert!(error.to_string().contains(BRIDGE), "{error}");
        assert_eq!(link(&format!("bl{PORTS}")), None);
    });
}
