//! The host's firewall as others see it: whose our tables are, and what else on the host drops our traffic.

use std::collections::BTreeSet;
use std::sync::Arc;

use bowline_api::v1;
use bowline_core::Result;
use bowline_core::firewall::Element;
use bowline_core::kernel::Obstacle;
use bowline_core::name::LinkName;
use bowline_core::network::Network;
use bowline_core::place::Place;

use super::Manager;
use super::keeper::Keeper;

impl Manager {
    pub fn firewall(&self) -> v1::Firewall {
        let (user_rules, user_rules_error) = self.user_rules();
        v1::Firewall {
            owned: self.kernel.owns_tables(self.host),
            elements: self.wanted_of_host(self.host).elements.len() as u64,
            user_rules,
            user_rules_error,
            obstacles: self.obstacles(self.host),
        }
    }

    /// Hands our tables back. What they hold stays, and is put back when somebody takes it away.
    pub fn release_firewall(&self) -> Result<v1::Firewall> {
        let sides = self.hosts.lock();
        let framed = sides.get(&self.host).is_some_and(|side| side.framed);
        let elements: BTreeSet<Element> =
            self.wanted_of_host(self.host).elements.into_iter().map(|(_, element)| element).collect();
        if framed {
            self.kernel.release_tables(self.host, &elements)?;
        }
        drop(sides);
        // Whoever published or joined in that moment is not among these elements.
        self.repair_hosts()?;
        tracing::info!("the firewall tables are released");
        Ok(self.firewall())
    }

    /// What on a host drops our traffic; nothing where that cannot be learnt.
    pub(super) fn obstacles(&self, place: Place) -> Vec<v1::Obstacle> {
        match self.kernel.obstacles(place, &self.bridges_at(place)) {
            Ok(found) => found.into_iter().map(obstacle).collect(),
            Err(error) => {
                tracing::warn!(code = %error.code, "look for other firewalls: {error}");
                Vec::new()
            }
        }
    }

    /// Asks other firewalls to let a network's traffic pass, and says in the log which do not.
    pub(super) fn welcome(&self, network: &Network) {
        if !is_others_business(network) {
            return;
        }
        self.ask_others(network);
        self.warn_of_others(network.host, std::slice::from_ref(&network.bridge));
    }

    /// For all networks, as others may have come or begun anew since.
    pub(super) fn welcome_again(&self) {
        for keeper in self.index.networks() {
            // No network goes meanwhile, and what was asked for it stays behind.
            let _still = self.hosts.lock();
            let network = {
                let kept = keeper.lock();
                if kept.removed || !is_others_business(&kept.network) {
                    continue;
                }
                kept.network.clone()
            };
            self.ask_others(&network);
        }
    }

    /// The same, and what still is in the way goes into the log.
    pub(super) fn welcome_and_warn(&self) {
        self.welcome_again();
        let places: BTreeSet<Place> = self.index.networks().iter().map(|keeper| keeper.host).collect();
        for place in places {
            self.warn_of_others(place, &self.bridges_at(place));
        }
    }

    fn ask_others(&self, network: &Network) {
        let name = &network.name;
        match self.kernel.welcome(network.host, &network.bridge) {
            Ok(done) => done.iter().for_each(|what| tracing::info!(network = %name, "{what}")),
            Err(error) => tracing::warn!(network = %name, code = %error.code, "ask other firewalls: {error}"),
        }
    }

    fn warn_of_others(&self, place: Place, bridges: &[LinkName]) {
        match self.kernel.obstacles(place, bridges) {
            Ok(found) => found.iter().for_each(|o| {
                let tool = o.tool.as_deref().unwrap_or("unknown");
                tracing::warn!(table = %o.table, chain = %o.chain, tool, how = %o.how, fix = %o.fix,
                    "another firewall is in the way");
            }),
            Err(error) => tracing::warn!(code = %error.code, "look for other firewalls: {error}"),
        }
    }

    pub(super) fn bridges_at(&self, place: Place) -> Vec<LinkName> {
        let keepers = self.index.networks();
        let here = keepers.iter().filter(|keeper| keeper.host == place);
        let bridge = |keeper: &Arc<Keeper>| {
            let kept = keeper.lock();
            kept.network.medium.is_our_bridge().then(|| kept.network.bridge.clone())
        };
        here.filter_map(bridge).collect()
    }

    pub(super) fn unwelcome(&self, network: &Network) {
        if !is_others_business(network) {
            return;
        }
        if let Err(error) = self.kernel.unwelcome(network.host, &network.bridge) {
            tracing::warn!(network = %network.name, code = %error.code, "tell other firewalls: {error}");
        }
    }
}

/// Whether its packets pass the host on their way to the world, and so pass other firewalls.
fn is_others_business(network: &Network) -> bool {
    !network.internal && network.medium.is_our_bridge()
}

fn obstacle(found: Obstacle) -> v1::Obstacle {
    let Obstacle { table, chain, tool, how, fix } = found;
    v1::Obstacle { table, chain, tool, how, fix }
}
