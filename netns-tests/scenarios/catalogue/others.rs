//! What belongs to others on the host: their tables, their reloads, their bridges, and addresses that were ours.

use crate::world::World;
use crate::world::said::{assert_same, eventually, only_if};

/// As nftables.service and firewalld put theirs: everything that was there goes, in the same step.
const RELOAD: &str = "nft -f - <<END
flush ruleset
table inet firewalld {
    chain mangle_PREROUTING { type filter hook prerouting priority -140; policy accept; }
    chain nat_PREROUTING { type nat hook prerouting priority -90; policy accept; }
    chain nat_POSTROUTING { type nat hook postrouting priority 110; policy accept; }
    chain filter_INPUT {
        type filter hook input priority 10; policy accept;
        ct state { established, related } accept
        ct status dnat accept
        iifname lo accept
        ct state invalid drop
        meta l4proto { icmp, ipv6-icmp } accept
    }
    chain filter_FORWARD {
        type filter hook forward priority 10; policy accept;
        ct state { established, related } accept
        ct status dnat accept
        ct state invalid drop
    }
    chain filter_OUTPUT { type filter hook output priority 10; policy accept; }
}
END";

/// Callers, whom they call, at which port, and whether they get an answer.
const REACHABILITY: &[(&str, &str, u16, bool)] = &[
    ("outside", "192.0.2.1", 8080, true),
    ("outside", "2001:db8::1", 8080, true),
    ("outside", "10.9.0.2", 80, false),
    ("outside", "fd00:9::2", 80, false),
    ("outside", "192.0.2.1", 8081, false),
    ("db", "192.0.2.1", 8080, true),
    ("db", "10.9.0.2", 80, false),
    ("db", "fd00:9::2", 80, false),
    ("inner", "10.9.0.2", 80, false),
    ("inner", "192.0.2.1", 8080, false),
    ("app", "10.9.0.2", 80, true),
    ("app", "fd00:9::2", 80, true),
];

#[track_caller]
fn everybody_reaches_whom_they_should(w: &World) {
    for &(from, address, port, answered) in REACHABILITY {
        match answered {
            true => w.inside(from).fetches(address, port),
            false => w.inside(from).does_not_fetch(address, port),
        }
    }
    w.host().fetches("127.0.0.1", 8081);
}

/// T-01. Reloads of other firewalls, and attempts at our tables, owned and not.
pub(crate) fn reloads_of_other_firewalls_change_nothing(w: &World) {
    w.bowline("network create front --subnet 10.9.0.0/24 --subnet fd00:9::/64");
    w.bowline("network create back --subnet 10.8.0.0/24 --subnet fd00:8::/64");
    w.bowline("network create hidden --subnet 10.7.0.0/24 --internal");
    let web = w.attach("web", "front", "-p 8080:80 -p 127.0.0.1:8081:80");
    w.attach("app", "front", "");
    w.attach("db", "back", "");
    w.attach("inner", "hidden", "").run("ip route add default via 10.7.0.1");
    w.outside().shell("ip route add 10.9.0.0/24 via 192.0.2.1; ip route add fd00:9::/64 via 2001:db8::1");
    let _server = web.serves(80);
    everybody_reaches_whom_they_should(w);

    let ours = || {
        ["inet", "bridge"].map(|family| w.host().run(&format!("nft list table {family} bowline"))).concat()
    };
    let whole = ours();
    for _ in 0..10 {
        w.host().shell(RELOAD);
    }
    for attempt in [
        "nft delete table inet bowline",
        "nft delete table bridge bowline",
        "nft flush table inet bowline",
        "nft flush chain inet bowline forward",
        "nft flush set bridge bowline guarded",
        "nft insert rule inet bowline forward accept",
        "nft add element inet bowline open { ipv4 . bl-front }",
    ] {
        let said = w.host().tries(attempt);
        assert!(said.code != 0, "{said}");
    }
    assert_same("our tables", &whole, &ours());
    everybody_reaches_whom_they_should(w);

    w.bowline("system release");
    let whole = ours();
    for attack in [
        RELOAD,
        "nft delete table inet bowline",
        "nft delete table bridge bowline",
        "nft flush chain inet bowline forward",
    ] {
        w.host().shell(attack);
        eventually("our tables are there again", || {
            let now = w.host().tries("nft list table bridge bowline").out;
            let now = w.host().tries("nft list table inet bowline").out + &now;
            only_if(now == whole, now)
        });
    }
    everybody_reaches_whom_they_should(w);
    w.host().run("nft delete table inet firewalld");
}

