//! Routes and offloads that a network was asked for.

use crate::world::World;

pub(crate) fn members_learn_the_routes_of_their_network(w: &World) {
    w.bowline(
        "network create front --subnet 10.9.0.0/24 --subnet fd00:9::/64 \
         --route 198.51.100.0/24,10.9.0.254 --route 2001:db8:7::/48,fd00:9::fe",
    );
    let web = w.attach("web", "front", "");
    let router = w.attach("router", "front", "--no-antispoof --ip 10.9.0.254 --ip6 fd00:9::fe");
    router.run("ip addr add 198.51.100.1/32 dev lo");
    router.run("ip addr add 2001:db8:7::1/128 dev lo");
    web.reaches("198.51.100.1");
    web.reaches("2001:db8:7::1");
    let own = router.run("ip route show 198.51.100.0/24");
    assert_eq!(own, "", "the router itself has no route by way of itself");
    w.tries("network create x --subnet 10.7.0.0/24 --route 198.51.100.0/24,10.6.0.1").refused("BWL-1111", 2);
}

pub(crate) fn super_packets_where_they_cost_nobody(w: &World) {
    w.bowline("network create inner --subnet 10.9.0.0/24 --internal");
    w.bowline("network create plain --subnet 10.8.0.0/24 --internal --gso off");
    w.container("web");
    w.bowline("endpoint create web --netns web --network inner --network plain");
    let sizes = |value: serde_json::Value| {
        ["gso_max_size", "gro_max_size", "gso_ipv4_max_size", "gro_ipv4_max_size"]
            .map(|key| value[key].as_u64().unwrap_or(0))
    };
    let endpoint = w.api().endpoint("web").unwrap();
    let size = |card: usize| {
        let port = endpoint.interfaces[card].host_link.as_str();
        let bridge = if card == 0 { "bl-inner" } else { "bl-plain" };
        let inside = format!("eth{card}");
        [(w.host(), port), (w.host(), bridge), (w.inside("web"), &inside)]
            .map(|(place, link)| sizes(place.link(link).unwrap()))
    };
    for big in size(0).iter().flatten().filter(|&&size| size != 0) {
        assert_eq!(*big, 196_608);
    }
    assert_eq!(size(0)[0][0], 196_608, "the witness knows gso_max_size at least");
    for small in size(1).iter().flatten() {
        assert!(*small <= 65_536, "{small}");
    }
}
