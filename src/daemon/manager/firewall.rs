//! The host's firewall as others see it: whose our tables are, and what else on the host drops our traffic.

use bowline_api::v1;
use bowline_core::Result;
use bowline_core::firewall::Element;
use bowline_core::kernel::Obstacle;
use bowline_core::name::LinkName;
use bowline_core::network::Network;
use bowline_core::place::Place;

use super::Manager;

impl Manager {
    pub fn firewall(&self) -> v1::Firewall {
        v1::Firewall {
            owned: self.kernel.owns_tables(self.host),
            elements: self.wanted_of_host(self.host).elements.len() as u64,
            user_rules: Vec::new(),
            obstacles: self.obstacles(self.host),
        }
    }

    /// Hands our tables back. What they hold stays, and is put back when somebody takes it away.
    pub fn release_firewall(&self) -> Result<v1::Firewall> {
        let sides = self.hosts.lock();
        let framed = sides.get(&self.host).is_some_and(|side| side.framed);
        let elements: std::collections::BTreeSet<Element> =
            self.wanted_of_host(self.host).elements.into_iter().map(|(_, element)| element).collect();
        if framed {
            self.kernel.release_tables(self.host, &elements)?;
        }
        drop(sides);
        tracing::info!("the firewall tables are released");
        Ok(self.firewall())
    }

    /// What on a host drops our traffic; nothing where that cannot be learnt.
    pub(super) fn obstacles(&self, place: Place) -> Vec<v1::Obstacle> {
        let keepers = self.index.networks();
        let here = keepers.iter().filter(|keeper| keeper.host == place);
        let bridges: Vec<LinkName> = here.map(|keeper| keeper.lock().network.bridge.clone()).collect();
        match self.kernel.obstacles(place, &bridges) {
            Ok(found) => found.into_iter().map(obstacle).collect(),
            Err(error) => {
                tracing::warn!(code = %error.code, "look for other firewalls: {error}");
                Vec::new()
            }
        }
    }

    /// Asks other firewalls to let a network's traffic pass, and says in the log which do not.
    pub(super) fn welcome(&self, network: &Network) {
        if network.internal {
            return;
        }
        let name = &network.name;
        match self.kernel.welcome(network.host, &network.bridge) {
            Ok(done) => done.iter().for_each(|what| tracing::info!(network = %name, "{what}")),
            Err(error) => tracing::warn!(network = %name, code = %error.code, "ask other firewalls: {error}"),
        }
        match self.kernel.obstacles(network.host, std::slice::from_ref(&network.bridge)) {
            Ok(found) => found.iter().for_each(|o| {
                tracing::warn!(network = %name, table = %o.table, chain = %o.chain, how = %o.how, fix = %o.fix,
                    "another firewall drops its traffic");
            }),
            Err(error) => tracing::warn!(code = %error.code, "look for other firewalls: {error}"),
        }
    }

    pub(super) fn unwelcome(&self, network: &Network) {
        if let Err(error) = self.kernel.unwelcome(network.host, &network.bridge) {
            tracing::warn!(network = %network.name, code = %error.code, "tell other firewalls: {error}");
        }
    }
}

fn obstacle(found: Obstacle) -> v1::Obstacle {
    let Obstacle { table, chain, tool, how, fix } = found;
    v1::Obstacle { table, chain, tool, how, fix }
}
