//! What is not ours is not touched, whatever it is called.

use crate::world::World;
use crate::world::said::{assert_same, eventually, only_if};

const FOREIGN: &str = "
ip link add br0 type bridge
ip addr add 10.77.0.1/24 dev br0
ip link set br0 up
ip link add veth0 type veth peer name veth1
ip link set veth0 master br0 up
ip link set veth1 up
ip route add 10.78.0.0/24 via 192.0.2.2
ip route add 10.79.0.0/24 dev br0 table 77
ip rule add from 10.77.0.0/24 table 77
nft -f - <<END
table inet filter {
    set friends { type ipv4_addr; flags interval; elements = { 10.77.0.0/24 } }
    chain input { type filter hook input priority 0; policy accept; ip saddr @friends accept; }
    chain forward { type filter hook forward priority 10; policy accept; }
}
table ip nat {
    chain postrouting { type nat hook postrouting priority 100; ip saddr 10.77.0.0/24 oifname uplink masquerade; }
}
END
";

/// Forwarding is switched on for all, and an uplink is told to go on learning routes all the same: both on purpose.
const LOOK: &str = "
for link in br0 veth0 veth1; do ip -d addr show $link | sed -E 's/[a-z_]+_timer +[0-9.]+//g'; done
ip route show table 77; ip route show 10.78.0.0/24; ip rule
nft -a list table inet filter; nft -a list table ip nat
sysctl -a 2>/dev/null | grep -E '(br0|veth[01]|uplink)' | grep -vE 'forwarding|stable_secret|uplink.accept_ra ='
";

const CLEAR: &str = "
ip rule del table 77; ip link del br0; ip link del veth0; ip route del 10.78.0.0/24
nft delete table inet filter; nft delete table ip nat
";

pub(crate) fn is_the_same_after_a_hundred_operations(w: &World) {
    // Link-local addresses come with a delay of the kernel's own; here they come never.
    w.host().run("sysctl -qw net.ipv6.conf.default.addr_gen_mode=1");
    w.host().shell(FOREIGN);
    eventually("the foreign bridge is up", || {
        let state = w.host().link("br0").unwrap()["operstate"].clone();
        only_if(state == "UP", state)
    });
    let before = w.host().shell(LOOK);
    for name in ["web", "db"] {
        w.container(name);
    }
    for round in 0..10 {
        w.bowline(&format!("network create front --subnet 10.9.{round}.0/24 --subnet fd00:9::/64"));
        w.bowline("network create back --subnet 10.8.0.0/24 --internal");
        w.bowline("endpoint create web --netns web --network front");
        w.bowline("endpoint create db --netns db --network front --network back");
        w.bowline("network connect back web");
        w.bowline("network update front --isolation open");
        w.bowline("network disconnect front web");
        w.bowline("endpoint rm web db");
        w.bowline("network rm front back");
    }
    w.bowline("system repair");
    w.restart();
    w.kill();
    w.start();
    assert_same("what is foreign", &before, &w.host().shell(LOOK));
    w.removes_everything();
    w.host().shell(CLEAR);
    w.host().run("sysctl -qw net.ipv6.conf.default.addr_gen_mode=0");
}

/// A bridge as it is, with its settings but for its timers, and everything on it.
fn stranger(w: &World) -> String {
    w.host().shell(
        "ip -d addr show bl-front | sed -E 's/[a-z_]+_timer +[0-9.]+//g'; ip -o link show master bl-front
         sysctl -a 2>/dev/null | grep -F .bl-front. | grep -vE 'forwarding|stable_secret'",
    )
}

pub(crate) fn a_stranger_with_our_bridges_name(w: &World) {
    w.host().run("ip link add bl-front type bridge");
    w.host().run("ip addr add 10.66.0.1/24 dev bl-front");
    let before = stranger(w);
    w.bowline("network create front --subnet 10.9.0.0/24");
    let bridge = w.api().network("front").unwrap().bridge.unwrap();
    assert_ne!(bridge, "bl-front");
    let web = w.attach("web", "front", "");
    web.reaches("10.9.0.1");
    w.restart();
    web.reaches("10.9.0.1");
    w.removes_everything();
    assert_same("the stranger", &before, &stranger(w));
    w.host().run("ip link del bl-front");
}

pub(crate) fn a_stranger_that_took_our_bridges_name_while_we_were_away(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    w.stop();
    w.host().run("ip link del bl-front");
    w.host().run("ip link add bl-front type bridge");
    w.host().run("ip addr add 10.66.0.1/24 dev bl-front");
    let before = stranger(w);
    w.start();
    w.container("web");
    // A network that has no bridge takes nobody, or gets a bridge of another name; a stranger's is no substitute.
    let said = w.tries("endpoint create web --netns web --network front");
    assert_same("the stranger", &before, &stranger(w));
    assert!(said.code != 0 || w.inside("web").pings("10.9.0.1"), "{said}");
    drop(w.tries("endpoint rm web"));
    drop(w.tries("system repair"));
    assert_same("the stranger", &before, &stranger(w));
    w.bowline("network rm front");
    assert_same("the stranger", &before, &stranger(w));
    w.host().run("ip link del bl-front");
}

pub(crate) fn a_card_of_the_containers_own(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    let web = w.container("web");
    web.run("ip link add eth0 type bridge");
    web.run("ip addr add 10.55.0.1/24 dev eth0");
    let before = web.run("ip -d addr show eth0");
    w.tries("endpoint create web --netns web --network front").refused("BWL-1212", 4);
    assert_eq!(web.run("ip -d addr show eth0"), before);
    assert_eq!(w.api().network("front").unwrap().subnets[0].used, 1);
    w.bowline("endpoint create web --netns web --network front --interface lan0");
    web.reaches("10.9.0.1");
    w.bowline("endpoint rm web");
    eventually("ours is gone", || only_if(web.link("lan0").is_none(), "lan0"));
    assert_eq!(web.run("ip -d addr show eth0"), before);
}

/// A container that has its own way out keeps it: joining is refused, and nothing is changed.
pub(crate) fn a_default_route_of_the_containers_own(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24");
    let web = w.container("web");
    web.shell("ip link set lo up; ip link add way0 type veth peer name way1; ip link set way0 up; ip addr add 192.168.7.2/24 dev way0; ip route add default via 192.168.7.1");
    let before = web.run("ip route");
    let said = w.tries("endpoint create web --netns web --network front");
    assert!(said.err.contains("BWL-1111") && said.err.contains("not ours"), "{said}");
    assert_eq!(web.run("ip route"), before);
    assert!(web.link("eth0").is_none());
    web.run("ip link del way0");
    w.bowline("endpoint create web --netns web --network front");
    assert_eq!(web.default_route("-4").as_deref(), Some("10.9.0.1 dev eth0"));
}
