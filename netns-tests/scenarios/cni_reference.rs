//! CNI as a runtime sees it: the same configuration lists through the program and through the reference plugins, each
//! on a machine of its own. What differs on purpose is asserted as it is, and is what docs/cni.md says.

use serde_json::{Value, json};

use crate::world::cni::{Attachment, List, Runtime};
use crate::world::said::{eventually, only_if};
use crate::world::{Snapshot, World};

/// The reference plugins on their machine, beside ours.
struct Peer {
    world: World,
}

impl Peer {
    fn new() -> Peer {
        Peer { world: World::new() }
    }

    fn runtime(&self) -> Runtime<'_> {
        Runtime::reference(&self.world)
    }
}

fn bridge(name: &str, ipam: Value) -> Value {
    let mut plugin = json!({"type": "bridge", "bridge": name, "isDefaultGateway": true, "ipMasq": true});
    plugin["ipam"] = ipam;
    plugin
}

fn host_local(subnets: &[&str]) -> Value {
    let ranges: Value = subnets.iter().map(|subnet| json!([{"subnet": subnet}])).collect();
    json!({"type": "host-local", "ranges": ranges})
}

fn portmap() -> Value {
    json!({"type": "portmap", "capabilities": {"portMappings": true}})
}

/// What two honest implementations say alike, and only that.
fn alike(result: &Value) -> Value {
    let mut result = result.clone();
    for interface in result["interfaces"].as_array_mut().into_iter().flatten() {
        let name = interface["name"].as_str().unwrap_or_default().to_string();
        // Ours are known by their own names: a port of any network of bowline's is called so.
        if name.starts_with("veth") || name.len() == 13 && name.starts_with("bl") {
            interface["name"] = "its end on the host".into();
        }
        let fields = interface.as_object_mut().expect("an interface is an object");
        // Of its own end of the pair ours says no MAC: nobody speaks to it.
        let mac = fields.remove("mac");
        if fields.contains_key("sandbox") {
            assert!(mac.is_some_and(|mac| mac.as_str().is_some_and(|mac| mac.len() == 17)), "{result}");
        }
    }
    // Ours answers names, and says where.
    let dns = result.as_object_mut().and_then(|all| all.remove("dns"));
    let says_nothing = |dns: &Value| *dns == json!({}) || *dns == json!({"nameservers": ["127.0.0.11"]});
    assert!(dns.is_none_or(|dns| says_nothing(&dns)), "{result}");
    result
}

#[track_caller]
fn well<T>(what: &str, answer: Result<T, impl std::fmt::Display>) -> T {
    answer.unwrap_or_else(|refusal| panic!("{what}: {refusal}"))
}

/// The whole life of an attachment by both, with the same result.
#[track_caller]
fn same_life(w: &World, peer: &Peer, list: &List, at: &Attachment) {
    let what = format!("{} at {}", list.name(), list.version());
    let both = [(w, Runtime::ours(w)), (&peer.world, peer.runtime())];
    let results = both.map(|(world, runtime)| {
        let name = at.netns.rsplit('/').next().expect("a path has a last part");
        world.host().run(&format!("ip netns add {name}"));
        let before = gone(world);
        let result = well(&what, runtime.add(list, at));
        // The reference of this version looks for rules of IPv6 where there is none, and for gateways that it did not set.
        if list.at_least("0.4.0") && world.daemon_runs() {
            well(&what, runtime.check(list, at));
        }
        well(&what, runtime.del(list, at));
        well(&format!("{what}, again"), runtime.del(list, at));
        eventually(&format!("{what}: nothing is left but the bridge"), || {
            let after = gone(world);
            only_if(before == after, format!("{before:?} became {after:?}"))
        });
        world.host().run(&format!("ip netns del {name}"));
        alike(&result)
    });
    let [ours, theirs] = results;
    assert_eq!(ours, theirs, "{what}");
}

/// What is there for a single attachment: host ends, and addresses that are kept for it.
fn gone(world: &World) -> String {
    world.host().shell("ip -o link | grep -oE 'veth[0-9a-f]+@' || true; find /var/lib/cni/networks -name '[0-9a-f]*.*' 2>/dev/null | sort || true")
}

pub(crate) fn the_same_lists_have_the_same_results(w: &World) {
    let peer = Peer::new();
    for (n, version) in ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"].into_iter().enumerate() {
        let subnet = format!("10.20.{n}.0/24");
        let list = List::new(
            version,
            &format!("v{n}"),
            json!([bridge(&format!("br{n}"), host_local(&[&subnet])), portmap()]),
        );
        same_life(w, &peer, &list, &Attachment::of("web").publishes(&[(8080, 80, "tcp")]));
    }
}

