//! CNI as a runtime speaks it: the real program under a plugin's name, the real socket, the kernel in memory.
//! Any file of a test's own is a namespace there.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Daemon, Ran, bowline, ended, until};

/// The folder of plugins and namespaces beside a daemon.
struct Runtime {
    daemon: Daemon,
}

impl Runtime {
    fn start() -> Runtime {
        let runtime = Runtime { daemon: Daemon::start() };
        for name in [
            "bowline",
            "bowline-cni",
            "bridge",
            "portmap",
            "firewall",
            "tuning",
            "bandwidth",
            "loopback",
            "host-local",
        ] {
            fs::create_dir_all(runtime.bin()).unwrap();
            symlink(bowline().get_program(), runtime.bin().join(name)).unwrap();
        }
        runtime
    }

    fn bin(&self) -> PathBuf {
        self.daemon.path("cni")
    }

    /// A namespace of that name.
    fn netns(&self, name: &str) -> String {
        let path = self.daemon.path(&format!("ns-{name}"));
        fs::write(&path, "").unwrap();
        path.display().to_string()
    }

    fn call_with(&self, plugin: &str, env: &[(&str, &str)], stdin: &str) -> Ran {
        let mut command = bowline();
        let mut of_plugin = std::process::Command::new(self.bin().join(plugin));
        for (name, value) in command.env("CNI_PATH", self.bin()).get_envs() {
            match value {
                Some(value) => of_plugin.env(name, value),
                None => of_plugin.env_remove(name),
            };
        }
        of_plugin
            .env("BOWLINE_SOCKET", self.daemon.socket())
            .env("BOWLINE_STATE_DIR", self.daemon.path("state"));
        of_plugin.envs(env.iter().copied());
        let mut child =
            of_plugin.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // One that refuses before it has read all has said enough.
        drop(child.stdin.take().unwrap().write_all(stdin.as_bytes()));
        ended(child)
    }

    fn call(&self, plugin: &str, verb: &str, of: &str, ifname: &str, config: &Value) -> Ran {
        let netns = self.netns(of);
        let env =
            [("CNI_COMMAND", verb), ("CNI_CONTAINERID", of), ("CNI_NETNS", &netns), ("CNI_IFNAME", ifname)];
        self.call_with(plugin, &env, &config.to_string())
    }

    fn adds(&self, plugin: &str, of: &str, ifname: &str, config: &Value) -> Value {
        serde_json::from_str(&self.call(plugin, "ADD", of, ifname, config).good()).unwrap()
    }

    fn dels(&self, plugin: &str, of: &str, ifname: &str, config: &Value) {
        assert_eq!(self.call(plugin, "DEL", of, ifname, config).good(), "");
    }

    /// The names of all endpoints that live.
    fn endpoints(&self) -> Vec<String> {
        let all = self.daemon.client().endpoints().unwrap();
        all.into_iter().filter_map(|endpoint| endpoint.key).collect()
    }
}

/// It failed as CNI has it: one JSON document with this code.
fn refused(ran: &Ran, code: u64) -> Value {
    let said: Value = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    assert_eq!((ran.code, said["code"].as_u64()), (Some(1), Some(code)), "{ran:?}");
    assert!(
        said["cniVersion"].is_string() && said["msg"].as_str().is_some_and(|msg| !msg.is_empty()),
        "{ran:?}"
    );
    said
}

fn apps(version: &str) -> Value {
    json!({
        "cniVersion": version, "name": "apps", "type": "bowline",
        "ipam": {"type": "host-local", "dataDir": "/nonexistent/cni",
                 "ranges": [[{"subnet": "10.44.0.0/24"}], [{"subnet": "fd44::/64"}]]},
    })
}

fn with(config: &Value, key: &str, value: Value) -> Value {
    let mut config = config.clone();
    config[key] = value;
    config
}

