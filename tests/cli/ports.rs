//! `bowline port`, and what else is about ports, rates and the firewall, on a daemon that rehearses.

use bowline_api::Code;
use bowline_api::v1::{Endpoint, Port, PortCheck};
use expect_test::expect;

use super::endpoints::a_namespace;
use super::{says, shows};
use crate::support::Daemon;

fn with_web() -> Daemon {
    let daemon = Daemon::start();
    daemon.network("front", "10.9.0.0/24");
    daemon.endpoint("web", &["front"]);
    daemon
}

#[test]
fn ports_are_published_listed_and_taken_back() {
    let daemon = with_web();
    says(
        &daemon,
        "port publish web 8080:80 127.0.0.1:5300-5302:53-55/udp",
        &expect![[r#"
        *:8080->80/tcp
        127.0.0.1:5300-5302->53-55/udp
        [0]
    "#]],
    );
    says(
        &daemon,
        "port ls",
        &expect![[r#"
        HOST       PORTS             PROTOCOL  ENDPOINT  ADDRESSES
        127.0.0.1  5300-5302->53-55  udp       web       10.9.0.2
        *          8080->80          tcp       web       10.9.0.2
        [0]
    "#]],
    );
    assert_eq!(daemon.cli("port ls web").good(), daemon.cli("port ls").good());
    shows(
        &daemon,
        "port ls --format {{.host_ip}}:{{.host_port}}:{{.port}}/{{.protocol}}",
        &expect![[r#"
        127.0.0.1:5300:53/udp
        <no value>:8080:80/tcp
    "#]],
    );
    shows(
        &daemon,
        "endpoint ls",
        &expect![[r#"
        NAME  STATE  NETWORKS  ADDRESSES    INTERFACES  PORTS
        web   live   front     10.9.0.2/24  eth0        *:8080->80/tcp +1
    "#]],
    );
    shows(
        &daemon,
        "network show front",
        &expect![[r#"
            front
              driver      bridge bl-front, MTU 1500
              subnet      10.9.0.0/24, gateway 10.9.0.1, 2 of 254 addresses used
              access      members reach one another; from outside only published ports are open; they leave under the host's address
              names       members find one another by name
              created     TIME
              id          ID
              ENDPOINT  INTERFACE  ADDRESSES    MAC                PORTS
              web       eth0       10.9.0.2/24  MAC  *:8080->80/tcp, 127.0.0.1:5300-5302->53-55/udp
        "#]],
    );
    says(
        &daemon,
        "port unpublish web 8080",
        &expect![[r#"
        *:8080->80/tcp
        [0]
    "#]],
    );
    says(
        &daemon,
        "port unpublish web 8080",
        &expect![[r#"
        ! error[BWL-1215]: port 8080/tcp of endpoint web is not published
        !   fix: see what is: bowline port ls web
        [3]
    "#]],
    );
    says(
        &daemon,
        "port unpublish web --all",
        &expect![[r#"
        127.0.0.1:5300-5302->53-55/udp
        [0]
    "#]],
    );
    says(
        &daemon,
        "port ls",
        &expect![[r#"
        HOST  PORTS  PROTOCOL  ENDPOINT  ADDRESSES
        [0]
    "#]],
    );
}

#[test]
fn a_port_that_is_chosen_is_printed() {
    let daemon = with_web();
    let ran = daemon.cli("port publish web 80 --json").good();
    let ports: Vec<Port> = serde_json::from_str(&ran).unwrap();
    let chosen = ports[0].host_port.unwrap();
    let listed = daemon.cli("port ls web").good();
    assert!(listed.contains(&format!("{chosen}->80")), "{listed}");
    let ran = daemon.cli("port publish web 8000-8010:443").good();
    assert_eq!(ran, "*:8000->443/tcp\n");
}

#[test]
fn a_port_has_one_owner() {
    let daemon = with_web();
    daemon.endpoint("db", &["front"]);
    says(
        &daemon,
        "port check 8080",
        &expect![[r#"
        port 8080/tcp is free
        [0]
    "#]],
    );
    daemon.cli("port publish web 8080:80").good();
    says(
        &daemon,
        "port check 127.0.0.1:8080",
        &expect![[r#"
        ! error[BWL-1214]: port 127.0.0.1:8080/tcp is taken
        !   cause: endpoint web has published *:8080->80/tcp
        !   fix: this one is free: 127.0.0.1:8081/tcp
        [4]
    "#]],
    );
    let check = daemon.cli("port check 8080 --json");
    assert_eq!(check.code, Some(4), "{check:?}");
    let check: PortCheck = serde_json::from_str(&check.out).unwrap();
    assert_eq!((check.free, check.suggestion), (false, Some(8081)));
    says(
        &daemon,
        "port publish db 8080:5432",
        &expect![[r#"
        ! error[BWL-1214]: publish ports of db
        !   cause: port 8080/tcp is taken: endpoint web has published it
        !   fix: this is free: -p 8081:5432/tcp
        [4]
    "#]],
    );
    daemon.cli("port publish db 8081:5432 8080:5433").failed_with(Code::PortTaken);
    assert_eq!(daemon.cli("port ls db --json").good().trim(), "[]", "all are published, or none");
}

#[test]
fn what_is_no_port_and_no_rate_is_refused_before_anything_is_done() {
    let daemon = with_web();
    let before = daemon.dump();
    for line in
        ["port publish web 8080:http", "port publish web [::1:80", "port check 0", "run -p 99999 -- true"]
    {
        daemon.cli(line).failed_with(Code::InvalidPort);
    }
    for line in ["run --rate-in fast -- true", "network connect front web --rate-out 1bit"] {
        daemon.cli(line).failed_with(Code::InvalidRate);
    }
    daemon.cli("port unpublish web 8080").failed_with(Code::NotPublished);
    daemon.cli("port unpublish web").failed_with(Code::InvalidRequest);
    daemon.cli("port publish wbe 80").failed_with(Code::EndpointNotFound);
    daemon.cli("network create lab --gateway-mode isolated").failed_with(Code::InvalidOption);
    assert_eq!(daemon.dump(), before);
}

#[test]
fn an_endpoint_is_made_with_ports_rates_and_its_senders_unchecked() {
    let daemon = Daemon::start();
    daemon.network("front", "10.9.0.0/24");
    let netns = a_namespace(&daemon);
    let wish = "-p 8080:80 -P --expose 9000-9001/udp --rate-in 10mbit --no-antispoof --mac 02:00:00:00:00:05";
    daemon.cli(&format!("endpoint create web --netns {netns} --network front:rate-out=500k {wish}")).good();
    let web: Endpoint = daemon.client().endpoint("web").unwrap();
    let card = &web.interfaces[0];
    assert_eq!((card.rate_in_bits_per_s, card.rate_out_bits_per_s), (Some(10_000_000), Some(500_000)));
    assert!(!web.antispoof);
    assert_eq!(web.ports.len(), 2, "{:?}", web.ports);
    let shown = daemon.cli("endpoint show web").good();
    for line in
        ["published   *:8080->80/tcp", "rate        eth0: at most 10mbit in, 500kbit out", "antispoof   off"]
    {
        assert!(shown.contains(line), "{line}: {shown}");
    }
}

#[test]
fn gateway_modes_and_trusted_interfaces_are_shown() {
    let daemon = Daemon::start();
    let line = "network create lab --subnet 10.9.0.0/24 --subnet fd00:9::/64 --gateway-mode-ipv6 routed";
    daemon.cli(&format!("{line} --trusted-interface wg0 --trusted-interface eth1")).good();
    shows(
        &daemon,
        "network show lab",
        &expect![[r#"
            lab
              driver      bridge bl-lab, MTU 1500
              subnet      10.9.0.0/24, gateway 10.9.0.1, 1 of 254 addresses used
              subnet      fd00:9::/64, gateway fd00:9::1, 1 addresses used
              access      members reach one another; from outside only published ports are open; they leave under the host's address by IPv4, else under their own
              gateway     IPv6 routed: members are reached at their own addresses, on published ports only
              names       members find one another by name
              trusted     eth1, wg0: what comes from there reaches every port of members
              created     TIME
              id          ID
              endpoints   none
        "#]],
    );
    daemon.cli("network update lab --no-trusted-interfaces").good();
    shows(
        &daemon,
        "network ls --filter name=lab",
        &expect![[r#"
        NAME  DRIVER  SUBNET          GATEWAY   ENDPOINTS  IP USED  MTU   FLAGS
        lab   bridge  10.9.0.0/24 +1  10.9.0.1  0          1/254    1500  ipv6 ipv6=routed
    "#]],
    );
}

#[test]
fn the_firewall_is_shown_and_handed_back() {
    let daemon = with_web();
    says(
        &daemon,
        "system firewall",
        &expect![[r#"
        tables     inet bowline and bridge bowline, owned: nobody else can change or flush them
        elements   6
        rules      none of yours
        obstacles  none
        [0]
    "#]],
    );
    says(
        &daemon,
        "system release",
        &expect![[r#"
        the tables are no longer owned; a flush by others is undone within milliseconds
        ! own them again: restart the daemon
        [0]
    "#]],
    );
}
