//! `-o key=value`: docker's names for what has a flag of its own here.

use bowline_core::{Code, Error, Result};

use clap::ValueEnum;

use super::{GatewayMode, Isolation};

#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) mtu: Option<u32>,
    pub(super) icc: Option<bool>,
    pub(super) masquerade: Option<bool>,
    pub(super) isolation: Option<Isolation>,
    pub(super) gateway_mode_ipv4: Option<GatewayMode>,
    pub(super) gateway_mode_ipv6: Option<GatewayMode>,
    pub(super) trusted: Option<Vec<String>>,
    pub(super) parent: Option<String>,
    pub(super) mode: Option<String>,
    pub(super) flag: Option<String>,
}

const KNOWN: &str = "com.docker.network.driver.mtu (or mtu), com.docker.network.bridge.enable_icc, \
                     com.docker.network.bridge.enable_ip_masquerade, com.docker.network.bridge.gateway_mode_ipv4, \
                     com.docker.network.bridge.gateway_mode_ipv6, com.docker.network.bridge.trusted_host_interfaces, \
                     isolate, parent, macvlan_mode, ipvlan_mode, ipvlan_flag";

pub(super) fn read(pairs: &[(String, String)]) -> Result<Options> {
    let mut options = Options::default();
    for (key, value) in pairs {
        let bad = |what: &str| {
            Error::new(Code::InvalidRequest, format!("driver option {key}={value} is not usable"))
                .because(format!("the value is not {what}"))
        };
        let yes_or_no = || switch(value).ok_or_else(|| bad("true or false"));
        let mode = || {
            GatewayMode::from_str(value, false).map_err(|_| bad("nat, nat-unprotected, routed or isolated"))
        };
        match key.as_str() {
            "com.docker.network.driver.mtu" | "mtu" => {
                options.mtu = Some(value.parse().map_err(|_| bad("a number of bytes"))?);
            }
            "com.docker.network.bridge.enable_icc" => options.icc = Some(yes_or_no()?),
            "com.docker.network.bridge.enable_ip_masquerade" => options.masquerade = Some(yes_or_no()?),
            "com.docker.network.bridge.gateway_mode_ipv4" => options.gateway_mode_ipv4 = Some(mode()?),
            "com.docker.network.bridge.gateway_mode_ipv6" => options.gateway_mode_ipv6 = Some(mode()?),
            "com.docker.network.bridge.trusted_host_interfaces" => {
                let names = value.split(':').filter(|name| !name.is_empty());
                options.trusted = Some(names.map(str::to_string).collect());
            }
            "com.docker.network.bridge.host_binding_ipv4" | "com.docker.network.bridge.host_binding_ipv6" => {
                return Err(Error::new(Code::InvalidRequest, format!("driver option {key} is not known"))
                    .because("no network chooses the addresses that its members publish at")
                    .fix(format!("say it with each port: -p {}", at(value))));
            }
            "parent" => options.parent = Some(value.clone()),
            "macvlan_mode" | "ipvlan_mode" => options.mode = Some(value.clone()),
            "ipvlan_flag" => options.flag = Some(value.clone()),
            "isolate" if value == "strict" => options.isolation = Some(Isolation::Strict),
            "isolate" => options.isolation = yes_or_no()?.then_some(Isolation::Strict),
            _ => {
                return Err(Error::new(Code::InvalidRequest, format!("driver option {key} is not known"))
                    .fix(format!("the known options are {KNOWN}")));
            }
        }
    }
    Ok(options)
}

/// The one value of a flag and of the option that means the same.
pub(super) fn one<T: PartialEq>(flag: &str, by_flag: Option<T>, by_option: Option<T>) -> Result<Option<T>> {
    match (by_flag, by_option) {
        (Some(a), Some(b)) if a != b => {
            Err(Error::new(Code::InvalidOption, format!("{flag} and an option given by -o disagree"))
                .fix("give one of them"))
        }
        (a, b) => Ok(a.or(b)),
    }
}

/// `127.0.0.1:8080:80`
fn at(address: &str) -> String {
    match address.contains(':') {
        true => format!("[{address}]:8080:80"),
        false => format!("{address}:8080:80"),
    }
}

/// The words that docker takes for a truth value.
fn switch(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}
