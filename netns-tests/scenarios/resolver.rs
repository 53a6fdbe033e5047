//! The resolver as a container meets it: an address, a file, and otherwise its own loopback, its own port 53, its own
//! firewall.

use crate::world::World;
use crate::world::background::Background;
use crate::world::place::Place;
use crate::world::said::{eventually, only_if};

fn front(w: &World) {
    w.bowline("network create front --internal --subnet 10.9.0.0/24");
}

/// A name server of a container's own, at all of its addresses, that knows `app.test`.
fn serves_app_test(place: Place<'_>) -> Background {
    let flags = "--no-daemon --user=root --pid-file= --conf-file=/dev/null --no-hosts --no-resolv --port=53";
    let server = place.starts(&format!("dnsmasq {flags} --address=/app.test/203.0.113.9"));
    eventually("dnsmasq answers", || {
        let seen = place.digs_at("127.0.0.1", "app.test");
        only_if(seen.found() == ["203.0.113.9"], seen)
    });
    server
}

pub(crate) fn port_53_is_the_containers_own(w: &World) {
    front(w);
    let web = w.attach("web", "front", "");
    let db = w.attach("db", "front", "");
    let mut server = serves_app_test(web);
    for (over, from, address) in [("", web, "127.0.0.1"), ("+tcp", web, "127.0.0.1"), ("", db, "10.9.0.2")] {
        let seen = from.digs_at(address, &format!("{over} app.test"));
        assert_eq!(seen.found(), ["203.0.113.9"], "{address}: {}", seen.text);
    }
    for over in ["", "+tcp"] {
        assert_eq!(web.digs(&format!("{over} db")).found(), ["10.9.0.3"]);
        assert_eq!(web.digs(&format!("{over} app.test")).status, "NXDOMAIN", "that is another resolver");
        assert_eq!(web.digs_at("127.0.0.1", &format!("{over} db")).found(), [""; 0]);
    }
    assert!(server.still_runs());
    // One that was there before the resolver is in nobody's way either.
    let later = w.container("later");
    later.run("ip link set lo up");
    let _server = serves_app_test(later);
    w.bowline("endpoint create later --netns later --network front");
    assert_eq!(later.digs("db").found(), ["10.9.0.3"]);
    assert_eq!(later.digs_at("127.0.0.1", "app.test").found(), ["203.0.113.9"]);
    let all = later.run("ss -Hlnut sport = 53");
    assert!(all.lines().count() > 1 && !all.contains("127.0.0.11"), "{all}");
}

pub(crate) fn no_connection_is_tracked(w: &World) {
    front(w);
    let web = w.attach("web", "front", "");
    let mut asker = web.asker();
    for _ in 0..20 {
        assert_eq!(asker.finds("web"), ["10.9.0.2"]);
        assert_eq!(asker.ask_by_tcp("web", "A").data(), ["10.9.0.2"]);
    }
    let tracked = web.shell("cat /proc/sys/net/netfilter/nf_conntrack_count 2>/dev/null || echo 0");
    assert_eq!(tracked, "0\n");
    let rules = web.run("nft list ruleset");
    assert_eq!(rules.matches("table ").count(), 1, "{rules}");
    for word in ["ct ", "nat", "masquerade", "redirect", "prerouting"] {
        assert!(!rules.contains(word), "{word:?} in {rules}");
    }
}

/// Whatever has the port that we would like, or asks from an address of its own.
pub(crate) fn no_port_and_no_sender_is_in_the_way(w: &World) {
    front(w);
    let busy = w.container("busy");
    busy.run("ip link set lo up");
    let _servers = (busy.serves(11), busy.answers_udp("eleven", 11));
    w.bowline("endpoint create busy --netns busy --network front");
    let web = w.attach("web", "front", "");
    for (place, own) in [(busy, "10.9.0.2"), (web, "10.9.0.3")] {
        for from in [own, "127.0.0.1", "127.0.0.11", "127.9.9.9"] {
            for over in ["+notcp", "+tcp"] {
                let seen = place.digs(&format!("-b {from} {over} web"));
                assert_eq!(seen.found(), ["10.9.0.3"], "from {from}: {}", seen.text);
            }
        }
    }
    assert_eq!(busy.asks_udp("127.0.0.1", 11), "eleven 127.0.0.1");
}