#[test]
fn an_attachment_is_made_checked_and_taken_away_by_its_key() {
    let runtime = Runtime::start();
    let config = apps("1.1.0");
    let result = runtime.adds("bowline", "a1", "eth0", &config);
    assert_eq!(result["ips"][0]["address"], "10.44.0.2/24");
    assert_eq!(result["interfaces"][2]["sandbox"], runtime.netns("a1"));
    assert_eq!(result["dns"]["nameservers"], json!(["127.0.0.11"]));
    let network = runtime.daemon.client().network("apps").unwrap();
    assert_eq!(network.labels["bowline.made-for"], "cni");

    let check = with(&config, "prevResult", result.clone());
    assert_eq!(runtime.call("bowline", "CHECK", "a1", "eth0", &check).good(), "");
    refused(&runtime.call("bowline", "CHECK", "a1", "eth0", &config), 7);
    refused(&runtime.call("bowline", "CHECK", "a2", "eth0", &check), 3);
    let mut lied = check.clone();
    lied["prevResult"]["ips"][0]["address"] = json!("10.44.0.9/24");
    refused(&runtime.call("bowline", "CHECK", "a1", "eth0", &lied), 107);

    // By nothing but the name, the container and the interface; and again.
    let blind = json!({"cniVersion": "1.1.0", "name": "apps", "type": "bowline"});
    let env = [("CNI_COMMAND", "DEL"), ("CNI_CONTAINERID", "a1"), ("CNI_IFNAME", "eth0")];
    for _ in 0..2 {
        runtime.call_with("bowline", &env, &blind.to_string()).good();
    }
    assert_eq!(runtime.endpoints(), [""; 0]);
}

#[test]
fn each_version_is_answered_in_itself() {
    let runtime = Runtime::start();
    for version in ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        let config = apps(version);
        let result = runtime.adds("bowline", "a1", "eth0", &config);
        assert_eq!(result["cniVersion"], version);
        let old = result["ip4"]["ip"].is_string() && result["ip6"]["ip"].is_string();
        let listed = result["ips"].as_array().is_some_and(|ips| ips.len() == 2);
        assert_eq!((old, listed), (version < "0.3.0", version >= "0.3.0"), "{result}");
        assert_eq!(
            result["ips"][0]["version"].is_string(),
            ("0.3.0".."1.0.0").contains(&version),
            "{result}"
        );
        assert_eq!(result["interfaces"][2]["mtu"].is_number(), version == "1.1.0", "{result}");
        runtime.dels("bowline", "a1", "eth0", &config);
    }
    let mut unsaid = apps("x");
    unsaid.as_object_mut().unwrap().remove("cniVersion");
    assert_eq!(runtime.adds("bowline", "a1", "eth0", &unsaid)["cniVersion"], "0.1.0");
}

#[test]
fn a_duplicate_and_its_cleaning_up_leave_the_first_alone() {
    let runtime = Runtime::start();
    let config = apps("1.0.0");
    runtime.adds("bowline", "a1", "eth0", &config);
    let before = runtime.endpoints();
    refused(&runtime.call("bowline", "ADD", "a1", "eth0", &config), 106);
    runtime.dels("bowline", "a1", "eth0", &config);
    assert_eq!(runtime.endpoints(), before);
    runtime.dels("bowline", "a1", "eth0", &config);
    assert_eq!(runtime.endpoints(), [""; 0]);
}

#[test]
fn two_attachments_of_one_container_are_two() {
    let runtime = Runtime::start();
    let config = apps("1.0.0");
    runtime.adds("bowline", "a1", "eth0", &config);
    runtime.adds("bowline", "a1", "eth1", &config);
    runtime.dels("bowline", "a1", "eth0", &config);
    assert!(
        runtime.endpoints().iter().all(|key| key.ends_with("/a1/eth1")) && runtime.endpoints().len() == 1
    );
}

