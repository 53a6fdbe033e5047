use super::*;

fn load(text: &str) -> Result<Config> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bowline.toml");
    std::fs::write(&path, text).unwrap();
    Config::load(Some(&path))
}

#[test]
fn an_empty_file_is_all_defaults() {
    let config = load("").unwrap();
    assert_eq!(config.pools, [PoolSpec::default_v4()]);
    assert_eq!((config.mtu, config.ipv6, config.log_format), (None, Ipv6Pool::Random, LogFormat::Text));
}

#[test]
fn what_is_given_wins() {
    let config =
        load("[link]\nmtu = 1400\n[pools]\nipv4 = [\"10.20.0.0/16\", \"10.30.0.0/16\"]\nipv4_size = 26\n")
            .unwrap();
    assert_eq!((config.mtu, config.pools.len(), config.pools[1].size()), (Some(1400), 2, 26));
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest() {
    for (text, nearest) in [
        ("[daemon]\nlogformat = \"json\"", "did you mean daemon.log_format?"),
        ("[deamon]\nlog = \"info\"", "did you mean daemon?"),
        ("mtu = 1400", "did you mean link.mtu?"),
    ] {
        let error = load(text).unwrap_err();
        assert_eq!(error.code, Code::InvalidConfig);
        assert!(error.fix.as_deref().unwrap().starts_with(nearest), "{error:?}");
    }
}

#[test]
fn values_that_are_refused() {
    for text in [
        "[daemon]\nlog = 3",
        "[daemon]\nlog = \"loud\"",
        "[daemon]\nlog_format = \"xml\"",
        "[link]\nmtu = 3",
        "[link]\nmtu = \"big\"",
        "[link]\ngso = true",
        "[pools]\nipv4 = []",
        "[pools]\nipv4 = \"10.0.0.0/8\"",
        "[pools]\nipv4 = [\"fd00::/48\"]",
        "[pools]\nipv4 = [\"10.0.0.1/8\"]",
        "[pools]\nipv4_size = 31",
        "[pools]\nipv6 = \"10.0.0.0/8\"",
        "[dns]\nservers = [\"ns.example\"]",
        "[dns]\nservers = []",
        "[dns]\nttl_seconds = -1",
        "[dns]\nttl_seconds = 86401",
        "[pools",
        "[pools]\nipv4_size = 24\nipv4_size = 25",
    ] {
        assert_eq!(load(text).unwrap_err().code, Code::InvalidConfig, "{text}");
    }
}

#[test]
fn name_servers_are_the_hosts_or_others() {
    assert_eq!((load("").unwrap().dns_servers, load("").unwrap().dns_ttl), (None, 5));
    let config = load("[dns]\nservers = [\"192.0.2.53\", \"2001:db8::53\"]\nttl_seconds = 0\n").unwrap();
    assert_eq!((config.dns_servers.unwrap().len(), config.dns_ttl), (2, 0));
}

#[test]
fn settings_say_where_they_are_from() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b.toml");
    std::fs::write(&path, "[link]\nmtu = 1400\n").unwrap();
    let settings = Config::settings(Some(&path)).unwrap();
    let origin = |key| settings.iter().find(|s| s.key == key).unwrap().origin.clone();
    assert_eq!((origin("link.mtu"), origin("link.gso")), (path.display().to_string(), "default".to_string()));
}

#[test]
fn a_file_that_is_named_must_be_there() {
    assert_eq!(Config::load(Some(Path::new("/nonexistent/b.toml"))).unwrap_err().code, Code::InvalidConfig);
}
