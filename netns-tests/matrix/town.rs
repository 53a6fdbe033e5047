//! The town, built: by the product's own verbs what is the product's, by `ip` what is around it.
//! Everybody gets a station, and the routes that one who is clever would give himself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::model::{At, HIDDEN, HOST, Member, Net, OF_HOST, Openness, Publish, SERVED, Town, WORLD};
use super::people::{MEMBERS, REROUTING, both, callers, uplink};
use super::radio::Radio;
use crate::world::World;
use crate::world::place::Place;

#[track_caller]
pub(crate) fn build(w: &World, radio: &mut Radio) -> Town {
    w.host().shell("ip addr add 192.0.2.7/24 dev uplink; ip addr add 2001:db8::7/64 dev uplink nodad");
    let mut town =
        Town { members: Vec::new(), host: [uplink(1), uplink(7)].concat(), world: uplink(2).to_vec() };
    radio.adds(w.host(), HOST);
    let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    for address in town.host.iter().copied().chain(loopback) {
        radio.listens(HOST, SocketAddr::new(address, OF_HOST));
    }
    neighbours(w, radio);
    for member in MEMBERS {
        moves_in(w, radio, &mut town, member);
    }
    for caller in callers(&town) {
        if !caller.claims.is_empty() {
            pretend(w.inside(caller.name), &caller.claims);
        }
    }
    town
}

/// What is no namespace's, so that it does not go by itself.
#[track_caller]
pub(crate) fn removes_addresses(w: &World) {
    w.host().shell("ip addr del 192.0.2.7/24 dev uplink; ip addr del 2001:db8::7/64 dev uplink");
}

#[track_caller]
pub(crate) fn moves_in(w: &World, radio: &mut Radio, town: &mut Town, member: &Member) {
    let Member { name, net, .. } = *member;
    if !town.members.iter().any(|m| m.net == net) {
        create(w, net);
        for gateway in both(|ipv6| net.gateway(ipv6)) {
            radio.listens(HOST, SocketAddr::new(gateway, OF_HOST));
        }
    }
    let four = member.address(false).expect("everybody has an IPv4 address");
    let six = member.address(true).map_or(String::new(), |six| format!("--ip6 {six}"));
    let ports: Vec<String> = member.publishes.iter().map(Publish::options).collect();
    let place = w.attach(name, net.name, &format!("--ip {four} {six} {}", ports.join(" ")));
    goes_its_way(place, member);
    radio.adds(place, name);
    for port in [SERVED, HIDDEN] {
        radio.listens(name, SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
    }
    town.members.push(*member);
}

/// Both the member and its network, of which it is the only one.
#[track_caller]
pub(crate) fn moves_out(w: &World, town: &mut Town, member: &Member) {
    w.bowline(&format!("endpoint rm {}", member.name));
    w.bowline(&format!("network rm {}", member.net.name));
    town.members.retain(|m| m.name != member.name);
}

#[track_caller]
fn create(w: &World, net: Net) {
    let Net { name, number, .. } = net;
    let six = if net.ipv6 { format!("--subnet fd00:{number}::/64") } else { String::new() };
    let icc = if net.icc { "" } else { "--no-icc" };
    let openness = match net.openness {
        Openness::Published => "",
        Openness::Strict => "--isolate",
        Openness::Open => "--isolation open",
        Openness::Internal => "--internal",
    };
    w.bowline(&format!("network create {name} --subnet 10.{number}.0.0/24 {six} {icc} {openness}"));
}

impl Publish {
    /// As it is asked for, for both protocols.
    fn options(&self) -> String {
        let at = match self.at {
            At::Everywhere => String::new(),
            At::One(IpAddr::V4(address)) => format!("{address}:"),
            At::One(IpAddr::V6(address)) => format!("[{address}]:"),
        };
        let port = self.port;
        format!("-p {at}{port}:{SERVED} -p {at}{port}:{SERVED}/udp")
    }
}

/// What a member does in its own namespace to get further than it is meant to.
fn goes_its_way(place: Place<'_>, member: &Member) {
    let gateways = both(|ipv6| member.net.gateway(ipv6));
    if member.net.openness == Openness::Internal {
        for gateway in &gateways {
            place.run(&format!("ip route add default via {gateway} metric 9000"));
        }
    }
    if member.name == "three" {
        // To its neighbour, around the bridge.
        for (peer, gateway) in both(|ipv6| member.net.address(ipv6, 2)).iter().zip(&gateways) {
            place.run(&format!("ip route add {peer} via {gateway}"));
        }
    }
    if REROUTING.contains(&member.name) {
        reroute(place, &gateways);
    }
}

/// Packets for the host's loopback addresses leave this namespace, as it has none of its own any more.
fn reroute(place: Place<'_>, gateways: &[IpAddr]) {
    let [four, six] = gateways else { panic!("they go to both families, not to {gateways:?}") };
    place.shell(&format!(
        "sysctl -qw net.ipv4.conf.all.route_localnet=1
         ip route del local 127.0.0.1 table local
         ip route del local 127.0.0.0/8 table local
         ip route add 127.0.0.1 via {four}
         ip addr del ::1/128 dev lo
         ip route add ::1 via {six} dev eth0"
    ));
}

/// Puts addresses of others on its loopback, where they may be bound: what is sent from there is what a forger would
/// send.
fn pretend(place: Place<'_>, addresses: &[IpAddr]) {
    place.run("sysctl -qw net.ipv4.conf.all.route_localnet=1");
    for address in addresses {
        let length = if address.is_ipv4() { "32" } else { "128" };
        place.run(&format!("ip addr replace {address}/{length} dev lo"));
    }
}

/// The uplink's other end becomes a switch with more than one neighbour on it. They go on to send to the host what it
/// would rather see sent elsewhere.
const SWITCH: &str = "
ip link add lan address 02:00:00:00:00:02 type bridge mcast_snooping 0
ip addr flush dev card
ip link set card master lan
ip addr add 192.0.2.2/24 dev lan
ip addr add 2001:db8::2/64 dev lan nodad
ip link set lan up
for both in routed:3 spoofer:4; do
    name=${both%:*} host=${both#*:}
    ip link add to-$name type veth peer name eth0 netns $name
    ip link set to-$name master lan up
    ip -n $name link set lo up
    ip -n $name addr add 192.0.2.$host/24 dev eth0
    ip -n $name addr add 2001:db8::$host/64 dev eth0 nodad
    ip -n $name link set eth0 up
    for conf in ipv4.conf.all ipv4.conf.eth0 ipv6.conf.eth0; do
        ip netns exec $name sysctl -qw net.$conf.accept_redirects=0
    done
    ip -n $name route add 10.0.0.0/8 via 192.0.2.1
    ip -n $name route add fd00::/16 via 2001:db8::1
done";

#[track_caller]
fn neighbours(w: &World, radio: &mut Radio) {
    w.container("routed");
    w.container("spoofer");
    w.outside().shell(SWITCH);
    reroute(w.inside("routed"), &uplink(1));
    radio.adds(w.inside("routed"), "routed");
    radio.adds(w.inside("spoofer"), "spoofer");
    radio.adds(w.outside(), WORLD);
    radio.listens(WORLD, SocketAddr::from((Ipv6Addr::UNSPECIFIED, SERVED)));
}
