//! Values that make no sense: each refused with its own code, fast, and nothing is changed by any of them.

use std::time::Duration;

use bowline_api::Code::{self, *};
use serde_json::{Value, json};

use crate::support::{Daemon, fastest};

const FAST: Duration = Duration::from_millis(10);

/// A daemon with networks `front` (10.9.0.0/24, fd00:9::/64, range 10.9.0.64/26) and `back`, and the endpoint `web`.
struct Bed {
    daemon: Daemon,
    before: bowline_api::v1::Dump,
}

impl Bed {
    fn new() -> Bed {
        let daemon = Daemon::start();
        let front = json!({ "name": "front", "subnets": [
            { "cidr": "10.9.0.0/24", "ip_range": "10.9.0.64/26", "aux_addresses": { "printer": "10.9.0.70" } },
            { "cidr": "fd00:9::/64" },
        ] });
        assert_eq!(daemon.ask("POST", "/v1/networks", &front.to_string()).status, 200);
        daemon.network("back", "10.8.0.0/24");
        daemon.endpoint("web", &["front"]);
        let before = daemon.dump();
        Bed { daemon, before }
    }

    fn refuses(&self, method: &str, path: &str, body: &Value, wanted: Code) {
        let body = body.to_string();
        let (took, answer) = fastest(|| self.daemon.ask(method, path, &body));
        let what = format!("{method} {path} {:.200}", body);
        assert_ne!(answer.status, 200, "{what}: it was taken: {}", answer.text());
        let (code, failure) = answer.failure();
        assert_eq!(code, wanted, "{what}: {failure:?}");
        assert!(took < FAST, "{what}: refused after {took:?}");
        let said = format!("{} {:?} {:?}", failure.message, failure.cause, failure.fix);
        assert!(!failure.message.chars().any(char::is_control), "{what}: it says control characters: {said}");
        assert!(said.len() < 2000, "{what}: it says too much: {said}");
    }

    fn refuses_network(&self, fields: Value, wanted: Code) {
        let mut wish = json!({ "name": "new" });
        merge(&mut wish, fields);
        self.refuses("POST", "/v1/networks", &wish, wanted);
        self.refuses("POST", "/v1/networks/plan", &wish, wanted);
    }

    fn refuses_subnet(&self, fields: Value, wanted: Code) {
        let mut subnet = json!({ "cidr": "10.7.0.0/24" });
        merge(&mut subnet, fields);
        self.refuses_network(json!({ "subnets": [subnet] }), wanted);
    }

    /// By creating and by connecting, which must agree.
    fn refuses_join(&self, fields: Value, wanted: Code) {
        let mut join = json!({ "network": "back" });
        merge(&mut join, fields);
        self.refuses("POST", "/v1/endpoints/web/connect", &join, wanted);
        let create = json!({ "name": "new", "netns": { "path": "/run/netns/new" }, "networks": [join] });
        self.refuses("POST", "/v1/endpoints", &create, wanted);
        self.refuses("POST", "/v1/endpoints/plan", &create, wanted);
    }
}

impl Drop for Bed {
    /// After all of it: nothing was changed, and the daemon is as well as before.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.daemon.dump(), self.before, "something was changed");
            assert_eq!(self.daemon.client().drift().unwrap().steps, [""; 0]);
        }
    }
}

fn merge(into: &mut Value, fields: Value) {
    let (Value::Object(into), Value::Object(fields)) = (into, fields) else { panic!("objects only") };
    into.extend(fields);
}

