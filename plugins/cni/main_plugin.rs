//! The verbs of a plugin that makes an interface: one call to the daemon each, by the key that the runtime's words make.

use bowline_api::v1;
use bowline_api::{Code as Ours, Error, spool};

use crate::call::Verb;
use crate::delegate::Delegate;
use crate::failure::{Code, Failure};
use crate::json::Json;
use crate::outcome::Ip;
use crate::translate::{self, Facts, addresses, answer};
use crate::{Asked, Result, Role, leftovers, netns};

impl Asked {
    pub(crate) fn main_plugin(&self) -> Result<Option<Json>> {
        match self.call.verb {
            Verb::Add if self.role == Role::Bowline && self.config.json.get("prevResult").is_some() => {
                self.chained()
            }
            Verb::Add => self.add().map(Some),
            Verb::Check => self.check().map(|()| None),
            Verb::Del => self.del().map(|()| None),
            Verb::Gc => self.gc().map(|()| None),
            Verb::Status => self.status().map(|()| None),
            Verb::Version => Ok(None),
        }
    }

    fn add(&self) -> Result<Json> {
        let path = self.call.netns.as_deref().unwrap_or_default();
        let (_held, netns) = netns::open(path)?;
        let (host, number) = netns::own()?;
        let leftovers = leftovers::of(self)?;
        let facts = Facts {
            host: number,
            host_netns: netns::of(&host),
            netns,
            resolv_conf: self.resolv_conf()?,
            leftovers: leftovers.addresses(),
        };
        let delegate = Delegate::of(self)?;
        let made = self.make(&facts, delegate.as_ref(), path);
        if made.is_ok() {
            leftovers.taken_over();
        }
        if let (Err(_), Some(delegate)) = (&made, &delegate) {
            // What it gave it takes back; whether it does is not what the runtime asked.
            drop(delegate.run("DEL"));
        }
        made
    }

    fn make(&self, facts: &Facts, delegate: Option<&Delegate<'_>>, sandbox: &str) -> Result<Json> {
        let given = match delegate {
            Some(delegate) => delegate.run("ADD")?.map(|result| addresses::delegated(&result)).transpose()?,
            None => None,
        };
        let wish = translate::endpoint(self.role, &self.config, &self.call, facts, given)?;
        let made = self.client.create_endpoint(&wish.create)?;
        answer::outcome(&wish, &made, sandbox)?.json(self.config.version)
    }

    /// By its key alone: no namespace, no earlier result and no configuration but the name is needed, and what is not there
    /// is gone.
    pub(crate) fn del(&self) -> Result<()> {
        let key = self.key()?;
        let given_back = match Delegate::of(self) {
            Ok(Some(delegate)) => delegate.run("DEL").map(drop),
            Ok(None) | Err(_) => Ok(()),
        };
        match self.client.remove_endpoint(&key) {
            Err(error) if is_away(&error) => self.spool(&key)?,
            gone => absent_is_gone(gone)?,
        }
        given_back.and_then(|()| leftovers::give_back(self))
    }

    /// For the daemon's next start; or for now, where it started meanwhile.
    fn spool(&self, key: &str) -> Result<()> {
        let file = spool::put(&self.state_dir, key).map_err(|error| {
            Failure::new(Code::TryAgain, "remember what is to be removed, for the daemon is away")
                .because(error)
        })?;
        match self.client.remove_endpoint(key) {
            Err(error) if is_away(&error) => Ok(()),
            gone => {
                absent_is_gone(gone)?;
                spool::done(&file);
                Ok(())
            }
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        let Some(previous) = self.config.json.object_of("prevResult")? else {
            return Err(Failure::new(Code::Config, "required prevResult missing"));
        };
        if let Some(delegate) = Delegate::of(self)? {
            delegate.run("CHECK")?;
        }
        let key = self.key()?;
        let path = self.call.netns.as_deref().unwrap_or_default();
        let (_held, netns) = netns::open(path)?;
        let drift = self.client.check_endpoint(&key, &v1::Look { netns: Some(netns) })?;
        if !drift.steps.is_empty() {
            return Err(Failure::new(Code::Otherwise, format!("{} is not as it was made", self.call.ifname))
                .because(drift.steps.join("; ")));
        }
        self.compare(previous, &self.client.endpoint(&key)?, path)
    }

    /// What the runtime was told is still so.
    fn compare(&self, previous: &Json, made: &v1::Endpoint, path: &str) -> Result<()> {
        let otherwise = |what: String| Failure::new(Code::Otherwise, what).because("prevResult says so");
        let interfaces = previous.list_of("interfaces")?.unwrap_or_default();
        let ours = |interface: &Json| -> Result<bool> {
            let (name, sandbox) = (interface.text_of("name")?, interface.text_of("sandbox")?);
            Ok(name == Some(&self.call.ifname) && sandbox == Some(path))
        };
        let mut at = None;
        for (number, interface) in interfaces.iter().enumerate() {
            if ours(interface)? {
                at = Some(number);
            }
        }
        let Some(at) = at else {
            return Err(otherwise(format!("interface {} in {path} is missing", self.call.ifname)));
        };
        for ip in previous.list_of("ips")?.unwrap_or_default() {
            let ip = Ip::parse(ip)?;
            let address = ip.address.to_string();
            let there = made.interfaces.iter().any(|interface| interface.addresses.contains(&address));
            if ip.interface == Some(at) && !there {
                return Err(otherwise(format!("{} does not have the address {address}", self.call.ifname)));
            }
        }
        Ok(())
    }

    /// Without a list nothing is known of who is valid, and nothing is done; an empty one says that nobody is.
    fn gc(&self) -> Result<()> {
        let json = &self.config.json;
        let Some(valid) = json.list_of("cni.dev/valid-attachments")?.or(json.list_of("cni.dev/attachments")?)
        else {
            return Ok(());
        };
        let host = self.host()?;
        let mut keep = Vec::new();
        for one in valid {
            let (Some(container), Some(ifname)) = (one.text_of("containerID")?, one.text_of("ifname")?)
            else {
                return Err(Failure::new(
                    Code::Decode,
                    "an entry of cni.dev/valid-attachments has no container or interface",
                ));
            };
            keep.push(translate::key(host, &self.config.name, container, ifname));
        }
        let prefix = translate::prefix(host, &self.config.name);
        self.client.sweep_endpoints(&v1::Sweep { prefix, keep })?;
        match Delegate::of(self)? {
            Some(delegate) => delegate.run("GC").map(drop),
            None => Ok(()),
        }
    }

    /// A full range is no failure of the network's: it is said to whoever asks for an address.
    fn status(&self) -> Result<()> {
        let unavailable =
            |why: String| Failure::new(Code::Unavailable, "bowline cannot connect containers").because(why);
        let health = self.client.health().map_err(|error| unavailable(error.to_string()))?;
        if health.status != "ok" {
            return Err(unavailable(format!("the daemon is {}: {}", health.status, health.holds.join(", "))));
        }
        match Delegate::of(self)? {
            Some(delegate) => delegate.run("STATUS").map(drop),
            None => Ok(()),
        }
    }
}

fn is_away(error: &Error) -> bool {
    matches!(error.code, Ours::Unreachable | Ours::Timeout)
}

pub(crate) fn absent_is_gone(gone: bowline_api::Result<()>) -> Result<()> {
    match gone {
        Err(error) if error.code == Ours::EndpointNotFound => Ok(()),
        gone => Ok(gone?),
    }
}
