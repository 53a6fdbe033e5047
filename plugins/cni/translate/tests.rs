//! From configuration to wish, as tables.

use expect_test::{Expect, expect};

use super::*;
use crate::call::Verb;
use crate::json::Json;

fn config(text: &str) -> Config {
    let mut json = Json::parse(text.as_bytes()).unwrap();
    if json.get("name").is_none() {
        json.set("name", Json::text("apps"));
    }
    Config::read(json.to_string().as_bytes()).unwrap()
}

fn call(args: &[(&str, &str)]) -> Call {
    Call {
        verb: Verb::Add,
        container: "0123456789abcdef".into(),
        ifname: "eth0".into(),
        netns: Some("/run/netns/a".into()),
        args: args.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
        path: Vec::new(),
    }
}

fn facts() -> Facts {
    let netns = |fd| v1::Netns { fd: Some(fd), path: None };
    Facts { host: 7, host_netns: netns(3), netns: netns(4), resolv_conf: None, leftovers: Vec::new() }
}

fn wish_with(role: Role, text: &str, args: &[(&str, &str)]) -> Result<Wish> {
    endpoint(role, &config(text), &call(args), &facts(), None)
}

fn wish(role: Role, text: &str) -> Wish {
    wish_with(role, text, &[]).unwrap_or_else(|failure| panic!("{text}: {failure:?}"))
}

const RANGES: &str = r#""ipam":{"type":"host-local","ranges":[[{"subnet":"10.1.0.0/24"}]]}"#;