#[test]
fn names() {
    let bed = Bed::new();
    let (long, longer) = ("a".repeat(65), "é".repeat(40));
    for name in [
        "",
        " ",
        "a b",
        "a/b",
        "/",
        ".",
        "..",
        "../../etc/passwd",
        ".hidden",
        "-rf",
        "_a",
        "a\0b",
        "\0",
        "a\nb",
        "a\tb",
        "\u{1b}[31mred",
        "\u{7f}",
        "\u{9b}0m",
        "$(reboot)",
        "`reboot`",
        "a;reboot",
        "a|b",
        "a&b",
        "a>b",
        "a'b",
        "a\"b",
        "a\\b",
        "*",
        "a*",
        "?",
        "~",
        "%s%n",
        "{name}",
        "a:b",
        "a@b",
        "a,b",
        "a=b",
        "a+b",
        "é",
        "日本",
        "a\u{202e}b",
        "\u{feff}a",
        "a\u{200b}",
        "😀",
        &long,
        &longer,
    ] {
        bed.refuses_network(json!({ "name": name }), InvalidName);
        let create = json!({ "name": name, "netns": { "path": "/run/netns/new" } });
        bed.refuses("POST", "/v1/endpoints", &create, InvalidName);
        bed.refuses_join(json!({ "aliases": ["good", name] }), InvalidName);
    }
    for name in ["host", "none", "default", "all", "localhost"] {
        bed.refuses_network(json!({ "name": name }), ReservedName);
        let create = json!({ "name": name, "netns": { "path": "/run/netns/new" } });
        bed.refuses("POST", "/v1/endpoints", &create, ReservedName);
    }
    let hostname = |text: &str| json!({ "name": "new", "netns": { "path": "/x" }, "hostname": text });
    bed.refuses("POST", "/v1/endpoints", &hostname("a b"), InvalidName);
    bed.refuses("POST", "/v1/endpoints", &hostname(""), InvalidName);
}

#[test]
fn what_is_asked_for_by_a_name_that_cannot_be_is_not_found() {
    let bed = Bed::new();
    for name in [
        "..",
        "%2e%2e",
        "%2Fetc%2Fpasswd",
        "%00",
        "%0d%0aX:%201",
        "a%20b",
        "$(reboot)",
        "*",
        "nobody",
        "0",
        "fffff",
    ] {
        for (method, verb) in [("GET", ""), ("DELETE", ""), ("POST", "/stop")] {
            bed.refuses(method, &format!("/v1/endpoints/{name}{verb}"), &Value::Null, EndpointNotFound);
        }
        for method in ["GET", "DELETE"] {
            bed.refuses(method, &format!("/v1/networks/{name}"), &Value::Null, NetworkNotFound);
        }
        bed.refuses("PATCH", &format!("/v1/networks/{name}"), &json!({}), NetworkNotFound);
    }
    for network in ["", "nobody", "../front", "FRONT", "front ", "front\0"] {
        bed.refuses_join(json!({ "network": network }), NetworkNotFound);
        bed.refuses("POST", "/v1/endpoints/web/disconnect", &json!({ "network": network }), NetworkNotFound);
    }
}

#[test]
fn subnets() {
    let bed = Bed::new();
    for cidr in [
        "",
        "x",
        "/",
        "/24",
        "10.7.0.0",
        "10.7.0.0/",
        "10.7.0/24",
        "10.7.0.0.0/24",
        "10.7.0.0/33",
        "10.7.0.0/-1",
        "10.7.0.0/+24",
        "10.7.0.0/024x",
        "10.7.0.0/24 ",
        " 10.7.0.0/24",
        "10.7.0.0/255.255.255.0",
        "10.07.0.0/24",
        "0x0a.7.0.0/24",
        "256.7.0.0/24",
        "10.7.0.1/24",
        "10.7.0.128/24",
        "10.7.0.0/32",
        "10.0.0.0/7",
        "10.0.0.0/1",
        "0.0.0.0/0",
        "0.0.0.0/8",
        "127.0.0.0/24",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "224.0.0.0/24",
        "239.1.0.0/16",
        "240.0.0.0/8",
        "255.255.255.0/24",
        "fd00:7::1/64",
        "fd00:7::/128",
        "::/0",
        "::/64",
        "::1/128",
        "fe80::/64",
        "ff02::/64",
        "::ffff:10.7.0.0/120",
        "fd00:7::/129",
        "fd00:7:/64",
        "fd00:7::%eth0/64",
        "10.7.0.0/24\0",
        "10.7.0.0/24\n",
        "$(reboot)/24",
    ] {
        bed.refuses_subnet(json!({ "cidr": cidr }), InvalidSubnet);
    }
    for cidr in [
        "10.9.0.0/24",
        "10.9.0.0/25",
        "10.9.0.128/25",
        "10.8.0.0/15",
        "10.0.0.0/8",
        "10.8.0.0/30",
        "fd00:9::/64",
        "fd00:9::/48",
        "fd00:9::/120",
    ] {
        bed.refuses_subnet(json!({ "cidr": cidr }), SubnetOverlap);
    }
    let twice = json!([{ "cidr": "10.7.0.0/24" }, { "cidr": "10.7.0.0/25" }]);
    bed.refuses_network(json!({ "subnets": twice }), SubnetOverlap);
    bed.refuses_network(json!({ "ipv4": false }), InvalidOption);
}

