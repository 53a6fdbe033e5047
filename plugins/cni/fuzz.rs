//! What holds whatever configuration comes: a fuzzer calls this with its own bytes, and a test with those that were kept
//! (tests/fuzz/corpus/cni_config).

use crate::call::{Call, Verb};
use crate::config::Config;
use crate::json::Json;
use crate::migrate::{difference, migrate};
use crate::role::Role;
use crate::translate::{self, Facts};
use crate::version::Version;
use bowline_api::v1::Netns;

/// It is refused, or it is a wish that stays within what its container may ask for.
pub fn cni_config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(migrated) = migrate(&text) {
        assert!(Json::parse(migrated.text.as_bytes()).is_ok(), "a new list is JSON");
        difference(&text, &migrated.text);
    }
    let config = match Config::read(data) {
        Ok(config) => config,
        Err(failure) => {
            let said = failure.json(Version::NEWEST.as_str()).to_string();
            assert!(Json::parse(said.as_bytes()).is_ok_and(|json| json.get("code").is_some()));
            return;
        }
    };
    let netns = Netns { fd: Some(3), path: None };
    let facts = Facts {
        host: 1,
        host_netns: netns.clone(),
        netns,
        resolv_conf: Some(text.into_owned()),
        leftovers: Vec::new(),
    };
    let call = Call {
        verb: Verb::Add,
        container: "c1".into(),
        ifname: "eth0".into(),
        netns: Some("/run/netns/c1".into()),
        args: vec![("K8S_POD_NAME".into(), config.name.clone())],
        path: Vec::new(),
    };
    for role in Role::ALL {
        let Ok(wish) = translate::endpoint(role, &config, &call, &facts, None) else { continue };
        let create = wish.create;
        assert!(create.key.is_some_and(|key| key.starts_with("cni/1/") && key.ends_with("/c1/eth0")));
        assert!(create.name.len() <= 64 && !create.name.contains('/'), "{}", create.name);
        for join in &create.networks {
            let within =
                |path: &String| path.starts_with("net/") && !path.split('/').any(|part| part == "..");
            assert!(join.sysctls.keys().all(within), "{:?}", join.sysctls);
            assert_eq!(join.interface.as_deref(), Some("eth0"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    #[test]
    fn the_corpus_is_replayed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus/cni_config");
        let mut files = 0;
        for entry in fs::read_dir(&folder).unwrap() {
            super::cni_config(&fs::read(entry.unwrap().path()).unwrap());
            files += 1;
        }
        assert!(files >= 30, "{} has {files} files", folder.display());
    }
}
