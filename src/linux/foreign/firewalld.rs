//! A bridge of ours in a zone of firewalld, told over the system bus. It is held in firewalld's memory only: after a
//! reload or a restart of firewalld the bridge has to join again.

use std::path::Path;

use bowline_core::Result;
use bowline_core::name::LinkName;

use super::dbus::{Bus, Target, misread};

const NAME: &str = "org.fedoraproject.FirewallD1";
const ZONES: Target<'static> = Target {
    name: NAME,
    path: "/org/fedoraproject/FirewallD1",
    interface: "org.fedoraproject.FirewallD1.zone",
};

/// The zone that an administrator may make for us, and the one that every firewalld has.
const OURS: &str = "bowline";
const TRUSTED: &str = "trusted";

/// Puts the bridge in the zone `bowline` where there is one, else in `trusted`, and returns its zone. A bridge that is
/// in a zone already stays there. None where firewalld does not run, or there is no bus.
pub(crate) fn join(bus: &Path, bridge: &LinkName) -> Result<Option<String>> {
    let Some(mut bus) = running(bus)? else { return Ok(None) };
    let zone = zone_of(&mut bus, bridge)?;
    if !zone.is_empty() {
        return Ok(Some(zone));
    }
    let zones = bus.call(ZONES, "getZones", &[])?.texts().ok_or_else(|| misread("getZones"))?;
    let zone = if zones.iter().any(|zone| zone == OURS) { OURS } else { TRUSTED };
    // Unlike addInterface, this succeeds where somebody else was faster.
    bus.call(ZONES, "changeZoneOfInterface", &[zone, bridge.as_str()])?;
    Ok(Some(zone.to_string()))
}

/// Takes the bridge out of the zone that [`join`] puts it in. Succeeds where it is in another one or in none, and where
/// firewalld does not run.
pub(crate) fn leave(bus: &Path, bridge: &LinkName) -> Result<()> {
    let Some(mut bus) = running(bus)? else { return Ok(()) };
    let zone = zone_of(&mut bus, bridge)?;
    if zone != OURS && zone != TRUSTED {
        return Ok(());
    }
    match bus.call(ZONES, "removeInterface", &[&zone, bridge.as_str()]) {
        Ok(_) => Ok(()),
        Err(_) if zone_of(&mut bus, bridge)? != zone => Ok(()),
        Err(error) => Err(error),
    }
}

/// The bus, where firewalld is on it.
fn running(bus: &Path) -> Result<Option<Bus>> {
    let Some(mut bus) = Bus::connect(bus)? else { return Ok(None) };
    Ok(if bus.has(NAME)? { Some(bus) } else { None })
}

/// Empty where it is in none.
fn zone_of(bus: &mut Bus, bridge: &LinkName) -> Result<String> {
    bus.call(ZONES, "getZoneOfInterface", &[bridge.as_str()])?
        .text()
        .ok_or_else(|| misread("getZoneOfInterface"))
}
