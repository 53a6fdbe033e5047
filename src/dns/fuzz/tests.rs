use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use super::TARGETS;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz").join(name)
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn the_corpus_is_replayed() {
    let mut broken = Vec::new();
    for (target, run) in TARGETS {
        let folder = folder("corpus").join(target);
        let files = names(&folder);
        assert!(files.len() >= 30, "{} has {} files", folder.display(), files.len());
        for file in files {
            let bytes = fs::read(folder.join(&file)).unwrap();
            if catch_unwind(|| run(&bytes)).is_err() {
                broken.push(format!("{target}/{file}"));
            }
        }
    }
    assert!(broken.is_empty(), "a promise is broken by {broken:?}: the panics are above");
}

#[test]
fn every_target_has_a_fuzzer_and_a_corpus() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_string()).collect();
    let ours = |names: BTreeSet<String>| -> BTreeSet<String> {
        let names = names.into_iter().map(|name| name.trim_end_matches(".rs").to_string());
        // The DHCP client's and the CNI plugin's are their own to check.
        names.filter(|name| !["dhcp", "cni_config"].contains(&name.as_str())).collect()
    };
    assert_eq!(targets, ours(names(&folder("fuzz_targets"))));
    assert_eq!(targets, ours(names(&folder("corpus"))));
}
