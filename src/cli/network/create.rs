//! `bowline network create`: from flags, and docker's options, to one wish.

mod options;
mod subnets;

use bowline_api::v1::{self, CreateNetwork, StaticRoute};
use bowline_core::Result;
use clap::{Args, ValueEnum};

use super::{pair, view};
use crate::exit;
use crate::io::Io;
use crate::namespace::Namespace;
use crate::session::Session;

pub(super) const EXAMPLES: &str = "\
Examples:
  bowline network create front                       a free subnet from the pools
  bowline network create front --subnet 10.9.0.0/24 --subnet fd00:9::/64
  bowline network create back --internal             members reach one another, nothing else
  bowline network create lan --subnet 10.9.0.0/16 --ip-range 10.9.4.0/24 --gateway 10.9.0.254
  bowline network create lab --ipv6 --gateway-mode-ipv6 routed     IPv6 without translation
  bowline network create lan -d macvlan --parent eth0 --subnet 192.168.1.0/24 --gateway 192.168.1.1 --ip-range 192.168.1.192/27
  bowline network create guests -d macvlan --parent eth0.10 --ipam dhcp
  bowline network create lan --parent br-lan --subnet 192.168.1.0/24 --gateway 192.168.1.1     on a bridge that is there
  bowline network create office --vlan 10            a bridge that keeps members of other VLANs apart
  bowline network create wire -d p2p --subnet 10.9.0.0/31
  bowline network create front --dry-run             what it would do to the kernel

Gateways, ranges and auxiliary addresses go to the subnet that contains them.";

#[derive(Debug, Clone, Args)]
pub(crate) struct CreateArgs {
    /// The name: 1 to 64 of A-Z a-z 0-9 . _ -
    name: String,

    /// How members are tied together
    #[arg(short, long, value_enum, default_value = "bridge")]
    driver: Driver,

    /// The host's link that members hang on: eth0, or eth0.10 for a VLAN of it. With the bridge driver, a bridge that is there
    #[arg(long, value_name = "LINK", help_heading = "Link")]
    parent: Option<String>,

    /// Of macvlan: bridge, private, vepa or passthru [default: bridge]; of ipvlan: l2, l3 or l3s [default: l2]
    #[arg(long, value_name = "MODE", help_heading = "Link")]
    mode: Option<String>,

    /// Of ipvlan: bridge, private or vepa [default: bridge]
    #[arg(long, value_name = "FLAG", help_heading = "Link")]
    flag: Option<String>,

    /// The host reaches members of a macvlan or ipvlan network too, by a card of its own
    #[arg(long, help_heading = "Access")]
    host_access: bool,

    /// The VLAN of members that do not say, on a bridge
    #[arg(long, value_name = "NUMBER", help_heading = "Link")]
    vlan: Option<u16>,

    /// The routing domain that the bridge belongs to: refused, see docs/bridges.md
    #[arg(long, value_name = "NAME", hide = true)]
    vrf: Option<String>,

    /// Who chooses members' addresses [default: pools]
    #[arg(long, value_enum, value_name = "WHO", help_heading = "Addresses", visible_alias = "ipam-driver")]
    ipam: Option<Ipam>,

    /// Its addresses, such as 10.9.0.0/24 or fd00:9::/64; may be given again for the other family
    #[arg(long = "subnet", value_name = "CIDR", value_delimiter = ',', help_heading = "Addresses")]
    subnets: Vec<String>,

    /// The host's address on the network [default: the first of the subnet]
    #[arg(long = "gateway", value_name = "IP", value_delimiter = ',', help_heading = "Addresses")]
    gateways: Vec<std::net::IpAddr>,

    /// Choose addresses from this part of the subnet only
    #[arg(long = "ip-range", value_name = "CIDR", value_delimiter = ',', help_heading = "Addresses")]
    ranges: Vec<String>,

    /// An address that belongs to something else, and is never given out
    #[arg(long = "aux-address", value_name = "NAME=IP", value_delimiter = ',', help_heading = "Addresses")]
    #[arg(value_parser = subnets::aux)]
    aux: Vec<(String, std::net::IpAddr)>,

