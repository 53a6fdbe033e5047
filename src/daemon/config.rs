//! The configuration: one TOML file, every key in [`KEYS`], nothing else accepted.

mod keys;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use bowline_api::v1;
use bowline_core::ipam::pools::PoolSpec;
use bowline_core::network::prefix;
use bowline_core::{Code, Context, Error, Result};
use ipnetwork::IpNetwork;

pub use keys::{KEYS, Key, toml_value};

pub const PATH: &str = "/etc/bowline/bowline.toml";

/// As the daemon uses it: parsed once, handed down in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub group: String,
    pub log: String,
    pub log_format: LogFormat,
    /// Where the administrator's own firewall rules are.
    pub rules: PathBuf,
    pub pools: Vec<PoolSpec>,
    pub ipv6: Ipv6Pool,
    /// None follows the uplink.
    pub mtu: Option<u32>,
    pub gso: v1::Gso,
    /// Where names are asked for that are not ours; None for the servers of this host's resolv.conf.
    pub dns_servers: Option<Vec<IpAddr>>,
    /// For how long a name of ours may be remembered, in seconds.
    pub dns_ttl: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// Where IPv6 subnets come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ipv6Pool {
    /// A /48 of fd00::/8 that is made up once for this host.
    Random,
    Prefix(IpNetwork),
}

/// A key with the value in force and where that came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    pub key: &'static str,
    pub value: String,
    /// The file, or `default`.
    pub origin: String,
}

impl Config {
    /// Reads a file. Without one named, /etc/bowline/bowline.toml is read if it is there.
    pub fn load(path: Option<&Path>) -> Result<Config> {
        Config::from_settings(&Config::settings(path)?)
    }

    /// Every key, with its value in force, in the order of [`KEYS`].
    pub fn settings(path: Option<&Path>) -> Result<Vec<Setting>> {
        let (file, text) = match path {
            Some(path) => (path.to_path_buf(), read(path)?),
            None if Path::new(PATH).exists() => (PathBuf::from(PATH), read(Path::new(PATH))?),
            None => (PathBuf::from(PATH), String::new()),
        };
        let given = keys::parse(&text).context(|| format!("read the configuration {}", file.display()))?;
        let setting = |key: &Key| match given.iter().find(|(name, _)| *name == key.name) {
            Some((_, value)) => {
                Setting { key: key.name, value: value.clone(), origin: file.display().to_string() }
            }
            None => Setting { key: key.name, value: key.default.to_string(), origin: "default".to_string() },
        };
        let settings: Vec<Setting> = KEYS.iter().map(setting).collect();
        Config::from_settings(&settings).context(|| format!("read the configuration {}", file.display()))?;
        Ok(settings)
    }

    fn from_settings(settings: &[Setting]) -> Result<Config> {
        let value = |key: &str| {
            let setting = settings.iter().find(|s| s.key == key).expect("settings hold every key");
            setting.value.as_str()
        };
        let bad = |key: &str, why: &str, fix: &str| {
            Error::new(Code::InvalidConfig, format!("{key} = {:?} is not valid", value(key)))
                .because(why)
                .fix(fix)
        };
        let log_format = match value("daemon.log_format") {
            "text" => LogFormat::Text,
            "json" => LogFormat::Json,
            _ => {
                return Err(bad("daemon.log_format", "it is neither text nor json", "log_format = \"text\""));
            }
        };
        if !["error", "warn", "info", "debug", "trace"].contains(&value("daemon.log")) {
            return Err(bad("daemon.log", "there is no such level", "use error, warn, info, debug or trace"));
        }
        let size = value("pools.ipv4_size").parse();
        let size = size.map_err(|_| bad("pools.ipv4_size", "it is not a prefix length", "ipv4_size = 24"))?;
        let pools = value("pools.ipv4").split(',').map(|text| {
            let pool = prefix(text.trim()).and_then(|base| PoolSpec::new(base, size));
            pool.and_then(|pool| if pool.base().is_ipv4() { Ok(pool) } else { Err(not_ipv4()) })
                .map_err(|error| bad("pools.ipv4", &error.to_string(), "ipv4 = [\"10.160.0.0/12\"]"))
        });
        let ipv6 = match value("pools.ipv6") {
            "random" => Ipv6Pool::Random,
            text => match prefix(text) {
                Ok(net) if net.is_ipv6() && net.prefix() <= 64 && net.ip() == net.network() => {
                    Ipv6Pool::Prefix(net)
                }
                _ => {
                    return Err(bad(
                        "pools.ipv6",
                        "it is no IPv6 prefix that holds a /64",
                        "ipv6 = \"random\"",
                    ));
                }
            },
        };
        if !value("firewall.rules").starts_with('/') {
            return Err(bad("firewall.rules", "it is not a whole path", "rules = \"/etc/bowline/nft.d\""));
        }
        let mtu = match value("link.mtu") {
            "auto" => None,
            text => {
                Some(text.parse().ok().filter(|mtu| (576..=65535).contains(mtu)).ok_or_else(|| {
                    bad("link.mtu", "it is neither auto nor 576 to 65535", "mtu = \"auto\"")
                })?)
            }
        };
        let gso = match value("link.gso") {
            "auto" => v1::Gso::Auto,
            "on" => v1::Gso::On,
            "off" => v1::Gso::Off,
            _ => return Err(bad("link.gso", "it is none of auto, on and off", "gso = \"auto\"")),
        };
        let dns_servers = match value("dns.servers") {
            "host" => None,
            text => {
                let servers: Result<Vec<IpAddr>, _> = text.split(',').map(|ip| ip.trim().parse()).collect();
                Some(servers.map_err(|_| {
                    bad("dns.servers", "they are not all addresses", "servers = [\"192.0.2.53\"]")
                })?)
            }
        };
        let dns_ttl =
            value("dns.ttl_seconds").parse().ok().filter(|ttl| *ttl <= 86_400).ok_or_else(|| {
                bad("dns.ttl_seconds", "it is not 0 to 86400, which is a day", "ttl_seconds = 5")
            })?;
        Ok(Config {
            group: value("daemon.group").to_string(),
            log: value("daemon.log").to_string(),
            log_format,
            rules: PathBuf::from(value("firewall.rules")),
            pools: pools.collect::<Result<_>>()?,
            ipv6,
            mtu,
            gso,
            dns_servers,
            dns_ttl,
        })
    }
}

fn not_ipv4() -> Error {
    Error::new(Code::InvalidConfig, "it is not IPv4")
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| {
        Error::new(Code::InvalidConfig, format!("read the configuration {}", path.display()))
            .because(error)
            .fix("name a readable TOML file: --config F")
    })
}

#[cfg(test)]
mod tests;