#[test]
fn gateways_ranges_and_aux_addresses() {
    let bed = Bed::new();
    for gateway in [
        "10.8.0.1",
        "10.7.1.1",
        "10.7.0.0",
        "10.7.0.255",
        "fd00:7::1",
        "0.0.0.0",
        "127.0.0.1",
        "255.255.255.255",
        "::ffff:10.7.0.1",
    ] {
        bed.refuses_subnet(json!({ "gateway": gateway }), InvalidGateway);
    }
    for gateway in ["10.7.0.1", "fd00:7::", "fd00:8::1", "::"] {
        bed.refuses_subnet(json!({ "cidr": "fd00:7::/64", "gateway": gateway }), InvalidGateway);
    }
    for range in [
        "",
        "x",
        "10.7.0.64",
        "10.7.0.65/26",
        "10.7.1.0/26",
        "10.7.0.0/23",
        "10.0.0.0/8",
        "10.8.0.0/26",
        "fd00:7::/80",
        "10.7.0.0/33",
    ] {
        bed.refuses_subnet(json!({ "ip_range": range }), InvalidRange);
    }
    for address in ["10.8.0.5", "10.7.0.0", "10.7.0.255", "fd00:7::5", "0.0.0.0"] {
        bed.refuses_subnet(json!({ "aux_addresses": { "printer": address } }), InvalidAddress);
    }
}

#[test]
fn routes_and_mtus() {
    let bed = Bed::new();
    let route = |to: &str, via: &str| json!({ "subnets": [{ "cidr": "10.7.0.0/24" }], "routes": [{ "to": to, "via": via }] });
    for (to, via, code) in [
        ("192.0.2.0/24", "10.8.0.1", InvalidOption),
        ("192.0.2.1/24", "10.7.0.9", InvalidOption),
        ("0.0.0.0/0", "10.7.0.9", InvalidOption),
        ("2001:db8::/32", "10.7.0.9", InvalidOption),
        ("192.0.2.0/24", "10.7.0.0", InvalidOption),
        ("192.0.2.0/24", "10.7.0.255", InvalidOption),
        ("192.0.2.0", "10.7.0.9", InvalidSubnet),
        ("x", "10.7.0.9", InvalidSubnet),
    ] {
        bed.refuses_network(route(to, via), code);
    }
    for mtu in [0, 1, 575, 65_536, 4_294_967_295_u64] {
        bed.refuses_network(json!({ "mtu_bytes": mtu }), InvalidMtu);
        bed.refuses("PATCH", "/v1/networks/back", &json!({ "mtu_bytes": mtu }), InvalidMtu);
    }
    bed.refuses_network(json!({ "ipv6": true, "mtu_bytes": 1279 }), InvalidMtu);
    bed.refuses("PATCH", "/v1/networks/front", &json!({ "mtu_bytes": 1279 }), InvalidMtu);
}

#[test]
fn addresses_of_endpoints() {
    let bed = Bed::new();
    for (ip, code) in [
        ("10.9.0.5", InvalidAddress),
        ("10.8.0.0", InvalidAddress),
        ("10.8.0.255", InvalidAddress),
        ("10.8.1.5", InvalidAddress),
        ("0.0.0.0", InvalidAddress),
        ("127.0.0.1", InvalidAddress),
        ("224.0.0.1", InvalidAddress),
        ("10.8.0.1", AddressTaken),
    ] {
        bed.refuses_join(json!({ "ip": ip }), code);
    }
    bed.refuses_join(json!({ "ip6": "fd00:9::5" }), InvalidAddress);
    let taken = |ip: &str| json!({ "name": "new", "netns": { "path": "/x" }, "networks": [{ "network": "front", "ip": ip }] });
    for ip in ["10.9.0.1", "10.9.0.70", "10.9.0.64"] {
        bed.refuses("POST", "/v1/endpoints", &taken(ip), AddressTaken);
    }
    bed.refuses_join(json!({ "network": "host" }), InvalidOption);
}

