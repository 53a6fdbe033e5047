//! Networks on links of the host's, on a daemon that rehearses. Its host has eth0 to eth3 (the second of 9000 bytes, the third a
//! port of br0, the last without a carrier) and wlan0.

use bowline_api::v1::OwnRoute;
use expect_test::expect;

use super::{says, shows};
use crate::support::{Daemon, endpoint};

fn with_lan() -> Daemon {
    let daemon = Daemon::start();
    daemon
        .cli("network create lan -d macvlan --parent eth0 --subnet 192.168.1.0/24 --gateway 192.168.1.1 --ip-range 192.168.1.192/27")
        .good();
    daemon
}

#[test]
fn they_are_listed_and_shown() {
    let daemon = with_lan();
    daemon.cli("network create dmz -d ipvlan --parent eth1 --mode l3 --subnet 10.1.0.0/24 --subnet fd00:1::/64 --host-access").good();
    daemon
        .cli("network create tagged -d macvlan --parent eth3.10 --mode private --subnet 10.2.0.0/24")
        .good();
    daemon.cli("network create back -d macvlan --internal --subnet 10.3.0.0/24").good();
    shows(
        &daemon,
        "network ls",
        &expect![[r#"
        NAME    DRIVER   SUBNET          GATEWAY      ENDPOINTS  IP USED  MTU   FLAGS
        back    macvlan  10.3.0.0/24     -            0          0/254    1500  internal
        dmz     ipvlan   10.1.0.0/24 +1  -            0          1/254    9000  parent=eth1 host-access ipv6
        host    host     -               -            0          -        -     -
        lan     macvlan  192.168.1.0/24  192.168.1.1  0          0/32     1500  parent=eth0
        none    none     -               -            0          -        -     -
        tagged  macvlan  10.2.0.0/24     -            0          0/254    1500  parent=eth3.10 parent-down
    "#]],
    );
    shows(
        &daemon,
        "network show dmz",
        &expect![[r#"
        dmz
          driver      ipvlan, MTU 9000
          parent      eth1, mode l3 bridge, up
          host        10.1.0.1/24, fd00:1::1/64: by these members reach it
          subnet      10.1.0.0/24, no gateway, 1 of 254 addresses used
          subnet      fd00:1::/64, no gateway, 1 addresses used
          names       members find one another by name
          created     TIME
          id          ID
          endpoints   none
    "#]],
    );
    shows(
        &daemon,
        "network show back",
        &expect![[r#"
        back
          driver      macvlan, MTU 1500
          parent      none: the network leads nowhere; mode bridge
          subnet      10.3.0.0/24, no gateway, 0 of 254 addresses used
          names       members find one another by name
          created     TIME
          id          ID
          endpoints   none
    "#]],
    );
    shows(
        &daemon,
        "network inspect dmz -f {{.Options}}",
        &expect![[r#"
        {"com.docker.network.driver.mtu":"9000","ipvlan_flag":"bridge","ipvlan_mode":"l3","parent":"eth1"}
    "#]],
    );
}

#[test]
fn what_an_attach_would_do() {
    let daemon = with_lan();
    shows(
        &daemon,
        "network create more -d macvlan --parent eth0.20 --subnet 10.4.0.0/24 --dry-run",
        &expect![[r#"
            + netns:1/eth0.20 vlan id 20 link eth0 up
            ~ netns:1/eth0.20 vlan id 20 link eth0 up
        "#]],
    );
    let mut web = endpoint("web", &["lan"]);
    web.networks[0].mac = Some("02:00:00:00:00:05".into());
    let plan = daemon.client().plan_endpoint(&web).unwrap().steps;
    assert!(plan[0].contains("macvlan mode bridge link eth0"), "{plan:?}");
    for part in ["arp_notify = 1", "addr 192.168.1.192/24", "default via 192.168.1.1"] {
        assert!(plan.iter().any(|step| step.contains(part)), "{part}: {plan:?}");
    }
}

#[test]
fn what_cannot_be_is_refused_with_its_reason() {
    let daemon = with_lan();
    for (line, wanted) in [
        (
            "network create x -d macvlan --subnet 10.4.0.0/24",
            expect![[r#"
                ! error[BWL-1115]: create network x
                !   cause: a link of the host's is needed to hang on
                !   fix: name one: --parent eth0, eth1, eth3, br0, br-tag; or add --internal for a network that leads nowhere
                [2]
            "#]],
        ),
        (
            "network create x -d macvlan --parent eth9 --subnet 10.4.0.0/24",
            expect![[r#"
                ! error[BWL-1115]: create network x
                !   cause: parent eth9 is missing: the host has no such link
                !   fix: choose one that is there: eth0, eth1, eth3, br0, br-tag
                [2]
            "#]],
        ),
        (
            "network create x -d macvlan --parent wlan0 --subnet 10.4.0.0/24",
            expect![[r#"
            ! error[BWL-1115]: create network x
            !   cause: parent wlan0 is not usable: it is wireless: an access point takes frames of one MAC only from it
            !   fix: choose a wired card, or a network of driver bridge
            [2]
        "#]],
        ),
        (
            "network create x -d macvlan --parent eth2 --subnet 10.4.0.0/24",
            expect![[r#"
            ! error[BWL-1217]: create network x
            !   cause: parent eth2 is in use: it belongs to br0
            !   fix: choose br0 itself: --parent br0
            [4]
        "#]],
        ),
        (
            "network create x -d ipvlan --parent eth0 --subnet 10.4.0.0/24",
            expect![[r#"
            ! error[BWL-1217]: create network x
            !   cause: parent eth0 is in use: network lan has it, with macvlan mode bridge
            !   fix: choose another parent, or remove it first: bowline network rm lan
            [4]
        "#]],
        ),
        (
            "network create x -d macvlan --parent eth0 --mode passthru --subnet 10.4.0.0/24",
            expect![[r#"
            ! error[BWL-1217]: create network x
            !   cause: parent eth0 is in use: network lan has it, with macvlan mode bridge
            !   fix: choose another parent, or remove it first: bowline network rm lan
            [4]
        "#]],
        ),
        (
            "network create x -d macvlan --parent eth0.4095 --subnet 10.4.0.0/24",
            expect![[r#"
            ! error[BWL-1116]: create network x
            !   cause: VLAN 4095 is not usable: VLANs have the numbers 1 to 4094
            !   fix: choose one of those
            [2]
        "#]],
        ),
        (
            "network create x -d ipvlan --parent eth1 --mode l3 --subnet 10.4.0.0/24 --gateway 10.4.0.1",
            expect![[r#"
                ! error[BWL-1104]: subnet 10.4.0.0/24 has no gateway
                !   cause: with ipvlan mode l3 bridge the parent itself routes
                !   fix: leave --gateway out
                [2]
            "#]],
        ),
        (
            "network update lan --internal",
            expect![[r#"
            ! error[BWL-1111]: update network lan
            !   cause: --internal means nothing to its driver: its packets do not pass this host
            !   fix: leave --internal out
            [2]
        "#]],
        ),
        (
            "network update lan --mtu 9000",
            expect![[r#"
            ! error[BWL-1109]: MTU 9000 is not usable
            !   cause: parent eth0 carries 1500 bytes at most
            !   fix: leave --mtu out to follow the parent
            [2]
        "#]],
        ),
    ] {
        says(&daemon, line, &wanted);
    }
}

#[test]
fn they_outlive_a_restart_and_a_vlan_goes_with_its_last_network() {
    let mut daemon = with_lan();
    let client = daemon.client();
    daemon.cli("network create a -d macvlan --parent eth0.10 --subnet 10.4.0.0/24 --host-access").good();
    daemon.cli("network create b -d macvlan --parent eth0.10 --subnet 10.5.0.0/24").good();
    daemon.endpoint("web", &["a"]);
    let before = client.network("a").unwrap();
    assert_eq!(before.host_addresses, ["10.4.0.1/24"]);
    let parent =
        |daemon: &Daemon| daemon.dump().wanted.iter().any(|line| line.contains("vlan id 10 link eth0"));
    assert!(parent(&daemon));
    daemon.terminate();
    daemon.start_again();
    let after = daemon.client().network("a").unwrap();
    assert_eq!(
        (after.host_addresses, after.parent, after.endpoints.len()),
        (before.host_addresses, before.parent, 1)
    );
    daemon.cli("endpoint rm web").good();
    daemon.cli("network rm a").good();
    assert!(parent(&daemon), "another network has it");
    daemon.cli("network rm b").good();
    assert!(!parent(&daemon));
}

#[test]
fn routes_and_settings_of_its_own_are_put_inside_as_on_a_bridge() {
    let daemon = with_lan();
    daemon.network("front", "10.9.0.0/24");
    for network in ["lan", "front"] {
        let mut web = endpoint("web", &[network]);
        let to = "198.51.100.0/24".to_string();
        web.networks[0].routes = vec![OwnRoute { to, metric: Some(7), ..OwnRoute::default() }];
        web.networks[0].sysctls = [("net/ipv4/conf/eth0/arp_filter".to_string(), "1".to_string())].into();
        let steps = daemon.client().plan_endpoint(&web).unwrap().steps;
        for wanted in ["sysctl net/ipv4/conf/eth0/arp_filter = 1", "route 198.51.100.0/24"] {
            assert!(steps.iter().any(|step| step.contains(wanted)), "{wanted} on {network}: {steps:#?}");
        }
    }
}
