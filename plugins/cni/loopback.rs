//! The loopback of a namespace: put up, and told of.

use bowline_api::Code as Ours;
use bowline_api::v1;

use crate::call::Verb;
use crate::json::Json;
use crate::outcome::{Interface, Ip, Outcome};
use crate::{Asked, Result, netns};

impl Asked {
    pub(crate) fn loopback(&self) -> Result<Option<Json>> {
        let path = self.call.netns.as_deref().unwrap_or_default();
        match self.call.verb {
            Verb::Add => {
                let (_held, netns) = netns::open(path)?;
                let sysctls = Default::default();
                self.client.prepare_netns(&v1::PrepareNetns { netns, loopback: true, sysctls })?;
                self.result(path).map(Some)
            }
            Verb::Check => netns::open(path).map(|_| None),
            // It goes with its namespace.
            Verb::Del | Verb::Gc | Verb::Version => Ok(None),
            Verb::Status => match self.client.health() {
                Err(error) if error.code == Ours::Unreachable => {
                    Err(crate::Failure::new(crate::Code::Unavailable, "bowline cannot connect containers")
                        .because(error))
                }
                health => Ok(health.map(|_| None)?),
            },
        }
    }

    fn result(&self, path: &str) -> Result<Json> {
        if let Some(previous) = self.config.json.object_of("prevResult")? {
            let mut result = previous.clone();
            result.set("cniVersion", Json::text(self.config.version.as_str()));
            return Ok(result);
        }
        let ip = |text: &str| Ip {
            address: text.parse().expect("an address of the loopback"),
            gateway: None,
            interface: Some(0),
        };
        let interface = Interface {
            name: "lo".into(),
            mac: Some("00:00:00:00:00:00".into()),
            mtu: None,
            sandbox: Some(path.to_string()),
        };
        let outcome = Outcome {
            interfaces: vec![interface],
            ips: vec![ip("127.0.0.1/8"), ip("::1/128")],
            ..Outcome::default()
        };
        outcome.json(self.config.version)
    }
}
