//! Whose addresses a container gets: host-local's ranges, static's list, or what another plugin has given.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bowline_api::v1::SubnetSpec;
use ipnetwork::IpNetwork;

use super::Result;
use crate::call::Call;
use crate::config::Config;
use crate::failure::{Code, Failure};
use crate::json::Json;
use crate::outcome::{Dns, Ip, Route};

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Addresses {
    pub(crate) subnets: Vec<SubnetSpec>,
    pub(crate) ip: Option<Ipv4Addr>,
    pub(crate) ip6: Option<Ipv6Addr>,
    pub(crate) routes: Vec<Route>,
    pub(crate) dns: Dns,
}

impl Addresses {
    /// The gateway of the first subnet of a family.
    pub(crate) fn gateway(&self, ipv6: bool) -> Option<IpAddr> {
        let nets = self.subnets.iter().filter_map(|spec| Some((spec.cidr.parse::<IpNetwork>().ok()?, spec)));
        let (net, spec) = { nets }.find(|(net, _)| net.is_ipv6() == ipv6)?;
        Some(spec.gateway.unwrap_or_else(|| first(net)))
    }
}

/// From the configuration of an IPAM plugin that we are ourselves.
pub(crate) fn of(config: &Config, call: &Call, resolv_conf: Option<&str>) -> Result<Addresses> {
    let Some(ipam) = config.ipam()? else { return Err(none()) };
    let (routes, dns) = (routes(ipam)?, dns(ipam, resolv_conf)?);
    match config.ipam_type()? {
        None => Err(none()),
        Some("host-local") => {
            let subnets = host_local(config, ipam)?;
            Ok(Addresses { subnets, routes, dns, ..asked_for(config, call)? })
        }
        Some("static") => {
            let given = given(config, ipam, call)?;
            Ok(Addresses { routes, dns, ..of_ips(&given)? })
        }
        Some(other) => {
            Err(Failure::new(Code::Config, format!("ipam.type {other:.80?} cannot be asked here")))
        }
    }
}

/// What an IPAM plugin says of names: its own words, or those of a file that it names.
pub(crate) fn dns(ipam: &Json, resolv_conf: Option<&str>) -> Result<Dns> {
    let Some(text) = resolv_conf else { return Dns::parse(ipam.object_of("dns")?) };
    let mut dns = Dns::default();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let word = words.next();
        let rest = words.map(str::to_string);
        match word {
            Some("nameserver") => dns.nameservers.extend(rest.take(1)),
            Some("domain") => dns.domain = rest.take(1).last(),
            Some("search") => dns.search = rest.collect(),
            Some("options") => dns.options.extend(rest),
            Some(_) | None => (),
        }
    }
    Ok(dns)
}

fn none() -> Failure {
    super::unsupported(
        "ipam",
        "none",
        "an interface of bowline's has an address: name an ipam.type, such as host-local",
    )
}

/// What another plugin answered, in whichever version.
pub(crate) fn delegated(result: &Json) -> Result<Addresses> {
    let mut ips = Vec::new();
    for item in result.list_of("ips")?.unwrap_or_default() {
        ips.push(Ip::parse(item)?);
    }
    let mut all_routes = routes(result)?;
    for key in ["ip4", "ip6"] {
        let Some(old) = result.object_of(key)? else { continue };
        let bad =
            || Failure::new(Code::Decode, format!("{key} of the IPAM plugin's answer has no usable address"));
        let address = old.text_of("ip")?.and_then(|text| text.parse().ok()).ok_or_else(bad)?;
        let gateway = old.text_of("gateway")?.map(str::parse).transpose().map_err(|_| bad())?;
        ips.push(Ip { address, gateway, interface: None });
        all_routes.extend(routes(old)?);
    }
    if ips.is_empty() {
        return Err(Failure::new(Code::Config, "the IPAM plugin gave no address"));
    }
    Ok(Addresses { routes: all_routes, dns: Dns::parse(result.object_of("dns")?)?, ..of_ips(&ips)? })
}

/// Each address brings its subnet.
fn of_ips(ips: &[Ip]) -> Result<Addresses> {
    let mut all = Addresses::default();
    for ip in ips {
        let net = subnet_of(ip.address);
        match ip.address.ip() {
            IpAddr::V4(address) if all.ip.is_none() => all.ip = Some(address),
            IpAddr::V6(address) if all.ip6.is_none() => all.ip6 = Some(address),
            IpAddr::V4(_) | IpAddr::V6(_) => return Err(twice(&ip.address.to_string())),
        }
        all.subnets.push(SubnetSpec { gateway: ip.gateway, ..SubnetSpec::new(net.to_string()) });
    }
    Ok(all)
}

fn twice(address: &str) -> Failure {
    super::unsupported("ips", address, "an interface of bowline's has one address of each family")
}

