//! What cannot be is refused with its reason before anything is changed.

use super::direct::{no_second_lan, second_lan};
use crate::world::{Snapshot, World};

pub(crate) fn what_is_no_parent(w: &World) {
    second_lan(w);
    w.host().run("ip link add br0 type bridge");
    w.host().run("ip link add port type veth peer name end");
    w.host().run("ip link set port master br0");
    w.host().run("ip link add sub link lan0 type macvlan mode bridge");
    w.bowline("network create front --subnet 10.9.0.0/24");
    let before = Snapshot::of(w);
    let refused = |options: &str, code: &str, exit: i32, parts: &[&str]| {
        let line = format!("network create lan -d macvlan --subnet 203.0.113.0/24 {options}");
        w.tries(&line).refused(code, exit).naming(parts);
    };
    refused("--parent nowhere0", "BWL-1115", 2, &["nowhere0 is missing", "lan0", "uplink"]);
    refused("--parent lo", "BWL-1115", 2, &["loopback"]);
    refused("--parent port", "BWL-1217", 4, &["belongs to br0", "--parent br0"]);
    refused("--parent sub", "BWL-1115", 2, &["--parent lan0"]);
    refused("--parent bl-front", "BWL-1115", 2, &["bowline's own"]);
    refused("--parent much-too-long-a-name.10", "BWL-1115", 2, &["1 to 15"]);
    refused("--parent lan0.0", "BWL-1116", 2, &["1 to 4094"]);
    refused("--parent lan0.4095", "BWL-1116", 2, &["1 to 4094"]);
    refused("--parent lan9.10", "BWL-1115", 2, &["neither it nor lan9"]);
    refused("", "BWL-1115", 2, &["--parent", "--internal", "lan0"]);
    refused("--parent lan0 --internal", "BWL-1111", 2, &["lan0"]);
    refused("--parent lan0 --mode l2", "BWL-1117", 2, &["bridge, private, vepa, passthru"]);
    refused("--parent lan0 --flag vepa", "BWL-1111", 2, &["ipvlan"]);
    refused("--parent lan0 --mode private --host-access", "BWL-1111", 2, &["--mode bridge"]);
    refused("--internal --host-access", "BWL-1111", 2, &["internal"]);
    refused("--parent lan0 --no-icc", "BWL-1111", 2, &["--mode private"]);
    refused("--parent lan0 --vlan 10", "BWL-1111", 2, &["eth0.10"]);
    refused("--parent lan0 --mtu 9000", "BWL-1109", 2, &["lan0 carries 1500"]);
    refused("--parent lan0 --gateway 192.0.2.1", "BWL-1104", 2, &["192.0.2.1"]);
    w.is_still(&before);
    w.host().run("ip link del br0");
    w.host().run("ip link del port");
    w.host().run("ip link del sub");
    no_second_lan(w);
}

/// The members are on the LAN themselves, at every port.
pub(crate) fn what_a_member_cannot_have(w: &World) {
    second_lan(w);
    w.bowline("network create lan -d macvlan --parent lan0 --subnet 198.51.100.0/24 --gateway 198.51.100.2");
    w.container("web");
    let create = "endpoint create web --netns web --network lan";
    w.tries(&format!("{create} -p 8080:80"))
        .refused("BWL-1111", 2)
        .naming(&["network lan", "at its own addresses"]);
    w.tries(&format!("{create}:rate-in=1mbit")).refused("BWL-1113", 2).naming(&["network lan"]);
    w.tries("network update lan --internal").refused("BWL-1111", 2);
    w.tries("network update lan --no-icc").refused("BWL-1111", 2);
    assert!(w.api().endpoints().unwrap().is_empty());
    w.bowline(create);
    w.tries("port publish web 8080:80").refused("BWL-1111", 2);

    // With a bridge beside it, its ports are where its way out is.
    w.bowline("network create front --subnet 10.9.0.0/24");
    w.bowline("network connect front web --gw-priority 5");
    w.bowline("port publish web 8080:80");
    let _server = w.inside("web").serves(80);
    w.outside().fetches("192.0.2.1", 8080);
    no_second_lan(w);
}
