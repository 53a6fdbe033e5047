//! What this kernel can do, found out by doing it: in a network namespace that is born for the trial and dies with it, so
//! that nothing of the host is touched. Modules that the kernel loads when asked for a thing are loaded by this, too.

use bowline_core::feature::Feature;
use bowline_core::name::LinkName;
use bowline_core::{Code, Error, Result};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoBridge, InfoData, InfoKind, InfoVlan, InfoVrf, InfoVxlan, LinkMessage};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use rtnetlink::{LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth};

use crate::conntrack::Conntrack;
use crate::kernel::{link, rate};
use crate::netlink::{Failure, Netlink};
use crate::netns;
use crate::nft::{self, Part};

const TRIED: &str = "tried";
const PARENT: &str = "parent";

/// Whether the kernel has it. That it refused for any other reason is an error too, but no no.
pub fn can(feature: Feature) -> Result<()> {
    let outcome = netns::scratch(|| attempt(feature)).and_then(|outcome| outcome);
    outcome.map_err(|error| match error.code {
        Code::Unsupported => feature.missing(error),
        _ => feature.untried(error),
    })
}

/// Whether this process may try: it takes `CAP_SYS_ADMIN` to make a namespace, and `CAP_NET_ADMIN` to change anything in it.
pub fn is_privileged() -> bool {
    const NEEDED: u64 = 1 << 12 | 1 << 21;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & NEEDED == NEEDED)
}

/// Fails with [`Code::Unsupported`] where the kernel has no such thing.
fn attempt(feature: Feature) -> Result<()> {
    match feature {
        Feature::Bridge => add(LinkBridge::new(TRIED).build()),
        Feature::Veth => add(LinkVeth::new(TRIED, "peer").build()),
        Feature::Macvlan => add_to_another(of(InfoKind::MacVlan)),
        Feature::Ipvlan => add_to_another(of(InfoKind::IpVlan)),
        Feature::Vlan => {
            add_to_another(of(InfoKind::Vlan).set_info_data(InfoData::Vlan(vec![InfoVlan::Id(1)])))
        }
        Feature::VlanFiltering => with_parent(filter_tags),
        Feature::Vrf => {
            add(of(InfoKind::Vrf).set_info_data(InfoData::Vrf(vec![InfoVrf::TableId(1)])).build())
        }
        Feature::Dummy => add(of(InfoKind::Dummy).build()),
        Feature::Vxlan => {
            let tunnel = InfoData::Vxlan(vec![InfoVxlan::Id(1), InfoVxlan::Port(4789)]);
            add(of(InfoKind::Vxlan).set_info_data(tunnel).build())
        }
        Feature::Wireguard => add(of(InfoKind::Wireguard).build()),
        Feature::Nftables => nft::attempt(Part::Inet),
        Feature::Nat => nft::attempt(Part::Nat),
        Feature::NftBridge => nft::attempt(Part::Bridge),
        Feature::TableOwner => nft::attempt(Part::Owner),
        Feature::Conntrack => Conntrack::open()?.attempt(),
        Feature::Tbf => with_parent(rate::attempt),
        Feature::BigTcp => says_how_large_packets_may_be(),
        Feature::Ipv6 => speak(AddressFamily::Inet6, SockType::Datagram, SockProtocol::Udp),
        Feature::Sctp => speak(AddressFamily::Inet, SockType::Stream, SockProtocol::Sctp),
        Feature::NetnsCookie => netns::cookie_of_current().map(drop),
    }
}

fn of(kind: InfoKind) -> LinkMessageBuilder<LinkUnspec> {
    LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(kind).name(TRIED.to_string())
}

fn add(message: LinkMessage) -> Result<()> {
    change(&mut Netlink::open()?, message).map_err(|e| e.error("add a link of this kind"))
}

fn add_to_another(message: LinkMessageBuilder<LinkUnspec>) -> Result<()> {
    with_parent(|route, parent| {
        change(route, message.link(parent).build()).map_err(|e| e.error("add a link of this kind"))
    })
}

/// With the index of a link on which others can be. A bridge is one, and without those bowline is of no use anyway.
fn with_parent(body: impl FnOnce(&mut Netlink, u32) -> Result<()>) -> Result<()> {
    let mut route = Netlink::open()?;
    // Whatever is the reason, it says nothing of the feature.
    change(&mut route, LinkBridge::new(PARENT).build())
        .map_err(|e| e.coded(Code::Kernel, "add a bridge to try it on"))?;
    let parent = find(&mut route, PARENT)?.index;
    body(&mut route, parent)
}

/// Of a bridge that is there: one that cannot be as it is wished is deleted again at once, and that takes long.
fn filter_tags(route: &mut Netlink, bridge: u32) -> Result<()> {
    let filtering = InfoData::Bridge(vec![InfoBridge::VlanFiltering(true)]);
    let message = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::Bridge).index(bridge);
    route
        .change(RouteNetlinkMessage::NewLink(message.set_info_data(filtering).build()), 0)
        .map_err(|e| e.error("have a bridge filter by tags"))
}

fn change(route: &mut Netlink, message: LinkMessage) -> Result<(), Failure> {
    route.change(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
}

fn find(route: &mut Netlink, name: &str) -> Result<crate::netlink::wire::SeenLink> {
    let name: LinkName = name.parse()?;
    link::find(route, &name)?.ok_or_else(|| link::missing(&name))
}

/// Kernels that can have larger packets of IPv4 than 64 KiB say of every link how large.
fn says_how_large_packets_may_be() -> Result<()> {
    match find(&mut Netlink::open()?, "lo")?.offload {
        [_, _, Some(_), Some(_)] => Ok(()),
        _ => Err(Error::new(Code::Unsupported, "links have no gso_ipv4_max_size")),
    }
}

fn speak(family: AddressFamily, kind: SockType, protocol: SockProtocol) -> Result<()> {
    socket(family, kind, SockFlag::SOCK_CLOEXEC, protocol).map(drop).map_err(|errno| {
        let failure = Failure::from(errno);
        match errno {
            Errno::ESOCKTNOSUPPORT => failure.coded(Code::Unsupported, "make a socket"),
            _ => failure.error("make a socket"),
        }
    })
}
