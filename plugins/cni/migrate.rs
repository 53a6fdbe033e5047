//! From a list of the reference plugins to one of ours: the same network in one plugin, and what is said about it.

use crate::failure::{Code, Failure};
use crate::json::{Json, object};
use crate::translate::unsupported;

type Result<T> = std::result::Result<T, Failure>;

/// A list in the new form, and where it is not the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    pub text: String,
    pub notes: Vec<String>,
}

/// What of bridge's configuration means the same to ours.
const SAME: [&str; 7] = ["bridge", "mtu", "ipam", "dns", "portIsolation", "hairpinMode", "enabledad"];

pub fn migrate(text: &str) -> Result<Migrated> {
    let old = Json::parse(text.as_bytes())?;
    let Some(plugins) = old.list_of("plugins")? else {
        return Err(Failure::new(Code::Config, "it is no list of plugins").because("there is no key plugins"));
    };
    let kind = |plugin: &Json| plugin.text_of("type").map(|kind| kind.unwrap_or_default().to_string());
    let Some((bridge, others)) = plugins.split_first() else {
        return Err(Failure::new(Code::Config, "its list of plugins is empty"));
    };
    match kind(bridge)?.as_str() {
        "bridge" => (),
        "bowline" => return Err(Failure::new(Code::Config, "it is bowline's already")),
        other => {
            return Err(unsupported("type", other, "lists that begin with bridge can be turned into ours"));
        }
    }
    let mut notes = Vec::new();
    let mut fused = from_bridge(bridge, &mut notes)?;
    let mut capabilities = Capabilities::default();
    capabilities.add(bridge)?;
    let (mut policy, mut rest) = ("open".to_string(), Vec::new());
    for plugin in others {
        capabilities.add(plugin)?;
        match kind(plugin)?.as_str() {
            "portmap" => {
                for key in ["conditionsV4", "conditionsV6", "externalSetMarkChain"] {
                    if let Some(value) = plugin.get(key) {
                        return Err(unsupported(key, &value.to_string(), "it is in iptables' own words"));
                    }
                }
                tell(&mut notes, plugin, &["backend", "snat", "markMasqBit", "masqAll"], "portmap");
            }
            "firewall" => {
                policy = plugin.text_of("ingressPolicy")?.unwrap_or("open").to_string();
                tell(&mut notes, plugin, &["backend", "iptablesAdminChainName", "firewalldZone"], "firewall");
            }
            "tuning" => {
                let keep = ["sysctl", "mac", "mtu", "promisc", "txQLen", "allmulti"];
                let kept = keep.into_iter().filter_map(|key| Some((key, plugin.get(key)?.clone())));
                let kept: Vec<_> = kept.map(|(key, value)| (key.to_string(), value)).collect();
                if !kept.is_empty() {
                    fused.set("tuning", Json::Object(kept));
                }
                tell(&mut notes, plugin, &["dataDir"], "tuning");
            }
            "bandwidth" => {
                let rates = plugin.fields().iter().filter(|(key, _)| {
                    key.to_ascii_lowercase().ends_with("rate") || key.to_ascii_lowercase().ends_with("burst")
                });
                let rates: Vec<_> = rates.cloned().collect();
                if !rates.is_empty() {
                    fused.set("bandwidth", Json::Object(rates));
                }
            }
            other => {
                notes.push(format!("{other} stays a plugin of its own, behind ours"));
                rest.push(plugin.clone());
            }
        }
    }
    fused.set("firewall", object([("ingressPolicy", Json::text(&policy))]));
    if policy != "open" {
        notes.push(format!(
            "ingressPolicy {policy}: from outside the host, too, only published ports are reached"
        ));
    }
    fused.set("capabilities", capabilities.json());
    let mut new = old.clone();
    new.set("plugins", Json::List([vec![fused], rest].concat()));
    Ok(Migrated { text: format!("{new}\n"), notes })
}

fn from_bridge(bridge: &Json, notes: &mut Vec<String>) -> Result<Json> {
    let mut fused = object([("type", Json::text("bowline"))]);
    for (key, value) in bridge.fields() {
        if SAME.iter().any(|same| same.eq_ignore_ascii_case(key)) {
            fused.set(key, value.clone());
        }
    }
    let default = bridge.flag_of("isDefaultGateway")?.unwrap_or(false);
    let gateway = default || bridge.flag_of("isGateway")?.unwrap_or(false);
    fused.set("isGateway", Json::Bool(gateway));
    fused.set("isDefaultGateway", Json::Bool(default));
    fused.set("ipMasq", Json::Bool(bridge.flag_of("ipMasq")?.unwrap_or(false)));
    if bridge.text_of("bridge")?.is_none() {
        fused.set("bridge", Json::text("cni0"));
    }
    for key in ["vlan", "vlanTrunk", "disableContainerInterface"] {
        if let Some(value) =
            bridge.get(key).filter(|value| !matches!(value.to_string().as_str(), "0" | "false" | "[]"))
        {
            return Err(unsupported(key, &value.to_string(), "bowline's bridges have none"));
        }
    }
    notes.push("what containers send under addresses that are not theirs is dropped; \"antispoof\": false lets it pass".into());
    tell(notes, bridge, &["ipMasqBackend", "forceAddress", "promiscMode", "preserveDefaultVlan"], "bridge");
    Ok(fused)
}

