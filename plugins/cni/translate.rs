//! From CNI's words to ours: an attachment becomes an endpoint here, and is not seen again. Pure.

pub(crate) mod addresses;
pub(crate) mod answer;
pub(crate) mod extras;
mod names;
pub(crate) mod network;

use std::collections::BTreeMap;

use bowline_api::v1;

use crate::call::Call;
use crate::config::Config;
use crate::failure::{Code, Failure};
use crate::outcome::{Dns, Route};
use crate::role::Role;
use addresses::Addresses;

type Result<T> = std::result::Result<T, Failure>;

/// What the process knows besides what it was told.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// The number of the host's namespace, as long as it lives: that of its file.
    pub(crate) host: u64,
    /// The same as an open file of this process.
    pub(crate) host_netns: v1::Netns,
    /// The container's.
    pub(crate) netns: v1::Netns,
    /// The text of the file that `ipam.resolvConf` names.
    pub(crate) resolv_conf: Option<String>,
    /// Addresses that host-local gave before, each with container and interface.
    pub(crate) leftovers: Vec<(std::net::IpAddr, String)>,
}

/// An endpoint to be made, and what its result says that the daemon does not know.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wish {
    pub(crate) create: v1::CreateEndpoint,
    pub(crate) routes: Vec<Route>,
    /// The result names the default routes, for they were asked for by a flag.
    pub(crate) tells_default_route: bool,
    pub(crate) dns: Dns,
}

/// Under which the daemon knows all endpoints of a network made by way of CNI.
pub(crate) fn prefix(host: u64, network: &str) -> String {
    format!("cni/{host}/{network}/")
}

/// Under which the daemon knows this one.
pub(crate) fn key(host: u64, network: &str, container: &str, ifname: &str) -> String {
    format!("{}{container}/{ifname}", prefix(host, network))
}

/// The endpoint of an ADD, on a network that is there or that its configuration describes.
pub(crate) fn endpoint(
    role: Role,
    config: &Config,
    call: &Call,
    facts: &Facts,
    addresses: Option<Addresses>,
) -> Result<Wish> {
    let json = &config.json;
    let named = json.text_of("network")?.filter(|_| role == Role::Bowline);
    // Another plugin's addresses are of whichever subnets that plugin likes.
    let foreign = addresses.is_some() || config.ipam_type()? == Some("static");
    let addresses = match (addresses, named) {
        (Some(addresses), _) => addresses,
        (None, Some(_)) => addresses::asked_for(config, call)?,
        (None, None) => addresses::of(config, call, facts.resolv_conf.as_deref())?,
    };
    let made =
        if named.is_some() { None } else { Some(network::of(role, config, facts, &addresses, foreign)?) };

    let key = key(facts.host, &config.name, &call.container, &call.ifname);
    let names = names::of(config, call, &key)?;
    let mut sysctls = apart(&call.ifname);
    sysctls.extend(extras::tuning(config, &call.ifname)?);
    let rates = match role {
        Role::Bowline => extras::rates(config)?,
        _ => extras::Rates::default(),
    };
    let publish = if role == Role::Bowline { extras::ports(config)? } else { Vec::new() };
    let default_route = match &made {
        Some(made) => made.default_route,
        None => json.flag_of("isDefaultGateway")?.unwrap_or(true),
    };
    let join = v1::Join {
        network: named.map_or_else(|| config.name.clone(), str::to_string),
        interface: Some(call.ifname.clone()),
        ip: addresses.ip,
        ip6: addresses.ip6,
        mac: mac(config, call)?,
        aliases: names.aliases,
        rate_in_bits_per_s: rates.ingress,
        rate_out_bits_per_s: rates.egress,
        no_default_route: !default_route,
        default_route_metric: metric(&call.ifname),
        routes: addresses.routes.iter().map(|route| own_route(route, &addresses, &call.ifname)).collect(),
        sysctls,
        ..v1::Join::default()
    };
    let mut dns = addresses.dns.clone();
    let own = Dns::parse(json.object_of("dns")?)?;
    if own != Dns::default() {
        dns = own;
    }
    let create = v1::CreateEndpoint {
        hostname: names.hostname,
        networks: vec![join],
        publish,
        dns: extras::resolver(config, &dns)?,
        antispoof: json.flag_of("antispoof")?.or(json.flag_of("macspoofchk")?).unwrap_or(true),
        labels: labels(config, call),
        key: Some(key),
        make: made.map(|made| made.create).into_iter().collect(),
        ..v1::CreateEndpoint::named(names.name, facts.netns.clone())
    };
    Ok(Wish { create, routes: addresses.routes, tells_default_route: default_route, dns })
}

/// Of several cards of one namespace on one network each answers and asks for itself; else the host would go on sending what is
/// for one to another, even when that is gone.
fn apart(card: &str) -> BTreeMap<String, String> {
    let file = |leaf: &str| format!("net/ipv4/conf/{card}/{leaf}");
    [(file("arp_announce"), "2".to_string()), (file("arp_ignore"), "1".to_string())].into()
}

/// Of several interfaces with a default route the one of the lowest number has it, whichever came first.
fn metric(ifname: &str) -> Option<u32> {
    let digits = ifname.trim_start_matches(|c: char| !c.is_ascii_digit());
    match digits.parse::<u32>() {
        Ok(0) => None,
        Ok(number) => Some(100 + number.min(100_000)),
        Err(_) => Some(100),
    }
}

/// A route without a gateway goes by that of the container's address.
fn own_route(route: &Route, addresses: &Addresses, ifname: &str) -> v1::OwnRoute {
    let term = |key: &str| route.terms.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
    let is_default = route.dst.prefix() == 0;
    v1::OwnRoute {
        to: route.dst.to_string(),
        via: route.gw.or_else(|| addresses.gateway(route.dst.is_ipv6())),
        metric: term("priority").or_else(|| metric(ifname).filter(|_| is_default)),
        mtu_bytes: term("mtu"),
        advmss_bytes: term("advmss"),
        table: term("table"),
        scope: term("scope").and_then(|scope| u8::try_from(scope).ok()),
    }
}

fn mac(config: &Config, call: &Call) -> Result<Option<String>> {
    if let Some(mac) = config.runtime()?.map(|runtime| runtime.text_of("mac")).transpose()?.flatten() {
        return Ok(Some(mac.to_string()));
    }
    if let Some(mac) = config.labels()?.map(|labels| labels.text_of("mac")).transpose()?.flatten() {
        return Ok(Some(mac.to_string()));
    }
    let own = config.json.text_of("mac")?;
    Ok(call.arg("MAC").filter(|mac| !mac.is_empty()).or(own).map(str::to_string))
}

/// What the runtime says of the container, for whoever looks at it later.
fn labels(config: &Config, call: &Call) -> BTreeMap<String, String> {
    let fits = |text: &str| text.len() <= 256 && !text.chars().any(char::is_control);
    let args = call.args.iter().filter(|(key, value)| key != "IgnoreUnknown" && fits(key) && fits(value));
    let args = args.take(32).map(|(key, value)| (format!("cni.args.{key:.200}"), value.clone()));
    let own = [("cni.network", &config.name), ("cni.container", &call.container)];
    args.chain(own.map(|(key, value)| (key.to_string(), value.clone()))).collect()
}

/// What others take care of.
pub(crate) fn unsupported(key: &str, value: &str, why: &str) -> Failure {
    Failure::new(Code::Unsupported, format!("unsupported field: {key}={value}")).because(why)
}

#[cfg(test)]
mod tests;
