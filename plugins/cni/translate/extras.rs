//! What portmap, bandwidth and tuning do for others, and the resolver: parts of one endpoint.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bowline_api::v1;

use super::Result;
use crate::call::Call;
use crate::config::Config;
use crate::failure::{Code, Failure};
use crate::json::Json;
use crate::outcome::Dns;

/// `portMappings` of the runtime.
pub(crate) fn ports(config: &Config) -> Result<Vec<v1::PublishSpec>> {
    let Some(runtime) = config.runtime()? else { return Ok(Vec::new()) };
    runtime.list_of("portMappings")?.unwrap_or_default().iter().map(port).collect()
}

fn port(json: &Json) -> Result<v1::PublishSpec> {
    let number = |key: &str| -> Result<u16> {
        let value = json.number_of(key)?.unwrap_or_default();
        u16::try_from(value).ok().filter(|port| *port > 0).ok_or_else(|| {
            Failure::new(Code::Config, format!("invalid {key}: {value}")).because("a port is 1 to 65535")
        })
    };
    let host_ip = match json.text_of("hostIP")? {
        None => None,
        Some(text) => Some(text.parse::<IpAddr>().map_err(|_| {
            Failure::new(Code::Config, format!("invalid hostIP: {text:.80?}")).because("it is no address")
        })?),
    };
    let protocol = json.text_of("protocol")?.unwrap_or("tcp");
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "tcp" => v1::Protocol::Tcp,
        "udp" => v1::Protocol::Udp,
        "sctp" => v1::Protocol::Sctp,
        _ => {
            return Err(Failure::new(Code::Config, format!("invalid protocol: {protocol:.40?}"))
                .because("it is one of tcp, udp, sctp"));
        }
    };
    Ok(v1::PublishSpec {
        host_ip,
        host_port: Some(number("hostPort")?),
        port: number("containerPort")?,
        protocol,
        ..v1::PublishSpec::default()
    })
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Rates {
    /// To the container, in bits a second.
    pub(crate) ingress: Option<u64>,
    /// From it.
    pub(crate) egress: Option<u64>,
}

/// The configuration's own go before those of the runtime.
pub(crate) fn rates(config: &Config) -> Result<Rates> {
    let own = config.json.object_of("bandwidth")?.unwrap_or(&config.json);
    let rates = rates_in(own)?;
    if rates != Rates::default() {
        return Ok(rates);
    }
    match config.runtime()?.map(|runtime| runtime.object_of("bandwidth")).transpose()?.flatten() {
        Some(json) => rates_in(json),
        None => Ok(Rates::default()),
    }
}

fn rates_in(json: &Json) -> Result<Rates> {
    let one = |direction: &str| -> Result<Option<u64>> {
        let (rate, burst) = (format!("{direction}Rate"), format!("{direction}Burst"));
        let number = |key: &str| -> Result<Option<u64>> {
            let value = json.number_of(key)?.unwrap_or_default();
            let value = u64::try_from(value).map_err(|_| {
                Failure::new(Code::Config, format!("invalid {key}: {value}")).because("it is negative")
            })?;
            Ok(Some(value).filter(|value| *value > 0))
        };
        let (rate_of, burst_of) = (number(&rate)?, number(&burst)?);
        match (rate_of, burst_of) {
            (None, Some(_)) => Err(Failure::new(Code::Config, format!("{burst} without {rate}"))),
            (rate, _) => Ok(rate),
        }
    };
    Ok(Rates { ingress: one("ingress")?, egress: one("egress")? })
}

/// The sysctls that tuning would set, by their files.
pub(crate) fn tuning(config: &Config, ifname: &str) -> Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    let sources = [config.json.object_of("tuning")?, Some(&config.json), config.labels()?];
    for source in sources.into_iter().flatten() {
        let Some(given) = source.object_of("sysctl")? else { continue };
        for (name, value) in given.fields() {
            let Some(value) = value.as_text() else {
                return Err(Failure::new(Code::Decode, format!("sysctl {name:.80?} is not a text")));
            };
            if given.fields().iter().filter(|(other, _)| other == name).count() > 1 {
                return Err(Failure::new(Code::Config, format!("sysctl {name:.80?} is there twice")));
            }
            // As in sysctl(8): whichever of the two comes first separates.
            let slashes = match name.find(['.', '/']) {
                Some(at) if name[at..].starts_with('.') => name
                    .chars()
                    .map(|c| match c {
                        '.' => '/',
                        '/' => '.',
                        c => c,
                    })
                    .collect(),
                Some(_) | None => name.clone(),
            };
            let path = slashes.replacen("IFNAME", ifname, 1);
            if !path.starts_with("net/") || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
                return Err(Failure::new(Code::Config, format!("invalid net sysctl key: {name:.80?}"))
                    .because("it is no file below /proc/sys/net"));
            }
            all.insert(path, value.to_string());
        }
    }
    Ok(all)
}

/// What of a link tuning could change besides, and a bowline's endpoint has from its network.
const OF_THE_NETWORK: [&str; 4] = ["promisc", "mtu", "txQLen", "allmulti"];

/// The MAC that a tuning of its own asks for. What else it would change of the link is refused.
pub(crate) fn tuned_mac(config: &Config, call: &Call) -> Result<Option<String>> {
    let source = config.json.object_of("tuning")?.unwrap_or(&config.json);
    for key in OF_THE_NETWORK {
        match source.get(key) {
            None | Some(Json::Bool(false)) => (),
            Some(Json::Number(number)) if number.as_i64() == Some(0) => (),
            Some(value) => {
                let why = "it is the network's, and the same for all its containers: set it there";
                return Err(super::unsupported(key, &value.to_string(), why));
            }
        }
    }
    let of = |json: Option<&Json>| -> Result<Option<String>> {
        Ok(json.map(|json| json.text_of("mac")).transpose()?.flatten().map(str::to_string))
    };
    // As tuning has it: the label goes before the capability.
    for json in [config.labels()?, config.runtime()?] {
        if let Some(mac) = of(json)? {
            return Ok(Some(mac));
        }
    }
    match call.arg("MAC").filter(|mac| !mac.is_empty()) {
        Some(mac) => Ok(Some(mac.to_string())),
        None => of(Some(source)),
    }
}

/// Whom its resolver asks for what is not ours: what the runtime says, else what the configuration says.
pub(crate) fn resolver(config: &Config, of_config: &Dns) -> Result<v1::DnsWishes> {
    let runtime = config.runtime()?.map(|runtime| runtime.object_of("dns")).transpose()?.flatten();
    let (servers, search, options) = match runtime {
        Some(dns) => (dns.texts_of("servers")?, dns.texts_of("searches")?, dns.texts_of("options")?),
        None => (of_config.nameservers.clone(), of_config.search.clone(), of_config.options.clone()),
    };
    let mut wishes = v1::DnsWishes { search, options, ..v1::DnsWishes::default() };
    for server in servers {
        let ip: IpAddr = server
            .parse()
            .map_err(|_| Failure::new(Code::Config, format!("name server {server:.80?} is no address")))?;
        // A loopback of the host's, or our own: nobody is there from inside.
        if !ip.is_loopback() {
            wishes.servers.push(ip);
        }
    }
    Ok(wishes)
}
