use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use super::TARGETS;

#[test]
fn the_corpus_is_replayed() {
    let mut broken = Vec::new();
    for (target, run) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(target);
        let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        let files: BTreeSet<_> = entries.map(|entry| entry.unwrap().path()).collect();
        assert!(files.len() >= 30, "{} has {} files", folder.display(), files.len());
        for file in files {
            let bytes = fs::read(&file).unwrap();
            if catch_unwind(|| run(&bytes)).is_err() {
                broken.push(file);
            }
        }
    }
    assert!(broken.is_empty(), "a promise is broken by {broken:?}: the panics are above");
}
