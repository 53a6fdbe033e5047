//! `bowline dns`, on a daemon that rehearses: names are known, and nobody asks for them.

use expect_test::expect;

use super::{furnished, says, shows};
use crate::support::Daemon;

#[test]
fn names_are_listed_by_network() {
    let daemon = furnished();
    let mut db = crate::support::endpoint("db", &["front"]);
    db.hostname = Some("db.example".into());
    db.networks[0].aliases = vec!["API".into(), "DB".into()];
    daemon.client().create_endpoint(&db).unwrap();
    shows(
        &daemon,
        "dns ls",
        &expect![[r#"
        NAME        KIND      ADDRESSES    ENDPOINT  NETWORK
        web         endpoint  10.8.0.2 +1  web       back
        API         alias     10.9.0.1     db        front
        api         alias     10.9.0.5     web       front
        db          endpoint  10.9.0.1     db        front
        db.example  hostname  10.9.0.1     db        front
        web         endpoint  10.9.0.5     web       front
        www         alias     10.9.0.5     web       front
    "#]],
    );
    shows(
        &daemon,
        "dns ls back",
        &expect![[r#"
        NAME  KIND      ADDRESSES    ENDPOINT  NETWORK
        web   endpoint  10.8.0.2 +1  web       back
    "#]],
    );
    shows(
        &daemon,
        "dns ls host",
        &expect![[r#"
        NAME  KIND  ADDRESSES  ENDPOINT  NETWORK
    "#]],
    );
    let ids = daemon.cli("dns ls front --format {{.kind}}:{{.name}}").good();
    let web = daemon.client().endpoint("web").unwrap().id;
    assert!(ids.lines().any(|line| line == format!("id:{}", &web[..12])), "{ids}");
    says(
        &daemon,
        "dns ls frond",
        &expect![[r#"
        ! error[BWL-1201]: there is no network "frond"
        !   fix: did you mean front? or see what there is: bowline network ls
        [3]
    "#]],
    );
    daemon.client().remove_endpoint("db").unwrap();
    let names = daemon.client().dns_names(None).unwrap();
    assert!(names.iter().all(|name| name.endpoint == "web"), "{names:?}");
}

#[test]
fn nobody_has_asked_and_nothing_is_remembered() {
    let daemon = furnished();
    says(
        &daemon,
        "dns log",
        &expect![[r#"
        TIME  ENDPOINT  TYPE  NAME  OUTCOME  ANSWERS  FROM  TOOK
        [0]
    "#]],
    );
    says(
        &daemon,
        "dns log --endpoint wep",
        &expect![[r#"
        ! error[BWL-1202]: there is no endpoint "wep"
        !   fix: did you mean web? or see what there is: bowline endpoint ls
        [3]
    "#]],
    );
    says(
        &daemon,
        "dns flush",
        &expect![[r#"
        0 answers forgotten
        [0]
    "#]],
    );
    says(
        &daemon,
        "dns resolve db --endpoint nobody",
        &expect![[r#"
        ! error[BWL-1202]: there is no endpoint "nobody"
        !   fix: see what there is: bowline endpoint ls
        [3]
    "#]],
    );
}

#[test]
fn what_is_no_wish_is_refused_before_the_daemon_is_asked() {
    let daemon = Daemon::start();
    for wrong in ["--dns ten", "--dns-search a#b", "--dns-opt #", "--link a:", "--link :a"] {
        let ran = daemon.cli(&format!("endpoint create web --netns web {wrong}"));
        ran.failed_with(bowline_api::Code::InvalidDns);
    }
}
