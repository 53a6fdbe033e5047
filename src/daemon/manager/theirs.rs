//! Bridges of others: what is asked of them before anything hangs on one, and what of ours means nothing there.

use bowline_api::v1;
use bowline_core::feature::Feature;
use bowline_core::kernel::{HostLink, Sort};
use bowline_core::medium::{Bridge, Whose};
use bowline_core::name::LinkName;
use bowline_core::place::Place;
use bowline_core::{Code, Error, Result};

use super::Manager;

impl Manager {
    /// The bridge that a network is to hang on, if it is one of others. It is there, and it is left as it is.
    pub(super) fn bridge_of_others(
        &self,
        wish: &v1::CreateNetwork,
        bridge: &Bridge,
        host: Place,
    ) -> Result<Option<HostLink>> {
        let parent = match (bridge.whose, &wish.parent) {
            (Whose::Theirs, Some(parent)) => parent.parse::<LinkName>()?,
            (Whose::Theirs | Whose::Ours, _) => {
                if let Some(vrf) = &bridge.vrf {
                    return Err(no_domain(wish, vrf));
                }
                if bridge.vlan.is_some() {
                    self.kernel.can(Feature::VlanFiltering)?;
                }
                return Ok(None);
            }
        };
        must_mean_something(wish)?;
        let links = self.kernel.links(host)?;
        let found = links.iter().find(|link| link.name == parent);
        let bad = |why: String| {
            Error::new(Code::InvalidParent, format!("parent {parent} is not usable"))
                .because(why)
                .fix(candidates(&links))
        };
        let Some(found) = found else { return Err(bad("there is no link of that name".into())) };
        let filters_vlans = match &found.sort {
            _ if found.ours => {
                return Err(bad("it is made by bowline, for a network".into())
                    .fix("use that network, or leave --parent out for a bridge of the network's own"));
            }
            Sort::Bridge { filters_vlans } => *filters_vlans,
            Sort::Loopback
            | Sort::Wireless
            | Sort::Card(_)
            | Sort::Vlan(..)
            | Sort::Vrf(_)
            | Sort::NoFrames
            | Sort::Other => {
                return Err(bad("it is no bridge".into()).fix(format!(
                    "{}; for cards on {parent} itself: -d macvlan --parent {parent}",
                    candidates(&links)
                )));
            }
        };
        if let Some(vlan) = bridge.vlan.filter(|_| !filters_vlans) {
            return Err(Error::new(Code::InvalidVlan, format!("VLAN {vlan} is not usable on {parent}"))
                .because("the bridge does not filter by VLAN, and nothing is changed there")
                .fix(format!(
                    "let it: ip link set {parent} type bridge vlan_filtering 1; or leave --vlan out"
                )));
        }
        Ok(Some(found.clone()))
    }
}

/// In a routing domain the firewall sees what members send as coming from the domain, and not from their bridge: it could
/// keep none of its promises there.
fn no_domain(wish: &v1::CreateNetwork, vrf: &LinkName) -> Error {
    Error::new(Code::Unsupported, format!("create network {:.80} in the routing domain {vrf}", wish.name))
        .because("bowline's firewall does not tell the members of a routing domain apart")
        .fix("leave --vrf out")
}

fn candidates(links: &[HostLink]) -> String {
    let bridge = |link: &&HostLink| matches!(link.sort, Sort::Bridge { .. }) && !link.ours;
    let names: Vec<&str> = links.iter().filter(bridge).map(|link| link.name.as_str()).collect();
    match names.as_slice() {
        [] => "this host has no bridge but ours; make one: ip link add br-lan type bridge".into(),
        names => format!("the bridges of this host are {}", names.join(", ")),
    }
}

/// What passes a bridge of others does not pass the host, so nothing of it can be promised there.
fn must_mean_something(wish: &v1::CreateNetwork) -> Result<()> {
    let plain = v1::GatewayMode::Nat;
    let given = [
        ("--internal", wish.internal),
        ("--isolation", wish.isolation != v1::Isolation::Published),
        ("--gateway-mode", wish.gateway_mode_ipv4 != plain || wish.gateway_mode_ipv6 != plain),
        ("--trusted-interface", !wish.trusted_interfaces.is_empty()),
        ("--no-masquerade", !wish.masquerade),
        ("--vrf", wish.vrf.is_some()),
    ];
    let Some((flag, _)) = given.into_iter().find(|(_, given)| *given) else { return Ok(()) };
    Err(Error::new(Code::InvalidOption, format!("create network {:.80}", wish.name))
        .because(format!(
            "{flag} means nothing on a bridge of others: what passes there does not pass this host"
        ))
        .fix(format!("leave {flag} out, or leave --parent out for a bridge of the network's own")))
}