pub(crate) fn given(config: &Config, ipam: &Json, call: &Call) -> Result<Vec<Ip>> {
    let mut ips: Vec<Ip> =
        ipam.list_of("addresses")?.unwrap_or_default().iter().map(Ip::parse).collect::<Result<_>>()?;
    let cidr = |text: &str| -> Result<Ip> {
        let bad = || Failure::new(Code::Config, format!("{text:.80?} is no address with a prefix length"));
        let address = if text.contains('/') { text.parse().map_err(|_| bad())? } else { return Err(bad()) };
        Ok(Ip { address, gateway: None, interface: None })
    };
    let instead = wished(config, None)?;
    if instead.is_empty() {
        let more = call.arg("IP").unwrap_or_default().split(',').filter(|text| !text.is_empty());
        let gateways = call.arg("GATEWAY").unwrap_or_default().split(',').filter(|text| !text.is_empty());
        for text in more {
            ips.push(cidr(text)?);
        }
        for text in gateways {
            let gateway: IpAddr =
                text.parse().map_err(|_| Failure::new(Code::Config, format!("{text:.80?} is no address")))?;
            for ip in ips.iter_mut().filter(|ip| ip.gateway.is_none() && ip.address.contains(gateway)) {
                ip.gateway = Some(gateway);
            }
        }
    } else {
        ips = instead.iter().map(|text| cidr(text)).collect::<Result<_>>()?;
    }
    if ips.is_empty() {
        return Err(Failure::new(Code::Config, "ipam.addresses names no address"));
    }
    Ok(ips)
}

/// Addresses that the container is to have, by number.
pub(crate) fn asked_for(config: &Config, call: &Call) -> Result<Addresses> {
    let mut all = Addresses::default();
    for text in wished(config, call.arg("IP"))? {
        let bad = || Failure::new(Code::Config, format!("{text:.80?} is no address"));
        match text.split('/').next().unwrap_or_default().parse().map_err(|_| bad())? {
            IpAddr::V4(ip) if all.ip.is_none_or(|other| other == ip) => all.ip = Some(ip),
            IpAddr::V6(ip) if all.ip6.is_none_or(|other| other == ip) => all.ip6 = Some(ip),
            IpAddr::V4(_) | IpAddr::V6(_) => return Err(twice(&text)),
        }
    }
    Ok(all)
}

/// What the capability says goes before the labels, and both before CNI_ARGS.
pub(crate) fn wished(config: &Config, arg: Option<&str>) -> Result<Vec<String>> {
    for source in [config.runtime()?, config.labels()?] {
        let texts = source.map(|source| source.texts_of("ips")).transpose()?.unwrap_or_default();
        if !texts.is_empty() {
            return Ok(texts);
        }
    }
    Ok(arg.unwrap_or_default().split(',').filter(|text| !text.is_empty()).map(str::to_string).collect())
}

/// Sets of ranges, each of which gives one address: what the runtime says first, then the flat form, then the lists.
pub(crate) fn sets(config: &Config, ipam: &Json) -> Result<Vec<Vec<Range>>> {
    let mut sets: Vec<Vec<&Json>> = Vec::new();
    if let Some(runtime) = config.runtime()? {
        let given = runtime.list_of("ipRanges")?.unwrap_or_default();
        match given.first() {
            Some(Json::Object(_)) => sets.extend(given.iter().map(|range| vec![range])),
            Some(_) => sets.extend(given.iter().map(set).collect::<Result<Vec<_>>>()?),
            None => (),
        }
    }
    if ipam.text_of("subnet")?.is_some() {
        sets.push(vec![ipam]);
    }
    sets.extend(ipam.list_of("ranges")?.unwrap_or_default().iter().map(set).collect::<Result<Vec<_>>>()?);
    if sets.is_empty() {
        return Err(Failure::new(Code::Config, "ipam names no range of addresses")
            .because("host-local needs ranges, such as [[{\"subnet\":\"10.9.0.0/24\"}]]"));
    }
    let sets: Vec<Vec<Range>> =
        sets.into_iter().map(|set| set.into_iter().map(range).collect()).collect::<Result<_>>()?;
    for set in &sets {
        let Some(first) = set.first() else {
            return Err(Failure::new(Code::Config, "a set of ranges is empty"));
        };
        if set.iter().any(|range| range.net.is_ipv6() != first.net.is_ipv6()) {
            return Err(Failure::new(Code::Config, "a set of ranges mixes IPv4 and IPv6"));
        }
    }
    let all: Vec<&Range> = sets.iter().flatten().collect();
    for (at, one) in all.iter().enumerate() {
        if let Some(other) = all[..at].iter().find(|other| one.start <= other.end && other.start <= one.end) {
            return Err(Failure::new(Code::Config, format!("ranges overlap: {} and {}", other.net, one.net)));
        }
    }
    Ok(sets)
}

