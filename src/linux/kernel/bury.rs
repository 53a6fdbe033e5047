//! Deletion. A veth takes tens of milliseconds to go, and many take hardly longer than one if they go in one message:
//! so ports are gathered in a group that nothing else is in, and the group is deleted.

use bowline_core::Result;
use bowline_core::name::LinkName;
use netlink_packet_route::RouteNetlinkMessage;
use nix::errno::Errno;
use rtnetlink::LinkUnspec;

use super::link;
use super::mark::{DYING, LIVE};
use crate::netlink::Netlink;
use crate::netlink::wire::{LinkKind, SeenLink};

/// The kernel serves nobody else while it deletes a group, so a group is no larger than this.
const AT_ONCE: usize = 128;

/// Deletes links of a host, if they are ours. What is not there need not be deleted.
pub(crate) fn links(route: &mut Netlink, names: &[&LinkName]) -> Result<()> {
    let mut ports = Vec::new();
    let mut others = Vec::new();
    for &name in names {
        match link::find(route, name)? {
            None => (),
            Some(seen) if !seen.is_ours() => spare(name),
            Some(seen) if seen.kind == LinkKind::Veth => ports.push((name, seen)),
            Some(seen) => others.push((name, seen)),
        }
    }
    if ports.len() > 1 && is_ours_alone(route)? {
        ports.chunks(AT_ONCE).try_for_each(|ports| together(route, ports))?;
    } else {
        ports.iter().try_for_each(|(name, seen)| link::delete_one(route, name, seen))?;
    }
    others.iter().try_for_each(|(name, seen)| link::delete_one(route, name, seen))
}

/// Deletes a card of a container. Its port goes with it, where it has one.
pub(crate) fn card(route: &mut Netlink, name: &LinkName) -> Result<()> {
    match link::find(route, name)? {
        None => Ok(()),
        Some(seen) if seen.kind == LinkKind::Veth || seen.hangs() => link::delete_one(route, name, &seen),
        Some(_) => {
            spare(name);
            Ok(())
        }
    }
}

/// Looked at once for all, since listing a thousand links takes as long as deleting one.
fn is_ours_alone(route: &mut Netlink) -> Result<bool> {
    let strangers = link::all(route, |seen| (seen.group == DYING && !seen.is_ours()).then_some(seen.name))?;
    if let Some(stranger) = strangers.first() {
        tracing::warn!(link = ?stranger, "a link that is not ours is in our group, so ours are deleted one by one");
    }
    Ok(strangers.is_empty())
}

fn together(route: &mut Netlink, ports: &[(&LinkName, SeenLink)]) -> Result<()> {
    for (name, seen) in ports {
        let message = LinkUnspec::new_with_index(seen.index).link_group(DYING).build();
        match route.change(RouteNetlinkMessage::SetLink(message), 0) {
            Ok(()) => (),
            Err(e) if e.errno == Errno::ENODEV => (),
            Err(e) => return Err(e.error(format!("delete link {name}"))),
        }
    }
    let message = LinkUnspec::new_with_index(0).link_group(DYING).build();
    match route.change(RouteNetlinkMessage::DelLink(message), 0) {
        Ok(()) => Ok(()),
        // Nobody is in the group any more.
        Err(e) if e.errno == Errno::ENODEV => Ok(()),
        Err(e) => {
            release(route, ports);
            Err(e.error(format!("delete {} links", ports.len())))
        }
    }
}

/// Puts links that could not be deleted back to the living, as far as they still are.
fn release(route: &mut Netlink, ports: &[(&LinkName, SeenLink)]) {
    for (name, seen) in ports {
        let message = LinkUnspec::new_with_index(seen.index).link_group(LIVE).build();
        if let Err(failure) = route.change(RouteNetlinkMessage::SetLink(message), 0) {
            tracing::debug!(%name, errno = %failure.errno, "could not put a link back in its group");
        }
    }
}

/// Ours is gone if a stranger has its name.
fn spare(name: &LinkName) {
    tracing::warn!(%name, "not deleted: the link of that name is not ours");
}
