//! A network in the shape that `docker network inspect` prints, so that scripts made for it read ours.

use std::collections::BTreeMap;

use bowline_api::v1;
use serde::Serialize;

use super::{access, view};
use crate::time::rfc3339;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Network {
    name: String,
    id: String,
    created: String,
    scope: &'static str,
    driver: &'static str,
    #[serde(rename = "EnableIPv4")]
    ipv4: bool,
    #[serde(rename = "EnableIPv6")]
    ipv6: bool,
    #[serde(rename = "IPAM")]
    ipam: Ipam,
    internal: bool,
    attachable: bool,
    ingress: bool,
    containers: BTreeMap<String, Container>,
    options: BTreeMap<&'static str, String>,
    labels: BTreeMap<String, String>,
    bowline: v1::Network,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Ipam {
    driver: &'static str,
    options: BTreeMap<String, String>,
    config: Vec<Config>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    subnet: String,
    #[serde(rename = "IPRange", skip_serializing_if = "Option::is_none")]
    range: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<String>,
    #[serde(rename = "AuxiliaryAddresses", skip_serializing_if = "BTreeMap::is_empty")]
    aux: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    name: String,
    #[serde(rename = "EndpointID")]
    endpoint_id: String,
    mac_address: String,
    #[serde(rename = "IPv4Address")]
    ipv4: String,
    #[serde(rename = "IPv6Address")]
    ipv6: String,
}

impl Network {
    pub(super) fn of(network: v1::Network) -> Network {
        let has = |v6: bool| network.subnets.iter().any(|s| s.is_ipv6() == v6);
        Network {
            name: network.name.clone(),
            id: network.id.clone(),
            created: rfc3339(network.created_unix_ms),
            scope: "local",
            driver: view::driver(network.driver),
            ipv4: has(false),
            ipv6: has(true),
            ipam: Ipam {
                driver: "default",
                options: BTreeMap::new(),
                config: network.subnets.iter().map(Config::of).collect(),
            },
            internal: network.internal,
            attachable: false,
            ingress: false,
            containers: network.endpoints.iter().map(|m| (m.id.clone(), Container::of(m))).collect(),
            options: options(&network),
            labels: network.labels.clone(),
            bowline: network,
        }
    }
}

fn options(network: &v1::Network) -> BTreeMap<&'static str, String> {
    let mut options = BTreeMap::new();
    let kind = match network.driver {
        v1::Driver::Macvlan => Some(["macvlan_mode", "macvlan_flag"]),
        v1::Driver::Ipvlan => Some(["ipvlan_mode", "ipvlan_flag"]),
        v1::Driver::Bridge | v1::Driver::P2p | v1::Driver::None | v1::Driver::Host => None,
    };
    if let Some([mode, flag]) = kind {
        options.extend(network.parent.clone().map(|parent| ("parent", parent)));
        options.extend(network.mode.clone().map(|word| (mode, word)));
        options.extend(network.flag.clone().map(|word| (flag, word)));
        options.insert("com.docker.network.driver.mtu", network.mtu_bytes.to_string());
    }
    if let Some(bridge) = &network.bridge {
        options.insert("com.docker.network.bridge.name", bridge.clone());
        options.insert("com.docker.network.bridge.enable_icc", network.icc.to_string());
        options.insert("com.docker.network.bridge.enable_ip_masquerade", network.masquerade.to_string());
        options.insert("com.docker.network.driver.mtu", network.mtu_bytes.to_string());
        let modes = [
            ("com.docker.network.bridge.gateway_mode_ipv4", network.gateway_mode_ipv4),
            ("com.docker.network.bridge.gateway_mode_ipv6", network.gateway_mode_ipv6),
        ];
        for (key, mode) in modes.into_iter().filter(|(_, mode)| *mode != v1::GatewayMode::Nat) {
            options.insert(key, access::mode(mode).to_string());
        }
        if !network.trusted_interfaces.is_empty() {
            let names = network.trusted_interfaces.join(":");
            options.insert("com.docker.network.bridge.trusted_host_interfaces", names);
        }
    }
    options
}