#[test]
fn collecting_garbage_without_a_list_is_not_an_empty_list() {
    let runtime = Runtime::start();
    let config = apps("1.1.0");
    for of in ["a1", "a2", "a3"] {
        runtime.adds("bowline", of, "eth0", &config);
    }
    let other = with(&config, "name", json!("others"));
    let ipam = json!({"type": "host-local", "dataDir": "/nonexistent", "subnet": "10.45.0.0/24"});
    runtime.adds("bowline", "a4", "eth0", &with(&other, "ipam", ipam));
    runtime.daemon.endpoint("web", &[]);
    let collect =
        |config: &Value| runtime.call_with("bowline", &[("CNI_COMMAND", "GC")], &config.to_string()).good();
    collect(&config);
    assert_eq!(runtime.endpoints().len(), 4);
    let valid = json!([{"containerID": "a2", "ifname": "eth0"}]);
    collect(&with(&config, "cni.dev/valid-attachments", valid));
    let left = runtime.endpoints();
    assert!(left.len() == 2 && left.iter().any(|key| key.ends_with("/apps/a2/eth0")), "{left:?}");
    collect(&with(&config, "cni.dev/valid-attachments", json!([])));
    assert!(runtime.endpoints().iter().all(|key| key.contains("/others/")), "{:?}", runtime.endpoints());
    assert!(runtime.daemon.client().endpoint("web").is_ok());
    let old = with(&apps("1.0.0"), "cni.dev/valid-attachments", json!([]));
    refused(&runtime.call_with("bowline", &[("CNI_COMMAND", "GC")], &old.to_string()), 1);
}

#[test]
fn without_a_daemon_each_verb_says_what_it_can() {
    let mut runtime = Runtime::start();
    let config = apps("1.1.0");
    runtime.adds("bowline", "a1", "eth0", &config);
    let status = [("CNI_COMMAND", "STATUS")];
    assert_eq!(runtime.call_with("bowline", &status, &config.to_string()).good(), "");
    runtime.daemon.terminate();
    refused(&runtime.call("bowline", "ADD", "a2", "eth0", &config), 11);
    refused(&runtime.call_with("bowline", &status, &config.to_string()), 50);
    let versions = runtime.call_with("bowline", &[("CNI_COMMAND", "VERSION")], "").good();
    assert!(versions.contains("0.1.0") && versions.contains("1.1.0"), "{versions}");
    runtime.dels("bowline", "a1", "eth0", &config);
    let waiting = || fs::read_dir(runtime.daemon.path("state/spool")).unwrap().count();
    assert_eq!(waiting(), 1);
    runtime.daemon.start_again();
    assert_eq!(runtime.endpoints(), [""; 0]);
    assert!(!runtime.daemon.path("state/spool").exists());
}

#[test]
fn whoever_does_not_wait_for_the_answer_leaves_nothing() {
    let runtime = Runtime::start();
    runtime.daemon.network("front", "10.9.0.0/24");
    let mut tries: u64 = 0;
    until("somebody left early enough", || {
        tries += 1;
        let name = format!("gone{tries}");
        let netns = json!({"path": format!("/run/netns/{name}")});
        let key = format!("test/{name}");
        let body =
            json!({"name": name, "key": key, "netns": netns, "networks": [{"network": "front"}]}).to_string();
        let head =
            format!("POST /v1/endpoints HTTP/1.1\r\nHost: b\r\nContent-Length: {}\r\n\r\n", body.len());
        let mut stream = UnixStream::connect(runtime.daemon.socket()).unwrap();
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        // Who leaves at once may be gone before he is heard; so each stays a little longer than the one before.
        stream.set_read_timeout(Some(Duration::from_micros(tries % 400 * 50 + 1))).unwrap();
        drop(stream.read(&mut [0]));
        drop(stream);
        let heard = runtime.daemon.log().contains("did not wait for the answer");
        // One that was answered in time is there; it is not what this is about.
        drop(runtime.daemon.client().remove_endpoint(&name));
        heard.then_some(())
    });
    until("it is gone", || runtime.endpoints().is_empty().then_some(()));
}

