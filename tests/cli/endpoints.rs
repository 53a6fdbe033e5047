//! `bowline endpoint`, and moving endpoints between networks, on a daemon that rehearses.

use expect_test::expect;
use serde_json::Value;

use super::{furnished, says, shows};
use crate::support::Daemon;

#[test]
fn endpoints_are_listed_and_shown() {
    let daemon = furnished();
    shows(
        &daemon,
        "endpoint ls",
        &expect![[r#"
            NAME  STATE    NETWORKS    ADDRESSES       INTERFACES  PORTS
            old   stopped  -           -               -           -
            web   live     front,back  10.9.0.5/24 +2  eth0,eth1   -
        "#]],
    );
    shows(
        &daemon,
        "ep ls -q",
        &expect![[r#"
        old
        web
    "#]],
    );
    shows(
        &daemon,
        "endpoint show web",
        &expect![[r#"
            web
              state       live
              namespace   /run/netns/web, cookie COOKIE
              resolver    127.0.0.11
              created     TIME
              id          ID
              INTERFACE  NETWORK  ADDRESSES                 GATEWAY               MAC                MTU   ALIASES
              eth0       front    10.9.0.5/24               10.9.0.254 (default)  02:00:00:00:00:05  1500  api,www
              eth1       back     10.8.0.2/24,fd00:8::2/64  -                     02:00:00:00:00:06  1400  -
        "#]],
    );
    shows(
        &daemon,
        "endpoint show old",
        &expect![[r#"
        old
          state       stopped
          namespace   /run/netns/old, cookie COOKIE
          created     TIME
          id          ID
          interfaces  none
    "#]],
    );
    let inspected: Value = serde_json::from_str(&daemon.cli("endpoint inspect web").good()).unwrap();
    assert_eq!(inspected[0], serde_json::to_value(daemon.client().endpoint("web").unwrap()).unwrap());
    let macs = daemon
        .cli_with(&["endpoint", "inspect", "-f", "{{range .interfaces}}{{.mac}},{{end}}", "web"])
        .good();
    assert_eq!(macs, "02:00:00:00:00:05,02:00:00:00:00:06,\n");
}

/// The path of a namespace that can be opened: which one it is does not matter where nothing is done to it.
pub(super) fn a_namespace(daemon: &Daemon) -> String {
    let path = daemon.path("netns");
    std::os::unix::fs::symlink("/proc/self/ns/net", &path).unwrap();
    path.display().to_string()
}

#[test]
fn endpoints_are_connected_disconnected_and_removed() {
    let daemon = Daemon::start();
    let netns = a_namespace(&daemon);
    daemon.network("front", "10.9.0.0/24");
    daemon.network("back", "10.8.0.0/24");
    says(
        &daemon,
        &format!("endpoint create web --netns {netns} --network front --ip 10.9.0.5 --mac 02:00:00:00:00:05"),
        &expect![[r#"
        web
        ! web: eth0 10.9.0.5/24 on front
        [0]
    "#]],
    );
    says(
        &daemon,
        &format!("endpoint create web --netns {netns}"),
        &expect![[r#"
        ! error[BWL-1204]: create endpoint web
        !   cause: endpoint web exists already
        !   fix: choose another name, or remove it first: bowline rm web
        [4]
    "#]],
    );
    says(
        &daemon,
        &format!("endpoint create new --netns {netns} --network frond"),
        &expect![[r#"
        ! error[BWL-1201]: there is no network "frond"
        !   fix: did you mean front? or see what there is: bowline network ls
        [3]
    "#]],
    );
    says(
        &daemon,
        "endpoint create new --netns /nowhere/at/all",
        &expect![[r#"
        ! error[BWL-1302]: /nowhere/at/all is gone
        !   cause: nothing is there
        !   fix: see which there are: ip netns list
        [3]
    "#]],
    );
    daemon.endpoint("db", &["front"]);
    says(
        &daemon,
        "network connect back db --ip 10.8.0.9 --alias sql",
        &expect![[r#"
        ! db: eth1 10.8.0.9/24 on back
        [0]
    "#]],
    );
    says(
        &daemon,
        "network connect back db",
        &expect![[r#"
            ! error[BWL-1209]: connect db to back
            !   cause: endpoint db is on network back already
            !   fix: take it off first: bowline network disconnect back db
            [4]
        "#]],
    );
    says(
        &daemon,
        "network connect back nobody",
        &expect![[r#"
        ! error[BWL-1202]: there is no endpoint "nobody"
        !   fix: see what there is: bowline endpoint ls
        [3]
    "#]],
    );
    says(
        &daemon,
        "network disconnect back db",
        &expect![[r#"
        [0]
    "#]],
    );
    says(
        &daemon,
        "network disconnect back db",
        &expect![[r#"
        ! error[BWL-1210]: endpoint db is not on network back
        !   fix: see where it is: bowline endpoint show db
        [3]
    "#]],
    );
    says(
        &daemon,
        "network disconnect -f back db",
        &expect![[r#"
        [0]
    "#]],
    );
    says(
        &daemon,
        "endpoint rm web nobody",
        &expect![[r#"
        web
        ! error[BWL-1202]: there is no endpoint "nobody"
        !   fix: see what there is: bowline endpoint ls
        [3]
    "#]],
    );
    says(
        &daemon,
        "endpoint rm -f nobody db",
        &expect![[r#"
        db
        [0]
    "#]],
    );
    says(
        &daemon,
        "endpoint ls",
        &expect![[r#"
            NAME  STATE  NETWORKS  ADDRESSES  INTERFACES  PORTS
            [0]
        "#]],
    );
}

#[test]
fn an_endpoint_made_by_the_command_line_can_be_connected_further() {
    let daemon = Daemon::start();
    daemon.network("front", "10.9.0.0/24");
    daemon.network("back", "10.8.0.0/24");
    daemon.cli(&format!("endpoint create web --netns {} --network front", a_namespace(&daemon))).good();
    says(
        &daemon,
        "network connect back web",
        &expect![[r#"
        ! web: eth1 10.8.0.2/24 on back
        [0]
    "#]],
    );
}
