//! `bowline network`, on a daemon that rehearses.

use expect_test::expect;
use serde_json::Value;

use super::{furnished, says, shows};
use crate::support::Daemon;

#[test]
fn networks_are_listed() {
    let daemon = furnished();
    shows(
        &daemon,
        "network ls",
        &expect![[r#"
        NAME   DRIVER  SUBNET          GATEWAY     ENDPOINTS  IP USED  MTU   FLAGS
        back   bridge  10.8.0.0/24 +1  10.8.0.1    1          2/254    1400  internal ipv6 no-icc
        empty  bridge  10.7.0.0/30     10.7.0.1    0          1/2      1500  strict no-masquerade
        front  bridge  10.9.0.0/24     10.9.0.254  1          3/254    1500  -
        host   host    -               -           0          -        -     -
        none   none    -               -           0          -        -     -
    "#]],
    );
    shows(
        &daemon,
        "network ls --no-trunc",
        &expect![[r#"
        NAME   DRIVER  SUBNET                   GATEWAY             ENDPOINTS  IP USED  MTU   FLAGS
        back   bridge  10.8.0.0/24,fd00:8::/64  10.8.0.1,fd00:8::1  1          2/254,2  1400  internal ipv6 no-icc
        empty  bridge  10.7.0.0/30              10.7.0.1            0          1/2      1500  strict no-masquerade
        front  bridge  10.9.0.0/24              10.9.0.254          1          3/254    1500  -
        host   host    -                        -                   0          -        -     -
        none   none    -                        -                   0          -        -     -
    "#]],
    );
    shows(
        &daemon,
        "net ls --filter label=tier -q",
        &expect![[r#"
        front
    "#]],
    );
    shows(
        &daemon,
        "network ls --format {{.Name}}={{.Internal}}",
        &expect![[r#"
        back=true
        empty=false
        front=false
        host=false
        none=true
    "#]],
    );
}

#[test]
fn networks_are_shown_to_people() {
    let daemon = furnished();
    shows(
        &daemon,
        "network show front back",
        &expect![[r#"
            front
              driver      bridge bl-front, MTU 1500
              subnet      10.9.0.0/24, gateway 10.9.0.254, 3 of 254 addresses used
              access      members reach one another; from outside only published ports are open; they leave under the host's address
              names       members find one another by name
              label       tier=web
              created     TIME
              id          ID
              ENDPOINT  INTERFACE  ADDRESSES    MAC                PORTS
              web       eth0       10.9.0.5/24  02:00:00:00:00:05  -

            back
              driver      bridge bl-back, MTU 1400, super-packets of 196608 bytes
              subnet      10.8.0.0/24, gateway 10.8.0.1, 2 of 254 addresses used
              subnet      fd00:8::/64, gateway fd00:8::1, 2 addresses used
              access      members reach neither one another nor anything outside
              names       members find one another by name
              created     TIME
              id          ID
              ENDPOINT  INTERFACE  ADDRESSES                 MAC                PORTS
              web       eth1       10.8.0.2/24,fd00:8::2/64  02:00:00:00:00:06  -
        "#]],
    );
    shows(
        &daemon,
        "network show empty none",
        &expect![[r#"
            empty
              driver      bridge bl-empty, MTU 1500
              subnet      10.7.0.0/30, gateway 10.7.0.1, 1 of 2 addresses used
              access      members reach one another; from outside only published ports are open, and to no other network of this host; they leave under their own addresses
              names       members find one another by name
              created     TIME
              id          ID
              endpoints   none

            none
              driver      none
              created     TIME
              id
              endpoints   none
        "#]],
    );
}

#[test]
fn networks_are_inspected_in_dockers_shape_and_in_ours() {
    let daemon = furnished();
    let inspected: Value = serde_json::from_str(&daemon.cli("network inspect front").good()).unwrap();
    let front = &inspected[0];
    assert_eq!(
        (&front["Name"], &front["IPAM"]["Config"][0]["Gateway"]),
        (&"front".into(), &"10.9.0.254".into())
    );
    let ours = serde_json::to_value(daemon.client().network("front").unwrap()).unwrap();
    assert_eq!(front["Bowline"], ours);
    let template = "{{range .IPAM.Config}}{{.Subnet}}{{end}}";
    assert_eq!(daemon.cli_with(&["network", "inspect", "-f", template, "front"]).good(), "10.9.0.0/24\n");
}

#[test]
fn networks_are_made_changed_and_removed() {
    let daemon = Daemon::start();
    says(
        &daemon,
        "network create front --subnet 10.9.0.0/24",
        &expect![[r#"
        front
        ! front: subnet 10.9.0.0/24, gateway 10.9.0.1
        [0]
    "#]],
    );
    says(
        &daemon,
        "network create back --subnet 10.8.0.0/24 -q",
        &expect![[r#"
        back
        [0]
    "#]],
    );
    says(
        &daemon,
        "network create front",
        &expect![[r#"
        ! error[BWL-1203]: network front exists already
        !   fix: choose another name, or remove it first: bowline network rm front
        [4]
    "#]],
    );
    says(
        &daemon,
        "network create new --subnet 10.9.0.0/25",
        &expect![[r#"
        ! error[BWL-1107]: subnet 10.9.0.0/25 overlaps network front (10.9.0.0/24)
        !   fix: bowline network create new --subnet 10.160.0.0/24
        [4]
    "#]],
    );
    says(
        &daemon,
        "network create new --subnet 10.7.0.1/24",
        &expect![[r#"
        ! error[BWL-1103]: subnet 10.7.0.1/24 is not usable
        !   cause: it has host bits set
        !   fix: did you mean 10.7.0.0/24?
        [2]
    "#]],
    );
    says(
        &daemon,
        "network create new --subnet 10.7.0.0/24 --dry-run",
        &expect![[r#"
            + netns:1 element networks { bl-new }
            + netns:1 element within { bl-new . bl-new }
            + netns:1 element masquerade4 { 10.7.0.0/24 }
            + netns:1/bl-new bridge mtu 1500 up address MAC owner ID
            ~ netns:1 sysctl net/ipv6/conf/bl-new/accept_dad = 0
            ~ netns:1 sysctl net/ipv6/conf/bl-new/accept_ra = 0
            ~ netns:1 sysctl net/ipv6/conf/bl-new/disable_ipv6 = 1
            + netns:1/bl-new addr 10.7.0.1/24
            ~ netns:1/bl-new bridge mtu 1500 up address MAC owner ID
            [0]
        "#]],
    );
    says(
        &daemon,
        "network update front --internal --label a=b",
        &expect![[r#"
        front
        [0]
    "#]],
    );
    says(
        &daemon,
        "network update front",
        &expect![[r#"
        ! error[BWL-1001]: nothing to change on front
        !   fix: say what: bowline network update front --isolate
        [2]
    "#]],
    );
    says(
        &daemon,
        "network show fornt",
        &expect![[r#"
        ! error[BWL-1201]: there is no network "fornt"
        !   fix: did you mean front? or see what there is: bowline network ls
        [3]
    "#]],
    );
    says(
        &daemon,
        "network rm nobody back",
        &expect![[r#"
        back
        ! error[BWL-1201]: there is no network "nobody"
        !   fix: see what there is: bowline network ls
        [3]
    "#]],
    );
    daemon.endpoint("web", &["front"]);
    says(
        &daemon,
        "network rm front",
        &expect![[r#"
        ! error[BWL-1205]: network front has endpoints
        !   cause: web
        !   fix: take them off first: bowline network disconnect front web
        [4]
    "#]],
    );
    says(
        &daemon,
        "network rm -f front nobody",
        &expect![[r#"
        front
        [0]
    "#]],
    );
    says(
        &daemon,
        "network rm host",
        &expect![[r#"
        ! error[BWL-1102]: network host is always there
        !   fix: leave it
        [2]
    "#]],
    );
    says(
        &daemon,
        "network prune -f",
        &expect![[r#"
        ! nothing to remove
        [0]
    "#]],
    );
}
