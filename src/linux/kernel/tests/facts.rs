//! What a host says of itself.

use bowline_core::kernel::Kernel as _;

use super::world::{ip, name, world};

#[test]
fn a_host_tells_its_addresses_routes_links_and_uplinks() {
    world(|world| {
        ip("link add uplink type bridge");
        ip("link set uplink up mtu 1400");
        ip("link set lo up");
        ip("addr add 192.0.2.2/24 dev uplink");
        ip("route add default via 192.0.2.1");
        ip("route add 198.51.100.0/24 dev uplink table 77");
        ip("route add blackhole 203.0.113.0/24");
        ip("-6 route add 2001:db8::/32 dev uplink");

        let facts = world.kernel.facts(world.host).unwrap();
        let on = |link: &str, net: &str| (name(link), net.parse().unwrap());
        assert!(facts.addresses.contains(&on("uplink", "192.0.2.2/24")), "{facts:?}");
        assert!(facts.addresses.contains(&on("lo", "127.0.0.1/8")), "{facts:?}");
        let mut routes = facts.routes.iter().map(|(_, to)| to.to_string()).collect::<Vec<_>>();
        routes.retain(|route| !route.starts_with("::1/"));
        routes.sort();
        assert_eq!(routes, ["192.0.2.0/24", "198.51.100.0/24", "2001:db8::/32", "203.0.113.0/24"]);
        assert_eq!(facts.uplinks.len(), 1);
        assert_eq!((facts.uplinks[0].name.as_str(), facts.uplinks[0].mtu), ("uplink", 1400));
        assert!(facts.uplinks[0].tso_max_size >= 65_535);
        assert_eq!(facts.links.len(), 2);
    });
}