impl Config {
    fn of(subnet: &v1::SubnetStatus) -> Config {
        Config {
            subnet: subnet.cidr.clone(),
            range: subnet.ip_range.clone(),
            gateway: subnet.gateway.map(|ip| ip.to_string()),
            aux: subnet.aux_addresses.iter().map(|(name, ip)| (name.clone(), ip.to_string())).collect(),
        }
    }
}

impl Container {
    fn of(member: &v1::Member) -> Container {
        let first =
            |v6: bool| member.addresses.iter().find(|a| a.contains(':') == v6).cloned().unwrap_or_default();
        Container {
            name: member.name.clone(),
            endpoint_id: member.id.clone(),
            mac_address: member.mac.clone(),
            ipv4: first(false),
            ipv6: first(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::fixture::networks;
    use crate::screen::json;

    #[test]
    fn inspect_has_dockers_keys_and_ours() {
        let front = networks().remove(0);
        expect![[r#"
            [
              {
                "Name": "front",
                "Id": "0123456789abcdef0011223344556677",
                "Created": "2025-11-20T08:34:00.000Z",
                "Scope": "local",
                "Driver": "bridge",
                "EnableIPv4": true,
                "EnableIPv6": true,
                "IPAM": {
                  "Driver": "default",
                  "Options": {},
                  "Config": [
                    {
                      "Subnet": "10.9.0.0/24",
                      "IPRange": "10.9.0.128/25",
                      "Gateway": "10.9.0.1",
                      "AuxiliaryAddresses": {
                        "router": "10.9.0.2"
                      }
                    },
                    {
                      "Subnet": "fd00:9::/64",
                      "Gateway": "fd00:9::1"
                    }
                  ]
                },
                "Internal": false,
                "Attachable": false,
                "Ingress": false,
                "Containers": {
                  "ffff456789abcdef0011223344556677": {
                    "Name": "web",
                    "EndpointID": "ffff456789abcdef0011223344556677",
                    "MacAddress": "02:00:00:00:00:01",
                    "IPv4Address": "10.9.0.129/24",
                    "IPv6Address": "fd00:9::2/64"
                  }
                },
                "Options": {
                  "com.docker.network.bridge.enable_icc": "true",
                  "com.docker.network.bridge.enable_ip_masquerade": "true",
                  "com.docker.network.bridge.gateway_mode_ipv6": "routed",
                  "com.docker.network.bridge.name": "bl-front",
                  "com.docker.network.bridge.trusted_host_interfaces": "wg0",
                  "com.docker.network.driver.mtu": "1500"
                },
                "Labels": {},
                "Bowline": {
                  "id": "0123456789abcdef0011223344556677",
                  "name": "front",
                  "driver": "bridge",
                  "ipam": "pools",
                  "subnets": [
                    {
                      "cidr": "10.9.0.0/24",
                      "gateway": "10.9.0.1",
                      "ip_range": "10.9.0.128/25",
                      "aux_addresses": {
                        "router": "10.9.0.2"
                      },
                      "used": 3,
                      "size": 254
                    },
                    {
                      "cidr": "fd00:9::/64",
                      "gateway": "fd00:9::1",
                      "aux_addresses": {},
                      "used": 2,
                      "size": 9007199254740991
                    }
                  ],
                  "routes": [
                    {
                      "to": "192.0.2.0/24",
                      "via": "10.9.0.254"
                    }
                  ],
                  "mtu_bytes": 1500,
                  "internal": false,
                  "isolation": "published",
                  "icc": true,
                  "masquerade": true,
                  "gateway_mode_ipv4": "nat",
                  "gateway_mode_ipv6": "routed",
                  "trusted_interfaces": [
                    "wg0"
                  ],
                  "gso": "auto",
                  "gso_max_bytes": 196608,
                  "dns": true,
                  "bridge": "bl-front",
                  "labels": {},
                  "created_unix_ms": 1763627640000,
                  "endpoints": [
                    {
                      "id": "ffff456789abcdef0011223344556677",
                      "name": "web",
                      "interface": "eth0",
                      "addresses": [
                        "10.9.0.129/24",
                        "fd00:9::2/64"
                      ],
                      "mac": "02:00:00:00:00:01"
                    }
                  ]
                }
              }
            ]
        "#]]
        .assert_eq(&json(&[Network::of(front)]));
    }
}
