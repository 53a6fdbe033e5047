//! A container runtime, as far as CNI sees one: it runs chains of plugins as libcni does, on a machine of the story's.
//! What it keeps of an attachment is the result of its ADD, and whoever takes that away plays a runtime that lost it.

mod list;
mod plugin;

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::World;
use super::place::Place;
use super::said::Said;
pub(crate) use list::List;
pub(crate) use plugin::Call;

/// Where Debian has the reference plugins.
pub(crate) const REFERENCE: &str = "/usr/lib/cni";
/// Where a story has links to the program, under the names of those. Nobody looks for leftovers there.
pub(crate) const OURS: &str = "/mnt/cni";

const NAMES: &str = "bowline-cni bowline bridge loopback host-local static portmap firewall tuning bandwidth \
                     macvlan ipvlan ptp";

/// A container and the interface that it is to have.
#[derive(Debug, Clone)]
pub(crate) struct Attachment {
    pub(crate) container: String,
    pub(crate) ifname: String,
    /// As the runtime says it: empty where it has none any more.
    pub(crate) netns: String,
    pub(crate) args: String,
    /// What the runtime has for plugins that declare it.
    pub(crate) capabilities: Value,
}

impl Attachment {
    /// Of a container in a named namespace: `eth0`.
    pub(crate) fn of(name: &str) -> Attachment {
        Attachment {
            container: format!("id-{name}"),
            ifname: "eth0".into(),
            netns: format!("/run/netns/{name}"),
            args: String::new(),
            capabilities: json!({}),
        }
    }

    pub(crate) fn publishes(mut self, ports: &[(u16, u16, &str)]) -> Attachment {
        let one = |&(host, inside, protocol): &(u16, u16, &str)| json!({"hostPort": host, "containerPort": inside, "protocol": protocol});
        self.capabilities["portMappings"] = ports.iter().map(one).collect();
        self
    }

    pub(crate) fn has(mut self, capability: &str, value: Value) -> Attachment {
        self.capabilities[capability] = value;
        self
    }

    pub(crate) fn ifname(mut self, name: &str) -> Attachment {
        self.ifname = name.into();
        self
    }

    pub(crate) fn args(mut self, args: &str) -> Attachment {
        self.args = args.into();
        self
    }

    pub(crate) fn netns(mut self, path: &str) -> Attachment {
        self.netns = path.into();
        self
    }
}

/// A plugin said no.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) plugin: String,
    pub(crate) code: u64,
    pub(crate) said: Said,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} refused with {}: {}", self.plugin, self.code, self.said)
    }
}

type Answer<T> = Result<T, Refusal>;

pub(crate) struct Runtime<'w> {
    place: Place<'w>,
    /// CNI_PATH: one folder.
    path: &'static str,
    /// By network, container and interface: the attachment as it was added, and its result.
    cache: RefCell<BTreeMap<[String; 3], (Attachment, Value)>>,
}