/// What one client is answered in one go passes through the container's firewall as one packet, and is cut apart behind it:
/// each answer comes for itself, from the port that was asked. Where the loopback cannot, each goes by itself.
pub(crate) fn answers_that_travel_together_arrive_each_for_itself(w: &World) {
    const QUESTIONS: u64 = 64;
    w.bowline("network create front --internal --subnet 10.9.0.0/24");
    w.attach("db", "front", "");
    let web = w.attach("web", "front", "");
    web.run("nft add table ip witness");
    web.run("nft add chain ip witness out { type filter hook output priority 0 ; policy accept ; }");
    let packets = |mtu: &str| {
        web.run(&format!("ip link set lo mtu {mtu}"));
        web.run("nft flush table ip witness");
        web.run("nft add rule ip witness out ip saddr 127.0.0.11 udp sport 53 counter");
        // They wait for the next daemon, which so finds them all at once.
        w.kill();
        let mut asker = web.command("python3");
        let mut asking =
            Background::start("python3".into(), asker.args(["-c", ASKS_MANY, &QUESTIONS.to_string()]));
        asking.wait_for_line("asked");
        w.start();
        asking.wait_for_line("answered");
        assert_eq!(asking.ends().code, 0);
        let table = web.tries("nft -j list table ip witness").well().json();
        let find = |object: &serde_json::Value| {
            object["rule"]["expr"].as_array()?.iter().find_map(|part| part["counter"]["packets"].as_u64())
        };
        table["nftables"].as_array().and_then(|all| all.iter().find_map(find)).expect("the rule counts")
    };
    let together = packets("65536");
    assert!(together <= QUESTIONS / 4, "{together} packets for {QUESTIONS} answers");
    // An answer of 70 bytes, which one packet cannot hold.
    assert_eq!(packets("68"), QUESTIONS);
}

/// Asks `db.front` so often by one socket that takes answers from port 53 alone, and wants each question answered once.
const ASKS_MANY: &str = "
import socket, struct, sys
count = int(sys.argv[1])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(20)
s.connect(('127.0.0.11', 53))
asked = b'\\x02db\\x05front\\0\\0\\x01\\0\\x01'
for n in range(count):
    s.send(struct.pack('!6H', n, 0x100, 1, 0, 0, 0) + asked)
print('asked', flush=True)
left = set(range(count))
while left:
    answer = s.recv(512)
    number, flags, questions, answers = struct.unpack('!4H', answer[:8])
    left.remove(number)
    assert flags & 0x800f == 0x8000 and answers == 1 and answer[12:12 + len(asked)] == asked, answer
    assert answer[-4:] == bytes([10, 9, 0, 2]), answer
print('answered', flush=True)
";

/// What is in a container's firewall stays in it, through every coming and going of ours.
pub(crate) fn it_comes_and_goes_with_the_networks_and_leaves_nothing(w: &World) {
    front(w);
    w.bowline("network create back --internal --subnet 10.8.0.0/24");
    let web = w.container("web");
    web.run("ip link set lo up");
    web.run("nft add table inet app");
    web.run("nft add chain inet app out { type filter hook output priority 0 ; policy accept ; }");
    let look = "nft list ruleset; ss -Hlnutx; cat /proc/net/udp /proc/net/tcp | wc -l";
    let before = web.shell(look);
    w.bowline("endpoint create web --netns web --network front");
    let mut asker = web.asker();
    assert_eq!(asker.finds("web"), ["10.9.0.2"]);
    w.bowline("network connect back web");
    w.bowline("network disconnect front web");
    assert_eq!(asker.finds("web"), ["10.8.0.2"]);
    w.bowline("network disconnect back web");
    eventually("no trace of it is left inside", || {
        let now = web.shell(look);
        only_if(now == before, now)
    });
    w.bowline("network connect front web --ip 10.9.0.7");
    assert_eq!(asker.finds("web"), ["10.9.0.7"]);
    w.bowline("endpoint rm web");
    eventually("no trace of it is left inside", || {
        let now = web.shell(look);
        only_if(now == before, now)
    });
    assert!(!w.machine.path("/etc/netns/web").exists());
}

pub(crate) fn a_network_without_names_has_no_resolver(w: &World) {
    w.bowline("network create quiet --no-dns --internal --subnet 10.9.0.0/24");
    w.bowline("network create front --internal --subnet 10.8.0.0/24");
    let lines = "nameserver 192.0.2.2\n";
    let web = w.attach("web", "quiet", "");
    w.attach("db", "quiet:alias=store", "");
    assert_eq!(web.run("nft list ruleset"), "");
    assert_eq!(web.run("ss -Hlnut"), "");
    assert!(!w.machine.path("/etc/netns/web/resolv.conf").exists());
    assert!(w.api_json("/v1/endpoints/web")["dns"].is_null());
    assert_eq!(w.api_json("/v1/networks/quiet")["dns"], false);
    for network in ["quiet", "none"] {
        let said = w.bowline(&format!("run --network {network} -- cat /etc/resolv.conf"));
        assert_eq!(said.out, lines, "it has the host's");
        assert_eq!(w.bowline(&format!("run --network {network} -- nft list ruleset")).out, "");
    }
    // With one foot on a network with names, it sees those, and none of the other.
    w.bowline("network connect front web");
    let mut asker = web.asker();
    assert_eq!(asker.finds("web"), ["10.8.0.2"]);
    assert_eq!(asker.finds("db"), ["NXDOMAIN"]);
    assert_eq!(asker.finds("db.quiet"), ["NXDOMAIN"]);
    assert_eq!(asker.ask("3.0.9.10.in-addr.arpa", "PTR").records, [""; 0]);
    w.bowline("network disconnect front web");
    eventually("it is as it was", || {
        let rules = web.run("nft list ruleset");
        only_if(rules.is_empty(), rules)
    });
}

