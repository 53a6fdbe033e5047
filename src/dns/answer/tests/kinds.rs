//! What is answered to each type.

use expect_test::expect;

use super::*;

#[test]
fn types_that_an_owned_name_has_not() {
    check(
        "web MX",
        &expect![[r#"
        NOERROR aa
        authority: . 5 SOA . nobody.invalid. 1 3600 1200 604800 5"#]],
    );
    check(
        "WEB.front TXT",
        &expect![[r#"
        NOERROR aa
        authority: front. 5 SOA front. nobody.invalid. 1 3600 1200 604800 5"#]],
    );
    check(
        "web TYPE65",
        &expect![[r#"
        NOERROR aa
        authority: . 5 SOA . nobody.invalid. 1 3600 1200 604800 5"#]],
    );
    check(
        "web PTR",
        &expect![[r#"
        NOERROR aa
        authority: . 5 SOA . nobody.invalid. 1 3600 1200 604800 5"#]],
    );
    check(
        "web SRV",
        &expect![[r#"
        NOERROR aa
        authority: . 5 SOA . nobody.invalid. 1 3600 1200 604800 5"#]],
    );
    check(
        "web SOA",
        &expect![[r#"
        NOERROR aa
        authority: . 5 SOA . nobody.invalid. 1 3600 1200 604800 5"#]],
    );
}

#[test]
fn all_types_at_once_are_refused_of_any_name() {
    for name in [
        "web",
        "gone",
        "_80._tcp.web",
        "localhost",
        "example.com",
        "nobody",
        "front",
        "1.0.0.10.in-addr.arpa",
    ] {
        for elsewhere in [own_server(), Elsewhere::Host(Place(1)), Elsewhere::Never] {
            assert_eq!(asked_of(&with_elsewhere(elsewhere), &format!("{name} ANY")), "REFUSED", "{name}");
        }
    }
}

#[test]
fn zones_are_not_handed_out() {
    check("web AXFR", &expect!["REFUSED"]);
    check("front TYPE251", &expect!["REFUSED"]);
    check("example.com AXFR", &expect!["REFUSED"]);
}

#[test]
fn addresses_have_names() {
    check(
        "2.0.9.10.in-addr.arpa PTR",
        &expect![[r#"
        NOERROR aa
        2.0.9.10.in-addr.arpa. 5 PTR web.front."#]],
    );
    check(
        "2.0.9.10.IN-ADDR.arpa A",
        &expect![[r#"
        NOERROR aa
        authority: IN-ADDR.arpa. 5 SOA IN-ADDR.arpa. nobody.invalid. 1 3600 1200 604800 5"#]],
    );
    check(
        "9.15.8.10.in-addr.arpa PTR",
        &expect![[r#"
        NOERROR aa
        9.15.8.10.in-addr.arpa. 5 PTR admin.back.end."#]],
    );
    let six = format!("2.{}9.0.0.0.0.0.d.F.ip6.arpa", "0.".repeat(23));
    check(
        &format!("{six} PTR"),
        &expect![[r#"
        NOERROR aa
        2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.9.0.0.0.0.0.d.F.ip6.arpa. 5 PTR web.front."#]],
    );
    check(&format!("{six} ANY"), &expect!["REFUSED"]);
    // Nobody's, in a subnet of ours.
    check(
        "200.0.9.10.in-addr.arpa PTR",
        &expect![[r#"
        NXDOMAIN aa
        authority: in-addr.arpa. 5 SOA in-addr.arpa. nobody.invalid. 1 3600 1200 604800 5"#]],
    );
    check(
        "1.1.8.10.in-addr.arpa TXT",
        &expect![[r#"
        NXDOMAIN aa
        authority: in-addr.arpa. 5 SOA in-addr.arpa. nobody.invalid. 1 3600 1200 604800 5"#]],
    );
    check(
        &format!("3.{}9.0.0.0.0.0.d.f.ip6.arpa PTR", "0.".repeat(23)),
        &expect![[r#"
        NXDOMAIN aa
        authority: ip6.arpa. 5 SOA ip6.arpa. nobody.invalid. 1 3600 1200 604800 5"#]],
    );
    // What has others below it.
    check(
        "0.9.10.in-addr.arpa NS",
        &expect![[r#"
        NOERROR aa
        authority: in-addr.arpa. 5 SOA in-addr.arpa. nobody.invalid. 1 3600 1200 604800 5"#]],
    );
    check("9.0.0.0.0.0.d.f.ip6.arpa PTR", &expect!["elsewhere"]);
    check(
        "0.0.0.0.0.0.0.0.9.0.0.0.0.0.d.f.ip6.arpa NS",
        &expect![[r#"
        NOERROR aa
        authority: ip6.arpa. 5 SOA ip6.arpa. nobody.invalid. 1 3600 1200 604800 5"#]],
    );
}

#[test]
fn names_that_only_look_like_addresses() {
    for name in [
        "02.0.9.10.in-addr.arpa",
        "256.0.9.10.in-addr.arpa",
        "+2.0.9.10.in-addr.arpa",
        "2.2.0.9.10.in-addr.arpa",
        "x.0.9.10.in-addr.arpa",
        "22.0.0.0.9.0.0.0.0.0.d.f.ip6.arpa",
        "g.9.0.0.0.0.0.d.f.ip6.arpa",
    ] {
        assert_eq!(asked_of(&view(), &format!("{name} PTR")), "elsewhere", "{name}");
    }
}

#[test]
fn ports_have_records() {
    check(
        "_80._tcp.web SRV",
        &expect![[r#"
        NOERROR aa
        _80._tcp.web. 5 SRV 0 0 80 web.front.
        _80._tcp.web. 5 SRV 0 0 80 web.back.end.
        additional: web.front. 5 A 10.9.0.2
        additional: web.front. 5 AAAA fd00:9::2
        additional: web.back.end. 5 A 10.8.0.2"#]],
    );
    check(
        "_53._UDP.www.front SRV",
        &expect![[r#"
        NOERROR aa
        _53._UDP.www.front. 5 SRV 0 0 53 web.front.
        additional: web.front. 5 A 10.9.0.2
        additional: web.front. 5 AAAA fd00:9::2"#]],
    );
    check(
        "_5432._tcp.db SRV",
        &expect![[r#"
        NOERROR aa
        _5432._tcp.db. 5 SRV 0 0 5432 db1.front.
        _5432._tcp.db. 5 SRV 0 0 5432 db2.front.
        additional: db1.front. 5 A 10.9.0.3
        additional: db2.front. 5 A 10.9.0.4"#]],
    );
    check(
        "_5432._tcp.database SRV",
        &expect![[r#"
        NOERROR aa
        _5432._tcp.database. 5 SRV 0 0 5432 db1.front.
        additional: db1.front. 5 A 10.9.0.3"#]],
    );
    check(
        "_80._tcp.web A",
        &expect![[r#"
        NOERROR aa
        authority: . 5 SOA . nobody.invalid. 1 3600 1200 604800 5"#]],
    );
    check(
        "_tcp.web A",
        &expect![[r#"
        NOERROR aa
        authority: . 5 SOA . nobody.invalid. 1 3600 1200 604800 5"#]],
    );
    check("_80._tcp.web ANY", &expect!["REFUSED"]);
    // Not served.
    for question in
        ["_81._tcp.web SRV", "_80._udp.web SRV", "_http._tcp.web SRV", "_080._tcp.web TXT", "_0._sctp.web A"]
    {
        let text = asked_of(&view(), question);
        assert_eq!(
            text, "NXDOMAIN aa\nauthority: . 5 SOA . nobody.invalid. 1 3600 1200 604800 5",
            "{question}"
        );
    }
}

#[test]
fn messages_that_are_no_queries() {
    let say = |bytes: &[u8]| {
        let mut out = vec![9];
        let verdict = answer(bytes, Transport::Udp, &view(), 0, &mut out);
        format!("{verdict:?} {}", out.escape_ascii())
    };
    let with = |change: fn(&mut Vec<u8>)| {
        let mut bytes = query("wEb", kind::A);
        change(&mut bytes);
        say(&bytes)
    };
    expect!["Silence "].assert_eq(&with(|b| b[2] |= 0x80));
    expect!["Silence "].assert_eq(&with(|b| b.truncate(11)));
    expect![[r#"Reply \x124\x81\x81\x00\x00\x00\x00\x00\x00\x00\x00"#]].assert_eq(&with(|b| b.truncate(12)));
    expect![[r#"Reply \x124\x81\x81\x00\x00\x00\x00\x00\x00\x00\x00"#]].assert_eq(&with(|b| b[5] = 2));
    expect![[r#"Reply \x124\xa8\x84\x00\x00\x00\x00\x00\x00\x00\x00"#]].assert_eq(&with(|b| b[2] = 0x28));
    expect![[r#"Reply \x124\x81\x85\x00\x01\x00\x00\x00\x00\x00\x00\x03wEb\x00\x00\x01\x00\x03"#]]
        .assert_eq(&with(|b| b[20] = 3));
    expect![[r#"Reply \x124\x81\x80\x00\x01\x00\x00\x00\x00\x00\x01\x03web\x00\x00\x01\x00\x01\x00\x00)\x04\xd0\x01\x00\x80\x00\x00\x00"#]].assert_eq(&say(&with_edns(query("web", kind::A), 512, 1, true)));
}