impl<'w> Runtime<'w> {
    /// With the program under test as every plugin.
    pub(crate) fn ours(w: &'w World) -> Runtime<'w> {
        let binary = super::daemon::BINARY;
        w.host().shell(&format!("mkdir -p {OURS}; for n in {NAMES}; do ln -sf {binary} {OURS}/$n; done"));
        Runtime::with(w, OURS)
    }

    pub(crate) fn reference(w: &'w World) -> Runtime<'w> {
        Runtime::with(w, REFERENCE)
    }

    pub(crate) fn with(w: &'w World, path: &'static str) -> Runtime<'w> {
        Runtime { place: w.host(), path, cache: RefCell::default() }
    }

    /// Forward, each with the result of the one before; the first that says no ends it, and what was done stays.
    pub(crate) fn add(&self, list: &List, at: &Attachment) -> Answer<Value> {
        let mut result = None;
        for plugin in list.plugins() {
            let config = list.config(plugin, at, result.as_ref());
            let said = self.run("ADD", list.type_of(plugin), &config, at)?;
            result = Some(plugin::result(&said, &list.version()));
        }
        let result = result.expect("a list has a plugin");
        self.cache.borrow_mut().insert(key(list, at), (at.clone(), result.clone()));
        Ok(result)
    }

    /// Forward, each with the result of the whole chain.
    pub(crate) fn check(&self, list: &List, at: &Attachment) -> Answer<()> {
        assert!(list.at_least("0.4.0"), "a runtime refuses to CHECK with version {}", list.version());
        if list.json["disableCheck"] == true {
            return Ok(());
        }
        let cached = self.cached(list, at);
        for plugin in list.plugins() {
            let config = list.config(plugin, at, cached.as_ref());
            let said = self.run("CHECK", list.type_of(plugin), &config, at)?;
            assert!(said.out.trim().is_empty(), "CHECK has nothing to say: {said}");
        }
        Ok(())
    }

    /// Backward, each with the result of the whole chain, where that is kept; the first that says no ends it.
    pub(crate) fn del(&self, list: &List, at: &Attachment) -> Answer<()> {
        let cached = self.cached(list, at).filter(|_| list.at_least("0.4.0"));
        for plugin in list.plugins().iter().rev() {
            let config = list.config(plugin, at, cached.as_ref());
            let said = self.run("DEL", list.type_of(plugin), &config, at)?;
            assert!(said.out.trim().is_empty(), "DEL has nothing to say: {said}");
        }
        self.cache.borrow_mut().remove(&key(list, at));
        Ok(())
    }

    /// What is in the cache and not valid is deleted; then every plugin is told who is, and all are asked, whatever one says.
    pub(crate) fn gc(&self, list: &List, valid: &[&Attachment]) -> Vec<Refusal> {
        let is_valid =
            |at: &Attachment| valid.iter().any(|v| (&v.container, &v.ifname) == (&at.container, &at.ifname));
        let cache = self.cache.borrow();
        let of_list = cache.iter().filter(|(key, _)| key[0] == list.name()).map(|(_, (at, _))| at.clone());
        let stale: Vec<Attachment> = of_list.filter(|at| !is_valid(at)).collect();
        drop(cache);
        let mut refusals: Vec<Refusal> = stale.iter().filter_map(|at| self.del(list, at).err()).collect();
        if list.at_least("1.1.0") && list.json["disableGC"] != true {
            let valid: Vec<Value> =
                valid.iter().map(|v| json!({"containerID": v.container, "ifname": v.ifname})).collect();
            refusals.extend(self.tells_valid(list, Some(&valid)));
        }
        refusals
    }

    /// Only the verb, with a list, or without one.
    pub(crate) fn tells_valid(&self, list: &List, valid: Option<&[Value]>) -> Vec<Refusal> {
        let ask = |plugin| {
            let mut config = list.plain(plugin);
            if let Some(valid) = valid {
                config["cni.dev/valid-attachments"] = valid.into();
                config["cni.dev/attachments"] = valid.into();
            }
            self.run("GC", list.type_of(plugin), &config, &nobody()).err()
        };
        list.plugins().iter().filter_map(ask).collect()
    }

    pub(crate) fn status(&self, list: &List) -> Answer<()> {
        for plugin in list.plugins().iter().filter(|_| list.at_least("1.1.0")) {
            self.run("STATUS", list.type_of(plugin), &list.plain(plugin), &nobody())?;
        }
        Ok(())
    }

    /// Every plugin says that it speaks the list's version.
    #[track_caller]
    pub(crate) fn validates(&self, list: &List) {
        for plugin in list.plugins() {
            let dummy = Attachment { netns: "dummy".into(), ifname: "dummy".into(), ..nobody() };
            let config = json!({"cniVersion": "1.1.0"});
            let said = self.run("VERSION", list.type_of(plugin), &config, &dummy);
            let said = said.unwrap_or_else(|refusal| panic!("{refusal}")).json();
            let all = said["supportedVersions"].as_array().cloned().unwrap_or_default();
            assert!(all.iter().any(|version| *version == list.version().as_str()), "{said}");
        }
    }

    /// A runtime whose files are gone knows nothing of what it added.
    pub(crate) fn forgets(&self) {
        self.cache.borrow_mut().clear();
    }

    /// One plugin, once, however it ends.
    pub(crate) fn call(&self, verb: &str, plugin: &str, at: &Attachment) -> Call {
        let command = self.place.brief(&format!("{}/{plugin}", self.path));
        Call::new(command, self.path, verb, plugin, at)
    }

    /// The same, but killed after so many milliseconds.
    pub(crate) fn cut_short(&self, ms: u32, verb: &str, plugin: &str, at: &Attachment) -> Call {
        let mut command = self.place.command("timeout");
        let seconds = format!("{}.{:03}", ms / 1000, ms % 1000);
        command.args(["--signal=KILL", &seconds, &format!("{}/{plugin}", self.path)]);
        Call::new(command, self.path, verb, plugin, at)
    }

    fn run(&self, verb: &str, plugin: &str, config: &Value, at: &Attachment) -> Answer<Said> {
        let said = self.call(verb, plugin, at).with(config.to_string());
        if said.code == 0 {
            return Ok(said);
        }
        Err(Refusal { plugin: plugin.to_string(), code: plugin::code(&said), said })
    }

    fn cached(&self, list: &List, at: &Attachment) -> Option<Value> {
        self.cache.borrow().get(&key(list, at)).map(|(_, result)| result.clone())
    }
}

fn key(list: &List, at: &Attachment) -> [String; 3] {
    [list.name(), at.container.clone(), at.ifname.clone()]
}

/// For verbs that are about no container.
fn nobody() -> Attachment {
    Attachment {
        container: String::new(),
        ifname: String::new(),
        netns: String::new(),
        args: String::new(),
        capabilities: json!({}),
    }
}
