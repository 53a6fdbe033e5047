//! Networks on bridges of others, in VLANs, and wires, on the kernel in memory: it has br0, and br-tag, which filters.

use bowline_api::Code;
use bowline_api::v1::{Driver, Ipam, Join, ParentState};
use expect_test::expect;
use serde_json::json;

use crate::support::{Daemon, endpoint};

fn on_vlan(network: &str, vlan: u16) -> Join {
    Join { network: network.into(), vlan: Some(vlan), ..Join::default() }
}

#[test]
fn a_bridge_of_others_gets_ports_and_nothing_else() {
    let mut daemon = Daemon::start();
    let create = "network create lan --parent br0 --subnet 192.168.1.0/24 --gateway 192.168.1.1 --dry-run";
    let plan = daemon.cli(create).good();
    assert!(!plan.contains("br0") && !plan.contains("ip_forward"), "{plan}");
    daemon.cli(&create.replace(" --dry-run", "")).good();
    let made = daemon.client().network("lan").unwrap();
    assert_eq!((made.driver, made.parent.as_deref()), (Driver::Bridge, Some("br0")));
    assert_eq!((made.bridge.as_deref(), made.parent_state), (Some("br0"), Some(ParentState::Up)));
    assert_eq!(made.subnets[0].gateway, Some([192, 168, 1, 1].into()));

    let web = daemon.endpoint("web", &["lan"]);
    assert_eq!(web.interfaces[0].gateways, ["192.168.1.1"]);
    assert!(web.interfaces[0].default_route);
    let wanted = format!("{:?}", daemon.dump().wanted);
    assert!(wanted.contains("master br0"), "{wanted}");
    assert!(!wanted.contains("/br0 "), "{wanted}");
    daemon.terminate();
    daemon.start_again();
    let again = daemon.client().network("lan").unwrap();
    assert_eq!((again.parent, again.subnets[0].gateway), (made.parent, made.subnets[0].gateway));
    assert_eq!(daemon.client().drift().unwrap().steps, [""; 0]);
    daemon.client().remove_endpoint("web").unwrap();
    daemon.cli("network rm lan").good();
}

#[test]
fn without_a_gateway_there_is_no_default_route() {
    let daemon = Daemon::start();
    daemon.cli("network create lan --parent br0 --subnet 192.168.1.0/24").good();
    let web = daemon.endpoint("web", &["lan"]);
    assert_eq!(web.interfaces[0].gateways, [""; 0]);
    assert!(!web.interfaces[0].default_route);
    assert_eq!(web.interfaces[0].addresses, ["192.168.1.1/24"], "no address is the gateway's");
}

