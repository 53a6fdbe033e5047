//! Plugins that come after the one that made the interface: they act on the endpoint of the same key, and hand the result
//! on. An interface that is not ours is nobody's to change here, and that is said.

use bowline_api::v1;
use bowline_api::{Code as Ours, Error};

use crate::call::Verb;
use crate::failure::{Code, Failure};
use crate::json::Json;
use crate::main_plugin::absent_is_gone;
use crate::translate::{extras, network};
use crate::{Asked, Result, Role, netns};

impl Asked {
    pub(crate) fn chained(&self) -> Result<Option<Json>> {
        match self.call.verb {
            Verb::Add => self.add_to().map(Some),
            Verb::Check => self.check().map(|()| None),
            Verb::Del => self.take_from().map(|()| None),
            // The plugin that made the interfaces takes care of both.
            Verb::Gc | Verb::Status | Verb::Version => Ok(None),
        }
    }

    fn add_to(&self) -> Result<Json> {
        let Some(previous) = self.config.json.object_of("prevResult")? else {
            return Err(Failure::new(Code::Config, "must be called as chained plugin").because(format!(
                "{} changes an interface that another plugin made: there is no prevResult",
                self.role.name()
            )));
        };
        let mut result = previous.clone();
        result.set("cniVersion", Json::text(self.config.version.as_str()));
        let all = self.role == Role::Bowline;
        if all || self.role == Role::Portmap {
            let ports = extras::ports(&self.config)?;
            if !ports.is_empty() {
                let published = self.client.publish(&self.key()?, &v1::Publish { ports });
                published.map_err(|error| self.explain(error, "portMappings"))?;
            }
        }
        if all || self.role == Role::Firewall {
            self.set_policy()?;
        }
        if all || self.role == Role::Tuning {
            let sandbox = self.call.netns.as_deref().unwrap_or_default();
            if let Some(mac) = self.tune()? {
                tell_mac(&mut result, &self.call.ifname, sandbox, &mac);
            }
        }
        if all || self.role == Role::Bandwidth {
            self.shape()?;
        }
        Ok(result)
    }

    /// A policy is the network's, and the same for all its containers.
    fn set_policy(&self) -> Result<()> {
        let source = self.config.json.object_of("firewall")?.unwrap_or(&self.config.json);
        let Some(policy) = source.text_of("ingressPolicy")? else { return Ok(()) };
        let (isolation, icc) = network::policy_of(policy)?;
        let explain = |error| self.explain(error, "ingressPolicy");
        let endpoint = self.client.endpoint(&self.key()?).map_err(explain)?;
        for interface in &endpoint.interfaces {
            let network = self.client.network(&interface.network)?;
            if (network.isolation, network.icc) != (isolation, icc) {
                let wish = v1::UpdateNetwork {
                    isolation: Some(isolation),
                    icc: Some(icc),
                    ..v1::UpdateNetwork::default()
                };
                self.client.update_network(&network.name, &wish)?;
            }
        }
        Ok(())
    }

    /// The MAC that it was given, if it was.
    fn tune(&self) -> Result<Option<String>> {
        let sysctls = extras::tuning(&self.config, &self.call.ifname)?;
        let mac = extras::tuned_mac(&self.config, &self.call)?;
        if sysctls.is_empty() && mac.is_none() {
            return Ok(None);
        }
        let path = self.call.netns.as_deref().unwrap_or_default();
        let (_held, netns) = netns::open(path)?;
        let wish = v1::UpdateEndpoint {
            interface: Some(self.call.ifname.clone()),
            mac: mac.clone(),
            sysctls: sysctls.clone(),
            netns: Some(netns.clone()),
            ..v1::UpdateEndpoint::default()
        };
        match self.client.update_endpoint(&self.key()?, &wish) {
            // Settings of its namespace are no change of a stranger's link.
            Err(error) if error.code == Ours::EndpointNotFound && mac.is_none() => {
                self.client.prepare_netns(&v1::PrepareNetns { netns, loopback: false, sysctls })?;
                Ok(None)
            }
            Err(error) => Err(self.explain(error, "mac")),
            Ok(_) => Ok(mac),
        }
    }

    fn shape(&self) -> Result<()> {
        let rates = extras::rates(&self.config)?;
        if rates == extras::Rates::default() {
            return Ok(());
        }
        let path = self.call.netns.as_deref().unwrap_or_default();
        let (_held, netns) = netns::open(path)?;
        let wish = v1::UpdateEndpoint {
            interface: Some(self.call.ifname.clone()),
            rate_in_bits_per_s: rates.ingress,
            rate_out_bits_per_s: rates.egress,
            netns: Some(netns),
            ..v1::UpdateEndpoint::default()
        };
        self.client.update_endpoint(&self.key()?, &wish).map_err(|error| self.explain(error, "bandwidth"))?;
        Ok(())
    }

    /// Everything that hangs on the endpoint goes with it. Ports may be taken back before, so that whoever comes in between
    /// finds them free.
    fn take_from(&self) -> Result<()> {
        match self.role {
            Role::Portmap => {
                let taken = self.client.unpublish(&self.key()?, &v1::Publish::default()).map(drop);
                match taken {
                    // With the daemon the whole endpoint waits, and what was published goes with it.
                    Err(error)
                        if matches!(
                            error.code,
                            Ours::Unreachable | Ours::Timeout | Ours::NetnsGone | Ours::NotPublished
                        ) =>
                    {
                        Ok(())
                    }
                    taken => absent_is_gone(taken),
                }
            }
            Role::Bowline => self.del(),
            Role::Firewall
            | Role::Tuning
            | Role::Bandwidth
            | Role::Bridge
            | Role::Macvlan
            | Role::Ipvlan
            | Role::Ptp
            | Role::Loopback
            | Role::HostLocal
            | Role::Static => Ok(()),
        }
    }

    fn explain(&self, error: Error, field: &str) -> Failure {
        if error.code != Ours::EndpointNotFound {
            return error.into();
        }
        Failure::new(
            Code::Unsupported,
            format!("unsupported field: {field} of {}, which is not bowline's", self.call.ifname),
        )
        .because("another plugin made the interface; begin the list with type bowline or bridge of bowline's")
    }
}

/// The result says what the interface has now.
fn tell_mac(result: &mut Json, ifname: &str, sandbox: &str, mac: &str) {
    let Some(Json::List(mut interfaces)) = result.get("interfaces").cloned() else { return };
    for interface in &mut interfaces {
        let text = |key| interface.get(key).and_then(Json::as_text);
        if text("name") == Some(ifname) && text("sandbox") == Some(sandbox) {
            interface.set("mac", Json::text(mac));
        }
    }
    result.set("interfaces", Json::List(interfaces));
}