#[test]
fn hardware_addresses() {
    let bed = Bed::new();
    for mac in [
        "",
        "x",
        "02:42",
        "02:42:ac:11:00",
        "02:42:ac:11:00:02:03",
        "zz:42:ac:11:00:02",
        "01:00:5e:00:00:01",
        "33:33:00:00:00:01",
        "ff:ff:ff:ff:ff:ff",
        "00:00:00:00:00:00",
        "0242ac110002",
        "0242.ac11.0002",
        "02:42:ac:11:00:2",
        "+2:42:ac:11:00:02",
        " 02:42:ac:11:00:02",
        "02:42:ac:11:00:02\0",
        "02:42:ac:11:00:02\n",
        "é2:42:ac:11:00:02",
    ] {
        bed.refuses_join(json!({ "mac": mac }), InvalidMac);
    }
}

#[test]
fn interface_names() {
    let bed = Bed::new();
    for name in [
        "",
        " ",
        ".",
        "..",
        "a b",
        "a/b",
        "../x",
        "a:1",
        "eth%d",
        "%n",
        "sixteen-bytes-xx",
        "a\0b",
        "a\nb",
        "\u{1b}[0m",
        "é",
        "ééééééé",
    ] {
        bed.refuses_join(json!({ "interface": name }), InvalidInterface);
    }
    bed.refuses_join(json!({ "interface": "lo" }), InterfaceTaken);
    bed.refuses(
        "POST",
        "/v1/endpoints/web/connect",
        &json!({ "network": "back", "interface": "eth0" }),
        InterfaceTaken,
    );
    let both = json!([{ "network": "front", "interface": "lan" }, { "network": "back", "interface": "lan" }]);
    let create = json!({ "name": "new", "netns": { "path": "/x" }, "networks": both });
    bed.refuses("POST", "/v1/endpoints", &create, InterfaceTaken);
    let twice = json!({ "name": "new", "netns": { "path": "/x" }, "networks": [{ "network": "front" }, { "network": "front" }] });
    bed.refuses("POST", "/v1/endpoints", &twice, AlreadyConnected);
}

#[test]
fn labels() {
    let bed = Bed::new();
    let (long, longer) = ("k".repeat(257), "v".repeat(4097));
    for (key, value) in [
        ("", "v"),
        ("k\n", "v"),
        ("k", "v\0"),
        ("k\u{1b}[0m", "v"),
        ("k", "\u{9b}"),
        (&long, "v"),
        ("k", &longer),
    ] {
        bed.refuses_network(json!({ "labels": { key: value } }), InvalidOption);
        bed.refuses("PATCH", "/v1/networks/front", &json!({ "labels": { key: value } }), InvalidOption);
        let create = json!({ "name": "new", "netns": { "path": "/x" }, "labels": { key: value } });
        bed.refuses("POST", "/v1/endpoints", &create, InvalidOption);
    }
    let many: serde_json::Map<String, Value> = (0..129).map(|n| (format!("k{n}"), json!("v"))).collect();
    bed.refuses_network(json!({ "labels": many }), InvalidOption);
}

#[test]
fn namespaces_and_drivers() {
    let bed = Bed::new();
    for netns in [json!({}), json!({ "path": "" }), json!({ "fd": null })] {
        bed.refuses("POST", "/v1/endpoints", &json!({ "name": "new", "netns": netns }), InvalidNetns);
    }
    for driver in ["none", "host"] {
        bed.refuses_network(json!({ "driver": driver }), InvalidOption);
    }
    bed.refuses_network(json!({ "name": "front" }), NetworkExists);
    bed.refuses(
        "POST",
        "/v1/endpoints",
        &json!({ "name": "web", "netns": { "path": "/x" } }),
        EndpointExists,
    );
    bed.refuses("DELETE", "/v1/networks/front", &Value::Null, NetworkInUse);
    bed.refuses("DELETE", "/v1/networks/host", &Value::Null, ReservedName);
    bed.refuses("POST", "/v1/endpoints/web/connect", &json!({ "network": "front" }), AlreadyConnected);
    bed.refuses("POST", "/v1/endpoints/web/disconnect", &json!({ "network": "back" }), NotConnected);
}