#[test]
fn they_are_shown_to_people() {
    let daemon = Daemon::start();
    daemon.cli("network create lan --parent br-tag --vlan 30 --subnet 192.168.1.0/24 --no-icc").good();
    daemon.cli("network create wire -d p2p --subnet 10.9.0.0/31").good();
    daemon.cli("network create bare --ipam none").good();
    expect![[r#"
        NAME  DRIVER  SUBNET          GATEWAY  ENDPOINTS  IP USED  MTU   FLAGS
        bare  bridge  -               -        0          -        1500  -
        host  host    -               -        0          -        -     -
        lan   bridge  192.168.1.0/24  -        0          0/254    1500  parent=br-tag vlan=30 no-icc
        none  none    -               -        0          -        -     -
        wire  p2p     10.9.0.0/31     -        0          0/2      1500  -
    "#]]
    .assert_eq(&daemon.cli("network ls").good());
    let shown = daemon.cli("network show lan wire bare").good();
    let lines: Vec<&str> = shown.lines().filter(|l| !l.contains("created") && !l.contains("id   ")).collect();
    expect![[r#"
        lan
          driver      bridge br-tag, MTU 1500
          parent      br-tag, made by others, up
          vlan        30, of members that do not say another
          subnet      192.168.1.0/24, no gateway, 0 of 254 addresses used
          access      members do not reach one another; all else reaches them, as far as the bridge leads
          names       members find one another by name
          endpoints   none

        wire
          driver      p2p, MTU 1500
          subnet      10.9.0.0/31, no gateway, 0 of 2 addresses used
          access      its two members reach each other, and nothing else
          names       members find one another by name
          endpoints   none

        bare
          driver      bridge bl-bare, MTU 1500
          subnet      none: members bring their own addresses
          access      members reach one another; from outside only published ports are open; they leave under their own addresses
          names       members find one another by name
          endpoints   none"#]].assert_eq(&lines.join("\n"));
}

#[test]
fn an_endpoint_is_in_the_networks_vlan_or_in_its_own() {
    let mut daemon = Daemon::start();
    daemon.cli("network create front --vlan 10 --subnet 10.9.0.0/24").good();
    let vlan = |daemon: &Daemon, name: &str| daemon.client().endpoint(name).unwrap().interfaces[0].vlan;
    daemon.endpoint("web", &["front"]);
    let mut red = endpoint("red", &[]);
    red.networks = vec![on_vlan("front", 20)];
    let red = daemon.client().create_endpoint(&red).unwrap();
    assert_eq!((vlan(&daemon, "web"), vlan(&daemon, "red")), (Some(10), Some(20)));
    assert!(!red.interfaces[0].default_route, "a VLAN of its own has no gateway");
    daemon.cli("port publish red 8080:80").failed_with(Code::InvalidOption);
    daemon.endpoint("db", &[]);
    daemon.cli("network connect front db --vlan 30").good();
    assert_eq!(vlan(&daemon, "db"), Some(30));
    daemon.kill();
    daemon.start_again();
    let all = ["web", "red", "db"].map(|name| vlan(&daemon, name));
    assert_eq!(all, [Some(10), Some(20), Some(30)]);
}

#[test]
fn a_wire_has_two_ends() {
    let daemon = Daemon::start();
    daemon.cli("network create wire -d p2p --subnet 10.9.0.0/31").good();
    let (a, b) = (daemon.endpoint("a", &["wire"]), daemon.endpoint("b", &["wire"]));
    let addresses = [&a, &b].map(|e| e.interfaces[0].addresses[0].clone());
    assert_eq!(addresses, ["10.9.0.0/31", "10.9.0.1/31"]);
    let mac = b.interfaces[0].mac.clone();
    let third = daemon.client().create_endpoint(&endpoint("c", &["wire"])).unwrap_err();
    assert_eq!(third.code, Code::BridgeFull);
    assert!(third.to_string().contains("wire"), "{third}");
    daemon.client().remove_endpoint("b").unwrap();
    let c = daemon.endpoint("c", &["wire"]);
    assert_eq!((&c.interfaces[0].addresses[0], &c.interfaces[0].mac), (&addresses[1], &mac));
}

#[test]
fn members_without_addresses() {
    let daemon = Daemon::start();
    daemon.cli("network create bare --ipam none").good();
    let bare = daemon.client().network("bare").unwrap();
    assert_eq!((bare.ipam, bare.subnets.len()), (Ipam::None, 0));
    let web = daemon.endpoint("web", &["bare"]);
    assert_eq!(web.interfaces[0].addresses, [""; 0]);
    daemon.cli("network create other --ipam none --subnet 10.9.0.0/24").failed_with(Code::InvalidOption);
}

#[test]
fn what_does_not_fit_is_refused() {
    let daemon = Daemon::start();
    let before = daemon.dump();
    let lan = json!({ "name": "lan", "parent": "br0", "subnets": [{ "cidr": "192.168.1.0/24" }] });
    let with = |fields: serde_json::Value| {
        let mut wish = lan.clone();
        wish.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        wish.to_string()
    };
    for (fields, code) in [
        (json!({ "parent": "br1" }), Code::InvalidParent),
        (json!({ "parent": "eth0" }), Code::InvalidParent),
        (json!({ "parent": "lo" }), Code::InvalidParent),
        (json!({ "parent": "" }), Code::InvalidParent),
        (json!({ "parent": "a name that is too long" }), Code::InvalidParent),
        (json!({ "subnets": [] }), Code::InvalidOption),
        (json!({ "vlan": 10 }), Code::InvalidVlan),
        (json!({ "parent": "br-tag", "vlan": 0 }), Code::InvalidVlan),
        (json!({ "parent": "br-tag", "vlan": 4095 }), Code::InvalidVlan),
        (json!({ "parent": null, "vlan": 4095 }), Code::InvalidVlan),
        (json!({ "mtu_bytes": 9000 }), Code::InvalidMtu),
        (json!({ "internal": true }), Code::InvalidOption),
        (json!({ "isolation": "strict" }), Code::InvalidOption),
        (json!({ "gateway_mode_ipv4": "routed" }), Code::InvalidOption),
        (json!({ "masquerade": false }), Code::InvalidOption),
        (json!({ "trusted_interfaces": ["eth0"] }), Code::InvalidOption),
        (json!({ "vrf": "blue" }), Code::InvalidOption),
        (json!({ "parent": null, "vrf": "blue" }), Code::Unsupported),
        (json!({ "driver": "p2p" }), Code::InvalidOption),
        (json!({ "driver": "p2p", "parent": null, "vlan": 10 }), Code::InvalidOption),
        (json!({ "driver": "p2p", "parent": null, "icc": false }), Code::InvalidOption),
    ] {
        for path in ["/v1/networks", "/v1/networks/plan"] {
            let answer = daemon.ask("POST", path, &with(fields.clone()));
            assert_ne!(answer.status, 200, "{fields}: it was taken");
            assert_eq!(answer.failure().0, code, "{path} {fields}: {}", answer.text());
        }
    }
    assert_eq!(daemon.dump(), before);
    daemon.cli("network create front").good();
    daemon.endpoint("web", &[]);
    daemon.cli("network connect front web --vlan 20").failed_with(Code::InvalidVlan);
    daemon.cli("network connect front web --vlan 4095").failed_with(Code::InvalidVlan);
    daemon.cli("network create lan --parent br0 --subnet 192.168.1.0/24").good();
    daemon.cli("network connect lan web --vlan 20").failed_with(Code::InvalidVlan);
    daemon.cli("network update lan --internal").failed_with(Code::InvalidOption);
}