#[test]
fn a_network_of_its_own_is_made_with_the_first_container() {
    let made = |role, more: &str| wish(role, &format!("{{{RANGES}{more}}}")).create.make.remove(0);
    let fused = made(Role::Bowline, "");
    assert!(fused.masquerade && !fused.internal && fused.bridge.is_none());
    assert_eq!((fused.isolation, fused.gateway_mode_ipv4), (v1::Isolation::Published, v1::GatewayMode::Nat));
    let bridge = made(Role::Bridge, "");
    assert!(!bridge.masquerade && bridge.internal, "a bridge without a gateway leads nowhere");
    assert_eq!((bridge.isolation, bridge.bridge.as_deref()), (v1::Isolation::Open, Some("cni0")));
    let bridge = made(Role::Bridge, r#","isDefaultGateway":true,"IPMASQ":true,"bridge":"br7","mtu":1400"#);
    assert!(bridge.masquerade && !bridge.internal);
    assert_eq!((bridge.mtu_bytes, bridge.bridge.as_deref()), (Some(1400), Some("br7")));
    for (policy, isolation, icc) in [
        ("open", v1::Isolation::Open, true),
        ("same-bridge", v1::Isolation::Strict, true),
        ("isolated", v1::Isolation::Strict, false),
    ] {
        let made = made(Role::Bowline, &format!(r#","firewall":{{"ingressPolicy":"{policy}"}}"#));
        assert_eq!((made.isolation, made.icc), (isolation, icc), "{policy}");
    }
}

#[test]
fn a_network_that_is_there_is_joined_and_not_described() {
    let wish = wish(Role::Bowline, r#"{"network":"front"}"#);
    assert!(wish.create.make.is_empty());
    assert_eq!(wish.create.networks[0].network, "front");
    assert_eq!(wish.create.key.as_deref(), Some("cni/7/apps/0123456789abcdef/eth0"));
}

#[test]
fn the_default_route_goes_by_the_interface_of_the_lowest_number() {
    for (ifname, expected) in [("eth0", None), ("eth1", Some(101)), ("net12", Some(112)), ("lan", Some(100))]
    {
        assert_eq!(metric(ifname), expected, "{ifname}");
    }
    assert!(metric("e99999999999").is_some());
}

fn subnets(ipam: &str) -> std::result::Result<String, String> {
    let text = format!(r#"{{"ipam":{{"type":"host-local",{ipam}}}}}"#);
    let show = |s: &bowline_api::v1::SubnetSpec| {
        format!("{} {:?} {}", s.cidr, s.gateway.unwrap(), s.ip_range.clone().unwrap_or_default())
    };
    match wish_with(Role::Bowline, &text, &[]) {
        Ok(wish) => Ok(wish.create.make[0].subnets.iter().map(show).collect::<Vec<_>>().join(", ")),
        Err(failure) => Err(format!("{} {}: {}", failure.code as u32, failure.msg, failure.details)),
    }
}

#[test]
fn ranges_of_host_local() {
    let check = |ipam: &str, expected: &Expect| expected.assert_eq(&subnets(ipam).unwrap());
    check(r#""subnet":"10.1.0.0/24""#, &expect!["10.1.0.0/24 10.1.0.1 "]);
    check(
        r#""ranges":[[{"subnet":"10.1.0.0/24","rangeStart":"10.1.0.10","gateway":"10.1.0.254"}],[{"subnet":"fd00::/64"}]]"#,
        &expect!["10.1.0.0/24 10.1.0.254 10.1.0.10-10.1.0.254, fd00::/64 fd00::1 "],
    );
    check(
        r#""ranges":[[{"Subnet":"10.1.0.0/24","RangeEnd":"10.1.0.9"},{"subnet":"10.2.0.0/24"}]]"#,
        &expect!["10.1.0.0/24 10.1.0.1 10.1.0.1-10.1.0.9, 10.2.0.0/24 10.2.0.1 "],
    );
}

#[test]
fn ranges_that_are_refused() {
    for (ipam, code) in [
        (r#""ranges":[]"#, 7),
        (r#""ranges":[[]]"#, 7),
        (r#""ranges":[{"subnet":"10.1.0.0/24"}]"#, 6),
        (r#""ranges":"x""#, 6),
        (r#""subnet":7"#, 6),
        (r#""subnet":"10.1.0.0""#, 7),
        (r#""subnet":"10.1.0.1/24""#, 7),
        (r#""subnet":"10.1.0.0/31""#, 7),
        (r#""subnet":"fd00::/127""#, 7),
        (r#""subnet":"../../x""#, 7),
        (r#""subnet":"10.1.0.0/24","rangeStart":"10.2.0.1""#, 7),
        (r#""subnet":"10.1.0.0/24","rangeStart":"10.1.0.9","rangeEnd":"10.1.0.3""#, 7),
        (r#""subnet":"10.1.0.0/24","gateway":"fd00::1""#, 7),
        (r#""ranges":[[{"subnet":"10.1.0.0/24"},{"subnet":"fd00::/64"}]]"#, 7),
        (r#""ranges":[[{"subnet":"10.1.0.0/16"},{"subnet":"10.1.7.0/24"}]]"#, 7),
        (r#""ranges":[[{"subnet":"10.1.0.0/24"}],[{"subnet":"10.2.0.0/24"}]]"#, 2),
        (r#""subnet":"10.1.0.0/24","routes":[{"dst":"x"}]"#, 7),
        (r#""subnet":"10.1.0.0/24","routes":[{"dst":"10.0.0.0/8","gw":"fd00::1"}]"#, 7),
        (r#""subnet":"10.1.0.0/24","routes":[{"dst":"10.0.0.0/8","priority":-1}]"#, 7),
        (r#""subnet":"10.1.0.0/24","routes":[{"dst":"10.0.0.0/8","scope":300}]"#, 7),
    ] {
        let refused = subnets(ipam).unwrap_err();
        assert!(refused.starts_with(&format!("{code} ")), "{ipam}: {refused}");
    }
}

#[test]
fn routes_keep_their_terms_and_get_the_gateway_of_their_family() {
    let text = r#"{"ipam":{"type":"host-local","subnet":"10.1.0.0/24","routes":[
        {"dst":"0.0.0.0/0"},
        {"dst":"10.9.0.0/16","gw":"10.1.0.7","mtu":1300,"advmss":1200,"priority":5,"table":100,"scope":0}]}}"#;
    let join = wish(Role::Bridge, text).create.networks.remove(0);
    assert!(join.no_default_route, "the route says it, and not a flag");
    let [default, other] = join.routes.as_slice() else { panic!("{:?}", join.routes) };
    assert_eq!((default.via, default.metric), (Some([10, 1, 0, 1].into()), None));
    let terms = (other.metric, other.mtu_bytes, other.advmss_bytes, other.table, other.scope);
    assert_eq!(
        (other.via, terms),
        (Some([10, 1, 0, 7].into()), (Some(5), Some(1300), Some(1200), Some(100), Some(0)))
    );
}

#[test]
fn ports_as_every_runtime_writes_them() {
    let ports = |mappings: &str| {
        let text = format!(r#"{{"network":"n","runtimeConfig":{{"portMappings":{mappings}}}}}"#);
        wish_with(Role::Bowline, &text, &[]).map(|wish| wish.create.publish)
    };
    let lower =
        ports(r#"[{"hostPort":8080,"containerPort":80,"protocol":"tcp","hostIP":"127.0.0.1"}]"#).unwrap();
    let go =
        ports(r#"[{"HostPort":8080,"ContainerPort":80,"Protocol":"TCP","HostIP":"127.0.0.1"}]"#).unwrap();
    assert_eq!(lower, go);
    assert_eq!(
        ports(r#"[{"hostPort":1,"containerPort":2,"protocol":"","hostIP":""}]"#).unwrap()[0].host_ip,
        None
    );
    for (mapping, code) in [
        (r#"{"hostPort":0,"containerPort":80}"#, Code::Config),
        (r#"{"hostPort":8080}"#, Code::Config),
        (r#"{"hostPort":65536,"containerPort":80}"#, Code::Config),
        (r#"{"hostPort":"8080","containerPort":80}"#, Code::Decode),
        (r#"{"hostPort":8080,"containerPort":80,"protocol":"icmp; rm"}"#, Code::Config),
        (r#"{"hostPort":8080,"containerPort":80,"hostIP":"nowhere"}"#, Code::Config),
    ] {
        assert_eq!(ports(&format!("[{mapping}]")).unwrap_err().code, code, "{mapping}");
    }
}

#[test]
fn aliases_are_a_list_or_podmans_lists() {
    let names = |aliases: &str, args: &[(&str, &str)]| {
        let text = format!(r#"{{"network":"n","runtimeConfig":{{"aliases":{aliases}}}}}"#);
        wish_with(Role::Bowline, &text, args).unwrap().create
    };
    let list = names(r#"["api","db"]"#, &[]);
    assert_eq!(list.networks[0].aliases, ["0123456789ab", "api", "db"]);
    assert_eq!(names(r#"{"apps":["api","db"],"other":["x"]}"#, &[]).networks, list.networks);
    assert!(list.name.starts_with("0123456789ab-"), "{}", list.name);
    let pod = names("[]", &[("K8S_POD_NAME", "web"), ("K8S_POD_NAMESPACE", "default")]);
    assert!(pod.name.starts_with("web-") && pod.hostname.as_deref() == Some("web"), "{pod:?}");
    assert_eq!(pod.networks[0].aliases, ["0123456789ab", "web.default"]);
    assert_eq!(pod.labels["cni.args.K8S_POD_NAME"], "web");
    let odd = names(r#"["a b","-x","ok"]"#, &[("K8S_POD_NAME", "../../x")]);
    assert_eq!(
        (odd.hostname, odd.networks[0].aliases.clone()),
        (None, vec!["0123456789ab".into(), "ok".into()])
    );
}

#[test]
fn what_the_runtime_says_goes_before_labels_and_these_before_args() {
    let join = |text: &str, args: &[(&str, &str)]| {
        let wish = wish_with(Role::Bowline, &format!(r#"{{"network":"n",{text}}}"#), args).unwrap();
        let join = wish.create.networks[0].clone();
        (join.mac.unwrap_or_default(), join.ip.map(|ip| ip.to_string()).unwrap_or_default())
    };
    let args = [("MAC", "02:00:00:00:00:03"), ("IP", "10.0.0.3/24"), ("IgnoreUnknown", "1")];
    let labels = r#""args":{"cni":{"mac":"02:00:00:00:00:02","ips":["10.0.0.2"]}}"#;
    let runtime = r#""runtimeConfig":{"mac":"02:00:00:00:00:01","ips":["10.0.0.1/24"]}"#;
    assert_eq!(join(r#""x":0"#, &args), ("02:00:00:00:00:03".into(), "10.0.0.3".into()));
    assert_eq!(join(labels, &args), ("02:00:00:00:00:02".into(), "10.0.0.2".into()));
    assert_eq!(join(&format!("{labels},{runtime}"), &args), ("02:00:00:00:00:01".into(), "10.0.0.1".into()));
}

#[test]
fn rates_sysctls_and_name_servers() {
    let text = r#"{"network":"n","sysctl":{"net.ipv4.conf.IFNAME.arp_filter":"1","net/ipv4/conf/a.b/x":"2"},
        "runtimeConfig":{"bandWidth":{"IngressRate":1000,"IngressBurst":10,"EgressRate":2000,"EgressBurst":4294967295},
        "dns":{"Servers":["127.0.0.53","192.0.2.1"],"Searches":["a.b"],"Options":["ndots:2"]}}}"#;
    let create = wish(Role::Bowline, text).create;
    let join = &create.networks[0];
    assert_eq!((join.rate_in_bits_per_s, join.rate_out_bits_per_s), (Some(1000), Some(2000)));
    let files: Vec<&str> = join.sysctls.keys().map(String::as_str).collect();
    let eth0 = ["arp_announce", "arp_filter", "arp_ignore"].map(|leaf| format!("net/ipv4/conf/eth0/{leaf}"));
    assert_eq!(files, ["net/ipv4/conf/a.b/x", &eth0[0], &eth0[1], &eth0[2]]);
    assert_eq!(create.dns.servers, ["192.0.2.1".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!((create.dns.search, create.dns.options), (vec!["a.b".into()], vec!["ndots:2".into()]));
    for (text, code) in [
        (r#""sysctl":{"kernel.hostname":"x"}"#, Code::Config),
        (r#""sysctl":{"net/../kernel/x":"x"}"#, Code::Config),
        (r#""sysctl":{"net.x":1}"#, Code::Decode),
        (r#""sysctl":{"net.x":"1","net.x":"2"}"#, Code::Config),
        (r#""ingressBurst":7"#, Code::Config),
        (r#""ingressRate":-7"#, Code::Config),
        (r#""dns":{"nameservers":["nobody"]}"#, Code::Config),
    ] {
        let refused = wish_with(Role::Bowline, &format!(r#"{{"network":"n",{text}}}"#), &[]).unwrap_err();
        assert_eq!(refused.code, code, "{text}: {refused:?}");
    }
}

#[test]
fn what_cannot_be_done_is_named_with_its_value() {
    for (role, text, named) in [
        (Role::Bridge, r#""vlan":100"#, "vlan=100"),
        (Role::Bridge, r#""disableContainerInterface":true"#, "disableContainerInterface=true"),
        (Role::Bowline, r#""driver":"overlay""#, "driver=overlay"),
        (Role::Macvlan, r#""master":"eth0""#, "type=macvlan"),
    ] {
        let refused = wish_with(role, &format!("{{{RANGES},{text}}}"), &[]).unwrap_err();
        assert_eq!(refused.code, Code::Unsupported, "{text}");
        assert!(refused.msg.contains(named), "{refused:?}");
    }
    assert_eq!(wish_with(Role::Bridge, "{}", &[]).unwrap_err().code, Code::Unsupported);
}