/// What has the wrong shape; what a wish may say is another matter.
#[test]
fn wishes_and_questions_of_another_shape() {
    let bed = Bed::new();
    for dns in [
        json!([]),
        json!("192.0.2.53"),
        json!(null),
        json!({ "servers": "192.0.2.53" }),
        json!({ "servers": ["ten"] }),
        json!({ "servers": ["192.0.2.53:53"] }),
        json!({ "servers": ["fe80::1%eth0"] }),
        json!({ "search": [1] }),
        json!({ "options": { "ndots": 1 } }),
        json!({ "links": ["db:sql"] }),
        json!({ "links": [["db", "sql"]] }),
        json!({ "links": [{ "alias": "sql" }] }),
        json!({ "links": [{ "endpoint": "db", "name": "sql" }] }),
        json!({ "nameservers": [] }),
    ] {
        let create = json!({ "name": "new", "netns": { "path": "/x" }, "dns": dns });
        bed.refuses("POST", "/v1/endpoints", &create, InvalidRequest);
    }
    for question in [
        json!({}),
        json!(["web", "db", "A"]),
        json!({ "name": 1 }),
        json!({ "name": "db", "kind": 1 }),
        json!({ "name": "db", "type": "A" }),
        json!({ "name": "db", "endpoint": ["web"] }),
    ] {
        bed.refuses("POST", "/v1/dns/resolve", &question, InvalidRequest);
    }
    bed.refuses_network(json!({ "dns": "no" }), InvalidRequest);
    bed.refuses_network(json!({ "dns": null }), InvalidRequest);
}

#[test]
fn parents() {
    let bed = Bed::new();
    let lan = |fields: Value| {
        let mut wish =
            json!({ "driver": "macvlan", "parent": "eth0", "subnets": [{ "cidr": "192.168.1.0/24" }] });
        merge(&mut wish, fields);
        wish
    };
    for parent in [
        "",
        "eth9",
        "lo",
        "wlan0",
        "eth 0",
        "../eth0",
        "eth0.",
        "eth0.x",
        "eth9.10",
        "bl-front",
        &"e".repeat(500),
    ] {
        bed.refuses_network(lan(json!({ "parent": parent })), InvalidParent);
    }
    for parent in ["eth0.0", "eth0.4095", "eth0.65535"] {
        bed.refuses_network(lan(json!({ "parent": parent })), InvalidVlan);
    }
    bed.refuses_network(lan(json!({ "parent": "eth2" })), ParentTaken);
    bed.refuses_network(lan(json!({ "parent": null })), InvalidParent);
    for mode in ["", "l2", "BRIDGE", "source", "bridge\0"] {
        bed.refuses_network(lan(json!({ "mode": mode })), InvalidMode);
    }
    for flag in ["", "l2", "PRIVATE"] {
        bed.refuses_network(lan(json!({ "driver": "ipvlan", "flag": flag })), InvalidMode);
    }
    for fields in [
        json!({ "internal": true }),
        json!({ "flag": "bridge" }),
        json!({ "vlan": 10 }),
        json!({ "vrf": "red" }),
        json!({ "icc": false }),
        json!({ "masquerade": false }),
        json!({ "isolation": "strict" }),
        json!({ "gateway_mode_ipv4": "routed" }),
        json!({ "trusted_interfaces": ["eth1"] }),
        json!({ "gso": "on" }),
        json!({ "mode": "private", "host_access": true }),
        json!({ "driver": "bridge", "parent": null, "mode": "l2" }),
    ] {
        bed.refuses_network(lan(fields), InvalidOption);
    }
    bed.refuses_network(lan(json!({ "mtu_bytes": 1501 })), InvalidMtu);
    bed.refuses_network(lan(json!({ "driver": "ipvlan", "mode": "l3s", "subnets": [{ "cidr": "10.7.0.0/24", "gateway": "10.7.0.1" }] })), InvalidGateway);
    bed.refuses_network(lan(json!({ "subnets": [{ "cidr": "10.9.0.0/24" }] })), SubnetOverlap);
}
