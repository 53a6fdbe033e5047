//! A network configuration list, and what each of its plugins gets to read of it.

use serde_json::{Value, json};

use super::Attachment;

#[derive(Debug, Clone)]
pub(crate) struct List {
    pub(crate) json: Value,
}

impl List {
    pub(crate) fn new(version: &str, name: &str, plugins: Value) -> List {
        let mut json = json!({"cniVersion": version, "name": name});
        json["plugins"] = plugins;
        List { json }
    }

    pub(crate) fn name(&self) -> String {
        self.json["name"].as_str().expect("a list has a name").to_string()
    }

    /// The highest that the list names and libcni knows.
    pub(crate) fn version(&self) -> String {
        let more = self.json["cniVersions"].as_array().into_iter().flatten();
        let all = more.chain([&self.json["cniVersion"]]).filter_map(Value::as_str);
        let known = all.filter(|version| numbers(version) <= numbers("1.1.0"));
        known.max_by_key(|version| numbers(version)).unwrap_or("0.1.0").to_string()
    }

    pub(crate) fn at_least(&self, version: &str) -> bool {
        numbers(&self.version()) >= numbers(version)
    }

    pub(crate) fn plugins(&self) -> &[Value] {
        self.json["plugins"].as_array().expect("a list has plugins")
    }

    pub(crate) fn type_of<'a>(&self, plugin: &'a Value) -> &'a str {
        plugin["type"].as_str().expect("a plugin has a type")
    }

    /// The plugin's own part, with the list's name and version.
    pub(crate) fn plain(&self, plugin: &Value) -> Value {
        let mut config = plugin.clone();
        config["name"] = self.json["name"].clone();
        config["cniVersion"] = self.version().into();
        config
    }

    /// And what is known of the attachment, where the plugin declared that it wants it.
    pub(super) fn config(&self, plugin: &Value, at: &Attachment, previous: Option<&Value>) -> Value {
        let mut config = self.plain(plugin);
        if let Some(previous) = previous {
            config["prevResult"] = previous.clone();
        }
        let wanted = plugin["capabilities"].as_object().into_iter().flatten();
        let wanted = wanted.filter(|(_, on)| **on == true).map(|(name, _)| name);
        for name in wanted.filter(|name| at.capabilities.get(name.as_str()).is_some()) {
            config["runtimeConfig"][name] = at.capabilities[name].clone();
        }
        config
    }
}

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').filter_map(|part| part.parse().ok()).collect()
}
