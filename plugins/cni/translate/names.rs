//! What a container is called: by the runtime's names for it, and by one that no other has.

use std::hash::Hasher;

use bowline_api::Code as Ours;

use crate::call::Call;
use crate::config::Config;
use crate::failure::{Code, Failure};
use crate::json::Json;

type Result<T> = std::result::Result<T, Failure>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    /// Of its key, so that it is the same again and nobody else's: `web-1f3a9c2b`.
    pub(super) name: String,
    /// The name of the pod, or of Podman's container.
    pub(super) hostname: Option<String>,
    pub(super) aliases: Vec<String>,
}

/// Of aliases; more are no honest wish.
const MOST: usize = 64;

pub(super) fn of(config: &Config, call: &Call, key: &str) -> Result<Names> {
    let arg = |key: &str| call.arg(key).filter(|value| !value.is_empty());
    let pod = arg("K8S_POD_NAME");
    let hostname = pod.or_else(|| arg("NERDCTL_CNI_DHCP_HOSTNAME"));
    let short: String = call.container.chars().take(12).collect();
    let name = of_key(hostname.unwrap_or(&short), key);

    let mut aliases = aliases(config)?;
    if let (Some(pod), Some(namespace)) = (pod, arg("K8S_POD_NAMESPACE")) {
        aliases.push(format!("{pod}.{namespace}"));
    }
    aliases.push(short);
    if aliases.len() > MOST {
        return Err(Failure::new(Code::Config, "the container has too many aliases").because(format!(
            "{} are more than {MOST} ({})",
            aliases.len(),
            Ours::InvalidName
        )));
    }
    aliases.retain(|alias| is_asked_for(alias));
    aliases.sort();
    aliases.dedup();
    let hostname = hostname.filter(|name| is_asked_for(name)).map(str::to_string);
    Ok(Names { name, hostname, aliases })
}

/// A name that says something to people, and that no other key makes.
pub(super) fn of_key(text: &str, key: &str) -> String {
    format!("{}-{:08x}", label(text), hash(key) as u32)
}

/// A list of names; or Podman's lists, one for each network.
fn aliases(config: &Config) -> Result<Vec<String>> {
    let Some(runtime) = config.runtime()? else { return Ok(Vec::new()) };
    match runtime.get("aliases") {
        Some(by_network @ Json::Object(_)) => by_network.texts_of(&config.name),
        Some(_) => runtime.texts_of("aliases"),
        None => Ok(Vec::new()),
    }
}

/// Whether a question can be about it: what cannot be asked for is no name, and nothing is lost without it.
fn is_asked_for(name: &str) -> bool {
    let fits = |part: &str| {
        let b = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        (1..=63).contains(&part.len()) && part.bytes().all(b)
    };
    let begins = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    begins && name.len() <= 64 && name.split('.').all(fits)
}

/// At most forty characters of it that any name may have.
fn label(text: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let label: String = text.chars().take(40).map(fits).collect();
    let label = label.trim_start_matches(['-', '_']);
    if label.is_empty() { "c".to_string() } else { label.to_string() }
}

/// FNV-1a: the same in every build, unlike the standard library's.
fn hash(text: &str) -> u64 {
    struct Fnv(u64);
    impl Hasher for Fnv {
        fn finish(&self) -> u64 {
            self.0 ^ (self.0 >> 32)
        }
        fn write(&mut self, bytes: &[u8]) {
            for byte in bytes {
                self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    hasher.write(text.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_again_and_of_their_key() {
        assert_eq!(hash("cni/1/a/b/eth0"), hash("cni/1/a/b/eth0"));
        assert_ne!(hash("cni/1/a/b/eth0") as u32, hash("cni/1/a/b/eth1") as u32);
        assert_eq!(label("-my.pod/x"), "my-pod-x");
        assert_eq!(label("---"), "c");
    }

    #[test]
    fn what_cannot_be_asked_for_is_no_name() {
        for name in ["", ".", "a..b", "-a", "a b", &"x".repeat(64), "a.\n"] {
            assert!(!is_asked_for(name), "{name:?}");
        }
        assert!(is_asked_for("web.default") && is_asked_for("web_1"));
    }
}
