//! The whole command line against a daemon that answers from a list.

mod dns;
mod doctor;
mod fake;
mod flow;
mod publish;
mod root;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bowline_api::{Client, v1};

pub(crate) use fake::Fake;

use crate::io::Io;
use crate::session::Session;
use crate::{BenchArgs, ConfigArgs, DaemonArgs, Outer};

#[derive(Debug, Default)]
pub(crate) struct Captured {
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Captured {
    pub(crate) fn io(&mut self) -> Io<'_> {
        Io { out: &mut self.out, err: &mut self.err }
    }

    pub(crate) fn out(&self) -> String {
        String::from_utf8(self.out.clone()).unwrap()
    }

    pub(crate) fn err(&self) -> String {
        String::from_utf8(self.err.clone()).unwrap()
    }
}

pub(crate) fn session(socket: impl AsRef<Path>) -> Session {
    Session::new(Client::new(socket.as_ref()), false)
}

fn outer() -> Outer {
    Outer {
        daemon: |args: DaemonArgs| {
            Err(bowline_core::Error::new(bowline_core::Code::DaemonRunning, format!("{:?}", args.socket)))
        },
        config_check: |_: ConfigArgs| Ok("valid\n".to_string()),
        config_show: |args: ConfigArgs| Ok(format!("origin {}\n", args.origin)),
        bench: |args: BenchArgs, session: &Session| {
            Err(bowline_core::Error::new(
                bowline_core::Code::Busy,
                format!("{:?} {}", args.command, session.json),
            ))
        },
        cni_install: |args| Ok(format!("linked in {:?}\n", args.bin_dir)),
        cni_migrate: |args| Ok(format!("{}\n", args.file.display())),
    }
}

/// The exit code, standard output and standard error of one command line.
pub(crate) fn run(args: &[OsString]) -> (u8, String, String) {
    let mut io = Captured::default();
    let code = crate::run(args, &outer(), &mut io.io());
    (code, io.out(), io.err())
}

