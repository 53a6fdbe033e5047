//! A bridge of ours in a zone of firewalld, told over the system bus. It is held in firewalld's memory only: after a
//! reload or a restart of firewalld the bridge has to join again, which [`Bridges`] sees to.

mod ear;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bowline_core::Result;
use bowline_core::name::LinkName;

use super::dbus::{Bus, Target, misread};
use ear::Ear;

const NAME: &str = "org.fedoraproject.FirewallD1";
const ZONES: Target<'static> = Target {
    name: NAME,
    path: "/org/fedoraproject/FirewallD1",
    interface: "org.fedoraproject.FirewallD1.zone",
};

/// The zone that an administrator may make for us, and the one that every firewalld has.
const OURS: &str = "bowline";
const TRUSTED: &str = "trusted";

/// The bridges that firewalld is to know, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Bridges {
    members: Arc<Members>,
    /// Listens while there is a bridge and a bus. Locked before the members are.
    ear: Mutex<Option<Ear>>,
}

#[derive(Debug)]
struct Members {
    bus: PathBuf,
    /// Each with its zone, as far as firewalld is there. Locked for as long as firewalld is spoken to, so that no bridge
    /// is brought back that has just left.
    zones: Mutex<BTreeMap<LinkName, Option<String>>>,
}

impl Bridges {
    pub(crate) fn at(bus: &Path) -> Bridges {
        let members = Members { bus: bus.to_path_buf(), zones: Mutex::default() };
        Bridges { members: Arc::new(members), ear: Mutex::default() }
    }

    /// Puts the bridge in a zone, as often as it takes from now on. Returns the zone where that is news.
    pub(crate) fn join(&self, bridge: &LinkName) -> Result<Option<String>> {
        let mut ear = locked(&self.ear);
        if !self.members.bus.exists() {
            return Ok(None);
        }
        // It listens before the bridge is told of, so that nothing is missed in between.
        if ear.as_ref().is_none_or(Ear::is_deaf)
            && let Err(error) = Ear::open(&self.members).map(|opened| *ear = opened)
        {
            tracing::warn!(code = %error.code, "listen to firewalld: {error}");
        }
        let mut zones = self.members.lock();
        let known = zones.entry(bridge.clone()).or_default();
        let zone = join(&self.members.bus, bridge)?;
        let is_news = zone != *known;
        known.clone_from(&zone);
        Ok(zone.filter(|_| is_news))
    }

    /// Takes the bridge out of the zone that it was put in.
    pub(crate) fn leave(&self, bridge: &LinkName) -> Result<()> {
        let mut ear = locked(&self.ear);
        let mut zones = self.members.lock();
        zones.remove(bridge);
        let left = leave(&self.members.bus, bridge);
        let is_last = zones.is_empty();
        // The ear's thread may be waiting for it.
        drop(zones);
        if is_last {
            *ear = None;
        }
        left
    }

    #[cfg(test)]
    pub(crate) fn is_listening(&self) -> bool {
        locked(&self.ear).as_ref().is_some_and(|ear| !ear.is_deaf())
    }
}

impl Members {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<LinkName, Option<String>>> {
        locked(&self.zones)
    }

    /// Brings one of them back. False where it is none of them any more.
    fn bring_back(&self, bridge: &LinkName) -> Result<bool> {
        let mut zones = self.lock();
        let Some(known) = zones.get_mut(bridge) else { return Ok(false) };
        *known = join(&self.bus, bridge)?;
        Ok(known.is_some())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

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