/// Names what means nothing to us and was there.
fn tell(notes: &mut Vec<String>, plugin: &Json, keys: &[&str], of: &str) {
    for key in keys.iter().filter(|key| plugin.get(key).is_some()) {
        notes.push(format!("{key} of {of} is left out: it says nothing here"));
    }
}

#[derive(Default)]
struct Capabilities(Vec<(String, Json)>);

impl Capabilities {
    fn add(&mut self, plugin: &Json) -> Result<()> {
        for (key, value) in plugin.object_of("capabilities")?.map(Json::fields).unwrap_or_default() {
            if self.0.iter().all(|(known, _)| known != key) {
                self.0.push((key.clone(), value.clone()));
            }
        }
        Ok(())
    }

    fn json(self) -> Json {
        Json::Object(self.0)
    }
}

/// A list that joins one of bowline's networks.
pub fn joining(name: &str, network: &str) -> String {
    let on = |key: &str| (key.to_string(), Json::Bool(true));
    let keys = ["portMappings", "ips", "mac", "bandwidth", "dns", "aliases"];
    let plugin = object([
        ("type", Json::text("bowline")),
        ("network", Json::text(network)),
        ("capabilities", Json::Object(keys.map(on).into())),
    ]);
    let list = object([
        ("cniVersion", Json::text("1.0.0")),
        ("cniVersions", Json::List(["0.4.0", "1.0.0", "1.1.0"].map(Json::text).into())),
        ("name", Json::text(name)),
        ("plugins", Json::List(vec![plugin])),
    ]);
    format!("{list}\n")
}

/// The lines of the one that the other does not have, in order: `-` before, `+` after.
pub fn difference(old: &str, new: &str) -> String {
    let pretty =
        |text: &str| Json::parse(text.as_bytes()).map_or_else(|_| text.to_string(), |json| json.to_string());
    let (old, new) = (pretty(old), pretty(new));
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    // Lengths of the longest common tails, which a list of plugins is short enough for.
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = match old[i] == new[j] {
                true => common[i + 1][j + 1] + 1,
                false => common[i + 1][j].max(common[i][j + 1]),
            };
        }
    }
    let (mut i, mut j, mut text) = (0, 0, String::new());
    while i < old.len() || j < new.len() {
        let (mark, line) = if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
            (' ', old[i - 1])
        } else if i < old.len() && (j == new.len() || common[i + 1][j] >= common[i][j + 1]) {
            i += 1;
            ('-', old[i - 1])
        } else {
            j += 1;
            ('+', new[j - 1])
        };
        text.push(mark);
        text.push_str(line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const PODMAN: &str = r#"{"cniVersion":"0.4.0","name":"podman","plugins":[
        {"type":"bridge","bridge":"cni-podman0","isGateway":true,"ipMasq":true,"hairpinMode":true,
         "ipam":{"type":"host-local","routes":[{"dst":"0.0.0.0/0"}],"ranges":[[{"subnet":"10.88.0.0/16","gateway":"10.88.0.1"}]]}},
        {"type":"portmap","capabilities":{"portMappings":true}},
        {"type":"firewall","ingressPolicy":"same-bridge"},
        {"type":"tuning"},{"type":"dnsname","domainName":"x"}]}"#;

    #[test]
    fn podmans_own_list_becomes_one_plugin_that_says_the_same() {
        let migrated = migrate(PODMAN).unwrap();
        let new = Json::parse(migrated.text.as_bytes()).unwrap();
        let [ours, theirs] = new.list_of("plugins").unwrap().unwrap() else { panic!("{new}") };
        assert_eq!(theirs.text_of("type").unwrap(), Some("dnsname"));
        assert_eq!(ours.text_of("bridge").unwrap(), Some("cni-podman0"));
        assert_eq!(ours.flag_of("isDefaultGateway").unwrap(), Some(false), "the route says it");
        let policy = ours.object_of("firewall").unwrap().unwrap().text_of("ingressPolicy").unwrap();
        assert_eq!(policy, Some("same-bridge"));
        assert_eq!(
            ours.object_of("capabilities").unwrap().unwrap().flag_of("portMappings").unwrap(),
            Some(true)
        );
        assert!(migrated.notes.iter().any(|note| note.contains("dnsname")), "{:?}", migrated.notes);
        let shown = difference(PODMAN, &migrated.text);
        assert!(
            shown.contains("-      \"type\": \"bridge\"") && shown.contains("+      \"type\": \"bowline\""),
            "{shown}"
        );
        assert!(shown.contains("   \"name\": \"podman\""), "{shown}");
    }

    #[test]
    fn what_would_not_be_the_same_is_refused() {
        for text in [
            "{}",
            r#"{"plugins":[]}"#,
            r#"{"plugins":[{"type":"calico"}]}"#,
            r#"{"plugins":[{"type":"bowline"}]}"#,
            r#"{"plugins":[{"type":"bridge","vlan":7}]}"#,
            r#"{"plugins":[{"type":"bridge"},{"type":"portmap","conditionsV4":["-m","x"]}]}"#,
        ] {
            assert!(migrate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_list_that_joins_a_network_names_it() {
        let json = Json::parse(joining("apps", "front").as_bytes()).unwrap();
        assert_eq!(json.list_of("plugins").unwrap().unwrap()[0].text_of("network").unwrap(), Some("front"));
    }
}