const TABLES: &str = "nft -f - <<END
table inet filter {
    set friends { type ipv4_addr; flags interval; elements = { 10.77.0.0/24 } }
    chain input { type filter hook input priority 0; policy accept; ip saddr @friends accept; }
    chain forward { type filter hook forward priority -1; policy accept; tcp dport 25 drop; }
}
table ip nat {
    map ports { type inet_service : ipv4_addr . inet_service; elements = { 2222 : 10.77.0.2 . 22 } }
    chain prerouting { type nat hook prerouting priority -100; policy accept; tcp dport 2222 dnat to 10.77.0.2:22; }
    chain postrouting { type nat hook postrouting priority 100; ip saddr 10.77.0.0/24 oifname uplink masquerade; }
}
table ip6 mangle {
    chain forward { type filter hook forward priority -150; tcp flags syn tcp option maxseg size set rt mtu; }
}
table bridge guard {
    chain forward { type filter hook forward priority 0; policy accept; ether type 0x88cc drop; }
}
table arp quiet {
    chain input { type filter hook input priority 0; policy accept; }
}
table ip bowline {
    chain forward { type filter hook forward priority 0; policy accept; }
}
END";

const STRANGERS: [&str; 6] =
    ["inet filter", "ip nat", "ip6 mangle", "bridge guard", "arp quiet", "ip bowline"];

/// T-07. Every verb that may change something, and those that only look.
pub(crate) fn no_verb_changes_a_strangers_table(w: &World) {
    w.host().shell(TABLES);
    // With the numbers of rules, which any new rule would raise.
    let look = || STRANGERS.map(|table| w.host().run(&format!("nft -a list table {table}"))).concat();
    let before = look();
    w.container("web");
    for line in [
        "network create front --subnet 10.9.0.0/24 --subnet fd00:9::/64",
        "network create back --subnet 10.8.0.0/24 --gateway-mode routed",
        "network create inner --internal --subnet 10.7.0.0/24",
        "network create unused",
        "endpoint create web --netns web --network front -p 8080:80 -p 127.0.0.1:8081:80 -p 53:53/udp",
        "network connect back web --gw-priority 5",
        "network connect inner web",
        "port publish web 9000-9010:9000-9010 9100:80",
        "port unpublish web 9100",
        "port check 9200",
        "port ls",
        "network update front --isolation strict",
        "network update front --no-icc",
        "network update front --trusted-interface uplink",
        "network disconnect back web",
        "run -d --name job --network front -p 8070:70 -- sleep 1000",
        "exec job -- true",
        "stop job",
        "rm job",
        "network prune --force",
        "system info",
        "system df",
        "system dump",
        "system drift",
        "system repair",
        "system firewall",
        "system release",
        "system prune --force",
    ] {
        w.bowline(line);
        assert_same(&format!("after '{line}' what is foreign"), &before, &look());
    }
    w.restart();
    w.kill();
    w.start();
    assert_same("after restarts what is foreign", &before, &look());
    w.bowline("port unpublish web --all");
    w.bowline("endpoint rm web");
    w.bowline("network rm front");
    assert_same("after removals what is foreign", &before, &look());
    for table in STRANGERS {
        w.host().run(&format!("nft delete table {table}"));
    }
}

const MACHINES: &str = "
sysctl -qw net.ipv4.ip_forward=1
ip link add virbr0 type bridge
ip addr add 10.66.0.1/24 dev virbr0
ip link set virbr0 up
for n in 2 3; do
    ip link add vnet$n type veth peer name eth0 netns vm$n
    ip link set vnet$n master virbr0 up
    ip -n vm$n addr add 10.66.0.$n/24 dev eth0
    ip -n vm$n link set eth0 up
    ip -n vm$n route add default via 10.66.0.1
