//! What an ADD made, and how each version of CNI says it.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::failure::{Code, Failure};
use crate::json::{Json, object};
use crate::version::Version;

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) ips: Vec<Ip>,
    pub(crate) routes: Vec<Route>,
    pub(crate) dns: Dns,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Interface {
    pub(crate) name: String,
    pub(crate) mac: Option<String>,
    pub(crate) mtu: Option<u32>,
    /// None for one of the host's.
    pub(crate) sandbox: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ip {
    pub(crate) address: IpNetwork,
    pub(crate) gateway: Option<IpAddr>,
    /// Its place among the interfaces.
    pub(crate) interface: Option<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Route {
    pub(crate) dst: IpNetwork,
    pub(crate) gw: Option<IpAddr>,
    /// As they were asked for: mtu, advmss, priority, table, scope.
    pub(crate) terms: Vec<(&'static str, u32)>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Dns {
    pub(crate) nameservers: Vec<String>,
    pub(crate) domain: Option<String>,
    pub(crate) search: Vec<String>,
    pub(crate) options: Vec<String>,
}

impl Outcome {
    pub(crate) fn json(&self, version: Version) -> Result<Json, Failure> {
        match version {
            Version::V0_1_0 | Version::V0_2_0 => self.by_family(version),
            Version::V0_3_0 | Version::V0_3_1 | Version::V0_4_0 | Version::V1_0_0 | Version::V1_1_0 => {
                Ok(self.listed(version))
            }
        }
    }

    /// The first address of each family, and the routes of that family.
    fn by_family(&self, version: Version) -> Result<Json, Failure> {
        let mut json = object([("cniVersion", Json::text(version.as_str()))]);
        for (key, ipv6) in [("ip4", false), ("ip6", true)] {
            let Some(ip) = self.ips.iter().find(|ip| ip.address.is_ipv6() == ipv6) else { continue };
            let mut entry = object([("ip", Json::text(ip.address.to_string()))]);
            if let Some(gateway) = ip.gateway {
                entry.set("gateway", Json::text(gateway.to_string()));
            }
            let routes = self.routes.iter().filter(|route| route.dst.is_ipv6() == ipv6);
            let routes: Vec<Json> = routes.map(|route| route.json(false)).collect();
            if !routes.is_empty() {
                entry.set("routes", Json::List(routes));
            }
            json.set(key, entry);
        }
        if self.ips.is_empty() {
            return Err(Failure::new(Code::Config, "a result of this version needs an address")
                .because(format!("cniVersion is {}, and the container got none", version.as_str())));
        }
        json.set("dns", self.dns.json());
        Ok(json)
    }

    fn listed(&self, version: Version) -> Json {
        let mut json = object([("cniVersion", Json::text(version.as_str()))]);
        if !self.interfaces.is_empty() {
            let with_mtu = version >= Version::V1_1_0;
            json.set("interfaces", Json::List(self.interfaces.iter().map(|i| i.json(with_mtu)).collect()));
        }
        if !self.ips.is_empty() {
            let with_family = version < Version::V1_0_0;
            json.set("ips", Json::List(self.ips.iter().map(|ip| ip.json(with_family)).collect()));
        }
        if !self.routes.is_empty() {
            json.set("routes", Json::List(self.routes.iter().map(|route| route.json(true)).collect()));
        }
        // Before 1.0.0 it is there, even where it says nothing.
        if version < Version::V1_0_0 || self.dns != Dns::default() {
            json.set("dns", self.dns.json());
        }
        json
    }
}

impl Interface {
    fn json(&self, with_mtu: bool) -> Json {
        let mut json = object([("name", Json::text(&self.name))]);
        if let Some(mac) = &self.mac {
            json.set("mac", Json::text(mac));
        }
        if let Some(mtu) = self.mtu.filter(|_| with_mtu) {
            json.set("mtu", Json::Number(mtu.into()));
        }
        if let Some(sandbox) = &self.sandbox {
            json.set("sandbox", Json::text(sandbox));
        }
        json
    }
}

impl Ip {
    fn json(&self, with_family: bool) -> Json {
        let mut json = object([]);
        if with_family {
            json.set("version", Json::text(if self.address.is_ipv6() { "6" } else { "4" }));
        }
        if let Some(interface) = self.interface {
            json.set("interface", Json::Number(interface.into()));
        }
        json.set("address", Json::text(self.address.to_string()));
        if let Some(gateway) = self.gateway {
            json.set("gateway", Json::text(gateway.to_string()));
        }
        json
    }

    pub(crate) fn parse(json: &Json) -> Result<Ip, Failure> {
        let bad = |what: &str| Failure::new(Code::Decode, format!("an address has no usable {what}"));
        let address =
            json.text_of("address")?.and_then(|text| text.parse().ok()).ok_or_else(|| bad("address"))?;
        let gateway = json.text_of("gateway")?.map(str::parse).transpose().map_err(|_| bad("gateway"))?;
        let interface = json.number_of("interface")?.and_then(|at| usize::try_from(at).ok());
        Ok(Ip { address, gateway, interface })
    }
}

impl Route {
    fn json(&self, with_terms: bool) -> Json {
        let mut json = object([("dst", Json::text(self.dst.to_string()))]);
        if let Some(gw) = self.gw {
            json.set("gw", Json::text(gw.to_string()));
        }
        for (key, value) in self.terms.iter().filter(|_| with_terms) {
            json.set(key, Json::Number((*value).into()));
        }
        json
    }
}

impl Dns {
    fn json(&self) -> Json {
        let mut json = object([]);
        let list = |items: &[String]| Json::List(items.iter().map(Json::text).collect());
        if !self.nameservers.is_empty() {
            json.set("nameservers", list(&self.nameservers));
        }
        if let Some(domain) = &self.domain {
            json.set("domain", Json::text(domain));
        }
        if !self.search.is_empty() {
            json.set("search", list(&self.search));
        }
        if !self.options.is_empty() {
            json.set("options", list(&self.options));
        }
        json
    }

    pub(crate) fn parse(json: Option<&Json>) -> Result<Dns, Failure> {
        let Some(json) = json else { return Ok(Dns::default()) };
        Ok(Dns {
            nameservers: json.texts_of("nameservers")?,
            domain: json.text_of("domain")?.map(str::to_string),
            search: json.texts_of("search")?,
            options: json.texts_of("options")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn outcome() -> Outcome {
        let ip = |address: &str, gateway: &str| Ip {
            address: address.parse().unwrap(),
            gateway: gateway.parse().ok(),
            interface: Some(1),
        };
        let route = |dst: &str, terms: &[(&'static str, u32)]| Route {
            dst: dst.parse().unwrap(),
            gw: None,
            terms: terms.to_vec(),
        };
        Outcome {
            interfaces: vec![
                Interface {
                    name: "cni0".into(),
                    mac: Some("02:00:00:00:00:01".into()),
                    ..Interface::default()
                },
                Interface {
                    name: "eth0".into(),
                    mac: Some("02:00:00:00:00:02".into()),
                    mtu: Some(1400),
                    sandbox: Some("/run/netns/a".into()),
                },
            ],
            ips: vec![ip("10.1.0.2/24", "10.1.0.1"), ip("10.2.0.2/24", ""), ip("fd00::2/64", "fd00::1")],
            routes: vec![route("0.0.0.0/0", &[("mtu", 1300)]), route("::/0", &[])],
            dns: Dns { nameservers: vec!["127.0.0.11".into()], ..Dns::default() },
        }
    }

    fn check(version: Version, expected: &Expect) {
        expected.assert_eq(&serde_json::to_string(&outcome().json(version).unwrap()).unwrap());
    }

    #[test]
    fn each_version_has_its_shape() {
        check(
            Version::V0_1_0,
            &expect![[
                r#"{"cniVersion":"0.1.0","ip4":{"ip":"10.1.0.2/24","gateway":"10.1.0.1","routes":[{"dst":"0.0.0.0/0"}]},"ip6":{"ip":"fd00::2/64","gateway":"fd00::1","routes":[{"dst":"::/0"}]},"dns":{"nameservers":["127.0.0.11"]}}"#
            ]],
        );
        check(
            Version::V0_4_0,
            &expect![[
                r#"{"cniVersion":"0.4.0","interfaces":[{"name":"cni0","mac":"02:00:00:00:00:01"},{"name":"eth0","mac":"02:00:00:00:00:02","sandbox":"/run/netns/a"}],"ips":[{"version":"4","interface":1,"address":"10.1.0.2/24","gateway":"10.1.0.1"},{"version":"4","interface":1,"address":"10.2.0.2/24"},{"version":"6","interface":1,"address":"fd00::2/64","gateway":"fd00::1"}],"routes":[{"dst":"0.0.0.0/0","mtu":1300},{"dst":"::/0"}],"dns":{"nameservers":["127.0.0.11"]}}"#
            ]],
        );
        check(
            Version::V1_1_0,
            &expect![[
                r#"{"cniVersion":"1.1.0","interfaces":[{"name":"cni0","mac":"02:00:00:00:00:01"},{"name":"eth0","mac":"02:00:00:00:00:02","mtu":1400,"sandbox":"/run/netns/a"}],"ips":[{"interface":1,"address":"10.1.0.2/24","gateway":"10.1.0.1"},{"interface":1,"address":"10.2.0.2/24"},{"interface":1,"address":"fd00::2/64","gateway":"fd00::1"}],"routes":[{"dst":"0.0.0.0/0","mtu":1300},{"dst":"::/0"}],"dns":{"nameservers":["127.0.0.11"]}}"#
            ]],
        );
    }

    #[test]
    fn an_empty_dns_is_said_before_1_0_0_only() {
        let quiet = Outcome { dns: Dns::default(), ..outcome() };
        for version in Version::ALL {
            let json = quiet.json(version).unwrap();
            assert_eq!(json.get("cniVersion").and_then(Json::as_text), Some(version.as_str()));
            assert_eq!(json.get("dns").is_some(), version < Version::V1_0_0, "{version:?}");
        }
    }

    #[test]
    fn the_oldest_versions_need_an_address() {
        assert!(Outcome::default().json(Version::V0_2_0).is_err());
        assert!(Outcome::default().json(Version::V0_3_0).is_ok());
    }
}
