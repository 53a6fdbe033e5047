//! Several endpoints in one namespace, on one network: the kernel sends what is from the address of one by the card of
//! another, for both lead to the same subnet. Each card's guard knows the others' addresses.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, MutexGuard};

use bowline_core::Result;
use bowline_core::endpoint::Endpoint;
use bowline_core::name::Id;
use bowline_core::place::Place;
use bowline_core::plan::diff;
use ipnetwork::IpNetwork;

use super::Manager;
use super::attach::among;
use super::seat::{Seat, Seated, wanted};
use crate::store::Life;

impl Manager {
    /// After one came or went. To be called without any lock; with fewer than two there is nothing to do but to forget.
    pub(super) fn meet(&self, place: Place) {
        let mut seats = self.index.endpoints_in(place);
        seats.sort_by_key(|seat| seat.id);
        let mut seated: Vec<_> = seats.iter().map(|seat| seat.lock()).collect();
        if seated.len() < 2 && seated.iter().all(|one| knows_nobody(&one.endpoint)) {
            return;
        }
        for at in 0..seated.len() {
            if seated[at].life != Life::Live {
                continue;
            }
            let endpoint = knowing(&seated[at].endpoint, &others(&seated, at));
            if endpoint == seated[at].endpoint {
                continue;
            }
            if let Err(error) = self.admit(&seats[at], &mut seated[at], endpoint) {
                tracing::warn!(endpoint = %seats[at].name, code = %error.code, "know others of its namespace: {error}");
            }
        }
    }

    fn admit(&self, seat: &Arc<Seat>, seated: &mut Seated, endpoint: Endpoint) -> Result<()> {
        let keepers = self.keepers_of(&seated.endpoint);
        let mut kept: Vec<_> = keepers.iter().map(|k| k.lock()).collect();
        let before = wanted(&seated.endpoint, among(&kept));
        seated.endpoint = endpoint;
        for interface in &seated.endpoint.interfaces {
            let of = kept.iter_mut().find(|kept| kept.network.id == interface.network);
            if let Some((_, member)) = of.and_then(|kept| kept.members.get_mut(&seat.id)) {
                *member = interface.clone();
            }
        }
        self.store.put_endpoint(seat.id, &seated.record(&[]))?;
        // Nothing but what the firewall knows of its ports.
        self.kernel.apply(&diff(&before, &wanted(&seated.endpoint, among(&kept))))
    }
}

fn knows_nobody(endpoint: &Endpoint) -> bool {
    endpoint.interfaces.iter().all(|interface| interface.inside.shared.is_empty())
}

/// What all but one have on which network.
fn others(seated: &[MutexGuard<'_, Seated>], but: usize) -> BTreeSet<(Id, IpAddr)> {
    let others = seated.iter().enumerate().filter(|(at, one)| *at != but && one.life == Life::Live);
    let interfaces = others.flat_map(|(_, one)| &one.endpoint.interfaces);
    interfaces.flat_map(|i| i.addresses.iter().map(|address| (i.network, IpNetwork::ip(address)))).collect()
}

fn knowing(endpoint: &Endpoint, others: &BTreeSet<(Id, IpAddr)>) -> Endpoint {
    let mut endpoint = endpoint.clone();
    for interface in &mut endpoint.interfaces {
        let on = others.iter().filter(|(network, _)| *network == interface.network);
        interface.inside.shared = on.map(|(_, address)| *address).collect();
    }
    endpoint
}
