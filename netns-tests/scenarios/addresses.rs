//! Who gets which address, and what is said when none is left.

use crate::world::World;
use crate::world::said::{eventually, only_if};

pub(crate) fn ranges_gateways_and_others_addresses_are_kept(w: &World) {
    w.bowline(
        "network create front --subnet 10.9.0.0/24 --ip-range 10.9.0.128/29 --gateway 10.9.0.254 \
         --aux-address printer=10.9.0.129",
    );
    assert_eq!(w.host().addresses("bl-front"), ["10.9.0.254/24"]);
    let one = w.attach("one", "front", "");
    let first = one.addresses("eth0");
    assert!(first != ["10.9.0.129/24"] && first[0].starts_with("10.9.0.1"), "{first:?}");
    let last: u8 = first[0].trim_start_matches("10.9.0.").trim_end_matches("/24").parse().unwrap();
    assert!((128..136).contains(&last), "{first:?}");
    assert_eq!(one.default_route("-4").as_deref(), Some("10.9.0.254 dev eth0"));
    one.reaches("10.9.0.254");

    w.container("two");
    let create = "endpoint create two --netns two --network front";
    w.tries(&format!("{create} --ip 10.9.0.129")).refused("BWL-1206", 4).naming(&["printer"]);
    w.tries(&format!("{create} --ip 10.9.0.254")).refused("BWL-1206", 4);
    w.bowline(&format!("{create} --ip 10.9.0.5"));
}

pub(crate) fn a_taken_address_names_its_holder(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    w.attach("web", "front", "--ip 10.9.0.5");
    w.container("db");
    let said = w.tries("endpoint create db --netns db --network front --ip 10.9.0.5").refused("BWL-1206", 4);
    said.naming(&["10.9.0.5", "web", "10.9.0.2"]);
    let db = w.inside("db");
    assert!(db.link("eth0").is_none());
    assert_eq!(w.api().endpoints().unwrap().len(), 1);
}

pub(crate) fn a_full_subnet_is_named(w: &World) {
    w.bowline("network create tiny --subnet 10.9.0.0/29");
    let names = ["a", "b", "c", "d", "e"];
    for name in names {
        w.attach(name, "tiny", "");
    }
    let all: std::collections::BTreeSet<String> =
        names.iter().flat_map(|name| w.inside(name).addresses("eth0")).collect();
    assert_eq!(all.len(), 5, "{all:?}");
    w.container("f");
    w.tries("endpoint create f --netns f --network tiny").refused("BWL-1207", 1).naming(&["10.9.0.0/29"]);
    w.bowline("endpoint rm c");
    w.bowline("endpoint create f --netns f --network tiny");
    w.inside("f").reaches("10.9.0.1");
}

pub(crate) fn freed_addresses_are_used_again_last(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/28");
    w.container("web");
    let mut seen = Vec::new();
    for _ in 0..14 {
        w.bowline("endpoint create web --netns web --network front");
        seen.push(w.inside("web").addresses("eth0").join(" "));
        w.bowline("endpoint rm web");
        eventually("the address is free", || {
            let used = w.api().network("front").unwrap().subnets[0].used;
            only_if(used == 1, used)
        });
    }
    let different: std::collections::BTreeSet<&String> = seen[..13].iter().collect();
    assert_eq!(different.len(), 13, "each once before any twice: {seen:?}");
    assert_eq!(seen[13], seen[0]);
}

pub(crate) fn subnets_are_chosen_clear_of_the_host(w: &World) {
    // What the host uses already, in the middle of the default pool.
    w.host().run("ip link add corp type bridge");
    w.host().run("ip addr add 10.160.0.1/16 dev corp");
    w.host().run("ip link set corp up");
    w.host().run("ip route add 10.161.0.0/24 via 192.0.2.2");
    w.bowline("network create one");
    w.bowline("network create two");
    let net = |name: &str| w.api().network(name).unwrap().subnets[0].cidr.clone();
    assert_ne!(net("one"), net("two"));
    for chosen in [net("one"), net("two")] {
        assert!(!chosen.starts_with("10.160.") && chosen != "10.161.0.0/24", "{chosen}");
    }
    w.tries("network create three --subnet 10.160.5.0/24").refused("BWL-1107", 4).naming(&["corp"]);
    w.tries("network create three --subnet 192.0.2.0/25").refused("BWL-1107", 4);
    w.tries(&format!("network create three --subnet {}", net("one"))).refused("BWL-1107", 4).naming(&["one"]);
    w.host_asks(&["198.18.7.53"]);
    w.restart();
    w.tries("network create three --subnet 198.18.7.0/24").refused("BWL-1107", 4).naming(&["198.18.7.53"]);
    w.removes_everything();
    w.host().run("ip route del 10.161.0.0/24");
    w.host().run("ip link del corp");
}
