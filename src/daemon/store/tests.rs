use super::*;

fn boot(id: &str) -> Boot {
    Boot { boot_id: id.into(), host: 1 }
}

fn endpoint(name: &str) -> EndpointRecord {
    EndpointRecord {
        id: Id(7).to_string(),
        name: name.into(),
        hostname: name.into(),
        labels: Default::default(),
        cookie: 9,
        path: None,
        path_seen: true,
        created_unix_ms: 1,
        life: Life::Live,
        answered: true,
        unsettled: false,
        published: Vec::new(),
        antispoof: true,
        exposed: Vec::new(),
        dns: bowline_api::v1::DnsWishes::default(),
        key: None,
        reserved: Vec::new(),
        interfaces: Vec::new(),
    }
}

#[test]
fn what_was_put_is_there_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Store::open(&dir.path().join("run"), &dir.path().join("state"), &boot("a")).unwrap();
    open().put_endpoint(Id(7), &endpoint("web")).unwrap();
    assert_eq!(open().endpoints().unwrap(), [endpoint("web")]);
    open().put_endpoints(&[(Id(7), None)]).unwrap();
    assert_eq!(open().endpoints().unwrap(), []);
}

#[test]
fn another_boot_starts_without_endpoints_and_with_the_kept_addresses() {
    let dir = tempfile::tempdir().unwrap();
    let open = |id| Store::open(&dir.path().join("run"), &dir.path().join("state"), &boot(id)).unwrap();
    let kept =
        FixedRecord { network: "n".into(), endpoint: "web".into(), addresses: vec![[10, 9, 0, 5].into()] };
    let store = open("a");
    store.put_endpoint(Id(7), &endpoint("web")).unwrap();
    store.put_fixed(&kept).unwrap();
    drop(store);
    let store = open("b");
    assert_eq!((store.endpoints().unwrap(), store.fixed().unwrap()), (vec![], vec![kept]));
}

#[test]
fn what_a_power_cut_left_of_another_boot_is_thrown_away_and_of_this_one_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (run, state) = (dir.path().join("run"), dir.path().join("state"));
    Store::open(&run, &state, &boot("a")).unwrap().put_endpoint(Id(7), &endpoint("web")).unwrap();
    std::fs::write(run.join("run.redb"), b"half a page of what was there").unwrap();
    assert_eq!(Store::open(&run, &state, &boot("a")).unwrap_err().code, Code::StateCorrupt);
    assert_eq!(Store::open(&run, &state, &boot("b")).unwrap().endpoints().unwrap(), []);
}

#[test]
fn two_daemons_do_not_share_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Store::open(&dir.path().join("run"), &dir.path().join("state"), &boot("a"));
    let _held = open().unwrap();
    assert_eq!(open().unwrap_err().code, Code::DaemonRunning);
}

#[test]
fn a_damaged_file_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("state")).unwrap();
    let path = dir.path().join("state/state.redb");
    std::fs::write(&path, b"this was never a store, whatever it may say").unwrap();
    let error = Store::open(&dir.path().join("run"), &dir.path().join("state"), &boot("a")).unwrap_err();
    assert_eq!(error.code, Code::StateCorrupt, "{error}");
    assert!(std::fs::read(&path).unwrap().starts_with(b"this was never"));
}

#[test]
fn every_page_may_be_damaged_and_none_makes_it_panic() {
    let dir = tempfile::tempdir().unwrap();
    let (run, state) = (dir.path().join("run"), dir.path().join("state"));
    Store::open(&run, &state, &boot("a")).unwrap().put_endpoint(Id(7), &endpoint("web")).unwrap();
    let whole = std::fs::read(run.join("run.redb")).unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 64) {
        let mut bytes = whole.clone();
        bytes[at..].iter_mut().take(64).for_each(|b| *b ^= 0xa5);
        std::fs::write(run.join("run.redb"), bytes).unwrap();
        // Either the damage is in an unused page, or it is refused with a code.
        if let Err(error) = Store::open(&run, &state, &boot("a")).and_then(|s| s.endpoints()) {
            assert!(matches!(error.code, Code::StateCorrupt | Code::StateNewer | Code::Internal), "{error}");
        }
    }
}

#[test]
fn a_newer_version_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Store::open(&dir.path().join("run"), &dir.path().join("state"), &boot("a"));
    let store = open().unwrap();
    store
        .state
        .commit(|tx| {
            tx.open_table(META)?.insert("version", 9u32.to_be_bytes().as_slice())?;
            Ok(())
        })
        .unwrap();
    drop(store);
    assert_eq!(open().unwrap_err().code, Code::StateNewer);
}
