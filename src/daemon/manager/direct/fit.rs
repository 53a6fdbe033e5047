//! What a parent can carry, and what members that hang on one can have.

use bowline_core::kernel::{HostLink, Sort};
use bowline_core::mac::Mac;
use bowline_core::medium::{Direct, How, MacvlanMode};
use bowline_core::name::Id;
use bowline_core::{Code, Error, Result};

use super::super::keeper::Kept;

/// The size of packets on a parent: its own, where none is asked for.
pub(in crate::manager) fn fitting(asked: Option<u32>, parent: &HostLink) -> Result<u32> {
    match asked {
        Some(bytes) if bytes > parent.mtu => {
            Err(Error::new(Code::InvalidMtu, format!("MTU {bytes} is not usable"))
                .because(format!("parent {} carries {} bytes at most", parent.name, parent.mtu))
                .fix("leave --mtu out to follow the parent"))
        }
        Some(bytes) => Ok(bytes),
        None => Ok(parent.mtu),
    }
}

pub(super) fn will_do(link: &HostLink) -> Result<()> {
    let name = &link.name;
    let bad = |why: String, fix: String| {
        Err(Error::new(Code::InvalidParent, format!("parent {name} is not usable")).because(why).fix(fix))
    };
    if link.ours {
        return bad("it is a link of bowline's own".into(), "choose a link of the host's".into());
    }
    if let Some(master) = &link.master {
        return Err(Error::new(Code::ParentTaken, format!("parent {name} is in use"))
            .because(format!("it belongs to {master}"))
            .fix(format!("choose {master} itself: --parent {master}")));
    }
    match &link.sort {
        Sort::Loopback => {
            bad("it is a loopback, and nothing is behind it".into(), "choose a card of the host's".into())
        }
        Sort::Wireless => bad(
            "it is wireless: an access point takes frames of one MAC only from it".into(),
            "choose a wired card, or a network of driver bridge".into(),
        ),
        Sort::NoFrames => bad("it carries no Ethernet frames".into(), "choose an Ethernet card".into()),
        Sort::Card(of) => bad(format!("it is itself a card on {of}"), format!("--parent {of}")),
        Sort::Vrf(_) => {
            bad("it is a routing domain, and carries nothing".into(), "choose a card of it".into())
        }
        Sort::Vlan(..) | Sort::Bridge { .. } | Sort::Other => Ok(()),
    }
}

pub(super) fn can_meet(direct: &Direct, internal: bool) -> Result<()> {
    if internal {
        return Err(Error::new(Code::InvalidOption, "an internal network is not for the host")
            .fix("leave --host-access out, or --internal"));
    }
    if !direct.how.meets() {
        let instead = match direct.how {
            How::Macvlan(_) => format!("--mode {}", MacvlanMode::Bridge),
            How::Ipvlan(..) => "--flag bridge".to_string(),
        };
        return Err(Error::new(Code::InvalidOption, "the host would not reach the members")
            .because(format!("with {} no card hears another", direct.how))
            .fix(format!("leave --host-access out, or choose {instead}")));
    }
    Ok(())
}

/// Those that would do, such as `eth0, eth1`.
pub(super) fn candidates(links: &[HostLink]) -> String {
    let fit: Vec<&str> =
        links.iter().filter(|link| will_do(link).is_ok()).map(|link| link.name.as_str()).take(8).collect();
    if fit.is_empty() { "a wired card".to_string() } else { fit.join(", ") }
}

/// The only member of a network that takes over its parent.
pub(in crate::manager) fn alone(kept: &Kept, id: Id) -> Result<()> {
    let Some(Direct { how: How::Macvlan(MacvlanMode::Passthru), .. }) = kept.network.medium.direct() else {
        return Ok(());
    };
    let Some((_, (name, _))) = kept.members.iter().find(|(member, _)| **member != id) else { return Ok(()) };
    Err(Error::new(Code::ParentTaken, format!("parent {} is in use", kept.network.bridge))
        .because(format!("endpoint {name} has taken it over: with mode passthru there is one member"))
        .fix(format!("bowline network disconnect {} {name}", kept.network.name)))
}

/// What reaches a card does not pass the host, where it could be held up.
pub(in crate::manager) fn shapes(kept: &Kept, rate_in: bool) -> Result<()> {
    if !rate_in || kept.network.medium.direct().is_none() {
        return Ok(());
    }
    Err(Error::new(
        Code::InvalidRate,
        format!("what comes in on network {} cannot be limited", kept.network.name),
    )
    .because("it does not pass this host on its way to the card")
    .fix("leave the limit of what comes in out; what goes out can be limited"))
}

/// The MAC of a card that has none of its own.
pub(in crate::manager) fn shared_mac(kept: &Kept) -> Option<Mac> {
    let direct = kept.network.medium.direct()?;
    if direct.how.has_macs() { None } else { kept.below.and_then(|below| below.mac) }
}
