//! What is wrong with the host, as far as the daemon knows more of it than anybody who looks.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::Path;

use bowline_api::v1;
use bowline_core::checkup::{self, Check, Served, Standing};
use bowline_core::place::Place;

use super::Manager;

impl Manager {
    pub fn checkup(&self) -> v1::Checkup {
        let kernel = &*self.kernel;
        let features = checkup::features(kernel);
        let mut checks = checkup::host(kernel, self.host, &self.served(), &features);
        for place in self.other_hosts() {
            let found = checkup::firewall(kernel, place, &self.bridges_at(place));
            checks.extend(found.into_iter().filter(|check| check.standing != Standing::Well));
        }
        let servers: Vec<IpAddr> = self.resolver.nameservers().collect();
        checks.push(checkup::resolvers(&servers));
        checks.extend(self.rules());
        checks.extend(self.stores());
        checks.push(self.drifted());
        v1::Checkup {
            features: features.iter().map(v1::Feature::from).collect(),
            checks: checks.into_iter().map(v1::Check::from).collect(),
        }
    }

    /// The networks of the daemon's own namespace.
    fn served(&self) -> Vec<Served> {
        let here = self.index.networks().into_iter().filter(|keeper| keeper.host == self.host);
        here.map(|keeper| {
            let network = &keeper.lock().network;
            Served {
                name: network.name.clone(),
                bridge: network.bridge.clone(),
                mtu: network.mtu.bytes(),
                leaves: !network.internal && network.medium.is_our_bridge(),
            }
        })
        .collect()
    }

    fn other_hosts(&self) -> BTreeSet<Place> {
        let all = self.index.networks();
        all.iter().map(|keeper| keeper.host).filter(|&place| place != self.host).collect()
    }

    /// The administrator's own.
    fn rules(&self) -> Option<Check> {
        let (_, error) = self.user_rules();
        let fix = "correct the file, and: systemctl reload bowline";
        error.map(|error| Check::wrong("rules", format!("your files are not in force: {error}"), fix))
    }

    fn stores(&self) -> Vec<Check> {
        let all = [(&self.paths.state_dir, "state.redb"), (&self.paths.run_dir, "run.redb")];
        all.into_iter().map(|(dir, file)| store(dir, file)).collect()
    }

    fn drifted(&self) -> Check {
        const ABOUT: &str = "drift";
        let steps = match self.drift() {
            Ok(drift) => drift.steps,
            Err(error) => return Check::unknown(ABOUT, &error),
        };
        match steps.as_slice() {
            [] => Check::well(ABOUT, "the kernel is as wanted"),
            [only] => Check::wrong(ABOUT, format!("not as wanted: {only}"), "bowline system repair"),
            [first, rest @ ..] => Check::wrong(
                ABOUT,
                format!("not as wanted: {first}, and {} more", rest.len()),
                "bowline system repair",
            ),
        }
    }
}

/// Whether what is remembered there can be, and still is. The file is opened for writing and left
/// alone; its locks are of the store's own open file, and stay when this one is closed.
fn store(dir: &Path, file: &str) -> Check {
    const ABOUT: &str = "state";
    let path = dir.join(file);
    let shown = path.display();
    match fs::OpenOptions::new().write(true).open(&path) {
        Ok(_) => Check::well(ABOUT, format!("{shown} can be written")),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let what = format!("{shown} was deleted: the next start will not know what was in it");
            Check::wrong(ABOUT, what, "bowline system dump > what-the-daemon-still-knows.json")
        }
        Err(error) => {
            Check::wrong(ABOUT, format!("{shown} cannot be written: {error}"), format!("findmnt -T {shown}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_was_deleted_or_cannot_be_written_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let said = || store(dir.path(), "run.redb");
        assert!(said().what.contains("/run.redb was deleted"), "{:?}", said());
        fs::write(dir.path().join("run.redb"), "kept").unwrap();
        assert_eq!(said().standing, Standing::Well);
        assert_eq!(fs::read(dir.path().join("run.redb")).unwrap(), b"kept");
        // What a file system says that takes no writing is told as well; a directory is as deaf.
        fs::remove_file(dir.path().join("run.redb")).unwrap();
        fs::create_dir(dir.path().join("run.redb")).unwrap();
        assert!(said().what.contains("/run.redb cannot be written"), "{:?}", said());
    }
}