#[test]
fn plugins_by_the_references_names_act_on_one_endpoint() {
    let runtime = Runtime::start();
    let of = |kind: &str, more: Value| {
        let mut config = json!({"cniVersion": "1.0.0", "name": "chain", "type": kind});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config
    };
    let ipam = json!({"type": "host-local", "dataDir": "/nonexistent", "subnet": "10.45.0.0/24", "routes": [{"dst": "0.0.0.0/0"}]});
    let bridge = of("bridge", json!({"bridge": "ch0", "isGateway": true, "ipMasq": true, "ipam": ipam}));
    let mut result = runtime.adds("bridge", "a1", "eth0", &bridge);
    assert_eq!(result["interfaces"][0]["name"], "ch0");
    for (kind, more) in [
        (
            "portmap",
            json!({"runtimeConfig": {"portMappings": [{"HostPort": 8080, "ContainerPort": 80, "Protocol": "TCP"}]}}),
        ),
        ("firewall", json!({"ingressPolicy": "same-bridge"})),
        ("tuning", json!({"mac": "02:11:22:33:44:55", "sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1"}})),
        ("bandwidth", json!({"ingressRate": 10_000_000, "ingressBurst": 1_000_000})),
    ] {
        refused(&runtime.call(kind, "ADD", "a1", "eth0", &of(kind, more.clone())), 7);
        result = runtime.adds(kind, "a1", "eth0", &with(&of(kind, more), "prevResult", result.clone()));
    }
    assert_eq!(result["interfaces"][2]["mac"], "02:11:22:33:44:55");
    let key = runtime.endpoints().remove(0);
    let endpoint = runtime.daemon.client().endpoint(&key).unwrap();
    let card = &endpoint.interfaces[0];
    assert_eq!((card.mac.as_str(), card.rate_in_bits_per_s), ("02:11:22:33:44:55", Some(10_000_000)));
    assert_eq!(card.sysctls["net/ipv4/conf/eth0/arp_filter"], "1");
    assert_eq!(endpoint.ports[0].host_port, Some(8080));
    let network = runtime.daemon.client().network("chain").unwrap();
    assert_eq!(network.isolation, bowline_api::v1::Isolation::Strict);

    // Of a stranger's interface nothing is changed.
    let ports = json!({"runtimeConfig": {"portMappings": [{"hostPort": 8081, "containerPort": 80}]}});
    let stranger = with(&of("portmap", ports), "prevResult", result);
    let said = refused(&runtime.call("portmap", "ADD", "a2", "eth0", &stranger), 2);
    assert!(said["msg"].as_str().unwrap().contains("portMappings"), "{said}");
    for kind in ["bandwidth", "tuning", "firewall", "portmap", "bridge"] {
        runtime.dels(kind, "a1", "eth0", &of(kind, json!({})));
    }
    assert_eq!(runtime.endpoints(), [""; 0]);
}