done
nft -f - <<END
table ip libvirt {
    chain forward { type filter hook forward priority 0; policy accept; }
}
END";

/// T-11. Virtual machines on a bridge of somebody else's, in both directions, while ours come and go.
pub(crate) fn an_unrelated_bridge_goes_on_forwarding(w: &World) {
    let (one, two) = (w.container("vm2"), w.container("vm3"));
    w.host().shell(MACHINES);
    w.outside().run("ip route add 10.66.0.0/24 via 192.0.2.1");
    let _servers =
        (w.outside().echoes(7), w.outside().serves(80), one.serves(80), two.serves(80), w.host().serves(81));
    one.reaches("192.0.2.2");
    let talks = [one.talks_to("192.0.2.2", 7), two.talks_to("192.0.2.2", 7)];
    let forward = || {
        one.fetches("192.0.2.2", 80);
        w.outside().fetches("10.66.0.2", 80);
        one.fetches("10.66.0.3", 80);
        one.fetches("10.66.0.1", 81);
    };
    forward();
    w.bowline("network create front --subnet 10.9.0.0/24 --subnet fd00:9::/64");
    let web = w.attach("web", "front", "-p 8080:80");
    let _server = web.serves(80);
    forward();
    one.fetches("192.0.2.1", 8080);
    one.does_not_fetch("10.9.0.2", 80);
    w.restart();
    w.bowline("network create inner --subnet 10.8.0.0/24 --internal");
    forward();
    w.kill();
    forward();
    w.start();
    w.bowline("endpoint rm web");
    w.bowline("network rm front inner");
    forward();
    for talk in talks {
        talk.ends().well();
    }
    let table = w.host().run("nft list table ip libvirt");
    assert!(table.contains("policy accept;") && table.lines().count() == 5, "{table}");
    // What others have done to such machines would be seen here.
    w.host().run("nft add chain ip libvirt forward { policy drop; }");
    one.does_not_fetch("192.0.2.2", 80);
    w.host().shell("nft delete table ip libvirt; ip link del virbr0");
    w.outside().run("ip route del 10.66.0.0/24 via 192.0.2.1");
}

/// T-08. Who asks an address that was the host's gets whom it belongs to now.
pub(crate) fn a_port_on_an_address_that_moved_away_takes_nobodys_traffic(w: &World) {
    let here = "ip addr add 192.0.2.7/24 dev uplink; ip addr add 2001:db8::7/64 dev uplink nodad";
    w.host().shell(here);
    w.bowline("network create front --subnet 10.9.0.0/24 --subnet fd00:9::/64");
    w.bowline("network create back --subnet 10.8.0.0/24 --subnet fd00:8::/64");
    let web = w.attach("web", "front", "-p 192.0.2.7:8080:80 -p [2001:db8::7]:8080:80");
    let app = w.attach("app", "back", "");
    let _server = web.serves(80);
    // web sees a member of another network as it is; somebody beyond the uplink would see the host.
    assert_eq!(app.seen_by("192.0.2.7", 8080), "10.8.0.2");
    assert_eq!(app.seen_by("2001:db8::7", 8080), "fd00:8::2");

    w.host().shell(&here.replace("addr add", "addr del").replace(" nodad", ""));
    w.outside().shell(&here.replace("dev uplink", "dev card"));
    let _owner = w.outside().serves(8080);
    for from in [app, w.host()] {
        assert_eq!(from.seen_by("192.0.2.7", 8080), "192.0.2.1");
        assert_eq!(from.seen_by("2001:db8::7", 8080), "2001:db8::1");
    }
    for spec in ["192.0.2.7:8081:80", "[2001:db8::7]:8081:80", "198.51.100.1:8081:80"] {
        let said = w.tries(&format!("port publish web {spec}"));
        assert!(said.code == 2 && said.err.contains("error["), "{said}");
    }
    w.outside()
        .shell(&here.replace("addr add", "addr del").replace("dev uplink", "dev card").replace(" nodad", ""));
}
