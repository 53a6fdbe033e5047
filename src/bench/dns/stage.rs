//! What `bench dns` plays on: a daemon with two networks, one with few names and one with many, and their containers.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use bowline_api::v1;
use bowline_core::{Code, Error, Result};
use bowline_linux::process::raise_loopback;

use super::wire;
use crate::occupants;
use crate::rig::{Rig, namespaces};

/// The resolver as every container has it.
pub(super) const RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));
/// Where what it is compared with listens, in the same containers.
pub(super) const NSD: Ipv4Addr = Ipv4Addr::LOCALHOST;
pub(super) const AARDVARK: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 53);

/// Endpoints of each network.
const ENDPOINTS: usize = 20;
/// Aliases of each endpoint on the network with many names: 10,000 in all.
const ALIASES: usize = 500;

/// Names that are asked elsewhere go to the host's loopback, where a stub may be.
const CONFIG: &str = "[dns]\nservers = [\"127.0.0.1\"]\n";

#[derive(Debug)]
pub(super) struct Stage {
    pub(super) rig: Rig,
    pub(super) few: Network,
    pub(super) many: Network,
}

#[derive(Debug)]
pub(super) struct Network {
    /// One for each endpoint.
    pub(super) insides: Vec<OwnedFd>,
    /// What may be asked for, and the one address that each has.
    pub(super) names: Vec<(String, Ipv4Addr)>,
}

impl Network {
    /// Where the questions come from.
    pub(super) fn asker(&self) -> &OwnedFd {
        &self.insides[0]
    }
}

impl Stage {
    pub(super) fn set() -> Result<Stage> {
        let rig = Rig::configured(CONFIG)?;
        let few = network(&rig, "few", "10.9.0.0/24", |_| Vec::new())?;
        let aliases = |n: usize| (0..ALIASES).map(|m| format!("name{}", n * ALIASES + m)).collect();
        let many = network(&rig, "many", "10.10.0.0/24", aliases)?;
        let stage = Stage { rig, few, many };
        stage.expect_names()?;
        Ok(stage)
    }

    /// Another daemon in the place of the one that runs.
    pub(super) fn restart(&mut self) -> Result<()> {
        self.rig.stop()?;
        self.rig.start()?;
        self.expect_names()
    }

    /// Waits until the resolver has all of the few names, and some of each endpoint's many.
    fn expect_names(&self) -> Result<()> {
        let few = self.few.names.iter().map(|known| (&self.few, known));
        let many = self.many.names.iter().step_by(ALIASES - 1).map(|known| (&self.many, known));
        for (network, (name, address)) in few.chain(many) {
            wire::expect(network.asker(), RESOLVER, name, *address)?;
        }
        Ok(())
    }

    /// A list of questions as dnsperf reads it.
    pub(super) fn questions(
        &self,
        file: &str,
        names: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<PathBuf> {
        let path = self.rig.dir().join(file);
        let mut text = String::new();
        for name in names {
            text.push_str(name.as_ref());
            text.push_str(" A\n");
        }
        fs::write(&path, text)
            .map_err(|e| Error::new(Code::Internal, format!("write {}", path.display())).because(e))?;
        Ok(path)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for inside in self.few.insides.iter().chain(&self.many.insides) {
            if let Err(error) = occupants::end_all(inside) {
                eprintln!("bowline: {error}");
            }
        }
    }
}

fn network(rig: &Rig, name: &str, subnet: &str, aliases: impl Fn(usize) -> Vec<String>) -> Result<Network> {
    rig.network(name, subnet)?;
    let insides = namespaces(ENDPOINTS)?;
    let mut names = Vec::new();
    for (n, inside) in insides.iter().enumerate() {
        // For the servers that ours is compared with, wherever they listen.
        raise_loopback(inside)?;
        let endpoint = format!("{name}{n}");
        let mut wish = Rig::wish(&endpoint, name, inside);
        // By this it is found again when the daemon has been restarted, and known to be alive, for no process is in it.
        wish.netns.path = Some(format!("/proc/{}/fd/{}", std::process::id(), inside.as_raw_fd()));
        let aliases = aliases(n);
        wish.networks[0].aliases.clone_from(&aliases);
        let address = address(&rig.client.create_endpoint(&wish)?)?;
        if aliases.is_empty() {
            names.push((endpoint, address));
        } else {
            names.extend(aliases.into_iter().map(|alias| (alias, address)));
        }
    }
    Ok(Network { insides, names })
}

fn address(endpoint: &v1::Endpoint) -> Result<Ipv4Addr> {
    let all = endpoint.interfaces.iter().flat_map(|interface| &interface.addresses);
    let mut ours = all.filter_map(|address| address.split('/').next()?.parse().ok());
    ours.next().ok_or_else(|| {
        Error::new(Code::Internal, format!("read the address of endpoint {}", endpoint.name))
            .because("it has none of IPv4")
    })
}