/// What one network of ours has: of each family one set.
fn host_local(config: &Config, ipam: &Json) -> Result<Vec<SubnetSpec>> {
    let sets = sets(config, ipam)?;
    for (at, set) in sets.iter().enumerate() {
        if sets[..at].iter().any(|other| other[0].net.is_ipv6() == set[0].net.is_ipv6()) {
            return Err(twice(&set[0].net.to_string()));
        }
    }
    Ok(sets.iter().flatten().map(Range::spec).collect())
}

/// A part of a subnet, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) net: IpNetwork,
    pub(crate) gateway: IpAddr,
    pub(crate) start: IpAddr,
    pub(crate) end: IpAddr,
}

impl Range {
    fn spec(&self) -> SubnetSpec {
        let whole = (self.start, self.end) == (first(self.net), last(self.net));
        SubnetSpec {
            gateway: Some(self.gateway),
            ip_range: (!whole).then(|| format!("{}-{}", self.start, self.end)),
            ..SubnetSpec::new(self.net.to_string())
        }
    }
}

fn set(json: &Json) -> Result<Vec<&Json>> {
    match json {
        Json::List(ranges) => Ok(ranges.iter().collect()),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) | Json::Object(_) => {
            Err(Failure::new(Code::Decode, "ranges of the network configuration is not a list of lists"))
        }
    }
}

fn range(json: &Json) -> Result<Range> {
    let text = json.text_of("subnet")?.unwrap_or_default();
    let bad =
        |why: &str| Failure::new(Code::Config, format!("subnet {text:.80?} is not usable")).because(why);
    let net: IpNetwork = text.parse().map_err(|_| bad("it is not an address with a prefix length"))?;
    if !text.contains('/') {
        return Err(bad("it has no prefix length"));
    }
    if net.ip() != net.network() {
        return Err(bad("it has host bits set"));
    }
    let address = |key: &str| -> Result<Option<IpAddr>> {
        let Some(text) = json.text_of(key)? else { return Ok(None) };
        let ip: IpAddr = text.parse().map_err(|_| bad(&format!("{key} {text:.80?} is no address")))?;
        if net.contains(ip) { Ok(Some(ip)) } else { Err(bad(&format!("{key} {ip} is outside of it"))) }
    };
    let longest = if net.is_ipv4() { 30 } else { 126 };
    if net.prefix() > longest {
        return Err(bad("it is too small to give an address from"));
    }
    let start = address("rangeStart")?.unwrap_or_else(|| first(net));
    let end = address("rangeEnd")?.unwrap_or_else(|| last(net));
    if start > end {
        return Err(bad("its range ends before it starts"));
    }
    Ok(Range { net, gateway: address("gateway")?.unwrap_or_else(|| first(net)), start, end })
}

pub(crate) fn routes(json: &Json) -> Result<Vec<Route>> {
    json.list_of("routes")?.unwrap_or_default().iter().map(route).collect()
}

fn route(json: &Json) -> Result<Route> {
    let text = json.text_of("dst")?.unwrap_or_default();
    let bad =
        |why: &str| Failure::new(Code::Config, format!("route to {text:.80?} is not usable")).because(why);
    let dst: IpNetwork = text.parse().map_err(|_| bad("it is not an address with a prefix length"))?;
    let gw =
        json.text_of("gw")?.map(str::parse::<IpAddr>).transpose().map_err(|_| bad("its gw is no address"))?;
    if gw.is_some_and(|gw| gw.is_ipv6() != dst.is_ipv6()) {
        return Err(bad("its gw is of the other family"));
    }
    let mut terms = Vec::new();
    for key in ["mtu", "advmss", "priority", "table", "scope"] {
        let most = if key == "scope" { i64::from(u8::MAX) } else { i64::from(u32::MAX) };
        match json.number_of(key)? {
            None => (),
            Some(value) if (0..=most).contains(&value) => {
                terms.push((key, u32::try_from(value).map_err(|_| bad(key))?));
            }
            Some(_) => return Err(bad(&format!("its {key} is out of range"))),
        }
    }
    Ok(Route { dst: subnet_of(dst), gw, terms })
}

fn subnet_of(address: IpNetwork) -> IpNetwork {
    IpNetwork::new(address.network(), address.prefix()).expect("the prefix length of an address")
}

fn first(net: IpNetwork) -> IpAddr {
    match net {
        IpNetwork::V4(net) => Ipv4Addr::from(u32::from(net.network()).wrapping_add(1)).into(),
        IpNetwork::V6(net) => Ipv6Addr::from(u128::from(net.network()).wrapping_add(1)).into(),
    }
}

fn last(net: IpNetwork) -> IpAddr {
    match net {
        IpNetwork::V4(net) => Ipv4Addr::from(u32::from(net.broadcast()).wrapping_sub(1)).into(),
        IpNetwork::V6(net) => net.broadcast().into(),
    }
}
