//! Containers that a CNI runtime ties: what they get, that each attachment is its own, and that nothing stays.

use serde_json::{Value, json};

use crate::world::World;
use crate::world::daemon::BINARY;
use crate::world::said::{Said, eventually, only_if};

fn apps() -> Value {
    json!({
        "cniVersion": "1.0.0", "name": "apps", "type": "bowline", "bridge": "apps0",
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.44.0.0/24"}]]},
    })
}

/// As a runtime calls it: a fresh process, the configuration on its standard input.
fn calls(w: &World, verb: &str, of: &str, ifname: &str, args: &str, config: &Value) -> Said {
    let script = format!(
        "printf %s '{config}' | CNI_COMMAND={verb} CNI_CONTAINERID={of} CNI_NETNS=/run/netns/{of} CNI_IFNAME={ifname} \
         CNI_ARGS='{args}' CNI_PATH=/nonexistent bash -c 'exec -a bowline-cni {BINARY}'"
    );
    let mut command = w.host().brief("bash");
    command.args(["-c", &script]);
    Said::by(format!("{verb} {of} {ifname}"), command)
}

#[track_caller]
fn adds(w: &World, of: &str, ifname: &str, args: &str, config: &Value) -> Value {
    calls(w, "ADD", of, ifname, args, config).well().json()
}

pub(crate) fn a_runtimes_containers_reach_each_other_and_are_found(w: &World) {
    let (web, db) = (w.container("web"), w.container("db"));
    let mut published = apps();
    published["runtimeConfig"] =
        json!({"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]});
    let result = adds(w, "web", "eth0", "IgnoreUnknown=1;K8S_POD_NAME=shop", &published);
    adds(w, "db", "eth0", "", &apps());
    assert_eq!(result["ips"][0]["address"], web.addresses("eth0")[0].as_str());
    assert_eq!(web.default_route("-4").as_deref(), Some("10.44.0.1 dev eth0"));
    db.reaches("10.44.0.2");
    assert_eq!(db.asker().finds("shop"), ["10.44.0.2"]);
    let _server = web.serves(80);
    w.outside().fetches("192.0.2.1", 8080);

    let mut check = published.clone();
    check["prevResult"] = result;
    calls(w, "CHECK", "web", "eth0", "", &check).well();
    web.run("ip addr del 10.44.0.2/24 dev eth0");
    calls(w, "CHECK", "web", "eth0", "", &check);
    assert!(calls(w, "CHECK", "web", "eth0", "", &check).out.contains("10.44.0.2/24"));

    for of in ["web", "db", "web"] {
        calls(w, "DEL", of, "eth0", "", &apps()).well();
    }
    eventually("the cards are gone", || {
        only_if(web.link("eth0").is_none() && db.link("eth0").is_none(), "eth0")
    });
    w.has_no_drift();
}

pub(crate) fn two_attachments_of_one_container_are_independent(w: &World) {
    let (web, db) = (w.container("web"), w.container("db"));
    for ifname in ["eth1", "eth0"] {
        adds(w, "web", ifname, "", &apps());
    }
    adds(w, "db", "eth0", "", &apps());
    assert_eq!(
        web.default_route("-4").as_deref(),
        Some("10.44.0.1 dev eth0"),
        "the lower number, though it came later"
    );
    for address in ["10.44.0.2", "10.44.0.3"] {
        db.reaches(address);
        w.host().reaches(address);
    }
    calls(w, "DEL", "web", "eth0", "", &apps()).well();
    eventually("the card is gone", || only_if(web.link("eth0").is_none(), "eth0"));
    db.reaches("10.44.0.2");
    web.reaches("10.44.0.1");
    db.does_not_reach("10.44.0.3");
    w.has_no_drift();
}

pub(crate) fn what_is_untied_while_the_daemon_is_away_is_gone_when_it_is_back(w: &World) {
    let (web, db) = (w.container("web"), w.container("db"));
    adds(w, "web", "eth0", "", &apps());
    adds(w, "db", "eth0", "", &apps());
    w.kill();
    let said = calls(w, "ADD", "web", "eth1", "", &apps());
    assert!(said.out.contains("\"code\": 11"), "{said:?}");
    calls(w, "DEL", "web", "eth0", "", &apps()).well();
    db.reaches("10.44.0.2");
    w.start();
    eventually("the card is gone", || only_if(web.link("eth0").is_none(), "eth0"));
    db.reaches("10.44.0.1");
    let again = adds(w, "web", "eth0", "", &apps());
    assert_eq!(again["ips"][0]["address"], web.addresses("eth0")[0].as_str());
    db.reaches(web.addresses("eth0")[0].split('/').next().unwrap());
    w.has_no_drift();
}