pub(crate) fn addresses_are_given_as_the_reference_gives_them(w: &World) {
    let peer = Peer::new();
    let cases = [
        ("dual", host_local(&["10.30.1.0/24", "fd00:30:1::/64"])),
        (
            "range",
            json!({"type": "host-local", "ranges": [[
                {"subnet": "10.30.2.0/24", "rangeStart": "10.30.2.77", "rangeEnd": "10.30.2.90", "gateway": "10.30.2.254"}
            ]]}),
        ),
        ("flat", json!({"type": "host-local", "subnet": "10.30.3.0/24"})),
        (
            "routes",
            json!({"type": "host-local", "subnet": "10.30.4.0/24",
                   "routes": [{"dst": "10.99.0.0/16"}, {"dst": "10.98.0.0/16", "gw": "10.30.4.9"}]}),
        ),
        (
            "static",
            json!({"type": "static", "addresses": [{"address": "10.30.5.9/24", "gateway": "10.30.5.1"}],
                   "routes": [{"dst": "10.97.0.0/16"}]}),
        ),
    ];
    for (name, ipam) in cases {
        let list = List::new("1.0.0", name, json!([bridge(&format!("br-{name}"), ipam)]));
        same_life(w, &peer, &list, &Attachment::of("web"));
    }
    let asked = List::new("1.0.0", "asked", json!([bridge("br-asked", host_local(&["10.30.6.0/24"]))]));
    same_life(w, &peer, &asked, &Attachment::of("web").args("IgnoreUnknown=1;IP=10.30.6.40;K8S_POD_NAME=x"));
    let mut ips = asked.clone();
    ips.json["name"] = "ips".into();
    ips.json["plugins"] = json!([bridge("br-ips", host_local(&["10.30.7.0/24"]))]);
    ips.json["plugins"][0]["capabilities"] = json!({"ips": true, "mac": true});
    let at =
        Attachment::of("web").has("ips", json!(["10.30.7.50/24"])).has("mac", json!("02:11:22:33:44:55"));
    same_life(w, &peer, &ips, &at);
}

pub(crate) fn chained_plugins_change_the_result_alike(w: &World) {
    let peer = Peer::new();
    let sysctl = json!({"type": "tuning", "sysctl": {"net.ipv4.conf.eth0.arp_filter": "1"}, "mac": "02:00:00:00:00:77"});
    let firewall = json!({"type": "firewall"});
    for (name, version, more) in [
        ("tuned", "0.4.0", vec![sysctl.clone()]),
        ("walled", "1.0.0", vec![portmap(), firewall.clone()]),
        ("every", "1.0.0", vec![portmap(), firewall, sysctl]),
    ] {
        let subnet = format!("10.31.{}.0/24", name.as_bytes()[0]);
        let plugins: Vec<Value> =
            [bridge(&format!("br-{name}"), host_local(&[&subnet]))].into_iter().chain(more).collect();
        let list = List::new(version, name, plugins.into());
        same_life(w, &peer, &list, &Attachment::of("web").publishes(&[(8080, 80, "tcp"), (5353, 53, "udp")]));
    }
}

/// Both machines, one story: who reaches whom.
pub(crate) fn the_same_list_connects_alike(w: &World) {
    let peer = Peer::new();
    let list = List::new(
        "1.0.0",
        "apps",
        json!([bridge("br-apps", host_local(&["10.32.0.0/24", "fd00:32::/64"])), portmap(), {"type": "firewall"}]),
    );
    // Without it a container of the reference's does not reach itself.
    let mut list = list;
    list.json["plugins"][0]["hairpinMode"] = true.into();
    for (world, runtime) in [(w, Runtime::ours(w)), (&peer.world, peer.runtime())] {
        let [web, db] = ["web", "db"].map(|name| world.container(name));
        let web_at = Attachment::of("web").publishes(&[(8080, 80, "tcp"), (5353, 53, "udp")]);
        let added = well("add web", runtime.add(&list, &web_at));
        assert_eq!(added["ips"][0]["address"], "10.32.0.2/24");
        well("add db", runtime.add(&list, &Attachment::of("db")));
        let _server = web.serves(80);
        let _names = web.answers_udp("web", 53);
        db.reaches("10.32.0.2");
        db.reaches("fd00:32::2");
        db.reaches("10.32.0.1");
        db.reaches("192.0.2.2");
        assert_eq!(db.seen_by("10.32.0.2", 80), "10.32.0.3");
        assert_eq!(world.outside().seen_by("192.0.2.1", 8080), "192.0.2.2");
        assert_eq!(world.outside().asks_udp("192.0.2.1", 5353), "web 192.0.2.2");
        world.host().fetches("127.0.0.1", 8080);
        world.host().fetches("192.0.2.1", 8080);
        db.fetches("192.0.2.1", 8080);
        web.fetches("192.0.2.1", 8080);
        well("del web", runtime.del(&list, &web_at));
        world.outside().does_not_fetch("192.0.2.1", 8080);
        eventually("web's interface is gone", || only_if(web.link("eth0").is_none(), "it is there"));
        db.reaches("192.0.2.2");
        well("del db", runtime.del(&list, &Attachment::of("db")));
    }
}

/// What the reference leaves behind when the runtime has no namespace to speak of any more, ours does not.
pub(crate) fn a_del_without_a_namespace_leaves_nothing(w: &World) {
    let runtime = Runtime::ours(w);
    let list =
        List::new("1.0.0", "apps", json!([bridge("br-apps", host_local(&["10.33.0.0/24"])), portmap()]));
    w.container("web");
    let at = Attachment::of("web").publishes(&[(8080, 80, "tcp")]);
    well("the first makes the network", runtime.add(&list, &at));
    well("del", runtime.del(&list, &at));
    eventually("it is gone", || only_if(w.api().endpoints().unwrap().is_empty(), w.api().endpoints()));
    let bridge = || w.host().link("br-apps").map(|link| link["operstate"].clone());
    eventually("the bridge has no carrier", || only_if(bridge() == Some("DOWN".into()), bridge()));
    let before = Snapshot::of(w);
    well("add", runtime.add(&list, &at));
    runtime.forgets();
    well("del", runtime.del(&list, &at.clone().netns("").has("portMappings", json!([]))));
    w.is_still(&before);
}