pub(crate) fn ipv6_alone_has_one_too(w: &World) {
    w.bowline("network create front --internal --subnet fd00:9::/64");
    let web = w.attach("web", "front", "");
    w.attach("db", "front", "");
    assert_eq!(web.digs("-t AAAA db").found(), ["fd00:9::3"]);
    assert_eq!(web.digs("+tcp -t AAAA db.front").found(), ["fd00:9::3"]);
    let seen = web.digs("-t A db");
    assert_eq!((seen.status.as_str(), seen.answers.len()), ("NOERROR", 0), "{}", seen.text);
    assert_eq!(web.digs("-x fd00:9::3").found(), ["db.front."]);
    w.host().run("ip netns exec web ping -6 -n -q -c 1 -W 20 db");
}

pub(crate) fn a_member_of_many_networks_has_one(w: &World) {
    const MANY: u8 = 12;
    let web = w.container("web");
    w.container("db");
    w.bowline("endpoint create web --netns web");
    w.bowline("endpoint create db --netns db");
    for n in 1..=MANY {
        w.bowline(&format!("network create n{n} --internal --subnet 10.9.{n}.0/24"));
        w.bowline(&format!("network connect n{n} web"));
        w.bowline(&format!("network connect n{n} db"));
    }
    let mut asker = web.asker();
    for n in 1..=MANY {
        assert_eq!(asker.finds(&format!("db.n{n}")), [format!("10.9.{n}.3")]);
    }
    let all = asker.ask("db", "A");
    assert_eq!(all.data()[0], "10.9.1.3", "{all:?}");
    assert_eq!(web.run("nft list ruleset").matches("table ").count(), 1);
    for n in 1..=MANY {
        w.bowline(&format!("network disconnect n{n} web"));
        assert!(asker.ask(&format!("db.n{n}"), "A").records.is_empty(), "{n}");
    }
}

/// It is the namespace that has a resolver; what endpoints are in it have their names.
pub(crate) fn two_endpoints_in_one_namespace_share_it(w: &World) {
    front(w);
    w.bowline("network create back --internal --subnet 10.8.0.0/24");
    let web = w.attach("web", "front", "");
    w.attach("db", "back", "");
    w.bowline("endpoint create second --netns web --network back:interface=eth1");
    let mut asker = web.asker();
    assert_eq!(asker.finds("web"), ["10.9.0.2"]);
    assert_eq!(asker.finds("second"), ["10.8.0.3"]);
    assert_eq!(asker.finds("db"), ["10.8.0.2"]);
    w.bowline("endpoint rm web");
    assert_eq!(asker.finds("db"), ["10.8.0.2"], "the other one still needs it");
    assert_eq!(asker.finds("web"), ["NXDOMAIN"]);
}

/// What one endpoint has no use for is the other's all the same.
pub(crate) fn who_has_no_names_leaves_the_others_theirs(w: &World) {
    front(w);
    w.bowline("network create plain --no-dns --subnet 10.8.0.0/24");
    let web = w.attach("web", "front", "");
    w.bowline("endpoint create second --netns web --network plain:interface=eth1");
    let mut asker = web.asker();
    w.has_no_drift();
    w.bowline("system repair");
    assert_eq!(asker.finds("web"), ["10.9.0.2"]);
    w.bowline("endpoint rm second");
    assert_eq!(asker.finds("web"), ["10.9.0.2"]);
    web.run("nft flush ruleset");
    assert!(w.tries("system drift --json").out.contains("resolver"), "what is amiss is said");
    w.bowline("system repair");
    assert_eq!(asker.finds("web"), ["10.9.0.2"]);
}

/// A container that nothing shows to be there yet is let go of in the end; whoever joins it later makes all of it again.
pub(crate) fn one_that_was_let_go_of_is_made_again(w: &World) {
    front(w);
    w.bowline("network create back --subnet 10.8.0.0/24");
    let web = w.attach("web", "front", "");
    assert_eq!(web.asker().finds("web"), ["10.9.0.2"]);
    // The name goes and comes back, which to us is the end of it.
    w.host().shell("mount --bind /run/netns/web /mnt/kept 2>/dev/null || { touch /mnt/kept; mount --bind /run/netns/web /mnt/kept; }");
    w.host().run("umount /run/netns/web");
    w.host().shell("mount --bind /mnt/kept /run/netns/web; umount /mnt/kept; rm /mnt/kept");
    w.bowline("network connect back web");
    assert_eq!(web.asker().finds("web"), ["10.8.0.2", "10.9.0.2"]);
}