/// A directory of one test's own.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Scratch {
        let dir = std::env::temp_dir().join(format!("bowline-cli-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Scratch(dir)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A program that runs these lines of shell.
    pub(crate) fn script(&self, lines: &str) -> PathBuf {
        let path = self.path("program");
        fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

const CREATED: u64 = 1_763_627_640_000;

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

fn subnet(cidr: &str, gateway: &str, used: u64, size: u64) -> v1::SubnetStatus {
    v1::SubnetStatus {
        cidr: cidr.into(),
        gateway: gateway.parse().ok(),
        ip_range: None,
        aux_addresses: BTreeMap::new(),
        used,
        size,
    }
}

/// One of everything: two families, an internal network with a hostile label, and one that is no bridge.
pub(crate) fn networks() -> Vec<v1::Network> {
    let front = v1::Network {
        id: "0123456789abcdef0011223344556677".into(),
        name: "front".into(),
        driver: v1::Driver::Bridge,
        parent: None,
        parent_state: None,
        host_addresses: Vec::new(),
        mode: None,
        flag: None,
        host_access: false,
        vlan: None,
        vrf: None,
        ipam: v1::Ipam::Pools,
        subnets: vec![
            v1::SubnetStatus {
                ip_range: Some("10.9.0.128/25".into()),
                aux_addresses: [("router".to_string(), "10.9.0.2".parse().unwrap())].into(),
                ..subnet("10.9.0.0/24", "10.9.0.1", 3, 254)
            },
            subnet("fd00:9::/64", "fd00:9::1", 2, 9_007_199_254_740_991),
        ],
        routes: vec![v1::StaticRoute { to: "192.0.2.0/24".into(), via: "10.9.0.254".parse().unwrap() }],
        mtu_bytes: 1500,
        internal: false,
        isolation: v1::Isolation::Published,
        icc: true,
        masquerade: true,
        gateway_mode_ipv4: v1::GatewayMode::Nat,
        gateway_mode_ipv6: v1::GatewayMode::Routed,
        trusted_interfaces: vec!["wg0".into()],
        gso: v1::Gso::Auto,
        gso_max_bytes: Some(196_608),
        dns: true,
        bridge: Some("bl-front".into()),
        labels: BTreeMap::new(),
        created_unix_ms: CREATED,
        host_netns: None,
        endpoints: vec![v1::Member {
            id: "ffff456789abcdef0011223344556677".into(),
            name: "web".into(),
            interface: "eth0".into(),
            addresses: vec!["10.9.0.129/24".into(), "fd00:9::2/64".into()],
            mac: "02:00:00:00:00:01".into(),
        }],
    };
    let back = v1::Network {
        id: "1123456789abcdef0011223344556677".into(),
        name: "back".into(),
        subnets: vec![subnet("10.8.0.0/24", "10.8.0.1", 1, 254)],
        routes: Vec::new(),
        internal: true,
        isolation: v1::Isolation::Strict,
        icc: false,
        masquerade: false,
        gateway_mode_ipv4: v1::GatewayMode::Isolated,
        gateway_mode_ipv6: v1::GatewayMode::Nat,
        trusted_interfaces: Vec::new(),
        gso: v1::Gso::On,
        gso_max_bytes: None,
        dns: false,
        bridge: Some("bl-back".into()),
        labels: labels(&[("tier", "data\u{1b}[31m")]),
        host_netns: Some(v1::NetnsStatus { cookie: 77, path: Some("/run/netns/lab".into()) }),
        endpoints: Vec::new(),
        ..front.clone()
    };
    let host = v1::Network {
        id: "2123456789abcdef0011223344556677".into(),
        name: "host".into(),
        driver: v1::Driver::Host,
        subnets: Vec::new(),
        routes: Vec::new(),
        bridge: None,
        trusted_interfaces: Vec::new(),
        mtu_bytes: 0,
        gso_max_bytes: None,
        dns: false,
        endpoints: Vec::new(),
        ..front.clone()
    };
    vec![front, back, host]
}

pub(crate) fn endpoints() -> Vec<v1::Endpoint> {
    let card = v1::Interface {
        name: "eth0".into(),
        network: "front".into(),
        network_id: "0123456789abcdef0011223344556677".into(),
        mac: "02:00:00:00:00:01".into(),
        vlan: None,
        addresses: vec!["10.9.0.129/24".into(), "fd00:9::2/64".into()],
        gateways: vec!["10.9.0.1".into(), "fd00:9::1".into()],
        default_route: true,
        gw_priority: 0,
        mtu_bytes: 1500,
        rate_in_bits_per_s: Some(10_000_000),
        rate_out_bits_per_s: Some(1_500_000_000),
        aliases: vec!["api".into()],
        lease: None,
        host_link: "blabcdefghijk".into(),
        bridge: None,
        bridge_mac: None,
        routes: Vec::new(),
        sysctls: BTreeMap::new(),
    };
    let inner = v1::Interface {
        name: "eth1".into(),
        network: "back".into(),
        network_id: "1123456789abcdef0011223344556677".into(),
        mac: "02:00:00:00:00:02".into(),
        addresses: vec!["10.8.0.2/24".into()],
        gateways: Vec::new(),
        default_route: false,
        rate_in_bits_per_s: None,
        aliases: Vec::new(),
        lease: Some(v1::Lease {
            server: "10.8.0.1".parse().unwrap(),
            renews_unix_ms: Some(CREATED + 60_000),
            rebinds_unix_ms: Some(CREATED + 105_000),
            expires_unix_ms: Some(CREATED + 120_000),
            dns: vec!["10.8.0.53".parse().unwrap()],
            search: vec!["example.net".into()],
        }),
        ..card.clone()
    };
    let web = v1::Endpoint {
        id: "ffff456789abcdef0011223344556677".into(),
        name: "web".into(),
        hostname: "web.example".into(),
        state: v1::EndpointState::Live,
        netns: v1::NetnsStatus { cookie: 4711, path: Some("/run/netns/web".into()) },
        interfaces: vec![card, inner],
        ports: ports(),
        exposed: vec![
            v1::Expose { port: 9000, port_last: Some(9001), protocol: v1::Protocol::Udp },
            v1::Expose { port: 443, port_last: None, protocol: v1::Protocol::Tcp },
        ],
        dns: Some(v1::EndpointDns {
            servers: vec!["192.0.2.53".parse().unwrap(), "2001:db8::53".parse().unwrap()],
            search: vec!["example.org".into()],
            options: vec!["ndots:2".into(), "rotate".into()],
            links: vec![
                v1::DnsLink { endpoint: "db".into(), alias: Some("sql".into()) },
                v1::DnsLink { endpoint: "cache\u{1b}[2J".into(), alias: None },
            ],
            resolv_conf: "nameserver 127.0.0.11\nsearch example.org\noptions ndots:2 rotate\n".into(),
        }),
        antispoof: true,
        labels: labels(&[("owner", "a\nb")]),
        key: None,
        created_unix_ms: CREATED,
    };
    let old = v1::Endpoint {
        id: "eeee456789abcdef0011223344556677".into(),
        name: "old".into(),
        hostname: "old".into(),
        state: v1::EndpointState::Stopped,
        netns: v1::NetnsStatus { cookie: 4712, path: None },
        interfaces: Vec::new(),
        ports: Vec::new(),
        exposed: Vec::new(),
        dns: None,
        antispoof: false,
        labels: BTreeMap::new(),
        ..web.clone()
    };
    vec![web, old]
}

/// Of every kind, and one of another network.
pub(crate) fn dns_names() -> Vec<v1::DnsName> {
    let web = v1::DnsName {
        name: "web".into(),
        kind: v1::DnsNameKind::Endpoint,
        endpoint: "web".into(),
        network: "front".into(),
        addresses: vec!["10.9.0.129".parse().unwrap(), "fd00:9::2".parse().unwrap()],
    };
    let called = |name: &str, kind| v1::DnsName { name: name.into(), kind, ..web.clone() };
    let sql = v1::DnsName {
        endpoint: "db".into(),
        network: "back".into(),
        addresses: vec!["10.8.0.2".parse().unwrap()],
        ..called("sql", v1::DnsNameKind::Alias)
    };
    vec![
        sql,
        called("api", v1::DnsNameKind::Alias),
        called("ffff456789ab", v1::DnsNameKind::Id),
        web.clone(),
        called("web.example", v1::DnsNameKind::Hostname),
    ]
}

/// Answered here, by a server that is hostile, and by nobody.
pub(crate) fn dns_lines() -> Vec<v1::DnsLine> {
    let here = v1::DnsLine {
        number: 1,
        time_unix_ms: CREATED,
        endpoint: "web".into(),
        name: "DB".into(),
        kind: "A".into(),
        outcome: "NOERROR".into(),
        answers: vec!["10.8.0.2".into(), "10.8.0.3".into()],
        from: "here".into(),
        took_us: 9,
    };
    let server = v1::DnsLine {
        number: 2,
        time_unix_ms: CREATED + 1,
        name: "a\u{1b}[2J.de".into(),
        kind: "TYPE65".into(),
        outcome: "NXDOMAIN".into(),
        answers: Vec::new(),
        from: "192.0.2.53:53".into(),
        took_us: 12_345,
        ..here.clone()
    };
    let nobody = v1::DnsLine {
        number: 3,
        time_unix_ms: CREATED + 2,
        endpoint: "db".into(),
        name: ".".into(),
        kind: "AAAA".into(),
        outcome: "SERVFAIL".into(),
        from: "nobody".into(),
        took_us: 2_000_000,
        ..server.clone()
    };
    vec![here, server, nobody]
}

/// Of every kind: all addresses, a range, one of IPv6, and one that no port of the host leads to.
pub(crate) fn ports() -> Vec<v1::Port> {
    let everywhere = v1::Port {
        endpoint: "web".into(),
        host_ip: None,
        host_port: Some(8080),
        host_port_last: None,
        port: 80,
        port_last: None,
        protocol: v1::Protocol::Tcp,
        addresses: vec!["10.9.0.129".parse().unwrap(), "fd00:9::2".parse().unwrap()],
    };
    let range = v1::Port {
        host_ip: Some("127.0.0.1".parse().unwrap()),
        host_port: Some(5300),
        host_port_last: Some(5310),
        port: 53,
        port_last: Some(63),
        protocol: v1::Protocol::Udp,
        addresses: vec!["10.9.0.129".parse().unwrap()],
        ..everywhere.clone()
    };
    let of_ipv6 = v1::Port {
        host_ip: Some("::1".parse().unwrap()),
        addresses: vec!["fd00:9::2".parse().unwrap()],
        ..everywhere.clone()
    };
    let routed = v1::Port { host_port: None, port: 443, ..of_ipv6.clone() };
    vec![everywhere, range, of_ipv6, v1::Port { host_ip: None, ..routed }]
}

pub(crate) fn firewall() -> v1::Firewall {
    v1::Firewall {
        owned: false,
        elements: 12,
        user_rules: vec!["ip saddr 192.0.2.0/24 drop\u{1b}[2J".into()],
        user_rules_error: Some("nft.d/b.nft:2 is not understood".into()),
        obstacles: vec![obstacle()],
    }
}

pub(crate) fn obstacle() -> v1::Obstacle {
    v1::Obstacle {
        table: "ip filter".into(),
        chain: "FORWARD".into(),
        tool: Some("docker".into()),
        how: "policy drop".into(),
        fix: "iptables -I DOCKER-USER -o bl+ -j ACCEPT".into(),
    }
}

pub(crate) fn info() -> v1::Info {
    v1::Info {
        version: "0.1.0".into(),
        pid: 12,
        kernel: "6.18.0".into(),
        uptime_s: 3_700,
        socket: "/run/bowline/bowline.sock".into(),
        state_dir: "/var/lib/bowline".into(),
        run_dir: "/run/bowline".into(),
        config: "/etc/bowline/bowline.toml".into(),
        networks: 2,
        endpoints: 3,
        addresses_used: 5,
        rss_bytes: 9 << 20,
        run_store_bytes: 1 << 16,
        state_store_bytes: 1500,
    }
}
