//! What may change of an interface that lives: its rates, its MAC, its settings. And settings of a namespace that need
//! not be anybody's.

use std::sync::MutexGuard;

use bowline_api::v1;
use bowline_core::endpoint::{Endpoint, Interface};
use bowline_core::plan::{Change, diff};
use bowline_core::rate::Rate;
use bowline_core::state::{Link, LinkKey, State};
use bowline_core::{Code, Context, Error, Result};

use super::Manager;
use super::attach::among;
use super::endpoints::{Caller, door, live, no_way_in};
use super::inside;
use super::keeper::Kept;
use super::seat::{Seat, Seated, wanted};
use crate::store::EndpointRecord;

impl Manager {
    pub fn update_endpoint(
        &self,
        name: &str,
        wish: &v1::UpdateEndpoint,
        caller: Caller,
    ) -> Result<v1::Endpoint> {
        let seat = self.index.endpoint(name)?;
        let given = wish.netns.as_ref().map(|netns| door(netns, caller)).transpose()?;
        inside::check_sysctls(&wish.sysctls)?;
        {
            let mut seated = seat.lock();
            live(&seat, &seated)?;
            let changed = changed(&seated.endpoint, wish)?;
            let door = given.or_else(|| seated.door()).ok_or_else(|| no_way_in(&seat))?;
            let place = self.open_again(&door, &seated)?;
            let done = self.change_interface(&seat, &mut seated, changed);
            self.kernel.close(place);
            done.context(|| format!("update endpoint {}", seat.name))?;
        }
        self.view_endpoint(&seat).ok_or_else(|| {
            Error::new(Code::EndpointNotFound, format!("endpoint {} was just removed", seat.name))
        })
    }

    fn change_interface(&self, seat: &Seat, seated: &mut Seated, changed: Interface) -> Result<()> {
        let keepers = self.keepers_of(&seated.endpoint);
        let mut kept: Vec<_> = keepers.iter().map(|k| k.lock()).collect();
        let was = seated.endpoint.clone();
        let before = wanted(&was, among(&kept));
        put(seated, &mut kept, &changed);
        let after = wanted(&seated.endpoint, among(&kept));
        let done = self
            .store
            .put_endpoint(seat.id, &EndpointRecord { unsettled: true, ..seated.record(&[]) })
            .and_then(|()| self.kernel.apply(&diff(&before, &after)));
        if let Err(error) = done {
            let old = was.on(changed.network).cloned().unwrap_or(changed);
            put(seated, &mut kept, &old);
            self.apply_what_goes(&diff(&after, &before));
            let back = self.store.put_endpoint(seat.id, &seated.record(&[]));
            back.unwrap_or_else(
                |e| tracing::warn!(endpoint = %seat.name, code = %e.code, "undo an update: {e}"),
            );
            return Err(error);
        }
        self.store.put_endpoint(seat.id, &seated.record(&[]))
    }

    /// Sets what is asked for, and keeps nothing of it.
    pub fn prepare_netns(&self, wish: &v1::PrepareNetns, caller: Caller) -> Result<()> {
        inside::check_sysctls(&wish.sysctls)?;
        let place = self.kernel.open(&door(&wish.netns, caller)?).context(|| "prepare a namespace".into())?;
        let mut want = State::default();
        if wish.loopback {
            want.links.insert(LinkKey::loopback(place), Link::loopback());
        }
        for (path, value) in &wish.sysctls {
            want.set_sysctl(place, path, value);
        }
        let steps: Vec<Change> = diff(&State::default(), &want);
        let done = self.kernel.apply(&steps);
        self.kernel.close(place);
        done.context(|| "prepare a namespace".into())
    }
}

fn changed(endpoint: &Endpoint, wish: &v1::UpdateEndpoint) -> Result<Interface> {
    let bad = |why: &str| {
        Error::new(Code::InvalidOption, format!("update endpoint {}", endpoint.name))
            .because(why)
            .fix(format!("see its interfaces: bowline endpoint show {}", endpoint.name))
    };
    let mut interface = match (&wish.interface, endpoint.interfaces.as_slice()) {
        (Some(name), all) => all.iter().find(|i| i.card.as_str() == name).cloned(),
        (None, [only]) => Some(only.clone()),
        (None, _) => None,
    }
    .ok_or_else(|| bad("which of its interfaces is meant is not said, or there is none of that name"))?;
    if let Some(mac) = &wish.mac {
        interface.mac = mac.parse()?;
    }
    if let Some(rate) = wish.rate_in_bits_per_s {
        interface.rate_in = Some(Rate::new(rate)?);
    }
    if let Some(rate) = wish.rate_out_bits_per_s {
        interface.rate_out = Some(Rate::new(rate)?);
    }
    interface.inside.sysctls.extend(wish.sysctls.clone());
    Ok(interface)
}

/// In the endpoint, and in what its network knows of it.
fn put(seated: &mut Seated, kept: &mut [MutexGuard<'_, Kept>], changed: &Interface) {
    let same = |interface: &&mut Interface| interface.network == changed.network;
    if let Some(interface) = seated.endpoint.interfaces.iter_mut().find(same) {
        *interface = changed.clone();
    }
    let id = seated.endpoint.id;
    let of = kept.iter_mut().find(|kept| kept.network.id == changed.network);
    if let Some((_, member)) = of.and_then(|kept| kept.members.get_mut(&id)) {
        *member = changed.clone();
    }
}