#[test]
fn what_is_wrong_is_said_with_its_code_and_changes_nothing() {
    let runtime = Runtime::start();
    runtime.adds("bowline", "a1", "eth0", &apps("1.1.0"));
    let before = runtime.daemon.dump();
    let (file, own) = (runtime.netns("x"), "/proc/self/ns/net");
    let config = apps("1.1.0").to_string();
    let good =
        [("CNI_COMMAND", "ADD"), ("CNI_CONTAINERID", "x"), ("CNI_NETNS", &file), ("CNI_IFNAME", "eth0")];
    let env = |name: &'static str, value: &str| {
        let mut env = good.iter().map(|(k, v)| (*k, v.to_string())).collect::<Vec<_>>();
        env.retain(|(key, _)| *key != name);
        env.push((name, value.to_string()));
        env
    };
    let call = |env: &[(&'static str, String)], stdin: &str| {
        let env: Vec<(&str, &str)> = env.iter().map(|(key, value)| (*key, value.as_str())).collect();
        runtime.call_with("bowline", &env, stdin)
    };
    for (name, value, code) in [
        ("CNI_COMMAND", "EXPLODE", 4),
        ("CNI_CONTAINERID", "", 4),
        ("CNI_CONTAINERID", "../x", 4),
        ("CNI_IFNAME", "a/b", 4),
        ("CNI_IFNAME", "sixteen-bytes-xx", 4),
        ("CNI_NETNS", "", 4),
        ("CNI_NETNS", "/nonexistent/netns", 8),
        ("CNI_NETNS", "/tmp", 8),
        ("CNI_NETNS", "/dev/zero", 8),
        ("CNI_NETNS", own, 8),
    ] {
        refused(&call(&env(name, value), &config), code);
    }
    let large = format!(r#"{{"name":"apps","x":"{}"}}"#, "x".repeat(10 << 20));
    for (stdin, code) in [
        ("", 6),
        ("{", 6),
        ("[]", 6),
        (large.as_str(), 6),
        (&"[".repeat(1 << 20), 6),
        (r#"{"cniVersion":"1.1.0"}"#, 7),
        (r#"{"cniVersion":"1.1.0","name":"a/b"}"#, 7),
        (r#"{"cniVersion":"1.1.0","name":"../../x"}"#, 7),
        (r#"{"cniVersion":"1.1.0","name":"a\u0000b"}"#, 7),
        (r#"{"cniVersion":"1.1.0","name":"a\nb"}"#, 7),
        (r#"{"cniVersion":"2.0.0","name":"apps"}"#, 1),
        (r#"{"cniVersion":"1.1.0","name":"apps"}"#, 2),
        (r#"{"cniVersion":"1.1.0","name":"apps","network":"nobody"}"#, 7),
        (r#"{"cniVersion":"1.1.0","name":"apps","ipam":{"type":"../../bin/sh"}}"#, 7),
        (r#"{"cniVersion":"1.1.0","name":"apps","ipam":{"type":"nobody"}}"#, 7),
        (
            r#"{"cniVersion":"1.1.0","name":"apps","ipam":{"type":"host-local","subnet":"10.44.0.0/24"},"bridge":"a/b"}"#,
            7,
        ),
        (r#"{"cniVersion":"1.1.0","name":"new","ipam":{"type":"host-local","subnet":"10.44.0.0/25"}}"#, 7),
        (
            r#"{"cniVersion":"1.1.0","name":"new","ipam":{"type":"host-local","subnet":"10.99.0.0/24"},"sysctl":{"kernel.core_pattern":"|x"}}"#,
            7,
        ),
        (
            r#"{"cniVersion":"1.1.0","name":"new","ipam":{"type":"host-local","subnet":"10.99.0.0/24"},"runtimeConfig":{"ips":["10.98.0.1"]}}"#,
            7,
        ),
        (
            r#"{"cniVersion":"1.1.0","name":"new","ipam":{"type":"host-local","subnet":"10.99.0.0/24"},"runtimeConfig":{"mac":"x"}}"#,
            7,
        ),
    ] {
        let ran = call(&env("X", "x"), stdin);
        let said: Value = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
        assert_eq!((ran.code, said["code"].as_u64()), (Some(1), Some(code)), "{stdin:.200}: {said}");
    }
    assert_eq!(runtime.daemon.dump(), before);
}

#[test]
fn another_plugins_addresses_are_asked_for_and_given_back() {
    use std::os::unix::fs::PermissionsExt;
    let runtime = Runtime::start();
    let script = r#"#!/bin/sh
echo "$CNI_COMMAND" >> "$0.log"
test "$CNI_COMMAND" = ADD || exit 0
echo '{"cniVersion":"1.0.0","ips":[{"address":"10.80.0.5/24","gateway":"10.80.0.1"}],"routes":[{"dst":"0.0.0.0/0"}]}'
"#;
    let plugin = runtime.bin().join("theirs");
    fs::write(&plugin, script).unwrap();
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o755)).unwrap();
    let config = json!({"cniVersion": "1.0.0", "name": "far", "type": "bowline", "ipam": {"type": "theirs"}});
    let result = runtime.adds("bowline", "a1", "eth0", &config);
    assert_eq!(result["ips"][0]["address"], "10.80.0.5/24");
    // The address is taken: what was given for it goes back.
    refused(&runtime.call("bowline", "ADD", "a2", "eth0", &config), 102);
    runtime.dels("bowline", "a1", "eth0", &config);
    let log = fs::read_to_string(runtime.bin().join("theirs.log")).unwrap();
    assert_eq!(log.split_whitespace().collect::<Vec<_>>(), ["ADD", "ADD", "DEL", "DEL"]);
}

#[test]
fn what_host_local_gave_before_is_respected_until_it_is_given_back() {
    let runtime = Runtime::start();
    let folder = runtime.daemon.path("nets/apps");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("10.44.0.2"), "old\r\neth0").unwrap();
    fs::write(folder.join("last_reserved_ip.0"), "10.44.0.2").unwrap();
    let data_dir = runtime.daemon.path("nets").display().to_string();
    let ipam = json!({"type": "host-local", "dataDir": data_dir, "subnet": "10.44.0.0/29"});
    let config = with(&apps("1.0.0"), "ipam", ipam);
    let address = |of: &str| runtime.adds("bowline", of, "eth0", &config)["ips"][0]["address"].clone();
    assert_eq!(address("a1"), "10.44.0.3/29");
    runtime.dels("bowline", "old", "eth0", &config);
    assert!(!folder.join("10.44.0.2").exists());
    let all: Vec<Value> = ["a2", "a3", "a4", "a5"].into_iter().map(address).collect();
    assert_eq!(all, ["10.44.0.4/29", "10.44.0.5/29", "10.44.0.6/29", "10.44.0.2/29"]);
    refused(&runtime.call("bowline", "ADD", "a6", "eth0", &config), 101);
}

#[test]
fn a_changed_configuration_makes_the_network_anew_where_nobody_is_on_it() {
    let runtime = Runtime::start();
    let config = apps("1.0.0");
    runtime.adds("bowline", "a1", "eth0", &config);
    let ipam = json!({"type": "host-local", "dataDir": "/nonexistent", "subnet": "10.55.0.0/24"});
    let changed = with(&config, "ipam", ipam);
    let said = refused(&runtime.call("bowline", "ADD", "a2", "eth0", &changed), 7);
    assert!(said["details"].as_str().unwrap().contains("10.44.0.0/24"), "{said}");
    runtime.dels("bowline", "a1", "eth0", &changed);
    assert_eq!(runtime.adds("bowline", "a2", "eth0", &changed)["ips"][0]["address"], "10.55.0.2/24");
    runtime.daemon.network("theirs", "10.66.0.0/24");
    refused(&runtime.call("bowline", "ADD", "a3", "eth0", &with(&changed, "name", json!("theirs"))), 7);
}

#[test]
fn people_and_runtimes_are_told_who_it_is() {
    let runtime = Runtime::start();
    let ran = runtime.call_with("firewall", &[], "");
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""));
    assert_eq!(ran.err.lines().next(), Some("CNI firewall plugin v1.9.1"));
    let dir = runtime.daemon.path("opt");
    let (bin, conf) = (dir.join("bin"), dir.join("net.d"));
    let (bin, conf) = (bin.display().to_string(), conf.display().to_string());
    let install = [
        "cni",
        "install",
        "--bin-dir",
        &bin,
        "--conf-dir",
        &conf,
        "--conflist",
        "apps",
        "--network",
        "front",
    ];
    runtime.daemon.cli_with(&install).good();
    let list = format!("{conf}/10-apps.conflist");
    assert!(fs::read_to_string(&list).unwrap().contains("front"));
    assert!(fs::read_link(format!("{bin}/bowline")).is_ok());
    let ran = runtime.daemon.cli_with(&["cni", "migrate", &list]);
    assert!(ran.code != Some(0) && ran.err.contains("already"), "{ran:?}");
    let old = dir.join("old.conflist").display().to_string();
    fs::write(&old, r#"{"name":"a","plugins":[{"type":"bridge"},{"type":"portmap"}]}"#).unwrap();
    let shown = runtime.daemon.cli_with(&["cni", "migrate", "--write", &old]).good();
    assert!(
        shown.contains("-      \"type\": \"bridge\"") && shown.contains("+      \"type\": \"bowline\""),
        "{shown}"
    );
    assert!(fs::read_to_string(&old).unwrap().contains("bowline"));
}
