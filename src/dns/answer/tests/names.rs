//! Which names are ours, and whose.

use expect_test::expect;

use super::*;

#[test]
fn names_of_an_endpoint() {
    for name in ["web-host", "0123456789AB", "www", "www.front", "web.front.", "WWW.Front"] {
        let text = asked_of(&view(), &format!("{name} A"));
        assert!(text.starts_with("NOERROR aa\n") && text.ends_with(" 5 A 10.9.0.2"), "{name}: {text}");
    }
    check(
        "db.example.com A",
        &expect![[r#"
        NOERROR aa
        db.example.com. 5 A 10.9.0.3"#]],
    );
    check(
        "db.Example.com.Front A",
        &expect![[r#"
        NOERROR aa
        db.Example.com.Front. 5 A 10.9.0.3"#]],
    );
}

#[test]
fn networks_answer_together_the_first_one_first() {
    check(
        "wEb A",
        &expect![[r#"
        NOERROR aa
        wEb. 5 A 10.9.0.2
        wEb. 5 A 10.8.0.2"#]],
    );
    check(
        "web.back.end A",
        &expect![[r#"
        NOERROR aa
        web.back.end. 5 A 10.8.0.2"#]],
    );
    check(
        "web AAAA",
        &expect![[r#"
        NOERROR aa
        web. 5 AAAA fd00:9::2"#]],
    );
    // It goes by that name on one network, and has that family on none.
    check(
        "web.back.end AAAA",
        &expect![[r#"
        NOERROR aa
        authority: back.end. 5 SOA back.end. nobody.invalid. 1 3600 1200 604800 5"#]],
    );
    check(
        "idle A",
        &expect![[r#"
        NOERROR aa
        authority: . 5 SOA . nobody.invalid. 1 3600 1200 604800 5"#]],
    );
}

#[test]
fn a_name_in_two_networks_with_one_address_says_it_once() {
    let view = view();
    view.zones[1].put(Id(2), entry(&["db1"], &["10.9.0.3", "10.8.0.3"], &[]));
    expect![[r#"
        NOERROR aa
        db1. 5 A 10.9.0.3
        db1. 5 A 10.8.0.3"#]]
    .assert_eq(&asked_of(&view, "db1 A"));
}

#[test]
fn links_come_before_names() {
    check(
        "database A",
        &expect![[r#"
        NOERROR aa
        database. 5 A 10.9.0.3"#]],
    );
    check(
        "DATABASE.front A",
        &expect![[r#"
        NOERROR aa
        DATABASE.front. 5 A 10.9.0.3"#]],
    );
    // An endpoint is called admin too; who has a link of that name does not see it.
    check(
        "admin A",
        &expect![[r#"
        NOERROR aa
        admin. 5 A 10.9.0.2
        admin. 5 A 10.8.0.2"#]],
    );
    check(
        "admin.back.end A",
        &expect![[r#"
        NOERROR aa
        admin.back.end. 5 A 10.8.0.2"#]],
    );
    check(
        "_80._tcp.admin SRV",
        &expect![[r#"
        NOERROR aa
        _80._tcp.admin. 5 SRV 0 0 80 web.front.
        _80._tcp.admin. 5 SRV 0 0 80 web.back.end.
        additional: web.front. 5 A 10.9.0.2
        additional: web.front. 5 AAAA fd00:9::2
        additional: web.back.end. 5 A 10.8.0.2"#]],
    );
    // A link is no way to another link, nor to what DNS cannot hold.
    check(
        "loop A",
        &expect![[r#"
        NXDOMAIN aa
        authority: . 5 SOA . nobody.invalid. 1 3600 1200 604800 5"#]],
    );
    check(
        "bad TXT",
        &expect![[r#"
        NXDOMAIN aa
        authority: . 5 SOA . nobody.invalid. 1 3600 1200 604800 5"#]],
    );
    check(
        "gone A",
        &expect![[r#"
        NXDOMAIN aa
        authority: . 5 SOA . nobody.invalid. 1 3600 1200 604800 5"#]],
    );
    check(
        "gone.front AAAA",
        &expect![[r#"
        NXDOMAIN aa
        authority: front. 5 SOA front. nobody.invalid. 1 3600 1200 604800 5"#]],
    );
    check(
        "_80._tcp.gone SRV",
        &expect![[r#"
        NXDOMAIN aa
        authority: . 5 SOA . nobody.invalid. 1 3600 1200 604800 5"#]],
    );
}

#[test]
fn other_names_are_asked_elsewhere() {
    for question in [
        "example.net A",
        "single AAAA",
        "nobody.front A",
        "x.web A",
        "web.other A",
        "webfront A",
        "_80._tcp.example.com SRV",
        "_tcp A",
        "_80._tcp SRV",
        "1.0.0.10.in-addr.arpa PTR",
        "11.in-addr.arpa NS",
        "7.10.in-addr.arpa NS",
        "16.8.10.in-addr.arpa NS",
        "1.0.0.in-addr.arpa PTR",
        "e.f.ip6.arpa NS",
        "1.ip6.arpa PTR",
        "localhost.com A",
    ] {
        assert_eq!(asked_of(&view(), question), "elsewhere", "{question}");
        assert_eq!(asked_of(&with_elsewhere(own_server()), question), "elsewhere", "{question}");
        let never = asked_of(&with_elsewhere(Elsewhere::Never), question);
        assert_eq!(
            never, "NXDOMAIN aa\nauthority: . 5 SOA . nobody.invalid. 1 3600 1200 604800 5",
            "{question}"
        );
    }
    // Not "it does not exist" of what ours are below (RFC 8020).
    for question in [
        ". NS",
        "Front A",
        "end NS",
        "back.end AAAA",
        // Of aliases (db.example.com), bare and with the network's name.
        "Com NS",
        "EXAMPLE.com A",
        "example.com.Front TXT",
        "com.front A",
        // Of links.
        "domain A",
        "some.domain.back.end AAAA",
        // Of addresses in our networks, and of what is called localhost.
        "arpa NS",
        "in-addr.arpa NS",
        "10.in-addr.arpa NS",
        "9.10.IN-ADDR.arpa PTR",
        "8.10.in-addr.arpa NS",
        "ip6.arpa NS",
        "d.f.ip6.arpa NS",
        "9.0.0.0.0.0.d.f.ip6.arpa PTR",
        "0.0.0.ip6.arpa NS",
    ] {
        assert_eq!(asked_of(&view(), question), "elsewhere", "{question}");
        let never = asked_of(&with_elsewhere(Elsewhere::Never), question);
        assert!(never.starts_with("NOERROR aa\nauthority: . 5 SOA"), "{question}: {never}");
    }
    let mut calm = query("example.com", kind::A);
    calm[2] &= !1;
    assert_eq!(answer(&calm, Transport::Udp, &view(), 0, &mut Vec::new()), Verdict::Elsewhere);
}

#[test]
fn a_link_to_nobody_does_not_deny_what_is_below_it() {
    let view = view();
    assert!(asked_of(&view, "gone A").starts_with("NXDOMAIN"));
    view.zones[1].put(Id(9), entry(&["not.gone"], &["10.8.0.9"], &[]));
    for question in ["gone A", "Gone TXT", "gone.back.end AAAA"] {
        assert!(asked_of(&view, question).starts_with("NOERROR aa\nauthority: "), "{question}");
    }
}

/// CVE-2025-8283: whatever is asked about a name of ours, no other server hears it.
#[test]
fn an_owned_name_is_never_asked_elsewhere() {
    let names =
        ["web", "WEB.", "wEb.FRONT", "web.back.end.", "db.example.com", "database", "gone", "_80._tcp.web"];
    for name in
        names.into_iter().chain(["_9._tcp.web", "_http._udp.web", "_tcp.web", "localhost", "a.LocalHost"])
    {
        for kind in (0..300).chain([32_768, 65_535]) {
            let verdict = answer(&query(name, kind), Transport::Udp, &view(), 0, &mut Vec::new());
            assert_eq!(verdict, Verdict::Reply, "{name} {kind}");
        }
    }
}

#[test]
fn localhost_is_known_to_everybody() {
    check(
        "localhost A",
        &expect![[r#"
        NOERROR aa
        localhost. 5 A 127.0.0.1"#]],
    );
    check(
        "x.y.LocalHost AAAA",
        &expect![[r#"
        NOERROR aa
        x.y.LocalHost. 5 AAAA ::1"#]],
    );
    check(
        "localhost MX",
        &expect![[r#"
        NOERROR aa
        authority: localhost. 5 SOA localhost. nobody.invalid. 1 3600 1200 604800 5"#]],
    );
    check(
        "1.0.0.127.in-addr.arpa PTR",
        &expect![[r#"
        NOERROR aa
        1.0.0.127.in-addr.arpa. 5 PTR localhost."#]],
    );
    check(
        "9.9.9.127.in-addr.arpa PTR",
        &expect![[r#"
        NOERROR aa
        9.9.9.127.in-addr.arpa. 5 PTR localhost."#]],
    );
    check(
        &format!("1.{}ip6.arpa PTR", "0.".repeat(31)),
        &expect![[r#"
        NOERROR aa
        1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa. 5 PTR localhost."#]],
    );
    check(
        "127.in-addr.arpa NS",
        &expect![[r#"
        NOERROR aa
        authority: in-addr.arpa. 5 SOA in-addr.arpa. nobody.invalid. 1 3600 1200 604800 5"#]],
    );
}

#[test]
fn turns_leave_nobody_out() {
    let zone = Zone::new("front".parse().unwrap(), vec![]);
    for n in 1..=7 {
        zone.put(Id(n), entry(&["db"], &[&format!("10.9.0.{n}")], &[]));
    }
    let view = View { zones: vec![Arc::new(zone)], ..view() };
    let mut out = Vec::new();
    // Every turn, and every other one, as where AAAA is asked for in between.
    for stride in [1, 2, 3, 4] {
        let mut first = [0; 8];
        for turn in 0..700 {
            answer(&query("db", kind::A), Transport::Udp, &view, turn * stride, &mut out);
            let message = Message::from_vec(&out).unwrap();
            assert_eq!(message.answers.len(), 7);
            first[usize::from(out[out.len() - 16 * 7 + 15])] += 1;
        }
        assert!(first[1..].iter().all(|times| (80..=120).contains(times)), "stride {stride}: {first:?}");
    }
}
