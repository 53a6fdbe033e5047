//! What an endpoint asks of a network, from flags or in one word: `front`, `front:ip=10.9.0.5` or `name=front,ip=10.9.0.5`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bowline_api::v1::Join;
use bowline_core::rate::Rate;
use bowline_core::{Code, Error, Result};
use clap::Args;

#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub(crate) struct JoinArgs {
    /// This IPv4 address, instead of the next free one
    #[arg(long, value_name = "IP")]
    ip: Option<Ipv4Addr>,

    /// This IPv6 address, instead of the next free one
    #[arg(long, value_name = "IP")]
    ip6: Option<Ipv6Addr>,

    /// This MAC address, instead of one made up
    #[arg(long, visible_alias = "mac-address", value_name = "MAC")]
    mac: Option<String>,

    /// One more name for it on this network
    #[arg(long = "alias", visible_alias = "network-alias", value_name = "NAME")]
    aliases: Vec<String>,

    /// The interface's name inside, instead of the first free of eth0, eth1, …
    #[arg(long, visible_alias = "ifname", value_name = "NAME")]
    interface: Option<String>,

    /// The default route goes by the network with the highest number [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    gw_priority: Option<i32>,

    /// Its VLAN on the network's bridge, instead of the network's own
    #[arg(long, value_name = "NUMBER")]
    vlan: Option<u16>,

    #[command(flatten)]
    pub(crate) rates: RateArgs,
}

/// What may be said of all networks at once; what one says for itself goes over it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
pub(crate) struct RateArgs {
    /// The most that reaches it, such as 10mbit, on each of its networks
    #[arg(long, value_name = "RATE")]
    rate_in: Option<Rate>,

    /// The most that it sends, such as 10mbit, on each of its networks
    #[arg(long, value_name = "RATE")]
    rate_out: Option<Rate>,
}

impl RateArgs {
    pub(crate) fn over(self, join: Join) -> Join {
        let bits = |rate: Option<Rate>| rate.map(Rate::bits_per_second);
        Join {
            rate_in_bits_per_s: join.rate_in_bits_per_s.or(bits(self.rate_in)),
            rate_out_bits_per_s: join.rate_out_bits_per_s.or(bits(self.rate_out)),
            ..join
        }
    }
}

impl JoinArgs {
    pub(crate) fn is_empty(&self) -> bool {
        *self == JoinArgs::default()
    }

    /// Nothing is said that one network only can have.
    pub(crate) fn is_for_any(&self) -> bool {
        *self == JoinArgs { rates: self.rates, ..JoinArgs::default() }
    }

    /// What the flags say goes over what `join` says.
    pub(crate) fn over(self, join: Join) -> Join {
        let join = self.rates.over(join);
        let aliases = join.aliases.into_iter().chain(self.aliases).collect();
        Join {
            interface: self.interface.or(join.interface),
            ip: self.ip.or(join.ip),
            ip6: self.ip6.or(join.ip6),
            mac: self.mac.or(join.mac),
            aliases,
            gw_priority: self.gw_priority.unwrap_or(join.gw_priority),
            vlan: self.vlan.or(join.vlan),
            ..join
        }
    }
}

/// Reads the value of `--network`: Podman's and Docker's long forms alike.
pub(crate) fn parse(text: &str) -> Result<Join> {
    let (network, options) = match text.find([':', '=', ',']).map(|at| (at, &text[at..=at])) {
        None => (text, ""),
        Some((at, ":")) => (&text[..at], &text[at + 1..]),
        Some(_) => ("", text),
    };
    let mut join = Join { network: network.to_string(), ..Join::default() };
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        set(&mut join, key, value).map_err(|error| error.context(format!("read --network {text:?}")))?;
    }
    if join.network.is_empty() {
        return Err(Error::new(Code::InvalidRequest, format!("read --network {text:?}"))
            .because("it names no network")
            .fix("write --network front, or --network front:ip=10.9.0.5,alias=db"));
    }
    Ok(join)
}

fn set(join: &mut Join, key: &str, value: &str) -> Result<()> {
    let bad = |what: &str| Error::new(Code::InvalidAddress, format!("{key}={value} is not {what}"));
    match key {
        "name" => join.network = value.to_string(),
        "ip" | "ip6" => match value.parse() {
            Ok(IpAddr::V4(ip)) if key == "ip" => join.ip = Some(ip),
            Ok(IpAddr::V6(ip)) => join.ip6 = Some(ip),
            Ok(IpAddr::V4(_)) | Err(_) => return Err(bad("an address of that family")),
        },
        "mac" | "mac-address" => join.mac = Some(value.to_string()),
        "alias" => join.aliases.push(value.to_string()),
        "interface" | "ifname" | "interface_name" => join.interface = Some(value.to_string()),
        "vlan" => join.vlan = Some(value.parse().map_err(|_| bad("a number"))?),
        "gw-priority" => join.gw_priority = value.parse().map_err(|_| bad("a number"))?,
        "rate-in" => join.rate_in_bits_per_s = Some(value.parse::<Rate>()?.bits_per_second()),
        "rate-out" => join.rate_out_bits_per_s = Some(value.parse::<Rate>()?.bits_per_second()),
        _ => {
            return Err(Error::new(Code::InvalidRequest, format!("{key:?} is not an option of a network"))
                .fix(
                    "the options are ip, ip6, mac, alias, interface, vlan, gw-priority, rate-in and rate-out",
                ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_network() {
        let plain = Join { network: "front".into(), ..Join::default() };
        assert_eq!(parse("front").unwrap(), plain);
        assert_eq!(parse("name=front").unwrap(), plain);
        let full = Join {
            network: "front".into(),
            interface: Some("lan0".into()),
            ip: Some("10.9.0.5".parse().unwrap()),
            ip6: Some("fd00::5".parse().unwrap()),
            mac: Some("02:42:ac:11:00:02".into()),
            aliases: vec!["api".into(), "db".into()],
            vlan: Some(20),
            gw_priority: -3,
            rate_in_bits_per_s: Some(10_000_000),
            rate_out_bits_per_s: Some(500_000),
            ..Join::default()
        };
        let options = "ip=10.9.0.5,ip6=fd00::5,mac=02:42:ac:11:00:02,alias=api,alias=db,interface=lan0,vlan=20,gw-priority=-3,\
                       rate-in=10mbit,rate-out=0.5m";
        assert_eq!(parse(&format!("front:{options}")).unwrap(), full);
        assert_eq!(parse(&format!("name=front,{options}")).unwrap(), full);
        assert_eq!(parse("front:ip=fd00::5").unwrap().ip6, full.ip6);
    }

    #[test]
    fn what_is_not_a_network() {
        for (text, code) in [
            ("", Code::InvalidRequest),
            (":ip=10.9.0.5", Code::InvalidRequest),
            ("ip=10.9.0.5", Code::InvalidRequest),
            ("front,ip=10.9.0.5", Code::InvalidRequest),
            ("front:colour=red", Code::InvalidRequest),
            ("front:ip=red", Code::InvalidAddress),
            ("front:ip6=10.9.0.5", Code::InvalidAddress),
            ("front:gw-priority=high", Code::InvalidAddress),
            ("front:rate-in=fast", Code::InvalidRate),
            ("front:rate-out", Code::InvalidRate),
        ] {
            assert_eq!(parse(text).unwrap_err().code, code, "{text:?}");
        }
    }
}