    /// Choose an IPv6 subnet too
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, help_heading = "Addresses")]
    #[arg(default_missing_value = "true", hide_possible_values = true)]
    ipv6: Option<bool>,

    /// Choose an IPv4 subnet [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, help_heading = "Addresses")]
    #[arg(default_missing_value = "true", hide_possible_values = true)]
    ipv4: Option<bool>,

    /// IPv6 only: the same as --ipv4=false
    #[arg(long, conflicts_with = "ipv4", help_heading = "Addresses")]
    no_ipv4: bool,

    /// A destination that members reach by a router on the network; may be given again
    #[arg(long = "route", value_name = "CIDR,ROUTER", value_parser = subnets::route)]
    #[arg(help_heading = "Addresses")]
    routes: Vec<StaticRoute>,

    /// Members reach one another and nothing else
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, help_heading = "Access")]
    #[arg(default_missing_value = "true", hide_possible_values = true)]
    internal: Option<bool>,

    /// Who may open connections to members from outside [default: published]
    #[arg(long, value_enum, value_name = "WHO", help_heading = "Access")]
    isolation: Option<Isolation>,

    /// Keep the host's other networks out: the same as --isolation strict
    #[arg(long, conflicts_with = "isolation", help_heading = "Access")]
    isolate: bool,

    /// Members reach the gateway, but not one another
    #[arg(long, help_heading = "Access")]
    no_icc: bool,

    /// Members keep their own addresses when they leave the host
    #[arg(long, help_heading = "Access")]
    no_masquerade: bool,

    /// How members are reached from outside, by both families [default: nat]
    #[arg(long, value_enum, value_name = "MODE", help_heading = "Access")]
    #[arg(conflicts_with_all = ["gateway_mode_ipv4", "gateway_mode_ipv6"])]
    gateway_mode: Option<GatewayMode>,

    /// How members are reached from outside, by IPv4
    #[arg(long, value_enum, value_name = "MODE", help_heading = "Access", hide_possible_values = true)]
    gateway_mode_ipv4: Option<GatewayMode>,

    /// How members are reached from outside, by IPv6
    #[arg(long, value_enum, value_name = "MODE", help_heading = "Access", hide_possible_values = true)]
    gateway_mode_ipv6: Option<GatewayMode>,

    /// A card of the host's: what comes by it reaches every port of members; may be given again
    #[arg(long = "trusted-interface", value_name = "NAME", help_heading = "Access")]
    trusted: Vec<String>,

    /// Largest packet in bytes [default: the uplink's]
    #[arg(long, value_name = "BYTES", help_heading = "Link")]
    mtu: Option<u32>,

    /// Super-packets larger than 64 KiB between members [default: auto]
    #[arg(long, value_enum, value_name = "WHEN", help_heading = "Link")]
    gso: Option<Gso>,

    /// An option by docker's name, such as com.docker.network.driver.mtu=1400
    #[arg(short, long = "opt", value_name = "KEY=VALUE", value_parser = pair, help_heading = "Link")]
    options: Vec<(String, String)>,

    /// Members do not find one another by name
    #[arg(long, visible_alias = "disable-dns")]
    no_dns: bool,

    /// Make it in this namespace instead of the host's: a name that 'ip netns' knows, a path, or pid:NUMBER
    #[arg(long, value_name = "NETNS", value_parser = Namespace::parse)]
    host_netns: Option<Namespace>,

    /// A label of yours; may be given again
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,

    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,

    /// Print the name only
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Driver {
    /// A bridge of the host's, and a veth pair for each member
    Bridge,
    /// Cards with MACs of their own, on a link of the host's
    Macvlan,
    /// Cards that share the MAC of a link of the host's
    Ipvlan,
    /// Two members, and a wire between them that nobody else is on
    P2p,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Ipam {
    /// The daemon, from the network's subnets
    #[value(alias = "default")]
    Pools,
    /// A DHCP server that the members reach
    Dhcp,
    /// Nobody: members begin without addresses
    #[value(alias = "null")]
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Isolation {
    /// Anybody with a route
    Open,
    /// Anybody, to published ports only
    Published,
    /// Published ports, but no other network of this host's
    Strict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum GatewayMode {
    /// By published ports of the host
    Nat,
    /// By published ports of the host, and by every port for whoever has a route
    NatUnprotected,
    /// By published ports at their own addresses; no address is translated
    Routed,
    /// Not at all, nor has the host an address there; for internal networks
    Isolated,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Gso {
    /// Where no slower uplink pays for it
    Auto,
    On,
    Off,
}

pub(super) fn execute(args: CreateArgs, session: &Session, io: &mut Io<'_>) -> Result<u8> {
    let (dry_run, quiet) = (args.dry_run, args.quiet);
    let host = args.host_netns.clone();
    let mut wish = args.wish()?;
    let (_open_until_answered, netns) = host.map(|host| host.open()).transpose()?.unzip();
    wish.host_netns = netns;
    if dry_run {
        return io.plan(session, &session.client.plan_network(&wish)?);
    }
    let made = session.client.create_network(&wish)?;
    match session.json {
        true => io.json(&made)?,
        false => io.data(&format!("{}\n", made.name))?,
    }
    if !quiet {
        for subnet in &made.subnets {
            io.note(session, &format!("{}: subnet {}, {}", made.name, subnet.cidr, view::gateway(subnet)));
        }
    }
    Ok(exit::OK)
}

impl CreateArgs {
    /// What to ask the daemon for, but for the namespace, which must be opened first. What cannot be understood is an error before any call.
    pub(super) fn wish(self) -> Result<CreateNetwork> {
        let asked = options::read(&self.options)?;
        let isolation = self.isolation.or(self.isolate.then_some(Isolation::Strict));
        let no = |flag: bool| flag.then_some(false);
        let by_ipv4 = self.gateway_mode_ipv4.or(self.gateway_mode);
        let by_ipv6 = self.gateway_mode_ipv6.or(self.gateway_mode);
        let trusted = Some(self.trusted).filter(|all| !all.is_empty());
        Ok(CreateNetwork {
            name: self.name,
            driver: match self.driver {
                Driver::Bridge => v1::Driver::Bridge,
                Driver::Macvlan => v1::Driver::Macvlan,
                Driver::Ipvlan => v1::Driver::Ipvlan,
                Driver::P2p => v1::Driver::P2p,
            },
            parent: options::one("--parent", self.parent, asked.parent)?,
            mode: options::one("--mode", self.mode, asked.mode)?,
            flag: options::one("--flag", self.flag, asked.flag)?,
            host_access: self.host_access,
            vlan: self.vlan,
            vrf: self.vrf,
            ipam: match self.ipam.unwrap_or(Ipam::Pools) {
                Ipam::Pools => v1::Ipam::Pools,
                Ipam::Dhcp => v1::Ipam::Dhcp,
                Ipam::None => v1::Ipam::None,
            },
            subnets: subnets::matched(&self.subnets, &self.gateways, &self.ranges, self.aux)?,
            ipv4: self.ipv4.unwrap_or(!self.no_ipv4),
            ipv6: self.ipv6.unwrap_or(false),
            routes: self.routes,
            mtu_bytes: options::one("--mtu", self.mtu, asked.mtu)?,
            internal: self.internal.unwrap_or(false),
            isolation: options::one("--isolation", isolation, asked.isolation)?
                .map_or(v1::Isolation::Published, Isolation::wire),
            icc: options::one("--no-icc", no(self.no_icc), asked.icc)?.unwrap_or(true),
            masquerade: options::one("--no-masquerade", no(self.no_masquerade), asked.masquerade)?
                .unwrap_or(true),
            gateway_mode_ipv4: options::one("--gateway-mode-ipv4", by_ipv4, asked.gateway_mode_ipv4)?
                .map_or(v1::GatewayMode::Nat, GatewayMode::wire),
            gateway_mode_ipv6: options::one("--gateway-mode-ipv6", by_ipv6, asked.gateway_mode_ipv6)?
                .map_or(v1::GatewayMode::Nat, GatewayMode::wire),
            trusted_interfaces: options::one("--trusted-interface", trusted, asked.trusted)?
                .unwrap_or_default(),
            gso: match self.gso.unwrap_or(Gso::Auto) {
                Gso::Auto => v1::Gso::Auto,
                Gso::On => v1::Gso::On,
                Gso::Off => v1::Gso::Off,
            },
            dns: !self.no_dns,
            labels: self.labels.into_iter().collect(),
            host_netns: None,
            bridge: None,
            reserved: Vec::new(),
            grows: false,
        })
    }
}

impl Isolation {
    pub(super) fn wire(self) -> v1::Isolation {
        match self {
            Isolation::Open => v1::Isolation::Open,
            Isolation::Published => v1::Isolation::Published,
            Isolation::Strict => v1::Isolation::Strict,
        }
    }
}

impl GatewayMode {
    fn wire(self) -> v1::GatewayMode {
        match self {
            GatewayMode::Nat => v1::GatewayMode::Nat,
            GatewayMode::NatUnprotected => v1::GatewayMode::NatUnprotected,
            GatewayMode::Routed => v1::GatewayMode::Routed,
            GatewayMode::Isolated => v1::GatewayMode::Isolated,
        }
    }
}

#[cfg(test)]
mod tests;
