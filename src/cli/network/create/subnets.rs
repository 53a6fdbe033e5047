//! Which gateway, range and auxiliary address belongs to which subnet: the narrowest that contains it.

use std::net::IpAddr;

use bowline_api::v1::{StaticRoute, SubnetSpec};
use bowline_core::network::prefix;
use bowline_core::range::Range;
use bowline_core::{Code, Error, Result};

/// Reads `router=10.9.0.2`.
pub(super) fn aux(text: &str) -> Result<(String, IpAddr), String> {
    let wrong = || "write it as NAME=IP, such as router=10.9.0.2".to_string();
    let (name, ip) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(wrong)?;
    Ok((name.to_string(), ip.parse().map_err(|_| wrong())?))
}

/// Reads `192.0.2.0/24,10.9.0.254`, and Podman's third part, a metric, not.
pub(super) fn route(text: &str) -> Result<StaticRoute, String> {
    let wrong = || "write it as CIDR,ROUTER, such as 192.0.2.0/24,10.9.0.254".to_string();
    let (to, via) = text.split_once(',').ok_or_else(wrong)?;
    prefix(to).map_err(|_| wrong())?;
    Ok(StaticRoute { to: to.to_string(), via: via.parse().map_err(|_| wrong())? })
}

pub(super) fn matched(
    subnets: &[String],
    gateways: &[IpAddr],
    ranges: &[String],
    aux: Vec<(String, IpAddr)>,
) -> Result<Vec<SubnetSpec>> {
    let nets = subnets.iter().map(|text| prefix(text)).collect::<Result<Vec<_>>>()?;
    let mut specs: Vec<SubnetSpec> = subnets.iter().map(SubnetSpec::new).collect();
    let home = |address: IpAddr, bits: u8| {
        let holding =
            nets.iter().enumerate().filter(|(_, net)| net.contains(address) && net.prefix() <= bits);
        holding.max_by_key(|(_, net)| net.prefix()).map(|(at, _)| at)
    };
    let no_home = |code, flag: &str, what: String| {
        let error = Error::new(code, format!("{flag} {what} fits no subnet"));
        match subnets {
            [] => error.because("no subnet is given").fix("add the --subnet that it is in"),
            _ => error
                .because(format!("the subnets are {}", subnets.join(", ")))
                .fix("choose it inside one of them, or add the --subnet that it is in"),
        }
    };
    let twice = |flag: &str, cidr: &str| {
        Error::new(Code::InvalidOption, format!("two of {flag} for subnet {cidr}"))
            .fix("give one for each subnet")
    };
    for &gateway in gateways {
        let at = home(gateway, u8::MAX)
            .ok_or_else(|| no_home(Code::InvalidGateway, "--gateway", gateway.to_string()))?;
        if specs[at].gateway.replace(gateway).is_some() {
            return Err(twice("--gateway", &specs[at].cidr));
        }
    }
    for text in ranges {
        let range: Range =
            text.parse().map_err(|e: Error| e.context(format!("--ip-range {text} is not usable")))?;
        let bits = match range {
            Range::Prefix(net) => net.prefix(),
            Range::Span { .. } => u8::MAX,
        };
        let at = home(range.first(), bits)
            .ok_or_else(|| no_home(Code::InvalidRange, "--ip-range", text.clone()))?;
        if specs[at].ip_range.replace(text.clone()).is_some() {
            return Err(twice("--ip-range", &specs[at].cidr));
        }
    }
    for (name, address) in aux {
        let at = home(address, u8::MAX)
            .ok_or_else(|| no_home(Code::InvalidAddress, "--aux-address", format!("{name}={address}")))?;
        if specs[at].aux_addresses.insert(name.clone(), address).is_some() {
            return Err(twice(&format!("--aux-address {name}"), &specs[at].cidr));
        }
    }
    Ok(specs)
}
