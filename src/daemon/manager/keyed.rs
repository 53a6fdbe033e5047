//! Endpoints under a caller's own key: made together with their network, looked at, and swept by those who know which
//! are still theirs. For callers that ask blindly, again, and sometimes twice.

use std::collections::HashSet;

use bowline_api::v1;
use bowline_core::kernel::Scope;
use bowline_core::name::quoted;
use bowline_core::plan::{Change, diff};
use bowline_core::state::{LinkKey, State};
use bowline_core::{Code, Error, Result};

use super::Manager;
use super::attach::among;
use super::endpoints::{Caller, door, live, no_way_in};
use super::seat::wanted;

/// How often a network that others make or remove at the same moment is looked for.
pub(super) const TRIES: usize = 5;

const LONGEST: usize = 512;

impl Manager {
    /// Makes networks that are not there, and the endpoint on them. On failure those made are taken back.
    pub(super) fn make_and_create(&self, wish: &v1::CreateEndpoint, caller: Caller) -> Result<v1::Endpoint> {
        let mut tries = 1;
        loop {
            let mut on = wish.clone();
            let mut made = Vec::new();
            let created = wish
                .make
                .iter()
                .try_for_each(|make| {
                    let (keeper, new) = self.network_for(make, caller)?;
                    for join in on.networks.iter_mut().filter(|join| join.network == make.name) {
                        join.network = keeper.name.to_string();
                    }
                    made.extend(new.then_some(keeper));
                    Ok(())
                })
                .and_then(|()| self.create_on(&on, caller));
            if created.is_err() {
                for keeper in made {
                    // Somebody else may be on it by now, or on his way.
                    drop(self.remove_empty(&keeper));
                }
            }
            match created {
                // It was removed between the look and the join.
                Err(error) if error.code == Code::NetworkNotFound && tries < TRIES => tries += 1,
                done => return done,
            }
        }
    }

    /// Removes the endpoints whose key begins so, but for those that are named.
    pub fn sweep_endpoints(&self, sweep: &v1::Sweep) -> Result<v1::Pruned> {
        let keep: HashSet<&str> = sweep.keep.iter().map(String::as_str).collect();
        let mut pruned = v1::Pruned::default();
        if !sweep.prefix.ends_with('/') {
            return Err(Error::new(Code::InvalidRequest, "sweep endpoints")
                .because("a prefix of keys ends with /")
                .fix("end it with the / behind its last word"));
        }
        for seat in self.index.endpoints_keyed(&sweep.prefix) {
            if seat.key.as_deref().is_some_and(|key| keep.contains(key)) {
                continue;
            }
            match self.remove_seat(&seat) {
                Ok(()) => pruned.removed.push(seat.name.to_string()),
                Err(error) if error.code == Code::EndpointNotFound => (),
                Err(error) => return Err(error),
            }
        }
        Ok(pruned)
    }

    /// Takes away what was asked for while the daemon was away; what has the key only since then stays.
    pub fn remove_spooled(&self) {
        for (file, spooled) in bowline_api::spool::all(&self.paths.state_dir) {
            let seat = self.index.endpoint(&spooled.key).ok();
            let older = seat.filter(|seat| seat.lock().created_unix_ms <= spooled.unix_ms);
            if let Some(Err(error)) = older.map(|seat| self.remove_seat(&seat))
                && error.code != Code::EndpointNotFound
            {
                // It stays where it is, for the next start.
                tracing::warn!(key = spooled.key, code = %error.code, "remove what was spooled: {error}");
                continue;
            }
            bowline_api::spool::done(&file);
        }
    }

    /// Where the kernel's part of one endpoint is not as wanted: its cards with all that is on them, and their ports.
    /// Its own MAC is left out, which others may have changed for it.
    pub fn look_at_endpoint(&self, name: &str, look: &v1::Look, caller: Caller) -> Result<v1::Drift> {
        let seat = self.index.endpoint(name)?;
        let given = look.netns.as_ref().map(|netns| door(netns, caller)).transpose()?;
        let seated = seat.lock();
        live(&seat, &seated)?;
        let door = given.or_else(|| seated.door()).ok_or_else(|| no_way_in(&seat))?;
        let place = self.open_again(&door, &seated)?;
        let keepers = self.keepers_of(&seated.endpoint);
        let kept: Vec<_> = keepers.iter().map(|k| k.lock()).collect();
        let mut want = wanted(&seated.endpoint, among(&kept));
        drop(kept);
        let ports: Vec<LinkKey> = seated.endpoint.interfaces.iter().map(|i| self.port(i)).collect();
        let outside = ports.iter().map(|port| self.kernel.observe(&Scope::Port(port.clone())));
        let inside = self.seen_inside(&seated.endpoint, place);
        let seen: Result<State> = outside.chain([inside]).collect();
        self.kernel.close(place);
        let seen = seen?;
        // The firewall's part is the daemon's to watch: it is put back whole within moments.
        (want.elements, want.frames, want.held) = Default::default();
        want.sysctls.retain(|key, _| key.place == place);
        for (key, link) in want.links.iter_mut().filter(|(key, _)| !ports.contains(key)) {
            link.mac = seen.links.get(key).and_then(|there| there.mac);
        }
        Ok(v1::Drift { steps: diff(&seen, &want).iter().map(Change::to_string).collect() })
    }
}

/// A key as a caller may choose it.
pub(super) fn check(key: &str) -> Result<()> {
    if key.contains('/') && key.len() <= LONGEST && key.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(());
    }
    Err(Error::new(Code::InvalidName, format!("key {} is not usable", quoted(key)))
        .because(format!("it has no /, more than {LONGEST} bytes, or others than printable ones of ASCII"))
        .fix("write it as program/where/what"))
}
